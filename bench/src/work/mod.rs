//! The workloads. Each says what it needs, runs on its part of that, and reports on what all parts found.

mod attack;
mod chat;
mod group;
mod idle;
mod login;
mod messages;
mod storm;
mod strangers;
mod sync;
mod verify;

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
    /// Connections that are logged in and only send heartbeats.
    Idle(idle::Idle),
    /// Everyone reconnects at once after a restart, and catches up.
    Storm(storm::Storm),
    /// Clients that were away come back and fetch what waited for them.
    Sync(sync::Sync),
    /// Clients that log in over and over.
    Login(login::Login),
    /// One account asks for all it can, and somebody else for a little.
    Attack(attack::Attack),
    /// Whether the times of answers tell a stranger who is online.
    Strangers(strangers::Strangers),
    /// No load: reads what the server has stored and checks it.
    Verify(verify::Verify),
}

/// What a workload needs, in units that cannot be divided among processes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Needs {
    /// `None`: as many as there are accounts.
    pub(crate) units: Option<usize>,
    /// Accounts of each unit, and connections as well.
    pub(crate) accounts: usize,
}

impl Work {
    /// Whether each connection either sends or receives.
    pub(crate) const fn has_one_sender(&self) -> bool {
        match self {
            Self::Chat(_) | Self::Fanout(_) => true,
            Self::Group(group) => group.senders == 1,
            Self::Idle(_)
            | Self::Storm(_)
            | Self::Sync(_)
            | Self::Login(_)
            | Self::Attack(_)
            | Self::Strangers(_)
            | Self::Verify(_) => false,
        }
    }

    pub(crate) const fn needs(&self) -> Needs {
        let (units, accounts) = match self {
            Self::Chat(chat) => (Some(chat.pairs), 2),
            Self::Group(group) => (Some(group.groups), group.members),
            Self::Fanout(fanout) => (Some(1), fanout.members + 1),
            Self::Idle(idle) => (Some(idle.connections), 1),
            Self::Storm(storm) => (Some(storm.connections), 1),
            Self::Sync(sync) => (Some(sync.clients), 2),
            Self::Login(login) => (Some(login.clients), 1),
            Self::Attack(_) | Self::Strangers(_) => (Some(1), 3),
            Self::Verify(verify) => (verify.count, 1),
        };
        Needs { units, accounts }
    }

    pub(crate) fn run(&self, load: &mut Load<'_>) -> Result<Outcome, BenchError> {
        match self {
            Self::Chat(chat) => chat::run(chat, load),
            Self::Group(group) => group::run(group, load),
            Self::Fanout(fanout) => group::run(&fanout.as_group(), load),
            Self::Idle(idle) => idle::run(idle, load),
            Self::Storm(storm) => storm::run(storm, load),
            Self::Sync(sync) => sync::run(sync, load),
            Self::Login(login) => login::run(login, load),
            Self::Attack(attack) => attack::run(attack, load),
            Self::Strangers(strangers) => strangers::run(strangers, load),
            Self::Verify(_) => verify::run(load),
        }
    }

    pub(crate) fn report(&self, outcome: &Outcome) -> Report {
        match self {
            Self::Chat(_) | Self::Group(_) | Self::Fanout(_) => messages::report(outcome),
            Self::Idle(_) => idle::report(outcome),
            Self::Storm(_) => storm::report(outcome),
            Self::Sync(_) => sync::report(outcome),
            Self::Login(_) => login::report(outcome),
            Self::Attack(_) => attack::report(outcome),
            Self::Strangers(_) => strangers::report(outcome),
            Self::Verify(_) => verify::report(outcome),
        }
    }
}
