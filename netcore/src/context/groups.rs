//! Owns the groups of a loop and their members. Must never scan all connections: joining and leaving cost as much as
//! the groups of the connections concerned.

use crate::id::ConnId;
use std::collections::HashMap;

/// The members of every group that has members on this loop.
#[derive(Debug, Default)]
pub(crate) struct Groups(HashMap<u64, Vec<ConnId>>);

/// A connection's membership in a group, with its position in the group's list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Membership {
    pub(crate) group: u64,
    pub(crate) position: u32,
}

impl Groups {
    pub(crate) fn members(&self, group: u64) -> &[ConnId] {
        self.0.get(&group).map(Vec::as_slice).unwrap_or_default()
    }

    /// Adds a connection, which must not be in the group.
    pub(crate) fn join(&mut self, group: u64, id: ConnId) -> Membership {
        let members = self.0.entry(group).or_default();
        members.push(id);
        Membership {
            group,
            position: (members.len() - 1) as u32,
        }
    }

    /// Removes a member. If another member takes its position in the list, that member is returned.
    pub(crate) fn leave(&mut self, membership: Membership) -> Option<ConnId> {
        let members = self.0.get_mut(&membership.group)?;
        let position = membership.position as usize;
        if position >= members.len() {
            return None;
        }
        members.swap_remove(position);
        let moved = members.get(position).copied();
        if members.is_empty() {
            self.0.remove(&membership.group);
        } else if members.capacity() > 64 && members.len() < members.capacity() / 4 {
            members.shrink_to(members.len() * 2);
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::LoopId;

    fn id(index: usize) -> ConnId {
        ConnId::new(LoopId(0), 0, index)
    }

    #[test]
    fn who_leaves_gives_its_position_to_the_last() {
        let mut groups = Groups::default();
        let first = groups.join(7, id(1));
        let second = groups.join(7, id(2));
        groups.join(7, id(3));
        assert_eq!(groups.leave(first), Some(id(3)));
        assert_eq!(groups.members(7), [id(3), id(2)]);
        assert_eq!(groups.leave(second), None);
        assert_eq!(
            groups.leave(Membership {
                group: 7,
                position: 0
            }),
            None
        );
        assert!(groups.members(7).is_empty() && groups.0.is_empty());
    }
}
