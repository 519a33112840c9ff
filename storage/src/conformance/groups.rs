//! Groups: how they begin, change, grow to their limits and end.

use super::{
    cases,
    world::{
        ANN, BOB, CAT, DAN, GROUP, NOBODY, OWN, PAIR, World, add, edit, group, message, recall, rename, set,
    },
};
use crate::{
    Action, ConversationId, ConversationKind, EventKind, Fingerprint, GroupChange, GroupSetting,
    GroupSettings, Interval, MemberView, Refused, Role, Rules, Seq, UserId,
};

cases![
    a_group_begins_with_its_members,
    a_group_needs_people_that_exist,
    a_group_s_id_is_taken_once,
    a_group_needs_a_group_s_id,
    a_full_group with Rules { group_members_max: 3, ..super::RULES },
    a_user_with_enough_groups with Rules { groups_per_user_max: 2, groups_put_into_max: 2, ..super::RULES },
    ended_groups_count_for_nobody with Rules { groups_per_user_max: 1, groups_put_into_max: 1, ..super::RULES },
    others_do_not_use_up_ones_own_groups with Rules { groups_per_user_max: 3, groups_put_into_max: 2, ..super::RULES },
    who_left_is_not_put_back_at_once with Rules { put_back_after_ms: 1_000, ..super::RULES },
    members_are_added,
    who_is_a_member_is_not_added,
    only_admins_add_where_the_rules_say_so with Rules { members_may_add: false, ..super::RULES },
    someone_is_removed,
    the_last_owner_cannot_leave_others,
    the_last_member_can_leave,
    roles_are_given,
    a_group_keeps_an_owner,
    a_group_is_renamed,
    every_setting_is_changed_alone,
    a_group_ends,
    who_comes_back_sees_two_stretches,
    intervals_for_the_planner,
    members_are_listed_in_pages,
    pairs_and_own_logs_are_no_groups,
];

fn members(world: &mut World, viewer: UserId) -> Option<Vec<MemberView>> {
    world
        .reader
        .members(viewer, GROUP, UserId(0), 100)
        .expect("an answer")
}

fn roles(world: &mut World) -> Vec<(UserId, Role)> {
    let members = members(world, ANN).expect("members");
    members
        .into_iter()
        .map(|member| (member.user.id, member.role))
        .collect()
}

fn change_of(users: &[UserId]) -> GroupChange {
    GroupChange {
        users: users.to_vec(),
        ..GroupChange::default()
    }
}

fn create(members: &[UserId]) -> Action {
    Action::CreateGroup {
        name: "group".to_owned(),
        members: members.to_vec(),
    }
}

fn a_group_begins_with_its_members(world: &mut World) {
    world.people();
    let event = world.group_of(&[CAT, BOB, CAT, ANN]);
    assert_eq!((event.kind, event.seq), (EventKind::GroupCreated, Seq(1)));
    let expected = GroupChange {
        users: vec![ANN, BOB, CAT],
        role: None,
        settings: GroupSettings::of(GroupSetting::Name, "group"),
    };
    assert_eq!(event.change, Some(expected));
    assert_eq!(
        roles(world),
        [(ANN, Role::Owner), (BOB, Role::Member), (CAT, Role::Member)]
    );
    let view = world.view(BOB, GROUP);
    assert_eq!(
        (view.kind, view.settings.get(GroupSetting::Name)),
        (ConversationKind::Group, "group")
    );
    assert_eq!(
        (view.role, view.member, view.member_count),
        (Some(Role::Member), true, 3)
    );
    assert_eq!((view.head, view.first, view.roster), (Seq(1), Seq(1), Seq(1)));
    assert_eq!((view.unread, view.disbanded, view.peer), (0, false, None));
    assert_eq!(world.view(ANN, GROUP).role, Some(Role::Owner));
    assert_eq!(world.page(BOB, GROUP).events[0].event, event, "as it is read");
}

fn a_group_needs_people_that_exist(world: &mut World) {
    world.people();
    world.refuse(GROUP, ANN, create(&[BOB, NOBODY]), Refused::NotFound);
    world.refuse(GROUP, NOBODY, create(&[BOB]), Refused::NotFound);
    world.act(GROUP, ANN, create(&[]));
}

fn a_group_s_id_is_taken_once(world: &mut World) {
    world.people();
    let request = world.request(GROUP, ANN, create(&[BOB]));
    world.append(request.clone()).expect("created");
    assert!(world.append(request.clone()).expect("the same").duplicate);
    let mut other = request;
    other.fingerprint = Fingerprint([9; 16]);
    assert_eq!(world.append(other), Err(Refused::Conflict));
    world.refuse(GROUP, ANN, create(&[BOB]), Refused::Conflict);
    world.refuse(GROUP, CAT, create(&[NOBODY]), Refused::Conflict);
}

fn a_group_needs_a_group_s_id(world: &mut World) {
    world.people();
    for id in [PAIR, OWN, ConversationId(0), ConversationId(1 << 63)] {
        world.refuse(id, ANN, create(&[]), Refused::NotFound);
    }
}

fn a_full_group(world: &mut World) {
    world.people();
    world.refuse(GROUP, ANN, create(&[BOB, CAT, DAN]), Refused::LimitReached);
    world.group_of(&[BOB]);
    world.refuse(GROUP, ANN, add(&[CAT, DAN]), Refused::LimitReached);
    world.add(ANN, CAT);
    world.refuse(GROUP, ANN, add(&[DAN]), Refused::LimitReached);
    world.refuse(GROUP, ANN, add(&[CAT]), Refused::NothingToDo);
    world.remove(ANN, BOB);
    world.add(ANN, DAN);
}

fn a_user_with_enough_groups(world: &mut World) {
    world.people();
    world.say(PAIR, BOB, "pairs do not count");
    for number in [1, 2] {
        world.act(group(number), ANN, create(&[BOB]));
    }
    world.refuse(group(3), ANN, create(&[]), Refused::LimitReached);
    world.refuse(group(3), CAT, create(&[BOB]), Refused::LimitReached);
    world.act(group(3), CAT, create(&[]));
    world.refuse(group(3), CAT, add(&[BOB]), Refused::LimitReached);
    world.act(group(2), BOB, Action::Leave);
    world.act(group(3), CAT, add(&[BOB]));
}

fn ended_groups_count_for_nobody(world: &mut World) {
    world.people();
    world.act(group(1), ANN, create(&[BOB, CAT]));
    world.act(group(1), CAT, Action::Leave);
    world.refuse(group(2), BOB, create(&[]), Refused::LimitReached);
    world.act(group(1), ANN, Action::Disband);
    world.act(group(2), BOB, create(&[ANN, CAT]));
    world.refuse(group(3), CAT, create(&[]), Refused::LimitReached);
}

fn others_do_not_use_up_ones_own_groups(world: &mut World) {
    world.people();
    world.act(group(1), ANN, create(&[BOB]));
    world.act(group(2), CAT, create(&[BOB]));
    world.refuse(group(3), ANN, create(&[BOB]), Refused::LimitReached);
    world.act(group(3), ANN, create(&[]));
    world.refuse(group(3), ANN, add(&[CAT, BOB]), Refused::LimitReached);
    // After what the others did these are left.
    world.act(group(4), BOB, create(&[CAT]));
    world.refuse(group(5), BOB, create(&[]), Refused::LimitReached);
    world.act(group(2), BOB, Action::Leave);
    world.refuse(group(3), ANN, add(&[BOB]), Refused::LimitReached);
    world.act(group(5), BOB, create(&[]));
}

fn who_left_is_not_put_back_at_once(world: &mut World) {
    world.people();
    world.group_of(&[BOB, CAT]);
    let left = world.act(GROUP, BOB, Action::Leave).at.0;
    world.act(GROUP, ANN, Action::RemoveMember { user: CAT });
    // A removed user did not leave by themselves.
    world.act(GROUP, ANN, add(&[CAT]));
    let try_at = |world: &mut World, at: u64| {
        let mut append = world.request(GROUP, ANN, add(&[DAN, BOB]));
        append.at = crate::Timestamp(at);
        world.append(append).map(|_| ())
    };
    assert_eq!(try_at(world, left), Err(Refused::Forbidden));
    assert_eq!(try_at(world, left + 999), Err(Refused::Forbidden));
    assert_eq!(try_at(world, left + 1_000), Ok(()));
    assert_eq!(world.view(BOB, GROUP).member_count, 4);
}

fn members_are_added(world: &mut World) {
    world.people();
    world.group_of(&[BOB]);
    world.say(GROUP, ANN, "before");
    let event = world.act(GROUP, BOB, add(&[DAN, BOB, CAT, DAN]));
    assert_eq!(event.kind, EventKind::MembersAdded);
    assert_eq!(event.change, Some(change_of(&[CAT, DAN])));
    let view = world.view(CAT, GROUP);
    assert_eq!((view.first, view.head, view.unread), (Seq(3), Seq(3), 0));
    assert_eq!(
        (view.role, view.member_count, view.roster),
        (Some(Role::Member), 4, Seq(3))
    );
    assert_eq!(world.seqs(CAT, GROUP), [3]);
    world.say(GROUP, ANN, "after");
    assert_eq!(world.view(CAT, GROUP).unread, 1);
}

fn who_is_a_member_is_not_added(world: &mut World) {
    world.people();
    world.group_of(&[BOB]);
    world.refuse(GROUP, ANN, add(&[BOB, ANN]), Refused::NothingToDo);
    world.refuse(GROUP, ANN, add(&[]), Refused::NothingToDo);
    world.refuse(GROUP, ANN, add(&[BOB, NOBODY]), Refused::NotFound);
}

fn only_admins_add_where_the_rules_say_so(world: &mut World) {
    world.people();
    world.group_of(&[BOB]);
    world.refuse(GROUP, BOB, add(&[CAT]), Refused::Forbidden);
    // A user who may not add learns nothing about whether such a user exists.
    world.refuse(GROUP, BOB, add(&[NOBODY]), Refused::Forbidden);
    world.promote(BOB, Role::Admin);
    world.add(BOB, CAT);
    world.add(ANN, DAN);
}

fn someone_is_removed(world: &mut World) {
    world.people();
    world.group_of(&[BOB]);
    world.say(GROUP, ANN, "seen");
    let event = world.act(GROUP, ANN, Action::RemoveMember { user: BOB });
    assert_eq!(event.kind, EventKind::MemberRemoved);
    assert_eq!(event.change, Some(change_of(&[BOB])));
    world.say(GROUP, ANN, "unseen");
    let view = world.view(BOB, GROUP);
    assert_eq!((view.member, view.role, view.first), (false, None, Seq(1)));
    assert_eq!(
        (view.head, view.head_ordinal, view.head_position),
        (Seq(3), 1, event.position)
    );
    assert_eq!((view.last_at, view.unread), (event.at, 1));
    assert_eq!(world.seqs(BOB, GROUP), [1, 2, 3]);
    assert_eq!(members(world, BOB), None);
    assert_eq!(roles(world), [(ANN, Role::Owner)]);
    world.refuse(GROUP, ANN, Action::RemoveMember { user: BOB }, Refused::NotFound);
}

fn the_last_owner_cannot_leave_others(world: &mut World) {
    world.people();
    world.group_of(&[BOB]);
    world.refuse(GROUP, ANN, Action::Leave, Refused::Forbidden);
    world.promote(BOB, Role::Owner);
    let event = world.act(GROUP, ANN, Action::Leave);
    assert_eq!(event.kind, EventKind::MemberLeft);
    assert_eq!(event.change, Some(change_of(&[ANN])));
    assert_eq!(world.view(ANN, GROUP).head, event.seq);
    assert!(!world.view(ANN, GROUP).member);
    world.refuse(GROUP, ANN, Action::Leave, Refused::Forbidden);
    world.refuse(GROUP, CAT, Action::Leave, Refused::NotFound);
}

fn the_last_member_can_leave(world: &mut World) {
    world.people();
    world.group_of(&[BOB]);
    world.act(GROUP, BOB, Action::Leave);
    world.act(GROUP, ANN, Action::Leave);
    assert_eq!(world.view(ANN, GROUP).member_count, 0);
    world.refuse(GROUP, ANN, message(""), Refused::Forbidden);
}

fn roles_are_given(world: &mut World) {
    world.people();
    world.group_of(&[BOB, CAT]);
    let role = Role::Admin;
    let event = world.act(GROUP, ANN, Action::SetRole { user: BOB, role });
    assert_eq!((event.kind, event.roster), (EventKind::RoleChanged, event.seq));
    let expected = GroupChange {
        role: Some(Role::Admin),
        ..change_of(&[BOB])
    };
    assert_eq!(event.change, Some(expected));
    assert_eq!(roles(world)[1], (BOB, Role::Admin));
    assert_eq!(world.view(BOB, GROUP).role, Some(Role::Admin));
    world.refuse(
        GROUP,
        ANN,
        Action::SetRole { user: BOB, role },
        Refused::NothingToDo,
    );
    world.refuse(GROUP, ANN, Action::SetRole { user: DAN, role }, Refused::NotFound);
    world.refuse(
        GROUP,
        BOB,
        Action::SetRole { user: CAT, role },
        Refused::Forbidden,
    );
    world.remove(ANN, BOB);
    world.add(ANN, BOB);
    assert_eq!(
        world.view(BOB, GROUP).role,
        Some(Role::Member),
        "coming back is starting again"
    );
}

fn a_group_keeps_an_owner(world: &mut World) {
    world.people();
    world.group_of(&[BOB]);
    let role = Role::Admin;
    world.refuse(
        GROUP,
        ANN,
        Action::SetRole { user: ANN, role },
        Refused::Forbidden,
    );
    world.promote(BOB, Role::Owner);
    world.act(GROUP, ANN, Action::SetRole { user: ANN, role });
    world.refuse(
        GROUP,
        BOB,
        Action::SetRole { user: BOB, role },
        Refused::Forbidden,
    );
}

fn a_group_is_renamed(world: &mut World) {
    world.people();
    world.group_of(&[BOB]);
    world.refuse(GROUP, BOB, rename("other"), Refused::Forbidden);
    let event = world.act(GROUP, ANN, rename("other"));
    assert_eq!((event.kind, event.roster), (EventKind::GroupRenamed, Seq(1)));
    assert_eq!(world.view(BOB, GROUP).settings.get(GroupSetting::Name), "other");
}

fn every_setting_is_changed_alone(world: &mut World) {
    world.people();
    world.group_of(&[BOB]);
    let mut expected = world.view(BOB, GROUP).settings;
    for setting in GroupSetting::ALL {
        // In the log and in the state; also characters that a text could lose.
        for value in ["one", "two \"quoted\" \\ \u{0}\n", ""] {
            let event = world.act(GROUP, ANN, set(*setting, value));
            let settings = GroupSettings::of(*setting, value);
            let change = GroupChange {
                settings: settings.clone(),
                ..GroupChange::default()
            };
            assert_eq!((event.kind, event.roster), (setting.kind(), Seq(1)));
            assert_eq!(event.change.as_ref(), Some(&change));
            let page = world.page(BOB, GROUP);
            let listed = page.events.iter().find(|view| view.event.seq == event.seq);
            assert_eq!(listed.and_then(|view| view.event.change.clone()), Some(change));
            expected.change(&settings);
            assert_eq!(world.view(BOB, GROUP).settings, expected);
            world.refuse(GROUP, ANN, set(*setting, value), Refused::NothingToDo);
        }
        world.act(GROUP, ANN, set(*setting, "last"));
        expected.change(&GroupSettings::of(*setting, "last"));
    }
}

fn a_group_ends(world: &mut World) {
    world.people();
    world.group_of(&[BOB]);
    let seq = world.say(GROUP, BOB, "last words");
    let event = world.act(GROUP, ANN, Action::Disband);
    assert_eq!(event.kind, EventKind::GroupDisbanded);
    assert_eq!(event.change, Some(GroupChange::default()));
    let view = world.view(BOB, GROUP);
    assert_eq!((view.disbanded, view.member, view.member_count), (true, true, 2));
    assert_eq!(world.seqs(BOB, GROUP), [1, 2, 3]);
    for action in [
        message(""),
        edit(seq, ""),
        recall(seq),
        add(&[CAT]),
        Action::RemoveMember { user: BOB },
        Action::Leave,
        Action::SetRole {
            user: BOB,
            role: Role::Admin,
        },
        rename(""),
        Action::Disband,
    ] {
        world.refuse(GROUP, ANN, action, Refused::Gone);
    }
    world.refuse(GROUP, ANN, create(&[]), Refused::Conflict);
}

fn who_comes_back_sees_two_stretches(world: &mut World) {
    world.people();
    world.group_of(&[BOB]);
    world.say(GROUP, ANN, "2");
    world.remove(ANN, BOB);
    world.say(GROUP, ANN, "4");
    world.say(GROUP, ANN, "5");
    world.add(ANN, BOB);
    assert_eq!(
        world.view(BOB, GROUP).unread,
        0,
        "what was before joining does not count"
    );
    world.say(GROUP, ANN, "7");
    assert_eq!(world.seqs(BOB, GROUP), [1, 2, 3, 6, 7]);
    let view = world.view(BOB, GROUP);
    assert_eq!((view.first, view.joined, view.head), (Seq(1), Seq(6), Seq(7)));
    assert_eq!((view.head_ordinal, view.joined_ordinal), (4, 3));
    assert_eq!((view.unread, view.member), (1, true));
    world.read_up_to(GROUP, BOB, 2);
    assert_eq!(
        world.view(BOB, GROUP).unread,
        1,
        "what was read before does not count"
    );
}

fn intervals_for_the_planner(world: &mut World) {
    world.people();
    world.group_of(&[BOB]);
    world.remove(ANN, BOB);
    world.say(GROUP, ANN, "3");
    world.act(GROUP, ANN, add(&[BOB, CAT]));
    let interval = |user, joined, left: Option<u64>| Interval {
        user,
        joined: Seq(joined),
        left: left.map(Seq),
    };
    let all = [
        interval(ANN, 1, None),
        interval(BOB, 1, Some(2)),
        interval(BOB, 4, None),
        interval(CAT, 4, None),
    ];
    for from in 0..=2 {
        assert_eq!(world.reader.intervals(GROUP, Seq(from)).expect("an answer"), all);
    }
    let later = [all[0], all[2], all[3]];
    for from in [3, 9, u64::MAX] {
        assert_eq!(
            world.reader.intervals(GROUP, Seq(from)).expect("an answer"),
            later
        );
    }
    assert_eq!(world.reader.intervals(PAIR, Seq(0)).expect("an answer"), []);
    world.say(PAIR, BOB, "");
    let pair = [interval(ANN, 1, None), interval(BOB, 1, None)];
    assert_eq!(world.reader.intervals(PAIR, Seq(0)).expect("an answer"), pair);
}

fn members_are_listed_in_pages(world: &mut World) {
    world.people();
    world.group_of(&[BOB, CAT, DAN]);
    world.remove(ANN, CAT);
    let mut page = |after: u64, limit| -> Vec<UserId> {
        let members = world
            .reader
            .members(BOB, GROUP, UserId(after), limit)
            .expect("an answer");
        members
            .expect("a member asks")
            .into_iter()
            .map(|member| member.user.id)
            .collect()
    };
    assert_eq!(page(0, 2), [ANN, BOB]);
    assert_eq!(page(2, 2), [DAN]);
    assert_eq!(page(4, 2), []);
    assert_eq!(page(u64::MAX, 2), []);
    assert_eq!(
        world.reader.members(CAT, GROUP, UserId(0), 9).expect("an answer"),
        None
    );
    assert_eq!(
        world
            .reader
            .members(NOBODY, GROUP, UserId(0), 9)
            .expect("an answer"),
        None
    );
    world.read_up_to(GROUP, DAN, 1);
    let dan = members(world, ANN).expect("members").remove(2);
    assert_eq!((dan.delivered, dan.read, dan.joined), (Seq(1), Seq(1), Seq(1)));
    assert_eq!(dan.user.name, "user4");
}

fn pairs_and_own_logs_are_no_groups(world: &mut World) {
    world.people();
    let actions = [
        add(&[CAT]),
        Action::RemoveMember { user: BOB },
        Action::Leave,
        Action::SetRole {
            user: BOB,
            role: Role::Admin,
        },
        rename(""),
        Action::Disband,
    ];
    for action in &actions {
        world.refuse(PAIR, ANN, action.clone(), Refused::NotFound);
        world.refuse(OWN, ANN, action.clone(), Refused::NotFound);
        world.refuse(GROUP, ANN, action.clone(), Refused::NotFound);
    }
    world.say(PAIR, ANN, "");
    world.say(OWN, ANN, "");
    for action in &actions {
        world.refuse(PAIR, ANN, action.clone(), Refused::Forbidden);
        world.refuse(OWN, ANN, action.clone(), Refused::Forbidden);
        world.refuse(PAIR, CAT, action.clone(), Refused::NotFound);
    }
}
