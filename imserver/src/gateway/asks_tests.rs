use protocol::v1;

use super::*;
use crate::config::Limits;

fn history(limit: u32) -> Request {
    Request::History(v1::HistoryRequest {
        limit,
        ..v1::HistoryRequest::default()
    })
}

fn short() -> Request {
    Request::FindUser(v1::FindUserRequest::default())
}

#[test]
fn one_page_is_on_its_way_and_the_others_wait_in_order() {
    let mut asks = Asks::default();
    for seq in 1..=3 {
        asks.push(seq, history(500));
    }
    let page = answer_bytes(
        &history(500),
        Encoding::Protobuf,
        &PageLimits::whole(&Limits::default()),
    );
    assert!(asks.has_place(page, PAGE_ENCODED_MAX));
    assert_eq!(asks.take(page).map(|(seq, _)| seq), Some(1));
    assert!(!asks.has_place(page, PAGE_ENCODED_MAX));
    assert_eq!(asks.answered(1), page);
    assert!(asks.has_place(page, PAGE_ENCODED_MAX));
    assert_eq!(asks.take(page).map(|(seq, _)| seq), Some(2));
    assert_eq!(asks.give_up(), [3]);
    assert_eq!((asks.answered(3), asks.promised()), (0, page));
    assert_eq!(asks.answered(2), page);
    assert!(asks.is_empty());
}

#[test]
fn many_short_answers_are_on_their_way_together() {
    let mut asks = Asks::default();
    let bytes = answer_bytes(&short(), Encoding::Json, &PageLimits::whole(&Limits::default()));
    for seq in 1..=32 {
        asks.push(seq, short());
        assert!(asks.has_place(bytes, PAGE_ENCODED_MAX));
        asks.take(bytes).unwrap();
    }
    assert!(!asks.has_place(bytes, 0), "one at a time where memory is short");
}

#[test]
fn a_frugal_page_is_a_fraction_of_a_whole_one() {
    let whole = PageLimits::whole(&Limits::default());
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        for request in [
            history(500),
            Request::Sync(v1::SyncRequest {
                limit: 500,
                ..v1::SyncRequest::default()
            }),
            Request::ListMembers(v1::ListMembersRequest {
                limit: 500,
                ..v1::ListMembersRequest::default()
            }),
        ] {
            let frugal = answer_bytes(&request, encoding, &PageLimits::FRUGAL);
            assert!(frugal <= 48 * 1024, "{request:?}: {frugal}");
            assert!(2 * frugal < answer_bytes(&request, encoding, &whole));
        }
    }
}
