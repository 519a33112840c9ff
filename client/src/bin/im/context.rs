//! What every command starts from: the profile, the server, a connection.

use std::{path::PathBuf, time::Duration};

use client::{Client, Error, Events, Options, ServerAddress, Trust, link::Identity, store::Profile};
use protocol::{Call, v1};

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
    pub(crate) trust: Trust,
}

impl Context {
    pub(crate) fn open(common: &Common, output: Output, holder: &str) -> Result<Self, Failure> {
        let given = match (&common.server, std::env::var("IM_SERVER")) {
            (Some(server), _) => Some(server.clone()),
            (None, Ok(server)) if !server.is_empty() => Some(server),
            (None, Err(std::env::VarError::NotUnicode(_))) => {
                return Err(Failure::Usage("IM_SERVER is no text".to_owned()));
            }
            (None, _) => None,
        };
        if let Some(server) = &given {
            check_server(server)?;
        }
        let directory = match &common.profile {
            Some(directory) if directory.as_os_str().is_empty() => {
                return Err(Failure::Usage("--profile is empty: name a directory".to_owned()));
            }
            Some(directory) => directory.clone(),
            None => default_directory()?,
        };
        let profile = Profile::open(&directory, holder, LOCK_PATIENCE)?;
        let known = profile.account().server.as_deref();
        let server = given.as_deref().or(known).unwrap_or(SERVER_DEFAULT);
        let server = server.to_owned();
        let trust = trust(common, &profile, &server)?;
        Ok(Self {
            profile,
            output,
            server,
            trust,
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
        Ok(Client::connect(Options {
            server: self.server.clone(),
            trust: self.trust.clone(),
            identity,
        })?)
    }
}

/// What an answer to this request always has.
pub(crate) fn expect<C: Call, T>(part: Option<T>) -> Result<T, Failure> {
    let name = C::COMMAND.name();
    part.ok_or_else(|| Error::Protocol(format!("an unexpected answer: {name}")).into())
}

/// What is no server, before anything is asked of a network.
fn check_server(servers: &str) -> Result<(), Failure> {
    let form = "write host:port, as in 127.0.0.1:7400, or tls://host:port";
    match ServerAddress::parse_list(servers) {
        Ok(_) => Ok(()),
        Err(why) => Err(Failure::Usage(format!("{}; {form}", crate::text::line(&why)))),
    }
}

/// What is said of the server's certificate; else what the profile knows, if it is of the same server.
fn trust(common: &Common, profile: &Profile, server: &str) -> Result<Trust, Failure> {
    if let Some(pin) = common.pin {
        return Ok(Trust::Pin(pin));
    }
    if let Some(path) = &common.ca {
        // It is kept, and must be found from elsewhere.
        let path = std::path::absolute(path).map_err(|error| Failure::Usage(format!("--ca: {error}")))?;
        return Ok(Trust::Authorities(path));
    }
    let account = profile.account();
    let known = account
        .trust
        .as_ref()
        .filter(|_| account.server.as_deref() == Some(server));
    let damaged =
        || Failure::Profile("account.json has a pin that is none: log in again with --pin".to_owned());
    known.map_or(Ok(Trust::System), |known| known.read().ok_or_else(damaged))
}

fn default_directory() -> Result<PathBuf, Failure> {
    let from = |variable: &str| std::env::var_os(variable).filter(|value| !value.is_empty());
    if let Some(profile) = from("IM_PROFILE") {
        return Ok(PathBuf::from(profile));
    }
    if let Some(data) = from("XDG_DATA_HOME") {
        return Ok(PathBuf::from(data).join("im"));
    }
    let home =
        from("HOME").ok_or_else(|| Failure::Profile("no home directory: give --profile".to_owned()))?;
    Ok(PathBuf::from(home).join(".local/share/im"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_host_and_a_port() {
        for right in [
            "localhost:7400",
            "127.0.0.1:1",
            "[::1]:65535",
            "im.example.org:7400",
            "tls://im.example.org:7400",
            "a:1,tls://b:2",
        ] {
            assert!(check_server(right).is_ok(), "{right}");
        }
        for wrong in [
            "",
            "localhost",
            "localhost:",
            ":7400",
            "localhost:0",
            "localhost:65536",
            "localhost:+1",
            "::1",
            "::1:7400",
            "http://localhost:7400",
            "localhost:7400/",
            "local host:7400",
            "localhost:im",
        ] {
            assert!(matches!(check_server(wrong), Err(Failure::Usage(_))), "{wrong}");
        }
    }
}
