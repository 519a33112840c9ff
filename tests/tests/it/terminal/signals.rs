//! However the program ends or stops, the terminal is as it was.

use rustix::process::Signal;
use tests::harness::Daemon;

use super::{Person, pane::Pane};

fn someone(daemon: &Daemon) -> Person {
    let alice = Person::registered(daemon, "alice");
    alice.ok(&["send", "@self", "a note"]);
    alice
}

#[test]
fn a_signal_that_ends_it_gives_the_terminal_back() {
    let daemon = Daemon::start();
    let alice = someone(&daemon);
    for (signal, code) in [
        (Signal::TERM, 143),
        (Signal::INT, 130),
        (Signal::HUP, 129),
        (Signal::QUIT, 131),
    ] {
        let pane = Pane::chat(&alice, 80, 24);
        pane.until_shows("a note");
        assert!(!pane.is_given_back(), "the full screen takes the terminal");
        pane.signal(signal);
        pane.until_shows(&format!("ended with {code}"));
        pane.until_given_back();
        pane.types("still here");
        pane.press(&["Enter"]);
        pane.until_shows("shell read still here");
    }
}

#[test]
fn stopped_it_gives_the_terminal_back_and_takes_it_again() {
    let daemon = Daemon::start();
    let alice = someone(&daemon);
    let pane = Pane::chat(&alice, 80, 24);
    pane.until_shows("a note");
    pane.types("half a line");
    pane.until_shows("> half a line");
    for round in 0..2 {
        if round == 0 {
            pane.signal(Signal::TSTP);
        } else {
            pane.press(&["C-z"]);
        }
        pane.until_given_back();
        pane.signal(Signal::CONT);
        pane.until_shows("> half a line");
        pane.until_shows("a note");
        assert!(!pane.is_given_back());
    }
    pane.press(&["C-u"]);
    pane.types("/quit");
    pane.press(&["Enter"]);
    pane.until_shows("ended with 0");
    pane.until_given_back();
}

#[test]
fn a_prompt_for_a_password_gives_the_terminal_back() {
    let daemon = Daemon::start();
    let alice = Person::at(&daemon.address().to_string());
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129)] {
        let pane = Pane::run(&alice, &["register", "alice"], 80, 24, &[]);
        pane.until_shows("New password:");
        pane.types("secret");
        pane.press(&["Enter"]);
        // What is typed has been read by now: nothing of it comes when the terminal shows again what is typed.
        pane.until_shows("Once more:");
        assert!(!pane.is_given_back());
        pane.signal(signal);
        pane.until_shows(&format!("ended with {code}"));
        pane.until_given_back();
        assert!(!pane.everything().contains("secret"));
    }
    let pane = Pane::run(&alice, &["register", "alice"], 80, 24, &[]);
    pane.until_shows("New password:");
    pane.types("correct horse");
    pane.press(&["Enter"]);
    pane.until_shows("Once more:");
    pane.types("correct horse");
    pane.press(&["Enter"]);
    pane.until_shows("logged in as alice");
    pane.until_shows("ended with 0");
    pane.until_given_back();
    let pane = Pane::run(&alice, &["login", "alice"], 80, 24, &[]);
    pane.until_shows("Password:");
    pane.press(&["C-c"]);
    pane.until_shows("ended with 130");
    pane.until_given_back();
}
