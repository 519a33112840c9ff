//! A client of the stream of events, as it comes over HTTP.

#![expect(
    clippy::unwrap_in_result,
    reason = "what is not as it should be fails the test; an error is what the daemon refused"
)]

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use protocol::{Command, Decode, Encoding, Push, v1};

use super::{PATIENCE, Response, Web};

/// A stream of events. Dropped, it is closed.
#[derive(Debug)]
pub struct Events {
    web: Web,
    /// The head of the response.
    pub head: Response,
    /// The newest id, from where a client resumes.
    pub id: String,
    /// After how long a client is told to come back. Milliseconds.
    pub retry_ms: Option<u32>,
}

/// What came.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its name.
    pub name: String,
    /// Its data.
    pub data: String,
}

/// One block.
#[derive(Debug, PartialEq)]
enum Block {
    Event(Event),
    Id,
    Retry,
    Comment,
}

impl Events {
    /// Opens one from here on.
    ///
    /// # Panics
    /// It is refused, as every method here panics when what is asked for does not come about.
    #[track_caller]
    pub fn open(address: SocketAddr, token: &str) -> Self {
        Self::open_at(address, token, "/v1/events", &[])
    }

    /// Opens one that goes on after an id.
    #[track_caller]
    pub fn resume(address: SocketAddr, token: &str, id: &str) -> Self {
        Self::open_at(address, token, "/v1/events", &[("Last-Event-ID", id)])
    }

    /// Opens one at this target, with these headers beside that of the token; an empty token is none.
    #[track_caller]
    pub fn open_at(address: SocketAddr, token: &str, target: &str, headers: &[(&str, &str)]) -> Self {
        Self::over(Web::to(address), token, target, headers)
    }

    /// The same over this connection.
    #[track_caller]
    pub fn over(mut web: Web, token: &str, target: &str, headers: &[(&str, &str)]) -> Self {
        let bearer = format!("Bearer {token}");
        let mut all = vec![("Accept", "text/event-stream")];
        if !token.is_empty() {
            all.push(("Authorization", bearer.as_str()));
        }
        all.extend(headers);
        let bytes = web.request_bytes("GET", target, &all, b"");
        web.write(bytes);
        let head = web.head();
        assert_eq!(head.status, 200, "{head:?} {:?}", web.bytes().unread());
        assert_eq!(head.header("content-type"), Some("text/event-stream"));
        Self {
            web,
            head,
            id: String::new(),
            retry_ms: None,
        }
    }

    /// The socket itself.
    pub const fn stream(&self) -> &std::net::TcpStream {
        self.web.stream()
    }

    /// The next event; `None` at the end.
    #[track_caller]
    pub fn next_event(&mut self) -> Option<Event> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.block(PATIENCE) {
                Some(Block::Event(event)) => return Some(event),
                Some(Block::Id | Block::Retry | Block::Comment) if Instant::now() < until => {}
                _ => {
                    assert!(self.has_ended(), "no event came within {PATIENCE:?}");
                    return None;
                }
            }
        }
    }

    /// The next event, which is a push.
    #[track_caller]
    pub fn push(&mut self) -> Push {
        let event = self.next_event().expect("an event");
        let command = Command::from_name(&event.name).unwrap_or_else(|| panic!("no push: {event:?}"));
        Push::decode(command, Encoding::Json, event.data.into()).expect("a push of its command")
    }

    /// The next event, which is the answer to the sync that a stream begins with.
    #[track_caller]
    pub fn synced(&mut self) -> v1::SyncResponse {
        let event = self.next_event().expect("an event");
        assert_eq!(event.name, "sync", "{event:?}");
        Encoding::Json
            .decode(event.data.into())
            .expect("what a sync is answered with")
    }

    /// The next event, which is the page of one event of a conversation.
    #[track_caller]
    pub fn pushed(&mut self) -> v1::Event {
        match self.push() {
            Push::EventsPush(mut page) => {
                assert_eq!(page.events.len(), 1, "{page:?}");
                page.events.remove(0)
            }
            other => panic!("an event was expected, not {other:?}"),
        }
    }

    /// Waits for the next id.
    #[track_caller]
    pub fn next_id(&mut self) -> String {
        loop {
            match self.block(PATIENCE) {
                Some(Block::Id) => return self.id.clone(),
                Some(Block::Retry | Block::Comment) => {}
                other => panic!("an id was expected, not {other:?}"),
            }
        }
    }

    /// Waits for a comment, with nothing else before it.
    #[track_caller]
    pub fn comment(&mut self) {
        loop {
            match self.block(PATIENCE) {
                Some(Block::Comment) => return,
                Some(Block::Retry | Block::Id) => {}
                other => panic!("a comment was expected, not {other:?}"),
            }
        }
    }

    /// The next event if one comes in this time.
    #[track_caller]
    pub fn poll(&mut self, wait: Duration) -> Option<Event> {
        loop {
            match self.block(wait)? {
                Block::Event(event) => return Some(event),
                Block::Id | Block::Retry | Block::Comment => {}
            }
        }
    }

    /// Whether the server has closed it.
    pub fn has_ended(&mut self) -> bool {
        self.web.bytes().has_ended()
    }

    /// Nothing but an id or a comment comes any more, and the server closes.
    #[track_caller]
    pub fn end(&mut self) {
        let event = self.next_event();
        assert_eq!(event, None, "the end was expected");
    }

    fn block(&mut self, wait: Duration) -> Option<Block> {
        let text = loop {
            if let Some(text) = self.web.bytes().take_through(b"\n\n") {
                break String::from_utf8(text).expect("a stream of events is text");
            }
            if !self.web.bytes().more(wait) {
                return None;
            }
        };
        let (mut name, mut data, mut block) = (String::new(), Vec::new(), Block::Comment);
        for line in text.lines().filter(|line| !line.is_empty()) {
            let (field, value) = line.split_once(':').expect("a field");
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "" => {}
                "event" => value.clone_into(&mut name),
                "data" => data.push(value),
                "id" => {
                    value.clone_into(&mut self.id);
                    block = Block::Id;
                }
                "retry" => {
                    self.retry_ms = Some(value.parse().expect("a time"));
                    block = Block::Retry;
                }
                _ => panic!("no field of an event: {line:?}"),
            }
        }
        if data.is_empty() {
            return Some(block);
        }
        Some(Block::Event(Event {
            name,
            data: data.join("\n"),
        }))
    }
}
