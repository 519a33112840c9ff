//! Deriving and recognising identities.

use proptest::prelude::*;

use super::*;

#[test]
fn a_conversation_of_two_is_the_same_from_both_sides() {
    let id = direct_conversation(7, 300).unwrap();
    assert_eq!(direct_conversation(300, 7), Some(id));
    assert_eq!(id.get(), 0x4000_0003_8000_012C);
    assert_eq!(id.class(), ConversationClass::Direct { low: 7, high: 300 });
}

#[test]
fn nobody_talks_to_nobody_to_oneself_or_beyond_the_largest_id() {
    for (one, other) in [
        (0, 1),
        (1, 0),
        (5, 5),
        (1, USER_ID_MAX + 1),
        (u64::MAX, 1),
        (0, 0),
    ] {
        assert_eq!(direct_conversation(one, other), None);
    }
    assert!(direct_conversation(USER_ID_MAX - 1, USER_ID_MAX).is_some());
}

#[test]
fn an_own_log_has_its_users_number() {
    assert_eq!(self_conversation(7).map(ConversationId::get), Some(7));
    assert_eq!(
        self_conversation(USER_ID_MAX).map(ConversationId::get),
        Some(USER_ID_MAX)
    );
    assert_eq!(self_conversation(0), None);
    assert_eq!(self_conversation(USER_ID_MAX + 1), None);
    assert_eq!(
        self_conversation(7).map(ConversationId::class),
        Some(ConversationClass::Own { user: 7 })
    );
}

#[test]
fn what_is_no_identity_is_refused() {
    let direct = |low: u64, high: u64| 1 << 62 | low << 31 | high;
    let refused = [
        0,
        USER_ID_MAX + 1, // no class bit, and no user either
        1 << 60,         // the same, far beyond
        (1 << 61) - 1,   // the last of them
        1 << 63,         // beyond signed numbers
        u64::MAX,
        1 << 63 | 7,            // an own log with the sign bit
        1 << 63 | direct(1, 2), // a 1:1 with the sign bit
        direct(0, 2),
        direct(2, 2),
        direct(3, 2),
        direct(1, 0),
    ];
    for bits in refused {
        assert_eq!(ConversationId::parse(bits), None, "{bits:#x}");
    }
    for bits in [
        1,
        USER_ID_MAX,
        direct(1, 2),
        direct(USER_ID_MAX - 1, USER_ID_MAX),
        1 << 61,
        (1 << 62) - 1,
    ] {
        assert_eq!(
            ConversationId::parse(bits).map(ConversationId::get),
            Some(bits),
            "{bits:#x}"
        );
    }
}

#[test]
fn any_hash_gives_a_group() {
    for hash in [0, 1, u64::MAX, 1 << 61, 1 << 62, 1 << 63] {
        let id = ConversationId::group_from_hash(hash);
        assert_eq!(id.class(), ConversationClass::Group);
        assert_eq!(ConversationId::parse(id.get()), Some(id));
    }
    assert_eq!(ConversationId::group_from_hash(5).get(), 1 << 61 | 5);
}

#[test]
fn a_client_id_has_sixteen_bytes() {
    assert_eq!(ClientMessageId::parse(&[9; 16]), Some(ClientMessageId([9; 16])));
    for length in [0, 1, 15, 17, 1024] {
        assert_eq!(ClientMessageId::parse(&vec![9; length]), None);
    }
}

proptest! {
    #[test]
    fn pairs_of_users_and_their_conversations_are_one_to_one(
        one in 1..=USER_ID_MAX,
        other in 1..=USER_ID_MAX,
    ) {
        let id = direct_conversation(one, other);
        prop_assert_eq!(id, direct_conversation(other, one));
        if let Some(id) = id {
            let (low, high) = (one.min(other), one.max(other));
            prop_assert_eq!(id.class(), ConversationClass::Direct { low, high });
            prop_assert_eq!(ConversationId::parse(id.get()), Some(id));
        } else {
            prop_assert_eq!(one, other);
        }
    }

    #[test]
    fn what_parses_could_have_been_derived(bits in prop_oneof![any::<u64>(), 0..USER_ID_MAX * 2]) {
        if let Some(id) = ConversationId::parse(bits) {
            let derived = match id.class() {
                ConversationClass::Own { user } => self_conversation(user),
                ConversationClass::Direct { low, high } => direct_conversation(low, high),
                ConversationClass::Group => Some(ConversationId::group_from_hash(bits)),
            };
            prop_assert_eq!(derived, Some(id));
        }
    }
}
