//! The threads that wait for the server, so that the screen never does: one for messages, which go out in
//! the order they were written, and one for everything else.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use client::{Client, Error};
use crossbeam_channel::{Receiver, Sender, bounded};
use protocol::v1::{self, Direction, ErrorCode};

use super::effect::{Answer, Effect};
use crate::failure::Failure;

/// Effects that wait, and answers that wait to be taken.
const QUEUE_MAX: usize = 256;
/// Events in a page of history.
const PAGE: u32 = 60;
/// Conversations in the list.
const LIST: u32 = 200;
/// A question; while offline it fails sooner.
const ASK_TIMEOUT: Duration = Duration::from_secs(15);
/// A message is tried this long before the person is told that its outcome is unknown.
const SEND_TIMEOUT: Duration = Duration::from_secs(24 * 3_600);

#[derive(Debug)]
pub(crate) struct Worker {
    messages: Sender<Box<v1::SendRequest>>,
    questions: Sender<Question>,
    answers: Receiver<Answer>,
    /// Questions and messages that were not answered yet.
    under_way: Arc<AtomicUsize>,
}

#[derive(Debug)]
enum Question {
    List,
    Effect(Effect),
}

impl Worker {
    pub(crate) fn start(client: Client) -> Result<Self, Failure> {
        let (messages, message_queue) = bounded::<Box<v1::SendRequest>>(QUEUE_MAX);
        let (questions, question_queue) = bounded::<Question>(QUEUE_MAX);
        let (answer_queue, answers) = bounded::<Answer>(QUEUE_MAX);
        let (sender, sender_answers) = (client.clone(), answer_queue.clone());
        let under_way = Arc::new(AtomicUsize::new(0));
        let (sends, asks) = (Arc::clone(&under_way), Arc::clone(&under_way));
        spawn("im-send", move || {
            for request in message_queue {
                let answer = match sender.send((*request).clone(), SEND_TIMEOUT) {
                    Ok(sent) => Answer::Sent { request, sent },
                    Err(error) => Answer::NotSent {
                        request,
                        reason: error.to_string(),
                    },
                };
                if sender_answers.send(answer).is_err() {
                    return;
                }
                sends.fetch_sub(1, Ordering::Release);
            }
        })?;
        spawn("im-ask", move || {
            for question in question_queue {
                for answer in ask(&client, question) {
                    if answer_queue.send(answer).is_err() {
                        return;
                    }
                }
                asks.fetch_sub(1, Ordering::Release);
            }
        })?;
        Ok(Self {
            messages,
            questions,
            answers,
            under_way,
        })
    }

    pub(crate) fn next_answer(&self) -> Option<Answer> {
        self.answers.try_recv().ok()
    }

    /// Whether something is under way whose answers are not all in the queue.
    pub(crate) fn is_busy(&self) -> bool {
        self.under_way.load(Ordering::Acquire) > 0
    }

    /// Asks for the list of conversations.
    pub(crate) fn list(&self) {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        if self.questions.try_send(Question::List).is_err() {
            // What waits in the queue brings more than this would.
            self.under_way.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Begins an effect; the answer at once where there is no room for it.
    pub(crate) fn begin(&self, effect: Effect) -> Option<Answer> {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        if let Effect::Send(request) = effect {
            let refused = self.messages.try_send(request).err()?;
            self.under_way.fetch_sub(1, Ordering::Relaxed);
            return Some(Answer::NotSent {
                request: refused.into_inner(),
                reason: "too many messages wait to be sent".to_owned(),
            });
        }
        let refused = self.questions.try_send(Question::Effect(effect)).err()?;
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        match refused.into_inner() {
            Question::Effect(effect) => failed(effect, "too much is under way"),
            Question::List => None,
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map(drop)
        .map_err(|error| Failure::Profile(error.to_string()))
}

fn ask(client: &Client, question: Question) -> Vec<Answer> {
    match question {
        Question::List => {
            let request = v1::ListConversationsRequest {
                limit: LIST,
                ..v1::ListConversationsRequest::default()
            };
            match client.ask(request, ASK_TIMEOUT) {
                Ok(list) => vec![Answer::Conversations(list.conversations)],
                // It is asked for again on the next connection.
                Err(_) => Vec::new(),
            }
        }
        Question::Effect(effect) => match answer(client, &effect) {
            Ok(answers) => answers,
            Err(error) => failed(effect, &error.to_string()).into_iter().collect(),
        },
    }
}

/// What a failed effect means to the state; signs that pass are not missed.
fn failed(effect: Effect, reason: &str) -> Option<Answer> {
    match effect {
        Effect::LoadHistory { conversation, .. } => Some(Answer::PageFailed {
            conversation,
            reason: reason.to_owned(),
        }),
        Effect::LoadNames(_) => Some(Answer::NamesFailed),
        Effect::MarkRead { conversation, .. } => Some(Answer::NotRead { conversation }),
        Effect::LoadConversation { .. }
        | Effect::Typing { .. }
        | Effect::Watch(_)
        | Effect::SetAway(_)
        | Effect::Redraw
        | Effect::Stop
        | Effect::Quit => None,
        Effect::Send(_)
        | Effect::FindUser { .. }
        | Effect::CreateGroup { .. }
        | Effect::AddMembers { .. }
        | Effect::Leave { .. } => Some(Answer::Note(reason.to_owned())),
    }
}

fn answer(client: &Client, effect: &Effect) -> Result<Vec<Answer>, Error> {
    // Changes carry a client id, so that they may be repeated.
    let client_msg_id = bytes::Bytes::copy_from_slice(&client::new_client_id().0);
    match effect.clone() {
        Effect::LoadHistory { conversation, before } => load_history(client, conversation, before),
        Effect::LoadConversation { conversation } => {
            let request = v1::GetConversationRequest {
                conversation_id: conversation,
            };
            let found = client.ask(request, ASK_TIMEOUT)?;
            Ok(vec![Answer::Conversation {
                conversation: Box::new(found.conversation.unwrap_or_default()),
                cursors: found.cursors,
            }])
        }
        Effect::LoadNames(user_ids) => {
            let found = client.ask(v1::GetUsersRequest { user_ids }, ASK_TIMEOUT)?;
            Ok(vec![Answer::Users(found.users)])
        }
        Effect::MarkRead { conversation, seq } => {
            let request = v1::ReadRequest {
                conversation_id: conversation,
                seq,
            };
            client.ask(request, ASK_TIMEOUT).map(|_| Vec::new())
        }
        Effect::Typing { conversation } => {
            let request = v1::TypingRequest {
                conversation_id: conversation,
                typing: true,
            };
            client.ask(request, ASK_TIMEOUT).map(|_| Vec::new())
        }
        Effect::Watch(user_ids) => {
            let told = client.ask(v1::WatchPresenceRequest { user_ids }, ASK_TIMEOUT)?;
            Ok(vec![Answer::Presences(told.presences)])
        }
        Effect::SetAway(away) => {
            let request = v1::SetAwayRequest { away };
            client.ask(request, ASK_TIMEOUT).map(|_| Vec::new())
        }
        Effect::FindUser { name, text } => find_user(client, name, text),
        Effect::CreateGroup { name, members } => {
            let request = v1::CreateGroupRequest {
                client_msg_id,
                name: name.clone(),
                user_ids: user_ids(client, &members)?,
            };
            let created = client.ask_until_definite(request, ASK_TIMEOUT)?;
            Ok(vec![Answer::Opened {
                conversation: created.conversation_id,
                name,
            }])
        }
        Effect::AddMembers {
            conversation,
            members,
        } => {
            let request = v1::AddMembersRequest {
                conversation_id: conversation,
                client_msg_id,
                user_ids: user_ids(client, &members)?,
            };
            client
                .ask_until_definite(request, ASK_TIMEOUT)
                .map(|_| Vec::new())
        }
        Effect::Leave { conversation } => {
            let request = v1::LeaveGroupRequest {
                conversation_id: conversation,
                client_msg_id,
            };
            client
                .ask_until_definite(request, ASK_TIMEOUT)
                .map(|_| Vec::new())
        }
        Effect::Send(_) | Effect::Redraw | Effect::Stop | Effect::Quit => Ok(Vec::new()),
    }
}

fn load_history(client: &Client, conversation_id: u64, before: u64) -> Result<Vec<Answer>, Error> {
    let request = v1::HistoryRequest {
        conversation_id,
        from_seq: before.saturating_sub(1),
        limit: PAGE,
        direction: Direction::Backward.into(),
        ..v1::HistoryRequest::default()
    };
    match client.ask(request, ASK_TIMEOUT) {
        Ok(history) => Ok(vec![Answer::Page {
            conversation: conversation_id,
            page: history.page.unwrap_or_default(),
        }]),
        // A conversation of two begins with its first message.
        Err(Error::Refused(refusal)) if refusal.code() == ErrorCode::NotFound => {
            Ok(vec![Answer::PageFailed {
                conversation: conversation_id,
                reason: String::new(),
            }])
        }
        Err(error) => Err(error),
    }
}

fn find_user(client: &Client, name: String, text: String) -> Result<Vec<Answer>, Error> {
    let Some(user) = find(client, &name)? else {
        return Ok(Vec::new());
    };
    Ok(vec![Answer::Found { user, text }])
}

fn find(client: &Client, name: &str) -> Result<Option<v1::User>, Error> {
    if let Some(id) = crate::target::numbered(name) {
        let user_ids = vec![id];
        let found = client.ask(v1::GetUsersRequest { user_ids }, ASK_TIMEOUT)?;
        return Ok(found.users.into_iter().next());
    }
    let request = v1::FindUserRequest {
        name: name.to_owned(),
    };
    Ok(client.ask(request, ASK_TIMEOUT)?.user)
}

fn user_ids(client: &Client, names: &[String]) -> Result<Vec<u64>, Error> {
    let mut ids = Vec::new();
    for name in names {
        ids.extend(find(client, name)?.map(|user| user.user_id));
    }
    Ok(ids)
}
