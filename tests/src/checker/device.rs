//! What devices applied against the log: each event once, in order, to the end.

use std::collections::{BTreeMap, HashMap};

use super::{Entry, Record, Violation};

pub(super) fn check(record: &Record) -> Vec<Violation> {
    let mut logs: BTreeMap<u64, &[Entry]> = BTreeMap::new();
    for ((conversation, _), entries) in &record.logs {
        logs.entry(*conversation).or_insert(entries);
    }
    let mut violations = Vec::new();
    for ((device, conversation), applied) in &record.applied {
        match logs.get(conversation) {
            Some(log) => violations.extend(one(device, *conversation, applied, log)),
            None => violations.push(Violation::NoLog(*conversation)),
        }
    }
    violations
}

fn one(device: &str, conversation: u64, applied: &[Entry], log: &[Entry]) -> Vec<Violation> {
    let logged: HashMap<u64, &Entry> = log.iter().map(|entry| (entry.seq, entry)).collect();
    let mut violations = Vec::new();
    let mut before = 0;
    for entry in applied {
        if entry.seq != before + 1 {
            violations.push(Violation::DeviceOrder(
                device.to_owned(),
                conversation,
                before,
                entry.seq,
            ));
        }
        before = entry.seq;
        match logged.get(&entry.seq) {
            Some(logged) if *logged == entry => {}
            Some(_) => violations.push(Violation::DeviceAltered(
                device.to_owned(),
                conversation,
                entry.seq,
            )),
            None => violations.push(Violation::DevicePhantom(
                device.to_owned(),
                conversation,
                entry.seq,
            )),
        }
    }
    let head = log.last().map_or(0, |entry| entry.seq);
    if before < head {
        violations.push(Violation::DeviceIncomplete(
            device.to_owned(),
            conversation,
            before,
            head,
        ));
    }
    violations
}
