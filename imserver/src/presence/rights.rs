//! Who may see how present somebody is: the one place where that is decided.

use storage::{
    Event, ReadError, Reader, UserId,
    entry::{EntryClass, FRIEND, friend_key},
};

/// Decides who may see whom.
pub(crate) trait Rights: Send + Sync {
    /// Whether a user may see how present each of these is, in their order.
    ///
    /// # Errors
    /// The store did not answer.
    fn may_see(
        &self,
        reader: &mut dyn Reader,
        watcher: UserId,
        targets: &[UserId],
    ) -> Result<Vec<bool>, ReadError>;

    /// The user with whom this committed event may change the answer; `None` if it changes nothing. Called for every
    /// event on the way to its receivers, so it must look at the event alone.
    fn changed_by(&self, event: &Event) -> Option<UserId>;
}

/// Users see their own devices, and their friends, unless those want to be seen by nobody.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Friends;

/// Who may see how present the user is: friends, or nobody.
const PRESENCE: &str = "setting/presence";

impl Rights for Friends {
    fn may_see(
        &self,
        reader: &mut dyn Reader,
        watcher: UserId,
        targets: &[UserId],
    ) -> Result<Vec<bool>, ReadError> {
        // Of each the same is asked, so that the time tells nothing.
        let asked: Vec<(UserId, String)> = targets
            .iter()
            .flat_map(|target| [(*target, friend_key(watcher)), (*target, PRESENCE.to_owned())])
            .collect();
        let classes = reader.entry_classes(&asked)?;
        let (of_each, _) = classes.as_chunks::<2>();
        let may_see = |(target, [friend, setting]): (&UserId, &[Option<EntryClass>; 2])| {
            let is_friend = *friend == Some(EntryClass::Friends) && *setting != Some(EntryClass::Nobody);
            *target == watcher || is_friend
        };
        Ok(targets.iter().zip(of_each).map(may_see).collect())
    }

    fn changed_by(&self, event: &Event) -> Option<UserId> {
        let key = &event.entry.as_deref()?.key;
        let matters = key.starts_with(FRIEND) || key == PRESENCE;
        // Entries are in users' own logs, whose ids are those of their users.
        matters.then_some(UserId(event.conversation.0))
    }
}
