//! Register, login and resume: what happens between a hello and an authenticated session.
//!
//! A worker looks the account up, a hashing thread does the password, the lane makes the session; each hands
//! on to the next without waiting for it.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use protocol::{
    Refusal, Request,
    v1::{Device, ErrorCode, LoginRequest, RegisterRequest},
    validate,
};
use storage::{NewUser, Session, SessionId, TokenHash, User, UserId, Write, ephemeral::Lookup};

use super::{
    hashing::{HashJob, Hashed, What},
    question::{UNANSWERED, Worker, WorkerContext},
};
use crate::{
    clock,
    config::Config,
    gateway::Established,
    lane::{Job, LaneHandle, NewLogin, SubmitError, Then, new_session_job},
    reply::{Authenticated, Effect, ReplyTo},
    session::network,
    token,
};

/// Whoever is told that too many passwords wait comes back no earlier.
const RETRY_AFTER_MS_LEAST: u32 = 100;

pub(super) fn answer(
    worker: &mut Worker,
    device: Device,
    from: Option<IpAddr>,
    request: Request,
    reply: ReplyTo,
) {
    match request {
        Request::Hello(hello) => check(
            worker,
            token::hash_session_token(&hello.session_token),
            None,
            reply,
        ),
        Request::Register(register) => self::register(worker, device, from, register, reply),
        Request::Login(login) => self::login(worker, device, from, login, reply),
        other => {
            log::error!("{} does not authenticate", other.command().name());
            let refusal = Refusal::new(ErrorCode::Internal, "the server failed on this request");
            reply.refuse_and(&refusal, Effect::NotAuthenticated);
        }
    }
}

/// Looks a session up by its token; `token` is what the device is to be told of it.
pub(super) fn check(worker: &mut Worker, token_hash: TokenHash, token: Option<String>, reply: ReplyTo) {
    // Read before the session is: a revocation in between is noticed when the route is made.
    let checked_at = worker.context.routes.revocations();
    match find_session(worker, &token_hash) {
        Ok(Some((session, user))) => {
            let established = Established {
                user: user.id,
                session: session.id,
            };
            reply.authenticated(Authenticated {
                established,
                user,
                token_hash,
                checked_at,
                token,
                seen_at: session.last_seen_at,
            });
        }
        Ok(None) => {
            let refusal = Refusal::new(ErrorCode::Unauthenticated, "this session has ended: log in again");
            reply.refuse_and(&refusal, Effect::NotAuthenticated);
        }
        Err(error) => not_now(&error, reply),
    }
}

/// From what the nodes share, if that can be trusted just now, else from the store.
fn find_session(
    worker: &mut Worker,
    token_hash: &TokenHash,
) -> Result<Option<(Session, User)>, storage::ReadError> {
    let cluster = &worker.context.cluster;
    let ticket = match cluster.find_session(token_hash) {
        // A cache may not have heard of an end that this node's follower has.
        Lookup::Found(found) if !worker.context.routes.ended_lately(found.0.id) => return Ok(Some(*found)),
        Lookup::Absent => return Ok(None),
        Lookup::Found(_) => None,
        Lookup::Unknown(ticket) => ticket,
    };
    let found = worker.reader.session_by_token(token_hash)?;
    worker
        .context
        .cluster
        .keep_session(token_hash, found.as_ref(), ticket);
    Ok(found)
}

fn register(
    worker: &mut Worker,
    device: Device,
    from: Option<IpAddr>,
    register: RegisterRequest,
    reply: ReplyTo,
) {
    if !worker.context.config.accounts.registration {
        let refusal = Refusal::new(
            ErrorCode::RegistrationClosed,
            "this server takes no registrations",
        );
        return reply.refuse_and(&refusal, Effect::NotAuthenticated);
    }
    if let Err(refusal) = worker.context.attempts.take(from, None, Instant::now()) {
        return reply.refuse_and(&refusal, Effect::NotAuthenticated);
    }
    let until = serve_until(&worker.context.config);
    let name = validate::canonical_name(&register.name);
    let register_name = name.clone();
    match worker.reader.user_by_name(&name) {
        Ok(None) => {}
        Ok(Some(_)) => {
            return reply.refuse_and(
                &Refusal::new(ErrorCode::NameTaken, "name taken"),
                Effect::NotAuthenticated,
            );
        }
        Err(error) => return not_now(&error, reply),
    }
    let display_name = if register.display_name.is_empty() {
        register.name
    } else {
        register.display_name
    };
    let lane = worker.context.lane.clone();
    let then = move |hashed: Hashed| {
        let Hashed::Hash(password_hash) = hashed else {
            return not_hashed(&hashed, reply);
        };
        let write = Write::CreateUser(NewUser {
            name,
            display_name,
            password_hash,
            at: clock::wall(),
        });
        submit(
            &lane,
            Job {
                write,
                then: Then::Registered(Box::new(NewLogin { reply, device })),
            },
        );
    };
    worker.context.hasher.submit(HashJob {
        password: register.password,
        what: What::Hash,
        source: source(from, &register_name),
        until,
        then: Box::new(then),
    });
}

fn login(worker: &mut Worker, device: Device, from: Option<IpAddr>, login: LoginRequest, reply: ReplyTo) {
    let until = serve_until(&worker.context.config);
    let name = validate::canonical_name(&login.name);
    if let Err(refusal) = worker.context.attempts.take(from, Some(&name), Instant::now()) {
        return reply.refuse_and(&refusal, Effect::NotAuthenticated);
    }
    let credentials = match worker.reader.credentials(&name) {
        Ok(credentials) => credentials,
        Err(error) => return not_now(&error, reply),
    };
    let (user, expected) = match credentials {
        Some(credentials) => (Some(credentials.user), Some(credentials.password_hash)),
        None => (None, None),
    };
    let context = Arc::clone(&worker.context);
    // Asked for whom there is not, too: an account cannot be told by the time it takes.
    let asked = user.as_ref().map_or(UserId(0), |user| user.id);
    let mut online = context.cluster.sessions_online(asked).unwrap_or_default();
    let then = move |hashed: Hashed| match (hashed, user) {
        (Hashed::Matches, Some(user)) => {
            context.routes.of(user.id, |route| online.push(route.session));
            make_session(&context, device, user, online, reply);
        }
        (hashed, _) => not_hashed(&hashed, reply),
    };
    worker.context.hasher.submit(HashJob {
        password: login.password,
        what: What::Verify(expected),
        source: source(from, &name),
        until,
        then: Box::new(then),
    });
}

/// When a password must have been looked at to be of use. A hello came before it, and the session has to be made after
/// it, within the time for a handshake.
fn serve_until(config: &Config) -> Instant {
    Instant::now() + Duration::from_millis(config.timeouts.handshake_ms / 2)
}

/// Where a password comes from: its address, or behind those that anybody may be, whom it is for.
fn source(from: Option<IpAddr>, name: &str) -> u64 {
    static SOURCES: OnceLock<RandomState> = OnceLock::new();
    let sources = SOURCES.get_or_init(RandomState::new);
    match from {
        Some(address) => sources.hash_one(("address", network(address))),
        None => sources.hash_one(("name", name)),
    }
}

fn not_hashed(hashed: &Hashed, reply: ReplyTo) {
    let refusal = match hashed {
        Hashed::Differs => Refusal::new(ErrorCode::BadCredentials, "wrong name or password"),
        Hashed::Busy(wait) => {
            let wait_ms = u32::try_from(wait.as_millis())
                .unwrap_or(u32::MAX)
                .max(RETRY_AFTER_MS_LEAST);
            Refusal::new(ErrorCode::Overloaded, "too many passwords wait to be checked")
                .with_retry_after_ms(wait_ms)
        }
        _ => Refusal::new(ErrorCode::Unavailable, "the password could not be checked"),
    };
    reply.refuse_and(&refusal, Effect::NotAuthenticated);
}

fn make_session(context: &WorkerContext, device: Device, user: User, online: Vec<SessionId>, reply: ReplyTo) {
    let policy = context.config.device_policy();
    match new_session_job(NewLogin { reply, device }, user, policy, online) {
        Ok(job) => submit(&context.lane, job),
        Err((reply, refusal)) => reply.refuse_and(&refusal, Effect::NotAuthenticated),
    }
}

fn submit(lane: &LaneHandle, job: Job) {
    let Err(SubmitError::Full(job) | SubmitError::Stopped(job)) = lane.submit(Box::new(job)) else {
        return;
    };
    let refusal = Refusal::new(ErrorCode::Overloaded, "too many writes wait");
    match job.then {
        Then::Registered(login) => login.reply.refuse_and(&refusal, Effect::NotAuthenticated),
        Then::LoggedIn(made) => made.reply.refuse_and(&refusal, Effect::NotAuthenticated),
        other => drop(other),
    }
}

fn not_now(error: &storage::ReadError, reply: ReplyTo) {
    UNANSWERED.failed(error);
    let refusal = Refusal::new(ErrorCode::Unavailable, "the store did not answer");
    reply.refuse_and(&refusal, Effect::NotAuthenticated);
}
