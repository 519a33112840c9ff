//! The check alone: what a running server has stored, as each of its users sees it.
//!
//! Every conversation is read from its first visible event to its head. Its seqs must have no holes, and the
//! messages of each sender of each load must be there once each, in order and whole.

use std::collections::{BTreeMap, btree_map::Entry};

use clap::Args;
use protocol::v1;

use crate::{
    BenchError,
    check::{Checker, Findings},
    client::Client,
    dialect::Account,
    load::Load,
    outcome::Outcome,
    report::Report,
    stamp::Stamp,
};

/// What `verify` does.
#[derive(Clone, Debug, Args)]
pub(crate) struct Verify {
    /// How many accounts; all of the file otherwise.
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<usize>,
}

/// One conversation, page by page.
#[derive(Debug)]
struct Reading {
    /// The seq that must come next.
    next: u64,
    senders: BTreeMap<(u64, u32), Sender>,
    findings: Findings,
    holes: u64,
    events: u64,
    /// Messages that no load sent.
    foreign: u64,
}

#[derive(Debug)]
struct Sender {
    user: u64,
    checker: Checker,
}

impl Reading {
    const fn new(first_seq: u64) -> Self {
        Self {
            next: first_seq,
            senders: BTreeMap::new(),
            findings: Findings {
                delivered: 0,
                duplicated: 0,
                misordered: 0,
                corrupted: 0,
            },
            holes: 0,
            events: 0,
            foreign: 0,
        }
    }

    /// Takes a page that was asked for from the next seq on.
    fn take(&mut self, page: &v1::Page) {
        for event in &page.events {
            self.events += 1;
            if event.seq < self.next {
                // The same place twice, or back.
                self.findings.misordered += 1;
                continue;
            }
            self.holes += event.seq - self.next;
            self.next = event.seq + 1;
            let content = event.body.as_ref().and_then(|body| body.content.as_ref());
            if let (v1::EventKind::Text, Some(content)) = (event.kind(), content) {
                self.message(event.sender_id, &content.body);
            }
        }
        let end = page.to_seq + 1;
        self.holes += end.saturating_sub(self.next);
        self.next = self.next.max(end);
    }

    fn message(&mut self, user: u64, body: &[u8]) {
        let Some(peek) = Stamp::peek(body) else {
            self.foreign += 1;
            return;
        };
        let Some(stamp) = Stamp::read(body) else {
            self.findings.corrupted += 1;
            return;
        };
        let sender = match self.senders.entry((peek.run, peek.sender)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(Sender {
                user,
                checker: Checker::default(),
            }),
        };
        if sender.user != user {
            // Whole, but under somebody else's name.
            self.findings.corrupted += 1;
            return;
        }
        self.findings.count(sender.checker.take(stamp.counter));
    }

    fn add_to(&self, outcome: &mut Outcome) {
        let lost = self.senders.values().map(|sender| sender.checker.missing()).sum();
        for (name, count) in [
            ("conversations", 1),
            ("events", self.events),
            ("messages", self.findings.delivered),
            ("foreign", self.foreign),
            ("holes", self.holes),
            ("lost", lost),
            ("duplicated", self.findings.duplicated),
            ("misordered", self.findings.misordered),
            ("corrupted", self.findings.corrupted),
        ] {
            outcome.add(name, count);
        }
    }
}

pub(super) fn run(load: &mut Load<'_>) -> Result<Outcome, BenchError> {
    load.watch.ready()?;
    load.watch.measuring();
    let mut outcome = Outcome::default();
    for account in &load.accounts {
        verify(load.server, account, &mut outcome)?;
        outcome.add("accounts", 1);
        load.watch
            .progress(outcome.count("accounts"), outcome.count("events"));
    }
    load.watch.measured();
    Ok(outcome)
}

fn verify(server: std::net::SocketAddr, account: &Account, outcome: &mut Outcome) -> Result<(), BenchError> {
    let mut client = Client::resume(server, account)?;
    for conversation in client.conversations()? {
        let mut reading = Reading::new(conversation.first_seq.max(1));
        while reading.next <= conversation.head_seq {
            let from = reading.next;
            let page = client.history(conversation.conversation_id, from)?;
            reading.take(&page);
            if reading.next <= from {
                return Err(BenchError::Other(format!(
                    "conversation {}: a page from {from} did not go on",
                    conversation.conversation_id
                )));
            }
        }
        reading.add_to(outcome);
    }
    Ok(())
}

pub(super) fn report(outcome: &Outcome) -> Report {
    let mut report = Report::default();
    report.add_counts(
        outcome,
        ["accounts", "conversations", "events", "messages", "foreign"],
    );
    report.add_violations("holes", outcome.count("holes"));
    report.add_checks(outcome);
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: u64, sender_id: u64, body: Vec<u8>) -> v1::Event {
        v1::Event {
            seq,
            sender_id,
            kind: v1::EventKind::Text.into(),
            body: Some(v1::EventBody {
                content: Some(v1::Content {
                    body: body.into(),
                    ..v1::Content::default()
                }),
                ..v1::EventBody::default()
            }),
            ..v1::Event::default()
        }
    }

    fn stamped(counter: u64) -> Vec<u8> {
        let (mut body, stamp) = (
            Vec::new(),
            Stamp {
                run: 4,
                sender: 2,
                counter,
                intended_ns: 1,
            },
        );
        stamp.write(64, &mut body);
        body
    }

    fn found(events: Vec<v1::Event>, to_seq: u64) -> [u64; 6] {
        let mut reading = Reading::new(1);
        reading.take(&v1::Page {
            from_seq: 1,
            to_seq,
            events,
            ..v1::Page::default()
        });
        let mut outcome = Outcome::default();
        reading.add_to(&mut outcome);
        [
            "messages",
            "holes",
            "lost",
            "duplicated",
            "misordered",
            "corrupted",
        ]
        .map(|name| outcome.count(name))
    }

    #[test]
    fn a_whole_conversation_is_clean() {
        let events = (0..3).map(|n| event(n + 1, 7, stamped(n))).collect();
        assert_eq!(found(events, 3), [3, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn each_violation_is_counted() {
        let counters = |counters: &[u64]| {
            (1..)
                .zip(counters)
                .map(|(seq, counter)| event(seq, 7, stamped(*counter)))
                .collect::<Vec<_>>()
        };
        assert_eq!(found(counters(&[0, 2]), 2), [2, 0, 1, 0, 0, 0]);
        assert_eq!(found(counters(&[0, 0]), 2), [1, 0, 0, 1, 0, 0]);
        assert_eq!(found(counters(&[1, 0]), 2), [2, 0, 0, 0, 1, 0]);
        assert_eq!(found(counters(&[0]), 3), [1, 2, 0, 0, 0, 0]);
        let gap = vec![event(1, 7, stamped(0)), event(3, 7, stamped(1))];
        assert_eq!(found(gap, 3), [2, 1, 0, 0, 0, 0]);
        let mut damaged = stamped(0);
        damaged[50] ^= 1;
        assert_eq!(found(vec![event(1, 7, damaged)], 1), [0, 0, 0, 0, 0, 1]);
        let stolen = vec![event(1, 7, stamped(0)), event(2, 8, stamped(1))];
        assert_eq!(found(stolen, 2), [1, 0, 0, 0, 0, 1]);
        let twice = vec![event(1, 7, stamped(0)), event(1, 7, stamped(1))];
        assert_eq!(found(twice, 1), [1, 0, 0, 0, 1, 0]);
    }

    #[test]
    fn what_no_load_sent_is_left_alone() {
        assert_eq!(found(vec![event(1, 7, b"hello".to_vec())], 1), [0; 6]);
    }
}
