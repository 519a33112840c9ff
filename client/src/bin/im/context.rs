//! What every command starts from: the profile, the server, a connection.

use std::{path::PathBuf, time::Duration};

use client::{Client, Error, Events, Options, link::Identity, store::Profile};
use protocol::{Reply, Request, v1};

use crate::{args::Common, failure::Failure, output::Output};

/// Where a server is looked for when nobody says.
const SERVER_DEFAULT: &str = "127.0.0.1:7400";
/// How long a command waits for another one to let go of the profile.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);
/// One call.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// An open profile and how to print.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) profile: Profile,
    pub(crate) output: Output,
    pub(crate) server: String,
}

impl Context {
    pub(crate) fn open(common: &Common, output: Output, holder: &str) -> Result<Self, Failure> {
        let directory = common.profile.clone().map_or_else(default_directory, Ok)?;
        let profile = Profile::open(&directory, holder, LOCK_PATIENCE)?;
        let known = profile.account().server.as_deref();
        let server = common.server.as_deref().or(known).unwrap_or(SERVER_DEFAULT);
        let server = server.to_owned();
        Ok(Self {
            profile,
            output,
            server,
        })
    }

    /// The user's id and name.
    pub(crate) fn me(&self) -> Result<(u64, String), Failure> {
        let session = self
            .profile
            .account()
            .session
            .as_ref()
            .ok_or(Error::NotLoggedIn)?;
        Ok((session.user_id, session.name.clone()))
    }

    /// A client that resumes the profile's session.
    pub(crate) fn resume(&self) -> Result<(Client, Events), Failure> {
        let session = self
            .profile
            .account()
            .session
            .as_ref()
            .ok_or(Error::NotLoggedIn)?;
        self.connect(Some(session.token.clone()))
    }

    /// A client that resumes the session and has no use for pushes.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        self.resume().map(|(client, _)| client)
    }

    /// A client with this session, or without one.
    pub(crate) fn connect(&self, token: Option<String>) -> Result<(Client, Events), Failure> {
        let device = v1::Device {
            device_id: self.profile.account().device_id.clone(),
            class: v1::DeviceClass::Desktop.into(),
            name: "im in a terminal".to_owned(),
        };
        let identity = Identity {
            device,
            program: concat!("im ", env!("CARGO_PKG_VERSION")).to_owned(),
            token,
        };
        let server = self.server.clone();
        Ok(Client::connect(Options { server, identity })?)
    }
}

/// Calls and takes the reply apart; another reply than the expected one cannot come.
pub(crate) fn call<T>(
    client: &Client,
    request: Request,
    take: impl FnOnce(Reply) -> Option<T>,
) -> Result<T, Failure> {
    let reply = client.call(request, CALL_TIMEOUT)?;
    expect(reply, take)
}

/// The expected reply, taken apart.
pub(crate) fn expect<T>(reply: Reply, take: impl FnOnce(Reply) -> Option<T>) -> Result<T, Failure> {
    let name = reply.command().name();
    take(reply).ok_or_else(|| Error::Protocol(format!("an unexpected answer: {name}")).into())
}

fn default_directory() -> Result<PathBuf, Failure> {
    let from = |variable: &str| std::env::var_os(variable).filter(|value| !value.is_empty());
    if let Some(data) = from("XDG_DATA_HOME") {
        return Ok(PathBuf::from(data).join("im"));
    }
    let home =
        from("HOME").ok_or_else(|| Failure::Profile("no home directory: give --profile".to_owned()))?;
    Ok(PathBuf::from(home).join(".local/share/im"))
}
