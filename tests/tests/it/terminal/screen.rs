//! The full screen: what is drawn, typed, pasted, scrolled, and counted.

use tests::harness::{Daemon, Setup};

use super::{Person, pane::Pane, until};

/// What people write with more than letters.
const WORDS: [&str; 6] = [
    "\u{4f60}\u{597d}\u{ff0c}\u{4e16}\u{754c}",
    "\u{5e9}\u{5dc}\u{5d5}\u{5dd} \u{5e2}\u{5d5}\u{5dc}\u{5dd}",
    "\u{645}\u{631}\u{62d}\u{628}\u{627} \u{628}\u{627}\u{644}\u{639}\u{627}\u{644}\u{645}",
    "\u{1f680} to the \u{1f319}",
    "na\u{ef}ve caf\u{e9}",
    "\u{3053}\u{3093}\u{306b}\u{3061}\u{306f}",
];

/// Columns up to the bar that stands in front of what is said.
fn column_of_bar(line: &str, list: bool) -> Option<usize> {
    use std::iter::successors;
    let bars = successors(line.find('\u{2502}'), |at| {
        line[at + 3..].find('\u{2502}').map(|next| at + 3 + next)
    });
    let at = bars.into_iter().nth(usize::from(list))?;
    Some(line[..at].chars().count())
}

#[test]
fn messages_of_all_scripts_are_shown_at_every_width() {
    let daemon = Daemon::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Person::registered(&daemon, name));
    for words in WORDS {
        bob.ok(&["send", "@alice", words]);
    }
    let pane = Pane::chat(&alice, 80, 24);
    for (columns, lines) in [(80, 24), (40, 20), (200, 50)] {
        pane.resize(columns, lines);
        let screen = pane.until("all of them", |screen| {
            let room = screen.join("\n");
            let status = screen.last().is_some_and(|line| line.contains("online"));
            let has_list = screen.iter().any(|line| line.starts_with("1 @bob"));
            WORDS.iter().all(|words| room.contains(words))
                && status
                && screen.len() == usize::from(lines)
                && has_list == (columns >= 60)
        });
        let said = screen
            .iter()
            .filter(|line| WORDS.iter().any(|words| line.contains(words)));
        let bars: Vec<_> = said.map(|line| column_of_bar(line, columns >= 60)).collect();
        assert!(
            bars.len() == WORDS.len() && bars.iter().all(|bar| *bar == bars[0]),
            "{bars:?}: {screen:#?}"
        );
        assert!(
            screen.iter().any(|line| line.contains("(UTC+05:45)")),
            "{screen:#?}"
        );
    }
}

#[test]
fn what_is_typed_goes_and_comes_as_people_see_it() {
    let daemon = Daemon::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Person::registered(&daemon, name));
    bob.ok(&["send", "@alice", "hello"]);
    let pane = Pane::chat(&alice, 80, 24);
    pane.until_shows("hello");
    let family = "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}";
    pane.types(&format!("{family}\u{1f1e9}\u{1f1ea}\u{2764}\u{fe0f}\u{4f60}"));
    pane.press(&["BSpace", "BSpace", "BSpace"]);
    pane.types("!");
    pane.press(&["Enter"]);
    pane.until_shows("\u{2713}");
    let received = bob.json(&["recv", "--count", "1", "--timeout", "20"]);
    assert_eq!(received[0]["text"], format!("{family}!"));
}

#[test]
fn tab_completes_words_and_entered_lines_come_back() {
    let daemon = Daemon::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Person::registered(&daemon, name));
    bob.ok(&["send", "@alice", "hello"]);
    let pane = Pane::chat(&alice, 80, 24);
    pane.until_shows("hello");
    pane.types("hi @bo");
    pane.press(&["Tab"]);
    pane.types("again");
    pane.press(&["Enter"]);
    pane.until_shows("\u{2713}");
    let received = bob.json(&["recv", "--count", "1", "--timeout", "20"]);
    assert_eq!(received[0]["text"], "hi @bob again");
    pane.press(&["M-Up"]);
    pane.until("the line that was entered", |screen| {
        screen
            .iter()
            .filter(|line| line.contains("hi @bob again"))
            .count()
            == 2
    });
    pane.press(&["M-Down"]);
    pane.types("/rep");
    pane.press(&["Tab"]);
    pane.types("yes");
    pane.until_shows("/reply yes");
    pane.press(&["Enter"]);
    let reply = bob.json(&["recv", "--count", "1", "--timeout", "20"]);
    assert_eq!(reply[0]["text"], "yes", "{reply:?}");
    // With nothing to complete it is the key for the next conversation, as ever.
    pane.press(&["Tab"]);
    pane.until("an empty line", |screen| {
        !screen.iter().any(|line| line.contains("/reply"))
    });
}

#[test]
fn a_paste_is_one_text_and_nothing_in_it_is_obeyed() {
    let daemon = Setup::config("[limits]\ntext_bytes = 20000\n").start();
    let [alice, bob] = ["alice", "bob"].map(|name| Person::registered(&daemon, name));
    alice.ok(&["group", "create", "team", "bob"]);
    let pane = Pane::chat(&alice, 80, 24);
    pane.until_shows("created team");
    let pasted = format!("look:\n/leave\n/quit\n{}\nend", "\u{4f60}x".repeat(2_500));
    pane.pastes(&pasted);
    pane.until_shows("end");
    pane.press(&["Enter"]);
    let received = bob.json(&["recv", "--count", "1", "--timeout", "20"]);
    assert_eq!(received[0]["text"], pasted.as_str());
    assert_eq!(alice_is_member(&bob), 2);

    // A command alone is text as well.
    pane.pastes("/leave");
    pane.until_shows("> /leave");
    pane.press(&["Enter"]);
    let received = bob.json(&["recv", "--count", "1", "--timeout", "20"]);
    assert_eq!(received[0]["text"], "/leave");
    assert_eq!(alice_is_member(&bob), 2);

    // What is refused is back in the line, and what does not fit is refused before.
    let long = format!("{}the end", "x".repeat(30_000));
    pane.pastes(&long);
    pane.until_shows("the end");
    pane.press(&["Enter"]);
    pane.until_shows("not sent:");
    pane.until("the text", |screen| {
        screen
            .iter()
            .any(|line| line.starts_with("> ") && line.contains("the end"))
    });
    pane.press(&["C-u"]);
    pane.types("kept");
    pane.pastes(&"y".repeat(70_000));
    pane.until_shows("not pasted: 70000 bytes");
    pane.until_shows("> kept");
}

fn alice_is_member(person: &Person) -> usize {
    person.json(&["group", "members", "#team"]).len()
}

#[test]
fn a_draft_stays_where_it_was_written() {
    let daemon = Daemon::start();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| Person::registered(&daemon, name));
    bob.ok(&["send", "@alice", "it is bob"]);
    carol.ok(&["send", "@alice", "it is carol"]);
    let pane = Pane::chat(&alice, 80, 24);
    pane.until_shows("it is carol");
    pane.types("for carol");
    pane.until_shows("> for carol");
    pane.press(&["Tab"]);
    pane.until_shows("it is bob");
    pane.until_hides("> for carol");
    pane.types("for bob");
    pane.press(&["Enter"]);
    let received = bob.json(&["recv", "--count", "1", "--timeout", "20"]);
    assert_eq!(received[0]["text"], "for bob");
    pane.press(&["Tab"]);
    pane.until_shows("> for carol");
}

#[test]
fn badges_follow_what_is_read_elsewhere_and_who_is_a_member() {
    let daemon = Daemon::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Person::registered(&daemon, name));
    let phone = alice.elsewhere("alice");
    bob.ok(&["group", "create", "team", "alice"]);
    bob.ok(&["send", "@alice", "look here"]);
    let pane = Pane::chat(&alice, 80, 24);
    pane.until_shows("look here");
    let badge = |badge: &str| {
        let badge = badge.to_owned();
        pane.until(&format!("#team with {badge:?}"), move |screen| {
            let row = screen.iter().find(|line| line.contains("#team"));
            let row = row.and_then(|row| row.split('\u{2502}').next());
            row.is_some_and(|row| row.trim_end().ends_with(&badge))
        });
    };
    // The view stays on bob: whoever writes last is on top, and is not opened by it.
    for text in ["one", "two", "three"] {
        bob.ok(&["send", "#team", text]);
    }
    badge("(3)");
    phone.ok(&["read", "#team"]);
    badge("#team");
    bob.ok(&["send", "#team", "four"]);
    badge("(1)");
    bob.ok(&["group", "remove", "#team", "alice"]);
    for number in 0..10 {
        bob.ok(&["send", "#team", &format!("not for alice {number}")]);
    }
    bob.ok(&["group", "rename", "#team", "crew"]);
    bob.ok(&["group", "add", "#crew", "alice"]);
    bob.ok(&["send", "#crew", "welcome back"]);
    // What was said before one came back is not unread.
    for (count, badge) in [(1, "(1)"), (2, "(2)")] {
        pane.until(badge, |screen| {
            screen
                .iter()
                .any(|line| line.contains("#crew") && line.contains(badge))
        });
        assert_eq!(phone.unread("#crew").0, count);
        bob.ok(&["send", "#crew", "and again"]);
    }
}

#[test]
fn scrolling_stays_in_place_and_only_what_is_seen_is_read() {
    let daemon = Daemon::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Person::registered(&daemon, name));
    let phone = alice.elsewhere("alice");
    for number in 1..=60 {
        bob.ok(&["send", "@alice", &format!("message {number}.")]);
    }
    let pane = Pane::chat(&alice, 80, 24);
    // It opens at the first one that was not read.
    pane.until_shows("message 1.");
    pane.until_hides("message 40.");
    until("a part to be read", || phone.unread("@bob").1 > 0);
    let (unread, read) = phone.unread("@bob");
    assert!(read < 25 && unread == 60 - read, "{read} read, {unread} unread");
    pane.press(&["Escape"]);
    pane.until_shows("message 60.");
    until("all of it to be read", || phone.unread("@bob") == (0, 60));

    pane.press(&["PageUp"]);
    pane.until_hides("message 60.");
    let before = pane.until_shows("message 45.");
    bob.ok(&["send", "@alice", "message 61."]);
    bob.ok(&["send", "@alice", "message 62."]);
    let after = pane.until_shows("(2)");
    assert_eq!(
        before[1..20].iter().map(|line| &line[20..]).collect::<Vec<_>>(),
        after[1..20].iter().map(|line| &line[20..]).collect::<Vec<_>>()
    );
    assert_eq!(phone.unread("@bob"), (2, 60));
    pane.press(&["Escape"]);
    until("all of it to be read", || phone.unread("@bob") == (0, 62));

    // Without the focus nothing is read.
    pane.sends(b"\x1b[O");
    bob.ok(&["send", "@alice", "message 63."]);
    pane.until_shows("message 63.");
    pane.until_shows("(1)");
    assert_eq!(phone.unread("@bob"), (1, 62));
    pane.sends(b"\x1b[I");
    until("the rest to be read", || phone.unread("@bob") == (0, 63));
}

#[test]
fn colours_are_none_where_none_are_wanted_and_readable_where_they_are() {
    let daemon = Daemon::start();
    let people = ["alice", "bob", "carol", "dave"].map(|name| Person::registered(&daemon, name));
    let [alice, others @ ..] = &people;
    alice.ok(&["group", "create", "team", "bob", "carol", "dave"]);
    for person in others {
        person.ok(&["send", "#team", "hello"]);
    }
    let colours = |painted: &str| -> Vec<String> {
        let sequences = painted
            .split("\u{1b}[")
            .skip(1)
            .filter_map(|rest| rest.split_once('m'));
        let colour = |numbers: &str| {
            // In either notation of the sixteen that every terminal has in its own shades.
            let mut each = numbers
                .split(';')
                .map(|number| number.parse::<u32>().unwrap_or(0));
            match numbers.split_once("38;5;") {
                Some((_, index)) => Some(index.to_owned()),
                None => each
                    .find(|number| (30..39).contains(number) || *number == 48 || *number >= 90)
                    .map(|number| (number - 30).to_string()),
            }
        };
        sequences.filter_map(|(numbers, _)| colour(numbers)).collect()
    };
    let pane = Pane::chat(alice, 80, 24);
    pane.until("all of them", |screen| {
        screen.iter().filter(|line| line.contains("hello")).count() == 3
    });
    let used = colours(&pane.painted());
    // Red and magenta are the ones that a light and a dark ground both leave readable.
    assert!(
        !used.is_empty() && used.iter().all(|colour| colour == "1" || colour == "5"),
        "{used:?}"
    );
    drop(pane);
    let pane = Pane::run(alice, &[], 80, 24, &[("NO_COLOR", "1")]);
    pane.until("all of them", |screen| {
        screen.iter().filter(|line| line.contains("hello")).count() == 3
    });
    assert_eq!(colours(&pane.painted()), [] as [&str; 0]);
}

#[test]
fn line_by_line_it_is_a_chat_for_a_screen_reader() {
    let daemon = Daemon::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Person::registered(&daemon, name));
    bob.ok(&["send", "@alice", "before"]);
    for (arguments, variables) in [(&["chat", "--linear"][..], &[][..]), (&[], &[("TERM", "dumb")])] {
        let pane = Pane::run(&alice, arguments, 80, 24, variables);
        pane.until_shows("* in @bob");
        pane.until_shows("bob: before");
        assert!(pane.is_given_back(), "it is a plain terminal all the time");
        bob.ok(&["send", "@alice", "while it runs"]);
        pane.until_shows("@bob  bob: while it runs");
        pane.types("an answer");
        pane.press(&["Enter"]);
        pane.until_shows("@bob  me: an answer");
        assert_eq!(
            bob.json(&["recv", "--count", "1", "--timeout", "20"])[0]["text"],
            "an answer"
        );
        pane.pastes("/quit\nis only text");
        pane.press(&["Enter"]);
        pane.until_shows("me: /quit\\nis only text");
        bob.json(&["recv", "--count", "1", "--timeout", "20"]);
        pane.types("/quit");
        pane.press(&["Enter"]);
        pane.until_shows("ended with 0");
        assert!(!pane.everything().contains("\u{1b}"), "nothing moves the cursor");
    }
}
