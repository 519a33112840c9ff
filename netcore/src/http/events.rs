//! Server-sent events (WHATWG HTML, section 9.2): the encoder of a server, and the decoder of a client.

use bytes::{BufMut, BytesMut};

/// The media type of a stream of events.
pub const CONTENT_TYPE: &str = "text/event-stream";

/// A block of a stream of events. One without data dispatches nothing: it moves the id from which a client resumes
/// (`Last-Event-ID`), or sets the time after which it does.
///
/// ```
/// use bytes::BytesMut;
/// use netcore::http::events::Block;
///
/// let mut dst = BytesMut::new();
/// Block { event: Some("message"), data: Some("two\nlines"), ..Block::default() }.encode(&mut dst)?;
/// Block { id: Some("42"), ..Block::default() }.encode(&mut dst)?;
/// assert_eq!(&dst[..], b"event: message\ndata: two\ndata: lines\n\nid: 42\n\n");
/// # Ok::<_, netcore::http::events::InvalidBlock>(())
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Block<'a> {
    /// The type of the event; `message` if it is `None` or empty.
    pub event: Option<&'a str>,
    /// The id from which to resume after this block. Empty: from nowhere.
    pub id: Option<&'a str>,
    /// The data. Of whatever kind its line ends are, they arrive as LF.
    pub data: Option<&'a str>,
    /// After how many milliseconds the client connects again.
    pub retry_ms: Option<u32>,
}

/// A type holds a line end, or an id a line end or a NUL. Nothing was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the type or the id of an event holds a line end or a NUL")]
pub struct InvalidBlock;

impl Block<'_> {
    /// Appends the block to `dst`, which grows at most once.
    ///
    /// # Errors
    /// The type or the id would end before it does; `dst` is as it was.
    pub fn encode(&self, dst: &mut BytesMut) -> Result<(), InvalidBlock> {
        let spoils = |text: &str| text.contains(['\r', '\n', '\0']);
        if self.event.is_some_and(spoils) || self.id.is_some_and(spoils) {
            return Err(InvalidBlock);
        }
        let lines = self.data.map_or(0, |data| lines(data).count());
        let texts = [self.event, self.id, self.data].into_iter().flatten();
        dst.reserve(texts.map(str::len).sum::<usize>() + lines * "data: \n".len() + 40);
        if let Some(event) = self.event {
            put_field(dst, "event: ", event);
        }
        if let Some(id) = self.id {
            put_field(dst, "id: ", id);
        }
        if let Some(retry) = self.retry_ms {
            put_field(dst, "retry: ", &retry.to_string());
        }
        for line in self.data.into_iter().flat_map(self::lines) {
            put_field(dst, "data: ", line);
        }
        dst.put_u8(b'\n');
        Ok(())
    }
}

/// Appends a comment, which a client ignores: it keeps the connection and what is between from timing out.
///
/// ```
/// let mut dst = bytes::BytesMut::new();
/// netcore::http::events::comment("still here", &mut dst);
/// assert_eq!(&dst[..], b": still here\n\n");
/// ```
pub fn comment(text: &str, dst: &mut BytesMut) {
    for line in lines(text) {
        put_field(dst, ": ", line);
    }
    dst.put_u8(b'\n');
}

fn put_field(dst: &mut BytesMut, name: &str, value: &str) {
    dst.put_slice(name.as_bytes());
    dst.put_slice(value.as_bytes());
    dst.put_u8(b'\n');
}

/// The lines of a text, which ends with an empty one if it ends with a line end: CR LF, CR, or LF.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(at) = text.find(['\r', '\n']) else {
            return rest.take();
        };
        let (line, behind) = text.split_at_checked(at)?;
        rest = behind.strip_prefix("\r\n").or_else(|| behind.get(1..));
        Some(line)
    })
}

/// An event that a client received.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Event {
    /// Its type.
    pub event: String,
    /// Its data.
    pub data: String,
    /// The id from which to resume after it; that of an earlier block if its own has none.
    pub id: String,
}

/// The block that is coming has more bytes than are allowed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a block of the stream has more than {max} bytes")]
pub struct TooLong {
    /// The limit.
    pub max: usize,
}

/// Reads a stream of events.
///
/// ```
/// use netcore::http::events::Decoder;
///
/// let mut decoder = Decoder::new(1024);
/// let mut data = Vec::new();
/// for part in [&b"data: he"[..], b"llo\n", b"id: 7\n\nid: 8\n\n"] {
///     decoder.feed(part, |event| data.push(event.data))?;
/// }
/// assert_eq!(data, ["hello"]);
/// assert_eq!(decoder.last_id(), "8");
/// # Ok::<_, netcore::http::events::TooLong>(())
/// ```
#[derive(Clone, Debug)]
pub struct Decoder {
    bytes_max: usize,
    /// The line that is coming.
    line: Vec<u8>,
    /// The last byte was a CR, so an LF now is no further line end.
    after_return: bool,
    /// The first line, which may begin with a byte order mark, is over.
    begun: bool,
    event: String,
    data: String,
    /// The id of the block that is coming, or of the last one.
    id: String,
    last_id: String,
    retry_ms: Option<u32>,
}

impl Decoder {
    /// A stream of blocks of up to `bytes_max` bytes.
    #[must_use]
    pub const fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            line: Vec::new(),
            after_return: false,
            begun: false,
            event: String::new(),
            data: String::new(),
            id: String::new(),
            last_id: String::new(),
            retry_ms: None,
        }
    }

    /// The id from which to resume: that of the last whole block that had one.
    #[must_use]
    pub fn last_id(&self) -> &str {
        &self.last_id
    }

    /// After how many milliseconds to connect again, if the server said so.
    #[must_use]
    pub const fn retry_ms(&self) -> Option<u32> {
        self.retry_ms
    }

    /// Takes the next bytes of the stream, and gives away the events that they complete.
    ///
    /// # Errors
    /// A block is too long; the stream is to be given up.
    pub fn feed(&mut self, bytes: &[u8], mut on_event: impl FnMut(Event)) -> Result<(), TooLong> {
        for byte in bytes {
            let after_return = std::mem::replace(&mut self.after_return, *byte == b'\r');
            match byte {
                b'\n' if after_return => {}
                b'\r' | b'\n' => {
                    if let Some(event) = self.line_end() {
                        on_event(event);
                    }
                }
                _ if self.line.len() + self.data.len() + self.event.len() >= self.bytes_max => {
                    return Err(TooLong { max: self.bytes_max });
                }
                _ => self.line.push(*byte),
            }
        }
        Ok(())
    }

    fn line_end(&mut self) -> Option<Event> {
        let bytes = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&bytes);
        let line = match text.strip_prefix('\u{feff}') {
            Some(line) if !self.begun => line,
            _ => &text,
        };
        self.begun = true;
        if line.is_empty() {
            return self.dispatch();
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.event),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => value.clone_into(&mut self.id),
            "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.retry_ms = value.parse().ok().or(self.retry_ms);
            }
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<Event> {
        self.id.clone_into(&mut self.last_id);
        let mut event = std::mem::take(&mut self.event);
        let mut data = std::mem::take(&mut self.data);
        data.pop()?;
        if event.is_empty() {
            "message".clone_into(&mut event);
        }
        let id = self.last_id.clone();
        Some(Event { event, data, id })
    }
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
