//! Owns what the proxy does to connections, and the commands that change it. Must never act: it only says.

use std::num::NonZeroU64;
use std::time::Duration;

/// What is wrong with the network at the moment; by default nothing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Faults {
    /// Everything, the end included, arrives so much later.
    pub(crate) delay: Duration,
    /// Bytes per second and direction of a connection.
    pub(crate) throttle: Option<NonZeroU64>,
    /// A connection is cut when so many bytes have gone one way.
    pub(crate) cut_after: Option<u64>,
    /// Nothing arrives. Nothing is lost either: as with a cable that is put back, it goes on when this ends.
    pub(crate) black_hole: bool,
}

/// What a line on standard input asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Command {
    /// From now on this is wrong.
    Faults(Faults),
    /// Every connection ends now, without a farewell.
    Cut,
    /// Nothing changes.
    Status,
}

/// A line that is no command.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "expected `delay MS`, `throttle BYTES_PER_S`, `cut-after BYTES`, `black-hole on|off`, `cut`, `clear` or `status`"
)]
pub(crate) struct NoCommand;

impl Command {
    /// What `line` asks for while `now` is wrong.
    pub(crate) fn parse(line: &str, now: Faults) -> Result<Self, NoCommand> {
        let mut words = line.split_ascii_whitespace();
        let (verb, argument) = (words.next().ok_or(NoCommand)?, words.next());
        if words.next().is_some() {
            return Err(NoCommand);
        }
        let changed = match (verb, argument) {
            ("cut", None) => return Ok(Self::Cut),
            ("status", None) => return Ok(Self::Status),
            ("clear", None) => Faults::default(),
            ("delay", Some(millis)) => Faults {
                delay: Duration::from_millis(number(millis)?),
                ..now
            },
            ("throttle", Some(rate)) => Faults {
                throttle: Some(rate.parse().map_err(|_| NoCommand)?),
                ..now
            },
            ("cut-after", Some(bytes)) => Faults {
                cut_after: Some(number(bytes)?),
                ..now
            },
            ("black-hole", Some(state @ ("on" | "off"))) => Faults {
                black_hole: state == "on",
                ..now
            },
            _ => return Err(NoCommand),
        };
        Ok(Self::Faults(changed))
    }
}

fn number(text: &str) -> Result<u64, NoCommand> {
    text.parse().map_err(|_| NoCommand)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_changes_what_it_names_and_nothing_else() {
        let mut now = Faults::default();
        for line in ["delay 100", "throttle 1000", "cut-after 5", " black-hole  on "] {
            now = match Command::parse(line, now) {
                Ok(Command::Faults(changed)) => changed,
                other => panic!("{line}: {other:?}"),
            };
        }
        let all = Faults {
            delay: Duration::from_millis(100),
            throttle: NonZeroU64::new(1000),
            cut_after: Some(5),
            black_hole: true,
        };
        assert_eq!(now, all);
        assert_eq!(
            Command::parse("clear", all),
            Ok(Command::Faults(Faults::default()))
        );
        assert_eq!(Command::parse("cut", all), Ok(Command::Cut));
        assert_eq!(Command::parse("status", all), Ok(Command::Status));
        let without_hole = Faults {
            black_hole: false,
            ..all
        };
        assert_eq!(
            Command::parse("black-hole off", all),
            Ok(Command::Faults(without_hole))
        );
    }

    #[test]
    fn what_is_no_command_is_refused() {
        for line in [
            "",
            "delay",
            "delay x",
            "delay -1",
            "throttle 0",
            "cut 1",
            "black-hole",
            "black-hole 1",
            "delay 1 2",
        ] {
            assert_eq!(Command::parse(line, Faults::default()), Err(NoCommand), "{line}");
        }
    }
}
