//! Where one device stands in its conversations: what it takes, what it drops and what it must pull. These
//! are the rules of docs/PROTOCOL.md, section 7, without the storing.

use std::collections::{HashMap, VecDeque};

use super::wire::{self, PageHead};
use crate::BenchError;

/// Pulls that one device has under way.
const PULLS_MAX: usize = 8;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Tracks {
    tracks: HashMap<u64, Track>,
    /// Conversations that miss something nobody has asked for yet.
    gaps: VecDeque<u64>,
    pulling: usize,
    /// Conversations whose cursor is below their head.
    behind: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Track {
    /// Last seq that was taken.
    cursor: u64,
    /// Last seq that was heard of.
    head: u64,
    /// Asked for, or in line to be.
    asked: bool,
}

impl Tracks {
    /// A new connection: what was asked for on the old one is not coming, and what is missing the sync will
    /// say again.
    pub(super) fn reconnect(&mut self) {
        for track in self.tracks.values_mut() {
            track.head = track.cursor;
            track.asked = false;
        }
        self.gaps.clear();
        self.pulling = 0;
        self.behind = 0;
    }

    /// A conversation whose past is not wanted.
    pub(super) fn start_at(&mut self, conversation: u64, cursor: u64) {
        let track = self.tracks.entry(conversation).or_default();
        track.cursor = cursor;
        track.head = cursor;
    }

    /// A conversation goes up to `head`, and nothing before `first` is to be had.
    pub(super) fn note(&mut self, conversation: u64, head: u64, first: u64) {
        let cursor = first.saturating_sub(1);
        let unknown = Track {
            cursor,
            head: cursor,
            asked: false,
        };
        let track = self.tracks.entry(conversation).or_insert(unknown);
        let was_behind = track.cursor < track.head;
        track.head = track.head.max(head);
        if track.cursor < track.head {
            self.behind += usize::from(!was_behind);
            if !track.asked {
                track.asked = true;
                self.gaps.push_back(conversation);
            }
        }
    }

    /// Takes what a page brings; `asked_from` is the first seq of the pull that it answers. What lies behind
    /// a gap is only noted, and comes with the pull.
    pub(super) fn take_page(
        &mut self,
        page: &[u8],
        head: &PageHead,
        asked_from: Option<u64>,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), BenchError> {
        let track = self.tracks.entry(head.conversation).or_default();
        let was_behind = track.cursor < track.head;
        // An answer speaks for everything from the seq that was asked for.
        let from = asked_from.map_or(head.from_seq, |asked| head.from_seq.min(asked));
        if from <= track.cursor + 1 {
            for event in wire::events(page) {
                let (seq, body) = event?;
                if seq > track.cursor {
                    track.cursor = seq;
                    if let Some(body) = body {
                        each(body);
                    }
                }
            }
            track.cursor = track.cursor.max(head.to_seq);
        }
        track.head = track.head.max(head.to_seq).max(head.head_seq);
        let is_behind = track.cursor < track.head;
        if asked_from.is_some() {
            self.pulling = self.pulling.saturating_sub(1);
            track.asked = false;
        }
        if is_behind && !track.asked {
            track.asked = true;
            self.gaps.push_back(head.conversation);
        }
        match (was_behind, is_behind) {
            (false, true) => self.behind += 1,
            (true, false) => self.behind = self.behind.saturating_sub(1),
            _ => {}
        }
        Ok(())
    }

    /// Takes a message of one's own, whose answer came in the event's place.
    pub(super) fn take_own(&mut self, conversation: u64, seq: u64) {
        let track = self.tracks.entry(conversation).or_default();
        if track.cursor + 1 == seq && track.cursor == track.head {
            track.cursor = seq;
            track.head = seq;
        } else {
            // Behind a gap, or old: the pull brings what is missing, this as well.
            self.note(conversation, seq, 1);
        }
    }

    /// The next pull to ask for: the conversation and from where.
    pub(super) fn next_pull(&mut self) -> Option<(u64, u64)> {
        while self.pulling < PULLS_MAX {
            let conversation = self.gaps.pop_front()?;
            let Some(track) = self.tracks.get_mut(&conversation) else {
                continue;
            };
            if track.cursor < track.head {
                self.pulling += 1;
                return Some((conversation, track.cursor + 1));
            }
            // A push that was on its way closed it.
            track.asked = false;
        }
        None
    }

    pub(super) const fn are_in_step(&self) -> bool {
        self.behind == 0
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use protocol::v1;

    use super::*;

    fn take(tracks: &mut Tracks, seqs: std::ops::RangeInclusive<u64>, asked: Option<u64>) -> Vec<u64> {
        let event = |seq: u64| v1::Event {
            seq,
            kind: v1::EventKind::Text.into(),
            body: Some(v1::EventBody {
                content: Some(v1::Content {
                    body: seq.to_be_bytes().to_vec().into(),
                    ..v1::Content::default()
                }),
                ..v1::EventBody::default()
            }),
            ..v1::Event::default()
        };
        let page = v1::Page {
            conversation_id: 5,
            from_seq: *seqs.start(),
            to_seq: *seqs.end(),
            events: seqs.map(event).collect(),
            ..v1::Page::default()
        };
        let bytes = page.encode_to_vec();
        let (head, mut taken) = (PageHead::read(&bytes).unwrap(), Vec::new());
        tracks
            .take_page(&bytes, &head, asked, |body| {
                taken.push(u64::from_be_bytes(body.try_into().unwrap()))
            })
            .unwrap();
        taken
    }

    #[test]
    fn an_own_message_is_taken_in_its_place_and_pulled_behind_a_gap() {
        let mut tracks = Tracks::default();
        tracks.take_own(5, 1);
        tracks.take_own(5, 2);
        assert!(tracks.are_in_step());
        assert_eq!(tracks.next_pull(), None);
        tracks.take_own(5, 4);
        assert!(!tracks.are_in_step());
        assert_eq!(tracks.next_pull(), Some((5, 3)));
        assert_eq!(take(&mut tracks, 3..=4, Some(3)), [3, 4]);
        assert!(tracks.are_in_step());
        tracks.take_own(5, 3);
        assert!(tracks.are_in_step());
    }

    #[test]
    fn the_next_is_taken_the_old_dropped_and_a_gap_pulled() {
        let mut tracks = Tracks::default();
        assert_eq!(take(&mut tracks, 1..=2, None), [1, 2]);
        assert_eq!(take(&mut tracks, 2..=3, None), [3]);
        assert_eq!(take(&mut tracks, 6..=6, None), [0; 0]);
        assert!(!tracks.are_in_step());
        assert_eq!(tracks.next_pull(), Some((5, 4)));
        assert_eq!(tracks.next_pull(), None);
        assert_eq!(take(&mut tracks, 4..=5, Some(4)), [4, 5]);
        assert_eq!(tracks.next_pull(), Some((5, 6)));
        assert_eq!(take(&mut tracks, 6..=6, Some(6)), [6]);
        assert!(tracks.are_in_step());
        assert_eq!(tracks.next_pull(), None);
    }

    #[test]
    fn a_head_is_pulled_once_until_the_connection_is_lost() {
        let mut tracks = Tracks::default();
        tracks.start_at(5, 10);
        tracks.note(5, 10, 1);
        assert!(tracks.are_in_step());
        tracks.note(5, 12, 1);
        tracks.note(5, 13, 1);
        assert_eq!(tracks.next_pull(), Some((5, 11)));
        assert_eq!(tracks.next_pull(), None);
        tracks.reconnect();
        assert!(tracks.are_in_step());
        tracks.note(5, 13, 1);
        assert_eq!(tracks.next_pull(), Some((5, 11)));
    }

    #[test]
    fn an_unknown_conversation_begins_where_it_can_be_seen() {
        let mut tracks = Tracks::default();
        tracks.note(7, 9, 4);
        assert_eq!(tracks.next_pull(), Some((7, 4)));
    }
}
