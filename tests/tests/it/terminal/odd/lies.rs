//! Servers that are none, or bad ones.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use bytes::BytesMut;
use protocol::{
    Command as Verb, Decode, Encoding, Frame, FrameCodec, HEADER_BYTES, Push, Refusal, Reply, Request, Split,
    encode_error,
    v1::{self, ErrorCode, EventKind},
};

/// What a server says that is none, or a bad one.
pub(super) struct Lie {
    pub(super) what: &'static str,
    pub(super) arguments: &'static [&'static str],
    pub(super) tell: fn(TcpStream),
    pub(super) codes: &'static [i32],
    pub(super) says: &'static str,
}

pub(super) const LIES: &[Lie] = &[
    Lie {
        what: "bytes without sense",
        arguments: &["list"],
        tell: |mut stream| drop(stream.write_all(&[0xff; 4_096])),
        codes: &[3],
        says: "",
    },
    Lie {
        what: "a web server",
        arguments: &["list"],
        tell: |mut stream| drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n\x1b[2J")),
        codes: &[3],
        says: "",
    },
    Lie {
        what: "an end at once",
        arguments: &["list"],
        tell: drop,
        codes: &[3],
        says: "",
    },
    Lie {
        what: "a version that was not offered",
        arguments: &["list"],
        tell: |stream| {
            serve(stream, |request| match request {
                Request::Hello(_) => vec![reply(Reply::Hello(v1::Welcome {
                    version: u32::MAX,
                    ..v1::Welcome::default()
                }))],
                _ => Vec::new(),
            });
        },
        codes: &[3],
        says: "",
    },
    Lie {
        what: "a push up to the last number there is",
        arguments: &["recv", "--timeout", "2"],
        tell: |stream| {
            honest(stream, |request| match request {
                Request::Sync(_) => vec![
                    reply(Reply::Sync(v1::SyncResponse {
                        token: "t".into(),
                        epoch: 1,
                        ..v1::SyncResponse::default()
                    })),
                    Saying::Push(Box::new(Push::EventsPush(v1::Page {
                        conversation_id: 3,
                        epoch: 1,
                        from_seq: 1,
                        to_seq: u64::MAX,
                        ..v1::Page::default()
                    }))),
                ],
                _ => Vec::new(),
            });
        },
        codes: &[0, 3, 4],
        says: "",
    },
    Lie {
        what: "a conversation with the last number there is",
        arguments: &["recv", "--timeout", "2"],
        tell: |stream| {
            honest(stream, |request| match request {
                Request::ListConversations(_) => {
                    vec![reply(Reply::ListConversations(v1::ListConversationsResponse {
                        conversations: vec![strange(u64::MAX)],
                        epoch: 1,
                        ..v1::ListConversationsResponse::default()
                    }))]
                }
                Request::Sync(_) => vec![reply(Reply::Sync(v1::SyncResponse {
                    token: "t".into(),
                    epoch: 1,
                    conversations: vec![strange(u64::MAX - 1)],
                    ..v1::SyncResponse::default()
                }))],
                _ => Vec::new(),
            });
        },
        codes: &[0, 3, 4],
        says: "",
    },
    Lie {
        what: "a history that never ends",
        arguments: &["history", "@self", "--limit", "50"],
        tell: |stream| {
            honest(stream, |request| match request {
                Request::History(_) => vec![reply(Reply::History(v1::HistoryResponse {
                    page: Some(v1::Page {
                        conversation_id: 1,
                        epoch: 1,
                        from_seq: u64::MAX,
                        to_seq: u64::MAX,
                        ..v1::Page::default()
                    }),
                }))],
                _ => Vec::new(),
            });
        },
        codes: &[3],
        says: "broke the protocol",
    },
    Lie {
        what: "a list that never ends",
        arguments: &["list"],
        tell: |stream| {
            honest(stream, |request| match request {
                Request::ListConversations(_) => {
                    vec![reply(Reply::ListConversations(v1::ListConversationsResponse {
                        before: "again".into(),
                        more: true,
                        ..v1::ListConversationsResponse::default()
                    }))]
                }
                _ => Vec::new(),
            });
        },
        codes: &[0],
        says: "",
    },
    Lie {
        what: "names and numbers that act",
        arguments: &["list"],
        tell: |stream| {
            honest(stream, |request| match request {
                Request::ListConversations(_) => {
                    vec![reply(Reply::ListConversations(v1::ListConversationsResponse {
                        conversations: vec![v1::Conversation {
                            kind: v1::ConversationKind::Group.into(),
                            name: "\u{1b}]0;evil\u{7}\u{9b}2J\u{202e}\n   99  2026".to_owned(),
                            last_at_ms: u64::MAX,
                            unread: u64::MAX,
                            ..strange(9)
                        }],
                        ..v1::ListConversationsResponse::default()
                    }))]
                }
                _ => Vec::new(),
            });
        },
        codes: &[0],
        says: "\\u{1b}]0;evil",
    },
    Lie {
        what: "a refusal that acts",
        arguments: &["whoami"],
        tell: |stream| {
            honest(stream, |request| match request {
                Request::GetUsers(_) => {
                    let mut refusal = Refusal::new(ErrorCode::Forbidden, "");
                    // As only a server can write it that does not use this crate.
                    "\u{1b}[2J\u{202e}\nim: all is well".clone_into(&mut refusal.0.message);
                    vec![Saying::Refuse(refusal)]
                }
                _ => Vec::new(),
            });
        },
        codes: &[1],
        says: "refused: \\u{1b}[2J\\u{202e}",
    },
    Lie {
        what: "a message of numbers beyond measure in a history",
        arguments: &["history", "@self"],
        tell: |stream| {
            honest(stream, |request| match request {
                Request::History(_) => vec![reply(Reply::History(v1::HistoryResponse {
                    page: Some(v1::Page {
                        conversation_id: 1,
                        epoch: 1,
                        from_seq: 1,
                        to_seq: u64::MAX,
                        events: vec![v1::Event {
                            seq: u64::MAX,
                            ordinal: u64::MAX,
                            sender_id: u64::MAX,
                            sent_at_ms: u64::MAX,
                            kind: EventKind::Text.into(),
                            body: Some(v1::EventBody {
                                content: Some(v1::Content {
                                    body: vec![b'h', b'i', 0xff, 0x1b].into(),
                                    reply_to: u64::MAX,
                                    ..v1::Content::default()
                                }),
                                ..v1::EventBody::default()
                            }),
                            ..v1::Event::default()
                        }],
                        ..v1::Page::default()
                    }),
                }))],
                Request::GetUsers(_) => vec![reply(Reply::GetUsers(v1::GetUsersResponse::default()))],
                _ => Vec::new(),
            });
        },
        codes: &[0],
        says: "hi\u{fffd}\\u{1b}",
    },
    Lie {
        what: "the answer to something else",
        arguments: &["whoami"],
        tell: |stream| {
            honest(stream, |request| match request {
                Request::GetUsers(_) => vec![reply(Reply::ListDevices(v1::ListDevicesResponse::default()))],
                _ => Vec::new(),
            });
        },
        codes: &[3],
        says: "",
    },
];

fn strange(head_seq: u64) -> v1::Conversation {
    v1::Conversation {
        conversation_id: protocol::ConversationId::group_from_hash(9).get(),
        head_seq,
        head_ordinal: u64::MAX,
        ..v1::Conversation::default()
    }
}

enum Saying {
    Reply(Box<Reply>),
    Push(Box<Push>),
    Refuse(Refusal),
}

fn reply(reply: Reply) -> Saying {
    Saying::Reply(Box::new(reply))
}

/// Greets as a server does, and lies afterwards.
fn honest(stream: TcpStream, answer: impl Fn(&Request) -> Vec<Saying>) {
    serve(stream, |request| match request {
        Request::Hello(_) => vec![reply(Reply::Hello(v1::Welcome {
            version: 1,
            session: Some(v1::Session {
                epoch: 1,
                ..v1::Session::default()
            }),
            limits: Some(v1::Limits {
                requests_in_flight_max: 32,
                ..v1::Limits::default()
            }),
            ..v1::Welcome::default()
        }))],
        request => answer(request),
    });
}

/// Answers until the client goes.
fn serve(mut stream: TcpStream, answer: impl Fn(&Request) -> Vec<Saying>) {
    let codec = FrameCodec::new(1 << 20);
    let mut buffer = BytesMut::new();
    let mut chunk = [0; 4_096];
    loop {
        while let Ok(Split::Frame(frame)) = codec.split(&buffer) {
            let _ = buffer.split_to(HEADER_BYTES + frame.body.len());
            let verb = Verb::from_number(frame.kind.command()).unwrap();
            let Ok(request) = Request::decode(verb, Encoding::Protobuf, frame.body) else {
                return;
            };
            for saying in answer(&request) {
                let frame: Frame = match saying {
                    Saying::Reply(reply) => reply.to_frame(Encoding::Protobuf, frame.seq),
                    Saying::Push(push) => push.to_frame(Encoding::Protobuf),
                    Saying::Refuse(refusal) => encode_error(&refusal, Encoding::Protobuf, frame.seq),
                };
                let mut bytes = BytesMut::new();
                frame.encode(&mut bytes).unwrap();
                if stream.write_all(&bytes).is_err() {
                    return;
                }
            }
        }
        match stream.read(&mut chunk) {
            Ok(read @ 1..) => buffer.extend_from_slice(&chunk[..read]),
            _ => return,
        }
    }
}
