//! What a committed batch means: for those who asked, and for those who are to hear of it. It runs on the lane's thread
//! after the commit. It must never tell anybody of anything that is not committed.

use std::sync::Arc;

use netcore::ConnId;
use protocol::{
    Command, Refusal, Reply,
    v1::{self, ErrorCode, GoAwayReason},
};
use storage::{
    Appended, DevicePolicy, Event, EventKind, NewSession, Outcome, Refused, Session, SessionCreated,
    SessionId, Snapshot, Timestamp, User, Write, ephemeral::Ended,
};

use super::{
    job::{Job, NewLogin, NewSessionMade, Then},
    run::LaneParts,
};
use crate::{
    clock,
    delivery::{Delivery, Entry, FollowerHandle, Planner, follower::position},
    gateway::Established,
    reply::{Authenticated, Effect, PlacedAnswer, ReplyTo},
    service::wire,
    token::{self, SessionToken},
};

/// How a lane's commits get to the loops.
#[derive(Debug)]
pub enum Deliver {
    /// By the lane itself: it is the only one, so its commits are all there are.
    Here(Box<Planner>),
    /// By the follower, which puts the commits of all lanes and nodes in order.
    Follower(FollowerHandle),
}

/// See the module.
pub(super) struct Teller {
    deliver: Deliver,
    parts: LaneParts,
}

/// What a batch means, as far as it has been gone through.
enum Told {
    /// For each loop, answers and pushes in commit order.
    Here(Vec<Delivery>, Timestamp),
    /// What the follower puts in order; the answers are given.
    Follower(Vec<Outcome>),
}

impl Told {
    /// An answer goes to its place.
    fn answer(&mut self, answer: Option<PlacedAnswer>) {
        let Some(answer) = answer else { return };
        let place = match self {
            Self::Here(deliveries, _) => deliveries.get_mut(answer.conn().loop_id().index()),
            Self::Follower(_) => None,
        };
        match place {
            Some(delivery) => delivery.entries.push(Entry::Answer(answer)),
            None => answer.post(),
        }
    }
}

impl Teller {
    pub(super) const fn new(deliver: Deliver, parts: LaneParts) -> Self {
        Self { deliver, parts }
    }

    /// To be read before a commit: whoever ends a session that this makes, ends it later.
    pub(super) fn revocations(&self) -> u64 {
        self.parts.routes.revocations()
    }

    /// Something may have been committed of which nobody is told. A follower finds it in the log.
    pub(super) fn missed(&mut self) {
        if let Deliver::Here(planner) = &mut self.deliver {
            planner.forget_all();
            self.parts.outboxes.miss_all();
        }
    }

    /// Gives the answers and the pushes of a batch; what is to be committed next.
    pub(super) fn committed(
        &mut self,
        results: Vec<Result<Outcome, Refused>>,
        thens: Vec<Then>,
        checked_at: u64,
    ) -> Vec<Job> {
        let mut told = self.begin(&results);
        // A loop is woken once for all of it, and writes an answer and a push to the same connection together.
        let _wakes = self.parts.outboxes.hold_wakes();
        let mut next = Vec::new();
        for (result, then) in results.into_iter().zip(thens) {
            match (result, then) {
                (Ok(Outcome::Appended(appended)), Then::Sent(command, reply)) => {
                    self.appended(appended, command, reply, &mut told);
                }
                (Ok(outcome @ Outcome::Cursors(..)), _) => {
                    self.beyond(&outcome);
                    self.parts.lazy.written();
                    self.moved(outcome, &mut told);
                }
                (Ok(outcome), then) => next.extend(self.succeeded(outcome, then, checked_at)),
                // In its place: those of appends to one conversation are answered in their order.
                (Err(refused), Then::Sent(_, reply)) => {
                    told.answer(reply.placed_refusal(&wire::refused(refused)));
                }
                (Err(refused), then) => refuse(then, &wire::refused(refused)),
            }
        }
        match (&mut self.deliver, told) {
            (Deliver::Here(_), Told::Here(deliveries, _)) => self.parts.outboxes.post(deliveries),
            (Deliver::Follower(follower), Told::Follower(effects)) => follower.committed(effects),
            // `begin` made it by the same distinction.
            _ => {}
        }
        next
    }

    /// Members that the plan needs are read here, while no loop's wake is held back.
    fn begin(&mut self, results: &[Result<Outcome, Refused>]) -> Told {
        let Deliver::Here(planner) = &mut self.deliver else {
            return Told::Follower(Vec::with_capacity(results.len()));
        };
        let outcomes = results.iter().flatten();
        planner.prepare(outcomes.clone().filter_map(new_event));
        let moves = outcomes.filter(|outcome| new_event(outcome).is_some() || is_move(outcome));
        let newest = moves.map(position).max().filter(|newest| newest.0 > 0);
        let complete_to = newest.map(Snapshot::at);
        Told::Here(planner.empty(complete_to.as_ref(), results.len()), clock::wall())
    }

    /// The answer, and the push to everybody else; to the one who sent it as well, if the answer does not say it all.
    fn appended(&mut self, appended: Appended, command: Command, reply: ReplyTo, told: &mut Told) {
        let event = Arc::clone(&appended.event);
        let says_it = reply.is_event() && matches!(event.kind, EventKind::Message(_));
        let conn = reply.conn();
        told.answer(reply.placed(&sent(command, &appended, self.parts.epoch)));
        if appended.duplicate {
            return;
        }
        match told {
            Told::Here(deliveries, now) => self.plan(&event, *now, says_it.then_some(conn), deliveries),
            Told::Follower(effects) => effects.push(Outcome::Appended(appended)),
        }
    }

    fn plan(&mut self, event: &Event, now: Timestamp, except: Option<ConnId>, deliveries: &mut [Delivery]) {
        let Deliver::Here(planner) = &mut self.deliver else {
            return;
        };
        if let Err(error) = planner.event(event, now, except, deliveries) {
            log::error!("members could not be read, sessions will pull: {error}");
            self.parts.outboxes.miss_all();
        }
    }

    /// Devices that have more than there is are of another past.
    fn beyond(&self, outcome: &Outcome) {
        if let Outcome::Cursors(_, _, beyond) = outcome
            && !beyond.is_empty()
        {
            for (user, session) in self.parts.lazy.reporters(beyond) {
                self.parts.routes.start_over(user, session);
            }
        }
    }

    fn moved(&mut self, outcome: Outcome, told: &mut Told) {
        match (&mut self.deliver, told) {
            (Deliver::Here(planner), Told::Here(deliveries, _)) => {
                if let Outcome::Cursors(moves, ..) = &outcome
                    && let Err(error) = planner.cursors(moves, deliveries)
                {
                    log::error!("members could not be read, sessions will pull: {error}");
                    self.parts.outboxes.miss_all();
                }
            }
            (_, Told::Follower(effects)) => effects.push(outcome),
            _ => {}
        }
    }

    /// Answers what was no append; what follows from it.
    fn succeeded(&self, outcome: Outcome, then: Then, checked_at: u64) -> Option<Job> {
        match (outcome, then) {
            (Outcome::User(user), Then::Profile(reply)) => {
                self.parts.cache.profile_changed(user.id);
                self.parts.cluster.ended(Ended::User(user.id));
                reply.ok(&Reply::UpdateProfile(v1::UpdateProfileResponse {
                    user: Some(wire::user(&user)),
                }));
            }
            (Outcome::User(user), Then::Registered(login)) => {
                self.parts.cache.account_made(&user.name);
                return self.session_of(*login, user);
            }
            (Outcome::Session(created), Then::LoggedIn(made)) => self.logged_in(*made, &created, checked_at),
            (Outcome::Revoked(sessions), Then::LoggedOut(reply)) => {
                self.forget_sessions(&sessions);
                // The loop itself ends the connection, after this answer.
                self.parts.routes.note_revocation(&sessions);
                reply.ok_and(&Reply::Logout(v1::Empty {}), Effect::LoggedOut);
            }
            (Outcome::Revoked(sessions), Then::OthersLoggedOut(user, reply)) => {
                self.forget_sessions(&sessions);
                self.parts.routes.revoke(user, &sessions, GoAwayReason::Revoked);
                let count = u32::try_from(sessions.len()).unwrap_or(u32::MAX);
                reply.ok(&Reply::LogoutOthers(v1::LogoutOthersResponse { sessions: count }));
            }
            (_, Then::Nothing) => {}
            // The reply in `then` tells its client that the server failed. Neither is printed: an outcome may
            // hold what someone wrote.
            _ => log::error!("the store answered a write with another one's outcome"),
        }
        None
    }

    fn session_of(&self, login: NewLogin, user: User) -> Option<Job> {
        // Nobody is online of an account that was just made.
        match new_session_job(login, user, self.parts.policy, Vec::new()) {
            Ok(job) => Some(job),
            Err((reply, refusal)) => {
                reply.refuse_and(&refusal, Effect::NotAuthenticated);
                None
            }
        }
    }

    fn forget_sessions(&self, sessions: &[SessionId]) {
        for session in sessions {
            self.parts.cluster.ended(Ended::Session(*session));
        }
    }

    fn logged_in(&self, made: NewSessionMade, created: &SessionCreated, checked_at: u64) {
        let replaced: Vec<SessionId> = created.replaced.into_iter().collect();
        self.parts
            .routes
            .revoke(made.user.id, &replaced, GoAwayReason::Replaced);
        self.parts
            .routes
            .revoke(made.user.id, &created.displaced, GoAwayReason::Displaced);
        self.forget_sessions(&replaced);
        self.forget_sessions(&created.displaced);
        let token_hash = made.token.hash();
        self.parts.cluster.ended(Ended::Token(token_hash.0));
        made.reply.authenticated(Authenticated {
            established: Established {
                user: made.user.id,
                session: made.session,
            },
            user: made.user,
            token_hash,
            // With a single lane every revocation comes from this thread, so none can fall between the commit
            // and here; other lanes and nodes may have been quicker, and then the session is looked up again.
            checked_at: match self.deliver {
                Deliver::Here(..) => self.parts.routes.revocations(),
                Deliver::Follower(_) => checked_at,
            },
            token: Some(made.token.into_text()),
            seen_at: clock::wall(),
        });
    }
}

/// The event that an outcome made, unless it was made before.
fn new_event(outcome: &Outcome) -> Option<&Event> {
    match outcome {
        Outcome::Appended(appended) if !appended.duplicate => Some(&appended.event),
        _ => None,
    }
}

const fn is_move(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Cursors(..))
}

/// Makes the session of a login whose password was right or whose account is new. `online` are the user's sessions that
/// are connected.
///
/// # Errors
/// The system has no randomness; here is whom to tell.
pub fn new_session_job(
    login: NewLogin,
    user: User,
    policy: DevicePolicy,
    online: Vec<SessionId>,
) -> Result<Job, (ReplyTo, Refusal)> {
    let (token, id) =
        match SessionToken::generate().and_then(|token| Ok((token, token::random_session_id()?))) {
            Ok(made) => made,
            Err(error) => {
                log::error!("{error}");
                return Err((login.reply, Refusal::new(ErrorCode::Unavailable, "no randomness")));
            }
        };
    let at = clock::wall();
    let session = Session {
        id,
        user: user.id,
        device_id: login.device.device_id.clone(),
        class: wire::device_class(login.device.class()),
        device_name: login.device.name.clone(),
        created_at: at,
        last_seen_at: at,
    };
    let write = Write::CreateSession(NewSession {
        session,
        token_hash: token.hash(),
        policy,
        online,
    });
    let made = NewSessionMade {
        reply: login.reply,
        user,
        session: id,
        token,
    };
    Ok(Job {
        write,
        then: Then::LoggedIn(Box::new(made)),
    })
}

fn sent(command: Command, appended: &Appended, epoch: u64) -> Reply {
    let response = wire::sent(&appended.event, appended.duplicate, epoch);
    match command {
        Command::CreateGroup => Reply::CreateGroup(response),
        Command::AddMembers => Reply::AddMembers(response),
        Command::RemoveMember => Reply::RemoveMember(response),
        Command::LeaveGroup => Reply::LeaveGroup(response),
        Command::SetRole => Reply::SetRole(response),
        Command::RenameGroup => Reply::RenameGroup(response),
        Command::DisbandGroup => Reply::DisbandGroup(response),
        _ => Reply::Send(response),
    }
}

pub(super) fn refuse_all(thens: Vec<Then>, refusal: &Refusal) {
    for then in thens {
        refuse(then, refusal);
    }
}

fn refuse(then: Then, refusal: &Refusal) {
    match then {
        Then::Sent(_, reply)
        | Then::Profile(reply)
        | Then::LoggedOut(reply)
        | Then::OthersLoggedOut(_, reply) => reply.refuse(refusal),
        Then::Registered(login) => login.reply.refuse_and(refusal, Effect::NotAuthenticated),
        Then::LoggedIn(made) => made.reply.refuse_and(refusal, Effect::NotAuthenticated),
        Then::Nothing => {}
    }
}
