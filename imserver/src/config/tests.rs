use protocol::limits::HEARTBEAT_MS_MIN;

use super::*;

#[test]
fn an_empty_file_is_the_default_and_the_default_is_good() {
    let config = Config::parse("").unwrap();
    assert_eq!(config, Config::default());
    config.check().unwrap();
}

#[test]
fn an_unknown_key_is_named_with_its_line() {
    let error = Config::parse("[limits]\ntext_bytes = 9\ntext_bites = 9\n")
        .unwrap_err()
        .to_string();
    assert!(error.contains("text_bites"), "{error}");
    assert!(error.starts_with("line 3"), "{error}");
    assert!(!error.contains('\n'), "{error}");
}

#[test]
fn a_value_out_of_range_is_named() {
    let config = Config::parse("[limits]\nframe_bytes = 99999999\n").unwrap();
    let error = config.check().unwrap_err().to_string();
    assert!(error.contains("limits.frame_bytes is 99999999"), "{error}");
}

#[test]
fn idle_must_be_above_the_heartbeat() {
    let config = Config::parse("[timeouts]\nheartbeat_ms = 40000\n").unwrap();
    assert!(
        config
            .check()
            .unwrap_err()
            .to_string()
            .contains("timeouts.idle_ms")
    );
}

#[test]
fn no_heartbeat_is_configured_that_a_client_would_not_keep() {
    let check = |ms: u32| {
        Config::parse(&format!("[timeouts]\nheartbeat_ms = {ms}\n"))
            .unwrap()
            .check()
    };
    let error = check(HEARTBEAT_MS_MIN - 1).unwrap_err().to_string();
    assert!(
        error.contains("timeouts.heartbeat_ms is 99, but must be 100 to"),
        "{error}"
    );
    check(HEARTBEAT_MS_MIN).unwrap();
}

#[test]
fn flags_win_over_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("imserver.toml");
    std::fs::write(
        &path,
        "[server]\nlisten = \"127.0.0.1:1\"\n[log]\nlevel = \"warn\"\n",
    )
    .unwrap();
    let flags = Flags {
        config: Some(path),
        listen: Some("127.0.0.1:2".parse().unwrap()),
        ..Flags::default()
    };
    let config = Config::load(&flags).unwrap();
    assert_eq!(config.server.listen.port(), 2);
    assert_eq!(config.log.level, Level::Warn);
}

#[test]
fn a_missing_file_is_one_sentence_with_its_path() {
    let flags = Flags {
        config: Some("/nonexistent/imserver.toml".into()),
        ..Flags::default()
    };
    let error = Config::load(&flags).unwrap_err();
    assert!(std::error::Error::source(&error).is_some());
    let error = error.to_string();
    assert!(
        error.starts_with("cannot read configuration /nonexistent/imserver.toml: "),
        "{error}"
    );
}

/// Sets one key of the documented configuration.
fn with(key: &str, value: &str) -> Result<Config, ConfigError> {
    let (section, name) = key.split_once('.').unwrap();
    let config = Config::parse(&format!("[{section}]\n{name} = {value}\n"))?;
    config.check().map(|()| config)
}

/// Its ends are taken, and what lies beyond them is refused with key, value and range.
#[test]
fn every_number_is_checked_at_both_ends_of_its_range() {
    let sections = Config::default().sections();
    let keys = sections.iter().flat_map(|section| &section.keys);
    let numbers = keys.filter_map(|key| match &key.setting {
        Setting::Number(_, range) => Some((key.path, range.clone())),
        Setting::Words(_) => None,
    });
    let mut walked = 0;
    for (key, range) in numbers {
        walked += 1;
        let (least, most) = (*range.start(), *range.end());
        assert!(least < most, "{key}");
        let refused = |value: i128| {
            let error = with(key, &value.to_string()).unwrap_err().to_string();
            assert!(error.contains(key), "{key} = {value}: {error}");
            error
        };
        // Rules between keys may refuse an end, but never this key for its range.
        for end in [least, most] {
            if let Err(error) = with(key, &end.to_string()) {
                let error = error.to_string();
                assert!(
                    error.contains("must be above") || !error.contains(key),
                    "{key} = {end}: {error}"
                );
            }
        }
        if let Some(below) = least.checked_sub(1) {
            let said = format!("{key} is {below}, but must be {least} to {most}");
            assert_eq!(refused(below.into()), said);
        }
        let error = refused(i128::from(most) + 1);
        let said = format!("{key} is {}, but must be {least} to {most}", most + 1);
        // Numbers that do not fit their type are refused before there is a range.
        assert!(error == said || error.starts_with("line 2: "), "{error}");
        refused(i128::from(least) - 1);
        refused(i128::from(i64::MAX));
        refused(i128::from(i64::MIN));
        refused(i128::from(u32::MAX) + 1 + i128::from(most));
    }
    assert!(walked > 60, "{walked} numbers");
}

#[test]
fn a_reload_takes_what_it_can_and_names_the_keys_that_wait() {
    let mut config = Config::default();
    let new = Config::parse(
        "[log]\nlevel = \"trace\"\nformat = \"json\"\n[groups]\nmembers = 7\n\
         [redis]\nurl = \"redis://:secret@cache\"\n[limits]\nexempt = []\ntext_bytes = 4096\n\
         [[listen]]\naddress = \"127.0.0.1:1\"\n",
    )
    .unwrap();
    let waiting = vec!["redis.url", "groups.members", "log.format", "[[listen]]"];
    let changes = config.reload(&new);
    assert_eq!(changes.waiting, waiting);
    assert_eq!(changes.in_force, ["limits.exempt", "log.level"]);
    assert_eq!((config.log.level, config.limits.exempt.len()), (Level::Trace, 0));
    // What waits goes on waiting.
    let again = Changes {
        waiting,
        in_force: Vec::new(),
    };
    assert_eq!(config.reload(&new), again);
    let back = config.reload(&Config::default());
    assert_eq!((back.waiting, back.in_force), (Vec::new(), changes.in_force));
    assert_eq!(config, Config::default());
}

/// The daemon puts these in force itself: whoever marks another key does that too.
#[test]
fn a_reload_takes_certificates_rates_and_the_level_of_the_log() {
    let sections = Config::default().sections();
    let keys = sections.iter().flat_map(|section| &section.keys);
    let taken: Vec<_> = keys
        .filter_map(|key| key.taken_by.map(|signal| (key.path, signal)))
        .collect();
    assert!(taken.iter().all(|(_, signal)| *signal == "SIGHUP"));
    let taken: Vec<_> = taken.into_iter().map(|(key, _)| key).collect();
    assert_eq!(
        taken,
        [
            "tls.certificate",
            "tls.key",
            "tls.cleartext_passwords",
            "limits.sends_per_second",
            "limits.sends_burst",
            "limits.requests_per_second",
            "limits.requests_burst",
            "limits.people_per_minute",
            "limits.people_burst",
            "limits.receipts_per_second",
            "limits.receipts_burst",
            "limits.profiles_per_minute",
            "limits.profiles_burst",
            "limits.searches_per_minute",
            "limits.searches_burst",
            "limits.watches_per_minute",
            "limits.watches_burst",
            "limits.connections_per_address",
            "limits.hellos_per_address",
            "limits.passwords_per_address",
            "limits.passwords_per_account",
            "limits.unknown_commands_per_minute",
            "limits.exempt",
            "log.level",
        ]
    );
}

#[test]
fn what_is_wrong_with_a_value_names_its_key() {
    for (key, value) in [
        ("limits.text_bytes", "\"many\""),
        ("limits.exempt", "[\"localhost\"]"),
        ("server.listen", "\"nowhere\""),
        ("log.level", "\"loud\""),
        ("store.url", "\"mysql://u:secret@h/d\""),
        ("store.failover", "\"maybe\""),
        ("accounts.registration", "1"),
        ("timeouts.heartbeat_ms", "1.5"),
    ] {
        let error = with(key, value).unwrap_err().to_string();
        assert!(error.contains(key) && !error.contains("secret"), "{error}");
        assert!(error.starts_with("line 2"), "{error}");
    }
}
