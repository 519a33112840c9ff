//! What a page of events must look like before anything of it is believed.

use protocol::v1;

use super::{Malformed, SEQ_MAX};

/// Checks that the page's events lie in its interval, in order, and are of its conversation.
pub(super) fn check(page: &v1::Page) -> Result<(), Malformed> {
    let numbers = page.from_seq <= SEQ_MAX && page.to_seq <= SEQ_MAX && page.head_seq <= SEQ_MAX;
    if !numbers {
        return Err(Malformed::Number);
    }
    if page.conversation_id == 0 || page.from_seq == 0 || page.to_seq < page.from_seq - 1 {
        return Err(Malformed::Page);
    }
    let mut last = page.from_seq - 1;
    for event in &page.events {
        let fits =
            event.conversation_id == page.conversation_id && event.seq > last && event.seq <= page.to_seq;
        if !fits {
            return Err(Malformed::Page);
        }
        last = event.seq;
    }
    Ok(())
}
