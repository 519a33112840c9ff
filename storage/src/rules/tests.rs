//! The rules over values: no store.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::*;
use crate::{
    setting::GroupSetting,
    types::{ClientId, DeviceClass, EventKind, Fingerprint, Session, SessionId},
    write::{Action, Append, CursorMove, DevicePolicy, MessageKinds, NewSession, Outcome, Revoke, Rules},
};

const ANN: UserId = UserId(1);
const BOB: UserId = UserId(2);
const CAT: UserId = UserId(3);
const GROUP: ConversationId = ConversationId(1 << 61 | 7);
const DIRECT: ConversationId = ConversationId(1 << 62 | 1 << 31 | 2);
const NOW: Timestamp = Timestamp(1_000);

/// What is known, as values. Ann is the owner of a group of two, and Bob a member.
#[derive(Clone)]
struct Known {
    head: Option<Head>,
    membership: Option<Membership>,
    target: Option<Target>,
    edits: u64,
    reactions: u64,
    reaction: Option<String>,
    settings: GroupSettings,
    accounts: u64,
    roles: BTreeMap<UserId, Role>,
    left_at: Vec<Timestamp>,
    groups: BTreeMap<UserId, u64>,
    entries: BTreeMap<(UserId, String), EntryView>,
}

impl Known {
    fn group_as(role: Role) -> Self {
        Self {
            head: Some(Head {
                seq: Seq(4),
                ordinal: 3,
                roster: Seq(1),
                member_count: 2,
                disbanded: false,
                closed: Closed::default(),
            }),
            membership: Some(Membership { role, is_over: false }),
            target: Some(Target {
                sender: BOB,
                kind: 1,
                expires_at: Timestamp(0),
                recalled: false,
            }),
            edits: 0,
            reactions: 0,
            reaction: None,
            settings: GroupSettings::of(GroupSetting::Name, "group"),
            accounts: 3,
            roles: BTreeMap::from([(ANN, role), (BOB, Role::Member)]),
            left_at: Vec::new(),
            groups: BTreeMap::new(),
            entries: BTreeMap::new(),
        }
    }
}

type Answer<T> = Result<T, Stop<()>>;

impl Lookup for Known {
    type Failure = ();

    fn head(&mut self, _: ConversationId) -> Answer<Option<Head>> {
        Ok(self.head)
    }

    fn membership(&mut self, _: ConversationId) -> Answer<Option<Membership>> {
        Ok(self.membership)
    }

    fn target(&mut self, _: Seq) -> Answer<Option<Target>> {
        Ok(self.target)
    }

    fn edits_of(&mut self, _: Seq) -> Answer<u64> {
        Ok(self.edits)
    }

    fn reactions_to(&mut self, _: Seq) -> Answer<u64> {
        Ok(self.reactions)
    }

    fn reaction(&mut self, _: Seq) -> Answer<Option<String>> {
        Ok(self.reaction.clone())
    }

    fn settings(&mut self) -> Answer<GroupSettings> {
        Ok(self.settings.clone())
    }

    fn all_exist(&mut self, mut users: impl Iterator<Item = UserId>) -> Answer<bool> {
        Ok(users.all(|user| user.0 <= self.accounts))
    }

    fn role_of(&mut self, user: UserId) -> Answer<Option<Role>> {
        Ok(self.roles.get(&user).copied())
    }

    fn members_among(&mut self, users: &BTreeSet<UserId>) -> Answer<Vec<UserId>> {
        Ok(self
            .roles
            .keys()
            .copied()
            .filter(|user| users.contains(user))
            .collect())
    }

    fn left_at(&mut self, _: &BTreeSet<UserId>) -> Answer<Vec<Timestamp>> {
        Ok(self.left_at.clone())
    }

    fn owners(&mut self) -> Answer<u64> {
        Ok(self.roles.values().filter(|role| **role == Role::Owner).count() as u64)
    }

    fn entry(&mut self, of: UserId, key: &str) -> Answer<Option<EntryView>> {
        Ok(self.entries.get(&(of, key.to_owned())).cloned())
    }

    fn classes(&mut self, asked: &[(UserId, String)]) -> Answer<Vec<Option<EntryClass>>> {
        let class = |key| self.entries.get(key).map(|entry| entry.class);
        Ok(asked.iter().map(class).collect())
    }

    fn entries_of(&mut self, user: UserId, class: EntryClass, since: Timestamp) -> Answer<u64> {
        let of_user = self.entries.iter().filter(|((of, _), _)| *of == user);
        let counted = of_user.filter(|(_, entry)| entry.class == class && entry.at > since);
        Ok(counted.count() as u64)
    }

    fn oldest_entry(&mut self, of: UserId, class: EntryClass) -> Answer<Option<String>> {
        let of_user = self.entries.iter().filter(|((user, _), _)| *user == of);
        let of_class = of_user.filter(|(_, entry)| entry.class == class);
        Ok(of_class
            .min_by_key(|(_, entry)| (entry.at, entry.seq))
            .map(|((_, key), _)| key.clone()))
    }

    fn groups_of(&mut self, _: &BTreeSet<UserId>) -> Answer<BTreeMap<UserId, u64>> {
        Ok(self.groups.clone())
    }
}

/// Of Ann.
fn append(conversation: ConversationId, action: Action) -> Append {
    Append {
        conversation,
        sender: ANN,
        client_id: ClientId([1; 16]),
        fingerprint: Fingerprint([2; 16]),
        at: NOW,
        action,
    }
}

const RULES: Rules = Rules {
    group_members_max: 3,
    groups_per_user_max: 4,
    groups_put_into_max: 2,
    put_back_after_ms: 100,
    members_may_add: false,
    message_edits_max: 2,
    message_reactions_max: 2,
    entries_max: 3,
    friends_max: 2,
    friend_requests_max: 2,
    blocks_max: 2,
};

fn decided(known: &Known, conversation: ConversationId, action: Action) -> Result<EventKind, Refused> {
    let append = append(conversation, action);
    match decide(&RULES, &append, &mut known.clone()) {
        Ok(drafts) => {
            assert!(drafts.others.is_empty());
            assert_eq!(drafts.first.conversation, conversation);
            Ok(drafts.first.kind)
        }
        Err(Stop::Refused(refused)) => Err(refused),
        Err(Stop::Failed(())) => unreachable!("nothing fails here"),
    }
}

fn message(kind: u8, reply_to: u64) -> Action {
    Action::Message {
        kind,
        body: Bytes::new(),
        expires_at: Timestamp(0),
        reply_to: Seq(reply_to),
    }
}

fn react(reaction: &str) -> Action {
    Action::React {
        target: Seq(2),
        reaction: reaction.to_owned(),
        body: Bytes::new(),
    }
}

const EDIT: Action = Action::Edit {
    target: Seq(2),
    body: Bytes::new(),
    fits: MessageKinds::NONE.and(1),
};
const RECALL: Action = Action::Recall { target: Seq(2) };

/// A change of what is known of the group, as its member or more.
type With = fn(&mut Known);

#[test]
fn who_may_write_and_change_messages() {
    let own: With = |known| known.target.as_mut().unwrap().sender = ANN;
    let table: &[(With, Role, Action, Result<EventKind, Refused>)] = &[
        (|_| {}, Role::Member, message(1, 0), Ok(EventKind::Message(1))),
        (|_| {}, Role::Member, message(31, 2), Ok(EventKind::Message(31))),
        (|_| {}, Role::Member, message(0, 0), Err(Refused::Forbidden)),
        (|_| {}, Role::Member, message(32, 0), Err(Refused::Forbidden)),
        (
            |known| known.target = None,
            Role::Member,
            message(1, 2),
            Err(Refused::NotFound),
        ),
        (
            |known| known.head = None,
            Role::Member,
            message(1, 0),
            Err(Refused::NotFound),
        ),
        (
            |known| known.membership = None,
            Role::Member,
            message(1, 0),
            Err(Refused::NotFound),
        ),
        (
            |known| known.membership.as_mut().unwrap().is_over = true,
            Role::Member,
            message(1, 0),
            Err(Refused::Forbidden),
        ),
        (
            |known| known.head.as_mut().unwrap().disbanded = true,
            Role::Owner,
            message(1, 0),
            Err(Refused::Gone),
        ),
        (own, Role::Member, EDIT, Ok(EventKind::Edit)),
        (|_| {}, Role::Owner, EDIT, Err(Refused::Forbidden)),
        (own, Role::Member, RECALL, Ok(EventKind::Recall)),
        (|_| {}, Role::Member, RECALL, Err(Refused::Forbidden)),
        (|_| {}, Role::Admin, RECALL, Ok(EventKind::Recall)),
        (
            |known| known.target.as_mut().unwrap().recalled = true,
            Role::Admin,
            RECALL,
            Err(Refused::Gone),
        ),
        (|_| {}, Role::Member, react("+"), Ok(EventKind::Reaction)),
        (|_| {}, Role::Member, react(""), Err(Refused::NothingToDo)),
        (
            |known| known.reactions = 2,
            Role::Member,
            react("+"),
            Err(Refused::LimitReached),
        ),
        (
            |known| (known.reactions, known.reaction) = (2, Some("-".to_owned())),
            Role::Member,
            react("+"),
            Ok(EventKind::Reaction),
        ),
        (
            |known| known.reaction = Some("+".to_owned()),
            Role::Member,
            react("+"),
            Err(Refused::NothingToDo),
        ),
        (
            |known| known.target.as_mut().unwrap().expires_at = NOW,
            Role::Member,
            react("+"),
            Err(Refused::Gone),
        ),
    ];
    for (number, (with, role, action, expected)) in table.iter().enumerate() {
        let mut known = Known::group_as(*role);
        with(&mut known);
        assert_eq!(decided(&known, GROUP, action.clone()), *expected, "row {number}");
    }
    let mut known = Known::group_as(Role::Member);
    own(&mut known);
    for (with, expected) in [
        ((|known| known.edits = 2) as With, Refused::LimitReached),
        (|known| known.target.as_mut().unwrap().kind = 2, Refused::Unfit),
        (
            |known| known.target.as_mut().unwrap().expires_at = NOW,
            Refused::Gone,
        ),
    ] {
        let mut known = known.clone();
        with(&mut known);
        assert_eq!(decided(&known, GROUP, EDIT), Err(expected));
    }
}

#[test]
fn a_first_message_asks_for_the_accounts() {
    let mut known = Known::group_as(Role::Member);
    known.head = None;
    known.membership = None;
    assert_eq!(decided(&known, DIRECT, message(1, 0)), Ok(EventKind::Message(1)));
    known.accounts = 1;
    assert_eq!(decided(&known, DIRECT, message(1, 0)), Err(Refused::NotFound));
    // A user who had an account at the first event has one now.
    known.head = Known::group_as(Role::Member).head;
    assert_eq!(decided(&known, DIRECT, message(1, 0)), Ok(EventKind::Message(1)));
    let others = ConversationId(1 << 62 | 2 << 31 | 3);
    assert_eq!(decided(&known, others, message(1, 0)), Err(Refused::NotFound));
    assert_eq!(
        decided(&known, ConversationId(0), message(1, 0)),
        Err(Refused::NotFound)
    );
}

#[test]
fn who_may_do_what_to_a_group() {
    let add = || Action::AddMembers {
        users: vec![CAT, BOB],
    };
    let remove = |user| Action::RemoveMember { user };
    let set = |user, role| Action::SetRole { user, role };
    let rename = |name: &str| Action::Set {
        setting: GroupSetting::Name,
        value: name.to_owned(),
    };
    let table: &[(With, Role, Action, Result<EventKind, Refused>)] = &[
        (|_| {}, Role::Member, add(), Err(Refused::Forbidden)),
        (|_| {}, Role::Admin, add(), Ok(EventKind::MembersAdded)),
        (
            |known| known.accounts = 2,
            Role::Admin,
            add(),
            Err(Refused::NotFound),
        ),
        (
            |known| _ = known.roles.insert(CAT, Role::Member),
            Role::Admin,
            add(),
            Err(Refused::NothingToDo),
        ),
        (
            |known| known.head.as_mut().unwrap().member_count = 3,
            Role::Admin,
            add(),
            Err(Refused::LimitReached),
        ),
        (
            |known| _ = known.groups.insert(CAT, 2),
            Role::Admin,
            add(),
            Err(Refused::LimitReached),
        ),
        (
            |known| known.left_at.push(Timestamp(NOW.0 - 99)),
            Role::Admin,
            add(),
            Err(Refused::Forbidden),
        ),
        (
            |known| known.left_at.push(Timestamp(NOW.0 - 100)),
            Role::Admin,
            add(),
            Ok(EventKind::MembersAdded),
        ),
        (|_| {}, Role::Member, remove(BOB), Err(Refused::Forbidden)),
        (|_| {}, Role::Admin, remove(BOB), Ok(EventKind::MemberRemoved)),
        (|_| {}, Role::Admin, remove(CAT), Err(Refused::NotFound)),
        (|_| {}, Role::Owner, remove(ANN), Err(Refused::Forbidden)),
        (
            |known| _ = known.roles.insert(BOB, Role::Admin),
            Role::Admin,
            remove(BOB),
            Err(Refused::Forbidden),
        ),
        (|_| {}, Role::Member, Action::Leave, Ok(EventKind::MemberLeft)),
        (|_| {}, Role::Owner, Action::Leave, Err(Refused::Forbidden)),
        (
            |known| _ = known.roles.insert(BOB, Role::Owner),
            Role::Owner,
            Action::Leave,
            Ok(EventKind::MemberLeft),
        ),
        (
            |_| {},
            Role::Admin,
            set(BOB, Role::Admin),
            Err(Refused::Forbidden),
        ),
        (
            |_| {},
            Role::Owner,
            set(BOB, Role::Admin),
            Ok(EventKind::RoleChanged),
        ),
        (
            |_| {},
            Role::Owner,
            set(BOB, Role::Member),
            Err(Refused::NothingToDo),
        ),
        (
            |_| {},
            Role::Owner,
            set(ANN, Role::Admin),
            Err(Refused::Forbidden),
        ),
        (|_| {}, Role::Member, rename("other"), Err(Refused::Forbidden)),
        (|_| {}, Role::Admin, rename("other"), Ok(EventKind::GroupRenamed)),
        (|_| {}, Role::Admin, rename("group"), Err(Refused::NothingToDo)),
        (|_| {}, Role::Admin, Action::Disband, Err(Refused::Forbidden)),
        (
            |_| {},
            Role::Owner,
            Action::Disband,
            Ok(EventKind::GroupDisbanded),
        ),
    ];
    for (number, (with, role, action, expected)) in table.iter().enumerate() {
        let mut known = Known::group_as(*role);
        with(&mut known);
        assert_eq!(decided(&known, GROUP, action.clone()), *expected, "row {number}");
        if *expected != Err(Refused::NotFound) {
            assert!(
                decided(&known, DIRECT, action.clone()).is_err(),
                "row {number}, in a 1:1 conversation"
            );
        }
    }
}

#[test]
fn who_makes_a_group_may_be_in_more_than_who_is_put_into_it() {
    let create = || Action::CreateGroup {
        name: "new".to_owned(),
        members: vec![BOB, ANN, BOB],
    };
    let mut known = Known::group_as(Role::Member);
    assert_eq!(decided(&known, GROUP, create()), Err(Refused::Conflict));
    known.head = None;
    known.groups = BTreeMap::from([(ANN, 3), (BOB, 1)]);
    assert_eq!(decided(&known, GROUP, create()), Ok(EventKind::GroupCreated));
    for (user, groups) in [(ANN, 4), (BOB, 2)] {
        let mut known = known.clone();
        known.groups.insert(user, groups);
        assert_eq!(decided(&known, GROUP, create()), Err(Refused::LimitReached));
    }
    assert_eq!(decided(&known, DIRECT, create()), Err(Refused::NotFound));
}

#[test]
fn an_event_follows_the_head_of_its_log() {
    let head = Known::group_as(Role::Owner).head;
    let mut known = Known::group_as(Role::Owner);
    let event = |known: &mut Known, action, head| {
        let append = append(GROUP, action);
        let drafts = decide(&RULES, &append, known).expect("a draft");
        drafts.first.into_event(NOW, crate::Position(9), head)
    };
    let said = event(&mut known, message(1, 0), head);
    assert_eq!((said.seq, said.ordinal, said.roster), (Seq(5), 4, Seq(1)));
    let removed = event(&mut known, Action::RemoveMember { user: BOB }, head);
    assert_eq!(
        (removed.seq, removed.ordinal, removed.roster),
        (Seq(5), 3, Seq(5))
    );
    let first = event(&mut known, message(1, 0), None);
    assert_eq!((first.seq, first.ordinal, first.roster), (Seq(1), 1, Seq(0)));
}

fn session(id: u64, device: &str, class: DeviceClass, seen: u64) -> Session {
    Session {
        id: SessionId(id),
        user: ANN,
        device_id: device.to_owned(),
        class,
        device_name: String::new(),
        created_at: Timestamp(1),
        last_seen_at: Timestamp(seen),
    }
}

#[test]
fn sessions_give_way_by_device_then_class_then_number() {
    let others = vec![
        session(1, "a", DeviceClass::Mobile, 50),
        session(2, "b", DeviceClass::Mobile, 10),
        session(3, "c", DeviceClass::Mobile, 20),
        session(4, "d", DeviceClass::Web, 5),
    ];
    let new = |device: &str, online: &[u64], mobile, total| NewSession {
        session: session(9, device, DeviceClass::Mobile, 60),
        token_hash: crate::TokenHash([0; 32]),
        policy: DevicePolicy {
            total,
            mobile,
            desktop: 9,
            web: 9,
            script: 9,
        },
        online: online.iter().copied().map(SessionId).collect(),
    };
    let table: [(NewSession, Option<u64>, &[u64]); 5] = [
        (new("z", &[], 9, 9), None, &[]),
        (new("c", &[], 9, 9), Some(3), &[]),
        (new("z", &[], 3, 9), None, &[2]),
        // Who is connected goes last.
        (new("z", &[2], 3, 9), None, &[3]),
        (new("z", &[], 3, 3), None, &[2, 4]),
    ];
    for (new, replaced, displaced) in table {
        let ended = make_room(others.clone(), &new);
        assert_eq!(ended.replaced, replaced.map(SessionId));
        assert_eq!(
            ended.displaced,
            displaced.iter().copied().map(SessionId).collect::<Vec<_>>()
        );
    }
    assert_eq!(ended_by(Revoke::One(ANN, SessionId(2)), &others), [SessionId(2)]);
    assert_eq!(ended_by(Revoke::One(ANN, SessionId(7)), &others), []);
    let kept = ended_by(Revoke::Others(ANN, SessionId(2)), &others);
    assert_eq!(kept, [1, 3, 4].map(SessionId));
}

#[test]
fn cursors_move_forward_to_the_head_at_most() {
    let at = |delivered, read| CursorMove {
        conversation: GROUP,
        user: ANN,
        delivered: Seq(delivered),
        read: Seq(read),
    };
    let head = Seq(5);
    for (wanted, old, new, beyond) in [
        ((3, 0), (0, 0), Some((3, 0)), false),
        // Reading is having.
        ((0, 4), (1, 0), Some((4, 4)), false),
        ((2, 1), (3, 2), None, false),
        ((9, 0), (0, 0), Some((5, 0)), true),
        ((0, 9), (5, 5), None, true),
    ] {
        let mut moves = Moves::default();
        let found = moves.judge(&at(wanted.0, wanted.1), head, &at(old.0, old.1));
        assert_eq!(found, new.map(|(delivered, read)| at(delivered, read)));
        let position = crate::Position(u64::from(new.is_some()) * 8);
        let beyond = if beyond { vec![(GROUP, ANN)] } else { vec![] };
        let expected = Outcome::Cursors(found.into_iter().collect(), position, beyond);
        assert_eq!(moves.outcome(crate::Position(8)), expected);
    }
}
