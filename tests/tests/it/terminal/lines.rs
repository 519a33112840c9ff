//! What `im` prints for people and scripts: nothing in it can be forged, and names and times are what they are.

use tests::harness::Daemon;

use super::Person;

#[test]
fn no_text_looks_like_a_line_of_its_own() {
    let daemon = Daemon::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Person::registered(&daemon, name));
    let genuine = "2026-11-30 12:00+05:45  @carol            carol: I resign";
    let forgeries = [
        format!("hello\n{genuine}"),
        format!("hello\r{genuine}"),
        format!("hello{}{genuine}", " ".repeat(200)),
        format!("hello{}{genuine}", "\u{3000}".repeat(40)),
        format!("hello{}{genuine}", "\u{2800}".repeat(80)),
        format!("hello\u{2028}{genuine}"),
        format!("hello\u{85}{genuine}"),
        format!("hello\u{b}{genuine}"),
        format!("hello\u{1b}[1E{genuine}"),
        format!("{}{genuine}", "x".repeat(160)),
        " (taken back)".to_owned(),
        "hello  (edited)".to_owned(),
        "hello  [:) carol]".to_owned(),
        "\u{202e}hello\u{202c}".to_owned(),
        "\u{2066}hello\u{2069}\u{61c}\u{200f}".to_owned(),
    ];
    for forgery in &forgeries {
        bob.ok(&["send", "@alice", "--", forgery]);
    }
    let count = forgeries.len().to_string();
    let received = alice.ok(&["recv", "--count", &count, "--timeout", "30"]);
    let history = alice.ok(&["history", "@bob", "--limit", "100"]);
    for lines in [&received, &history] {
        assert_eq!(lines.lines().count(), forgeries.len(), "{lines}");
        for line in lines.lines() {
            // Whatever a terminal makes of the rest of the line, two spaces side by side are never the text's.
            let (head, text) = line.split_once("bob: ").unwrap();
            assert!(head.contains("+05:45  "), "{line}");
            assert!(
                !text.contains("  ") && !text.starts_with(' ') && !text.ends_with(' '),
                "{line:?}"
            );
            assert!(!text.chars().any(|character| character.is_control()), "{line:?}");
            for hidden in [
                "\u{202e}", "\u{2066}", "\u{61c}", "\u{200f}", "\u{2028}", "\u{3000}", "\u{2800}",
            ] {
                assert!(!text.contains(hidden), "{line:?}");
            }
        }
    }
    // For scripts, the text is the text, and the bytes are harmless.
    let output = alice.ok(&["history", "@bob", "--limit", "100", "--json"]);
    assert!(
        !output
            .chars()
            .any(|character| character.is_control() && character != '\n')
    );
    assert!(!output.contains(['\u{202e}', '\u{2066}', '\u{61c}', '\u{2028}']));
    let texts: Vec<String> = output
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["text"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(texts, forgeries);
}

#[test]
fn every_json_on_standard_output_is_harmless() {
    let daemon = Daemon::start();
    let alice = Person::registered(&daemon, "alice");
    alice.ok(&["send", "@self", "a\u{7f}b\u{9b}c\u{202e}d"]);
    let id = alice.json(&["list"])[0]["conversation_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let asked = format!(r#"{{"conversation_id":"{id}","limit":9,"direction":"DIRECTION_BACKWARD"}}"#);
    let called = alice.ok(&["call", "history", &asked]);
    let history = alice.ok(&["history", "@self", "--json"]);
    for output in [called, history] {
        let harmless =
            |character: char| character == '\n' || !(character.is_control() || character == '\u{202e}');
        assert!(output.chars().all(harmless), "{output:?}");
        assert!(serde_json::from_str::<serde_json::Value>(&output).is_ok());
    }
}

#[test]
fn a_group_is_called_by_its_name() {
    let daemon = Daemon::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Person::registered(&daemon, name));
    let created = alice.ok(&["group", "create", "team", "bob"]);
    assert!(created.contains("'#team'"), "{created}");
    let json = alice.json(&["group", "create", "second", "bob"]);
    assert_eq!(json[0]["conversation"], "#second");
    alice.ok(&["send", "#team", "under the first name"]);
    assert!(
        bob.ok(&["recv", "--count", "1", "--timeout", "20"])
            .contains("#team")
    );

    // A name that was changed does not come back from the past.
    alice.ok(&["group", "rename", "#team", "crew"]);
    assert!(bob.ok(&["list"]).contains("#crew"));
    bob.ok(&["history", "#crew", "--limit", "50"]);
    let listed = bob.json(&["history", "#crew", "--limit", "50"]);
    assert!(
        listed.iter().all(|message| message["conversation"] == "#crew"),
        "{listed:?}"
    );
    alice.ok(&["send", "#crew", "under the second name"]);
    let received = bob.ok(&["recv", "--count", "1", "--timeout", "20"]);
    assert!(received.contains("#crew"), "{received}");

    // And one that was changed while one was away is known when one is back.
    alice.ok(&["group", "remove", "#crew", "bob"]);
    alice.ok(&["group", "rename", "#crew", "band"]);
    alice.ok(&["group", "add", "#band", "bob"]);
    alice.ok(&["send", "#band", "under the third name"]);
    let received = bob.ok(&["recv", "--count", "1", "--timeout", "20"]);
    assert!(received.contains("#band"), "{received}");
}

#[test]
fn times_have_a_date_and_a_zone() {
    let daemon = Daemon::start();
    let alice = Person::registered(&daemon, "alice");
    alice.ok(&["send", "@self", "a note"]);
    for arguments in [&["history", "@self"][..], &["list"], &["devices"]] {
        let here = alice.ok(arguments);
        assert!(here.contains("+05:45"), "{here}");
        let output = alice.command(arguments).env("TZ", "UTC0").output().unwrap();
        let there = String::from_utf8(output.stdout).unwrap();
        assert!(there.contains("+00:00"), "{there}");
    }
}
