//! A bot that sends every text back to the conversation it came from: a complete program on the client crate.
//!
//! `ECHO_BOT_PASSWORD=… echo-bot --server 127.0.0.1:7400 --name echo --profile ./echo-bot` registers the account
//! the first time, logs in where it exists, and resumes its session ever after.
//!
//! It answers every message once, whatever happens in between: the client id of an answer follows from the message
//! it answers. A bot that is killed after sending, before it noted that it did, sends again under the same id, and
//! the server has it already.

use clap::Parser;
use client::link::Identity;
use client::store::{Profile, StoreError};
use client::sync::Start;
use client::{Client, Device, Error, Events, Options, Outcome, Trust, Update};
use protocol::Request;
use protocol::v1::{self, ErrorCode, EventKind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// One attempt of one request.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// Between attempts, where the server names no time.
const PAUSE: Duration = Duration::from_secs(1);

/// How long another program may hold on to the profile.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);

/// How long to look for an update at a time; there is always a next time.
const WAIT: Duration = Duration::from_secs(3600);

/// Sends every text back.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where imserver listens.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7400")]
    server: String,
    /// The name of the bot's account.
    #[arg(long, default_value = "echo")]
    name: String,
    /// The directory that keeps the session and how far the bot has got.
    #[arg(long, value_name = "DIR", default_value = "echo-bot")]
    profile: PathBuf,
    /// The password of the account, needed the first time.
    #[arg(
        long,
        env = "ECHO_BOT_PASSWORD",
        hide_env_values = true,
        default_value = "",
        hide = true
    )]
    password: String,
}

/// Why the bot stopped.
#[derive(Debug)]
enum Failure {
    /// The server, or the way to it.
    Client(Error),
    /// The profile directory.
    Store(StoreError),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Client(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(never) => match never {},
        Err(Failure::Client(error)) => eprintln!("echo-bot: {error}"),
        Err(Failure::Store(error)) => eprintln!("echo-bot: {error}"),
    }
    ExitCode::FAILURE
}

fn run(arguments: &Arguments) -> Result<std::convert::Infallible, Failure> {
    let mut profile = Profile::open(&arguments.profile, "echo-bot", LOCK_PATIENCE)?;
    let (client, events) = log_in(arguments, &mut profile)?;
    let me = profile
        .account()
        .session
        .as_ref()
        .map_or(0, |session| session.user_id);
    let snapshot = profile.sync()?.unwrap_or_default();
    // From the beginning: what was said before the bot came is answered too, and what has been answered is not
    // answered again.
    let mut device = Device::new(client, events, snapshot, Start::Beginning);
    loop {
        let Some(update) = device.next(Instant::now() + WAIT) else {
            continue;
        };
        match update {
            Update::Event(event) => {
                if let Some(answer) = answer(&event, me) {
                    send(&mut device, answer)?;
                }
                profile.note_applied(&event, || device.snapshot())?;
            }
            Update::Store => profile.save_sync(&device.snapshot())?,
            Update::Restarted => profile.save_sync(&device.snapshot())?,
            Update::Connected(_) => println!("connected to {} as {}", arguments.server, arguments.name),
            Update::Disconnected { reason } => eprintln!("echo-bot: no connection: {reason}"),
            Update::Ended(ending) => return Err(Error::Ended(ending).into()),
            _ => {}
        }
    }
}

/// Resumes the session of the profile, or begins one.
fn log_in(arguments: &Arguments, profile: &mut Profile) -> Result<(Client, Events), Failure> {
    let session = profile.account().session.as_ref();
    let token = session.map(|session| session.token.clone());
    let known = token.is_some();
    let device = v1::Device {
        device_id: profile.account().device_id.clone(),
        class: v1::DeviceClass::Desktop.into(),
        name: "echo-bot".to_owned(),
    };
    let identity = Identity {
        device,
        program: "echo-bot".to_owned(),
        token,
    };
    let (client, events) = Client::connect(Options {
        server: arguments.server.clone(),
        trust: Trust::System,
        identity,
    })?;
    if !known {
        let session = register_or_log_in(&client, arguments)?;
        profile.log_in(&arguments.server, &Trust::System, &session)?;
    }
    Ok((client, events))
}

fn register_or_log_in(client: &Client, arguments: &Arguments) -> Result<v1::Session, Error> {
    let (name, password) = (arguments.name.clone(), arguments.password.clone());
    let request = v1::RegisterRequest {
        name,
        password,
        display_name: "Echo".to_owned(),
    };
    match client.register(request, CALL_TIMEOUT) {
        Err(Error::Refused(refusal)) if refusal.code() == ErrorCode::NameTaken => {
            let (name, password) = (arguments.name.clone(), arguments.password.clone());
            client.login(v1::LoginRequest { name, password }, CALL_TIMEOUT)
        }
        other => other,
    }
}

/// What to say to `event`: nothing to what the bot said itself, to what is not text, and to what answers something,
/// or two bots would never stop.
fn answer(event: &v1::Event, me: u64) -> Option<v1::SendRequest> {
    let content = event.body.as_ref()?.content.as_ref()?;
    if event.sender_id == me || event.kind() != EventKind::Text || content.reply_to != 0 {
        return None;
    }
    let content = v1::Content {
        body: content.body.clone(),
        reply_to: event.seq,
        ..v1::Content::default()
    };
    Some(v1::SendRequest {
        conversation_id: event.conversation_id,
        client_msg_id: [event.conversation_id.to_be_bytes(), event.seq.to_be_bytes()]
            .concat()
            .into(),
        kind: EventKind::Text.into(),
        content: Some(content),
        ..v1::SendRequest::default()
    })
}

/// Sends until the outcome is definite. A refusal that will not change is reported and passed over.
fn send(device: &mut Device, answer: v1::SendRequest) -> Result<(), Error> {
    loop {
        let Err(error) = device.call(Request::Send(answer.clone()), CALL_TIMEOUT) else {
            return Ok(());
        };
        match error.outcome() {
            Outcome::Definite => {
                eprintln!("echo-bot: an answer was refused: {error}");
                return Ok(());
            }
            Outcome::Unknown => std::thread::sleep(pause(&error)),
            Outcome::Over => return Err(error),
        }
    }
}

fn pause(error: &Error) -> Duration {
    match error {
        Error::Refused(refusal) if refusal.retry_after_ms > 0 => {
            Duration::from_millis(refusal.retry_after_ms.into())
        }
        _ => PAUSE,
    }
}
