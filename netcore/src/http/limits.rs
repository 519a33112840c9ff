//! Owns how large a request may be. Must never contain behaviour.

/// How large a request may be. What is larger is refused as soon as that is known.
///
/// ```
/// use netcore::http::RequestLimits;
///
/// let limits = RequestLimits { body_bytes: 64 * 1024, ..RequestLimits::default() };
/// assert_eq!(limits.head_bytes, 16 * 1024);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RequestLimits {
    /// Bytes of a whole body that is collected. What surrounds the data of chunks counts besides, up to twice the data
    /// and 16 KiB.
    pub body_bytes: u32,
    /// Bytes of the head: the first line, the headers, and the line that ends them. Default: 16 KiB.
    pub head_bytes: u16,
    /// Bytes of the target. Default: 8 KiB.
    pub target_bytes: u16,
    /// Headers; at most [`HEADERS_MAX`], above which it counts as that. Default: 64.
    pub headers: u8,
}

/// Headers of one request that [`RequestLimits::headers`] can allow.
pub const HEADERS_MAX: usize = 128;

/// Bytes of one line that states the size of a chunk, its extensions included.
pub const CHUNK_LINE_BYTES_MAX: usize = 256;

/// Bytes of the trailers behind the last chunk, which are checked for their lines and dropped.
pub const TRAILER_BYTES_MAX: usize = 4 * 1024;

/// Bytes around the data of chunks that a body may have beyond twice its data.
pub const CHUNK_FRAMING_BYTES_MAX: usize = 16 * 1024;

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            body_bytes: 1024 * 1024,
            head_bytes: 16 * 1024,
            target_bytes: 8 * 1024,
            headers: 64,
        }
    }
}
