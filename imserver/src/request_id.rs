//! The ids of requests that were refused: what a client reads in its error, an operator finds in the log. A request that
//! succeeds has none and costs nothing.

use std::{
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use netcore::ConnId;
use protocol::{Refusal, v1::ErrorCode};

/// Names the start of this process, so that ids of two runs and of two nodes differ.
static START: OnceLock<u32> = OnceLock::new();
/// Ids given out since then.
static GIVEN: AtomicU64 = AtomicU64::new(0);

/// The id of a refused request: 8 digits in base 16 for the process, and 8 or more for the request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct RequestId(u32, u64);

impl RequestId {
    fn new() -> Self {
        Self(Self::start(), GIVEN.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// The next one that is given: whatever is refused from now on has this one or a later one.
    pub(crate) fn upcoming() -> Self {
        Self(Self::start(), GIVEN.load(Ordering::Relaxed) + 1)
    }

    fn start() -> u32 {
        *START.get_or_init(|| {
            let mut bytes = [0; 4];
            // Without randomness the process id tells nodes of one machine apart.
            match getrandom::fill(&mut bytes) {
                Ok(()) => u32::from_ne_bytes(bytes),
                Err(_) => std::process::id(),
            }
        })
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:08x}{:08x}", self.0, self.1)
    }
}

/// The refusal with a new id, which is logged with it: failures of the server as warnings, everything else for whoever
/// looks for it.
pub(crate) fn named(refusal: &Refusal, conn: ConnId, seq: u16, command: &str) -> Refusal {
    let id = RequestId::new();
    let level = if refusal.code() == ErrorCode::Internal {
        log::Level::Warn
    } else {
        log::Level::Debug
    };
    log::log!(
        level,
        "request {id} ({command}, number {seq} of connection {:#x}) was refused: {refusal}",
        conn.as_u64()
    );
    let mut named = refusal.clone();
    named.0.request_id = id.to_string();
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_a_length_and_differ() {
        let [one, two] = [RequestId::new(), RequestId::new()];
        assert_eq!(one.0, two.0);
        assert_ne!(one.to_string(), two.to_string());
        let upcoming = RequestId::upcoming();
        assert!(upcoming.1 > two.1);
        assert!(
            RequestId::new().to_string() >= upcoming.to_string(),
            "in the order of their texts"
        );
        assert_eq!(RequestId(0xAB, 7).to_string(), "000000ab00000007");
        assert!(RequestId(u32::MAX, u64::MAX).to_string().len() <= 24);
    }
}
