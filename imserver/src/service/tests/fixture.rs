//! A store in memory with services over it. It carries out what they plan as gateway, lane and workers do, one request
//! at a time. It owns no expectation.

use std::{net::IpAddr, sync::Arc, time::Instant};

use protocol::{
    Refusal, Reply, Request,
    v1::{Device, DeviceClass, HistoryResponse, LoginRequest, RegisterRequest, SendRequest},
    validate,
};
use storage::{
    DevicePolicy, Outcome, Reader, Refused, Rules, Store, UserId, Write, Writer,
    cached::{CachedReader, ReadCache},
    ephemeral::{Limits as Kept, Memory},
    model::ModelStore,
};

use super::super::{
    Attempts, Context, PageLimits, Planning, Work,
    hashing::Hashed,
    login::{self, Opening},
    plan,
    work::{Answer, Asking, Body, Failure, Planned, Relay},
};
use crate::{
    cluster::ClusterHandle,
    config::Config,
    delivery::Routes,
    lane::{Aftermath, Done, LazyWrites},
    message::{Authenticated, Effect},
    presence::{Friends, PresenceHandle},
    principal::Principal,
    token::Tokens,
    wire,
};

/// The store's epoch.
pub(super) const EPOCH: u64 = 5;
/// When a fixture begins, in milliseconds.
pub(super) const BEGIN_MS: u64 = 1_000_000;

/// What a request comes to in the end.
#[derive(Debug)]
pub(super) struct Answered {
    /// What the device is told.
    pub reply: Reply,
    /// What that does to its session.
    pub effect: Effect,
    /// What others are told.
    pub relay: Option<Relay>,
}

impl From<Reply> for Answered {
    fn from(reply: Reply) -> Self {
        Self {
            reply,
            effect: Effect::None,
            relay: None,
        }
    }
}

/// See the module.
pub(super) struct Fixture {
    pub context: Context,
    pub cache: Arc<ReadCache>,
    pub policy: DevicePolicy,
    pub limits: validate::Limits,
    /// The time, in milliseconds. It stands still unless a test moves it.
    pub now_ms: u64,
    /// The device of the next question has what the store does not have.
    pub starts_over: bool,
    /// How much an answer may have.
    pub page: PageLimits,
    pub reader: Box<dyn Reader>,
    writer: Box<dyn Writer>,
    client_ids: u64,
}

impl Fixture {
    pub(super) fn new() -> Self {
        Self::with(Rules::default(), Config::default())
    }

    pub(super) fn with(rules: Rules, config: Config) -> Self {
        let store = Arc::new(ModelStore::new(EPOCH, 2, rules));
        let cache = Arc::new(ReadCache::default());
        let reader = store.reader().unwrap();
        let writer = store.writer().unwrap();
        let rates = Arc::new(Memory::new(Kept::default(), Instant::now()));
        let attempts = Attempts::new(rates, &config.limits);
        Self {
            policy: config.device_policy(),
            page: PageLimits::whole(&config.limits),
            context: Context {
                config: Arc::new(config),
                epoch: EPOCH,
                tokens: Tokens::of(store),
                routes: Arc::new(Routes::new(1)),
                cluster: ClusterHandle::default(),
                presence: PresenceHandle::new("alone", Box::new(Friends), Box::new(ClusterHandle::default())),
                lazy: Arc::new(LazyWrites::default()),
                attempts,
            },
            cache: Arc::clone(&cache),
            limits: validate::Limits::default(),
            now_ms: BEGIN_MS,
            starts_over: false,
            reader: Box::new(CachedReader::new(reader, cache)),
            writer,
            client_ids: 0,
        }
    }

    /// A client id that was not used before.
    pub(super) fn client_id(&mut self) -> bytes::Bytes {
        self.client_ids += 1;
        self.client_ids.to_be_bytes().repeat(2).into()
    }

    /// What a request is planned as.
    pub(super) fn plan(&self, who: Principal, request: Request) -> Result<Work, Refusal> {
        let planning = Planning {
            at: storage::Timestamp(self.now_ms),
            limits: &self.limits,
        };
        plan(request, who, &planning)
    }

    /// Plans a request and carries it out.
    pub(super) fn ask(&mut self, who: Principal, request: Request) -> Result<Answered, Failure> {
        match self.plan(who, request)? {
            Work::Append(command, append) => {
                let outcome = self.commit(Write::Append(append)).map_err(wire::refused)?;
                let Outcome::Appended(appended) = outcome else {
                    panic!("an append came to {outcome:?}");
                };
                let response = wire::sent(&appended.event, appended.duplicate, EPOCH);
                Ok(command.reply(response).into())
            }
            Work::Write(planned) => match self.write(*planned)? {
                Done::Answer(reply, effect) => Ok(Answered {
                    reply,
                    effect,
                    relay: None,
                }),
                done @ (Done::Authenticated(_) | Done::Write(..)) => panic!("{done:?}"),
            },
            Work::Ask(ask) | Work::Relay(ask) => {
                let Answer { body, effect, relay } = (ask.question)(&mut self.asking())?;
                let reply = match body {
                    Body::Reply(reply) => reply,
                    Body::History(page) => Reply::History(HistoryResponse {
                        page: Some(page.to_page()),
                    }),
                    Body::Watching(watching) => Reply::WatchPresence(watching.answered_alone()),
                };
                Ok(Answered { reply, effect, relay })
            }
            Work::Away(_, reply) => Ok(reply.into()),
            Work::Receipts(moves, reply) => {
                for moved in moves {
                    let taken = self.context.lazy.move_cursor(moved, who.session);
                    assert!(taken.is_ok(), "too many cursors wait");
                }
                Ok(reply.into())
            }
        }
    }

    /// The answer to a request that is not refused.
    #[track_caller]
    pub(super) fn answered(&mut self, who: Principal, request: impl Into<Request>) -> Answered {
        let request = request.into();
        validate::request(&request, &self.limits).unwrap();
        let said = format!("{request:?}");
        match self.ask(who, request) {
            Ok(answered) => answered,
            Err(failure) => panic!("{said} came to {failure:?}"),
        }
    }

    /// Writes what waits in the lazy writes, as an idle lane does.
    pub(super) fn write_lazily(&mut self) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for write in self.context.lazy.take() {
            outcomes.push(self.commit(write).unwrap());
        }
        self.context.lazy.written();
        outcomes
    }

    pub(super) fn commit(&mut self, write: Write) -> Result<Outcome, Refused> {
        match self.writer.commit(&[write]) {
            Ok(mut results) if results.len() == 1 => results.remove(0),
            other => panic!("one write came to {other:?}"),
        }
    }

    /// Commits and does what follows, up to the next write.
    pub(super) fn write(&mut self, planned: Planned) -> Result<Done, Refusal> {
        let outcome = self.commit(planned.write).map_err(wire::refused)?;
        (planned.after)(outcome, &self.aftermath())
    }

    pub(super) fn aftermath(&self) -> Aftermath<'_> {
        Aftermath {
            routes: &self.context.routes,
            cache: &self.cache,
            cluster: &self.context.cluster,
            policy: self.policy,
            checked_before: None,
        }
    }

    pub(super) fn asking(&mut self) -> Asking<'_> {
        Asking {
            reader: &mut *self.reader,
            context: &self.context,
            page: self.page,
            now: storage::Timestamp(self.now_ms),
            starts_over: self.starts_over,
        }
    }

    /// What a device that wants to be authenticated comes to.
    pub(super) fn open(
        &mut self,
        device: &Device,
        from: Option<IpAddr>,
        request: Request,
    ) -> Result<Opening, Failure> {
        login::open(&mut self.asking(), device.clone(), from, request)
    }

    /// Goes on with an opening whose password came to this.
    pub(super) fn hashed(&mut self, opening: Opening, hashed: Hashed) -> Result<Authenticated, Refusal> {
        let hashing = match opening {
            Opening::Resumed(authenticated) => return Ok(*authenticated),
            Opening::Hash(hashing) => hashing,
        };
        let mut planned = (hashing.then)(hashed)?;
        loop {
            match self.write(planned)? {
                Done::Authenticated(authenticated) => return Ok(*authenticated),
                Done::Write(write, after) => planned = Planned { write, after },
                done @ Done::Answer(..) => panic!("{done:?}"),
            }
        }
    }

    /// Registers a user of this name on a device.
    #[track_caller]
    pub(super) fn register(&mut self, name: &str, device: &Device) -> Result<Authenticated, Failure> {
        let opening = self.open(device, None, register(name))?;
        Ok(self.hashed(opening, Hashed::Hash(format!("hash of {name}")))?)
    }

    /// Logs in with the right password.
    pub(super) fn log_in(&mut self, name: &str, device: &Device) -> Result<Authenticated, Failure> {
        let opening = self.open(device, None, log_in(name))?;
        Ok(self.hashed(opening, Hashed::Matches)?)
    }

    /// A new user.
    pub(super) fn person(&mut self, name: &str) -> Principal {
        self.register(name, &phone(name)).unwrap().principal
    }

    /// A text that is sent; its seq.
    #[track_caller]
    pub(super) fn send(&mut self, who: Principal, conversation: u64, text: &str) -> u64 {
        let request = SendRequest {
            client_msg_id: self.client_id(),
            ..super::requests::text(conversation, text)
        };
        match self.answered(who, Request::Send(request)).reply {
            Reply::Send(sent) => sent.seq,
            other => panic!("{other:?}"),
        }
    }
}

/// The phone of a person.
pub(super) fn phone(of: &str) -> Device {
    device(&format!("phone-of-{of}"), DeviceClass::Mobile)
}

pub(super) fn device(id: &str, class: DeviceClass) -> Device {
    Device {
        device_id: id.into(),
        class: class.into(),
        name: id.into(),
    }
}

pub(super) fn register(name: &str) -> Request {
    Request::Register(RegisterRequest {
        name: name.into(),
        password: "a password of some length".into(),
        display_name: String::new(),
    })
}

pub(super) fn log_in(name: &str) -> Request {
    Request::Login(LoginRequest {
        name: name.into(),
        password: "a password of some length".into(),
    })
}

/// A group with somebody in each role, and people outside.
pub(super) struct Group {
    pub fixture: Fixture,
    pub id: u64,
    pub stranger: Principal,
    pub former: Principal,
    pub member: Principal,
    pub admin: Principal,
    pub owner: Principal,
    /// The member's other device.
    pub other_device: Principal,
    /// Another member, to whom things are done.
    pub bystander: Principal,
    /// A message of the bystander that all but the stranger see.
    pub message: u64,
    /// The head, which the bystander wrote after the former member was removed.
    pub head: u64,
}

impl Group {
    pub(super) fn new() -> Self {
        Self::in_fixture(Fixture::new())
    }

    pub(super) fn in_fixture(mut fixture: Fixture) -> Self {
        let stranger = fixture.person("stranger");
        let former = fixture.person("former");
        let member = fixture.person("member");
        let admin = fixture.person("admin");
        let owner = fixture.person("owner");
        let bystander = fixture.person("bystander");
        let laptop = device("laptop-of-member", DeviceClass::Desktop);
        let other_device = fixture.log_in("member", &laptop).unwrap().principal;
        let others: Vec<UserId> = [former, member, admin, bystander].map(|who| who.user).into();
        let create = super::requests::create("group", &others);
        let id = match fixture.answered(owner, create).reply {
            Reply::CreateGroup(sent) => sent.conversation_id,
            other => panic!("{other:?}"),
        };
        fixture.answered(
            owner,
            super::requests::set_role(id, admin.user, protocol::v1::Role::Admin),
        );
        let message = fixture.send(bystander, id, "hello");
        fixture.answered(owner, super::requests::remove(id, former.user));
        let head = fixture.send(bystander, id, "bye");
        Self {
            fixture,
            id,
            stranger,
            former,
            member,
            admin,
            owner,
            other_device,
            bystander,
            message,
            head,
        }
    }
}
