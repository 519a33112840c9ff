//! Register, login and resume: what happens between a hello and an authenticated session.
//!
//! A worker looks the account up, a hashing thread does the password, a lane makes the session. Each step here is a
//! function of what the step before it found, and says what the next one is.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::OnceLock,
    time::{Duration, Instant},
};

use protocol::{
    Refusal, Request,
    v1::{Device, ErrorCode, GoAwayReason, LoginRequest, RegisterRequest},
    validate,
};
use storage::{
    DevicePolicy, NewSession, NewUser, Outcome, Session, SessionCreated, SessionId, TokenHash, User, UserId,
    Write,
    ephemeral::{Ended, Lookup},
};

use super::{
    device,
    hashing::{Hashed, What},
    work::{Asking, Failure, Planned},
};
use crate::{
    clock,
    config::Config,
    lane::{Aftermath, Done, other_outcome},
    message::Authenticated,
    principal::Principal,
    session::network,
    token::{self, SessionToken},
    wire,
};

/// Whoever is told that too many passwords wait comes back no earlier.
const RETRY_AFTER_MS_LEAST: u32 = 100;

/// What a device that wants to be authenticated comes to.
pub(super) enum Opening {
    /// Its session is there.
    Resumed(Box<Authenticated>),
    /// A password is to be looked at first.
    Hash(Hashing),
}

impl std::fmt::Debug for Opening {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Resumed(_) => "Resumed(…)",
            Self::Hash(_) => "Hash(…)",
        })
    }
}

/// A password to hash or to verify, and what follows.
pub(super) struct Hashing {
    /// In clear text; never logged.
    pub password: String,
    /// What to do with it.
    pub what: What,
    /// Where it comes from: sources are served in turn.
    pub source: u64,
    /// Whoever waits has gone by then.
    pub until: Instant,
    /// The write that follows.
    pub then: Box<dyn FnOnce(Hashed) -> Result<Planned, Refusal> + Send>,
}

impl std::fmt::Debug for Hashing {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Hashing").finish_non_exhaustive()
    }
}

/// What a request that authenticates comes to.
///
/// # Errors
/// It is refused, or the store did not answer.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the session lets no other request through, and a test walks the commands that open one"
)]
pub(super) fn open(
    asking: &mut Asking<'_>,
    device: Device,
    from: Option<IpAddr>,
    request: Request,
) -> Result<Opening, Failure> {
    match request {
        Request::Hello(hello) => resume(asking, token::hash_session_token(&hello.session_token), None),
        Request::Register(request) => register(asking, device, from, request),
        Request::Login(request) => login(asking, device, from, request),
        other => {
            log::error!("{} does not authenticate", other.command().name());
            Err(Refusal::new(ErrorCode::Internal, "the server failed on this request").into())
        }
    }
}

/// Looks a session up by its token. `token` is what the device is to be told of it.
///
/// # Errors
/// There is none, or the store did not answer.
pub(super) fn resume(
    asking: &mut Asking<'_>,
    token_hash: TokenHash,
    token: Option<String>,
) -> Result<Opening, Failure> {
    // Read before the session is: a revocation in between is noticed when the route is made.
    let checked_at = asking.context.routes.revocations();
    let Some((session, user)) = find_session(asking, &token_hash)? else {
        let refusal = Refusal::new(ErrorCode::Unauthenticated, "this session has ended: log in again");
        return Err(refusal.into());
    };
    Ok(Opening::Resumed(Box::new(Authenticated {
        principal: Principal {
            user: user.id,
            session: session.id,
        },
        user,
        token_hash,
        checked_at,
        token,
        seen_at: session.last_seen_at,
    })))
}

/// From what the nodes share, if that can be trusted just now, else from the store.
fn find_session(
    asking: &mut Asking<'_>,
    token_hash: &TokenHash,
) -> Result<Option<(Session, User)>, storage::ReadError> {
    let context = asking.context;
    let ticket = match context.cluster.find_session(token_hash) {
        // A cache may not have heard of an end that this node's change feed has.
        Lookup::Found(found) if !context.routes.ended_lately(found.0.id) => return Ok(Some(*found)),
        Lookup::Absent => return Ok(None),
        Lookup::Found(_) => None,
        Lookup::Unknown(ticket) => ticket,
    };
    let found = asking.reader.session_by_token(token_hash)?;
    context.cluster.keep_session(token_hash, found.as_ref(), ticket);
    Ok(found)
}

fn register(
    asking: &mut Asking<'_>,
    device: Device,
    from: Option<IpAddr>,
    register: RegisterRequest,
) -> Result<Opening, Failure> {
    let context = asking.context;
    if !context.config.accounts.registration {
        let message = "this server takes no registrations";
        return Err(Refusal::new(ErrorCode::RegistrationClosed, message).into());
    }
    context.attempts.take(from, None, Instant::now())?;
    let until = serve_until(&context.config);
    let name = validate::canonical_name(&register.name);
    if asking.reader.user_by_name(&name)?.is_some() {
        return Err(Refusal::new(ErrorCode::NameTaken, "name taken").into());
    }
    let display_name = if register.display_name.is_empty() {
        register.name
    } else {
        register.display_name
    };
    let source = source(from, &name);
    let then = move |hashed: Hashed| {
        let Hashed::Hash(password_hash) = hashed else {
            return Err(not_hashed(&hashed));
        };
        let write = Write::CreateUser(NewUser {
            name,
            display_name,
            password_hash,
            at: clock::wall(),
        });
        let after = move |outcome: Outcome, aftermath: &Aftermath<'_>| {
            let Outcome::User(user) = outcome else {
                return Err(other_outcome());
            };
            aftermath.cache.account_made(&user.name);
            // Nobody is online of an account that was just made.
            let planned = new_session(device, user, aftermath.policy, Vec::new())?;
            Ok(Done::Write(planned.write, planned.after))
        };
        Ok(Planned {
            write,
            after: Box::new(after),
        })
    };
    Ok(Opening::Hash(Hashing {
        password: register.password,
        what: What::Hash,
        source,
        until,
        then: Box::new(then),
    }))
}

fn login(
    asking: &mut Asking<'_>,
    device: Device,
    from: Option<IpAddr>,
    login: LoginRequest,
) -> Result<Opening, Failure> {
    let context = asking.context;
    let until = serve_until(&context.config);
    let name = validate::canonical_name(&login.name);
    context.attempts.take(from, Some(&name), Instant::now())?;
    let (user, expected) = match asking.reader.credentials(&name)? {
        Some(credentials) => (Some(credentials.user), Some(credentials.password_hash)),
        None => (None, None),
    };
    // Asked for whom there is not, too: an account cannot be told by the time it takes.
    let asked = user.as_ref().map_or(UserId(0), |user| user.id);
    let mut online = context.cluster.sessions_online(asked).unwrap_or_default();
    let routes = std::sync::Arc::clone(&context.routes);
    let policy = context.config.device_policy();
    let then = move |hashed: Hashed| match (hashed, user) {
        (Hashed::Matches, Some(user)) => {
            routes.of(user.id, |route| online.push(route.session));
            new_session(device, user, policy, online)
        }
        (hashed, _) => Err(not_hashed(&hashed)),
    };
    Ok(Opening::Hash(Hashing {
        password: login.password,
        what: What::Verify(expected),
        source: source(from, &name),
        until,
        then: Box::new(then),
    }))
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

fn not_hashed(hashed: &Hashed) -> Refusal {
    match hashed {
        Hashed::Differs => Refusal::new(ErrorCode::BadCredentials, "wrong name or password"),
        Hashed::Busy(wait) => {
            let wait_ms = u32::try_from(wait.as_millis())
                .unwrap_or(u32::MAX)
                .max(RETRY_AFTER_MS_LEAST);
            Refusal::new(ErrorCode::Overloaded, "too many passwords wait to be checked")
                .with_retry_after_ms(wait_ms)
        }
        Hashed::Hash(_) | Hashed::Matches | Hashed::Failed => {
            Refusal::new(ErrorCode::Unavailable, "the password could not be checked")
        }
    }
}

/// The session of a login whose password was right or whose account is new. `online` are the user's sessions that are
/// connected.
fn new_session(
    device: Device,
    user: User,
    policy: DevicePolicy,
    online: Vec<SessionId>,
) -> Result<Planned, Refusal> {
    let made = SessionToken::generate().and_then(|token| Ok((token, token::random_session_id()?)));
    let (token, id) = made.map_err(|error| {
        log::error!("{error}");
        Refusal::new(ErrorCode::Unavailable, "no randomness")
    })?;
    let at = clock::wall();
    let class = wire::device_class(device.class());
    let session = Session {
        id,
        user: user.id,
        device_id: device.device_id,
        class,
        device_name: device.name,
        created_at: at,
        last_seen_at: at,
    };
    let write = Write::CreateSession(NewSession {
        session,
        token_hash: token.hash(),
        policy,
        online,
    });
    let after = move |outcome: Outcome, aftermath: &Aftermath<'_>| {
        let Outcome::Session(created) = outcome else {
            return Err(other_outcome());
        };
        Ok(Done::Authenticated(Box::new(session_made(
            user, id, token, &created, aftermath,
        ))))
    };
    Ok(Planned {
        write,
        after: Box::new(after),
    })
}

/// The sessions whose place the new one took are ended before its device is told of it.
fn session_made(
    user: User,
    session: SessionId,
    token: SessionToken,
    created: &SessionCreated,
    aftermath: &Aftermath<'_>,
) -> Authenticated {
    let Aftermath { routes, cluster, .. } = aftermath;
    let replaced: Vec<SessionId> = created.replaced.into_iter().collect();
    routes.revoke(user.id, &replaced, GoAwayReason::Replaced);
    routes.revoke(user.id, &created.displaced, GoAwayReason::Displaced);
    device::forget(cluster, &replaced);
    device::forget(cluster, &created.displaced);
    let token_hash = token.hash();
    cluster.ended(Ended::Token(token_hash.0));
    Authenticated {
        principal: Principal {
            user: user.id,
            session,
        },
        user,
        token_hash,
        checked_at: aftermath.checked_at(),
        token: Some(token.into_text()),
        seen_at: clock::wall(),
    }
}
