//! Everything that a store answers, for everybody, as one number that two stores share exactly when they answer alike.
//!
//! It owns the list of questions. It must never ask about names of the past: epochs and generations are judged apart.

use std::{
    collections::{BTreeSet, HashSet},
    fmt,
    hash::{DefaultHasher, Hasher as _},
    sync::Arc,
};

use bytes::Bytes;
use storage::{
    ConversationId, Direction, Event, EventView, Position, ReadError, Reader, RevisionView, Seq, Snapshot,
    TokenHash, UserId,
};

/// Who and what is asked about.
#[derive(Clone, Debug)]
pub struct Questions {
    /// Everyone who may have an account.
    pub users: Vec<UserId>,
    /// All that may exist.
    pub conversations: Vec<ConversationId>,
    /// Of all sessions that may exist.
    pub tokens: Vec<TokenHash>,
}

struct Hash(DefaultHasher);

impl fmt::Write for Hash {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

/// The number of a store's answers.
///
/// # Errors
/// The store did not answer.
pub fn number(reader: &mut dyn Reader, questions: &Questions) -> Result<u64, ReadError> {
    let mut hash = Hash(DefaultHasher::new());
    ask(reader, questions, &mut hash)?;
    Ok(hash.0.finish())
}

/// The answers themselves, for people.
///
/// # Errors
/// The store did not answer.
pub fn text(reader: &mut dyn Reader, questions: &Questions) -> Result<String, ReadError> {
    let mut text = String::new();
    ask(reader, questions, &mut text)?;
    Ok(text)
}

/// The questions to which two stores give other answers, by their [texts](text); each once.
pub fn differing(one: &str, other: &str) -> Vec<String> {
    let question = |line: &str| line.split(": ").next().unwrap_or_default().to_owned();
    let (lines, others): (HashSet<&str>, HashSet<&str>) = (one.lines().collect(), other.lines().collect());
    let differing: BTreeSet<String> = lines
        .symmetric_difference(&others)
        .map(|line| question(line))
        .collect();
    differing.into_iter().collect()
}

/// The newest position a store has.
///
/// # Errors
/// The store did not answer.
pub fn position(reader: &mut dyn Reader) -> Result<Position, ReadError> {
    Ok(reader.snapshot()?.ceiling())
}

fn ask(reader: &mut dyn Reader, questions: &Questions, to: &mut dyn fmt::Write) -> Result<(), ReadError> {
    let mut say = |question: &str, what: &dyn fmt::Debug| {
        let _ = writeln!(to, "{question}: {what:?}");
    };
    say("the newest position", &reader.snapshot()?);
    let users = reader.users(&questions.users)?;
    for user in &users {
        say("an account by its name", &reader.credentials(&user.name)?);
        say("a user by name", &reader.user_by_name(&user.name)?);
    }
    say("users by id", &users);
    for token in &questions.tokens {
        say("a session by its token", &reader.session_by_token(token)?);
    }
    let mut tail = reader.tail(&Snapshot::default(), usize::MAX)?;
    for event in std::mem::take(&mut tail.events) {
        say("an event of the tail", &brief(&event));
    }
    say("cursors of the tail", &tail);
    for viewer in &questions.users {
        say("sessions of a user", &reader.sessions(*viewer)?);
        say(
            "conversations of a user",
            &reader.conversations(*viewer, None, usize::MAX)?,
        );
        say(
            "changes for a user",
            &reader.changes(*viewer, &Snapshot::default(), usize::MAX)?,
        );
    }
    for conversation in &questions.conversations {
        say(
            "intervals of a conversation",
            &reader.intervals(*conversation, Seq(0))?,
        );
        for viewer in &questions.users {
            let members = reader.members(*viewer, *conversation, UserId(0), usize::MAX)?;
            say("members of a conversation", &members);
            let (from, all) = (Seq(1), usize::MAX);
            let page = reader.events(*viewer, *conversation, from, Direction::Forward, all, all)?;
            let Some(mut page) = page else { continue };
            for view in std::mem::take(&mut page.events) {
                let revision = view.revision.map(|revision| RevisionView {
                    body: short(&revision.body),
                    ..revision
                });
                let brief = EventView {
                    event: Arc::new(brief(&view.event)),
                    revision,
                    ..view
                };
                say("an event of a page", &brief);
            }
            say("a page", &page);
        }
    }
    Ok(())
}

/// An event with a hash in the place of its body: bodies are most of what there is to format.
fn brief(event: &Event) -> Event {
    Event {
        body: short(&event.body),
        ..event.clone()
    }
}

fn short(body: &Bytes) -> Bytes {
    let mut hasher = DefaultHasher::new();
    hasher.write(body);
    Bytes::copy_from_slice(&hasher.finish().to_be_bytes())
}
