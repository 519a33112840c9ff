//! The table of commands keeps its own rules.

use std::collections::HashSet;

use super::*;
use crate::{Decode, Encoding, Push, Reply, Request, v1::ErrorCode};

#[test]
fn numbers_ascend_and_so_are_unique() {
    assert!(
        Command::ALL
            .windows(2)
            .all(|pair| pair[0].number() < pair[1].number())
    );
}

#[test]
fn numbers_are_in_the_range_of_their_domain() {
    let range = |domain| match domain {
        Domain::Session => 1000..2000,
        Domain::Account => 2000..3000,
        Domain::Message => 3000..4000,
        Domain::Group => 5000..6000,
        Domain::Presence => 6000..7000,
    };
    for command in Command::ALL {
        assert!(
            range(command.domain()).contains(&command.number()),
            "{}",
            command.name()
        );
    }
}

#[test]
fn only_listed_numbers_are_commands() {
    let mut found = Vec::new();
    for number in 0..=u16::MAX {
        match Command::from_number(number) {
            Ok(command) => {
                assert_eq!(command.number(), number);
                found.push(command);
            }
            Err(unknown) => assert_eq!(unknown, UnknownCommand(number)),
        }
    }
    assert_eq!(found, Command::ALL);
}

#[test]
fn names_lead_back_to_their_commands() {
    let names: HashSet<_> = Command::ALL.iter().map(|command| command.name()).collect();
    assert_eq!(names.len(), Command::ALL.len());
    for command in Command::ALL {
        assert_eq!(Command::from_name(command.name()), Some(*command));
        assert!(
            command
                .name()
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        );
    }
    assert_eq!(Command::from_name("no_such"), None);
    assert_eq!(Command::from_name(""), None);
}

#[test]
fn a_command_is_a_request_with_a_reply_or_a_push() {
    for command in Command::ALL {
        let empty = bytes::Bytes::new;
        for encoding in [Encoding::Protobuf, Encoding::Json] {
            let request = Request::decode(*command, encoding, empty());
            let reply = Reply::decode(*command, encoding, empty());
            let push = Push::decode(*command, encoding, empty());
            assert_eq!(request.is_ok(), !command.is_push(), "{}", command.name());
            assert_eq!(reply.is_ok(), !command.is_push());
            assert_eq!(push.is_ok(), command.is_push());
            let codes = [request.err(), reply.err(), push.err()];
            for refusal in codes.into_iter().flatten() {
                assert_eq!(refusal.code(), ErrorCode::Protocol);
            }
        }
    }
}

#[test]
fn pushes_sit_above_the_requests_of_their_domain() {
    for command in Command::ALL {
        assert_eq!(
            command.number() % 1000 >= 100,
            command.is_push(),
            "{}",
            command.name()
        );
    }
}
