//! What people do with arguments, variables, pipes and profiles, and what they would want of it.

use std::{
    ffi::OsString,
    os::unix::ffi::OsStringExt,
    process::{Command, Stdio},
};

use super::super::Person;

/// One use: what a person does, and what they would want.
pub(super) struct Use {
    pub(super) what: &'static str,
    pub(super) arguments: &'static [&'static str],
    pub(super) variables: &'static [(&'static str, &'static str)],
    pub(super) stdin: &'static str,
    /// What else is odd about it.
    pub(super) prepare: fn(&Person, &mut Command),
    /// How it may end.
    pub(super) codes: &'static [i32],
    /// What it says, to standard output or error.
    pub(super) says: &'static str,
}

const PLAIN: Use = Use {
    what: "",
    arguments: &[],
    variables: &[],
    stdin: "",
    prepare: |_, _| {},
    codes: &[2],
    says: "",
};

const fn wrong(what: &'static str, arguments: &'static [&'static str], says: &'static str) -> Use {
    Use {
        what,
        arguments,
        says,
        ..PLAIN
    }
}

const fn ends(
    what: &'static str,
    arguments: &'static [&'static str],
    codes: &'static [i32],
    says: &'static str,
) -> Use {
    Use {
        what,
        arguments,
        codes,
        says,
        ..PLAIN
    }
}

/// A file of the profile with this in it.
fn damage(person: &Person, file: &str) {
    std::fs::write(person.profile.path().join(file), "{ this is no profile").unwrap();
}

pub(super) const USES: &[Use] = &[
    // Where the server is.
    wrong(
        "a server without a port",
        &["--server", "localhost", "whoami"],
        "the port is missing",
    ),
    wrong(
        "an IPv6 address without brackets",
        &["--server", "::1", "whoami"],
        "brackets",
    ),
    wrong(
        "the address of a web page",
        &["--server", "http://localhost:7400", "whoami"],
        "something else",
    ),
    wrong(
        "a port beyond the last one",
        &["--server", "localhost:99999", "whoami"],
        "from 1 to 65535",
    ),
    wrong(
        "port 0",
        &["--server", "localhost:0", "whoami"],
        "from 1 to 65535",
    ),
    wrong(
        "a variable that was not set, as server",
        &["--server", "", "whoami"],
        "the port is missing",
    ),
    wrong(
        "control characters in a server",
        &["--server", "\u{1b}[2Jlocalhost:1", "whoami"],
        "\\u{1b}",
    ),
    Use {
        what: "a variable with a server without a port",
        arguments: &["list"],
        variables: &[("IM_SERVER", "localhost")],
        prepare: |person, command| profile_only(person, command, &["list"]),
        says: "the port is missing",
        ..PLAIN
    },
    Use {
        what: "an empty variable, as if it was not set",
        variables: &[("IM_SERVER", ""), ("IM_PROFILE", "")],
        prepare: |person, command| profile_only(person, command, &["whoami"]),
        codes: &[0],
        says: "alice",
        ..PLAIN
    },
    ends(
        "nobody listens there",
        &["--server", "127.0.0.1:1", "send", "@bob", "x", "--timeout", "2"],
        &[3],
        "reached",
    ),
    // What is said to whom.
    wrong("a target without a sign", &["send", "bob", "hi"], "no target"),
    wrong("a sign without a name", &["send", "@", "hi"], "no target"),
    wrong("a hash without a name", &["send", "#", "hi"], "no target"),
    wrong("nothing to say", &["send", "@bob"], "TEXT"),
    ends("an empty text", &["send", "@bob", ""], &[1, 2], "body"),
    ends(
        "a text that looks like an option",
        &["send", "@bob", "--", "-v --help"],
        &[0],
        "stored",
    ),
    ends(
        "somebody who does not exist",
        &["send", "@nobody", "hi"],
        &[1],
        "NOT_FOUND",
    ),
    ends(
        "a group that does not exist",
        &["send", "#nowhere", "hi"],
        &[1],
        "none of your groups",
    ),
    ends(
        "a name with a newline in it",
        &["send", "@bo\nb", "hi"],
        &[1, 2],
        "",
    ),
    wrong(
        "an id that is none",
        &["send", "@bob", "hi", "--client-id", "zzz"],
        "client-id",
    ),
    wrong(
        "an edit that takes back",
        &["send", "@bob", "hi", "--edit", "1", "--recall", "2"],
        "cannot be used with",
    ),
    ends(
        "a reaction to what was never said",
        &["send", "@bob", ":)", "--react", "18446744073709551615"],
        &[1],
        "",
    ),
    wrong("a seq below zero", &["send", "@bob", ":)", "--react", "-1"], "-1"),
    ends(
        "no time at all",
        &["send", "@bob", "hi", "--timeout", "0"],
        &[0, 3],
        "",
    ),
    wrong("time that is no number", &["recv", "--timeout", "nan"], "timeout"),
    wrong("time without end", &["recv", "--timeout", "1e99"], "between"),
    wrong("none at all", &["recv", "--count", "0"], "count"),
    ends(
        "more than arrives",
        &["recv", "--count", "99", "--timeout", "0.5"],
        &[4],
        "arrived in time",
    ),
    // Reading.
    wrong("no messages", &["history", "@bob", "--limit", "0"], "limit"),
    wrong(
        "all messages there are",
        &["history", "@bob", "--limit", "99999999"],
        "limit",
    ),
    wrong(
        "before the beginning",
        &["history", "@bob", "--before", "0"],
        "before",
    ),
    ends(
        "before the end of time",
        &["history", "@bob", "--before", "18446744073709551615"],
        &[0, 1],
        "",
    ),
    ends("somebody never spoken to", &["history", "@carol"], &[0], ""),
    ends(
        "reading what does not exist",
        &["read", "#nowhere"],
        &[1],
        "none of your groups",
    ),
    Use {
        what: "a zone that does not exist",
        arguments: &["history", "@bob"],
        variables: &[("TZ", "Nowhere/At_All"), ("LC_ALL", "xx_YY"), ("COLUMNS", "0")],
        codes: &[0],
        says: "hello",
        ..PLAIN
    },
    Use {
        what: "output that nobody reads",
        arguments: &["history", "@bob"],
        prepare: |_, command| {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            command.stdout(writer);
        },
        codes: &[0],
        ..PLAIN
    },
    Use {
        what: "output that finds no room",
        arguments: &["history", "@bob"],
        prepare: |_, command| {
            command.stdout(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
        },
        codes: &[5],
        says: "cannot write the output",
        ..PLAIN
    },
    // Groups and requests.
    ends(
        "a group without a name",
        &["group", "create", ""],
        &[1, 2],
        "name",
    ),
    ends(
        "members for a group that does not exist",
        &["group", "add", "#nowhere", "bob"],
        &[1],
        "none of your groups",
    ),
    wrong(
        "a role that does not exist",
        &["group", "role", "#g", "bob", "king"],
        "king",
    ),
    wrong(
        "a request that does not exist",
        &["call", "dance", "{}"],
        "is no request",
    ),
    wrong(
        "a request that is no JSON",
        &["call", "find_user", "bob"],
        "find_user",
    ),
    ends(
        "a request with a misspelled field",
        &["call", "find_user", r#"{"nme":"bob"}"#],
        &[1, 2],
        "(name)",
    ),
    wrong(
        "the greeting, which is not for people",
        &["call", "hello", "{}"],
        "is no request",
    ),
    ends(
        "an error for a script",
        &["--json", "send", "@nobody", "hi"],
        &[1],
        "\"code\":\"NOT_FOUND\"",
    ),
    Use {
        what: "an argument that is no text",
        prepare: |_, command| {
            command
                .args(["send", "@bob"])
                .arg(OsString::from_vec(vec![b'a', 0xff]));
        },
        says: "UTF-8",
        ..PLAIN
    },
    // Passwords.
    Use {
        what: "no password and nobody to ask",
        arguments: &["login", "alice"],
        prepare: |_, command| {
            command.env_remove("IM_PASSWORD");
        },
        says: "IM_PASSWORD",
        ..PLAIN
    },
    Use {
        what: "an empty password",
        arguments: &["login", "alice"],
        variables: &[("IM_PASSWORD", "")],
        says: "empty",
        ..PLAIN
    },
    Use {
        what: "a password that is no text",
        arguments: &["login", "alice"],
        prepare: |_, command| {
            command.env("IM_PASSWORD", OsString::from_vec(vec![0xff; 12]));
        },
        says: "no text",
        ..PLAIN
    },
    Use {
        what: "a password that is too short",
        arguments: &["register", "dave"],
        variables: &[("IM_PASSWORD", "short")],
        codes: &[1],
        says: "password",
        ..PLAIN
    },
    // Profiles.
    Use {
        what: "nowhere to keep a profile",
        prepare: |_, command| {
            let program = command.get_program().to_owned();
            *command = Command::new(program);
            command
                .arg("whoami")
                .env_remove("HOME")
                .env_remove("XDG_DATA_HOME")
                .env_remove("IM_PROFILE")
                .stdout(Stdio::piped());
        },
        codes: &[5],
        says: "--profile",
        ..PLAIN
    },
    ends(
        "a profile that is no directory",
        &["--profile", "/dev/null", "whoami"],
        &[5],
        "/dev/null",
    ),
    ends(
        "a profile where nothing can be",
        &["--profile", "/proc/im", "whoami"],
        &[5],
        "/proc/im",
    ),
    wrong(
        "a variable that was not set, as profile",
        &["--profile", "", "whoami"],
        "--profile",
    ),
    Use {
        what: "a damaged account",
        arguments: &["whoami"],
        prepare: |person, _| damage(person, "account.json"),
        codes: &[5],
        says: "account.json",
        ..PLAIN
    },
    Use {
        what: "damaged cursors",
        arguments: &["recv", "--timeout", "1"],
        prepare: |person, _| damage(person, "sync.json"),
        codes: &[5],
        says: "sync.json",
        ..PLAIN
    },
    Use {
        what: "damaged names, which are asked for again",
        arguments: &["history", "@bob"],
        prepare: |person, _| damage(person, "names.json"),
        codes: &[0],
        says: "bob: hello",
        ..PLAIN
    },
    // The chat.
    wrong("the full screen without a terminal", &["chat"], "--linear"),
    wrong("the full screen into a pipe", &[], "--linear"),
    Use {
        what: "a chat from a pipe",
        arguments: &["chat", "--linear"],
        stdin: "/msg @bob from a pipe\nand a second line\n",
        codes: &[0],
        says: "me: and a second line",
        ..PLAIN
    },
    Use {
        what: "a chat from an empty pipe",
        arguments: &["chat", "--linear"],
        codes: &[0],
        says: "* in @bob",
        ..PLAIN
    },
    Use {
        what: "a chat with nonsense from a pipe",
        arguments: &["chat", "--linear"],
        stdin: "/nonsense\n/msg\n\u{1b}[A\u{1b}[200~never closed\n\0\u{7f}\u{9b}\n",
        codes: &[0],
        says: "/nonsense is no command",
        ..PLAIN
    },
    Use {
        what: "a chat that ends itself",
        arguments: &["chat", "--linear"],
        stdin: "/quit\nnot said any more\n",
        codes: &[0],
        ..PLAIN
    },
];

/// Without the server and the profile that the others are given on the command line.
fn profile_only(person: &Person, command: &mut Command, arguments: &[&str]) {
    let program = command.get_program().to_owned();
    let variables: Vec<_> = command
        .get_envs()
        .map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned)))
        .collect();
    *command = Command::new(program);
    for (name, value) in variables {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    command
        .arg("--profile")
        .arg(person.profile.path())
        .args(arguments)
        .stdout(Stdio::piped());
}
