//! Entries of the own log: `im set`, `im unset`, `im entries`, and what is said about conversations, `im mark`.

use bytes::Bytes;
use client::new_client_id;
use protocol::{
    entries::{self, ATTRIBUTES},
    v1,
};
use serde_json::json;

use crate::{
    context::{CALL_TIMEOUT, Context},
    failure::Failure,
    friend::make,
    target::Resolver,
    text,
};

/// Entries asked for at once.
const PAGE: u32 = 100;

/// Sets an entry, or removes it.
pub(crate) fn set(context: &Context, key: &str, value: Option<&str>) -> Result<(), Failure> {
    let client = context.client()?;
    let client_msg_id = Bytes::copy_from_slice(&new_client_id().0);
    let key = key.to_owned();
    match value {
        Some(value) => {
            let value = Bytes::copy_from_slice(value.as_bytes());
            let request = v1::SetEntryRequest {
                client_msg_id,
                key,
                value,
            };
            make(context, &client, "set", request)
        }
        None => make(
            context,
            &client,
            "unset",
            v1::RemoveEntryRequest { client_msg_id, key },
        ),
    }
}

/// Says something about a conversation, or takes it back.
pub(crate) fn mark(
    context: &Context,
    target: &str,
    attribute: &str,
    value: &str,
    off: bool,
) -> Result<(), Failure> {
    if !ATTRIBUTES.contains(&attribute) {
        let known = ATTRIBUTES.join(", ");
        return Err(Failure::Usage(format!("it is one of: {known}")));
    }
    let client = context.client()?;
    let id = Resolver::new(context, &client, None)?.conversation(target)?;
    drop(client);
    let key = entries::of_conversation(id, attribute);
    set(context, &key, (!off).then_some(value))
}

/// Lists entries by the beginning of their keys.
pub(crate) fn list(context: &Context, prefix: &str) -> Result<(), Failure> {
    let client = context.client()?;
    let mut after = String::new();
    loop {
        let request = v1::ListEntriesRequest {
            prefix: prefix.to_owned(),
            after: after.clone(),
            limit: PAGE,
        };
        let page = client.ask(request, CALL_TIMEOUT)?;
        for state in &page.entries {
            let entry = state.entry.clone().unwrap_or_default();
            let value = String::from_utf8_lossy(&entry.value).into_owned();
            let json = || {
                json!({
                    "type": "entry",
                    "key": entry.key,
                    "value": value,
                    "seq": state.seq,
                    "set_at_ms": state.set_at_ms,
                })
            };
            let plain = || {
                let key = context.output.bold(&text::line(&entry.key));
                format!("{key}  {}", text::line(&value))
            };
            context.output.print(json, plain)?;
            after = entry.key;
        }
        if !page.more || page.entries.is_empty() {
            return Ok(());
        }
    }
}
