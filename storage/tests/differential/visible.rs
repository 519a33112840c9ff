//! What each user may know of a group, recounted from the whole of its log, against what the stores say in any answer.
//!
//! The oracle knows nothing of how stores keep things: it reads the log up to the last event that somebody may see.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, prelude::*, test_runner::TestCaseError};
use storage::{
    Action, Append, ClientId, ConversationId, ConversationView, CursorMove, Direction, Event, EventKind,
    EventView, Fingerprint, GroupSetting, MessageKinds, ReactionView, Reader, Role, Rules, Seq, Snapshot,
    Store, Timestamp, UserId, Write, Writer,
    model::ModelStore,
    postgres::PostgresStore,
    sqlite::{Identity, SqliteOptions, SqliteStore},
};

use crate::{database, histories};

const GROUP: ConversationId = ConversationId(1 << 61 | 7);
const USERS: u64 = 5;

/// What is done, and by whom. Much of it is refused.
fn deed() -> impl Strategy<Value = (UserId, Action)> {
    let user = || (1..=USERS).prop_map(UserId);
    let who = prop_oneof![3 => Just(UserId(1)), 2 => user()];
    let seq = || (2..14_u64).prop_map(Seq);
    let word = || prop::sample::select(vec!["a", "b", "c", "d"]).prop_map(str::to_owned);
    let role = prop::sample::select(vec![Role::Member, Role::Admin, Role::Owner]);
    let what = prop_oneof![
        8 => word().prop_map(|body| Action::Message {
            kind: 1, body: body.into(), expires_at: Timestamp(0), reply_to: Seq(0),
        }),
        5 => user().prop_map(|user| Action::RemoveMember { user }),
        6 => vec(user(), 1..3).prop_map(|users| Action::AddMembers { users }),
        3 => Just(Action::Leave),
        4 => (histories::setting(), word()).prop_map(|(setting, value)| Action::Set { setting, value }),
        2 => (user(), role).prop_map(|(user, role)| Action::SetRole { user, role }),
        2 => (seq(), word()).prop_map(|(target, body)| Action::Edit {
            target, body: body.into(), fits: MessageKinds::ALL,
        }),
        // To few messages, so that they are replaced.
        8 => (2..5_u64, prop_oneof![3 => word(), 1 => Just(String::new())]).prop_map(|(target, reaction)| {
            let target = Seq(target);
            // The body says what it is, so that the log alone tells.
            let body = reaction.clone().into();
            Action::React { target, reaction, body }
        }),
        1 => seq().prop_map(|target| Action::Recall { target }),
        1 => prop_oneof![1 => Just(Action::Disband), 5 => Just(Action::Leave)],
    ];
    (who, what)
}

/// A deed, or a cursor that moves.
#[derive(Clone, Debug)]
enum Step {
    Do(UserId, Action),
    Read(UserId, Seq),
}

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => deed().prop_map(|(who, what)| Step::Do(who, what)),
        1 => (1..=USERS, 1..14_u64).prop_map(|(user, seq)| Step::Read(UserId(user), Seq(seq))),
    ];
    vec(step, 1..most)
}

/// What somebody may know of the group.
#[derive(Debug, Default, Eq, PartialEq)]
struct Known {
    settings: BTreeMap<GroupSetting, String>,
    members: BTreeMap<UserId, Role>,
    roster: Seq,
    disbanded: bool,
    head: Seq,
    head_ordinal: u64,
}

impl Known {
    fn learn(&mut self, event: &Event) {
        self.head = event.seq;
        self.head_ordinal = event.ordinal;
        if event.kind.changes_members() {
            self.roster = event.seq;
        }
        self.disbanded |= event.kind == EventKind::GroupDisbanded;
        let Some(change) = &event.change else { return };
        for (setting, value) in change.settings.iter() {
            self.settings.insert(setting, value.to_owned());
        }
        for user in &change.users {
            match (event.kind, change.role) {
                (EventKind::MemberRemoved | EventKind::MemberLeft, _) => {
                    self.members.remove(user);
                }
                (EventKind::RoleChanged, Some(role)) => {
                    self.members.insert(*user, role);
                }
                _ => {
                    let founder = event.kind == EventKind::GroupCreated && *user == event.sender;
                    let role = if founder { Role::Owner } else { Role::Member };
                    self.members.insert(*user, role);
                }
            }
        }
    }
}

/// What somebody sees: what they know as of the last event they see, and which events these are.
#[derive(Default)]
struct Sight {
    known: Known,
    visible: BTreeSet<Seq>,
    joined: (Seq, u64),
}

fn sight(log: &[Event], viewer: UserId) -> Option<Sight> {
    let mut sight = Sight::default();
    let mut all = Known::default();
    for event in log {
        let before = all.members.contains_key(&viewer);
        all.learn(event);
        let after = all.members.contains_key(&viewer);
        if after && !before {
            sight.joined = (event.seq, event.ordinal);
        }
        if before || after {
            sight.visible.insert(event.seq);
            // All that led here, also what they did not see: a name that was given before they came is the name.
            sight.known = Known::default();
            log.iter()
                .take_while(|earlier| earlier.seq <= event.seq)
                .for_each(|earlier| sight.known.learn(earlier));
        }
    }
    (!sight.visible.is_empty()).then_some(sight)
}

/// Everything one viewer can ask about the group.
fn check(reader: &mut dyn Reader, log: &[Event], viewer: UserId) -> Result<(), TestCaseError> {
    let view = reader.conversation(viewer, GROUP).unwrap();
    let listed = reader.conversations(viewer, None, 9).unwrap();
    let changes = reader.changes(viewer, &Snapshot::default(), 99).unwrap();
    prop_assert_eq!(&listed, &view.iter().cloned().collect::<Vec<_>>());
    prop_assert_eq!(&changes.conversations, &listed);
    let page = reader
        .events(viewer, GROUP, Seq(1), Direction::Forward, usize::MAX, usize::MAX)
        .unwrap();
    let members = reader.members(viewer, GROUP, UserId(0), 99).unwrap();
    let Some(sight) = sight(log, viewer) else {
        prop_assert!(view.is_none() && page.is_none() && members.is_none() && changes.cursors.is_empty());
        return Ok(());
    };
    let (view, page) = (view.unwrap(), page.unwrap());
    check_view(&view, &sight, viewer, log)?;
    let seen: BTreeSet<Seq> = page.events.iter().map(|view| view.event.seq).collect();
    prop_assert_eq!(&seen, &sight.visible);
    prop_assert_eq!(page.head, sight.known.head);
    for event in &page.events {
        check_reactions(event, log, &sight)?;
        let later = event.revision.iter().map(|revision| revision.seq);
        let later = later.chain(event.reactions.iter().map(|reaction| reaction.seq));
        prop_assert!(later.into_iter().all(|seq| sight.visible.contains(&seq)));
    }
    let is_member = sight.known.members.contains_key(&viewer);
    let listed = members.map(|members| {
        let roles = members.into_iter().map(|member| (member.user.id, member.role));
        roles.collect::<BTreeMap<_, _>>()
    });
    prop_assert_eq!(listed, is_member.then_some(sight.known.members.clone()));
    for cursor in &changes.cursors {
        let shown = is_member && sight.known.members.contains_key(&cursor.user);
        prop_assert!(cursor.user == viewer || shown, "{viewer:?} is shown {cursor:?}");
    }
    Ok(())
}

/// Of each user the newest reaction that the viewer saw, unless what they saw last took it back.
fn check_reactions(shown: &EventView, log: &[Event], sight: &Sight) -> Result<(), TestCaseError> {
    let mut newest: BTreeMap<UserId, (Seq, &[u8])> = BTreeMap::new();
    for event in log {
        let is_about = event.kind == EventKind::Reaction && event.target == shown.event.seq;
        if is_about && sight.visible.contains(&event.seq) {
            newest.insert(event.sender, (event.seq, &event.body));
        }
    }
    let mut expected: Vec<(Seq, UserId, &[u8])> = newest
        .into_iter()
        .filter(|(_, (_, body))| !body.is_empty())
        .map(|(user, (seq, body))| (seq, user, body))
        .collect();
    expected.sort_unstable_by_key(|(seq, ..)| std::cmp::Reverse(*seq));
    let listed: Vec<_> = shown
        .reactions
        .iter()
        .map(|reaction| (reaction.seq, reaction.user, reaction.reaction.as_bytes()))
        .collect();
    prop_assert_eq!(shown.reactions_total as usize, listed.len());
    prop_assert_eq!(listed, expected);
    Ok(())
}

fn check_view(
    view: &ConversationView,
    sight: &Sight,
    viewer: UserId,
    log: &[Event],
) -> Result<(), TestCaseError> {
    let known = &sight.known;
    let settings = view
        .settings
        .iter()
        .map(|(setting, value)| (setting, value.to_owned()));
    prop_assert_eq!(settings.collect::<BTreeMap<_, _>>(), known.settings.clone());
    prop_assert_eq!(view.disbanded, known.disbanded);
    prop_assert_eq!(view.member_count as usize, known.members.len());
    prop_assert_eq!((view.roster, view.head), (known.roster, known.head));
    prop_assert_eq!(view.head_ordinal, known.head_ordinal);
    prop_assert_eq!(view.role, known.members.get(&viewer).copied());
    prop_assert_eq!(view.member, view.role.is_some());
    prop_assert_eq!(Some(&view.first), sight.visible.first());
    prop_assert_eq!((view.joined, view.joined_ordinal), sight.joined);
    let unread = |event: &&Event| {
        event.kind.is_displayable() && event.seq > view.read.max(view.joined) && event.seq <= view.head
    };
    prop_assert_eq!(view.unread, log.iter().filter(unread).count() as u64);
    Ok(())
}

/// What a former member sees but for their cursors, which they move themselves, and for what a recall erased.
fn frozen(
    reader: &mut dyn Reader,
    viewer: UserId,
) -> (ConversationView, Vec<(Seq, bool, Vec<ReactionView>)>) {
    let mut view = reader.conversation(viewer, GROUP).unwrap().unwrap();
    view.delivered = Seq(0);
    view.read = Seq(0);
    view.unread = 0;
    let page = reader
        .events(viewer, GROUP, Seq(1), Direction::Forward, usize::MAX, usize::MAX)
        .unwrap()
        .unwrap();
    let revised = |view: &EventView| view.revision.is_some() && !view.event.recalled;
    let seqs = page
        .events
        .iter()
        .map(|view| (view.event.seq, revised(view), view.reactions.clone()));
    (view, seqs.collect())
}

fn live(store: &dyn Store, steps: &[Step], look_each: usize) -> Result<(), TestCaseError> {
    let (mut writer, mut reader) = (store.writer().unwrap(), store.reader().unwrap());
    writer.commit(&histories::accounts()).unwrap();
    let mut requests = 0_u64;
    let mut act = |writer: &mut dyn Writer, sender, action| {
        requests += 1;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&requests.to_be_bytes());
        let append = Append {
            conversation: GROUP,
            sender,
            client_id: ClientId(id),
            fingerprint: Fingerprint(id),
            at: Timestamp(requests),
            action,
        };
        let _refused = writer.commit(&[Write::Append(append)]).unwrap();
    };
    let members = vec![UserId(2), UserId(3)];
    let create = Action::CreateGroup {
        name: "first".to_owned(),
        members,
    };
    act(writer.as_mut(), UserId(1), create);
    for (number, step) in steps.iter().enumerate() {
        let gone: Vec<UserId> = (1..=USERS)
            .map(UserId)
            .filter(|user| {
                let view = reader.conversation(*user, GROUP).unwrap();
                view.is_some_and(|view| !view.member)
            })
            .collect();
        let before: Vec<_> = gone.iter().map(|user| frozen(reader.as_mut(), *user)).collect();
        match step {
            Step::Do(who, what) => act(writer.as_mut(), *who, what.clone()),
            Step::Read(user, seq) => {
                let moved = CursorMove {
                    conversation: GROUP,
                    user: *user,
                    delivered: *seq,
                    read: *seq,
                };
                writer.commit(&[Write::Cursors(vec![moved])]).unwrap();
            }
        }
        for (user, before) in gone.iter().zip(before) {
            let after = frozen(reader.as_mut(), *user);
            if !after.0.member {
                prop_assert_eq!(&after.0, &before.0, "{:?} heard of {:?}", user, step);
                let erased = matches!(step, Step::Do(_, Action::Recall { .. }));
                prop_assert!(erased || after.1 == before.1, "{user:?} heard of {step:?}");
            }
        }
        if number % look_each == 0 || number + 1 == steps.len() {
            let tail = reader.tail(&Snapshot::default(), usize::MAX).unwrap();
            let mut log: Vec<Event> = tail.events.iter().map(|event| Event::clone(event)).collect();
            log.sort_by_key(|event| event.seq);
            for user in 1..=USERS + 1 {
                check(reader.as_mut(), &log, UserId(user))?;
            }
        }
    }
    Ok(())
}

fn rules() -> Rules {
    Rules {
        message_edits_max: 3,
        ..Rules::default()
    }
}

proptest! {
    #![proptest_config(crate::config())]

    #[test]
    fn the_model_shows_everybody_what_they_may_know(steps in steps(40)) {
        live(&ModelStore::new(7, 8, rules()), &steps, 1)?;
    }

    #[test]
    fn sqlite_shows_everybody_what_they_may_know(steps in steps(40), index_events in 1..20_u32) {
        let directory = tempfile::tempdir().unwrap();
        let mut options = SqliteOptions::new(directory.path().join("test.db"));
        options.rules = rules();
        options.identity = Identity { epoch: 7, log_id: 8 };
        options.index_events = index_events;
        live(&SqliteStore::open(options).unwrap(), &steps, 4)?;
    }
}

mod postgresql {
    use super::*;

    fn config() -> proptest::test_runner::Config {
        let mut config = crate::config();
        if std::env::var_os("PROPTEST_CASES").is_none() {
            config.cases = 8;
        }
        config
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn postgresql_shows_everybody_what_they_may_know(steps in steps(40)) {
            let mut options = database::fresh();
            options.rules = rules();
            live(&PostgresStore::open(options).unwrap(), &steps, 8)?;
        }
    }
}
