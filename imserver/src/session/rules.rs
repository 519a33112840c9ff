//! What the configuration says about sessions.

use protocol::validate;

use crate::config::Config;

/// What the configuration says about sessions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Unanswered requests after authentication, at most.
    pub in_flight_max: usize,
    /// Sends a second, on average.
    pub sends_per_second: u32,
    /// Sends at once.
    pub sends_burst: u32,
    /// Other requests a second, on average.
    pub requests_per_second: u32,
    /// Other requests at once.
    pub requests_burst: u32,
    /// People named for groups in a minute, on average.
    pub people_per_minute: u32,
    /// People named at once.
    pub people_burst: u32,
    /// Conversations reported as delivered in a second, on average.
    pub receipts_per_second: u32,
    /// Conversations reported at once.
    pub receipts_burst: u32,
    /// Profiles asked for in a minute, on average.
    pub profiles_per_minute: u32,
    /// Profiles asked for at once.
    pub profiles_burst: u32,
    /// Searches for people in a minute, on average.
    pub searches_per_minute: u32,
    /// Searches at once.
    pub searches_burst: u32,
    /// People watched in a minute, on average.
    pub watches_per_minute: u32,
    /// People watched at once.
    pub watches_burst: u32,
    /// Hellos from one address in a minute, on average and at once. 0: any number.
    pub hellos_per_minute: u32,
    /// Unknown commands a minute.
    pub unknown_per_minute: u32,
    /// The capabilities that this server has.
    pub capabilities: u64,
    /// Limits on the contents of requests.
    pub validation: validate::Limits,
}

impl Rules {
    /// The configured rules, for a server with these capabilities.
    pub(crate) fn new(config: &Config, capabilities: u64) -> Self {
        let limits = &config.limits;
        Self {
            in_flight_max: usize::from(limits.requests_in_flight),
            sends_per_second: limits.sends_per_second,
            sends_burst: limits.sends_burst,
            requests_per_second: limits.requests_per_second,
            requests_burst: limits.requests_burst,
            people_per_minute: limits.people_per_minute,
            people_burst: limits.people_burst,
            receipts_per_second: limits.receipts_per_second,
            receipts_burst: limits.receipts_burst,
            profiles_per_minute: limits.profiles_per_minute,
            profiles_burst: limits.profiles_burst,
            searches_per_minute: limits.searches_per_minute,
            searches_burst: limits.searches_burst,
            watches_per_minute: limits.watches_per_minute,
            watches_burst: limits.watches_burst,
            hellos_per_minute: limits.hellos_per_address,
            unknown_per_minute: limits.unknown_commands_per_minute,
            capabilities,
            validation: config.validation(),
        }
    }
}
