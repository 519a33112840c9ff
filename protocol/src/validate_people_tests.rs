//! Entries, friends and blocks: their fields at their bounds and beyond.

use super::*;

#[test]
fn entries() {
    let cases: [Case<v1::SetEntryRequest>; 34] = [
        (|it| it.client_msg_id = bytes::Bytes::new(), "client_msg_id"),
        (|it| it.key.clear(), "key"),
        (
            |it| it.key = format!("app/{}", "k".repeat(ENTRY_KEY_BYTES_MAX - 4)),
            "",
        ),
        (
            |it| it.key = format!("app/{}", "k".repeat(ENTRY_KEY_BYTES_MAX - 3)),
            "key",
        ),
        (|it| it.key = "app/".to_owned(), "key"),
        (|it| it.key = "app/a b".to_owned(), "key"),
        (|it| it.key = "app/\0".to_owned(), "key"),
        (|it| it.key = "app/\u{E4}".to_owned(), "key"),
        (|it| it.key = "app/x/y".to_owned(), ""),
        (|it| it.key = "friend/7".to_owned(), "key"),
        (|it| it.key = "block/7".to_owned(), "key"),
        (|it| it.key = "other/7".to_owned(), "key"),
        (
            |it| it.value = bytes::Bytes::from(vec![0; ENTRY_VALUE_BYTES_MAX]),
            "",
        ),
        (
            |it| it.value = bytes::Bytes::from(vec![0; ENTRY_VALUE_BYTES_MAX + 1]),
            "value",
        ),
        (|it| it.key = "conversation/7/pinned".to_owned(), ""),
        (|it| it.key = "conversation/07/pinned".to_owned(), "key"),
        (|it| it.key = "conversation/+7/pinned".to_owned(), "key"),
        (|it| it.key = "conversation/0/pinned".to_owned(), "key"),
        (|it| it.key = "conversation/7/colour".to_owned(), "key"),
        (|it| it.key = "conversation/7".to_owned(), "key"),
        (
            |it| {
                it.key = "conversation/7/draft".to_owned();
                it.value = bytes::Bytes::from(vec![0; DRAFT_BYTES_MAX]);
            },
            "",
        ),
        (
            |it| {
                it.key = "conversation/7/draft".to_owned();
                it.value = bytes::Bytes::from(vec![0; DRAFT_BYTES_MAX + 1]);
            },
            "value",
        ),
        (
            |it| (it.key, it.value) = ("setting/colour".to_owned(), "red".into()),
            "key",
        ),
        (
            |it| (it.key, it.value) = ("setting/message_me".to_owned(), "friends".into()),
            "",
        ),
        (
            |it| (it.key, it.value) = ("setting/message_me".to_owned(), "nobody".into()),
            "value",
        ),
        (
            |it| (it.key, it.value) = ("setting/add_to_groups".to_owned(), "nobody".into()),
            "",
        ),
        (
            |it| (it.key, it.value) = ("setting/receipts".to_owned(), "Off".into()),
            "value",
        ),
        (
            |it| (it.key, it.value) = ("profile/mail".to_owned(), "anna@example.org".into()),
            "",
        ),
        (
            |it| (it.key, it.value) = ("profile/mail".to_owned(), "anna".into()),
            "value",
        ),
        (
            |it| (it.key, it.value) = ("profile/mail".to_owned(), "a@b@c".into()),
            "value",
        ),
        (
            |it| (it.key, it.value) = ("profile/phone".to_owned(), "+442079460000".into()),
            "",
        ),
        (
            |it| (it.key, it.value) = ("profile/phone".to_owned(), "+0442079460000".into()),
            "value",
        ),
        (
            |it| (it.key, it.value) = ("profile/phone".to_owned(), "02079460000".into()),
            "value",
        ),
        (
            |it| (it.key, it.value) = ("profile/fax".to_owned(), "+442079460000".into()),
            "key",
        ),
    ];
    check!(SetEntry, cases);
    let cases: [Case<v1::RemoveEntryRequest>; 3] = [
        (|it| it.client_msg_id = bytes::Bytes::new(), "client_msg_id"),
        (|it| it.key = "friend/7".to_owned(), "key"),
        (|it| it.key = "setting/presence".to_owned(), ""),
    ];
    check!(RemoveEntry, cases);
    let cases: [Case<v1::ListEntriesRequest>; 5] = [
        (|it| it.prefix.clear(), ""),
        (|it| it.prefix = "\u{10FFFF}".to_owned(), ""),
        (|it| it.prefix = "p".repeat(ENTRY_KEY_BYTES_MAX + 1), "prefix"),
        (|it| it.after = "a".repeat(ENTRY_KEY_BYTES_MAX + 1), "after"),
        (|it| it.limit = 0, "limit"),
    ];
    check!(ListEntries, cases);
}

#[test]
fn friends_and_blocks() {
    let cases: [Case<v1::RequestFriendRequest>; 6] = [
        (|it| it.client_msg_id = bytes::Bytes::new(), "client_msg_id"),
        (|it| it.user_id = 0, "user_id"),
        (|it| it.user_id = USER_ID_MAX + 1, "user_id"),
        (|it| it.greeting.clear(), ""),
        (|it| it.greeting = "\u{1D504}".repeat(GREETING_CHARS_MAX), ""),
        (|it| it.greeting = "a".repeat(GREETING_CHARS_MAX + 1), "greeting"),
    ];
    check!(RequestFriend, cases);
    let cases: [Case<v1::AnswerFriendRequest>; 3] = [
        (|it| it.client_msg_id = bytes::Bytes::new(), "client_msg_id"),
        (|it| it.user_id = 0, "user_id"),
        (|it| it.accept = false, ""),
    ];
    check!(AnswerFriend, cases);
    let cases: [Case<v1::WithdrawFriendRequest>; 2] = [
        (|it| it.client_msg_id = bytes::Bytes::new(), "client_msg_id"),
        (|it| it.user_id = 0, "user_id"),
    ];
    check!(WithdrawFriend, cases);
    let cases: [Case<v1::RemoveFriendRequest>; 2] = [
        (|it| it.client_msg_id = bytes::Bytes::new(), "client_msg_id"),
        (|it| it.user_id = 0, "user_id"),
    ];
    check!(RemoveFriend, cases);
    let cases: [Case<v1::UpdateFriendRequest>; 7] = [
        (|it| it.client_msg_id = bytes::Bytes::new(), "client_msg_id"),
        (|it| it.user_id = 0, "user_id"),
        (|it| it.remark.clear(), ""),
        (|it| it.remark = "\u{202E}".to_owned(), "remark"),
        (|it| it.remark = "r".repeat(TITLE_CHARS_MAX + 1), "remark"),
        (
            |it| it.tags = vec!["t".repeat(TITLE_CHARS_MAX); FRIEND_TAGS_MAX],
            "",
        ),
        (|it| it.tags = vec![String::new(); FRIEND_TAGS_MAX + 1], "tags"),
    ];
    check!(UpdateFriend, cases);
    let cases: [Case<v1::BlockUserRequest>; 2] = [
        (|it| it.client_msg_id = bytes::Bytes::new(), "client_msg_id"),
        (|it| it.user_id = 0, "user_id"),
    ];
    check!(BlockUser, cases);
    let cases: [Case<v1::UnblockUserRequest>; 2] = [
        (|it| it.client_msg_id = bytes::Bytes::new(), "client_msg_id"),
        (|it| it.user_id = 0, "user_id"),
    ];
    check!(UnblockUser, cases);
    let cases: [Case<v1::ListFriendsRequest>; 3] = [
        (|it| it.after_user_id = 0, ""),
        (|it| it.after_user_id = USER_ID_MAX + 1, "after_user_id"),
        (|it| it.limit = 0, "limit"),
    ];
    check!(ListFriends, cases);
    let cases: [Case<v1::ListBlockedRequest>; 3] = [
        (|it| it.after_user_id = 0, ""),
        (|it| it.after_user_id = USER_ID_MAX + 1, "after_user_id"),
        (|it| it.limit = 0, "limit"),
    ];
    check!(ListBlocked, cases);
}
