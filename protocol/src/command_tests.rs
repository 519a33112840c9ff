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
fn each_has_its_place() {
    for (place, command) in Command::ALL.iter().enumerate() {
        assert_eq!(command.index(), place, "{}", command.name());
    }
}

#[test]
fn numbers_are_in_the_range_of_their_domain() {
    for command in Command::ALL {
        let first = command.domain().first();
        assert_eq!(first % 1000, 0);
        assert!(
            (first..first + 1000).contains(&command.number()),
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

#[test]
fn four_commands_need_no_authentication() {
    let allowed: Vec<_> = Command::ALL
        .iter()
        .copied()
        .filter(|it| it.is_for_anyone())
        .collect();
    assert_eq!(
        allowed,
        [Command::Hello, Command::Ping, Command::Register, Command::Login]
    );
}

#[test]
fn what_opens_a_session_needs_none() {
    for command in Command::ALL {
        let opens = command.kind() == Some(Kind::Open);
        assert!(!opens || command.is_for_anyone(), "{}", command.name());
    }
}

#[test]
fn exactly_what_appends_is_answered_with_what_was_appended() {
    let sent = v1::SendResponse {
        seq: 42,
        ..v1::SendResponse::default()
    };
    for command in Command::ALL.iter().copied() {
        let appends = command.kind() == Some(Kind::Append);
        assert_eq!(
            command.response() == Some("SendResponse"),
            appends,
            "{}",
            command.name()
        );
        let append = command.as_append();
        assert_eq!(append.is_some(), appends, "{}", command.name());
        let Some(append) = append else { continue };
        assert_eq!(append.command(), command);
        let reply = append.reply(sent);
        assert_eq!(reply.command(), command);
        assert_eq!(reply.encode(Encoding::Protobuf), Encoding::Protobuf.encode(&sent));
    }
    assert_eq!(
        AppendCommand::of::<v1::RenameGroupRequest>(),
        Command::RenameGroup.as_append().unwrap()
    );
}

#[test]
fn a_response_goes_to_its_reply_and_comes_back_from_no_other() {
    let reply = v1::RenameGroupRequest::reply(v1::SendResponse::default());
    assert_eq!(reply, Reply::RenameGroup(v1::SendResponse::default()));
    assert_eq!(
        v1::RenameGroupRequest::response(reply.clone()),
        Ok(v1::SendResponse::default())
    );
    // The same message answers it, under another command.
    assert_eq!(v1::SetRoleRequest::response(reply.clone()), Err(Box::new(reply)));
    let request = v1::FindUserRequest {
        name: "anna".to_owned(),
    }
    .into_request();
    assert_eq!(request.command(), v1::FindUserRequest::COMMAND);
}
