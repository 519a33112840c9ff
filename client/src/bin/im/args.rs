//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use client::Pin;
use uuid::Uuid;

use crate::{friend::Friend, group::Group};

/// Chat in the terminal. Without a command: the full-screen chat.
#[derive(Debug, Parser)]
#[command(
    name = "im",
    version,
    about,
    after_help = "TARGET is @user or '#group' (quote it: the shell takes # for a comment), '#<conversation id>', \
                  or @self for your own notes. MEMBER is a user's name, with or without @.\n\n\
                  Exit codes: 0 done, 1 refused by the server, 2 wrong usage, 3 no definite outcome (unreachable or \
                  too late), 4 not enough arrived in time, 5 the profile cannot be used."
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Accepted before and after the command.
#[derive(Args, Debug)]
pub(crate) struct Common {
    /// host:port of the server, or tls://host:port; several with commas between them; otherwise IM_SERVER, or what the
    /// profile knows, or 127.0.0.1:7400
    #[arg(long, global = true, value_name = "ADDR")]
    pub(crate) server: Option<String>,
    /// With tls://: believe the authorities of this PEM file, and not the system's
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "pin")]
    pub(crate) ca: Option<PathBuf>,
    /// With tls://: believe the server that has this key, whatever its certificate says; SHA-256 in hexadecimal
    #[arg(long, global = true, value_name = "SHA256")]
    pub(crate) pin: Option<Pin>,
    /// Directory of the profile; otherwise IM_PROFILE, or $XDG_DATA_HOME/im, or ~/.local/share/im
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) profile: Option<PathBuf>,
    /// Print one JSON object per line
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create an account and log in; the password comes from the prompt or from IM_PASSWORD
    Register {
        name: String,
        /// The name that others see
        #[arg(long, default_value = "")]
        display_name: String,
    },
    /// Log in; the password comes from the prompt or from IM_PASSWORD
    Login { name: String },
    /// End this session
    Logout {
        /// End all other sessions instead
        #[arg(long)]
        others: bool,
    },
    /// Show who is logged in
    Whoami,
    /// List this account's sessions
    Devices,
    /// Send a message, and say when it is stored
    Send(Send),
    /// Print messages as they arrive, beginning with those that came since the last time
    Recv {
        /// Stop after this many messages
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
        count: Option<u64>,
        /// Stop after this many seconds
        #[arg(long, value_parser = seconds, value_name = "SECONDS")]
        timeout: Option<f64>,
    },
    /// Print the newest messages of a conversation
    History {
        target: String,
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=10_000))]
        limit: u64,
        /// Only what came before this seq
        #[arg(long, value_name = "SEQ", value_parser = clap::value_parser!(u64).range(1..))]
        before: Option<u64>,
    },
    /// List conversations, newest first, with what is unread
    List,
    /// Find people by words of their names, or by the beginnings of them
    Find {
        #[arg(required = true)]
        words: Vec<String>,
    },
    /// Show whether people are online, as far as they let you see it
    Presence {
        /// Names, with or without @
        #[arg(required = true, value_name = "USER", num_args = 1..=500)]
        users: Vec<String>,
    },
    /// Friends, and requests for friendship
    #[command(subcommand)]
    Friend(Friend),
    /// Block somebody: you two can no longer write to each other
    Block { user: String },
    /// Unblock somebody
    Unblock { user: String },
    /// List the people you block
    Blocked,
    /// Say something about a conversation to your own devices: pinned, muted, archived, unread, draft, cleared, tags, hidden
    Mark {
        target: String,
        attribute: String,
        #[arg(default_value = "")]
        value: String,
        /// Take it back
        #[arg(long, conflicts_with = "value")]
        off: bool,
    },
    /// Set an entry of your own log, such as setting/message_me or app/theme
    Set { key: String, value: String },
    /// Remove an entry of your own log
    Unset { key: String },
    /// List entries of your own log
    Entries {
        /// Only keys that begin with this
        #[arg(default_value = "")]
        prefix: String,
    },
    /// Everything about groups
    #[command(subcommand)]
    Group(Group),
    /// Mark a conversation as read
    Read { target: String },
    /// Make any request of the protocol and print the reply as JSON
    Call {
        /// Its name (find_user) or number (2002)
        #[arg(value_name = "COMMAND")]
        request: String,
        /// The request message
        #[arg(value_name = "JSON", default_value = "{}")]
        body: String,
    },
    /// The full-screen chat; where the terminal can only print lines, the same line by line
    Chat {
        /// Line by line, as a screen reader or a plain terminal wants it
        #[arg(long)]
        linear: bool,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Send {
    pub(crate) target: String,
    /// What to say; words are joined by spaces. With --react: the reaction, nothing takes it back
    #[arg(required_unless_present_any = ["recall", "react"], conflicts_with = "recall")]
    pub(crate) text: Vec<String>,
    /// Identifies this message over repetitions of the command: it is stored once
    #[arg(long, value_name = "UUID")]
    pub(crate) client_id: Option<Uuid>,
    /// Seconds after which to give up on a definite outcome
    #[arg(long, default_value = "30", value_parser = seconds, value_name = "SECONDS")]
    pub(crate) timeout: f64,
    /// The message this one answers
    #[arg(long, value_name = "SEQ", conflicts_with_all = ["edit", "recall", "react"])]
    pub(crate) reply_to: Option<u64>,
    /// Replace the text of this message
    #[arg(long, value_name = "SEQ", conflicts_with_all = ["recall", "react"])]
    pub(crate) edit: Option<u64>,
    /// Take this message back
    #[arg(long, value_name = "SEQ", conflicts_with = "react")]
    pub(crate) recall: Option<u64>,
    /// React to this message
    #[arg(long, value_name = "SEQ")]
    pub(crate) react: Option<u64>,
}

impl Command {
    /// What others are told who wait for the profile.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Register { .. } => "im register",
            Self::Login { .. } => "im login",
            Self::Logout { .. } => "im logout",
            Self::Whoami => "im whoami",
            Self::Devices => "im devices",
            Self::Send(_) => "im send",
            Self::Recv { .. } => "im recv",
            Self::History { .. } => "im history",
            Self::List => "im list",
            Self::Find { .. } => "im find",
            Self::Presence { .. } => "im presence",
            Self::Friend(_) => "im friend",
            Self::Block { .. } => "im block",
            Self::Unblock { .. } => "im unblock",
            Self::Blocked => "im blocked",
            Self::Mark { .. } => "im mark",
            Self::Set { .. } => "im set",
            Self::Unset { .. } => "im unset",
            Self::Entries { .. } => "im entries",
            Self::Group(_) => "im group",
            Self::Read { .. } => "im read",
            Self::Call { .. } => "im call",
            Self::Chat { .. } => "im chat",
        }
    }
}

/// Longest time that can be asked for: about a month.
const SECONDS_MAX: f64 = 2_600_000.0;

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=SECONDS_MAX).contains(&seconds) => Ok(seconds),
        Ok(_) => Err(format!("must be between 0 and {SECONDS_MAX}")),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn common_options_go_before_and_after_the_command() {
        for line in [
            "im --json --profile p --server s:1 send @bob hi",
            "im send --json @bob --profile p hi --server s:1",
            "im send @bob hi --json --profile p --server s:1",
        ] {
            let arguments = Arguments::try_parse_from(line.split(' ')).unwrap();
            assert!(arguments.common.json, "{line}");
            assert_eq!(arguments.common.server.as_deref(), Some("s:1"));
            assert_eq!(arguments.common.profile, Some(PathBuf::from("p")));
            let Some(Command::Send(send)) = arguments.command else {
                panic!("{line}");
            };
            assert_eq!(send.text, ["hi"]);
        }
    }

    #[test]
    fn every_command_can_be_written() {
        for line in [
            "im register anna --display-name Anna",
            "im login anna",
            "im logout --others",
            "im whoami",
            "im devices",
            "im send @bob hi --reply-to 3 --timeout 2.5",
            "im recv --count 3 --timeout 2",
            "im history #team --limit 5 --before 7",
            "im list",
            "im group leave team",
            "im read @bob",
            "im call find_user {}",
            "im call ping",
            "im chat",
            "im chat --linear",
        ] {
            let words = line.split(' ').chain(["--json"]);
            let arguments = Arguments::try_parse_from(words).unwrap();
            assert!(arguments.common.json && arguments.command.is_some(), "{line}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "im send @bob",
            "im send @bob hi --recall 3",
            "im send @bob hi --edit 3 --react 4",
            "im recv --count 0",
            "im recv --timeout -1",
            "im recv --timeout nan",
            "im send @bob hi --client-id 12",
        ] {
            assert!(Arguments::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
        for line in [
            "im",
            "im send @bob --recall 3",
            "im send @bob --react 3",
            "im recv --timeout 0.5",
        ] {
            assert!(Arguments::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
    }
}
