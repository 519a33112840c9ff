//! `im`, the terminal client: one command per deed, or the full-screen chat.
//!
//! It owns what a person or a script sees: arguments, output, exit codes. It must never print remote text
//! to a terminal with its control characters, nor move a cursor past what it has shown.
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

mod account;
mod args;
mod chat;
mod context;
mod entry;
mod failure;
mod find;
mod friend;
mod group;
mod history;
mod list;
mod message;
mod names;
mod output;
mod presence;
mod raw;
mod recv;
mod send;
mod target;
mod terminal;
mod text;
mod time;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    args::{Arguments, Command},
    context::Context,
    failure::Failure,
    output::Output,
};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let output = Output::new(arguments.common.json);
    match run(arguments, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            if let Failure::Signal(signal) = failure {
                terminal::end_by(signal);
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(arguments: Arguments, output: Output) -> Result<(), Failure> {
    let command = arguments.command.unwrap_or(Command::Chat { linear: false });
    let mut context = Context::open(&arguments.common, output, command.name())?;
    match command {
        Command::Register { name, display_name } => account::register(&mut context, name, display_name),
        Command::Login { name } => account::login(&mut context, name),
        Command::Logout { others } => account::logout(&mut context, others),
        Command::Whoami => account::whoami(&context),
        Command::Devices => account::devices(&context),
        Command::Send(send) => send::run(&context, &send),
        Command::Recv { count, timeout } => recv::run(&mut context, count, timeout),
        Command::History {
            target,
            limit,
            before,
        } => history::run(&context, &target, limit, before),
        Command::List => list::run(&context),
        Command::Find { words } => find::run(&context, &words),
        Command::Presence { users } => presence::run(&context, &users),
        Command::Friend(command) => friend::run(&context, &command),
        Command::Block { user } => friend::block(&context, &user, true),
        Command::Unblock { user } => friend::block(&context, &user, false),
        Command::Blocked => friend::blocked(&context),
        Command::Mark {
            target,
            attribute,
            value,
            off,
        } => entry::mark(&context, &target, &attribute, &value, off),
        Command::Set { key, value } => entry::set(&context, &key, Some(&value)),
        Command::Unset { key } => entry::set(&context, &key, None),
        Command::Entries { prefix } => entry::list(&context, &prefix),
        Command::Group(command) => group::run(&context, &command),
        Command::Read { target } => list::mark_read(&context, &target),
        Command::Call { request, body } => raw::run(&context, &request, &body),
        Command::Chat { linear } => chat::run(&mut context, linear),
    }
}
