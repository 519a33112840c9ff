//! The part of XML that XMPP servers send (RFC 6120, 11): elements one after the other within a stream that is
//! opened and never closed. It finds where an element ends, and looks into it for what is asked. It must never
//! be fed what a person wrote: entities are not resolved.

use crate::BenchError;

/// An element that is longer is none of this load's.
const ELEMENT_BYTES_MAX: usize = 1024 * 1024;

/// One element of a stream, or the tag that opens or closes the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element<'a> {
    /// As it is written, prefix included.
    pub(super) name: &'a str,
    /// All of it.
    pub(super) text: &'a str,
}

impl<'a> Element<'a> {
    /// The value of an attribute of its first tag.
    pub(super) fn attribute(&self, name: &str) -> Option<&'a str> {
        let (tag, _) = self.text.split_at_checked(tag_end(self.text.as_bytes())?)?;
        let mut rest = tag.get(1 + self.name.len()..)?;
        loop {
            let (key, behind) = rest.split_once('=')?;
            let quote = behind
                .chars()
                .next()
                .filter(|first| matches!(first, '\'' | '"'))?;
            let (value, behind) = behind.get(1..)?.split_once(quote)?;
            if key.trim() == name {
                return Some(value);
            }
            rest = behind;
        }
    }

    /// Whether an attribute has this value.
    pub(super) fn is(&self, attribute: &str, value: &str) -> bool {
        self.attribute(attribute) == Some(value)
    }

    /// Whether it contains this text.
    pub(super) fn has(&self, text: &str) -> bool {
        self.text.contains(text)
    }

    /// What is between the tags of the first element within it that is called `name`.
    pub(super) fn content_of(&self, name: &str) -> Option<&'a str> {
        let mut rest = self.text.get(1..)?;
        loop {
            let (_, behind) = rest.split_once('<')?;
            rest = behind;
            let Some(after) = behind.strip_prefix(name) else {
                continue;
            };
            if after.starts_with(['>', ' ']) {
                let (attributes, content) = after.split_once('>')?;
                let content = (!attributes.ends_with('/')).then(|| content.split_once("</"))?;
                return content.map(|(content, _)| content);
            }
        }
    }
}

/// Takes the first element off `bytes`, and blanks before it; `None` while it is incomplete.
pub(super) fn split(bytes: &[u8]) -> Result<Option<(Element<'_>, &[u8])>, BenchError> {
    let bytes = bytes.trim_ascii_start();
    let Some(end) = element_end(bytes)? else {
        return if bytes.len() > ELEMENT_BYTES_MAX {
            Err(nonsense("an endless element"))
        } else {
            Ok(None)
        };
    };
    let (text, behind) = bytes.split_at(end);
    let text = std::str::from_utf8(text).map_err(|_| nonsense("what is not UTF-8"))?;
    let name = name(text.get(1..).unwrap_or_default());
    Ok(Some((Element { name, text }, behind)))
}

/// Where the first element ends.
fn element_end(bytes: &[u8]) -> Result<Option<usize>, BenchError> {
    let (mut at, mut depth) = (0, 0usize);
    loop {
        let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) else {
            return Ok(None);
        };
        let Some(start) = rest.iter().position(|byte| *byte == b'<') else {
            return if depth == 0 {
                Err(nonsense("text outside of elements"))
            } else {
                Ok(None)
            };
        };
        if depth == 0 && start > 0 {
            return Err(nonsense("text outside of elements"));
        }
        let tag = rest.get(start..).unwrap_or_default();
        let Some(length) = tag_end(tag) else {
            return Ok(None);
        };
        at += start + length;
        let tag = tag.get(..length).unwrap_or_default();
        match tag {
            [b'<', b'!', ..] => return Err(nonsense("a comment or a declaration")),
            [b'<', b'?', ..] => {}
            [b'<', b'/', ..] => depth = depth.saturating_sub(1),
            [.., b'/', b'>'] => {}
            // The stream itself is not waited for to end.
            [b'<', rest @ ..] if depth == 0 && rest.starts_with(b"stream:stream") => {}
            _ => depth += 1,
        }
        if depth == 0 {
            return Ok(Some(at));
        }
    }
}

/// Behind the `>` of the tag that `bytes` begin with.
fn tag_end(bytes: &[u8]) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in bytes.iter().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some(at + 1),
            (None, b'\'' | b'"') => quote = Some(byte),
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
    }
    None
}

fn name(tag: &str) -> &str {
    let ends = |character: char| character.is_ascii_whitespace() || character == '>';
    let (name, _) = tag.split_once(ends).unwrap_or((tag, ""));
    name.strip_suffix('/').unwrap_or(name)
}

fn nonsense(what: &str) -> BenchError {
    BenchError::Other(format!("the server sent {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(mut bytes: &[u8]) -> Vec<&str> {
        let mut texts = Vec::new();
        while let Some((element, behind)) = split(bytes).expect("sense") {
            texts.push(element.text);
            bytes = behind;
        }
        assert_eq!(bytes.trim_ascii(), b"");
        texts
    }

    #[test]
    fn elements_end_where_their_tags_do() {
        let elements = [
            "<?xml version='1.0'?>",
            "<stream:stream id='1' xmlns:stream='x'>",
            "<stream:features><a/><b><c>text</c></b></stream:features>",
            "<r xmlns='u'/>",
            "<x y='/>' z=\"'>\"><x/></x>",
            "</stream:stream>",
        ];
        assert_eq!(texts(elements.concat().as_bytes()), elements);
        assert_eq!(texts(elements.join("\n ").as_bytes()), elements);
    }

    #[test]
    fn no_part_of_an_element_is_one() {
        let element = b"<m a='>'><b>x<c/></b></m>";
        for end in 0..element.len() {
            assert_eq!(split(&element[..end]).expect("no error"), None, "{end} bytes");
        }
    }

    #[test]
    fn attributes_are_those_of_the_first_tag() {
        let (element, _) = split(b"<m xml:id='1' type=\"a=b\" x='' ><n h='2'/></m>")
            .expect("sense")
            .expect("an element");
        assert_eq!(element.attribute("xml:id"), Some("1"));
        assert!(element.is("type", "a=b"));
        assert_eq!(element.attribute("x"), Some(""));
        assert_eq!(element.attribute("h"), None);
        assert_eq!(element.attribute("id"), None);
    }

    #[test]
    fn contents_are_found_by_the_whole_name() {
        let content = |bytes| {
            let (element, _) = split(bytes).expect("sense").expect("an element");
            element.content_of("body")
        };
        assert_eq!(
            content(b"<m><bodyguard>x</bodyguard><body>y</body></m>"),
            Some("y")
        );
        assert_eq!(content(b"<m><body xml:lang='en'>y</body></m>"), Some("y"));
        assert_eq!(content(b"<m><body /><x>y</x></m>"), None);
        assert_eq!(content(b"<body><x/></body>"), None);
    }

    #[test]
    fn what_is_not_allowed_in_a_stream_is_an_error() {
        for bytes in [&b"text"[..], b"<!-- x -->", b"text<a/>", b"<\xFF/>"] {
            assert!(split(bytes).is_err(), "{bytes:?}");
        }
        let endless = [b"<a ".to_vec(), vec![b'x'; ELEMENT_BYTES_MAX]].concat();
        assert!(split(&endless).is_err());
    }
}
