//! The table of keys: `section!` makes from one entry a key's field, its default, its range, its line in the
//! manual, and its name where a reload reports it. It owns how a key is declared; it must never know one.

use std::{net::SocketAddr, ops::RangeInclusive, path::PathBuf};

use netcore::Network;

use super::{ConfigError, Failover, HintsBy, Level, LogFormat, SecretUrl, StoreUrl, ToldBy};

/// A section with the keys that are in it.
#[derive(Clone, Debug)]
pub struct Section {
    /// As in the file, without brackets.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// Its keys, in the order of the manual.
    pub keys: Vec<Key>,
}

/// A key with what it is set to.
#[derive(Clone, Debug)]
pub struct Key {
    /// `section.key`.
    pub path: &'static str,
    /// The key alone.
    pub name: &'static str,
    /// A remark on this key and those after it; empty: none.
    pub above: &'static str,
    /// What it means.
    pub about: &'static str,
    /// What it is set to, and what it may be.
    pub setting: Setting,
    /// The signal that puts a new value in force; without one it waits for the next start.
    pub taken_by: Option<&'static str>,
}

/// A key's value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Setting {
    /// No number; as TOML has it.
    Words(String),
    /// A number, and the least and the most that it may be.
    Number(u64, RangeInclusive<u64>),
}

impl Key {
    /// # Errors
    /// The value is out of the range; the message names key, value and range.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        match &self.setting {
            Setting::Number(value, range) if !range.contains(value) => Err(ConfigError::OutOfRange {
                key: self.path,
                value: *value,
                range: range.clone(),
            }),
            Setting::Words(_) | Setting::Number(..) => Ok(()),
        }
    }
}

/// What needs a range. Types are either this or [`Words`]: a number that is declared without a range does not compile.
pub(super) trait Number {
    fn number(&self) -> u64;
}

/// What needs none.
pub(super) trait Words {
    /// As TOML has it.
    fn literal(&self) -> String;
}

macro_rules! numbers {
    ($($type:ty),+) => {$(
        impl Number for $type {
            fn number(&self) -> u64 {
                *self as u64
            }
        }
    )+};
}
numbers!(u16, u32, u64, usize);

macro_rules! words {
    ($($type:ty: $value:ident => $text:expr;)+) => {$(
        impl Words for $type {
            fn literal(&self) -> String {
                let $value = self;
                toml::Value::from($text).to_string()
            }
        }
    )+};
}
words! {
    bool: value => *value;
    String: value => value.as_str();
    PathBuf: value => value.to_string_lossy().into_owned();
    SocketAddr: value => value.to_string();
    SecretUrl: value => value.to_string();
    StoreUrl: value => value.to_string();
    Vec<String>: value => value.clone();
    Vec<Network>: value => value.iter().map(ToString::to_string).collect::<Vec<_>>();
    // Each word in the file is the variant's name in lower case.
    Failover: value => format!("{value:?}").to_lowercase();
    ToldBy: value => value.word();
    HintsBy: value => format!("{value:?}").to_lowercase();
    Level: value => format!("{value:?}").to_lowercase();
    LogFormat: value => format!("{value:?}").to_lowercase();
}

/// Declares a section: what it is about, its type and its name in the file, then its keys in the order of the manual.
///
/// The comment of a key is its line in the manual, and so is a plain phrase without a full stop. After the default
/// come the range, which every number needs and which may speak of the section's other keys (as references), and
/// `taken by SIGNAL` if a reload puts a new value in force.
macro_rules! section {
    (
        $(#[doc = $section_doc:literal])+
        pub struct $type:ident in [$section:ident] {$(
            $(#[above = $above:literal])?
            $(#[doc = $doc:literal])+
            $(#[serde($($serde:tt)+)])?
            $key:ident: $of:ty = $default:expr $(, in $range:expr)? $(, taken by $signal:ident)?;
        )+}
    ) => {
        $(#[doc = $section_doc])+
        #[derive(Clone, Debug, serde::Deserialize, PartialEq)]
        #[serde(deny_unknown_fields, default)]
        pub struct $type {$(
            $(#[doc = $doc])+
            $(#[serde($($serde)+)])?
            pub $key: $of,
        )+}

        impl Default for $type {
            fn default() -> Self {
                Self {$($key: $default,)+}
            }
        }

        impl $type {
            /// What it is about, and its keys with their values.
            pub(super) fn section(&self) -> $crate::config::Section {
                let Self {$($key),+} = self;
                $crate::config::Section {
                    name: stringify!($section),
                    about: concat!($($section_doc),+).trim_ascii(),
                    keys: vec![$($crate::config::Key {
                        path: concat!(stringify!($section), ".", stringify!($key)),
                        name: stringify!($key),
                        above: concat!($($above)?),
                        about: concat!($($doc),+).trim_ascii(),
                        setting: $crate::config::section::section!(@setting $key $(, $range)?),
                        taken_by: None $(.or(Some(stringify!($signal))))?,
                    }),+],
                }
            }

            /// Takes over what a reload puts in force, and notes which keys had other values.
            pub(super) fn reload(&mut self, new: &Self, changes: &mut $crate::config::Changes) {
                $(if self.$key != new.$key {
                    $crate::config::section::section!(
                        @reload self new changes concat!(stringify!($section), ".", stringify!($key)),
                        $key $($signal)?
                    );
                })+
            }
        }
    };
    (@reload $self:ident $new:ident $changes:ident $path:expr, $key:ident) => {
        $changes.waiting.push($path)
    };
    (@reload $self:ident $new:ident $changes:ident $path:expr, $key:ident $signal:ident) => {{
        $self.$key.clone_from(&$new.$key);
        $changes.in_force.push($path);
    }};
    (@setting $key:ident) => {
        $crate::config::Setting::Words($crate::config::section::Words::literal($key))
    };
    (@setting $key:ident, $range:expr) => {
        $crate::config::Setting::Number($crate::config::section::Number::number($key), $range)
    };
}
pub(super) use section;

/// What is different after a reload, as `section.key`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Changes {
    /// The new values count from now on.
    pub in_force: Vec<&'static str>,
    /// They stay as they were, and the new values wait for the next start.
    pub waiting: Vec<&'static str>,
}

/// Declares the configuration: its sections, in the order of the manual, and then its lists of tables.
macro_rules! sections {
    (
        $(#[doc = $doc:literal])+
        pub struct $type:ident {$(
            $section:ident: $of:ty,
        )+}
        $($list:ident: $of_list:ty,)+
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug, Default, serde::Deserialize, PartialEq)]
        #[serde(deny_unknown_fields, default)]
        pub struct $type {$(
            #[doc = concat!("`[", stringify!($section), "]`")]
            pub $section: $of,
        )+$(
            #[doc = concat!("`[[", stringify!($list), "]]`")]
            pub $list: $of_list,
        )+}

        impl $type {
            /// Every key, section by section, with its value.
            pub fn sections(&self) -> Vec<Section> {
                vec![$(self.$section.section()),+]
            }

            /// Takes over the new values of those keys that a reload puts in force. The others stay as they are, and
            /// wait for the next start.
            pub fn reload(&mut self, new: &Self) -> Changes {
                let mut changes = Changes::default();
                $(self.$section.reload(&new.$section, &mut changes);)+
                $(if self.$list != new.$list {
                    changes.waiting.push(concat!("[[", stringify!($list), "]]"));
                })+
                changes
            }
        }
    };
}
pub(super) use sections;
