//! Entries of the own log: what a user says by keys, and the same on all of their devices.

use prost::Message;
use protocol::{Refusal, Reply, v1};
use storage::{Action, EntryView};

use super::{
    append::Planning,
    work::{Size, Work, at_most},
};
use crate::principal::Principal;

pub(super) fn set(
    who: Principal,
    set: v1::SetEntryRequest,
    planning: &Planning<'_>,
) -> Result<Work, Refusal> {
    let (bytes, client_id) = (set.encode_to_vec(), set.client_msg_id);
    let action = Action::SetEntry {
        key: set.key,
        value: set.value,
    };
    planning.work::<v1::SetEntryRequest>(who, who.user.0, &client_id, &bytes, action)
}

pub(super) fn remove(
    who: Principal,
    remove: v1::RemoveEntryRequest,
    planning: &Planning<'_>,
) -> Result<Work, Refusal> {
    let (bytes, client_id) = (remove.encode_to_vec(), remove.client_msg_id);
    let action = Action::RemoveEntry { key: remove.key };
    planning.work::<v1::RemoveEntryRequest>(who, who.user.0, &client_id, &bytes, action)
}

pub(super) fn list(who: Principal, list: v1::ListEntriesRequest) -> Work {
    // Values may be as long as bodies are.
    Work::ask(Size::Events(list.limit), move |asking| {
        let limit = at_most(list.limit, asking.page.entries);
        let page = asking
            .reader
            .entries(who.user, &list.prefix, &list.after, limit)?;
        let entries = page.entries.into_iter().map(state).collect();
        let more = page.more;
        Ok(Reply::ListEntries(v1::ListEntriesResponse { entries, more }).into())
    })
}

fn state(view: EntryView) -> v1::EntryState {
    v1::EntryState {
        entry: Some(v1::Entry {
            key: view.key,
            value: view.value,
        }),
        seq: view.seq.0,
        set_at_ms: view.at.0,
    }
}
