//! The numbers that stand for values that SQL has no types for, the same in SQLite and PostgreSQL. A stored number must
//! never come to mean something else.

use crate::types::{DeviceClass, Role};

/// A number as the tables keep it: the same 64 bits.
pub(crate) const fn sql(number: u64) -> i64 {
    number.cast_signed()
}

/// A bound for comparisons in SQL with numbers that stay below 2^63.
pub(crate) fn bound(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A count for `LIMIT`.
pub(crate) fn limit(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Role {
    pub(crate) const fn number(self) -> i16 {
        match self {
            Self::Member => 0,
            Self::Admin => 1,
            Self::Owner => 2,
        }
    }

    /// The error text for a number that is no role's.
    pub(crate) fn of_number(number: i64) -> Result<Self, String> {
        let all = [Self::Member, Self::Admin, Self::Owner];
        let role = all.into_iter().find(|role| i64::from(role.number()) == number);
        role.ok_or_else(|| format!("no role has the number {number}"))
    }
}

impl DeviceClass {
    pub(crate) const fn number(self) -> i16 {
        match self {
            Self::Other => 0,
            Self::Mobile => 1,
            Self::Desktop => 2,
            Self::Web => 3,
            Self::Script => 4,
        }
    }

    /// The error text for a number that is no class's.
    pub(crate) fn of_number(number: i64) -> Result<Self, String> {
        let all = [Self::Other, Self::Mobile, Self::Desktop, Self::Web, Self::Script];
        let class = all.into_iter().find(|class| i64::from(class.number()) == number);
        class.ok_or_else(|| format!("no class of devices has the number {number}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_one_role_and_one_class() {
        let roles: Vec<_> = (-1..=4).map(|number| Role::of_number(number).ok()).collect();
        assert_eq!(
            roles,
            [
                None,
                Some(Role::Member),
                Some(Role::Admin),
                Some(Role::Owner),
                None,
                None
            ]
        );
        let classes: Vec<_> = (-1..=5)
            .map(|number| DeviceClass::of_number(number).ok())
            .collect();
        let [other, mobile] = [DeviceClass::Other, DeviceClass::Mobile].map(Some);
        let [desktop, web] = [DeviceClass::Desktop, DeviceClass::Web].map(Some);
        let script = Some(DeviceClass::Script);
        assert_eq!(classes, [None, other, mobile, desktop, web, script, None]);
    }
}
