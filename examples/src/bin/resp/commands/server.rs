//! Owns the commands about the connection and the server. Must never promise what the server does not do.

use super::{Context, Failure, Outcome, integer, quoted};
use crate::command::Command;
use crate::reply::{Reply, Version};

/// The settings that clients ask for, as they are here: nothing is written to a disk.
const SETTINGS: [(&str, &str); 3] = [("save", ""), ("appendonly", "no"), ("databases", "1")];

pub(super) fn ping(_: &mut Context<'_>, command: &Command<'_>) -> Outcome {
    Ok(match command.len() {
        1 => Reply::Status("PONG"),
        _ => Reply::Bulk(command.argument(1).into()),
    })
}

pub(super) fn echo(_: &mut Context<'_>, command: &Command<'_>) -> Outcome {
    Ok(Reply::Bulk(command.argument(1).into()))
}

pub(super) fn quit(_: &mut Context<'_>, _: &Command<'_>) -> Outcome {
    Ok(Reply::Goodbye)
}

pub(super) fn select(_: &mut Context<'_>, command: &Command<'_>) -> Outcome {
    match integer(command.argument(1))? {
        0 => Ok(Reply::OK),
        _ => Err(Failure::Database),
    }
}

pub(super) fn dbsize(context: &mut Context<'_>, _: &Command<'_>) -> Outcome {
    Ok(Reply::count(context.store.len()))
}

pub(super) fn flush(context: &mut Context<'_>, command: &Command<'_>) -> Outcome {
    let known = [&b"async"[..], b"sync"];
    for option in command.arguments_from(1) {
        if !known.iter().any(|known| option.eq_ignore_ascii_case(known)) {
            return Err(Failure::Syntax);
        }
    }
    context.store.clear();
    Ok(Reply::OK)
}

pub(super) fn info(context: &mut Context<'_>, _: &Command<'_>) -> Outcome {
    let store = &context.store;
    let text = format!(
        "# Server\r\nserver_name:resp\r\nserver_version:{}\r\n\r\n\
         # Memory\r\nused_memory_dataset:{}\r\n\r\n\
         # Keyspace\r\ndb0:keys={},expires={}\r\n",
        env!("CARGO_PKG_VERSION"),
        store.bytes(),
        store.len(),
        store.deadlines(),
    );
    Ok(Reply::Bulk(text.into_bytes().into()))
}

pub(super) fn config(_: &mut Context<'_>, command: &Command<'_>) -> Outcome {
    let subcommand = command.argument(1);
    if !subcommand.eq_ignore_ascii_case(b"get") {
        return Err(Failure::UnknownSubcommand(quoted(subcommand)));
    }
    if command.len() < 3 {
        return Err(Failure::Arity("config|get".to_owned()));
    }
    let asked = |name: &str| {
        let mut names = command.arguments_from(2);
        names.any(|asked| asked == b"*" || asked.eq_ignore_ascii_case(name.as_bytes()))
    };
    let found = SETTINGS.iter().filter(|(name, _)| asked(name));
    let both = found.flat_map(|(name, value)| [name, value]);
    Ok(Reply::Map(
        both.map(|text| Some(text.as_bytes().into())).collect(),
    ))
}

/// `HELLO [version [AUTH user password] [SETNAME name]]`: how clients of today begin. There are no passwords here.
pub(super) fn hello(_: &mut Context<'_>, command: &Command<'_>) -> Outcome {
    let version = match command.argument(1) {
        b"" | b"2" => Version::Two,
        b"3" => Version::Three,
        _ => return Err(Failure::NoProtocol),
    };
    let mut options = command.arguments_from(2);
    while let Some(option) = options.next() {
        let values = if option.eq_ignore_ascii_case(b"auth") {
            2
        } else if option.eq_ignore_ascii_case(b"setname") {
            1
        } else {
            return Err(Failure::Syntax);
        };
        for _ in 0..values {
            options.next().ok_or(Failure::Syntax)?;
        }
    }
    Ok(Reply::Hello(version))
}

/// Clients say what they are called, and ask it.
pub(super) fn client(_: &mut Context<'_>, command: &Command<'_>) -> Outcome {
    let subcommand = command.argument(1);
    match subcommand.to_ascii_lowercase().as_slice() {
        b"setname" | b"setinfo" | b"no-evict" | b"no-touch" => Ok(Reply::OK),
        b"getname" => Ok(Reply::Null),
        b"id" => Ok(Reply::Integer(1)),
        _ => Err(Failure::UnknownSubcommand(quoted(subcommand))),
    }
}

/// Clients ask for descriptions of the commands to help their users, and go on without.
pub(super) fn command(_: &mut Context<'_>, _: &Command<'_>) -> Outcome {
    Ok(Reply::Array(Vec::new()))
}
