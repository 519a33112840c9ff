//! `[accounts]`: rules of accounts.

use super::section::section;

section! {
    /// rules of accounts
    pub struct Accounts in [accounts] {
        /// anyone may register
        registration: bool = true;
    }
}
