use protocol::{Frame, Push, Reply};

use super::*;

/// What happened, owned.
#[derive(Debug, PartialEq)]
enum Seen {
    Ready,
    Acked(u64),
    Delivered(Vec<u8>),
    Pong,
    Refused(Option<u64>, Option<Duration>),
    GoAway(Option<Duration>),
}

struct Peer {
    device: Imserver,
    out: BytesMut,
    incoming: BytesMut,
}

impl Peer {
    fn new(follow: Follow) -> Self {
        let account = Account {
            user: 2,
            token: "token".to_owned(),
            ..Account::default()
        };
        let mut peer = Self {
            device: Imserver::new(account, follow, 1 << 40, 5),
            out: BytesMut::new(),
            incoming: BytesMut::new(),
        };
        peer.device.login(&mut peer.out);
        peer
    }

    /// The frames that the device wants to send.
    fn asked(&mut self) -> Vec<(Command, u16, Bytes)> {
        let mut asked = Vec::new();
        while let Some((frame, used)) = wire::split(&self.out, FRAME_BYTES_MAX).unwrap() {
            let command = Command::from_number(frame.kind.command()).unwrap();
            asked.push((command, frame.seq, Bytes::copy_from_slice(frame.body)));
            self.out.advance(used);
        }
        asked
    }

    /// Delivers a frame in two pieces, and says what came of it.
    fn hear(&mut self, frame: &Frame) -> Vec<Seen> {
        let mut bytes = BytesMut::new();
        frame.encode(&mut bytes).unwrap();
        let second = bytes.split_off(bytes.len() / 2);
        let mut seen = Vec::new();
        for part in [bytes, second] {
            self.incoming.extend_from_slice(&part);
            let mut note = |event: Event<'_>| {
                seen.push(match event {
                    Event::Ready => Seen::Ready,
                    Event::Acked(id) => Seen::Acked(id),
                    Event::Delivered(body) => Seen::Delivered(body.to_vec()),
                    Event::Pong => Seen::Pong,
                    Event::Refused { id, retry_after, .. } => Seen::Refused(id, retry_after),
                    Event::GoAway { retry_after, .. } => Seen::GoAway(retry_after),
                });
            };
            self.device
                .receive(&mut self.incoming, &mut self.out, &mut note)
                .unwrap();
        }
        assert!(self.incoming.is_empty());
        seen
    }

    fn answer(&mut self, seq: u16, reply: &Reply) -> Vec<Seen> {
        self.hear(&reply.to_frame(Encoding::Protobuf, seq))
    }

    fn push(&mut self, push: &Push) -> Vec<Seen> {
        self.hear(&push.to_frame(Encoding::Protobuf))
    }

    fn welcome(&mut self) -> Vec<Seen> {
        let asked = self.asked();
        assert!(matches!(&asked[..], [(Command::Hello, 1, _)]));
        self.answer(
            1,
            &Reply::Hello(v1::Welcome {
                limits: Some(v1::Limits {
                    requests_in_flight_max: 32,
                    ..v1::Limits::default()
                }),
                session: Some(v1::Session {
                    epoch: 9,
                    ..v1::Session::default()
                }),
                ..v1::Welcome::default()
            }),
        )
    }

    /// Logged in, conversation 7 known up to seq 3.
    fn in_step() -> Self {
        let mut peer = Self::new(Follow::Everything);
        assert_eq!(peer.welcome(), []);
        let asked = peer.asked();
        assert!(matches!(&asked[..], [(Command::ListConversations, 2, _)]));
        let list = v1::ListConversationsResponse {
            conversations: vec![v1::Conversation {
                conversation_id: 7,
                head_seq: 3,
                first_seq: 1,
                ..v1::Conversation::default()
            }],
            sync_token: Bytes::from_static(b"one"),
            epoch: 9,
            ..v1::ListConversationsResponse::default()
        };
        assert_eq!(peer.answer(2, &Reply::ListConversations(list)), []);
        assert_eq!(peer.synced(3, b"one", b"two", 3), [Seen::Ready]);
        peer
    }

    fn synced(&mut self, seq: u16, from: &[u8], token: &'static [u8], head: u64) -> Vec<Seen> {
        let asked = self.asked();
        let [(Command::Sync, asked_seq, body)] = &asked[..] else {
            panic!("{asked:?}");
        };
        assert_eq!(*asked_seq, seq);
        assert_eq!(v1::SyncRequest::decode(&body[..]).unwrap().token, from);
        let sync = v1::SyncResponse {
            token: Bytes::from_static(token),
            epoch: 9,
            conversations: vec![v1::Conversation {
                conversation_id: 7,
                head_seq: head,
                first_seq: 1,
                ..v1::Conversation::default()
            }],
            ..v1::SyncResponse::default()
        };
        self.answer(seq, &Reply::Sync(sync))
    }
}

fn page(seqs: std::ops::RangeInclusive<u64>) -> v1::Page {
    let event = |seq: u64| v1::Event {
        seq,
        kind: v1::EventKind::Text.into(),
        body: Some(v1::EventBody {
            content: Some(v1::Content {
                body: seq.to_string().into_bytes().into(),
                ..v1::Content::default()
            }),
            ..v1::EventBody::default()
        }),
        ..v1::Event::default()
    };
    v1::Page {
        conversation_id: 7,
        epoch: 9,
        from_seq: *seqs.start(),
        to_seq: *seqs.end(),
        events: seqs.map(event).collect(),
        ..v1::Page::default()
    }
}

fn delivered(seqs: std::ops::RangeInclusive<u64>) -> Vec<Seen> {
    seqs.map(|seq| Seen::Delivered(seq.to_string().into_bytes()))
        .collect()
}

#[test]
fn logged_in_only_it_is_ready_at_once_and_hears_no_messages() {
    let mut peer = Peer::new(Follow::Nothing);
    assert_eq!(peer.welcome(), [Seen::Ready]);
    assert_eq!(peer.push(&Push::EventsPush(page(4..=4))), []);
    assert!(peer.asked().is_empty());
}

#[test]
fn messages_are_acknowledged_and_delivered_under_their_ids() {
    let mut peer = Peer::in_step();
    assert_eq!(peer.device.in_flight_max(), 22);
    let other = Target::User(std::sync::Arc::new(Account {
        user: 1,
        ..Account::default()
    }));
    peer.device.send(&other, 40, b"one", &mut peer.out);
    peer.device.send(&Target::Group(11), 41, b"two", &mut peer.out);
    let asked = peer.asked();
    let sent: Vec<_> = asked
        .iter()
        .map(|(_, _, body)| v1::SendRequest::decode(&body[..]).unwrap())
        .collect();
    assert_eq!(sent[0].conversation_id, direct_conversation(1, 2).unwrap().get());
    assert_eq!(sent[1].conversation_id, 11);
    assert!(sent[0].client_msg_id < sent[1].client_msg_id);
    let response = Reply::Send(v1::SendResponse::default());
    assert_eq!(peer.answer(asked[1].1, &response), [Seen::Acked(41)]);
    assert_eq!(peer.answer(asked[0].1, &response), [Seen::Acked(40)]);
    assert_eq!(peer.push(&Push::EventsPush(page(4..=4))), delivered(4..=4));
    assert_eq!(peer.push(&Push::EventsPush(page(4..=4))), []);
}

#[test]
fn a_message_sent_again_has_the_same_client_id() {
    let mut peer = Peer::in_step();
    let mut ids = Vec::new();
    for id in [3, 1 << 41, 3] {
        peer.device.send(&Target::Group(11), id, b"one", &mut peer.out);
        let asked = peer.asked();
        ids.push(v1::SendRequest::decode(&asked[0].2[..]).unwrap().client_msg_id);
    }
    assert_eq!(ids[0], ids[2]);
    assert!(ids[0] < ids[1]);
}

#[test]
fn what_heads_tell_of_is_pulled() {
    let mut peer = Peer::in_step();
    let heads = v1::HeadsPush {
        epoch: 9,
        heads: vec![v1::Head {
            conversation_id: 7,
            seq: 6,
        }],
        resync: false,
    };
    assert_eq!(peer.push(&Push::HeadsPush(heads)), []);
    let asked = peer.asked();
    let [(Command::History, seq, body)] = &asked[..] else {
        panic!("{asked:?}");
    };
    assert_eq!(v1::HistoryRequest::decode(&body[..]).unwrap().from_seq, 4);
    // What is pushed meanwhile is beyond the gap, and comes with the pull.
    assert_eq!(peer.push(&Push::EventsPush(page(7..=7))), []);
    let history = v1::HistoryResponse {
        page: Some(v1::Page {
            head_seq: 7,
            ..page(4..=7)
        }),
    };
    assert_eq!(peer.answer(*seq, &Reply::History(history)), delivered(4..=7));
    assert!(peer.asked().is_empty());
}

#[test]
fn a_lost_connection_resumes_from_the_token_of_the_last_pong() {
    let mut peer = Peer::in_step();
    peer.device.ping(&mut peer.out);
    let asked = peer.asked();
    let pong = Reply::Ping(v1::Pong {
        sync_token: Bytes::from_static(b"three"),
        server_time_ms: 0,
    });
    assert_eq!(peer.answer(asked[0].1, &pong), [Seen::Pong]);
    peer.device.login(&mut peer.out);
    assert_eq!(peer.welcome(), []);
    assert_eq!(peer.synced(2, b"three", b"four", 5), []);
    let asked = peer.asked();
    assert!(matches!(&asked[..], [(Command::History, 3, _)]));
    let history = v1::HistoryResponse {
        page: Some(v1::Page {
            head_seq: 5,
            ..page(4..=5)
        }),
    };
    let mut expected = delivered(4..=5);
    expected.push(Seen::Ready);
    assert_eq!(peer.answer(3, &Reply::History(history)), expected);
}

#[test]
fn refusals_and_farewells_say_whether_to_come_back() {
    let mut peer = Peer::in_step();
    peer.device.send(&Target::Group(11), 0, b"one", &mut peer.out);
    let asked = peer.asked();
    let refusal = protocol::Refusal::new(v1::ErrorCode::Overloaded, "full");
    let frame = protocol::encode_error(&refusal, Encoding::Protobuf, asked[0].1);
    assert_eq!(
        peer.hear(&frame),
        [Seen::Refused(Some(0), Some(Duration::from_millis(500)))]
    );
    let refusal = protocol::Refusal::new(v1::ErrorCode::Unauthenticated, "who");
    let frame = protocol::encode_error(&refusal, Encoding::Protobuf, 0);
    assert_eq!(peer.hear(&frame), [Seen::Refused(None, None)]);
    for (reason, after) in [
        (v1::GoAwayReason::Draining, Some(Duration::from_millis(250))),
        (v1::GoAwayReason::Replaced, None),
    ] {
        let away = v1::GoAway {
            reason: reason.into(),
            reconnect_in_ms: 250,
            ..v1::GoAway::default()
        };
        assert_eq!(peer.push(&Push::GoAway(away)), [Seen::GoAway(after)]);
    }
}

#[test]
fn another_store_ends_the_run() {
    let mut peer = Peer::in_step();
    let mut bytes = BytesMut::new();
    let frame = Push::EventsPush(v1::Page {
        epoch: 10,
        ..page(4..=4)
    })
    .to_frame(Encoding::Protobuf);
    frame.encode(&mut bytes).unwrap();
    let result = peer.device.receive(&mut bytes, &mut peer.out, &mut |_| {});
    assert!(result.is_err());
}
