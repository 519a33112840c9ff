//! How JSON says an enumerated field. It owns the numbers that this release has no name for: they pass
//! through as numbers. It must never refuse one, because whoever wrote it may simply be newer.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, IntoDeserializer, Unexpected, Visitor},
};

/// The value of an enumerated field: on the wire an open set.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Open<E> {
    /// Written as its name.
    Known(E),
    /// Written as the number it is.
    Unknown(i32),
}

impl<E: Into<i32>> Open<E> {
    /// As the field keeps it.
    pub(crate) fn number(self) -> i32 {
        match self {
            Self::Known(value) => value.into(),
            Self::Unknown(number) => number,
        }
    }
}

impl<E: Serialize> Serialize for Open<E> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Known(value) => value.serialize(serializer),
            Self::Unknown(number) => serializer.serialize_i32(*number),
        }
    }
}

impl<'de, E: Deserialize<'de>> Deserialize<'de> for Open<E> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NameOrNumber(PhantomData))
    }
}

struct NameOrNumber<E>(PhantomData<E>);

impl<'de, E: Deserialize<'de>> Visitor<'de> for NameOrNumber<E> {
    type Value = Open<E>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name or the number of an enumerated value")
    }

    fn visit_str<R: de::Error>(self, name: &str) -> Result<Self::Value, R> {
        E::deserialize(name.into_deserializer()).map(Open::Known)
    }

    fn visit_i64<R: de::Error>(self, number: i64) -> Result<Self::Value, R> {
        i32::try_from(number)
            .map(Open::Unknown)
            .map_err(|_| R::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_u64<R: de::Error>(self, number: u64) -> Result<Self::Value, R> {
        i32::try_from(number)
            .map(Open::Unknown)
            .map_err(|_| R::invalid_value(Unexpected::Unsigned(number), &self))
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
