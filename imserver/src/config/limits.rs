//! `[limits]`: bounds on what clients can use up. What the protocol has numbers for begins with those.

use netcore::Network;
use protocol::{limits, validate};
use serde::{Deserialize, Deserializer, de::Error};

use super::{
    Config,
    section::section,
    units::{KIB, MIB, MILLION},
};

/// What the fields around a body may take of a frame, in bytes.
const AROUND_BODY_BYTES: usize = 4 * 1024;

section! {
    /// what clients may use up
    pub struct Limits in [limits] {
        /// 0: what the descriptor limit allows (raised to its hard limit at start)
        connections: usize = 0, in 0..=16 * MILLION;
        /// a frame after authentication; 4 KiB to 1 MiB
        frame_bytes: u32 = limits::FRAME_BYTES_DEFAULT, in 4 * KIB..=u64::from(limits::FRAME_BYTES_MAX);
        /// before it
        frame_bytes_unauthenticated: u32 = limits::HANDSHAKE_FRAME_BYTES_MAX, in KIB..=64 * KIB;
        /// a text
        text_bytes: usize = validate::Limits::default().text_bytes_max, in 1..=text_bytes_most(*frame_bytes);
        /// unanswered requests of a connection; then it is not read from
        requests_in_flight: u16 = limits::REQUESTS_IN_FLIGHT_MAX, in 1..=1_024;
        /// events in a page of history
        page_events: u32 = 500, in 1..=10_000;
        /// bytes of bodies in a page, roughly
        page_bytes: usize = 64 * 1024, in KIB..=512 * KIB;
        /// queued for a connection before its pushes turn to heads
        push_queue_bytes: usize = 1024 * 1024, in 4 * KIB..=64 * MIB;
        /// answers and pushes that wait for peers to take them, of all connections; with half of it in use pages
        /// become short, and slow readers wait for each other
        queued_bytes: usize = 256 * 1024 * 1024, in MIB..=MIB * MIB;
        /// per user, on average, whatever the number of sessions and connections
        sends_per_second: u32 = 20, in 1..=MILLION, taken by SIGHUP;
        /// at once beyond that
        sends_burst: u32 = 100, in 1..=MILLION, taken by SIGHUP;
        /// other requests of a user, malformed and unknown ones and resumes included; as many pings; before a login,
        /// of an address (IPv6: /64)
        requests_per_second: u32 = 50, in 1..=MILLION, taken by SIGHUP;
        /// at once beyond that
        requests_burst: u32 = 200, in 1..=MILLION, taken by SIGHUP;
        /// named for groups that a user makes or adds to, on average
        people_per_minute: u32 = 600, in 1..=MILLION, taken by SIGHUP;
        /// at once beyond that
        people_burst: u32 = 2_000, in 1..=MILLION, taken by SIGHUP;
        /// conversations that a user reports as delivered, on average
        receipts_per_second: u32 = 500, in 1..=MILLION, taken by SIGHUP;
        /// at once beyond that
        receipts_burst: u32 = 5_000, in 1..=MILLION, taken by SIGHUP;
        /// profiles that a user asks for by id or name, on average: bounds how fast all accounts can be listed
        profiles_per_minute: u32 = 120, in 1..=MILLION, taken by SIGHUP;
        /// at once beyond that; at least 500, what one request may ask for
        profiles_burst: u32 = 2_000, in 500..=MILLION, taken by SIGHUP;
        /// searches for people, on average
        searches_per_minute: u32 = 30, in 1..=MILLION, taken by SIGHUP;
        /// at once beyond that
        searches_burst: u32 = 30, in 1..=MILLION, taken by SIGHUP;
        /// people whose presence a user begins to watch, on average
        watches_per_minute: u32 = 3_000, in 1..=MILLION, taken by SIGHUP;
        /// at once beyond that; at least 500, what one request may name
        watches_burst: u32 = 10_000, in 500..=MILLION, taken by SIGHUP;
        /// watches of presence on this node, one for each person on each connection's list
        presence_watches: usize = 1_000_000, in 500..=64 * MILLION;
        /// at a time; 0: an eighth of all, but at least 32
        connections_per_address: usize = 0, in 0..=16 * MILLION, taken by SIGHUP;
        /// in a minute from one address, on average and at once; 0: any number
        hellos_per_address: u32 = 3_000, in 0..=MILLION, taken by SIGHUP;
        /// tried in a minute from one address (IPv6: /64); 0: any number, as behind a proxy, where all clients have
        /// the address of that
        passwords_per_address: u32 = 30, in 0..=MILLION, taken by SIGHUP;
        /// for one account from anywhere; counted by all nodes of one Redis together (who has several addresses can
        /// use it up: then only sessions that exist go on); 0: any number
        passwords_per_account: u32 = 60, in 0..=MILLION, taken by SIGHUP;
        /// then the connection closes
        unknown_commands_per_minute: u32 = limits::UNKNOWN_COMMANDS_PER_MINUTE_MAX, in 0..=MILLION, taken by SIGHUP;
        /// writes that wait for the store
        lane_queue: usize = 16_384, in 16..=MILLION;
        /// writes in one transaction
        lane_batch: usize = 512, in 1..=10_000;
        /// questions that wait
        worker_queue: usize = 8_192, in 16..=MILLION;
        /// passwords that wait; half of them may come from one address
        hash_queue: usize = 64, in 1..=4_096;
        /// addresses and networks that rates do not apply to; "::/0" holds IPv4 too
        #[serde(deserialize_with = "networks")]
        exempt: Vec<Network> = Network::loopback(), taken by SIGHUP;
    }
}

/// A text shares its frame with the fields around it.
fn text_bytes_most(frame_bytes: u32) -> u64 {
    u64::from(frame_bytes).saturating_sub(KIB).max(1)
}

impl Config {
    /// What requests must look like.
    pub const fn validation(&self) -> validate::Limits {
        validate::Limits {
            text_bytes_max: self.limits.text_bytes,
            body_bytes_max: (self.limits.frame_bytes as usize).saturating_sub(AROUND_BODY_BYTES),
        }
    }
}

/// Addresses and networks, each as a text.
pub(super) fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Network>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let network = |text: &String| {
        let wrong = |_| format!("{text:?} is neither an address nor a network such as 10.0.0.0/8");
        text.parse().map_err(wrong).map_err(D::Error::custom)
    };
    texts.iter().map(network).collect()
}
