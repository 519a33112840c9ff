//! NATS JetStream as a chat would use it: one stream over a subject for each receiver and each group, and for
//! each client a durable push consumer that acknowledges explicitly, so that what is sent to somebody who is
//! away waits for them.
//!
//! An acknowledgement (PubAck) says that the message is in the stream; with file storage and
//! `sync_interval: always` that it is flushed. Delivery is at least once.

use std::fmt::{self, Write};

use bytes::{Buf, BufMut, BytesMut};
use serde_json::{Value, json};

use super::{Account, Dialect, Event, Target};
use crate::BenchError;

const STREAM: &str = "CHAT";
/// Where answers to this client go: `_R.USER.WHAT`.
const ANSWERS: &str = "_R";
/// Where the consumer pushes to: `_D.USER`.
const DELIVERIES: &str = "_D";
/// The last part of the subjects that answers to the login come to; those to messages end with their id.
const STREAM_ANSWER: &str = "stream";
const CONSUMER_ANSWER: &str = "consumer";

/// A line or a payload that is longer is none of this load's.
const BYTES_MAX: usize = 1024 * 1024;

/// Deliveries that one consumer may have outstanding; far more than any window, so that it never waits.
const UNACKNOWLEDGED_MAX: u32 = 10_000;

/// See the module.
#[derive(Debug)]
pub(crate) struct Nats {
    user: u64,
    subjects: Vec<String>,
    /// What a payload is written to before its length is known.
    scratch: String,
}

impl Nats {
    pub(crate) fn new(account: &Account) -> Self {
        let mut subjects = vec![format!("u.{}", account.user)];
        subjects.extend(account.groups.iter().map(|group| format!("g.{group}")));
        Self {
            user: account.user,
            subjects,
            scratch: String::new(),
        }
    }

    /// Asks the server's API something and names where the answer is to go.
    fn ask(&self, out: &mut BytesMut, api: fmt::Arguments<'_>, answer: &str, question: &Value) {
        let question = question.to_string();
        let (user, length) = (self.user, question.len());
        put(
            out,
            format_args!("PUB $JS.API.{api} {ANSWERS}.{user}.{answer} {length}\r\n{question}\r\n"),
        );
    }

    fn ask_for_stream(&self, out: &mut BytesMut) {
        let stream = json!({
            "name": STREAM, "subjects": ["u.*", "g.*"], "storage": "file", "retention": "limits",
            "num_replicas": 1,
        });
        self.ask(
            out,
            format_args!("STREAM.CREATE.{STREAM}"),
            STREAM_ANSWER,
            &stream,
        );
    }

    fn ask_for_consumer(&self, out: &mut BytesMut) {
        let durable = format!("c{}", self.user);
        let mut config = json!({
            "durable_name": durable, "deliver_subject": format!("{DELIVERIES}.{}", self.user),
            "deliver_policy": "all", "ack_policy": "explicit", "max_ack_pending": UNACKNOWLEDGED_MAX,
        });
        // One subject has a field of its own, for servers that know no lists.
        match self.subjects.as_slice() {
            [one] => config["filter_subject"] = json!(one),
            list => config["filter_subjects"] = json!(list),
        }
        let consumer = json!({ "stream_name": STREAM, "config": config });
        let api = format_args!("CONSUMER.DURABLE.CREATE.{STREAM}.{durable}");
        self.ask(out, api, CONSUMER_ANSWER, &consumer);
    }

    fn message(
        &self,
        message: &Message<'_>,
        out: &mut BytesMut,
        event: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), BenchError> {
        let Message {
            subject,
            answer_to,
            payload,
        } = *message;
        let Some(answer) = subject.strip_prefix(ANSWERS) else {
            if let Some(answer_to) = answer_to {
                put(out, format_args!("PUB {answer_to} 4\r\n+ACK\r\n"));
            }
            event(Event::Delivered(payload));
            return Ok(());
        };
        let refusal = refusal(payload);
        match (answer.rsplit('.').next().unwrap_or_default(), refusal) {
            (STREAM_ANSWER, None) => self.ask_for_consumer(out),
            (CONSUMER_ANSWER, None) => event(Event::Ready),
            (STREAM_ANSWER | CONSUMER_ANSWER, Some(reason)) => return Err(BenchError::Other(reason)),
            (id, refusal) => {
                let id = id.parse().map_err(|_| nonsense(subject))?;
                event(match refusal {
                    None => Event::Acked(id),
                    Some(reason) => Event::Refused {
                        id: Some(id),
                        retry_after: None,
                        reason,
                    },
                });
            }
        }
        Ok(())
    }
}

impl Dialect for Nats {
    fn login(&mut self, out: &mut BytesMut) {
        let user = self.user;
        let options = json!({
            "verbose": false, "pedantic": false, "headers": false, "name": format!("imbench-{user}"),
            "lang": "rust", "version": env!("CARGO_PKG_VERSION"), "protocol": 1,
        });
        put(out, format_args!("CONNECT {options}\r\n"));
        put(out, format_args!("SUB {ANSWERS}.{user}.* 1\r\n"));
        put(out, format_args!("SUB {DELIVERIES}.{user} 2\r\n"));
        self.ask_for_stream(out);
    }

    fn send(&mut self, target: &Target, id: u64, body: &[u8], out: &mut BytesMut) {
        self.scratch.clear();
        // Writing to a string does not fail.
        let _ = match target {
            Target::User(account) => write!(self.scratch, "u.{}", account.user),
            Target::Group(group) => write!(self.scratch, "g.{group}"),
        };
        let (user, length) = (self.user, body.len());
        put(
            out,
            format_args!("PUB {} {ANSWERS}.{user}.{id} {length}\r\n", self.scratch),
        );
        out.put_slice(body);
        out.put_slice(b"\r\n");
    }

    fn ping(&mut self, out: &mut BytesMut) {
        out.put_slice(b"PING\r\n");
    }

    fn receive(
        &mut self,
        incoming: &mut BytesMut,
        out: &mut BytesMut,
        event: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), BenchError> {
        let mut rest = &incoming[..];
        while let Some((said, behind)) = split(rest)? {
            match said {
                Said::Message(message) => self.message(&message, out, event)?,
                Said::Ping => out.put_slice(b"PONG\r\n"),
                Said::Pong => event(Event::Pong),
                Said::Nothing => {}
            }
            rest = behind;
        }
        let used = incoming.len() - rest.len();
        incoming.advance(used);
        Ok(())
    }
}

/// What a server says.
enum Said<'a> {
    Message(Message<'a>),
    Ping,
    Pong,
    /// Nothing that this client needs to know.
    Nothing,
}

/// A message of a subscription.
struct Message<'a> {
    subject: &'a str,
    answer_to: Option<&'a str>,
    payload: &'a [u8],
}

/// Takes the first thing said off `bytes`; `None` while it is incomplete.
fn split(bytes: &[u8]) -> Result<Option<(Said<'_>, &[u8])>, BenchError> {
    let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") else {
        return if bytes.len() > BYTES_MAX {
            Err(BenchError::Other("the server sent an endless line".to_owned()))
        } else {
            Ok(None)
        };
    };
    let (line, behind) = bytes.split_at(end);
    let behind = behind.get(2..).unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|error| nonsense(&error.to_string()))?;
    let (verb, arguments) = line.split_once(' ').unwrap_or((line, ""));
    let said = match verb {
        "MSG" => return message(arguments, behind),
        "PING" => Said::Ping,
        "PONG" => Said::Pong,
        "INFO" | "+OK" => Said::Nothing,
        _ => return Err(nonsense(line)),
    };
    Ok(Some((said, behind)))
}

/// The message whose first line has these arguments, if its payload is there.
fn message<'a>(arguments: &'a str, behind: &'a [u8]) -> Result<Option<(Said<'a>, &'a [u8])>, BenchError> {
    let mut words = arguments.split(' ');
    let (subject, _subscription) = (words.next(), words.next());
    let (answer_to, length) = match (words.next(), words.next()) {
        (answer_to, Some(length)) => (answer_to, Some(length)),
        (length, None) => (None, length),
    };
    let length: Option<usize> = length.and_then(|length| length.parse().ok());
    let (Some(subject), Some(length)) = (subject, length.filter(|length| *length <= BYTES_MAX)) else {
        return Err(nonsense(arguments));
    };
    let Some((payload, behind)) = behind.split_at_checked(length) else {
        return Ok(None);
    };
    let Some((end, behind)) = behind.split_first_chunk() else {
        return Ok(None);
    };
    if end != b"\r\n" {
        return Err(nonsense(arguments));
    }
    let message = Message {
        subject,
        answer_to,
        payload,
    };
    Ok(Some((Said::Message(message), behind)))
}

/// Why the server did not do what it was asked for.
fn refusal(answer: &[u8]) -> Option<String> {
    // The only nested object of a good answer to a message would be an error: most need no parser.
    const ERROR: &[u8] = b"\"error\"";
    if !answer.windows(ERROR.len()).any(|part| part == ERROR) && !answer.is_empty() {
        return None;
    }
    let error = serde_json::from_slice(answer)
        .ok()
        .and_then(|answer: Value| answer.get("error").cloned());
    Some(error.map_or_else(|| "JetStream is not there".to_owned(), |error| error.to_string()))
}

fn put(out: &mut BytesMut, text: fmt::Arguments<'_>) {
    // A buffer grows: writing to it does not fail.
    let _ = out.write_fmt(text);
}

fn nonsense(what: &str) -> BenchError {
    BenchError::Other(format!("the server sent `{what}`"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::transcript::{Heard, account, expect, hear, login};
    use super::*;

    const INFO: &str = "INFO {\"server_id\":\"x\",\"headers\":true}\r\n";

    fn nats() -> Nats {
        Nats::new(&account(7, &[]))
    }

    /// The question in the last `PUB` of some text.
    fn question(text: &[u8]) -> (String, Value) {
        let text = std::str::from_utf8(text).expect("text");
        let (head, question) = text.trim_end().rsplit_once("\r\n").expect("two lines");
        let (_, head) = head.rsplit_once("PUB ").expect("a question");
        let length: usize = head.rsplit(' ').next().expect("words").parse().expect("a length");
        assert_eq!(length, question.len());
        (head.to_owned(), serde_json::from_str(question).expect("JSON"))
    }

    #[test]
    fn it_makes_the_stream_and_then_its_own_consumer() {
        let hello = login(&mut nats());
        let text = String::from_utf8_lossy(&hello);
        assert!(text.starts_with("CONNECT {"));
        assert!(text.contains("\r\nSUB _R.7.* 1\r\nSUB _D.7 2\r\nPUB "));
        let (head, stream) = question(&hello);
        assert!(head.starts_with("$JS.API.STREAM.CREATE.CHAT _R.7.stream "));
        assert_eq!(stream["storage"], "file");

        let mut member = Nats::new(&account(7, &[3]));
        let said = format!("{INFO}MSG _R.7.stream 1 13\r\n{{\"config\":{{}}}}\r\n");
        let (heard, out) = hear(&mut member, said.as_bytes(), 9).expect("sense");
        assert_eq!(heard, []);
        let (head, consumer) = question(&out);
        assert!(head.starts_with("$JS.API.CONSUMER.DURABLE.CREATE.CHAT.c7 _R.7.consumer "));
        let config = &consumer["config"];
        assert_eq!(config["filter_subjects"], json!(["u.7", "g.3"]));
        assert_eq!(config["deliver_subject"], "_D.7");
        assert_eq!(config["ack_policy"], "explicit");

        let said = b"MSG _R.7.consumer 1 2\r\n{}\r\n";
        expect(nats, said, &[Heard::Ready], []);
    }

    #[test]
    fn it_publishes_with_a_place_for_the_answer() {
        let mut out = BytesMut::new();
        let target = Target::User(Arc::new(account(9, &[])));
        nats().send(&target, 12, b"a\r\n", &mut out);
        nats().send(&Target::Group(4), 13, b"", &mut out);
        assert_eq!(
            &out[..],
            b"PUB u.9 _R.7.12 3\r\na\r\n\r\nPUB g.4 _R.7.13 0\r\n\r\n"
        );
    }

    #[test]
    fn answers_name_the_message_and_deliveries_are_acknowledged() {
        let said = format!(
            "MSG _R.7.12 1 27\r\n{{\"stream\":\"CHAT\",\"seq\":100}}\r\n\
             MSG u.7 2 $JS.ACK.CHAT.c7.1 4\r\n\r\nhi\r\nPING\r\nPONG\r\n\
             MSG u.7 2 0\r\n\r\n{INFO}"
        );
        let heard = [
            Heard::Acked(12),
            Heard::Delivered(b"\r\nhi".to_vec()),
            Heard::Pong,
            Heard::Delivered(Vec::new()),
        ];
        let answers = "PUB $JS.ACK.CHAT.c7.1 4\r\n+ACK\r\nPONG\r\n";
        expect(nats, said.as_bytes(), &heard, answers);
    }

    #[test]
    fn a_refused_message_is_named_with_the_reason() {
        let said = b"MSG _R.7.5 1 46\r\n{\"error\":{\"code\":503,\"description\":\"no room\"}}\r\n";
        let reason = "{\"code\":503,\"description\":\"no room\"}".to_owned();
        expect(nats, said, &[Heard::Refused(Some(5), reason)], []);
        // Nobody listens: the answer is empty.
        let reason = "JetStream is not there".to_owned();
        expect(
            nats,
            b"MSG _R.7.5 1 0\r\n\r\n",
            &[Heard::Refused(Some(5), reason)],
            [],
        );
    }

    #[test]
    fn refusals_and_nonsense_end_the_connection() {
        let refused = b"MSG _R.7.stream 1 22\r\n{\"error\":{\"code\":503}}\r\n";
        let violation = b"-ERR 'Authorization Violation'\r\n";
        let unframed = b"MSG u.7 2 1\r\nxyz";
        let endless = b"MSG u.7 2 99999999\r\n";
        let foreign = b"MSG _R.7.what 1 2\r\n{}\r\n";
        for said in [&refused[..], violation, unframed, endless, foreign] {
            let text = String::from_utf8_lossy(said);
            assert!(hear(&mut nats(), said, 5).is_err(), "{text}");
        }
    }
}
