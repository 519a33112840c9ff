//! XMPP (RFC 6120, 6121) between two users of one server: accounts registered in band (XEP-0077) at the first
//! login, SASL PLAIN, no encryption, stream management (XEP-0198) both ways.
//!
//! An acknowledgement says that the server has handled the message: handed it on and, where it archives
//! (XEP-0313), written it to its archive, which is not to say flushed. What the receiver has not acknowledged
//! is delivered again after its connection is lost: at least once. Bodies are sent as they are: they must be
//! printable and without `<`, `>` and `&`, as the load's are. Groups are not spoken.

mod xml;

use std::{
    collections::VecDeque,
    fmt::{self, Write},
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use bytes::{Buf, BufMut, BytesMut};

use self::xml::Element;
use super::{Account, Dialect, Event, Target};
use crate::BenchError;

const DOMAIN: &str = "localhost";
/// Of every account: this is a load on a throwaway server.
const PASSWORD: &str = "imbench";
const MANAGEMENT: &str = "urn:xmpp:sm:3";

/// How far the login has come: what is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Features,
    Registered,
    Authenticated,
    OwnFeatures,
    Bound,
    Managed,
    Done,
}

/// What the server was asked to acknowledge.
#[derive(Clone, Copy, Debug)]
enum Asked {
    /// The message that is the so-manieth stanza of this stream, modulo 2^32, as the standard counts.
    Message {
        stanza: u32,
        id: u64,
    },
    Heartbeat,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Xmpp {
    user: String,
    step: Step,
    asked: VecDeque<Asked>,
    /// Stanzas sent since stream management was switched on, modulo 2^32.
    sent: u32,
    /// Stanzas received since then, modulo 2^32.
    received: u32,
}

impl Xmpp {
    pub(crate) fn new(account: &Account) -> Self {
        Self {
            user: format!("u{}", account.user),
            step: Step::Features,
            asked: VecDeque::new(),
            sent: 0,
            received: 0,
        }
    }

    fn element(
        &mut self,
        element: &Element<'_>,
        out: &mut BytesMut,
        event: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), BenchError> {
        let next = match (self.step, element.name) {
            (_, "?xml" | "stream:stream") => self.step,
            (_, "stream:error" | "/stream:stream" | "failure" | "failed") => return Err(refused(element)),
            (Step::Features, "stream:features") => self.register(out),
            (Step::Registered, "iq") if element.is("type", "result") || element.has("<conflict") => {
                self.authenticate(out)
            }
            (Step::Authenticated, "success") => open(out, Step::OwnFeatures),
            (Step::OwnFeatures, "stream:features") => bind(out),
            (Step::Bound, "iq") if element.is("type", "result") => self.manage(out),
            (Step::Managed, "enabled") => {
                event(Event::Ready);
                Step::Done
            }
            // The own presence comes back while management is being switched on.
            (Step::Managed, "presence") => Step::Managed,
            (Step::Done, _) => return self.working(element, out, event),
            _ => return Err(refused(element)),
        };
        self.step = next;
        Ok(())
    }

    fn register(&self, out: &mut BytesMut) -> Step {
        let user = &self.user;
        put(
            out,
            format_args!(
                "<iq type='set' id='r'><query xmlns='jabber:iq:register'>\
                 <username>{user}</username><password>{PASSWORD}</password></query></iq>"
            ),
        );
        Step::Registered
    }

    fn authenticate(&self, out: &mut BytesMut) -> Step {
        let secret = BASE64.encode(format!("\0{}\0{PASSWORD}", self.user));
        put(
            out,
            format_args!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>"),
        );
        Step::Authenticated
    }

    fn manage(&mut self, out: &mut BytesMut) -> Step {
        (self.sent, self.received) = (0, 0);
        put(out, format_args!("<presence/><enable xmlns='{MANAGEMENT}'/>"));
        Step::Managed
    }

    fn working(
        &mut self,
        element: &Element<'_>,
        out: &mut BytesMut,
        event: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), BenchError> {
        match element.name {
            "a" => self.handled(element, event)?,
            "r" => put(
                out,
                format_args!("<a xmlns='{MANAGEMENT}' h='{}'/>", self.received),
            ),
            "message" => {
                self.received = self.received.wrapping_add(1);
                if element.is("type", "error") {
                    return Err(refused(element));
                }
                // Without a body it is one of the notices that chats send beside messages.
                if let Some(body) = element.content_of("body") {
                    event(Event::Delivered(body.as_bytes()));
                }
            }
            "presence" | "iq" => self.received = self.received.wrapping_add(1),
            _ => return Err(refused(element)),
        }
        Ok(())
    }

    /// The server has handled so many stanzas.
    fn handled(&mut self, element: &Element<'_>, event: &mut dyn FnMut(Event<'_>)) -> Result<(), BenchError> {
        let handled = element.attribute("h").and_then(|count| count.parse().ok());
        let handled: u32 = handled.ok_or_else(|| refused(element))?;
        // Counts go round: what is behind lies within half of them.
        while let Some(Asked::Message { stanza, id }) = self.asked.front().copied()
            && handled.wrapping_sub(stanza) < u32::MAX / 2
        {
            self.asked.pop_front();
            event(Event::Acked(id));
        }
        if let Some(Asked::Heartbeat) = self.asked.front() {
            self.asked.pop_front();
            event(Event::Pong);
        }
        Ok(())
    }
}

impl Dialect for Xmpp {
    fn login(&mut self, out: &mut BytesMut) {
        self.asked.clear();
        self.step = open(out, Step::Features);
    }

    fn send(&mut self, target: &Target, id: u64, body: &[u8], out: &mut BytesMut) {
        // No group is made over XMPP, so there is none to send to.
        let Target::User(account) = target else {
            return;
        };
        self.sent = self.sent.wrapping_add(1);
        self.asked.push_back(Asked::Message {
            stanza: self.sent,
            id,
        });
        let user = account.user;
        put(
            out,
            format_args!("<message to='u{user}@{DOMAIN}' type='chat' id='{id}'><body>"),
        );
        out.put_slice(body);
        put(out, format_args!("</body></message><r xmlns='{MANAGEMENT}'/>"));
    }

    fn ping(&mut self, out: &mut BytesMut) {
        self.asked.push_back(Asked::Heartbeat);
        put(out, format_args!("<r xmlns='{MANAGEMENT}'/>"));
    }

    fn receive(
        &mut self,
        incoming: &mut BytesMut,
        out: &mut BytesMut,
        event: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), BenchError> {
        let mut rest = &incoming[..];
        while let Some((element, behind)) = xml::split(rest)? {
            self.element(&element, out, event)?;
            rest = behind;
        }
        let used = incoming.len() - rest.len();
        incoming.advance(used);
        Ok(())
    }
}

/// Begins a stream; both sides do so again after the authentication.
fn open(out: &mut BytesMut, next: Step) -> Step {
    put(
        out,
        format_args!(
            "<?xml version='1.0'?><stream:stream to='{DOMAIN}' version='1.0' xmlns='jabber:client' \
             xmlns:stream='http://etherx.jabber.org/streams'>"
        ),
    );
    next
}

fn bind(out: &mut BytesMut) -> Step {
    out.put_slice(
        b"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
          <resource>imbench</resource></bind></iq>",
    );
    Step::Bound
}

fn put(out: &mut BytesMut, text: fmt::Arguments<'_>) {
    // A buffer grows: writing to it does not fail.
    let _ = out.write_fmt(text);
}

fn refused(element: &Element<'_>) -> BenchError {
    BenchError::Other(format!("the server sent `{}`", element.text))
}

#[cfg(test)]
mod tests;
