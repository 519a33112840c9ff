//! Groups whose members are all online: some of them write, and everyone else gets it. `fanout` is one such
//! group with one sender.

use clap::Args;

use super::messages::{Party, Sending};
use crate::{
    BenchError,
    client::Client,
    dialect::Target,
    load::{Load, Spoken},
    outcome::Outcome,
};

/// What `group` does.
#[derive(Clone, Debug, Args)]
pub(crate) struct Group {
    /// How many groups.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) groups: usize,
    /// Members of each, senders included.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) members: usize,
    /// Members of each who write.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) senders: usize,
    #[command(flatten)]
    pub(crate) sending: Sending,
}

/// What `fanout` does.
#[derive(Clone, Debug, Args)]
pub(crate) struct Fanout {
    /// Members who receive; the sender is one more. The server must allow a group of that size
    /// (`groups.members`).
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) members: usize,
    #[command(flatten)]
    pub(crate) sending: Sending,
}

impl Fanout {
    pub(crate) fn as_group(&self) -> Group {
        Group {
            groups: 1,
            members: self.members + 1,
            senders: 1,
            sending: self.sending.clone(),
        }
    }
}

pub(super) fn run(group: &Group, load: &mut Load<'_>) -> Result<Outcome, BenchError> {
    if group.members < 2 || group.senders < 1 || group.senders > group.members {
        return Err(BenchError::Other(
            "a group needs two members at least, and its senders are among them".to_owned(),
        ));
    }
    let mut sending = group.sending.clone();
    let groups = load.part.share(group.groups);
    sending.rate = sending
        .rate
        .map(|rate| rate * groups as f64 / group.groups.max(1) as f64);
    let mut targets = Vec::with_capacity(groups);
    for number in 0..groups {
        let target = make(load, number, group.members)?;
        targets.push(target);
    }
    let mut party = Party::new(load, &sending)?;
    for (number, target) in targets.iter().enumerate() {
        party.add_group(load, number * group.members, group.members, group.senders, |_| {
            target.clone()
        })?;
    }
    party.run(load)
}

/// Makes a group of the accounts whose turn it is, before any of them logs in for the load.
fn make(load: &mut Load<'_>, number: usize, members: usize) -> Result<Target, BenchError> {
    let accounts = load
        .accounts
        .get_mut(number * members..(number + 1) * members)
        .ok_or_else(|| BenchError::Other("too few accounts".to_owned()))?;
    let users: Vec<u64> = accounts.iter().map(|account| account.user).collect();
    let id = match (load.spoken, accounts.first()) {
        (Spoken::Imserver, Some(owner)) => Client::resume(load.server, owner)?.make_group(&users)?,
        (Spoken::Xmpp, _) => {
            return Err(BenchError::Other("groups are not spoken over XMPP".to_owned()));
        }
        // Elsewhere a group is a name that its members agree on. Sessions that stay remember groups of runs
        // before: only the same members may have the same name.
        (_, Some(first)) => (members as u64) << 32 | first.user,
        (_, None) => 0,
    };
    for account in accounts {
        account.groups.push(id);
    }
    Ok(Target::Group(id))
}
