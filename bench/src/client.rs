//! A blocking client for what is not measured: registering, making groups, reading history to verify it. One
//! request at a time; pushes are passed over.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes, BytesMut};
use protocol::{
    Decode, Encoding, Frame, FrameCodec, MAGIC, MessageType, Reply, Request, Split, VERSION,
    limits::FRAME_BYTES_MAX, v1,
};

use crate::{BenchError, dialect::Account};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a request that is to be repeated is.
const ATTEMPTS: usize = 100;
const READ_BYTES: usize = 64 * 1024;
/// Members that one request may name.
const MEMBERS_PER_REQUEST: usize = 1_000;

/// See the module.
pub(crate) struct Client {
    stream: TcpStream,
    codec: FrameCodec,
    incoming: BytesMut,
    seq: u16,
}

impl Client {
    fn connect(server: SocketAddr) -> Result<Self, BenchError> {
        let stream = TcpStream::connect(server)
            .map_err(|error| BenchError::Other(format!("cannot connect to {server}: {error}")))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            codec: FrameCodec::new(FRAME_BYTES_MAX),
            incoming: BytesMut::new(),
            seq: 0,
        })
    }

    fn hello(&mut self, device: &str, token: &str) -> Result<v1::Welcome, BenchError> {
        let hello = Request::Hello(v1::Hello {
            magic: MAGIC,
            version_min: VERSION,
            version_max: VERSION,
            capabilities: 0,
            device: Some(v1::Device {
                device_id: device.to_owned(),
                ..v1::Device::default()
            }),
            session_token: token.to_owned(),
            client: "imbench".to_owned(),
        });
        match self.ask(&hello)? {
            Reply::Hello(welcome) => Ok(welcome),
            other => Err(unexpected(&other)),
        }
    }

    /// A new account and its session.
    pub(crate) fn register(
        server: SocketAddr,
        name: &str,
        password: &str,
    ) -> Result<v1::Session, BenchError> {
        let mut client = Self::connect(server)?;
        client.hello("imbench", "")?;
        let register = Request::Register(v1::RegisterRequest {
            name: name.to_owned(),
            password: password.to_owned(),
            display_name: String::new(),
        });
        match client.ask(&register)? {
            Reply::Register(session) => Ok(session),
            other => Err(unexpected(&other)),
        }
    }

    /// Logged in with the account's token.
    pub(crate) fn resume(server: SocketAddr, account: &Account) -> Result<Self, BenchError> {
        let mut client = Self::connect(server)?;
        let welcome = client.hello("imbench", &account.token)?;
        match welcome.session {
            Some(_) => Ok(client),
            None => Err(BenchError::Other(format!("{} has no session", account.name))),
        }
    }

    /// Logged in with the account's password, on a device of its own.
    pub(crate) fn login(server: SocketAddr, account: &Account, device: &str) -> Result<Self, BenchError> {
        let mut client = Self::connect(server)?;
        client.hello(device, "")?;
        let login = Request::Login(v1::LoginRequest {
            name: account.name.clone(),
            password: account.password.clone(),
        });
        match client.ask(&login)? {
            Reply::Login(_) => Ok(client),
            other => Err(unexpected(&other)),
        }
    }

    /// How long the answer took, whether it is a refusal or not.
    pub(crate) fn timed(&mut self, request: &Request) -> Result<Duration, BenchError> {
        let began = Instant::now();
        self.write(request)?;
        self.answer()?;
        Ok(began.elapsed())
    }

    /// Ends the connection from elsewhere, once it is shut down.
    pub(crate) fn closer(&self) -> Result<TcpStream, BenchError> {
        Ok(self.stream.try_clone()?)
    }

    /// Takes whatever comes until the connection ends.
    pub(crate) fn drain(mut self) {
        while self.frame().is_ok() {}
    }

    /// Sends a text.
    pub(crate) fn text(&mut self, conversation: u64) -> Result<(), BenchError> {
        let send = Request::Send(v1::SendRequest {
            conversation_id: conversation,
            client_msg_id: derived_id(crate::accounts::random()?, &[conversation]),
            kind: v1::EventKind::Text.into(),
            content: Some(v1::Content {
                body: Bytes::from_static(b"as ever"),
                ..v1::Content::default()
            }),
            ..v1::SendRequest::default()
        });
        match self.ask(&send)? {
            Reply::Send(_) => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// What changed since `token`; the next token.
    pub(crate) fn sync(&mut self, token: Bytes) -> Result<Bytes, BenchError> {
        match self.ask(&Request::Sync(v1::SyncRequest { token, limit: 100 }))? {
            Reply::Sync(answer) => Ok(answer.token),
            other => Err(unexpected(&other)),
        }
    }

    /// Takes somebody out of a group, for the time of this number.
    pub(crate) fn remove_member(&mut self, group: u64, user: u64, number: u64) -> Result<(), BenchError> {
        let remove = Request::RemoveMember(v1::RemoveMemberRequest {
            conversation_id: group,
            client_msg_id: derived_id(2 * number, &[group, user]),
            user_id: user,
        });
        match self.ask(&remove)? {
            Reply::RemoveMember(_) => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Adds somebody to a group, for the time of this number.
    pub(crate) fn add_member(&mut self, group: u64, user: u64, number: u64) -> Result<(), BenchError> {
        let add = Request::AddMembers(v1::AddMembersRequest {
            conversation_id: group,
            client_msg_id: derived_id(2 * number + 1, &[group, user]),
            user_ids: vec![user],
        });
        match self.ask(&add)? {
            Reply::AddMembers(_) => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Has so many pages in flight until it is told to stop, and counts those that came.
    pub(crate) fn flood(
        &mut self,
        (conversation, from_seq): (u64, u64),
        window: usize,
        stop: &AtomicBool,
        pages: &AtomicU64,
    ) -> Result<(), BenchError> {
        let history = Request::History(v1::HistoryRequest {
            conversation_id: conversation,
            from_seq,
            limit: 500,
            direction: v1::Direction::Backward.into(),
            ..v1::HistoryRequest::default()
        });
        for _ in 0..window {
            self.write(&history)?;
        }
        while !stop.load(Ordering::Relaxed) {
            let frame = self.frame()?;
            if frame.kind.is_response() {
                pages.fetch_add(u64::from(frame.kind != MessageType::ERROR), Ordering::Relaxed);
                self.write(&history)?;
            }
        }
        Ok(())
    }

    /// A group of this client's user and `members`. Asked for once more, it is the same group.
    pub(crate) fn make_group(&mut self, members: &[u64]) -> Result<u64, BenchError> {
        let (first, rest) = members.split_at(members.len().min(MEMBERS_PER_REQUEST));
        let create = Request::CreateGroup(v1::CreateGroupRequest {
            client_msg_id: derived_id(0, members),
            name: format!("imbench {}", members.len()),
            user_ids: first.to_vec(),
        });
        let group = match self.ask(&create)? {
            Reply::CreateGroup(made) => made.conversation_id,
            other => return Err(unexpected(&other)),
        };
        for (number, more) in (1..).zip(rest.chunks(MEMBERS_PER_REQUEST)) {
            let add = Request::AddMembers(v1::AddMembersRequest {
                conversation_id: group,
                client_msg_id: derived_id(number, members),
                user_ids: more.to_vec(),
            });
            match self.ask(&add)? {
                Reply::AddMembers(_) => {}
                other => return Err(unexpected(&other)),
            }
        }
        Ok(group)
    }

    /// All conversations of this user.
    pub(crate) fn conversations(&mut self) -> Result<Vec<v1::Conversation>, BenchError> {
        let (mut all, mut before) = (Vec::new(), Bytes::new());
        loop {
            let list = v1::ListConversationsRequest { before, limit: 200 };
            let Reply::ListConversations(page) = self.ask(&Request::ListConversations(list))? else {
                return Err(BenchError::Other("no list of conversations came".to_owned()));
            };
            all.extend(page.conversations);
            if !page.more || page.before.is_empty() {
                return Ok(all);
            }
            before = page.before;
        }
    }

    /// One page of history, forward.
    pub(crate) fn history(&mut self, conversation: u64, from_seq: u64) -> Result<v1::Page, BenchError> {
        let history = Request::History(v1::HistoryRequest {
            conversation_id: conversation,
            epoch: 0,
            from_seq,
            limit: 500,
            direction: v1::Direction::Forward.into(),
        });
        match self.ask(&history)? {
            Reply::History(answer) => Ok(answer.page.unwrap_or_default()),
            other => Err(unexpected(&other)),
        }
    }

    /// Asks until it is not told to come back later.
    fn ask(&mut self, request: &Request) -> Result<Reply, BenchError> {
        for _ in 0..ATTEMPTS {
            self.write(request)?;
            let frame = self.answer()?;
            if frame.kind != MessageType::ERROR {
                return Reply::decode(request.command(), Encoding::Protobuf, frame.body)
                    .map_err(|refusal| BenchError::Other(refusal.to_string()));
            }
            let error: v1::Error = Encoding::Protobuf
                .decode(frame.body)
                .map_err(|refusal| BenchError::Other(refusal.to_string()))?;
            let again = matches!(
                error.class(),
                v1::ErrorClass::Retry | v1::ErrorClass::UnknownOutcome
            );
            if !again {
                return Err(BenchError::Other(format!(
                    "{} was refused: {} {}",
                    request.command().name(),
                    error.code().as_str_name(),
                    error.message
                )));
            }
            std::thread::sleep(Duration::from_millis(error.retry_after_ms.into()));
        }
        Err(BenchError::Other(format!(
            "{} was refused {ATTEMPTS} times",
            request.command().name()
        )))
    }

    fn write(&mut self, request: &Request) -> Result<(), BenchError> {
        self.seq = self.seq.checked_add(1).unwrap_or(1);
        let mut bytes = BytesMut::new();
        request
            .to_frame(Encoding::Protobuf, self.seq)
            .encode(&mut bytes)
            .map_err(|error| BenchError::Other(error.to_string()))?;
        Ok(self.stream.write_all(&bytes)?)
    }

    fn answer(&mut self) -> Result<Frame, BenchError> {
        loop {
            let frame = self.frame()?;
            let ends = frame.kind == MessageType::ERROR && frame.seq == 0;
            if ends || (frame.kind.is_response() && frame.seq == self.seq) {
                return Ok(frame);
            }
        }
    }

    fn frame(&mut self) -> Result<Frame, BenchError> {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match self.codec.split(&self.incoming) {
                Ok(Split::Frame(frame)) => {
                    self.incoming.advance(protocol::HEADER_BYTES + frame.body.len());
                    return Ok(frame);
                }
                Ok(Split::Need(_)) => {
                    let read = self.stream.read(&mut buffer)?;
                    if read == 0 {
                        return Err(BenchError::Other("the server closed a connection".to_owned()));
                    }
                    self.incoming
                        .extend_from_slice(buffer.get(..read).unwrap_or_default());
                }
                Err(error) => return Err(BenchError::Other(error.to_string())),
            }
        }
    }
}

/// The same for the same members, so that a run on the same accounts finds the group of the run before.
fn derived_id(number: u64, members: &[u64]) -> Bytes {
    use std::hash::{DefaultHasher, Hash, Hasher};

    let half = |salt: u64| {
        let mut hasher = DefaultHasher::new();
        (salt, number, members).hash(&mut hasher);
        hasher.finish().to_be_bytes()
    };
    [half(1), half(2)].concat().into()
}

fn unexpected(reply: &Reply) -> BenchError {
    BenchError::Other(format!("the server answered with {}", reply.command().name()))
}
