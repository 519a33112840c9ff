//! A value between the stores: its conversion, and its bytes in a digest.

use std::{borrow::Cow, error::Error};

use bytes::BytesMut;
use postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use rusqlite::types::ValueRef;
use sha2::{Digest, Sha256};

use super::tables::Kind;
use crate::{error::OpenError, postgres::text};

/// A value as PostgreSQL keeps it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Value {
    Null,
    Number(i64),
    Small(i16),
    Flag(bool),
    Text(String),
    Bytes(Vec<u8>),
    Numbers(Vec<i64>),
}

/// The columns of one row.
pub(super) type Values = Vec<Value>;

impl Value {
    /// The value of a column in SQLite.
    pub(super) fn from_sqlite(value: ValueRef<'_>, kind: Kind) -> Result<Self, OpenError> {
        let wrong = || OpenError::Damaged(format!("the source is damaged: a {kind:?} is {value:?}"));
        Ok(match (kind, value) {
            (_, ValueRef::Null) => Self::Null,
            (Kind::Number | Kind::Position, ValueRef::Integer(number)) => Self::Number(number),
            (Kind::Small, ValueRef::Integer(number)) => {
                Self::Small(i16::try_from(number).map_err(|_| wrong())?)
            }
            (Kind::Flag, ValueRef::Integer(number @ 0..=1)) => Self::Flag(number == 1),
            (Kind::Text, ValueRef::Text(bytes)) => {
                let kept = text(std::str::from_utf8(bytes).map_err(|_| wrong())?);
                Self::Text(Cow::into_owned(kept))
            }
            (Kind::Bytes, ValueRef::Blob(bytes)) => Self::Bytes(bytes.to_vec()),
            (Kind::Fingerprint, ValueRef::Blob(bytes)) => {
                Self::Bytes(bytes.first_chunk::<16>().ok_or_else(wrong)?.to_vec())
            }
            (Kind::Users, ValueRef::Blob(bytes)) => {
                let (ids, rest) = bytes.as_chunks::<4>();
                if !rest.is_empty() {
                    return Err(wrong());
                }
                Self::Numbers(ids.iter().map(|id| i64::from(u32::from_le_bytes(*id))).collect())
            }
            _ => return Err(wrong()),
        })
    }

    /// The value of a column in PostgreSQL.
    pub(super) fn from_postgres(row: &postgres::Row, column: usize, kind: Kind) -> Result<Self, OpenError> {
        Ok(match kind {
            Kind::Number | Kind::Position => row.try_get::<_, Option<i64>>(column)?.map(Self::Number),
            Kind::Small => row.try_get::<_, Option<i16>>(column)?.map(Self::Small),
            Kind::Flag => row.try_get::<_, Option<bool>>(column)?.map(Self::Flag),
            Kind::Text => row.try_get::<_, Option<String>>(column)?.map(Self::Text),
            Kind::Bytes | Kind::Fingerprint => row.try_get::<_, Option<Vec<u8>>>(column)?.map(Self::Bytes),
            Kind::Users => row.try_get::<_, Option<Vec<i64>>>(column)?.map(Self::Numbers),
        }
        .unwrap_or(Self::Null))
    }

    /// The number, if it is one.
    pub(super) const fn number(&self) -> Option<i64> {
        if let Self::Number(number) = self {
            Some(*number)
        } else {
            None
        }
    }

    /// Adds it to the digest. Different rows add different bytes.
    pub(super) fn digest(&self, kind: Kind, into: &mut Sha256) {
        let mut add = |tag: u8, bytes: &[u8]| {
            into.update([tag]);
            into.update((bytes.len() as u64).to_be_bytes());
            into.update(bytes);
        };
        match self {
            Self::Null => add(0, &[]),
            // Positions differ between stores; both must have one, or neither.
            Self::Number(number) if kind == Kind::Position => add(1, &[u8::from(*number != 0)]),
            Self::Number(number) => add(2, &number.to_be_bytes()),
            Self::Small(number) => add(3, &number.to_be_bytes()),
            Self::Flag(flag) => add(4, &[u8::from(*flag)]),
            Self::Text(text) => add(5, text.as_bytes()),
            Self::Bytes(bytes) => add(6, bytes),
            Self::Numbers(numbers) => {
                let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
                add(7, &bytes);
            }
        }
    }
}

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Number(number) => number.to_sql(ty, out),
            Self::Small(number) => number.to_sql(ty, out),
            Self::Flag(flag) => flag.to_sql(ty, out),
            Self::Text(text) => text.to_sql(ty, out),
            Self::Bytes(bytes) => bytes.to_sql(ty, out),
            Self::Numbers(numbers) => numbers.to_sql(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        // Each is made for the type of its column.
        true
    }

    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(values: &[(Value, Kind)]) -> Vec<u8> {
        let mut hash = Sha256::new();
        for (value, kind) in values {
            value.digest(*kind, &mut hash);
        }
        hash.finalize().to_vec()
    }

    #[test]
    fn digests_tell_values_apart() {
        let text = |text: &str| (Value::Text(text.to_owned()), Kind::Text);
        let number = |number| (Value::Number(number), Kind::Number);
        let position = |number| (Value::Number(number), Kind::Position);
        let null = (Value::Null, Kind::Position);
        let bytes = |bytes: &[u8]| (Value::Bytes(bytes.to_vec()), Kind::Bytes);
        let different = [
            vec![text("ab"), text("")],
            vec![text("a"), text("b")],
            vec![text("ab")],
            vec![bytes(b"ab")],
            vec![number(1)],
            vec![number(2)],
            vec![position(0)],
            vec![position(1)],
            vec![null],
            vec![(Value::Small(1), Kind::Small)],
            vec![(Value::Flag(true), Kind::Flag)],
            vec![(Value::Numbers(vec![1]), Kind::Users)],
            vec![(Value::Numbers(vec![]), Kind::Users)],
        ];
        for (index, one) in different.iter().enumerate() {
            for other in &different[..index] {
                assert_ne!(digest(one), digest(other), "{one:?} {other:?}");
            }
        }
        assert_eq!(digest(&[position(7)]), digest(&[position(9)]));
    }

    #[test]
    fn values_are_what_postgresql_can_keep() {
        let of = |value, kind| Value::from_sqlite(value, kind);
        let text = of(ValueRef::Text(b"a\0b"), Kind::Text).unwrap();
        assert_eq!(text, Value::Text("a\u{FFFD}b".to_owned()));
        let users = of(ValueRef::Blob(&[1, 0, 0, 0, 0, 1, 0, 0]), Kind::Users).unwrap();
        assert_eq!(users, Value::Numbers(vec![1, 256]));
        assert_eq!(of(ValueRef::Null, Kind::Text).unwrap(), Value::Null);
        for (value, kind) in [
            (ValueRef::Integer(2), Kind::Flag),
            (ValueRef::Integer(1 << 20), Kind::Small),
            (ValueRef::Text(&[0xFF]), Kind::Text),
            (ValueRef::Blob(&[1]), Kind::Users),
            (ValueRef::Text(b"1"), Kind::Number),
        ] {
            assert!(of(value, kind).is_err(), "{value:?}");
        }
    }
}
