//! The words by which people are found: those of their names. It owns what a word is, and whether words fit a query;
//! it must never read a store. The words are stored, so stores made before a change here keep the old ones.

use std::{cmp::Reverse, collections::BTreeSet, ops::Bound};

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

use crate::types::User;

/// Characters of a word; what follows does not count.
const WORD_CHARS_MAX: usize = 16;
/// Words of a query that count; those that follow do not.
const QUERY_WORDS_MAX: usize = 8;
/// Places that a search looks at, at most. A query that has more is too vague: its answer says that there are more.
pub(crate) const PLACES_MAX: usize = 200;

/// Scripts that are written without spaces between words: Thai to Myanmar, Khmer, kana, Han, Hangul.
fn has_no_spaces(character: char) -> bool {
    matches!(u32::from(character),
        0x0E00..=0x109F | 0x1780..=0x17FF | 0x3040..=0x30FF | 0x3400..=0x4DBF | 0x4E00..=0x9FFF
        | 0xAC00..=0xD7A3 | 0xF900..=0xFAFF | 0x2_0000..=0x3_FFFF)
}

fn cut(word: &str) -> String {
    word.chars().take(WORD_CHARS_MAX).collect()
}

/// Runs of letters, digits and their marks, in lower case and of one form (NFKC: a letter of full width is the letter).
fn runs(text: &str) -> Vec<String> {
    let plain: String = text.nfkc().flat_map(char::to_lowercase).nfkc().collect();
    plain
        .split(|character: char| !character.is_alphanumeric() && !is_combining_mark(character))
        .filter(|run| run.chars().any(char::is_alphanumeric))
        .map(ToOwned::to_owned)
        .collect()
}

/// The words of a text. Where a script has no spaces, each of its letters begins one, which goes on to the end of the
/// run.
fn words(text: &str) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    for run in runs(text) {
        words.insert(cut(&run));
        let mut before_has = false;
        for (at, character) in run.char_indices() {
            let has = has_no_spaces(character);
            if (has || before_has) && !is_combining_mark(character) {
                words.insert(cut(&run[at..]));
            }
            before_has = has;
        }
    }
    words
}

/// The words by which a user is found.
pub(crate) fn of_user(user: &User) -> BTreeSet<String> {
    let mut all = words(&user.name);
    all.extend(words(&user.display_name));
    all
}

/// What somebody looks for: users each of whose words begins one of theirs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PeopleQuery {
    /// Longest first.
    words: Vec<String>,
}

impl PeopleQuery {
    /// `None` if none of its words has two characters, or one of a script without spaces: that would find too many.
    pub fn new(text: &str) -> Option<Self> {
        let mut words: Vec<String> = runs(text).iter().map(|run| cut(run)).collect();
        words.truncate(QUERY_WORDS_MAX);
        words.sort_by_key(|word| Reverse(word.len()));
        words.dedup();
        let enough = |word: &String| word.chars().count() >= 2 || word.chars().any(has_no_spaces);
        words.first().is_some_and(enough).then_some(Self { words })
    }

    /// The first word to look for, and the first text behind all that begin with it: no word has its last character.
    pub(crate) fn range(&self) -> (&str, String) {
        let first = self.words.first().map_or("", String::as_str);
        (first, format!("{first}\u{10FFFF}"))
    }

    /// Whether each word begins one of the user's.
    pub(crate) fn fits(&self, user: &User) -> bool {
        let theirs = of_user(user);
        let begins_one = |word: &String| {
            let from = (Bound::Included(word.as_str()), Bound::Unbounded);
            let next = theirs.range::<str, _>(from).next();
            next.is_some_and(|their| their.starts_with(word.as_str()))
        };
        self.words.iter().all(begins_one)
    }
}

/// The answer to a search.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FoundPeople {
    /// By id.
    pub users: Vec<User>,
    /// There are more, or there may be.
    pub more: bool,
}

impl FoundPeople {
    /// Of the users at the first places, those whom the query fits. `places` is how many were looked at.
    pub(crate) fn among(mut users: Vec<User>, places: usize, query: &PeopleQuery, limit: usize) -> Self {
        users.sort_unstable_by_key(|user| user.id);
        users.dedup_by_key(|user| user.id);
        // A damaged place leads to somebody whom nobody asked for.
        users.retain(|user| query.fits(user));
        let limit = limit.max(1);
        let more = places >= PLACES_MAX || users.len() > limit;
        users.truncate(limit);
        Self { users, more }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Timestamp, UserId};

    fn user(name: &str, display_name: &str) -> User {
        User {
            id: UserId(1),
            name: name.to_owned(),
            display_name: display_name.to_owned(),
            avatar: String::new(),
            status: String::new(),
            version: 1,
            created_at: Timestamp(0),
        }
    }

    fn all(text: &str) -> Vec<String> {
        words(text).into_iter().collect()
    }

    #[test]
    fn words_are_separated_by_what_is_no_letter_and_have_one_form() {
        assert_eq!(all("Ada.Lovelace-1815"), ["1815", "ada", "lovelace"]);
        assert_eq!(all("ＡＤＡ"), ["ada"], "full width");
        assert_eq!(all("E\u{301}mile"), all("Émile"));
        assert_eq!(all("STRASSE İ"), ["i\u{307}", "strasse"]);
        assert_eq!(all("\u{1F600} -- \u{301}"), [""; 0]);
    }

    #[test]
    fn where_there_are_no_spaces_each_letter_begins_a_word() {
        assert_eq!(all("王小明"), ["小明", "明", "王小明"]);
        assert_eq!(all("王Bob"), ["bob", "王bob"]);
        assert_eq!(all("김철수"), ["김철수", "수", "철수"]);
        let long = "字".repeat(64);
        assert_eq!(words(&long).len(), WORD_CHARS_MAX, "each is cut");
        assert!(
            words(&long)
                .iter()
                .all(|word| word.chars().count() <= WORD_CHARS_MAX)
        );
    }

    #[test]
    fn a_query_fits_whose_words_begin_theirs() {
        let ada = user("ada", "Ada 王小明 Lovelace");
        for query in [
            "ad",
            "ADA",
            "love ada",
            "lo a",
            "小",
            "小明",
            "王小 lovel",
            "ada.love",
        ] {
            assert!(PeopleQuery::new(query).unwrap().fits(&ada), "{query}");
        }
        for query in ["da", "adab", "ada x", "明小", "王明", "%%ad__ b"] {
            assert!(!PeopleQuery::new(query).unwrap().fits(&ada), "{query}");
        }
    }

    #[test]
    fn what_would_find_too_many_is_no_query() {
        for text in ["", "a", "a b c", "%", "_ _", "\u{1F600}", "\0"] {
            assert_eq!(PeopleQuery::new(text), None, "{text:?}");
        }
        assert!(PeopleQuery::new("ab").is_some());
        assert!(PeopleQuery::new("小").is_some());
        let many = PeopleQuery::new(&"ab cd ef gh ij kl mn op qr st".repeat(9)).unwrap();
        assert_eq!(many.words.len(), QUERY_WORDS_MAX);
    }

    #[test]
    fn what_was_not_looked_at_may_be_more() {
        let query = PeopleQuery::new("ada").unwrap();
        let ada = user("ada", "");
        let found =
            |places, limit| FoundPeople::among(vec![ada.clone(), user("bob", "")], places, &query, limit);
        assert!(!found(PLACES_MAX - 1, 1).more);
        assert!(found(PLACES_MAX, 1).more);
        assert_eq!(
            found(2, 0).users,
            std::slice::from_ref(&ada),
            "whom the query does not fit is left out"
        );
    }

    #[test]
    fn all_words_with_a_beginning_are_in_its_range() {
        for (query, word) in [
            ("ad", "ada"),
            ("ada", "ada"),
            ("小", "小明"),
            ("zz", "zz\u{3FFFD}"),
        ] {
            let query = PeopleQuery::new(query).unwrap();
            let (from, to) = query.range();
            assert!(from <= word && word < to.as_str(), "{word}");
        }
        let query = PeopleQuery::new("ad").unwrap();
        assert!(query.range().1.as_str() < "ae");
    }
}
