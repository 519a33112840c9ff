//! An implementation under test, with the time that goes with it.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crate::ephemeral::{
    Codes, Hint, HintReceiver, Hints, Limits, Memory, Node, Presence, RateLimits, Remote, RemoteSettings,
    SessionCache,
};
use crate::{DeviceClass, Session, SessionId, Timestamp, TokenHash, User, UserId};

/// How long a test waits for what must come about.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

pub(super) trait Everything: SessionCache + Presence + Codes + RateLimits + Hints {}
impl<T: SessionCache + Presence + Codes + RateLimits + Hints> Everything for T {}

pub(super) struct World {
    pub(super) store: Arc<dyn Everything>,
    start: Instant,
    /// The time that passed, where the test makes it pass.
    passed: Option<Cell<Duration>>,
}

impl World {
    pub(super) fn memory(limits: Limits) -> Self {
        let start = Instant::now();
        Self {
            store: Arc::new(Memory::new(limits, start)),
            start,
            passed: Some(Cell::default()),
        }
    }

    pub(super) fn remote(limits: Limits) -> Self {
        Self::of(shared(limits))
    }

    pub(super) fn of(settings: RemoteSettings) -> Self {
        let start = Instant::now();
        Self {
            store: Arc::new(Remote::new(settings, start).expect("a URL")),
            start,
            passed: None,
        }
    }

    pub(super) fn now(&self) -> Instant {
        match &self.passed {
            Some(passed) => self.start + passed.get(),
            None => Instant::now(),
        }
    }

    /// Lets time pass until it has come about.
    pub(super) fn until(&self, mut done: impl FnMut(Instant) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(self.now()) {
            assert!(Instant::now() < deadline, "it did not come about");
            match &self.passed {
                Some(passed) => passed.set(passed.get() + Duration::from_millis(10)),
                None => std::thread::park_timeout(Duration::from_millis(5)),
            }
        }
    }
}

/// The shared server, with a prefix and time-outs for a machine that is busy with other tests.
pub(super) fn shared(limits: Limits) -> RemoteSettings {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let url = services::shared_redis().expect("a server");
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("the time");
    RemoteSettings {
        prefix: format!(
            "test:{}:{}:{}:",
            std::process::id(),
            since.as_nanos(),
            MADE.fetch_add(1, Ordering::Relaxed)
        ),
        limits,
        ..patient(url)
    }
}

pub(super) fn patient(url: String) -> RemoteSettings {
    RemoteSettings {
        connect_timeout: PATIENCE,
        read_timeout: PATIENCE,
        write_timeout: PATIENCE,
        ..RemoteSettings::new(url)
    }
}

pub(super) fn token(number: u8) -> TokenHash {
    TokenHash([number; 32])
}

pub(super) fn session(id: u64, user: u64) -> (Session, User) {
    let session = Session {
        id: SessionId(id),
        user: UserId(user),
        device_id: format!("device {id}"),
        class: DeviceClass::Web,
        device_name: "ä: \0".to_owned(),
        created_at: Timestamp(1),
        last_seen_at: Timestamp(2),
    };
    let user = User {
        id: UserId(user),
        name: format!("user{user}"),
        display_name: String::new(),
        avatar: "a".to_owned(),
        status: "s".to_owned(),
        version: 3,
        created_at: Timestamp(4),
    };
    (session, user)
}

pub(super) fn node(name: &str, generation: u64) -> Node {
    Node {
        name: name.to_owned(),
        address: format!("{name}:1"),
        since: Timestamp(5),
        generation,
    }
}

pub(super) fn next(receiver: &HintReceiver) -> Hint {
    receiver.receive(PATIENCE).expect("a hint")
}
