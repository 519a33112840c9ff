//! The JSON of values for which the generated code does not follow the proto3 mapping: enumerations, whose unknown
//! numbers stay numbers; numbers, which may have a fraction of zeros or an exponent; and `null`, which is the default. It must
//! never refuse an unknown number of an enumeration, because a newer program may have written it, and never read a
//! number as another one.

use std::{fmt, marker::PhantomData};

use bytes::Bytes;

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

    fn visit_unit<R: de::Error>(self) -> Result<Self::Value, R> {
        Ok(Open::Unknown(0))
    }

    fn visit_f64<R: de::Error>(self, number: f64) -> Result<Self::Value, R> {
        whole(number)
            .and_then(|number| i32::try_from(number).ok())
            .map(Open::Unknown)
            .ok_or_else(|| R::invalid_value(Unexpected::Float(number), &self))
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

/// A number, or a text that holds one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Number<T>(pub(crate) T);

/// Up to here every whole number is exact in floating point.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// The whole number that a number with a fraction or an exponent stands for, if it is unambiguous.
fn whole(number: f64) -> Option<i64> {
    #[allow(clippy::cast_possible_truncation, reason = "it is whole and small enough")]
    (number.fract() == 0.0 && number.abs() <= WHOLE_MAX).then_some(number as i64)
}

impl<'de, T> Deserialize<'de> for Number<T>
where
    T: TryFrom<u64> + TryFrom<i64> + Default,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberOrText(PhantomData))
    }
}

struct NumberOrText<T>(PhantomData<T>);

impl<T: TryFrom<u64> + TryFrom<i64> + Default> Visitor<'_> for NumberOrText<T> {
    type Value = Number<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a whole number of {} bits", 8 * size_of::<T>())
    }

    fn visit_unit<R: de::Error>(self) -> Result<Self::Value, R> {
        Ok(Number::default())
    }

    fn visit_u64<R: de::Error>(self, number: u64) -> Result<Self::Value, R> {
        let fits = T::try_from(number).map(Number);
        fits.map_err(|_| R::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<R: de::Error>(self, number: i64) -> Result<Self::Value, R> {
        let fits = T::try_from(number).map(Number);
        fits.map_err(|_| R::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_f64<R: de::Error>(self, number: f64) -> Result<Self::Value, R> {
        let fits = whole(number).and_then(|number| T::try_from(number).ok());
        fits.map(Number)
            .ok_or_else(|| R::invalid_value(Unexpected::Float(number), &self))
    }

    fn visit_str<R: de::Error>(self, text: &str) -> Result<Self::Value, R> {
        let number = if let Ok(number) = text.parse::<u64>() {
            T::try_from(number).ok()
        } else if let Ok(number) = text.parse::<i64>() {
            T::try_from(number).ok()
        } else {
            let number = text.parse::<f64>().ok();
            number.and_then(whole).and_then(|number| T::try_from(number).ok())
        };
        number
            .map(Number)
            .ok_or_else(|| R::invalid_value(Unexpected::Str(text), &self))
    }
}

/// Bytes.
#[derive(Debug, Default)]
pub(crate) struct Base64(pub(crate) Bytes);

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = pbjson::private::BytesDeserialize::<Bytes>::deserialize(deserializer)?;
        Ok(Self(bytes.0))
    }
}

/// A value, or the default for `null`.
pub(crate) fn or_default<T: Default>(value: Option<T>) -> T {
    value.unwrap_or_default()
}

/// The path of the field in a body that could not be read, as the schema names fields, without indexes in lists. Empty
/// if no field is to blame.
pub(crate) fn field_to_blame<M: de::DeserializeOwned>(body: &[u8]) -> String {
    let deserializer = &mut serde_json::Deserializer::from_slice(body);
    let Err(error) = serde_path_to_error::deserialize::<_, M>(deserializer) else {
        return String::new();
    };
    let mut field = String::new();
    for segment in error.path() {
        if let serde_path_to_error::Segment::Map { key } = segment {
            if !field.is_empty() {
                field.push('.');
            }
            for character in key.chars() {
                if character.is_ascii_uppercase() {
                    field.push('_');
                }
                field.push(character.to_ascii_lowercase());
            }
        }
    }
    // A key that is no field comes from whoever wrote it.
    let is_name = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '.');
    if field.len() > FIELD_BYTES_MAX || !field.chars().all(is_name) {
        return String::new();
    }
    field
}

/// Bytes of a field's path, at most.
const FIELD_BYTES_MAX: usize = 128;

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
