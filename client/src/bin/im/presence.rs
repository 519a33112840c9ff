//! How present people are: `im presence`.

use protocol::v1::{self, PresenceState};
use serde_json::json;

use crate::{
    context::{CALL_TIMEOUT, Context},
    failure::Failure,
    target::Resolver,
    text,
    time::{date_and_clock, local_zone},
};

pub(crate) fn run(context: &Context, users: &[String]) -> Result<(), Failure> {
    let client = context.client()?;
    let resolver = Resolver::new(context, &client, None)?;
    let mut user_ids = Vec::with_capacity(users.len());
    for user in users {
        user_ids.push(resolver.user(user)?);
    }
    let told = client.ask(v1::WatchPresenceRequest { user_ids }, CALL_TIMEOUT)?;
    for (user, presence) in users.iter().zip(told.presences) {
        let state = match presence.state() {
            PresenceState::Online => "online",
            PresenceState::Away => "away",
            PresenceState::Offline | PresenceState::Unspecified => "offline",
        };
        let name = user.strip_prefix('@').unwrap_or(user);
        let json = || {
            json!({
                "type": "presence",
                "user_id": presence.user_id,
                "name": name,
                "state": state,
                "last_seen_ms": presence.last_seen_ms,
            })
        };
        let plain = || {
            let seen = match presence.last_seen_ms {
                0 => String::new(),
                at_ms => format!("  last seen {}", date_and_clock(at_ms, &local_zone())),
            };
            let name = context.output.bold(&format!("@{}", text::line(name)));
            format!("{state:7}  {name}{seen}")
        };
        context.output.print(json, plain)?;
    }
    Ok(())
}
