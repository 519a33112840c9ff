//! imserver's own protocol, as a device speaks it that follows everything from the moment it logs in.
//!
//! It syncs as docs/PROTOCOL.md asks for, so a slow connection that is told heads pulls what it missed, and a
//! lost one comes back with its token. It must never repeat a refused request: the load decides.

mod tracks;
mod wire;

use std::{collections::VecDeque, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use prost::Message;
use protocol::{
    CAPABILITY_ANSWER_IS_EVENT, Command, Encoding, MAGIC, MessageType, Request, VERSION, direct_conversation,
    limits::FRAME_BYTES_MAX, v1,
};

use self::{
    tracks::Tracks,
    wire::{FrameRef, PageHead},
};
use super::{Account, Dialect, Event, Follow, Target};
use crate::BenchError;

/// Requests besides sends that may be in flight: pulls, a sync and a ping.
const OTHERS_IN_FLIGHT: usize = 10;
/// What is asked for at once; the server cuts it to its own limits.
const PAGE: u32 = 500;

/// See the module.
#[derive(Debug)]
pub(crate) struct Imserver {
    account: Account,
    follow: Follow,
    /// Milliseconds since 1970 when the load began: what client ids begin with.
    began_ms: u64,
    /// Tells the client ids of runs apart that began in one millisecond.
    salt: u32,
    phase: Phase,
    in_flight: VecDeque<(u16, Asked)>,
    in_flight_max: usize,
    next_seq: u16,
    epoch: u64,
    /// The answer to a message stands for its event.
    answer_is_event: bool,
    /// What a reconnect resumes from: everything up to it was taken.
    token: Bytes,
    /// Stored once nothing is missing any more.
    token_ahead: Bytes,
    tracks: Tracks,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    LoggingIn,
    Listing,
    Syncing,
    /// Synced; what the sync named is being pulled.
    CatchingUp,
    Ready,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Asked {
    Hello,
    Login,
    List,
    Sync,
    /// From this seq of this conversation.
    Pull(u64, u64),
    Ping,
    Send(u64),
}

impl Imserver {
    /// A device of `account`. `began_ms` and `salt` make its client ids; both are the load's.
    pub(crate) fn new(account: Account, follow: Follow, began_ms: u64, salt: u32) -> Self {
        Self {
            account,
            follow,
            began_ms,
            salt,
            phase: Phase::LoggingIn,
            in_flight: VecDeque::new(),
            in_flight_max: 1,
            next_seq: 1,
            epoch: 0,
            answer_is_event: false,
            token: Bytes::new(),
            token_ahead: Bytes::new(),
            tracks: Tracks::default(),
        }
    }

    fn register(&mut self, asked: Asked) -> u16 {
        let seq = self.next_seq;
        self.next_seq = seq.checked_add(1).unwrap_or(1);
        self.in_flight.push_back((seq, asked));
        seq
    }

    fn ask(&mut self, asked: Asked, request: &Request, out: &mut BytesMut) {
        let seq = self.register(asked);
        // Only a body of 4 GiB fails.
        let _ = request.to_frame(Encoding::Protobuf, seq).encode(out);
    }

    /// UUIDv7 in shape: the time the load began, then the counter, so that ids ascend over the load and are
    /// the same when a message is sent again.
    fn client_id(&self, id: u64) -> [u8; 16] {
        let high = self.began_ms << 16 | 0x7000 | (id >> 30 & 0x0FFF);
        let low = 1 << 63 | (id & 0x3FFF_FFFF) << 32 | u64::from(self.salt);
        (u128::from(high) << 64 | u128::from(low)).to_be_bytes()
    }

    fn frame(
        &mut self,
        frame: FrameRef<'_>,
        out: &mut BytesMut,
        event: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), BenchError> {
        if frame.kind.is_response() {
            let Some(at) = self.in_flight.iter().position(|(seq, _)| *seq == frame.seq) else {
                // An error with seq 0 says why the server is about to close.
                return self.refused(None, frame.body, event);
            };
            let asked = self.in_flight.remove(at).map(|(_, asked)| asked);
            if frame.kind == MessageType::ERROR {
                return self.refused(asked, frame.body, event);
            }
            return match asked {
                Some(asked) => self.answer(asked, frame.body, out, event),
                None => Ok(()),
            };
        }
        match Command::from_number(frame.kind.command()) {
            Ok(Command::EventsPush) => {
                if !self.listens() {
                    return Ok(());
                }
                let head = self.page_head(frame.body)?;
                let deliver = |body: &[u8]| event(Event::Delivered(body));
                self.tracks.take_page(frame.body, &head, None, deliver)?;
                self.pull(out);
            }
            Ok(Command::HeadsPush) => self.heads(&decode(frame.body)?, out)?,
            Ok(Command::GoAway) => {
                let away: v1::GoAway = decode(frame.body)?;
                let welcome = matches!(
                    away.reason(),
                    v1::GoAwayReason::Draining | v1::GoAwayReason::Unspecified | v1::GoAwayReason::Idle
                );
                event(Event::GoAway {
                    retry_after: welcome.then(|| Duration::from_millis(away.reconnect_in_ms.into())),
                    reason: format!("{} {}", away.reason().as_str_name(), away.message),
                });
            }
            _ => {}
        }
        Ok(())
    }

    fn answer(
        &mut self,
        asked: Asked,
        body: &[u8],
        out: &mut BytesMut,
        event: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), BenchError> {
        match asked {
            Asked::Send(id) => {
                if self.answer_is_event && self.listens() {
                    let sent: v1::SendResponse = decode(body)?;
                    self.check_epoch(sent.epoch)?;
                    if !sent.duplicate {
                        self.tracks.take_own(sent.conversation_id, sent.seq);
                        self.pull(out);
                    }
                }
                event(Event::Acked(id));
            }
            Asked::Ping => {
                let pong: v1::Pong = decode(body)?;
                if self.phase == Phase::Ready && !pong.sync_token.is_empty() {
                    self.token_ahead = pong.sync_token;
                    self.settle(event);
                }
                event(Event::Pong);
            }
            Asked::Pull(_, from) => {
                let page = wire::nested(body, 1)?.unwrap_or_default();
                let head = self.page_head(page)?;
                if head.to_seq < from && head.head_seq >= from {
                    return Err(BenchError::Other("a page did not go on".to_owned()));
                }
                let deliver = |body: &[u8]| event(Event::Delivered(body));
                self.tracks.take_page(page, &head, Some(from), deliver)?;
                self.pull(out);
                self.settle(event);
            }
            Asked::Hello => {
                let welcome: v1::Welcome = decode(body)?;
                let allowed = welcome
                    .limits
                    .map_or(0, |limits| limits.requests_in_flight_max as usize);
                self.answer_is_event = welcome.capabilities & CAPABILITY_ANSWER_IS_EVENT != 0;
                self.in_flight_max = allowed.saturating_sub(OTHERS_IN_FLIGHT).max(1);
                match welcome.session {
                    Some(session) => self.logged_in(&session, out, event)?,
                    None => self.ask_login(out),
                }
            }
            Asked::Login => self.logged_in(&decode(body)?, out, event)?,
            Asked::List => self.listed(&decode(body)?, out),
            Asked::Sync => self.synced(decode(body)?, out, event)?,
        }
        Ok(())
    }

    fn refused(
        &self,
        asked: Option<Asked>,
        body: &[u8],
        event: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), BenchError> {
        let error: v1::Error = decode(body)?;
        let id = match asked {
            Some(Asked::Send(id)) => Some(id),
            _ => None,
        };
        let again = matches!(
            error.class(),
            v1::ErrorClass::Retry | v1::ErrorClass::UnknownOutcome
        );
        let what = asked.map_or_else(|| "the connection".to_owned(), |asked| format!("{asked:?}"));
        event(Event::Refused {
            id,
            retry_after: again.then(|| Duration::from_millis(error.retry_after_ms.into())),
            reason: format!("{what}: {} {}", error.code().as_str_name(), error.message),
        });
        Ok(())
    }

    fn ask_login(&mut self, out: &mut BytesMut) {
        let login = Request::Login(v1::LoginRequest {
            name: self.account.name.clone(),
            password: self.account.password.clone(),
        });
        self.ask(Asked::Login, &login, out);
    }

    fn logged_in(
        &mut self,
        session: &v1::Session,
        out: &mut BytesMut,
        event: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), BenchError> {
        self.check_epoch(session.epoch)?;
        if self.follow == Follow::Nothing {
            self.phase = Phase::Ready;
            event(Event::Ready);
        } else if self.token.is_empty() {
            self.phase = Phase::Listing;
            self.ask_list(Bytes::new(), out);
        } else {
            self.ask_sync(self.token.clone(), out);
        }
        Ok(())
    }

    fn ask_list(&mut self, before: Bytes, out: &mut BytesMut) {
        let list = v1::ListConversationsRequest { before, limit: PAGE };
        self.ask(Asked::List, &Request::ListConversations(list), out);
    }

    fn listed(&mut self, list: &v1::ListConversationsResponse, out: &mut BytesMut) {
        if !list.sync_token.is_empty() {
            self.token_ahead.clone_from(&list.sync_token);
        }
        for conversation in &list.conversations {
            self.tracks
                .start_at(conversation.conversation_id, conversation.head_seq);
        }
        if list.more && !list.before.is_empty() {
            self.ask_list(list.before.clone(), out);
        } else {
            self.ask_sync(self.token_ahead.clone(), out);
        }
    }

    fn ask_sync(&mut self, token: Bytes, out: &mut BytesMut) {
        self.phase = Phase::Syncing;
        let sync = v1::SyncRequest { token, limit: PAGE };
        self.ask(Asked::Sync, &Request::Sync(sync), out);
    }

    fn synced(
        &mut self,
        sync: v1::SyncResponse,
        out: &mut BytesMut,
        event: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), BenchError> {
        self.check_epoch(sync.epoch)?;
        if sync.restarted {
            return Err(BenchError::Other(
                "the server does not know the sync token".to_owned(),
            ));
        }
        for page in &sync.pages {
            // Rare enough to be read by the generated type and written again for the one reader of pages.
            let bytes = page.encode_to_vec();
            let head = self.page_head(&bytes)?;
            let deliver = |body: &[u8]| event(Event::Delivered(body));
            let known = sync
                .conversations
                .iter()
                .find(|conversation| conversation.conversation_id == page.conversation_id);
            if let Some(known) = known {
                // Without a head, so that nothing that the page brings is pulled.
                self.tracks.note(known.conversation_id, 0, known.first_seq);
            }
            self.tracks.take_page(&bytes, &head, None, deliver)?;
        }
        for conversation in &sync.conversations {
            self.tracks.note(
                conversation.conversation_id,
                conversation.head_seq,
                conversation.first_seq,
            );
        }
        self.token_ahead.clone_from(&sync.token);
        if sync.more {
            self.ask_sync(sync.token, out);
            return Ok(());
        }
        self.phase = Phase::CatchingUp;
        self.pull(out);
        self.settle(event);
        Ok(())
    }

    fn heads(&mut self, heads: &v1::HeadsPush, out: &mut BytesMut) -> Result<(), BenchError> {
        self.check_epoch(heads.epoch)?;
        if !self.listens() {
            return Ok(());
        }
        for head in &heads.heads {
            self.tracks.note(head.conversation_id, head.seq, 1);
        }
        if heads.resync && !self.in_flight.iter().any(|(_, asked)| *asked == Asked::Sync) {
            self.ask_sync(self.token.clone(), out);
        }
        self.pull(out);
        Ok(())
    }

    fn pull(&mut self, out: &mut BytesMut) {
        while let Some((conversation, from)) = self.tracks.next_pull() {
            let history = v1::HistoryRequest {
                conversation_id: conversation,
                epoch: self.epoch,
                from_seq: from,
                limit: PAGE,
                direction: v1::Direction::Forward.into(),
            };
            self.ask(Asked::Pull(conversation, from), &Request::History(history), out);
        }
    }

    /// Keeps the newest token once it covers nothing that is missing.
    fn settle(&mut self, event: &mut dyn FnMut(Event<'_>)) {
        if !self.tracks.are_in_step() || !matches!(self.phase, Phase::CatchingUp | Phase::Ready) {
            return;
        }
        if !self.token_ahead.is_empty() {
            self.token = std::mem::take(&mut self.token_ahead);
        }
        if self.phase == Phase::CatchingUp {
            self.phase = Phase::Ready;
            event(Event::Ready);
        }
    }

    /// Whether pushes count: what comes before the sync is asked for comes with it, too.
    fn listens(&self) -> bool {
        self.follow == Follow::Everything && !matches!(self.phase, Phase::LoggingIn | Phase::Listing)
    }

    fn page_head(&self, page: &[u8]) -> Result<PageHead, BenchError> {
        let head = PageHead::read(page)?;
        if head.epoch != self.epoch && head.conversation != 0 {
            return Err(other_store());
        }
        Ok(head)
    }

    fn check_epoch(&mut self, epoch: u64) -> Result<(), BenchError> {
        if self.epoch == 0 {
            self.epoch = epoch;
        }
        if self.epoch == epoch {
            Ok(())
        } else {
            Err(other_store())
        }
    }
}

impl Dialect for Imserver {
    fn login(&mut self, out: &mut BytesMut) {
        self.in_flight.clear();
        self.token_ahead.clear();
        self.tracks.reconnect();
        self.phase = Phase::LoggingIn;
        self.next_seq = 1;
        let hello = Request::Hello(v1::Hello {
            magic: MAGIC,
            version_min: VERSION,
            version_max: VERSION,
            capabilities: CAPABILITY_ANSWER_IS_EVENT,
            device: Some(v1::Device {
                device_id: format!("imbench-{}", self.account.index),
                ..v1::Device::default()
            }),
            session_token: self.account.token.clone(),
            client: "imbench".to_owned(),
        });
        self.ask(Asked::Hello, &hello, out);
    }

    fn send(&mut self, target: &Target, id: u64, body: &[u8], out: &mut BytesMut) {
        let conversation = match target {
            // Two accounts that are one have no conversation; the server refuses 0.
            Target::User(other) => direct_conversation(self.account.user, other.user)
                .map_or(0, |conversation| conversation.get()),
            Target::Group(id) => *id,
        };
        let seq = self.register(Asked::Send(id));
        wire::put_send(out, seq, conversation, &self.client_id(id), body);
    }

    fn ping(&mut self, out: &mut BytesMut) {
        let seq = self.register(Asked::Ping);
        wire::put_ping(out, seq);
    }

    fn receive(
        &mut self,
        incoming: &mut BytesMut,
        out: &mut BytesMut,
        event: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), BenchError> {
        let mut used = 0;
        while let Some((frame, bytes)) =
            wire::split(incoming.get(used..).unwrap_or_default(), FRAME_BYTES_MAX)?
        {
            self.frame(frame, out, event)?;
            used += bytes;
        }
        incoming.advance(used);
        Ok(())
    }

    fn in_flight_max(&self) -> usize {
        self.in_flight_max
    }
}

fn decode<M: Message + Default>(body: &[u8]) -> Result<M, BenchError> {
    M::decode(body)
        .map_err(|error| BenchError::Other(format!("what the server said makes no sense: {error}")))
}

fn other_store() -> BenchError {
    BenchError::Other("the server's store was replaced while it was loaded".to_owned())
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
