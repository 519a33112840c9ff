use std::sync::Arc;

use super::super::transcript::{Heard, account, expect, hear, login};
use super::*;

const STREAM: &str = "<?xml version='1.0'?><stream:stream id='1' xmlns='jabber:client'>";

fn xmpp() -> Xmpp {
    let mut xmpp = Xmpp::new(&account(7, &[]));
    login(&mut xmpp);
    xmpp
}

/// One that has come to `step`.
fn at(step: Step) -> Xmpp {
    Xmpp { step, ..xmpp() }
}

fn sent(xmpp: &mut Xmpp, id: u64, body: &[u8]) -> String {
    let mut out = BytesMut::new();
    let target = Target::User(Arc::new(account(9, &[])));
    xmpp.send(&target, id, body, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

#[test]
fn the_whole_login_in_any_parts() {
    let said = [
        STREAM,
        "<stream:features><mechanisms xmlns='s'><mechanism>PLAIN</mechanism></mechanisms></stream:features>",
        "<iq type='result' id='r'/>",
        "<success xmlns='s'/>",
        STREAM,
        "<stream:features><bind xmlns='b'/><sm xmlns='urn:xmpp:sm:3'/></stream:features>",
        "<iq type='result' id='b'><bind><jid>u7@localhost/imbench</jid></bind></iq>",
        "<presence from='u7@localhost/imbench'/>",
        "<enabled xmlns='urn:xmpp:sm:3' id='x'/>",
    ];
    let mut opening = BytesMut::new();
    open(&mut opening, Step::Features);
    let answers = [
        "<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>u7</username>\
         <password>imbench</password></query></iq>\
         <auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AHU3AGltYmVuY2g=</auth>",
        std::str::from_utf8(&opening).expect("text"),
        "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
         <resource>imbench</resource></bind></iq>\
         <presence/><enable xmlns='urn:xmpp:sm:3'/>",
    ];
    expect(xmpp, said.concat().as_bytes(), &[Heard::Ready], answers.concat());
}

#[test]
fn who_is_registered_already_logs_in() {
    let conflict = b"<iq type='error' id='r'><error type='cancel'><conflict xmlns='x'/></error></iq>";
    let auth = b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AHU3AGltYmVuY2g=</auth>";
    expect(|| at(Step::Registered), conflict, &[], auth);
}

#[test]
fn acknowledgements_count_stanzas() {
    let working = || {
        let mut xmpp = at(Step::Done);
        // The count goes round within these messages.
        xmpp.sent = u32::MAX - 1;
        let text = sent(&mut xmpp, 70, b"hi");
        assert_eq!(
            text,
            "<message to='u9@localhost' type='chat' id='70'><body>hi</body></message><r xmlns='urn:xmpp:sm:3'/>"
        );
        sent(&mut xmpp, 71, b"");
        let mut out = BytesMut::new();
        xmpp.ping(&mut out);
        assert_eq!(out, "<r xmlns='urn:xmpp:sm:3'/>");
        sent(&mut xmpp, 72, b"");
        xmpp
    };
    let said = b"<a xmlns='urn:xmpp:sm:3' h='4294967294'/>";
    expect(working, said, &[], []);
    expect(working, b"<a h='4294967295'/>", &[Heard::Acked(70)], []);
    let said = b"<a h='4294967295'/><a h='0'/><a h='0'/><a h='1'/>";
    let heard = [Heard::Acked(70), Heard::Acked(71), Heard::Pong, Heard::Acked(72)];
    expect(working, said, &heard, []);
}

#[test]
fn one_acknowledgement_may_be_of_several_messages() {
    let working = || {
        let mut xmpp = at(Step::Done);
        for id in 1..=3 {
            sent(&mut xmpp, id, b"");
        }
        xmpp
    };
    let heard = [Heard::Acked(1), Heard::Acked(2)];
    expect(working, b"<a h='2'/>", &heard, []);
}

#[test]
fn what_is_received_is_counted_when_the_server_asks() {
    let said = b"<message from='u1@localhost/x' type='chat'><body>hi</body><stanza-id id='1'/></message>\
        <r xmlns='urn:xmpp:sm:3'/><presence from='x'/><message><composing/></message><r xmlns='urn:xmpp:sm:3'/>";
    let answers = b"<a xmlns='urn:xmpp:sm:3' h='1'/><a xmlns='urn:xmpp:sm:3' h='3'/>";
    expect(
        || at(Step::Done),
        said,
        &[Heard::Delivered(b"hi".to_vec())],
        answers,
    );
}

#[test]
fn refusals_and_nonsense_end_the_connection() {
    for (step, said) in [
        (Step::Features, "<stream:error><host-unknown/></stream:error>"),
        (
            Step::Registered,
            "<iq type='error' id='r'><error><not-allowed/></error></iq>",
        ),
        (Step::Authenticated, "<failure><not-authorized/></failure>"),
        (Step::Bound, "<iq type='error' id='b'/>"),
        (Step::Managed, "<failed xmlns='urn:xmpp:sm:3'/>"),
        (
            Step::Done,
            "<message type='error' id='1'><body>hi</body></message>",
        ),
        (Step::Done, "<a h='many'/>"),
        (Step::Done, "<what/>"),
        (Step::Done, "</stream:stream>"),
    ] {
        assert!(hear(&mut at(step), said.as_bytes(), 7).is_err(), "{said}");
    }
}
