//! A stream of events: what a session sees, as server-sent events. It begins with a sync from where the client is, so
//! nothing is missed, and goes on with the pushes. The id of the stream is the sync token of what was written: from
//! there a client resumes.

use std::time::{Duration, SystemTime};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use bytes::{Bytes, BytesMut};
use netcore::{
    Flow,
    http::{
        Body, Date, Head, Persistence, Response, Status,
        events::{self, Block},
    },
};
use protocol::{
    Command, Refusal, Request,
    v1::{ErrorCode, SyncRequest},
};
use storage::TokenHash;

use super::{CALL_SEQ, Pending, answer::respond_json};
use crate::{
    clock,
    delivery::Route,
    gateway::handler::{Cx, Gateway, LOW_WATER, code},
    metrics::Asked,
    session::{Charge, too_many},
    token::Presented,
    wire::Format,
};

/// Timers of a connection.
const STILL_HERE: u32 = 1;
const ID: u32 = 2;
/// A stream on which nothing happens says something this often, so that nobody on the way takes it for dead.
const STILL_HERE_EVERY: Duration = Duration::from_secs(15);
/// The id follows the pushes after this long, once for all that were written meanwhile.
const ID_AFTER: Duration = Duration::from_millis(200);
/// After how long a client comes back whose stream broke.
const RETRY_MS: u32 = 2_000;

/// What is kept of a stream.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// The timer for the next id runs.
    id_due: bool,
}

impl Gateway {
    /// A stream of events is asked for.
    pub(super) fn events(&mut self, cx: &mut Cx<'_>, head: &Head) -> Flow<Self> {
        let since = match self.since(head) {
            Ok(since) => since,
            Err(refusal) => return self.refuse_request(cx, &refusal),
        };
        let token = match query(head, "ticket") {
            Some(ticket) => self.charge_address(cx).and_then(|()| self.ticket_owner(&ticket)),
            None => Self::token_of(head),
        };
        match token {
            Ok(token) => self.identify(cx, token, Pending::Stream(since)),
            Err(refusal) => self.refuse_request(cx, &refusal),
        }
    }

    /// The sync token from which the stream begins: where the client was, or here.
    fn since(&self, head: &Head) -> Result<Bytes, Refusal> {
        let resumed = head
            .header("last-event-id")
            .map(|id| String::from_utf8_lossy(id).into_owned());
        let Some(text) = resumed.or_else(|| query(head, "since")) else {
            return Ok(self.shared.tokens.sync_token(&self.complete_to).into());
        };
        let invalid = || Refusal::invalid("since", "is not a sync token of this server");
        let bytes = STANDARD
            .decode(&text)
            .or_else(|_| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')))
            .map_err(|_| invalid())?;
        if !bytes.is_empty() && self.shared.tokens.presented(&bytes) == Presented::Invalid {
            return Err(invalid());
        }
        Ok(bytes.into())
    }

    /// The caller is known: makes the route, and asks for what was missed.
    pub(super) fn begin_stream(&mut self, cx: &mut Cx<'_>, since: Bytes) -> Flow<Self> {
        let id = cx.id();
        let Some((token, principal, checked_at)) = cx.conn().http.as_ref().and_then(|http| http.caller())
        else {
            return Flow::Continue;
        };
        if let Err(refusal) = self.share_of_client(cx) {
            return self.refuse_request(cx, &refusal);
        }
        let route = Route {
            conn: id,
            session: principal.session,
            format: Format::Stream,
            since: clock::wall(),
            is_away: false,
        };
        if self
            .shared
            .routes
            .insert(principal.user, route, checked_at)
            .is_err()
        {
            // A session was revoked in between, perhaps this one: check it again.
            return self.identify(cx, token, Pending::Stream(since));
        }
        self.shared.presence.changed(principal.user);
        cx.pause_reading();
        let limit = self.shared.config.limits.push_queue_bytes;
        cx.set_outbound_limit(LOW_WATER.min(limit / 4), limit / 2, limit);
        let conn = cx.conn();
        (conn.synced, conn.backlog, conn.starts_over) = (None, None, false);
        let head = conn.http.as_mut().and_then(|http| {
            http.stream = Some(Stream::default());
            http.stream_head()
        });
        conn.session.set_format(Format::Stream);
        let Some(head) = head else {
            return Flow::Close(code::REFUSED);
        };
        if cx.send_reply(head).is_err() {
            return Flow::Close(code::REFUSED);
        }
        // A connection has room for this timer: it has none yet.
        let _ = cx.set_timer(STILL_HERE, STILL_HERE_EVERY);
        self.sync_stream(cx, since)
    }

    /// Asks for what changed since this token. The answer is an event of the stream.
    fn sync_stream(&mut self, cx: &mut Cx<'_>, since: Bytes) -> Flow<Self> {
        let asked = Asked::new(Command::Sync, self.now_us(cx.now()));
        let conn = cx.conn();
        conn.asked = asked;
        conn.session.begin(CALL_SEQ);
        let request = SyncRequest {
            token: since,
            ..SyncRequest::default()
        };
        self.start(cx, CALL_SEQ, Request::Sync(request))
    }

    /// A page of the sync that a stream begins with was written. `more_from` is where the next one begins.
    pub(in crate::gateway) fn stream_synced(&mut self, cx: &mut Cx<'_>, more_from: Option<Bytes>) {
        match more_from {
            Some(token) => {
                let flow = self.sync_stream(cx, token);
                self.went_on(cx, flow);
            }
            None => self.send_id(cx),
        }
    }

    /// A push was written to a connection, which may be a stream: its id follows.
    pub(in crate::gateway) fn pushed_to_stream(cx: &mut Cx<'_>) {
        let stream = cx.conn().http.as_mut().and_then(|http| http.stream.as_mut());
        if let Some(stream) = stream
            && !std::mem::replace(&mut stream.id_due, true)
        {
            let _ = cx.set_timer(ID, ID_AFTER);
        }
    }

    /// One of a stream's timers is due.
    pub(in crate::gateway) fn stream_timer(&self, cx: &mut Cx<'_>, key: u32) {
        match key {
            ID => self.send_id(cx),
            STILL_HERE => {
                let mut bytes = BytesMut::new();
                events::comment("", &mut bytes);
                // If there is no room, the client has enough to read.
                let _ = cx.send_encoded(bytes.freeze());
                let _ = cx.set_timer(STILL_HERE, STILL_HERE_EVERY);
            }
            _ => {}
        }
    }

    /// Tells a stream's client from where to resume.
    fn send_id(&self, cx: &mut Cx<'_>) {
        let conn = cx.conn();
        if let Some(stream) = conn.http.as_mut().and_then(|http| http.stream.as_mut()) {
            stream.id_due = false;
        }
        let Some(snapshot) = conn.token(&self.complete_to) else {
            return;
        };
        let token = STANDARD.encode(self.shared.tokens.sync_token(&snapshot));
        let block = Block {
            id: Some(&token),
            ..Block::default()
        };
        let mut bytes = BytesMut::new();
        if block.encode(&mut bytes).is_ok() {
            let _ = cx.send_encoded(bytes.freeze());
        }
    }

    // ---- tickets ------------------------------------------------------------------------------------------

    /// A ticket for a stream is asked for: for pages, whose `EventSource` sends no headers of theirs.
    pub(super) fn ticket(&mut self, cx: &mut Cx<'_>, head: &Head) -> Flow<Self> {
        match Self::token_of(head) {
            Ok(token) => self.identify(cx, token, Pending::Ticket),
            Err(refusal) => self.refuse_request(cx, &refusal),
        }
    }

    pub(super) fn give_ticket(&self, cx: &mut Cx<'_>) -> Flow<Self> {
        let Some((token, ..)) = cx.conn().http.as_ref().and_then(|http| http.caller()) else {
            return Flow::Continue;
        };
        match self
            .shared
            .tickets
            .issue(&self.shared.tokens, token, clock::wall())
        {
            Ok(ticket) => {
                let body = format!(r#"{{"ticket":"{}"}}"#, URL_SAFE_NO_PAD.encode(ticket));
                respond_json(cx, Status::OK, &[], body.as_bytes());
            }
            Err(error) => {
                log::error!("{error}");
                return self.refuse_request(cx, &Refusal::new(ErrorCode::Unavailable, "no randomness"));
            }
        }
        Flow::Continue
    }

    /// Charges a request to the address that it comes from, before it is known whose it is.
    fn charge_address(&self, cx: &mut Cx<'_>) -> Result<(), Refusal> {
        let now_us = self.now_us(cx.now());
        let Some(allowance) = self.allowance_of_request(cx) else {
            return Ok(());
        };
        allowance
            .take(Charge::Request, now_us, &self.terms.rules)
            .map_err(|wait_us| too_many(Charge::Request, wait_us))
    }

    /// The token for which a ticket stands; it is used up.
    fn ticket_owner(&self, text: &str) -> Result<TokenHash, Refusal> {
        let owner = URL_SAFE_NO_PAD.decode(text).ok().and_then(|ticket| {
            self.shared
                .tickets
                .redeem(&self.shared.tokens, &ticket, clock::wall())
        });
        owner.ok_or_else(|| {
            Refusal::new(
                ErrorCode::Unauthenticated,
                "this ticket is used up or too old: ask for another",
            )
        })
    }
}

impl super::Http {
    /// The head of a stream, whose end is that of the connection.
    fn stream_head(&self) -> Option<Bytes> {
        let mut headers = vec![
            ("Content-Type", events::CONTENT_TYPE),
            ("Cache-Control", "no-store"),
            ("X-Accel-Buffering", "no"),
            ("X-Content-Type-Options", "nosniff"),
        ];
        if let Some(origin) = &self.allowed_origin {
            headers.push(("Access-Control-Allow-Origin", origin));
            headers.push(("Vary", "Origin"));
        }
        let mut bytes = BytesMut::new();
        let response = Response {
            status: Status::OK,
            date: Some(Date::new(SystemTime::now())),
            persistence: Persistence::Close,
            headers: &headers,
            body: Body::UntilClose,
        };
        response.encode(&mut bytes).ok()?;
        let retry = Block {
            retry_ms: Some(RETRY_MS),
            ..Block::default()
        };
        retry.encode(&mut bytes).ok()?;
        Some(bytes.freeze())
    }
}

/// The value of a name in a request's query, decoded; the first, if there are several.
fn query(head: &Head, name: &str) -> Option<String> {
    let pairs = head.query()?.split('&');
    let mut values = pairs.filter_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then(|| percent_decoded(value))
    });
    values.next()
}

/// Without its percent signs (RFC 3986, 2.1). A plus stays one: base64 has some.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let digits = behind.first_chunk::<2>().filter(|_| *first == b'%');
        let number = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match number {
            Some(number) => {
                bytes.push(number);
                rest = behind.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::percent_decoded;

    #[test]
    fn a_query_is_decoded_once() {
        for (text, decoded) in [
            ("", ""),
            ("a+b/c=", "a+b/c="),
            ("a%2Bb%2fc%3D", "a+b/c="),
            ("%252B", "%2B"),
            ("%", "%"),
            ("%2", "%2"),
            ("%zz%41", "%zzA"),
            ("%ff", "\u{fffd}"),
        ] {
            assert_eq!(percent_decoded(text), decoded, "{text}");
        }
    }
}
