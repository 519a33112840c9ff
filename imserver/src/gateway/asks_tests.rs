use protocol::Encoding;

use super::*;
use crate::{config::Limits, service::work::Size};

const HISTORY: Size = Size::Events(500);

fn ask(size: Size) -> Ask {
    Ask {
        size,
        is_sync: false,
        asked: Default::default(),
        question: Box::new(|_| unreachable!("nobody asks it")),
    }
}

#[test]
fn one_page_is_on_its_way_and_the_others_wait_in_order() {
    let mut asks = Asks::default();
    for seq in 1..=3 {
        asks.push(seq, ask(HISTORY));
    }
    let page = HISTORY.bytes(Encoding::Protobuf, &PageLimits::whole(&Limits::default()));
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
    let bytes = Size::Short.bytes(Encoding::Json, &PageLimits::whole(&Limits::default()));
    for seq in 1..=32 {
        asks.push(seq, ask(Size::Short));
        assert!(asks.has_place(bytes, PAGE_ENCODED_MAX));
        asks.take(bytes).unwrap();
    }
    assert!(!asks.has_place(bytes, 0), "one at a time where memory is short");
}

#[test]
fn a_frugal_page_is_a_fraction_of_a_whole_one() {
    let whole = PageLimits::whole(&Limits::default());
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        for size in [HISTORY, Size::Changes(500), Size::List(500)] {
            let frugal = size.bytes(encoding, &PageLimits::FRUGAL);
            assert!(frugal <= 48 * 1024, "{size:?}: {frugal}");
            assert!(2 * frugal < size.bytes(encoding, &whole));
        }
    }
}
