//! What is known of each command without its body: number, name, domain, kind, who may.

use crate::{
    call::{AppendCommand, Call},
    table::table,
    v1,
};

/// What a request does, and so how it is worked on.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Kind {
    /// Opens a session. Good only on a connection that has none.
    Open,
    /// Appends one event to a conversation's log and is answered with a [`v1::SendResponse`]. It has a client id, so
    /// a repetition gets the first answer.
    Append,
    /// Changes something else that is stored: a profile, sessions, cursors. Done twice it is as done once.
    Write,
    /// Reads what is stored and changes nothing.
    Ask,
    /// Neither reads nor changes what is stored.
    Local,
}

/// Who may make a request.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Access {
    /// Whoever is connected, authenticated or not.
    Anyone,
    /// A user: the connection is authenticated.
    User,
    /// A user who is an administrator of the server.
    Admin,
}

/// A number that names no command of this version.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("unknown command {0}")]
pub struct UnknownCommand(pub u16);

macro_rules! commands {
    ($(
        $(#[doc = $domain_doc:literal])* $domain:ident = $first:literal {
            requests { $(
                $(#[doc = $doc:literal])* $name:ident = $number:literal, $text:literal:
                $request:ident => $response:ident, $kind:ident, $access:ident;
            )* }
            pushes { $($(#[doc = $push_doc:literal])* $push:ident = $push_number:literal, $push_text:literal: $message:ident;)* }
        }
    )*) => {
        /// The range a command's number is in.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub enum Domain { $($(#[doc = $domain_doc])* $domain = $first,)* }

        impl Domain {
            /// The first number of the range, which has 1,000.
            pub const fn first(self) -> u16 { self as u16 }

            /// All of them, by number.
            pub const ALL: &[Self] = &[$(Self::$domain,)*];

            /// What is in it, in a few words, as the table says.
            pub fn summary(self) -> &'static str {
                match self { $(Self::$domain => concat!($($domain_doc),*).trim(),)* }
            }
        }

        /// Everything a frame's type can name. Numbers are stable.
        ///
        /// Match on it without a default arm: a new command then does not compile where it is forgotten.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub enum Command {
            $(
                $($(#[doc = $doc])* $name = $number,)*
                $($(#[doc = $push_doc])* $push = $push_number,)*
            )*
        }

        impl Command {
            /// All of them, by number.
            pub const ALL: &[Self] = &[$($(Self::$name,)* $(Self::$push,)*)*];

            /// Its place in [`ALL`](Self::ALL), for tables with a row for each.
            pub const fn index(self) -> usize {
                enum Place { $($($name,)* $($push,)*)* }
                match self { $($(Self::$name => Place::$name as usize,)* $(Self::$push => Place::$push as usize,)*)* }
            }

            /// The number in the header.
            pub const fn number(self) -> u16 { self as u16 }

            /// The command of a number.
            ///
            /// # Errors
            /// The number names no command of this version.
            pub const fn from_number(number: u16) -> Result<Self, UnknownCommand> {
                match number {
                    $($($number => Ok(Self::$name),)* $($push_number => Ok(Self::$push),)*)*
                    _ => Err(UnknownCommand(number)),
                }
            }

            /// Its name for scripts, paths and logs, as in `find_user`.
            pub const fn name(self) -> &'static str {
                match self { $($(Self::$name => $text,)* $(Self::$push => $push_text,)*)* }
            }

            /// What it is for, in a sentence, as the table says.
            pub fn summary(self) -> &'static str {
                match self {
                    $(
                        $(Self::$name => concat!($($doc),*).trim(),)*
                        $(Self::$push => concat!($($push_doc),*).trim(),)*
                    )*
                }
            }

            /// Whether it can be called by itself, without a connection that it belongs to: as `POST /v1/call/NAME`.
            pub const fn is_callable(self) -> bool {
                match self.kind() {
                    None => false,
                    // What these do, they do to their connection.
                    Some(_) => !matches!(self, Self::Hello | Self::Ping | Self::WatchPresence | Self::SetAway),
                }
            }

            /// The command of a name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($($text => Some(Self::$name),)* $($push_text => Some(Self::$push),)*)*
                    _ => None,
                }
            }

            /// The range its number is in.
            pub const fn domain(self) -> Domain {
                match self { $($(Self::$name => Domain::$domain,)* $(Self::$push => Domain::$domain,)*)* }
            }

            /// What it does; `None` for a push, which only the server starts: from a client it is a protocol error.
            pub const fn kind(self) -> Option<Kind> {
                match self { $($(Self::$name => Some(Kind::$kind),)* $(Self::$push => None,)*)* }
            }

            /// Who may ask for it; `None` for a push.
            pub const fn access(self) -> Option<Access> {
                match self { $($(Self::$name => Some(Access::$access),)* $(Self::$push => None,)*)* }
            }

            /// The schema's message in a request or push.
            pub const fn message(self) -> &'static str {
                match self { $($(Self::$name => stringify!($request),)* $(Self::$push => stringify!($message),)*)* }
            }

            /// The schema's message in the answer; `None` for a push.
            pub const fn response(self) -> Option<&'static str> {
                match self { $($(Self::$name => Some(stringify!($response)),)* $(Self::$push => None,)*)* }
            }

            /// This command as one that appends, if it is.
            pub const fn as_append(self) -> Option<AppendCommand> {
                match self {
                    $(
                        $(Self::$name => as_append!($kind $request),)*
                        $(Self::$push => None,)*
                    )*
                }
            }
        }

        $($(
            impl Call for v1::$request {
                type Response = v1::$response;

                const COMMAND: Command = Command::$name;

                fn into_request(self) -> crate::Request {
                    crate::Request::$name(self)
                }

                fn reply(response: Self::Response) -> crate::Reply {
                    crate::Reply::$name(response)
                }

                fn response(reply: crate::Reply) -> Result<Self::Response, Box<crate::Reply>> {
                    if let crate::Reply::$name(response) = reply {
                        Ok(response)
                    } else {
                        Err(Box::new(reply))
                    }
                }
            }
        )*)*
    };
}

/// A row of kind `Append` whose answer is no [`v1::SendResponse`] does not compile.
macro_rules! as_append {
    (Append $request:ident) => {
        Some(AppendCommand::of::<v1::$request>())
    };
    ($other:ident $request:ident) => {
        None
    };
}

table!(commands);

impl Command {
    /// Those that a client may ask for, by number.
    pub fn requests() -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(|command| !command.is_push())
    }

    /// Those that only the server starts, by number.
    pub fn pushes() -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(|command| command.is_push())
    }

    /// Only the server starts it: from a client it is a protocol error.
    pub const fn is_push(self) -> bool {
        self.kind().is_none()
    }

    /// A connection may ask for it before it is authenticated.
    pub const fn is_for_anyone(self) -> bool {
        matches!(self.access(), Some(Access::Anyone))
    }
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
