//! Accounts and sessions: register, login, logout, whoami, devices.

use std::time::{Duration, Instant};

use bytes::Bytes;
use client::{
    Device, Error, Update,
    sync::{Snapshot, Start},
};
use protocol::v1;
use serde_json::json;

use crate::{
    context::{CALL_TIMEOUT, Context, expect},
    failure::Failure,
    terminal, text,
    time::{date_and_clock, local_zone},
};

/// Hashing a password takes its time, and others may be waiting for theirs.
const PASSWORD_TIMEOUT: Duration = Duration::from_secs(30);
/// Reading the list of conversations at login.
const BOOTSTRAP_TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) fn register(context: &mut Context, name: String, display_name: String) -> Result<(), Failure> {
    let password = new_password()?;
    let (client, _) = context.connect(None)?;
    let request = v1::RegisterRequest {
        name,
        password,
        display_name,
    };
    let session = client.register(request, PASSWORD_TIMEOUT)?;
    context
        .profile
        .log_in(&context.server, &context.trust, &session)?;
    // For a new account everything there will ever be is new: an empty token asks for all of it.
    context.profile.save_sync(&Snapshot {
        epoch: session.epoch,
        token: Some(Bytes::new()),
        ..Snapshot::default()
    })?;
    print_session(context, "registered", &session)
}

pub(crate) fn login(context: &mut Context, name: String) -> Result<(), Failure> {
    let password = password()?;
    let (client, events) = context.connect(None)?;
    let session = client.login(v1::LoginRequest { name, password }, PASSWORD_TIMEOUT)?;
    context
        .profile
        .log_in(&context.server, &context.trust, &session)?;
    if context.profile.sync()?.is_none() {
        let device = Device::new(client, events, Snapshot::default(), Start::Heads);
        begin_at_heads(context, device)?;
    }
    print_session(context, "logged_in", &session)
}

/// Reads where the account's conversations stand: what was said before is history to this device, what
/// comes after this is not.
fn begin_at_heads(context: &mut Context, mut device: Device) -> Result<(), Failure> {
    let deadline = Instant::now() + BOOTSTRAP_TIMEOUT;
    loop {
        match device.next(deadline) {
            Some(Update::Synced) => return Ok(context.profile.save_sync(&device.snapshot())?),
            Some(Update::Store) => context.profile.save_sync(&device.snapshot())?,
            // New already: it stays for `im recv`, and so does the cursor that was stored before it.
            Some(Update::Event(_)) => return Ok(()),
            Some(Update::Ended(ending)) => return Err(Error::Ended(ending).into()),
            Some(_) => {}
            None => return Err(Error::Timeout.into()),
        }
    }
}

pub(crate) fn logout(context: &mut Context, others: bool) -> Result<(), Failure> {
    let client = context.client()?;
    if others {
        let ended = client.ask(v1::LogoutOthersRequest {}, CALL_TIMEOUT)?.sessions;
        let json = || json!({ "type": "logged_out_others", "sessions": ended });
        return Ok(context
            .output
            .print(json, || format!("{ended} other sessions ended"))?);
    }
    match client.ask(v1::LogoutRequest {}, CALL_TIMEOUT) {
        // A session that the server does not know any more is as good as logged out.
        Ok(_) | Err(Error::Ended(_)) => {}
        Err(error) => return Err(error.into()),
    }
    context.profile.log_out()?;
    Ok(context
        .output
        .print(|| json!({ "type": "logged_out" }), || "logged out".to_owned())?)
}

pub(crate) fn whoami(context: &Context) -> Result<(), Failure> {
    let (id, _) = context.me()?;
    let client = context.client()?;
    let found = client.ask(v1::GetUsersRequest { user_ids: vec![id] }, CALL_TIMEOUT)?;
    let user = expect::<v1::GetUsersRequest, _>(found.users.into_iter().next())?;
    let json = || {
        json!({
            "type": "user",
            "user_id": user.user_id,
            "name": user.name,
            "display_name": user.display_name,
            "server": context.server,
            "device_id": context.profile.account().device_id,
        })
    };
    let plain = || {
        let shown = match user.display_name.as_str() {
            "" => String::new(),
            name => format!(" ({})", text::line(name)),
        };
        format!(
            "{}{shown} on {}",
            context.output.bold(&text::line(&user.name)),
            context.server
        )
    };
    Ok(context.output.print(json, plain)?)
}

pub(crate) fn devices(context: &Context) -> Result<(), Failure> {
    let client = context.client()?;
    let list = client.ask(v1::ListDevicesRequest {}, CALL_TIMEOUT)?;
    for session in list.sessions {
        let device = session.device.clone().unwrap_or_default();
        let json = || {
            json!({
                "type": "device",
                "session_id": session.session_id.to_string(),
                "device_id": device.device_id,
                "class": device.class().as_str_name().trim_start_matches("DEVICE_CLASS_").to_lowercase(),
                "name": device.name,
                "created_at_ms": session.created_at_ms,
                "last_seen_at_ms": session.last_seen_at_ms,
                "online": session.online,
                "current": session.current,
            })
        };
        let plain = || {
            let state = match (session.current, session.online) {
                (true, _) => "this one",
                (false, true) => "online",
                (false, false) => "offline",
            };
            let seen = date_and_clock(session.last_seen_at_ms, &local_zone());
            format!("{state:8}  {seen}  {}", text::line(&device.name))
        };
        context.output.print(json, plain)?;
    }
    Ok(())
}

fn print_session(context: &Context, kind: &str, session: &v1::Session) -> Result<(), Failure> {
    let user = session.user.clone().unwrap_or_default();
    let json =
        || json!({ "type": kind, "user_id": user.user_id, "name": user.name, "server": context.server });
    let plain = || format!("logged in as {} on {}", text::line(&user.name), context.server);
    Ok(context.output.print(json, plain)?)
}

/// From the environment, or from the person, twice.
fn new_password() -> Result<String, Failure> {
    if let Some(password) = password_of_environment()? {
        return Ok(password);
    }
    let [first, second] = terminal::passwords(["New password: ", "Once more: "])?;
    if first == second {
        Ok(first)
    } else {
        Err(Failure::Usage("the two passwords differ".to_owned()))
    }
}

fn password() -> Result<String, Failure> {
    if let Some(password) = password_of_environment()? {
        return Ok(password);
    }
    let [password] = terminal::passwords(["Password: "])?;
    Ok(password)
}

fn password_of_environment() -> Result<Option<String>, Failure> {
    match std::env::var("IM_PASSWORD") {
        Ok(password) if password.is_empty() => Err(Failure::Usage("IM_PASSWORD is empty".to_owned())),
        Ok(password) => Ok(Some(password)),
        Err(std::env::VarError::NotUnicode(_)) => Err(Failure::Usage("IM_PASSWORD is no text".to_owned())),
        Err(std::env::VarError::NotPresent) => Ok(None),
    }
}
