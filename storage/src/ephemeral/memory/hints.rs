//! Hints within this process.

use std::collections::HashMap;

use bytes::Bytes;

use crate::ephemeral::contract::{HintTarget, Limits};
use crate::ephemeral::queue::{self, HintReceiver, HintSender};

/// One subscription per node: a new one replaces the old one.
#[derive(Debug, Default)]
pub(super) struct Subscribers(HashMap<String, HintSender>);

impl Subscribers {
    pub(super) fn publish(&mut self, target: HintTarget<'_>, bytes: &[u8]) -> bool {
        self.0.retain(|_, sender| !sender.is_closed());
        let bytes = Bytes::copy_from_slice(bytes);
        for (node, sender) in &self.0 {
            if matches!(target, HintTarget::All) || target == HintTarget::Node(node) {
                sender.send(bytes.clone());
            }
        }
        true
    }

    pub(super) fn subscribe(&mut self, limits: &Limits, node: &str) -> HintReceiver {
        let (sender, receiver) = queue::queue(limits.hints_max, limits.hints_bytes_max);
        // As after every start of a subscription: hints may have been sent before.
        sender.lose();
        self.0.insert(node.to_owned(), sender);
        receiver
    }
}
