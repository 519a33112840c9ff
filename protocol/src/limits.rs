//! Numbers of the protocol that no single request is checked against: frames, states, timing. It owns the
//! defaults that both sides start from; a server's `Welcome` may say others. What a request's fields may hold is in
//! [`crate::validate`].

/// Defines limits, and the list of them with their values, against which the document is checked.
macro_rules! named_limits {
    ($($(#[$doc:meta])* pub const $name:ident: $type:ty = $value:expr;)*) => {
        $($(#[$doc])* pub const $name: $type = $value;)*

        /// Every limit above by its name.
        pub const NAMED: &[(&str, u64)] = &[$((stringify!($name), $name as u64)),*];
    };
}
pub(crate) use named_limits;

named_limits! {
    /// Bytes of a frame's body, at most, until the connection is authenticated.
    pub const HANDSHAKE_FRAME_BYTES_MAX: u32 = 4 * 1024;
    /// Bytes of a frame's body from a client, at most, once authenticated, unless `Welcome` says otherwise.
    pub const FRAME_BYTES_DEFAULT: u32 = 64 * 1024;
    /// Bytes of any frame's body, at most: no server may negotiate more, and every client accepts as much.
    pub const FRAME_BYTES_MAX: u32 = 1024 * 1024;
    /// Milliseconds from connecting to being authenticated, at most.
    pub const HANDSHAKE_MS: u32 = 5_000;
    /// Hellos on one connection, at most: a bad token may be followed by another hello.
    pub const HELLOS_MAX: u8 = 3;
    /// Unknown commands within one minute, at most, before the server closes.
    pub const UNKNOWN_COMMANDS_PER_MINUTE_MAX: u32 = 20;
    /// Requests of one connection that the server works on at a time; it reads no further until one is answered.
    pub const REQUESTS_IN_FLIGHT_MAX: u16 = 32;
    /// Milliseconds without sending after which a client sends a `Ping`.
    pub const HEARTBEAT_MS: u32 = 15_000;
    /// Milliseconds between heartbeats, at least: no server asks for more, and no client sends more.
    pub const HEARTBEAT_MS_MIN: u32 = 100;
    /// Milliseconds without hearing from the other side after which it counts as gone.
    pub const IDLE_MS: u32 = 40_000;
    /// The same, at least: two heartbeats.
    pub const IDLE_MS_MIN: u32 = 200;
    /// The same, at most.
    pub const IDLE_MS_MAX: u32 = 3_600_000;
    /// Milliseconds a client waits before it connects again, at most before the first attempt; it doubles with every
    /// failure.
    pub const RECONNECT_FIRST_MS: u32 = 500;
    /// Milliseconds a client waits before it connects again, at most, however many attempts failed.
    pub const RECONNECT_MAX_MS: u32 = 15_000;
}
