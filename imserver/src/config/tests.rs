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
    let error = check(limits::HEARTBEAT_MS_MIN - 1).unwrap_err().to_string();
    assert!(
        error.contains("timeouts.heartbeat_ms is 99, but must be 100 to"),
        "{error}"
    );
    check(limits::HEARTBEAT_MS_MIN).unwrap();
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
    let error = Config::load(&flags).unwrap_err().to_string();
    assert!(error.contains("/nonexistent/imserver.toml"), "{error}");
}

/// The configuration in the operator's manual is the default, key by key.
#[test]
fn the_documented_configuration_is_the_default() {
    let manual = include_str!("../../../docs/OPERATIONS.md");
    let (_, rest) = manual.split_once("```toml\n").unwrap();
    let (documented, _) = rest.split_once("```").unwrap();
    assert_eq!(Config::parse(documented).unwrap(), Config::default());
    // Every key of the configuration is in it, so that none is left undocumented.
    let debug = format!("{:?}", Config::default());
    let keys = debug
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| {
            debug.contains(&format!("{word}: ")) && word.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        });
    for key in keys.filter(|key| !["address", "prefix"].contains(key)) {
        assert!(documented.contains(key), "{key} is not in docs/OPERATIONS.md");
    }
}

/// Sets one key of the documented configuration.
fn with(key: &str, value: &str) -> Result<Config, ConfigError> {
    let (section, name) = key.split_once('.').unwrap();
    let config = Config::parse(&format!("[{section}]\n{name} = {value}\n"))?;
    config.check().map(|()| config)
}

/// Every number has a range: its ends are taken, and what lies beyond them is refused with the key's name.
#[test]
fn every_number_is_checked_at_both_ends_of_its_range() {
    let manual = include_str!("../../../docs/OPERATIONS.md");
    let (_, rest) = manual.split_once("```toml\n").unwrap();
    let documented: toml::Table = rest.split_once("```").unwrap().0.parse().unwrap();
    let ranges = Config::default().ranges();
    for (section, keys) in &documented {
        for (name, value) in keys.as_table().unwrap() {
            let key = format!("{section}.{name}");
            let ranged = ranges.iter().any(|range| range.key == key);
            assert_eq!(value.is_integer(), ranged, "{key}");
        }
    }
    for range in ranges {
        let refused = |value: i128| {
            let error = with(range.key, &value.to_string()).unwrap_err().to_string();
            assert!(error.contains(range.key), "{} = {value}: {error}", range.key);
        };
        // Rules between keys may refuse an end, but never this key for its range.
        for end in [range.least, range.most] {
            if let Err(error) = with(range.key, &end.to_string()) {
                let error = error.to_string();
                assert!(
                    error.contains("must be above") || !error.contains(range.key),
                    "{} = {end}: {error}",
                    range.key
                );
            }
        }
        refused(i128::from(range.least) - 1);
        refused(i128::from(range.most) + 1);
        refused(i128::from(i64::MAX));
        refused(i128::from(i64::MIN));
        refused(i128::from(u32::MAX) + 1 + i128::from(range.most));
    }
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
