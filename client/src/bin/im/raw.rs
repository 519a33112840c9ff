//! `im call`: any request of the protocol, in JSON.

use std::io::Write;

use client::Error;
use protocol::{Command, Decode, Encoding, Request};

use crate::{
    context::{CALL_TIMEOUT, Context},
    failure::Failure,
    text,
};

pub(crate) fn run(context: &Context, command: &str, body: &str) -> Result<(), Failure> {
    let command = find(command)?;
    let request = Request::decode(command, Encoding::Json, body.to_owned().into_bytes().into())
        .map_err(|refusal| Failure::Usage(format!("{}: {}", command.name(), refusal.0.message)))?;
    let token = context
        .profile
        .account()
        .session
        .as_ref()
        .map(|session| session.token.clone());
    if token.is_none() && !command.is_for_anyone() {
        return Err(Error::NotLoggedIn.into());
    }
    let (client, _) = context.connect(token)?;
    let reply = client.call(request, CALL_TIMEOUT)?;
    let mut stdout = std::io::stdout().lock();
    let reply = reply.encode(Encoding::Json);
    stdout.write_all(text::json(&String::from_utf8_lossy(&reply)).as_bytes())?;
    stdout.write_all(b"\n")?;
    Ok(stdout.flush()?)
}

fn find(text: &str) -> Result<Command, Failure> {
    let by_number = || Command::from_number(text.parse().ok()?).ok();
    let command = Command::from_name(text)
        .or_else(by_number)
        .filter(|command| !command.is_push() && *command != Command::Hello);
    command.ok_or_else(|| {
        let known = Command::ALL
            .iter()
            .filter(|command| !command.is_push() && **command != Command::Hello);
        let names: Vec<&str> = known.map(|command| command.name()).collect();
        Failure::Usage(format!("'{text}' is no request; these are: {}", names.join(", ")))
    })
}
