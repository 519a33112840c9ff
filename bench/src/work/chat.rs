//! Pairs: in each, one sends and the other receives.

use std::sync::Arc;

use clap::Args;

use super::messages::{Party, Sending};
use crate::{BenchError, dialect::Target, load::Load, outcome::Outcome};

/// What `chat` does.
#[derive(Clone, Debug, Args)]
pub(crate) struct Chat {
    /// How many pairs; each takes two accounts.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) pairs: usize,
    #[command(flatten)]
    pub(crate) sending: Sending,
}

pub(super) fn run(chat: &Chat, load: &mut Load<'_>) -> Result<Outcome, BenchError> {
    let mut sending = chat.sending.clone();
    let pairs = load.part.share(chat.pairs);
    sending.rate = sending
        .rate
        .map(|rate| rate * pairs as f64 / chat.pairs.max(1) as f64);
    let mut party = Party::new(load, &sending)?;
    for pair in 0..pairs {
        let receiver = Arc::new(load.accounts.get(pair * 2 + 1).cloned().unwrap_or_default());
        party.add_group(load, pair * 2, 2, 1, |_| Target::User(Arc::clone(&receiver)))?;
    }
    party.run(load)
}
