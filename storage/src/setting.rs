//! The settings of a group: one table of what its admins can change about it, and their values as one text, so that a
//! new setting needs no column, no rule and no question of its own. It owns no state; it must have no default arm.

use std::collections::BTreeMap;

use crate::{kind::EventKind, types::Role};

macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident = $key:literal, $kind:ident, $least:ident;)*) => {
        /// What can be set of a group.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum GroupSetting {
            $($(#[$doc])* $name,)*
        }

        impl GroupSetting {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Its name in the store.
            pub const fn key(self) -> &'static str {
                match self {
                    $(Self::$name => $key,)*
                }
            }

            /// The kind of the event that changes it.
            pub const fn kind(self) -> EventKind {
                match self {
                    $(Self::$name => EventKind::$kind,)*
                }
            }

            /// The least role that may change it.
            pub const fn least(self) -> Role {
                match self {
                    $(Self::$name => Role::$least,)*
                }
            }
        }
    };
}

settings! {
    /// The group's name, for people.
    Name = "name", GroupRenamed, Admin;
}

/// Values of settings: all that a group has, or those that an event changes. A setting that is not among them is the
/// empty text.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct GroupSettings(BTreeMap<GroupSetting, String>);

impl GroupSettings {
    /// Only this one.
    pub fn of(setting: GroupSetting, value: &str) -> Self {
        Self(BTreeMap::from([(setting, value.to_owned())]))
    }

    /// A value.
    pub fn get(&self, setting: GroupSetting) -> &str {
        self.0.get(&setting).map_or("", String::as_str)
    }

    /// Those that are among them, in the order of the table.
    pub fn iter(&self) -> impl Iterator<Item = (GroupSetting, &str)> {
        self.0.iter().map(|(setting, value)| (*setting, value.as_str()))
    }

    /// Takes over what an event changes.
    pub fn change(&mut self, by: &Self) {
        for (setting, value) in by.iter() {
            self.0.insert(setting, value.to_owned());
        }
        self.0.retain(|_, value| !value.is_empty());
    }

    /// As stores keep it: an object in JSON with its keys in alphabetical order; empty if there are none. Equal settings
    /// have the same text, and it has no U+0000.
    pub(crate) fn to_text(&self) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        let by_key: BTreeMap<&str, &str> = self
            .iter()
            .map(|(setting, value)| (setting.key(), value))
            .collect();
        // A map from texts to texts: nothing here can fail.
        serde_json::to_string(&by_key).unwrap_or_default()
    }

    /// Reads what [`GroupSettings::to_text`] wrote; otherwise what is wrong with it.
    pub(crate) fn of_text(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let by_key: BTreeMap<String, String> = serde_json::from_str(text)
            .map_err(|error| format!("the settings of a group cannot be read: {error}"))?;
        let mut settings = BTreeMap::new();
        for (key, value) in by_key {
            let setting = GroupSetting::ALL.iter().find(|setting| setting.key() == key);
            let setting = setting.ok_or_else(|| format!("no setting of a group is called {key:?}"))?;
            settings.insert(*setting, value);
        }
        Ok(Self(settings))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::kind::Effect;

    #[test]
    fn every_setting_has_a_key_of_its_own_and_an_event_that_changes_settings() {
        let keys: BTreeSet<&str> = GroupSetting::ALL.iter().map(|setting| setting.key()).collect();
        assert_eq!(keys.len(), GroupSetting::ALL.len());
        let kinds = GroupSetting::ALL.iter().map(|setting| setting.kind());
        assert!(
            kinds
                .map(EventKind::effect)
                .all(|effect| effect == Effect::Settings)
        );
    }

    #[test]
    fn every_kind_that_changes_settings_is_that_of_one() {
        let kinds = (0..=u8::MAX).filter_map(EventKind::from_number);
        for kind in kinds.filter(|kind| kind.effect() == Effect::Settings) {
            assert!(
                GroupSetting::ALL.iter().any(|setting| setting.kind() == kind),
                "{kind:?}"
            );
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for value in ["", "choir", "\"quoted\" \\ \n", "\0", "\u{1F44D}"] {
            for setting in GroupSetting::ALL {
                let settings = GroupSettings::of(*setting, value);
                let text = settings.to_text();
                assert!(!text.contains('\0'), "{text:?}");
                assert_eq!(GroupSettings::of_text(&text), Ok(settings));
            }
        }
        assert_eq!(GroupSettings::default().to_text(), "");
        assert_eq!(GroupSettings::of_text(""), Ok(GroupSettings::default()));
        assert_eq!(
            GroupSettings::of(GroupSetting::Name, "a").to_text(),
            r#"{"name":"a"}"#
        );
    }

    #[test]
    fn what_nobody_writes_is_refused() {
        for text in ["x", "{}x", "[]", r#"{"name":1}"#, r#"{"colour":"red"}"#] {
            assert!(GroupSettings::of_text(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_empty_value_takes_a_setting_away() {
        let mut settings = GroupSettings::default();
        settings.change(&GroupSettings::of(GroupSetting::Name, "a"));
        settings.change(&GroupSettings::default());
        assert_eq!(settings.get(GroupSetting::Name), "a");
        settings.change(&GroupSettings::of(GroupSetting::Name, ""));
        assert_eq!(settings, GroupSettings::default());
    }
}
