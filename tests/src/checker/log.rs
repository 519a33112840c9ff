//! The log against what was sent and acknowledged.

use std::collections::{BTreeMap, HashMap};

use super::{Ack, Entry, Key, Record, Sent, Violation};

pub(super) fn check(record: &Record) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut logs: BTreeMap<u64, &[Entry]> = BTreeMap::new();
    for ((conversation, _), entries) in &record.logs {
        match logs.get(conversation) {
            None => {
                logs.insert(*conversation, entries);
            }
            Some(first) => violations.extend(disagreement(*conversation, first, entries)),
        }
    }
    let sent: HashMap<[u8; 16], &Sent> = record
        .sent
        .iter()
        .map(|sent| (sent.key.client_id, sent))
        .collect();
    let acked: HashMap<[u8; 16], u64> = first_acks(&record.acked);
    let mut places = HashMap::new();
    for (conversation, entries) in &logs {
        violations.extend(numbering(*conversation, entries));
        violations.extend(contents(*conversation, entries, &sent, &mut places));
        violations.extend(real_time(*conversation, entries, &sent, &acked));
    }
    violations.extend(acknowledgements(record, &logs, &places));
    violations.extend(refusals(record, &places));
    violations.extend(senders(&record.sent, &places));
    violations
}

fn disagreement(conversation: u64, one: &[Entry], other: &[Entry]) -> Option<Violation> {
    let same = one
        .iter()
        .zip(other)
        .take_while(|(one, other)| one == other)
        .count();
    let at = |entries: &[Entry]| entries.get(same).map_or(0, |entry| entry.seq);
    (same < one.len().max(other.len())).then(|| Violation::Disagreement(conversation, at(one), at(other)))
}

/// Seqs without a hole, ordinals that count.
fn numbering(conversation: u64, entries: &[Entry]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let (mut before, mut messages) = (0, 0);
    for entry in entries {
        if entry.seq != before + 1 {
            violations.push(Violation::Hole(conversation, before, entry.seq));
        }
        before = entry.seq;
        messages += u64::from(entry.message);
        if entry.ordinal != messages {
            violations.push(Violation::Ordinal(conversation, entry.seq));
        }
    }
    violations
}

type Places = HashMap<Key, (u64, u64)>;

/// Each message was sent, is as it was sent, and is there once.
fn contents(
    conversation: u64,
    entries: &[Entry],
    sent: &HashMap<[u8; 16], &Sent>,
    places: &mut Places,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    let judged = |entry: &&Entry| entry.message || sent.contains_key(&entry.client_id);
    for entry in entries.iter().filter(judged) {
        let key = Key {
            conversation,
            sender: entry.sender,
            client_id: entry.client_id,
        };
        match sent.get(&entry.client_id) {
            Some(sent) if sent.key != key => violations.push(Violation::Phantom(key, entry.seq)),
            None => violations.push(Violation::Phantom(key, entry.seq)),
            Some(sent) if sent.body != entry.body => violations.push(Violation::Altered(key, entry.seq)),
            Some(_) => {}
        }
        if let Some((first, _)) = places.insert(key, (entry.seq, entry.ordinal)) {
            violations.push(Violation::Doubled(key, first, entry.seq));
        }
    }
    violations
}

fn first_acks(acks: &[Ack]) -> HashMap<[u8; 16], u64> {
    let mut first = HashMap::new();
    for ack in acks {
        let at = first.entry(ack.key.client_id).or_insert(ack.at);
        *at = ack.at.min(*at);
    }
    first
}

/// What was acknowledged before something else was sent stands before it.
fn real_time(
    conversation: u64,
    entries: &[Entry],
    sent: &HashMap<[u8; 16], &Sent>,
    acked: &HashMap<[u8; 16], u64>,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut latest_invoked = 0;
    for entry in entries.iter().filter(|entry| sent.contains_key(&entry.client_id)) {
        if acked.get(&entry.client_id).is_some_and(|at| *at < latest_invoked) {
            let key = Key {
                conversation,
                sender: entry.sender,
                client_id: entry.client_id,
            };
            violations.push(Violation::Overtaken(key, entry.seq));
        }
        let invoked = sent.get(&entry.client_id).map_or(0, |sent| sent.invoked);
        latest_invoked = latest_invoked.max(invoked);
    }
    violations
}

/// Everything acknowledged is where the acknowledgement says. What an earlier epoch promised is over.
fn acknowledgements(record: &Record, logs: &BTreeMap<u64, &[Entry]>, places: &Places) -> Vec<Violation> {
    let mut violations = Vec::new();
    let epoch = record.epoch.or_else(|| record.acked.first().map(|ack| ack.epoch));
    let is_over = |ack: &&Ack| record.epoch.is_some_and(|epoch| ack.epoch != epoch);
    for ack in record.acked.iter().filter(|ack| !is_over(ack)) {
        if !logs.contains_key(&ack.key.conversation) {
            violations.push(Violation::NoLog(ack.key.conversation));
            continue;
        }
        match places.get(&ack.key) {
            None => violations.push(Violation::Lost(ack.key)),
            Some(place) if *place != (ack.seq, ack.ordinal) || Some(ack.epoch) != epoch => {
                violations.push(Violation::Misplaced(ack.key, ack.seq));
            }
            Some(_) => {}
        }
    }
    violations
}

/// What was refused for good is nowhere.
fn refusals(record: &Record, places: &Places) -> Vec<Violation> {
    let found = |key: &Key| places.get(key).map(|(seq, _)| Violation::Refused(*key, *seq));
    record.refused.iter().filter_map(found).collect()
}

/// A sender's messages to one conversation stand in the order in which they were sent.
fn senders(sent: &[Sent], places: &Places) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut last: HashMap<(u64, u64), u64> = HashMap::new();
    for sent in sent {
        let Some((seq, _)) = places.get(&sent.key) else {
            continue;
        };
        let before = last.entry((sent.key.conversation, sent.key.sender)).or_default();
        if *seq < *before {
            violations.push(Violation::Reordered(sent.key, *seq));
        }
        *before = (*before).max(*seq);
    }
    violations
}
