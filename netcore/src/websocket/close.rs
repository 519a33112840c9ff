//! Owns the codes and reasons with which a WebSocket ends. Must never decide when it does.

use bytes::Bytes;

/// Why a WebSocket ends: the body of a close frame.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Close {
    /// The code; `None` if the peer gave none.
    pub code: Option<CloseCode>,
    /// The reason, in UTF-8, up to 123 bytes.
    pub reason: Bytes,
}

impl Close {
    /// The reason as text.
    #[must_use]
    pub fn reason(&self) -> &str {
        std::str::from_utf8(&self.reason).unwrap_or_default()
    }
}

/// The code of a close frame.
///
/// ```
/// use netcore::websocket::CloseCode;
///
/// assert_eq!(CloseCode::new(1000), Some(CloseCode::NORMAL));
/// assert_eq!(CloseCode::new(4321).map(CloseCode::get), Some(4321));
/// // 1006 means that there was no close frame, and may not be in one.
/// assert_eq!(CloseCode::new(1006), None);
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: the server goes down, or the page is left.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL: Self = Self(1002);
    /// 1003: data of a kind that is not accepted.
    pub const UNSUPPORTED: Self = Self(1003);
    /// 1007: data that is not what its type says, such as text that is not UTF-8.
    pub const INVALID_DATA: Self = Self(1007);
    /// 1008: a rule was broken for which there is no other code.
    pub const POLICY: Self = Self(1008);
    /// 1009: a message is too large.
    pub const TOO_LARGE: Self = Self(1009);
    /// 1011: the server failed.
    pub const INTERNAL: Self = Self(1011);
    /// 1012: the server restarts.
    pub const RESTART: Self = Self(1012);
    /// 1013: try again later.
    pub const TRY_AGAIN: Self = Self(1013);

    /// The code with this number; `None` if a close frame may not hold it. Allowed are the registered ones from 1000
    /// to 1014 without 1004, 1005 and 1006, and those of libraries and applications from 3000 to 4999.
    #[must_use]
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(code)),
            _ => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}
