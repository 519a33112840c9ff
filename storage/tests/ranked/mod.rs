//! A store whose positions are the places of its commits in a row: 1, 2, 3 …, as those of the model are. So the suite
//! and the comparison, which know positions by number, run on a store whose own positions are sparse.
//!
//! It sees every position in the outcomes of its one writer and maps it in questions and answers. Where a page is cut
//! it asks for everything and cuts by position, as the model does; and sees to it that the store's own pages, cut by
//! commit, come to the same in the end.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;
use storage::{
    Changes, Claim, ClientId, CommitError, ConversationId, ConversationView, Credentials, CursorView,
    Direction, EntryClass, EntryPage, Event, EventPage, Fate, Fingerprint, FoundPeople, Generation, Interval,
    MemberView, MembersReader, OpenError, Outcome, PeopleQuery, Position, ReadError, Reader, Refused, Seq,
    Session, Snapshot, Status, Store, Tail, TailReader, Testimony, TokenHash, TokenKey, User, UserId, Write,
    Writer,
};

/// See the module.
pub(crate) struct Ranked {
    store: Arc<dyn Store>,
    ranks: Arc<Mutex<Ranks>>,
    writer_taken: AtomicBool,
}

#[derive(Default)]
struct Ranks {
    /// Rank n is at n - 1.
    raw: Vec<Position>,
    ranks: HashMap<Position, u64>,
}

impl Ranks {
    fn add(&mut self, mut raw: Vec<Position>) {
        raw.sort_unstable();
        raw.dedup();
        for position in raw {
            if !self.ranks.contains_key(&position) {
                self.raw.push(position);
                self.ranks.insert(position, self.raw.len() as u64);
            }
        }
    }

    /// What a reader on another thread sees before the writer has told has no rank yet.
    fn rank(&self, raw: Position) -> Position {
        if raw == Position(0) {
            return raw;
        }
        Position(self.ranks.get(&raw).copied().unwrap_or(u64::MAX))
    }

    /// The position of a rank; one that is not given yet is above all.
    fn raw(&self, rank: Position) -> Position {
        match rank.0.checked_sub(1) {
            None => Position(0),
            Some(index) => usize::try_from(index)
                .ok()
                .and_then(|index| self.raw.get(index).copied())
                .unwrap_or(Position(u64::MAX)),
        }
    }

    /// A set that is everything up to a rank, and must be.
    fn prefix(&self, raw: &Snapshot) -> Snapshot {
        let covered = self
            .raw
            .iter()
            .take_while(|position| raw.covers(**position))
            .count();
        assert!(
            self.raw[covered..].iter().all(|position| !raw.covers(*position)),
            "one writer's commits have a hole: {raw:?}"
        );
        Snapshot::at(Position(covered as u64))
    }

    fn event(&self, event: &Arc<Event>) -> Arc<Event> {
        let mut event = Event::clone(event);
        event.position = self.rank(event.position);
        Arc::new(event)
    }

    fn view(&self, mut view: ConversationView) -> ConversationView {
        view.head_position = self.rank(view.head_position);
        view
    }

    fn cursor(&self, mut cursor: CursorView) -> CursorView {
        cursor.position = self.rank(cursor.position);
        cursor
    }
}

impl Ranked {
    /// Around an empty store.
    pub(crate) fn new(store: impl Store + 'static) -> Self {
        Self {
            store: Arc::new(store),
            ranks: Arc::default(),
            writer_taken: AtomicBool::new(false),
        }
    }
}

impl Store for Ranked {
    fn epoch(&self) -> u64 {
        self.store.epoch()
    }

    fn log_id(&self) -> u64 {
        self.store.log_id()
    }

    fn token_key(&self) -> TokenKey {
        self.store.token_key()
    }

    fn told(&self, ceiling: Position) -> Generation {
        self.store.told(ceiling)
    }

    fn fate(&self) -> &Fate {
        self.store.fate()
    }

    fn begin_past(&self, why: &str) -> Result<(), OpenError> {
        self.store.begin_past(why)
    }

    fn status(&self) -> Status {
        self.store.status()
    }

    fn writers_max(&self) -> usize {
        1
    }

    fn writer(&self) -> Result<Box<dyn Writer>, OpenError> {
        if self.writer_taken.swap(true, Ordering::Relaxed) {
            return Err(OpenError::Refused("ranks are given by one writer".to_owned()));
        }
        Ok(Box::new(RankedWriter {
            writer: self.store.writer()?,
            ranks: Arc::clone(&self.ranks),
        }))
    }

    fn reader(&self) -> Result<Box<dyn Reader>, OpenError> {
        Ok(Box::new(RankedReader {
            reader: self.store.reader()?,
            ranks: Arc::clone(&self.ranks),
        }))
    }

    fn close(&self) -> Result<(), OpenError> {
        self.store.close()
    }
}

struct RankedWriter {
    writer: Box<dyn Writer>,
    ranks: Arc<Mutex<Ranks>>,
}

impl Writer for RankedWriter {
    fn commit(&mut self, writes: &[Write]) -> Result<Vec<Result<Outcome, Refused>>, CommitError> {
        let answers = self.writer.commit(writes)?;
        let mut ranks = self.ranks.lock();
        let given = answers.iter().flatten().flat_map(|outcome| match outcome {
            Outcome::Appended(appended) => {
                let events = std::iter::once(&appended.event).chain(&appended.others);
                events.map(|event| event.position).collect()
            }
            Outcome::Cursors(_, position, _) if *position != Position(0) => vec![*position],
            _ => Vec::new(),
        });
        ranks.add(given.collect());
        let ranked = |outcome| match outcome {
            Outcome::Appended(mut appended) => {
                appended.event = ranks.event(&appended.event);
                for other in &mut appended.others {
                    *other = ranks.event(other);
                }
                Outcome::Appended(appended)
            }
            Outcome::Cursors(moved, position, beyond) => {
                Outcome::Cursors(moved, ranks.rank(position), beyond)
            }
            other => other,
        };
        Ok(answers.into_iter().map(|answer| answer.map(ranked)).collect())
    }
}

struct RankedReader {
    reader: Box<dyn Reader>,
    ranks: Arc<Mutex<Ranks>>,
}

impl RankedReader {
    /// The raw form of a prefix.
    fn since(&self, since: &Snapshot) -> Snapshot {
        if *since == Snapshot::default() {
            return Snapshot::default();
        }
        Snapshot::at(self.ranks.lock().raw(since.ceiling()))
    }

    /// What an answer's entries come to that is cut by position, and where it is cut.
    fn cut(
        &self,
        since: &Snapshot,
        now: &Snapshot,
        positions: &[Position],
        limit: usize,
    ) -> (Snapshot, bool) {
        let limit = limit.max(1);
        let mut counts: BTreeMap<Position, usize> = BTreeMap::new();
        for position in positions {
            *counts.entry(*position).or_default() += 1;
        }
        let (mut taken, mut last) = (0, since.ceiling());
        for (position, count) in counts {
            if taken > 0 && taken + count > limit {
                return (Snapshot::at(last), true);
            }
            taken += count;
            last = position;
        }
        (self.ranks.lock().prefix(now), false)
    }
}

/// An answer that lists positions.
trait Page: Sized {
    fn positions(&self) -> Vec<Position>;
    fn up_to(&self) -> (&Snapshot, bool);
}

impl Page for Changes {
    fn positions(&self) -> Vec<Position> {
        let views = self.conversations.iter().map(|view| view.head_position);
        views
            .chain(self.cursors.iter().map(|cursor| cursor.position))
            .collect()
    }

    fn up_to(&self) -> (&Snapshot, bool) {
        (&self.up_to, self.more)
    }
}

impl Page for Tail {
    fn positions(&self) -> Vec<Position> {
        let events = self.events.iter().map(|event| event.position);
        events
            .chain(self.cursors.iter().map(|cursor| cursor.position))
            .chain(self.notices.iter().map(|notice| notice.0))
            .collect()
    }

    fn up_to(&self) -> (&Snapshot, bool) {
        (&self.up_to, self.more)
    }
}

/// Page after page of the limit says what one page of everything does.
fn same_in_pages<P: Page>(
    since: &Snapshot,
    limit: usize,
    whole: &P,
    mut ask: impl FnMut(&Snapshot, usize) -> Result<P, ReadError>,
) -> Result<(), ReadError> {
    let (mut since, mut listed) = (since.clone(), Vec::new());
    loop {
        let page = ask(&since, limit)?;
        let positions = page.positions();
        let commit = |position: &Position| position.0 >> Snapshot::COMMIT_BITS;
        assert!(
            positions.len() <= limit.max(1)
                || positions.iter().all(|one| commit(one) == commit(&positions[0])),
            "more than the limit"
        );
        let (up_to, more) = page.up_to();
        assert!(
            positions
                .iter()
                .all(|one| !since.covers(*one) && up_to.covers(*one))
        );
        assert!(!more || *up_to != since, "no way forward");
        listed.extend(positions);
        since = up_to.clone();
        if !more {
            break;
        }
    }
    let mut expected = whole.positions();
    listed.sort_unstable();
    expected.sort_unstable();
    assert_eq!(listed, expected);
    Ok(())
}

impl Reader for RankedReader {
    fn snapshot(&mut self) -> Result<Snapshot, ReadError> {
        let now = self.reader.snapshot()?;
        Ok(self.ranks.lock().prefix(&now))
    }

    fn testimony(&mut self, claim: Claim) -> Result<Testimony, ReadError> {
        self.reader.testimony(claim)
    }

    fn users(&mut self, ids: &[UserId]) -> Result<Vec<User>, ReadError> {
        self.reader.users(ids)
    }

    fn user_by_name(&mut self, name: &str) -> Result<Option<User>, ReadError> {
        self.reader.user_by_name(name)
    }

    fn people(&mut self, query: &PeopleQuery, limit: usize) -> Result<FoundPeople, ReadError> {
        self.reader.people(query, limit)
    }

    fn entries(
        &mut self,
        of: UserId,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<EntryPage, ReadError> {
        self.reader.entries(of, prefix, after, limit)
    }

    fn entry_classes(&mut self, asked: &[(UserId, String)]) -> Result<Vec<Option<EntryClass>>, ReadError> {
        self.reader.entry_classes(asked)
    }

    fn credentials(&mut self, name: &str) -> Result<Option<Credentials>, ReadError> {
        self.reader.credentials(name)
    }

    fn session_by_token(&mut self, token: &TokenHash) -> Result<Option<(Session, User)>, ReadError> {
        self.reader.session_by_token(token)
    }

    fn sessions(&mut self, user: UserId) -> Result<Vec<Session>, ReadError> {
        self.reader.sessions(user)
    }

    fn conversations_of(
        &mut self,
        viewer: UserId,
        conversations: &[ConversationId],
    ) -> Result<Vec<ConversationView>, ReadError> {
        let views = self.reader.conversations_of(viewer, conversations)?;
        let ranks = self.ranks.lock();
        Ok(views.into_iter().map(|view| ranks.view(view)).collect())
    }

    fn made_by(
        &mut self,
        conversation: ConversationId,
        sender: UserId,
        client_id: ClientId,
    ) -> Result<Option<(Arc<Event>, Fingerprint)>, ReadError> {
        let found = self.reader.made_by(conversation, sender, client_id)?;
        let ranks = self.ranks.lock();
        Ok(found.map(|(event, fingerprint)| (ranks.event(&event), fingerprint)))
    }

    fn conversation(
        &mut self,
        viewer: UserId,
        conversation: ConversationId,
    ) -> Result<Option<ConversationView>, ReadError> {
        let view = self.reader.conversation(viewer, conversation)?;
        let ranks = self.ranks.lock();
        Ok(view.map(|view| ranks.view(view)))
    }

    fn conversations(
        &mut self,
        viewer: UserId,
        before: Option<Position>,
        limit: usize,
    ) -> Result<Vec<ConversationView>, ReadError> {
        let before = before.map(|before| self.ranks.lock().raw(before));
        let views = self.reader.conversations(viewer, before, limit)?;
        let ranks = self.ranks.lock();
        Ok(views.into_iter().map(|view| ranks.view(view)).collect())
    }

    fn changes(&mut self, viewer: UserId, since: &Snapshot, limit: usize) -> Result<Changes, ReadError> {
        let raw = self.since(since);
        let mut changes = self.reader.changes(viewer, &raw, usize::MAX)?;
        assert!(!changes.more);
        same_in_pages(&raw, limit, &changes, |since, limit| {
            self.reader.changes(viewer, since, limit)
        })?;
        {
            let ranks = self.ranks.lock();
            changes.conversations = changes
                .conversations
                .into_iter()
                .map(|view| ranks.view(view))
                .collect();
            changes.cursors = changes
                .cursors
                .into_iter()
                .map(|cursor| ranks.cursor(cursor))
                .collect();
        }
        let (up_to, more) = self.cut(since, &changes.up_to, &changes.positions(), limit);
        if more {
            changes
                .conversations
                .retain(|view| up_to.covers(view.head_position));
            changes.cursors.retain(|cursor| up_to.covers(cursor.position));
        }
        (changes.up_to, changes.more) = (up_to, more);
        Ok(changes)
    }

    fn events(
        &mut self,
        viewer: UserId,
        conversation: ConversationId,
        from: Seq,
        direction: Direction,
        limit: usize,
        body_bytes_max: usize,
    ) -> Result<Option<EventPage>, ReadError> {
        let page = self
            .reader
            .events(viewer, conversation, from, direction, limit, body_bytes_max)?;
        let ranks = self.ranks.lock();
        Ok(page.map(|mut page| {
            for view in &mut page.events {
                view.event = ranks.event(&view.event);
            }
            page
        }))
    }

    fn members(
        &mut self,
        viewer: UserId,
        conversation: ConversationId,
        after: UserId,
        limit: usize,
    ) -> Result<Option<Vec<MemberView>>, ReadError> {
        self.reader.members(viewer, conversation, after, limit)
    }
}

impl MembersReader for RankedReader {
    fn intervals(&mut self, conversation: ConversationId, from: Seq) -> Result<Vec<Interval>, ReadError> {
        self.reader.intervals(conversation, from)
    }
}

impl TailReader for RankedReader {
    /// Without notices: stores with one process keep none.
    fn tail(&mut self, since: &Snapshot, limit: usize) -> Result<Tail, ReadError> {
        let raw = self.since(since);
        let mut tail = self.reader.tail(&raw, usize::MAX)?;
        assert!(!tail.more);
        same_in_pages(&raw, limit, &tail, |since, limit| self.reader.tail(since, limit))?;
        tail.notices.clear();
        {
            let ranks = self.ranks.lock();
            tail.events = tail.events.iter().map(|event| ranks.event(event)).collect();
            tail.cursors = tail
                .cursors
                .into_iter()
                .map(|cursor| ranks.cursor(cursor))
                .collect();
        }
        let (up_to, more) = self.cut(since, &tail.up_to, &tail.positions(), limit);
        if more {
            tail.events.retain(|event| up_to.covers(event.position));
            tail.cursors.retain(|cursor| up_to.covers(cursor.position));
        }
        (tail.up_to, tail.more) = (up_to, more);
        Ok(tail)
    }
}
