//! Reads the `.proto` files as text: which messages have which fields, which enumerations which values. Enough
//! for the plain schema of this crate, and independent of the code generated from it.

use std::collections::BTreeMap;

/// The schema's files.
pub(crate) const FILES: [&str; 7] = [
    include_str!("../../proto/common.proto"),
    include_str!("../../proto/session.proto"),
    include_str!("../../proto/account.proto"),
    include_str!("../../proto/people.proto"),
    include_str!("../../proto/message.proto"),
    include_str!("../../proto/group.proto"),
    include_str!("../../proto/presence.proto"),
];

/// A field of a message.
// Not every test reads all of it.
#[allow(dead_code)]
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) number: u32,
}

/// Everything the files declare, by name.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    pub(crate) messages: BTreeMap<String, Vec<Field>>,
    pub(crate) enumerations: BTreeMap<String, Vec<(String, i32)>>,
}

impl Schema {
    pub(crate) fn read() -> Self {
        let mut schema = Self::default();
        for file in FILES {
            schema.read_file(file);
        }
        assert!(schema.messages.len() > 50, "the reader understands the files");
        schema
    }

    fn read_file(&mut self, text: &str) {
        let mut message: Option<String> = None;
        let mut enumeration: Option<String> = None;
        for line in text.lines() {
            let line = line.split("//").next().unwrap_or_default().trim();
            let words: Vec<&str> = line
                .split([' ', '=', ';'])
                .filter(|word| !word.is_empty())
                .collect();
            match words.as_slice() {
                ["message", name, "{}"] => {
                    self.messages.insert((*name).to_owned(), Vec::new());
                }
                ["message", name, "{"] => {
                    message = Some((*name).to_owned());
                    self.messages.insert((*name).to_owned(), Vec::new());
                }
                ["enum", name, "{"] => {
                    enumeration = Some((*name).to_owned());
                    self.enumerations.insert((*name).to_owned(), Vec::new());
                }
                ["}"] => (message, enumeration) = (None, None),
                ["repeated" | "optional", kind, name, number] | [kind, name, number] => {
                    if let Some(message) = &message {
                        self.messages.entry(message.clone()).or_default().push(Field {
                            name: (*name).to_owned(),
                            kind: (*kind).to_owned(),
                            number: number.parse().unwrap(),
                        });
                    }
                }
                [name, number] => {
                    if let Some(enumeration) = &enumeration {
                        let value = ((*name).to_owned(), number.parse().unwrap());
                        self.enumerations
                            .entry(enumeration.clone())
                            .or_default()
                            .push(value);
                    }
                }
                _ => {}
            }
        }
    }
}
