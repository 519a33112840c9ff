//! imserver over HTTP: who sends makes one call after the other on a kept connection, who receives follows the stream of
//! events. A connection does one of the two. It must never know more of HTTP than this server says.

use std::{
    collections::{HashMap, VecDeque},
    fmt::{self, Write},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{Buf, BytesMut};
use protocol::direct_conversation;
use serde_json::Value;

use super::{Account, Dialect, Event, Role, Target};
use crate::BenchError;

/// A head, a body or a block of the stream that is longer is none of this server's.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// See the module.
pub(crate) struct Http {
    account: Account,
    role: Role,
    host: String,
    /// The first half of client ids, unique to the load and the account.
    client_id: u64,
    /// Calls without an answer, in order.
    in_flight: VecDeque<Call>,
    /// The stream has begun.
    streams: bool,
    /// From where the stream is resumed.
    last_id: String,
    /// The newest seq that came, by conversation: what comes again is not taken twice.
    newest: HashMap<String, u64>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Call {
    Login,
    Ping,
    Send(u64),
}

impl Http {
    /// A connection of `account` that does this. `began_ms` and `salt` make its client ids; both are the load's.
    pub(crate) fn new(account: Account, role: Role, host: String, began_ms: u64, salt: u32) -> Self {
        Self {
            account,
            role,
            host,
            client_id: began_ms << 16 ^ u64::from(salt),
            in_flight: VecDeque::new(),
            streams: false,
            last_id: String::new(),
            newest: HashMap::new(),
        }
    }

    fn call(&mut self, call: Call, command: &str, body: fmt::Arguments<'_>, out: &mut BytesMut) {
        let mut text = String::new();
        // Writing to memory does not fail.
        let _ = text.write_fmt(body);
        put(
            out,
            format_args!(
                "POST /v1/call/{command} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n{text}",
                self.host,
                self.account.token,
                text.len()
            ),
        );
        self.in_flight.push_back(call);
    }

    fn answered(&mut self, answer: &Answer<'_>, event: &mut dyn FnMut(Event<'_>)) -> Result<(), BenchError> {
        let call = self
            .in_flight
            .pop_front()
            .ok_or_else(|| nonsense("an answer to nothing", answer.body))?;
        match (call, answer.status) {
            (Call::Login, 200) => event(Event::Ready),
            (Call::Ping, 200) => event(Event::Pong),
            (Call::Send(id), 200) => event(Event::Acked(id)),
            (Call::Send(id), _) => event(Event::Refused {
                id: Some(id),
                retry_after: answer.retry_after.map(Duration::from_secs),
                reason: String::from_utf8_lossy(answer.body).into_owned(),
            }),
            (Call::Login | Call::Ping, _) => return Err(nonsense("a refusal", answer.body)),
        }
        Ok(())
    }

    fn block(&mut self, block: &str, event: &mut dyn FnMut(Event<'_>)) -> Result<(), BenchError> {
        let (mut kind, mut data) = ("", "");
        for line in block.lines() {
            match line.split_once(": ") {
                Some(("event", name)) => kind = name,
                Some(("data", text)) => data = text,
                Some(("id", id)) => id.clone_into(&mut self.last_id),
                _ => {}
            }
        }
        match kind {
            "" => Ok(()),
            "sync" => {
                let sync: Value = parse(data)?;
                if sync.get("more").and_then(Value::as_bool) != Some(true) {
                    event(Event::Ready);
                }
                for page in sync.get("pages").and_then(Value::as_array).into_iter().flatten() {
                    self.page(page, event)?;
                }
                Ok(())
            }
            "events" => self.page(&parse(data)?, event),
            "go_away" => {
                event(Event::GoAway {
                    retry_after: Some(Duration::ZERO),
                    reason: data.to_owned(),
                });
                Ok(())
            }
            // Heads mean that this reader is too slow for its events: then what it measures is not what was asked for.
            "heads" => Err(nonsense("heads for a stream that is too slow", data.as_bytes())),
            _ => Ok(()),
        }
    }

    fn page(&mut self, page: &Value, event: &mut dyn FnMut(Event<'_>)) -> Result<(), BenchError> {
        let text = |of: &Value, name: &str| {
            of.get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let conversation = text(page, "conversation_id");
        for entry in page.get("events").and_then(Value::as_array).into_iter().flatten() {
            let seq: u64 = text(entry, "seq").parse().unwrap_or(0);
            let newest = self.newest.entry(conversation.clone()).or_default();
            if seq <= *newest {
                continue;
            }
            *newest = seq;
            if let Some(body) = entry.pointer("/body/content/body").and_then(Value::as_str) {
                let body = STANDARD
                    .decode(body)
                    .map_err(|_| nonsense("a body", body.as_bytes()))?;
                event(Event::Delivered(&body));
            }
        }
        Ok(())
    }
}

impl Dialect for Http {
    fn login(&mut self, out: &mut BytesMut) {
        self.in_flight.clear();
        self.streams = false;
        match self.role {
            Role::Sends => self.call(Call::Login, "list_devices", format_args!(""), out),
            Role::Receives => {
                put(
                    out,
                    format_args!(
                        "GET /v1/events HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n",
                        self.host, self.account.token
                    ),
                );
                if !self.last_id.is_empty() {
                    put(out, format_args!("Last-Event-ID: {}\r\n", self.last_id));
                }
                put(out, format_args!("\r\n"));
            }
        }
    }

    fn send(&mut self, target: &Target, id: u64, body: &[u8], out: &mut BytesMut) {
        let conversation = match target {
            Target::User(user) => direct_conversation(self.account.user, user.user).map_or(0, |id| id.get()),
            Target::Group(group) => *group,
        };
        let body = STANDARD.encode(body);
        let (high, low) = (self.client_id, id ^ self.account.user << 40);
        let client_id = u128::from(high) << 64 | u128::from(low);
        let [a, b, c, d, e] = [
            client_id >> 96,
            client_id >> 80 & 0xFFFF,
            client_id >> 64 & 0xFFFF,
            client_id >> 48 & 0xFFFF,
            client_id & 0xFFFF_FFFF_FFFF,
        ];
        self.call(
            Call::Send(id),
            "send",
            format_args!(
                "{{\"conversation_id\":\"{conversation}\",\"client_msg_id\":\"{a:08x}-{b:04x}-{c:04x}-{d:04x}-{e:012x}\",\
                 \"kind\":\"EVENT_KIND_TEXT\",\"content\":{{\"body\":\"{body}\"}}}}"
            ),
            out,
        );
    }

    fn ping(&mut self, out: &mut BytesMut) {
        if self.role == Role::Sends {
            self.call(Call::Ping, "list_devices", format_args!(""), out);
        }
    }

    fn receive(
        &mut self,
        incoming: &mut BytesMut,
        _: &mut BytesMut,
        event: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), BenchError> {
        if self.role == Role::Sends {
            while let Some((answer, used)) = Answer::read(incoming)? {
                self.answered(&answer, event)?;
                incoming.advance(used);
            }
            return Ok(());
        }
        if !self.streams {
            let Some(head) = find(incoming, b"\r\n\r\n")? else {
                return Ok(());
            };
            if !incoming.starts_with(b"HTTP/1.1 200 ") {
                return Err(nonsense("no stream", incoming));
            }
            incoming.advance(head + 4);
            self.streams = true;
        }
        while let Some(end) = find(incoming, b"\n\n")? {
            let block = incoming.split_to(end + 2);
            let block = std::str::from_utf8(&block).map_err(|_| nonsense("no text", &block))?;
            self.block(block, event)?;
        }
        Ok(())
    }
}

/// An answer to a call.
struct Answer<'a> {
    status: u16,
    /// Seconds.
    retry_after: Option<u64>,
    body: &'a [u8],
}

impl<'a> Answer<'a> {
    /// The answer at the beginning with its bytes, if all of it is there.
    fn read(bytes: &'a [u8]) -> Result<Option<(Self, usize)>, BenchError> {
        let Some(end) = find(bytes, b"\r\n\r\n")? else {
            return Ok(None);
        };
        let head = bytes.get(..end).and_then(|head| std::str::from_utf8(head).ok());
        let head = head.ok_or_else(|| nonsense("a head", bytes))?;
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| nonsense("a status", bytes))?;
        let number = |wanted: &str| {
            let mut lines = head.split("\r\n").filter_map(|line| line.split_once(": "));
            let found = lines.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            found.and_then(|(_, value)| value.parse::<u64>().ok())
        };
        let length = number("content-length").and_then(|length| usize::try_from(length).ok());
        let length = length
            .filter(|length| *length <= BYTES_MAX)
            .ok_or_else(|| nonsense("a length", bytes))?;
        let Some(body) = bytes.get(end + 4..).and_then(|behind| behind.get(..length)) else {
            return Ok(None);
        };
        let retry_after = number("retry-after");
        let answer = Self {
            status,
            retry_after,
            body,
        };
        Ok(Some((answer, end + 4 + length)))
    }
}

/// Where `what` begins.
fn find(bytes: &[u8], what: &[u8]) -> Result<Option<usize>, BenchError> {
    let at = bytes.windows(what.len()).position(|part| part == what);
    if at.is_none() && bytes.len() > BYTES_MAX {
        return Err(nonsense("no end", bytes));
    }
    Ok(at)
}

fn parse(data: &str) -> Result<Value, BenchError> {
    serde_json::from_str(data).map_err(|_| nonsense("no JSON", data.as_bytes()))
}

fn put(out: &mut BytesMut, text: fmt::Arguments<'_>) {
    // A buffer grows: writing to it does not fail.
    let _ = out.write_fmt(text);
}

fn nonsense(what: &str, bytes: &[u8]) -> BenchError {
    let shown = bytes.get(..bytes.len().min(200)).unwrap_or_default();
    BenchError::Other(format!(
        "the server sent {what}: {}",
        String::from_utf8_lossy(shown)
    ))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::transcript::{Heard, account, expect, hear, login};
    use super::*;

    fn http(role: Role) -> Http {
        let account = Account {
            token: "imt1_x".to_owned(),
            ..account(7, &[])
        };
        Http::new(account, role, "h:1".to_owned(), 0x0123_4567_89AB, 0xCDEF)
    }

    /// It has sent these.
    fn sent(ids: &[u64]) -> Http {
        let mut http = http(Role::Sends);
        let mut out = BytesMut::new();
        http.login(&mut out);
        for id in ids {
            http.send(&Target::Group(4), *id, b"x", &mut out);
        }
        http
    }

    #[test]
    fn a_call_has_the_token_and_a_client_id_of_its_own() {
        let mut http = http(Role::Sends);
        let hello = login(&mut http);
        let expected = "POST /v1/call/list_devices HTTP/1.1\r\nHost: h:1\r\nAuthorization: Bearer imt1_x\r\n\
                        Content-Length: 0\r\n\r\n";
        assert_eq!(String::from_utf8_lossy(&hello), expected);
        let mut out = BytesMut::new();
        http.send(&Target::User(Arc::new(account(9, &[]))), 12, b"hi", &mut out);
        let text = String::from_utf8_lossy(&out).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(
            head.ends_with(&format!("Content-Length: {}", body.len())),
            "{head}"
        );
        let body: Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(body["content"]["body"], "aGk=");
        let first = body["client_msg_id"].clone();
        let mut again = BytesMut::new();
        http.send(&Target::Group(4), 12, b"hi", &mut again);
        http.send(&Target::Group(4), 13, b"hi", &mut again);
        let ids: Vec<Value> = String::from_utf8_lossy(&again)
            .split("client_msg_id\":")
            .skip(1)
            .map(|rest| Value::from(&rest[1..37]))
            .collect();
        assert_eq!(ids[0], first, "the same message again");
        assert_ne!(ids[1], first);
        assert!(uuid(&first), "{first}");
    }

    fn uuid(id: &Value) -> bool {
        let parts: Vec<usize> = id.as_str().expect("a text").split('-').map(str::len).collect();
        parts == [8, 4, 4, 4, 12]
    }

    #[test]
    fn answers_come_in_the_order_of_the_calls() {
        let said = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{\"a\":\"b\"}\
                    HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3\r\nContent-Length: 3\r\n\r\nno!";
        let heard = [
            Heard::Ready,
            Heard::Acked(5),
            Heard::Refused(Some(6), "no!".to_owned()),
        ];
        expect(|| sent(&[5, 6]), said.as_bytes(), &heard, "");
    }

    #[test]
    fn the_stream_delivers_each_event_once() {
        let page = |seq: u64, body: &str| {
            format!(
                "event: events\ndata: {{\"conversation_id\":\"4\",\"events\":[{{\"seq\":\"{seq}\",\"body\":{{\"content\":{{\"body\":\"{body}\"}}}}}}]}}\n\n"
            )
        };
        let said = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nevent: sync\ndata: {{\"more\":true}}\n\n\
             event: sync\ndata: {{}}\n\nid: abc\n\n: \n\n{}{}{}event: typing_push\ndata: {{}}\n\n",
            page(1, "aGk="),
            page(2, "eW91"),
            page(2, "eW91")
        );
        let heard = [
            Heard::Ready,
            Heard::Delivered(b"hi".to_vec()),
            Heard::Delivered(b"you".to_vec()),
        ];
        expect(|| http(Role::Receives), said.as_bytes(), &heard, "");
        let mut http = http(Role::Receives);
        hear(&mut http, said.as_bytes(), 7).expect("sense");
        assert!(String::from_utf8_lossy(&login(&mut http)).contains("\r\nLast-Event-ID: abc\r\n"));
    }

    #[test]
    fn nonsense_ends_the_run() {
        let refused = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}";
        assert!(hear(&mut http(Role::Receives), refused.as_bytes(), 9).is_err());
        for said in [refused, "HTTP/1.1 x OK\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"] {
            assert!(hear(&mut sent(&[]), said.as_bytes(), 9).is_err(), "{said}");
        }
        let slow = "HTTP/1.1 200 OK\r\n\r\nevent: heads\ndata: {}\n\n";
        assert!(hear(&mut http(Role::Receives), slow.as_bytes(), 9).is_err());
    }
}
