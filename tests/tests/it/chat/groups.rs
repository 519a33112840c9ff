//! A group's life, and who may do what in it.

use protocol::v1::{self, ErrorCode, EventKind, Role};
use tests::harness::{Daemon, Setup, User, message_id, refused, text};

fn change(event: &v1::Event) -> v1::GroupChange {
    event
        .body
        .clone()
        .and_then(|body| body.group)
        .expect("what changed")
}

fn members(user: &mut User, group: u64) -> Vec<(u64, Role)> {
    let list = v1::ListMembersRequest {
        conversation_id: group,
        after_user_id: 0,
        limit: 100,
    };
    user.get(list)
        .members
        .iter()
        .map(|member| (member.user_id, member.role()))
        .collect()
}

#[test]
fn a_group_lives() {
    let daemon = Daemon::start();
    let [mut ada, mut bob, mut cyd] = daemon.register_all(["ada", "bob", "cyd"]);
    let group = ada.group("us", &[bob.id]);
    let created = bob.pushed();
    assert_eq!(
        (created.kind(), created.seq, created.ordinal),
        (EventKind::GroupCreated, 1, 0)
    );
    assert_eq!(created.roster, 1);
    assert_eq!(change(&created).name, "us");
    assert_eq!(change(&created).user_ids, [ada.id, bob.id]);
    let view = bob.view(group);
    assert_eq!(
        (view.kind(), view.name.as_str()),
        (v1::ConversationKind::Group, "us")
    );
    assert_eq!(
        (view.role(), view.member_count, view.member, view.disbanded),
        (Role::Member, 2, true, false)
    );

    bob.add(group, &[cyd.id]).unwrap();
    let added = bob.pushed();
    assert_eq!((added.kind(), added.sender_id), (EventKind::MembersAdded, bob.id));
    assert_eq!(change(&added).user_ids, [cyd.id]);
    assert_eq!(cyd.pushed(), added, "whoever is added is told by the same event");
    assert_eq!(
        members(&mut cyd, group),
        [
            (ada.id, Role::Owner),
            (bob.id, Role::Member),
            (cyd.id, Role::Member)
        ]
    );

    ada.rename(group, "we").unwrap();
    let renamed = cyd.pushed();
    assert_eq!(
        (renamed.kind(), change(&renamed).name.as_str()),
        (EventKind::GroupRenamed, "we")
    );
    assert_eq!(cyd.view(group).name, "we");

    ada.set_role(group, bob.id, Role::Admin).unwrap();
    let promoted = cyd.pushed();
    assert_eq!(
        (promoted.kind(), change(&promoted).role()),
        (EventKind::RoleChanged, Role::Admin)
    );
    assert_eq!(change(&promoted).user_ids, [bob.id]);

    bob.remove(group, cyd.id).unwrap();
    let removed = cyd.pushed();
    assert_eq!(
        (removed.kind(), change(&removed).user_ids),
        (EventKind::MemberRemoved, vec![cyd.id])
    );

    bob.leave(group).unwrap();
    let left = loop {
        let event = bob.pushed();
        if event.kind() == EventKind::MemberLeft {
            break event;
        }
    };
    assert_eq!((left.sender_id, change(&left).user_ids), (bob.id, vec![bob.id]));
    assert_eq!(members(&mut ada, group), [(ada.id, Role::Owner)]);

    ada.text(group, "alone");
    ada.disband(group).unwrap();
    assert!(ada.view(group).disbanded);
    let kinds: Vec<EventKind> = ada.history(group).iter().map(v1::Event::kind).collect();
    assert_eq!(
        kinds,
        [
            EventKind::GroupCreated,
            EventKind::MembersAdded,
            EventKind::GroupRenamed,
            EventKind::RoleChanged,
            EventKind::MemberRemoved,
            EventKind::MemberLeft,
            EventKind::Text,
            EventKind::GroupDisbanded
        ]
    );
}

#[test]
fn a_disbanded_group_is_read_and_no_more_written() {
    let daemon = Daemon::start();
    let [mut ada, mut bob, cyd] = daemon.register_all(["ada", "bob", "cyd"]);
    let group = ada.group("us", &[bob.id]);
    ada.text(group, "good times");
    ada.disband(group).unwrap();
    assert_eq!(bob.history(group).len(), 3);
    assert_eq!(bob.texts(group), ["good times"]);
    let view = bob.view(group);
    assert!(view.disbanded && view.member);
    let (ada_id, bob_id) = (ada.id, bob.id);
    let refusals = [
        ada.ask(text(group, "still there?")),
        ada.about(EventKind::Edit, group, 2, "better times"),
        ada.about(EventKind::Recall, group, 2, ""),
        bob.about(EventKind::Reaction, group, 2, "x"),
        ada.add(group, &[cyd.id]),
        ada.remove(group, bob_id),
        bob.leave(group),
        ada.set_role(group, bob_id, Role::Admin),
        ada.set_role(group, ada_id, Role::Member),
        ada.rename(group, "ghosts"),
        ada.disband(group),
    ];
    for refusal in refusals {
        assert_eq!(refused(refusal), ErrorCode::Gone);
    }
    assert_eq!(ada.view(group).head_seq, 3);
}

/// Who asks for something in a group.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Who {
    Owner,
    Admin,
    Member,
    Former,
    Stranger,
}

const EVERYBODY: [Who; 5] = [Who::Owner, Who::Admin, Who::Member, Who::Former, Who::Stranger];

/// A group of an owner, two admins, two members and a former member, and a stranger; everybody has a name.
struct Cast {
    daemon: Daemon,
    owner: User,
    admin: User,
    member: User,
    former: User,
    stranger: User,
    other_admin: u64,
    other_member: u64,
}

impl Cast {
    fn new(config: &str) -> Self {
        let daemon = Setup::config(config).start();
        let [owner, admin, member, former, stranger] =
            daemon.register_all(["olga", "agnes", "mary", "fiona", "stella"]);
        let [other_admin, other_member] = daemon.register_all(["anton", "mark"]).map(|user| user.id);
        Self {
            daemon,
            owner,
            admin,
            member,
            former,
            stranger,
            other_admin,
            other_member,
        }
    }

    /// A new group of theirs, so that no case sees what another did.
    fn group(&mut self) -> u64 {
        let (admin, other) = (self.admin.id, self.other_admin);
        let ids = [admin, other, self.member.id, self.other_member, self.former.id];
        let group = self.owner.group("us", &ids);
        for user in [admin, other] {
            self.owner.set_role(group, user, Role::Admin).unwrap();
        }
        self.former.leave(group).unwrap();
        group
    }

    fn who(&mut self, who: Who) -> &mut User {
        match who {
            Who::Owner => &mut self.owner,
            Who::Admin => &mut self.admin,
            Who::Member => &mut self.member,
            Who::Former => &mut self.former,
            Who::Stranger => &mut self.stranger,
        }
    }

    /// What each of [`EVERYBODY`] is answered.
    fn matrix(
        &mut self,
        mut attempt: impl FnMut(&mut User, u64) -> Result<v1::SendResponse, v1::Error>,
    ) -> [Option<ErrorCode>; 5] {
        EVERYBODY.map(|who| {
            let group = self.group();
            let head = self.owner.view(group).head_seq;
            let outcome = attempt(self.who(who), group).err().map(|refusal| refusal.code());
            let after = self.owner.page(group, head + 1, 1);
            let grown = after.is_ok_and(|page| !page.events.is_empty());
            assert_eq!(grown, outcome.is_none(), "{who:?}: refused means unchanged");
            outcome
        })
    }
}

const OK: Option<ErrorCode> = None;
const NO: Option<ErrorCode> = Some(ErrorCode::Forbidden);
const NOT_FOUND: Option<ErrorCode> = Some(ErrorCode::NotFound);
const NOTHING: Option<ErrorCode> = Some(ErrorCode::Conflict);

#[test]
fn roles_decide_who_may_do_what() {
    let mut cast = Cast::new("");
    let newcomer = cast.daemon.register("newcomer").id;
    let (owner, admin, member) = (cast.owner.id, cast.other_admin, cast.other_member);
    let (former, stranger) = (cast.former.id, cast.stranger.id);
    // Rows: what is asked. Columns: owner, admin, member, former member, stranger.
    let everybody = |code| [code, code, code, NO, NOT_FOUND];
    assert_eq!(
        cast.matrix(|user, group| user.ask(text(group, "hi"))),
        everybody(OK),
        "send"
    );
    assert_eq!(
        cast.matrix(|user, group| user.add(group, &[newcomer])),
        everybody(OK),
        "add"
    );
    assert_eq!(
        cast.matrix(|user, group| user.add(group, &[member])),
        everybody(NOTHING),
        "add a member"
    );
    assert_eq!(
        cast.matrix(|user, group| user.add(group, &[999_999])),
        everybody(NOT_FOUND),
        "add nobody"
    );
    assert_eq!(
        cast.matrix(|user, group| user.remove(group, member)),
        [OK, OK, NO, NO, NOT_FOUND],
        "remove a member"
    );
    assert_eq!(
        cast.matrix(|user, group| user.remove(group, admin)),
        [OK, NO, NO, NO, NOT_FOUND],
        "remove an admin"
    );
    assert_eq!(
        cast.matrix(|user, group| user.remove(group, owner)),
        [NO, NO, NO, NO, NOT_FOUND],
        "remove the owner"
    );
    assert_eq!(
        cast.matrix(|user, group| user.remove(group, user.id)),
        [NO, NO, NO, NO, NOT_FOUND],
        "remove oneself"
    );
    assert_eq!(
        cast.matrix(|user, group| user.remove(group, former)),
        [NOT_FOUND, NOT_FOUND, NO, NO, NOT_FOUND],
        "remove a former member"
    );
    assert_eq!(
        cast.matrix(|user, group| user.leave(group)),
        [NO, OK, OK, NO, NOT_FOUND],
        "leave"
    );
    for role in [Role::Admin, Role::Owner] {
        assert_eq!(
            cast.matrix(|user, group| user.set_role(group, member, role)),
            [OK, NO, NO, NO, NOT_FOUND],
            "promote a member to {role:?}"
        );
        assert_eq!(
            cast.matrix(|user, group| user.set_role(group, user.id, role)),
            [
                if role == Role::Owner { NOTHING } else { NO },
                NO,
                NO,
                NO,
                NOT_FOUND
            ],
            "promote oneself to {role:?}"
        );
    }
    assert_eq!(
        cast.matrix(|user, group| user.set_role(group, admin, Role::Member)),
        [OK, NO, NO, NO, NOT_FOUND],
        "demote an admin"
    );
    assert_eq!(
        cast.matrix(|user, group| user.set_role(group, owner, Role::Member)),
        [NO, NO, NO, NO, NOT_FOUND],
        "demote the last owner"
    );
    assert_eq!(
        cast.matrix(|user, group| user.set_role(group, stranger, Role::Admin)),
        [NOT_FOUND, NO, NO, NO, NOT_FOUND],
        "promote a stranger"
    );
    assert_eq!(
        cast.matrix(|user, group| user.rename(group, "we")),
        [OK, OK, NO, NO, NOT_FOUND],
        "rename"
    );
    assert_eq!(
        cast.matrix(|user, group| user.disband(group)),
        [OK, NO, NO, NO, NOT_FOUND],
        "disband"
    );
}

#[test]
fn adding_can_be_left_to_those_who_lead() {
    let mut cast = Cast::new("[groups]\nmembers_may_add = false\n");
    let newcomer = cast.daemon.register("newcomer").id;
    assert_eq!(
        cast.matrix(|user, group| user.add(group, &[newcomer])),
        [OK, OK, NO, NO, NOT_FOUND]
    );
}

#[test]
fn an_owner_leaves_once_there_is_another() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let group = ada.group("us", &[bob.id]);
    assert_eq!(refused(ada.leave(group)), ErrorCode::Forbidden);
    ada.set_role(group, bob.id, Role::Owner).unwrap();
    ada.leave(group).unwrap();
    assert_eq!(members(&mut bob, group), [(bob.id, Role::Owner)]);
    // The last one may just go.
    bob.leave(group).unwrap();
    assert!(!bob.view(group).member);
}

#[test]
fn a_group_and_a_persons_groups_have_limits() {
    let daemon = Setup::config("[groups]\nmembers = 3\nper_user = 2\n").start();
    let [mut ada, mut bob, cyd, dan] = daemon.register_all(["ada", "bob", "cyd", "dan"]);
    let create = |name: &str, user_ids: Vec<u64>| v1::CreateGroupRequest {
        client_msg_id: message_id(),
        name: name.to_owned(),
        user_ids,
    };
    assert_eq!(
        ada.refused(create("four", vec![bob.id, cyd.id, dan.id])),
        ErrorCode::LimitReached
    );
    let first = ada.group("three", &[bob.id, cyd.id]);
    assert_eq!(refused(ada.add(first, &[dan.id])), ErrorCode::LimitReached);
    // Room is made, and taken.
    ada.remove(first, cyd.id).unwrap();
    ada.add(first, &[dan.id]).unwrap();
    ada.group("second", &[bob.id]);
    assert_eq!(ada.refused(create("third", vec![])), ErrorCode::LimitReached);
    let mut cyd = cyd;
    let others = cyd.group("cyd's", &[]);
    assert_eq!(
        refused(cyd.add(others, &[bob.id])),
        ErrorCode::LimitReached,
        "bob is in two"
    );
    // Leaving one makes room for another.
    bob.leave(first).unwrap();
    cyd.add(others, &[bob.id]).unwrap();
}

#[test]
fn members_are_listed_in_pages() {
    let daemon = Daemon::start();
    let mut people: Vec<User> = (0..7)
        .map(|number| daemon.register(&format!("p{number}")))
        .collect();
    let ids: Vec<u64> = people.iter().map(|user| user.id).collect();
    let group = people[3].group("seven", &ids);
    let mut listed = Vec::new();
    let mut after_user_id = 0;
    loop {
        let page = people[0].get(v1::ListMembersRequest {
            conversation_id: group,
            after_user_id,
            limit: 3,
        });
        assert_eq!(page.more, listed.len() + page.members.len() < 7);
        after_user_id = page.members.last().unwrap().user_id;
        listed.extend(page.members);
        if !page.more {
            break;
        }
    }
    assert_eq!(
        listed.iter().map(|member| member.user_id).collect::<Vec<_>>(),
        ids
    );
    assert!(listed.iter().all(|member| member.joined_seq == 1));
    assert_eq!(listed[3].role(), Role::Owner);
    assert_eq!(listed[2].name, "p2");
    // A 1:1 conversation has two.
    let direct = people[0].direct(ids[1]);
    people[0].text(direct, "hi");
    assert_eq!(members(&mut people[0], direct).len(), 2);
}

#[test]
fn group_requests_are_for_groups() {
    let daemon = Daemon::start();
    let [mut ada, bob] = daemon.register_all(["ada", "bob"]);
    let direct = ada.direct(bob.id);
    ada.text(direct, "just us");
    for id in [direct, ada.own()] {
        assert_eq!(refused(ada.add(id, &[bob.id])), ErrorCode::Invalid);
        assert_eq!(refused(ada.leave(id)), ErrorCode::Invalid);
        assert_eq!(refused(ada.rename(id, "x")), ErrorCode::Invalid);
        assert_eq!(refused(ada.disband(id)), ErrorCode::Invalid);
    }
}
