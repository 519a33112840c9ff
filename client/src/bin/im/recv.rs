//! `im recv`: prints messages, and moves the cursor over each only after it was printed.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use client::{Device, Error, Update, sync::Start};
use protocol::{ClientMessageId, v1};

use crate::{
    context::{CALL_TIMEOUT, Context},
    failure::Failure,
    message,
    names::Directory,
};

/// How long to look for an update at a time where the person set no end.
const FOREVER: Duration = Duration::from_secs(3_600);
/// Attempts to learn a name before its id is printed instead.
const NAME_ATTEMPTS: usize = 5;
/// Time between them.
const NAME_PAUSE: Duration = Duration::from_millis(300);

struct Receiver {
    device: Device,
    names: Directory,
    me: u64,
    own: HashSet<ClientMessageId>,
}

pub(crate) fn run(context: &mut Context, count: Option<u64>, timeout: Option<f64>) -> Result<(), Failure> {
    let (me, _) = context.me()?;
    let (client, events) = context.resume()?;
    let snapshot = context.profile.sync()?;
    let mut receiver = Receiver {
        device: Device::new(client, events, snapshot.unwrap_or_default(), Start::Heads),
        names: Directory::open(&context.profile),
        me,
        own: context.profile.sent().into_iter().collect(),
    };
    let end = timeout.map(|seconds| Instant::now() + Duration::from_secs_f64(seconds));
    let outcome = receive(context, &mut receiver, count, end);
    receiver.names.save(&context.profile);
    let printed = outcome?;
    match count {
        Some(count) if printed < count => Err(Failure::Nothing(format!(
            "{printed} of {count} messages arrived in time"
        ))),
        _ => Ok(()),
    }
}

/// Prints until there were enough or time is over; how many there were.
fn receive(
    context: &mut Context,
    receiver: &mut Receiver,
    count: Option<u64>,
    end: Option<Instant>,
) -> Result<u64, Failure> {
    let mut printed = 0;
    let mut connected = false;
    let mut unreachable = String::new();
    while count.is_none_or(|count| printed < count) {
        let deadline = end.unwrap_or_else(|| Instant::now() + FOREVER);
        let Some(update) = receiver.device.next(deadline) else {
            if end.is_some() {
                break;
            }
            continue;
        };
        match update {
            Update::Event(event) => {
                if receiver.print(context, &event)? {
                    printed += 1;
                }
                let device = &receiver.device;
                let snapshot = || device.snapshot();
                context.profile.note_applied(&event, snapshot)?;
            }
            Update::Store => context.profile.save_sync(&receiver.device.snapshot())?,
            Update::Restarted => {
                context
                    .output
                    .note("the server's store was put back or is another one: what it has is compared, and may come again");
                context.profile.save_sync(&receiver.device.snapshot())?;
            }
            Update::Conversations(conversations) => receiver.names.learn_conversations(&conversations),
            Update::Connected(_) => connected = true,
            Update::Disconnected { reason } => {
                if !context.output.json {
                    context.output.note(&format!("no connection: {reason}"));
                }
                unreachable = reason;
            }
            Update::Ended(ending) => return Err(Error::Ended(ending).into()),
            Update::Synced
            | Update::Rewound { .. }
            | Update::Cursors(_)
            | Update::Transient(_)
            | Update::Typing(_)
            | Update::Presence(_) => {}
        }
    }
    if !connected && !unreachable.is_empty() {
        return Err(Error::Unreachable(unreachable).into());
    }
    finish(context, receiver);
    Ok(printed)
}

/// What is left to say to the server and to the disk. Neither loses anything if it fails.
fn finish(context: &mut Context, receiver: &mut Receiver) {
    let stored = context.profile.save_sync(&receiver.device.snapshot());
    let told = receiver.device.acknowledge(CALL_TIMEOUT);
    if let (Err(error), _) = (&stored, &told) {
        context.output.note(&error.to_string());
    }
}

impl Receiver {
    /// Prints an event that is a message from somewhere else; whether it did.
    fn print(&mut self, context: &Context, event: &v1::Event) -> Result<bool, Failure> {
        self.names.learn_event(event);
        if !message::is_message(event) || self.is_own(event) {
            return Ok(false);
        }
        for attempt in 1..=NAME_ATTEMPTS {
            let people = message::people(event);
            match self
                .names
                .look_up(&mut self.device, people, [event.conversation_id])
            {
                Ok(()) => break,
                Err(error @ Error::Ended(_)) => return Err(error.into()),
                Err(error) => {
                    log::info!("attempt {attempt} to learn a name failed: {error}");
                    std::thread::sleep(NAME_PAUSE);
                }
            }
        }
        context.output.print(
            || message::to_json(event, &self.names),
            || message::to_line(event, &self.names, context.output),
        )?;
        Ok(true)
    }

    /// This very device sent it. What the user's other devices sent is news here.
    fn is_own(&self, event: &v1::Event) -> bool {
        event.sender_id == self.me
            && ClientMessageId::parse(&event.client_msg_id).is_some_and(|id| self.own.contains(&id))
    }
}
