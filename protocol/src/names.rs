//! The characters that names may have, and the names that are reserved: people tell each other apart by names.
//!
//! It decides by properties of Unicode, not by lists of characters; where it must list, the lists are short and say why.
//! It must never depend on where a name comes from: every entrance uses these checks.

use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{
        CanonicalCombiningClass, DefaultIgnorableCodePoint, Emoji, EmojiModifier, ExtendedPictographic,
        GeneralCategory, JoiningType, VariationSelector,
    },
};

/// Names that speak for the server or for everybody, or that clients give a meaning: no account gets them. They are
/// compared as [`is_reserved`] says.
pub const RESERVED: [&str; 48] = [
    // What clients and servers call somebody or everybody.
    "self",
    "all",
    "here",
    "everyone",
    "everybody",
    "channel",
    "nobody",
    "anonymous",
    "unknown",
    "deleted",
    // Who runs a server (RFC 2142 has some of them).
    "admin",
    "admins",
    "administrator",
    "administrators",
    "root",
    "superuser",
    "sysadmin",
    "sysop",
    "system",
    "support",
    "helpdesk",
    "staff",
    "official",
    "moderator",
    "moderators",
    "operator",
    "owner",
    "security",
    "abuse",
    "postmaster",
    "hostmaster",
    "webmaster",
    "noreply",
    "mailerdaemon",
    // What runs it.
    "server",
    "service",
    "imserver",
    "daemon",
    "bot",
    "bots",
    "robot",
    "notification",
    "notifications",
    "announcement",
    "announcements",
    "broadcast",
    "verified",
    "team",
];

/// Before the number of an account whose name a client does not know.
const UNNAMED: &str = "user-";

/// Whether the name is reserved, as it is written or as a person may misread it.
pub fn is_reserved(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let is_number = |rest: &str| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit());
    if lower.strip_prefix(UNNAMED).is_some_and(is_number) {
        return true;
    }
    let folded = fold(&lower);
    RESERVED.iter().any(|reserved| fold(reserved) == folded)
}

/// A name as a person may misread it: without dots and dashes, digits as the letters they resemble, similar letters as
/// one. It covers the characters of account names; Unicode's own table of confusables has few of these.
fn fold(lower: &str) -> String {
    let mut folded = String::with_capacity(lower.len());
    for letter in lower.chars() {
        match letter {
            '.' | '_' | '-' => {}
            '0' => folded.push('o'),
            '1' | 'i' => folded.push('l'),
            '3' => folded.push('e'),
            '4' => folded.push('a'),
            '5' => folded.push('s'),
            '7' => folded.push('t'),
            '8' => folded.push('b'),
            other => folded.push(other),
        }
    }
    folded.replace("rn", "m").replace("vv", "w")
}

/// The reason why a visible name is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unfit {
    /// It has no visible character.
    Blank,
    /// An invisible character, or one that the reader's version of Unicode may not have.
    Invisible(char),
    /// A combining mark without a base character before it.
    Lone(char),
}

/// Checks a visible name: every character is visible, or a space, or part of a sequence that shows one sign, such as an
/// emoji.
///
/// # Errors
/// The first fault.
pub fn check_visible(name: &str) -> Result<(), Unfit> {
    let letters: Vec<char> = name.chars().collect();
    let mut marked = false;
    let mut index = 0;
    while let Some(&letter) = letters.get(index) {
        let before = letters.get(..index).unwrap_or_default();
        let after = letters.get(index + 1..).unwrap_or_default();
        if letter.is_whitespace() && !is_invisible(letter) {
            index += 1;
            continue;
        }
        if let Some(length) = flag_tags(letter, after) {
            marked = true;
            index += 1 + length;
            continue;
        }
        if is_invisible(letter) {
            if !belongs(letter, before, after) {
                return Err(Unfit::Invisible(letter));
            }
        } else if is_mark(letter) {
            if before.last().is_none_or(|last| last.is_whitespace()) {
                return Err(Unfit::Lone(letter));
            }
        } else {
            marked = true;
        }
        index += 1;
    }
    if marked { Ok(()) } else { Err(Unfit::Blank) }
}

fn category(letter: char) -> GeneralCategory {
    CodePointMapData::<GeneralCategory>::new().get(letter)
}

fn is_mark(letter: char) -> bool {
    matches!(
        category(letter),
        GeneralCategory::NonspacingMark | GeneralCategory::SpacingMark | GeneralCategory::EnclosingMark
    )
}

/// It is invisible, ends the line or changes its direction, or is not assigned.
fn is_invisible(letter: char) -> bool {
    let without_mark = matches!(
        category(letter),
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
            | GeneralCategory::PrivateUse
            | GeneralCategory::Surrogate
            | GeneralCategory::Unassigned
    );
    without_mark
        || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(letter)
        || CodePointSetData::new::<VariationSelector>().contains(letter)
        // Signs for nothing: braille, the object's place, a musical head, Khitan and Egyptian fillers.
        || matches!(
            letter,
            '\u{2800}' | '\u{FFFC}' | '\u{1D159}' | '\u{16FE4}' | '\u{13441}' | '\u{13442}'
        )
}

const TEXT_STYLE: char = '\u{FE0E}';
const EMOJI_STYLE: char = '\u{FE0F}';
const JOINER: char = '\u{200D}';
const NON_JOINER: char = '\u{200C}';

/// Whether an invisible character forms one sign with its neighbours.
fn belongs(letter: char, before: &[char], after: &[char]) -> bool {
    let emoji = CodePointSetData::new::<Emoji>();
    let pictures = CodePointSetData::new::<ExtendedPictographic>();
    let last = before.last().copied();
    match letter {
        TEXT_STYLE | EMOJI_STYLE => last.is_some_and(|last| emoji.contains(last)),
        JOINER => {
            let modifiers = CodePointSetData::new::<EmojiModifier>();
            let mut bases = before.iter().rev();
            let base = bases.find(|letter| **letter != EMOJI_STYLE && !modifiers.contains(**letter));
            let joins = base.is_some_and(|base| pictures.contains(*base))
                && after.first().is_some_and(|next| pictures.contains(*next));
            joins || follows_virama(last)
        }
        NON_JOINER => follows_virama(last) || stands_between_joining(before, after),
        _ => false,
    }
}

/// RFC 5892, appendix A: in Indic scripts the two joiners decide the form of a cluster.
fn follows_virama(last: Option<char>) -> bool {
    let classes = CodePointMapData::<CanonicalCombiningClass>::new();
    last.is_some_and(|last| classes.get(last) == CanonicalCombiningClass::Virama)
}

/// The same, A.1: in Persian and other scripts it separates letters that would join.
fn stands_between_joining(before: &[char], after: &[char]) -> bool {
    let types = CodePointMapData::<JoiningType>::new();
    let skip = |letter: &&char| types.get(**letter) != JoiningType::Transparent;
    let joins_left = |letter: &char| {
        matches!(
            types.get(*letter),
            JoiningType::LeftJoining | JoiningType::DualJoining
        )
    };
    let joins_right = |letter: &char| {
        matches!(
            types.get(*letter),
            JoiningType::RightJoining | JoiningType::DualJoining
        )
    };
    before.iter().rev().find(skip).is_some_and(joins_left) && after.iter().find(skip).is_some_and(joins_right)
}

/// The flags of England, Scotland and Wales: a black flag with tags, which are invisible everywhere else.
fn flag_tags(letter: char, after: &[char]) -> Option<usize> {
    const FLAGS: [&str; 3] = ["gbeng", "gbsct", "gbwls"];
    if letter != '\u{1F3F4}' {
        return None;
    }
    let tag = |letter: char| char::from_u32(u32::from(letter) + 0xE0000).unwrap_or(letter);
    FLAGS.iter().find_map(|flag| {
        let tags: Vec<char> = flag.chars().map(tag).chain(['\u{E007F}']).collect();
        after.starts_with(&tags).then_some(tags.len())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_names_are_known_in_every_shape() {
        for name in [
            "self",
            "Self",
            "ALL",
            "a11",
            "he.re",
            "every-one",
            "admin",
            "Adm1n",
            "4dmin",
            "a_d_m_i_n",
            "adrnin",
            "root",
            "r00t",
            "sy5tem",
            "imserver",
            "lmserver",
            "IM-Server",
            "bot",
            "b0t",
            "8ot",
            "moderator",
            "user-17",
            "USER-1",
            "n0-reply",
        ] {
            assert!(is_reserved(name), "{name}");
        }
        for name in [
            "ann",
            "selfish",
            "alla",
            "heretic",
            "badmin",
            "administer",
            "rooted",
            "botany",
            "userland",
            "user-",
            "user-x1",
            "abbot",
            "imani",
            "u1",
            "7",
        ] {
            assert!(!is_reserved(name), "{name}");
        }
    }

    #[test]
    fn no_two_reserved_names_are_one() {
        let mut folded: Vec<String> = RESERVED.iter().map(|name| fold(name)).collect();
        folded.sort_unstable();
        folded.dedup();
        assert_eq!(folded.len(), RESERVED.len());
    }

    #[test]
    fn what_people_write_is_taken() {
        for name in [
            "Ann",
            "O'Neill-Garc\u{ed}a",
            "e\u{301}e\u{301}",
            "\u{5c71}\u{7530}\u{3000}\u{592a}\u{90ce}",
            "\u{2764}\u{fe0f} family",
            "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}",
            "\u{1f469}\u{1f3fd}\u{200d}\u{1f4bb}",
            "\u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f} fans",
            "1\u{fe0f}\u{20e3}",
            "\u{1f1eb}\u{1f1f7}",
            // Persian with a non-joiner, Hindi with both.
            "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}",
            "\u{915}\u{94d}\u{200d}\u{937}",
            "\u{915}\u{94d}\u{200c}\u{937}",
            "\u{5d0}\u{5b8}",
        ] {
            assert_eq!(check_visible(name), Ok(()), "{name:?}");
        }
    }

    #[test]
    fn what_leaves_no_mark_is_refused() {
        for letter in [
            '\u{0}',
            '\t',
            '\n',
            '\u{7f}',
            '\u{85}',
            '\u{ad}',
            '\u{34f}',
            '\u{61c}',
            '\u{115f}',
            '\u{1160}',
            '\u{17b4}',
            '\u{180b}',
            '\u{180e}',
            '\u{180f}',
            '\u{200b}',
            '\u{200c}',
            '\u{200d}',
            '\u{200e}',
            '\u{200f}',
            '\u{2028}',
            '\u{2029}',
            '\u{202a}',
            '\u{202e}',
            '\u{2060}',
            '\u{2064}',
            '\u{2065}',
            '\u{2066}',
            '\u{206a}',
            '\u{2800}',
            '\u{3164}',
            '\u{e000}',
            '\u{fe00}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{ffa0}',
            '\u{fff0}',
            '\u{fff9}',
            '\u{fffc}',
            '\u{fffe}',
            '\u{378}',
            '\u{1d159}',
            '\u{1d173}',
            '\u{1bca0}',
            '\u{e0001}',
            '\u{e0041}',
            '\u{e0100}',
            '\u{f0000}',
            '\u{10fffd}',
            '\u{13430}',
            '\u{13441}',
            '\u{16fe4}',
        ] {
            for name in [
                format!("a{letter}b"),
                format!("{letter}ab"),
                format!("ab{letter}"),
                format!("a {letter}b"),
                letter.to_string(),
            ] {
                assert_eq!(check_visible(&name), Err(Unfit::Invisible(letter)), "{name:?}");
            }
        }
        // Joiners and styles where they join and style nothing.
        for name in [
            "\u{1f468}\u{200d}",
            "\u{1f468}\u{200d}a",
            "\u{2764}\u{fe0f}\u{fe0f}",
            "\u{1f3f4}\u{e0067}\u{e0062}",
            "\u{645}\u{200c}",
        ] {
            assert!(
                matches!(check_visible(name), Err(Unfit::Invisible(_))),
                "{name:?}"
            );
        }
        for name in ["", " ", "\u{a0}\u{3000}"] {
            assert_eq!(check_visible(name), Err(Unfit::Blank), "{name:?}");
        }
        for name in ["\u{301}a", "a \u{301}", "\u{20e3}", "\u{5b8}"] {
            assert!(matches!(check_visible(name), Err(Unfit::Lone(_))), "{name:?}");
        }
    }
}
