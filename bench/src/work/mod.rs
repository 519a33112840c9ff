//! The workloads. Each says what it needs, runs on its part of that, and reports on what all parts found.

mod chat;
mod group;
mod messages;

use clap::Subcommand;

use crate::{BenchError, load::Load, outcome::Outcome, report::Report};

/// What is to be done.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Work {
    /// Pairs that chat: in each, one sends and the other receives.
    Chat(chat::Chat),
    /// Groups whose members are all online.
    Group(group::Group),
    /// One group: what one sends goes to all the others, who are online.
    Fanout(group::Fanout),
}

/// What a workload needs, in units that cannot be divided among processes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Needs {
    pub(crate) units: usize,
    /// Accounts of each unit, and connections as well.
    pub(crate) accounts: usize,
}

impl Work {
    pub(crate) const fn needs(&self) -> Needs {
        let (units, accounts) = match self {
            Self::Chat(chat) => (chat.pairs, 2),
            Self::Group(group) => (group.groups, group.members),
            Self::Fanout(fanout) => (1, fanout.members + 1),
        };
        Needs { units, accounts }
    }

    pub(crate) fn run(&self, load: &mut Load<'_>) -> Result<Outcome, BenchError> {
        match self {
            Self::Chat(chat) => chat::run(chat, load),
            Self::Group(group) => group::run(group, load),
            Self::Fanout(fanout) => group::run(&fanout.as_group(), load),
        }
    }

    pub(crate) fn report(&self, outcome: &Outcome) -> Report {
        match self {
            Self::Chat(_) | Self::Group(_) | Self::Fanout(_) => messages::report(outcome),
        }
    }
}
