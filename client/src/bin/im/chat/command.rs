//! What a line of input means.

/// A line, understood.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Command {
    Nothing,
    Say(String),
    Message {
        name: String,
        text: String,
    },
    Group {
        name: String,
        members: Vec<String>,
    },
    Add {
        members: Vec<String>,
    },
    Leave,
    Reply {
        seq: Option<u64>,
        text: String,
    },
    React {
        seq: Option<u64>,
        reaction: String,
    },
    Edit {
        text: String,
    },
    Recall {
        seq: Option<u64>,
    },
    /// Send again what was refused.
    Retry,
    Help,
    Quit,
}

/// Shown by `/help`.
pub(crate) const HELP: [(&str, &str); 22] = [
    ("/msg @user [text]", "open a conversation, say something"),
    ("/group name user...", "create a group"),
    ("/add user...", "add members to this group"),
    ("/leave", "leave this group"),
    ("/reply [seq] text", "answer a message, or the last one"),
    ("/react [seq] emoji", "react to a message, or to the last one"),
    ("/edit [text]", "change your last message"),
    ("/recall [seq]", "take back a message, or your last one"),
    ("/retry", "send again what was refused"),
    ("//text", "say something that begins with a /"),
    ("/quit, Ctrl-C", "leave"),
    ("Tab, Up, Down", "the next or the previous conversation"),
    ("@be Tab", "the rest of a name, or after a / of a command"),
    ("Alt-Up, Alt-Down", "lines that you entered here before"),
    ("Alt-1 ... 9, Alt-A", "that one, the next with unread messages"),
    ("PageUp, PageDown, Esc", "scroll, load older ones; to the newest"),
    ("Alt-Enter, Ctrl-J", "another line in the same message"),
    ("Ctrl-W, Ctrl-U", "delete a word, delete to the start"),
    ("Ctrl-L, Ctrl-Z", "draw the screen again, stop"),
    (
        "\u{2026} \u{2713} \u{2713}\u{2713} \u{25cf}",
        "being sent, stored, delivered to all, read by all",
    ),
    ("(3) beside a name", "messages that you have not read"),
    ("any key", "the rest of this help, or back"),
];

/// Understands a line that was typed.
pub(crate) fn parse(line: &str) -> Result<Command, String> {
    let line = line.trim();
    let Some(rest) = line.strip_prefix('/') else {
        return Ok(match line {
            "" => Command::Nothing,
            text => Command::Say(text.to_owned()),
        });
    };
    if rest.starts_with('/') {
        return Ok(Command::Say(rest.to_owned()));
    }
    let (name, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let rest = rest.trim();
    let users = |text: &str| -> Vec<String> {
        let bare = |word: &str| word.strip_prefix('@').unwrap_or(word).to_owned();
        text.split_whitespace().map(bare).collect()
    };
    match name {
        "msg" | "m" => {
            let (user, text) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            let name = user.strip_prefix('@').unwrap_or(user).to_owned();
            if name.is_empty() {
                return Err("/msg @user [text]".to_owned());
            }
            let text = text.trim().to_owned();
            Ok(Command::Message { name, text })
        }
        "group" => {
            let (name, members) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            let name = name.strip_prefix('#').unwrap_or(name).to_owned();
            if name.is_empty() {
                return Err("/group name user...".to_owned());
            }
            let members = users(members);
            Ok(Command::Group { name, members })
        }
        "add" if !rest.is_empty() => Ok(Command::Add { members: users(rest) }),
        "add" => Err("/add user...".to_owned()),
        "leave" => Ok(Command::Leave),
        "retry" => Ok(Command::Retry),
        "reply" => {
            let (first, second) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            let (seq, text) = match first.parse() {
                Ok(seq) => (Some(seq), second.trim()),
                Err(_) => (None, rest),
            };
            match text {
                "" => Err("/reply [seq] text".to_owned()),
                text => Ok(Command::Reply {
                    seq,
                    text: text.to_owned(),
                }),
            }
        }
        "react" => {
            let (first, second) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            match first.parse() {
                Ok(seq) => Ok(Command::React {
                    seq: Some(seq),
                    reaction: second.trim().to_owned(),
                }),
                Err(_) => Ok(Command::React {
                    seq: None,
                    reaction: rest.to_owned(),
                }),
            }
        }
        "edit" => Ok(Command::Edit {
            text: rest.to_owned(),
        }),
        "recall" if rest.is_empty() => Ok(Command::Recall { seq: None }),
        "recall" => match rest.parse() {
            Ok(seq) => Ok(Command::Recall { seq: Some(seq) }),
            Err(_) => Err("/recall [seq]".to_owned()),
        },
        "help" | "h" | "?" => Ok(Command::Help),
        "quit" | "q" => Ok(Command::Quit),
        other => Err(format!("/{other} is no command: /help lists them")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_mean_what_the_help_says() {
        let say = |text: &str| Ok(Command::Say(text.to_owned()));
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let cases = [
            ("  ", Ok(Command::Nothing)),
            (" hi there ", say("hi there")),
            ("//usr/bin", say("/usr/bin")),
            (
                "/msg @bob how are you",
                Ok(Command::Message {
                    name: "bob".to_owned(),
                    text: "how are you".to_owned(),
                }),
            ),
            (
                "/group #team @bob carol",
                Ok(Command::Group {
                    name: "team".to_owned(),
                    members: names(&["bob", "carol"]),
                }),
            ),
            (
                "/add @bob",
                Ok(Command::Add {
                    members: names(&["bob"]),
                }),
            ),
            (
                "/react 12 :)",
                Ok(Command::React {
                    seq: Some(12),
                    reaction: ":)".to_owned(),
                }),
            ),
            (
                "/react :)",
                Ok(Command::React {
                    seq: None,
                    reaction: ":)".to_owned(),
                }),
            ),
            ("/recall", Ok(Command::Recall { seq: None })),
            (
                "/edit new text",
                Ok(Command::Edit {
                    text: "new text".to_owned(),
                }),
            ),
            (
                "/reply 12 yes",
                Ok(Command::Reply {
                    seq: Some(12),
                    text: "yes".to_owned(),
                }),
            ),
            ("/retry", Ok(Command::Retry)),
            ("/leave", Ok(Command::Leave)),
            ("/help", Ok(Command::Help)),
            ("/quit", Ok(Command::Quit)),
        ];
        for (line, command) in cases {
            assert_eq!(parse(line), command, "{line}");
        }
        for wrong in [
            "/msg",
            "/reply",
            "/reply 3",
            "/group",
            "/add",
            "/recall x",
            "/nonsense",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
