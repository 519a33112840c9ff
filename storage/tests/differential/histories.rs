//! Random writes over few ids, so that they collide, repeat and contradict each other.

use std::ops::RangeInclusive;

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};
use storage::{
    Action, Append, ClientId, ConversationId, CursorMove, DeviceClass, DevicePolicy, Fingerprint,
    GroupSetting, MessageKinds, NewSession, NewUser, ProfileChange, Revoke, Role, Seq, Session, SessionId,
    Timestamp, TokenHash, UserId, Write,
    entry::{ADD_TO_GROUPS, MESSAGE_ME},
    friend::{PersonAct, PersonAction},
};

/// Those who have an account from the beginning.
pub(crate) const USERS: RangeInclusive<u64> = 1..=5;
const LAST_SEQ: u64 = 24;

/// All that ever occur, a few that never exist among them.
pub(crate) fn conversations() -> Vec<ConversationId> {
    let direct = |low: u64, high: u64| ConversationId(1 << 62 | low << 31 | high);
    let group = |number: u64| ConversationId(1 << 61 | number);
    vec![
        ConversationId(0),
        ConversationId(1),
        ConversationId(2),
        ConversationId(3),
        ConversationId(9),
        direct(1, 2),
        direct(1, 3),
        direct(2, 3),
        direct(2, 9),
        direct(3, 1),
        group(1),
        group(2),
        group(3),
        group(1 << 60 | 4),
        ConversationId(1 << 63),
    ]
}

pub(crate) fn accounts() -> Vec<Write> {
    let account = |number| {
        Write::CreateUser(NewUser {
            name: format!("user{number}"),
            display_name: String::new(),
            password_hash: format!("hash{number}"),
            at: Timestamp(number),
        })
    };
    USERS.map(account).collect()
}

pub(crate) fn batches() -> impl Strategy<Value = Vec<Vec<Write>>> {
    vec(vec(write(), 1..12), 1..24).prop_map(|batches| batches.into_iter().flat_map(alone).collect())
}

/// The same writes, where a slice of erasing is a batch of its own, as lanes commit it.
fn alone(batch: Vec<Write>) -> Vec<Vec<Write>> {
    let mut batches = vec![Vec::new()];
    for write in batch {
        if matches!(write, Write::Erase(_)) {
            batches.extend([vec![write], Vec::new()]);
        } else if let Some(last) = batches.last_mut() {
            last.push(write);
        }
    }
    batches.retain(|batch| !batch.is_empty());
    batches
}

fn write() -> impl Strategy<Value = Write> {
    prop_oneof![
        24 => append().prop_map(Write::Append),
        12 => own_append().prop_map(Write::Append),
        5 => vec(cursor(), 0..8).prop_map(Write::Cursors),
        1 => other(),
    ]
}

fn user() -> impl Strategy<Value = UserId> {
    prop_oneof![20 => USERS, 1 => 0..9_u64, 1 => Just(u64::MAX)].prop_map(UserId)
}

fn conversation() -> impl Strategy<Value = ConversationId> {
    let busy = vec![
        ConversationId(1 << 61 | 1),
        ConversationId(1 << 61 | 2),
        ConversationId(1 << 62 | 1 << 31 | 2),
    ];
    prop_oneof![
        3 => prop::sample::select(busy),
        1 => prop::sample::select(conversations()),
    ]
}

fn seq() -> impl Strategy<Value = Seq> {
    prop_oneof![30 => 0..=LAST_SEQ, 1 => Just(u64::MAX)].prop_map(Seq)
}

fn time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![20 => 0..1_000_u64, 1 => Just(u64::MAX)].prop_map(Timestamp)
}

fn text() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", "a", "bb", "ccc"]).prop_map(str::to_owned)
}

pub(crate) fn setting() -> impl Strategy<Value = GroupSetting> {
    prop::sample::select(GroupSetting::ALL)
}

fn append() -> impl Strategy<Value = Append> {
    let client_id = (0..60_u8).prop_map(|number| ClientId([number; 16]));
    let fingerprint = prop_oneof![9 => Just(0_u8), 1 => Just(1)].prop_map(|number| Fingerprint([number; 16]));
    (conversation(), user(), client_id, fingerprint, time(), action()).prop_map(
        |(conversation, sender, client_id, fingerprint, at, action)| Append {
            conversation,
            sender,
            client_id,
            fingerprint,
            at,
            action,
        },
    )
}

/// To a user's own log, mostly by this user.
fn own_append() -> impl Strategy<Value = Append> {
    let stranger = prop_oneof![30 => Just(None), 1 => user().prop_map(Some)];
    // Some requests for friendship expire.
    let later = prop_oneof![4 => Just(0), 1 => Just(storage::friend::REQUEST_LASTS_MS)];
    (append(), own_action(), stranger, later).prop_map(|(append, action, stranger, later)| Append {
        conversation: ConversationId(stranger.unwrap_or(append.sender).0),
        at: Timestamp(append.at.0.saturating_add(later)),
        action,
        ..append
    })
}

fn own_action() -> impl Strategy<Value = Action> {
    let keys = ["a", "b", "c", "d", "setting/x", MESSAGE_ME, ADD_TO_GROUPS];
    let key = || prop::sample::select(keys.to_vec()).prop_map(str::to_owned);
    let value = prop::sample::select(vec!["", "friends", "nobody", "x"])
        .prop_map(|value| Bytes::from_static(value.as_bytes()));
    prop_oneof![
        5 => (key(), value).prop_map(|(key, value)| Action::SetEntry { key, value }),
        2 => key().prop_map(|key| Action::RemoveEntry { key }),
        16 => (user(), act()).prop_map(|(with, act)| Action::Person(PersonAction { with, act })),
    ]
}

fn act() -> impl Strategy<Value = PersonAct> {
    prop_oneof![
        6 => text().prop_map(|greeting| PersonAct::Request { greeting }),
        6 => any::<bool>().prop_map(|accept| PersonAct::Answer { accept }),
        1 => Just(PersonAct::Withdraw),
        2 => Just(PersonAct::Remove),
        2 => (text(), vec(text(), 0..2)).prop_map(|(remark, tags)| PersonAct::Note { remark, tags }),
        2 => Just(PersonAct::Block),
        2 => Just(PersonAct::Unblock),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    let role = prop::sample::select(vec![Role::Member, Role::Admin, Role::Owner]);
    let kind = prop_oneof![20 => 1..=31_u8, 1 => Just(0), 1 => Just(32)];
    let reply_to = prop_oneof![4 => Just(Seq(0)), 1 => seq()];
    let few = || {
        vec(0..40_u8, 0..20).prop_map(|kinds| kinds.into_iter().fold(MessageKinds::NONE, MessageKinds::and))
    };
    let fits = prop_oneof![4 => Just(MessageKinds::ALL), 1 => few()];
    let expires_at = prop_oneof![4 => Just(Timestamp(0)), 1 => time()];
    prop_oneof![
        16 => (kind, text(), expires_at, reply_to).prop_map(|(kind, body, expires_at, reply_to)| {
            Action::Message { kind, body: body.into(), expires_at, reply_to }
        }),
        5 => (seq(), text(), fits).prop_map(|(target, body, fits)| {
            Action::Edit { target, body: body.into(), fits }
        }),
        3 => seq().prop_map(|target| Action::Recall { target }),
        5 => (seq(), text(), text()).prop_map(|(target, reaction, body)| {
            Action::React { target, reaction, body: body.into() }
        }),
        4 => (text(), vec(user(), 0..4)).prop_map(|(name, members)| Action::CreateGroup { name, members }),
        4 => vec(user(), 0..3).prop_map(|users| Action::AddMembers { users }),
        3 => user().prop_map(|user| Action::RemoveMember { user }),
        2 => Just(Action::Leave),
        3 => (user(), role).prop_map(|(user, role)| Action::SetRole { user, role }),
        2 => (setting(), text()).prop_map(|(setting, value)| Action::Set { setting, value }),
        1 => prop_oneof![1 => Just(Action::Disband), 4 => Just(Action::Leave)],
    ]
}

fn cursor() -> impl Strategy<Value = CursorMove> {
    (conversation(), user(), seq(), seq()).prop_map(|(conversation, user, delivered, read)| CursorMove {
        conversation,
        user,
        delivered,
        read,
    })
}

fn other() -> impl Strategy<Value = Write> {
    let some_text = || prop::option::of(text());
    let id = || prop_oneof![6 => 1..9_u64, 1 => Just(u64::MAX)].prop_map(SessionId);
    prop_oneof![
        1 => (1..9_u64, time()).prop_map(|(number, at)| Write::CreateUser(NewUser {
            name: format!("user{number}"),
            display_name: "new".to_owned(),
            password_hash: "hash".to_owned(),
            at,
        })),
        2 => (user(), some_text(), some_text(), some_text()).prop_map(|(user, display_name, avatar, status)| {
            Write::UpdateProfile(ProfileChange { user, display_name, avatar, status })
        }),
        6 => session(id()).prop_map(Write::CreateSession),
        1 => (user(), id()).prop_map(|(user, id)| Write::RevokeSessions(Revoke::One(user, id))),
        1 => (user(), id()).prop_map(|(user, id)| Write::RevokeSessions(Revoke::Others(user, id))),
        2 => vec((id(), time()), 0..4).prop_map(Write::TouchSessions),
        3 => time().prop_map(Write::Erase),
    ]
}

fn session(id: impl Strategy<Value = SessionId>) -> impl Strategy<Value = NewSession> {
    let class = prop::sample::select(vec![
        DeviceClass::Other,
        DeviceClass::Mobile,
        DeviceClass::Desktop,
        DeviceClass::Web,
        DeviceClass::Script,
    ]);
    let policy = (0..4_u32, 0..3_u32).prop_map(|(total, each)| DevicePolicy {
        total,
        mobile: each,
        desktop: each,
        web: each,
        script: each,
    });
    let online = vec(0..8_u64, 0..4);
    (id, 1..4_u64, text(), class, 0..12_u8, time(), policy, online).prop_map(
        |(id, user, device_id, class, token, at, policy, online)| NewSession {
            session: Session {
                id,
                user: UserId(user),
                device_id,
                class,
                device_name: "device".to_owned(),
                created_at: at,
                last_seen_at: at,
            },
            token_hash: TokenHash([token; 32]),
            policy,
            online: online.into_iter().map(SessionId).collect(),
        },
    )
}
