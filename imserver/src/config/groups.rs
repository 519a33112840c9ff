//! `[groups]`: rules of groups, as the stores enforce them.

use super::{
    Config,
    section::section,
    units::{DAY, MILLION},
};

section! {
    /// rules of groups
    pub struct Groups in [groups] {
        /// of a group
        members: u32 = 2_000, in 2..=MILLION;
        /// groups of a user, who then makes no more
        per_user: u32 = 2_000, in 1..=MILLION;
        /// groups of a user, who then is not put into more by others: what is between the two is left to them
        put_into: u32 = 1_000, in 1..=MILLION;
        /// who left a group is not put back by others before
        put_back_after_ms: u64 = DAY, in 0..=365 * DAY;
        /// any member may add others; else admins and owners only
        members_may_add: bool = true;
        /// larger groups show no typing and push no receipts of others
        receipts_up_to: u32 = 100, in 0..=10_000;
    }
}

impl Config {
    /// What a store enforces in its transactions.
    pub const fn rules(&self) -> storage::Rules {
        storage::Rules {
            group_members_max: self.groups.members,
            groups_per_user_max: self.groups.per_user,
            groups_put_into_max: if self.groups.put_into < self.groups.per_user {
                self.groups.put_into
            } else {
                self.groups.per_user
            },
            put_back_after_ms: self.groups.put_back_after_ms,
            members_may_add: self.groups.members_may_add,
            message_edits_max: storage::Rules::MESSAGE_EDITS_MAX,
            message_reactions_max: storage::Rules::MESSAGE_REACTIONS_MAX,
            entries_max: storage::Rules::ENTRIES_MAX,
            friends_max: storage::Rules::FRIENDS_MAX,
            friend_requests_max: storage::Rules::FRIEND_REQUESTS_MAX,
            blocks_max: storage::Rules::BLOCKS_MAX,
        }
    }
}
