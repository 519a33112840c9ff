//! Tokens: the secret that resumes a session, and the mark that says how far a device is in step.
//!
//! It must never log a session token or let one be compared in parts: only its hash leaves this module.

use sha2::{Digest, Sha256};
use storage::{ClientId, Fingerprint, Position, SessionId, Snapshot, TokenHash, UserId};

const SESSION_PREFIX: &str = "imt1_";
const SECRET_BYTES: usize = 32;
/// Log id, and the last position that everything is in up to.
const PREFIX_BYTES: usize = 16;
/// The same, the end of the set, and its commits that were open; 256 bytes are the protocol's limit.
const OPEN_MAX: usize = 29;

/// The random source failed: nothing secret can be made.
#[derive(Debug, thiserror::Error)]
#[error("the system's random source failed: {0}")]
pub struct RandomError(getrandom::Error);

/// A session token as the client keeps it. Never stored, never printed.
pub struct SessionToken(String);

impl std::fmt::Debug for SessionToken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SessionToken(…)")
    }
}

impl SessionToken {
    /// A new token of 256 random bits.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub fn generate() -> Result<Self, RandomError> {
        let mut secret = [0_u8; SECRET_BYTES];
        getrandom::fill(&mut secret).map_err(RandomError)?;
        let mut text = String::with_capacity(SESSION_PREFIX.len() + SECRET_BYTES * 2);
        text.push_str(SESSION_PREFIX);
        for byte in secret {
            text.push(char::from(HEX[usize::from(byte >> 4)]));
            text.push(char::from(HEX[usize::from(byte & 15)]));
        }
        Ok(Self(text))
    }

    /// What the client is told, once.
    pub fn into_text(self) -> String {
        self.0
    }

    /// What is stored.
    pub fn hash(&self) -> TokenHash {
        hash_session_token(&self.0)
    }
}

const HEX: [u8; 16] = *b"0123456789abcdef";

/// What a presented token would be stored as. Any text has a hash; only an issued one is found under it.
pub fn hash_session_token(text: &str) -> TokenHash {
    TokenHash(Sha256::digest(text.as_bytes()).into())
}

/// A random session id; 63 bits, because stores keep it as a signed number.
///
/// # Errors
/// The system has no randomness to give.
pub fn random_session_id() -> Result<SessionId, RandomError> {
    random_u63().map(SessionId)
}

/// A random number of 63 bits that is not zero.
///
/// # Errors
/// The system has no randomness to give.
pub fn random_u63() -> Result<u64, RandomError> {
    let mut bytes = [0_u8; 8];
    getrandom::fill(&mut bytes).map_err(RandomError)?;
    Ok((u64::from_le_bytes(bytes) >> 1).max(1))
}

/// What a device has of a store, as clients carry it: opaque to them.
///
/// On the wire: the log's id and the last position of the set's prefix; where the set is no prefix, also its
/// end and the first positions of the commits that are not in it. All numbers are 8 bytes, big-endian.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SyncToken {
    /// Which store's positions.
    pub log_id: u64,
    /// What it has.
    pub snapshot: Snapshot,
}

impl SyncToken {
    /// On the wire. A set with too many holes is written as its prefix: it asks for more again, and loses
    /// nothing.
    pub fn to_bytes(&self) -> Vec<u8> {
        let snapshot = self.snapshot.within(OPEN_MAX);
        let prefix = snapshot.floor() == snapshot.ceiling();
        let mut bytes = Vec::with_capacity(PREFIX_BYTES);
        bytes.extend(self.log_id.to_be_bytes());
        bytes.extend(snapshot.floor().0.to_be_bytes());
        if !prefix {
            bytes.extend((snapshot.ceiling().0 + 1).to_be_bytes());
            for open in snapshot.open() {
                bytes.extend(open.0.to_be_bytes());
            }
        }
        bytes
    }

    /// From the wire. `None` for anything this server did not write.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (numbers, rest) = bytes.as_chunks::<8>();
        let numbers: Vec<u64> = numbers.iter().map(|bytes| u64::from_be_bytes(*bytes)).collect();
        let (&log_id, positions) = numbers.split_first()?;
        if !rest.is_empty() || positions.iter().any(|position| *position > i64::MAX as u64) {
            return None;
        }
        let snapshot = match *positions {
            [position] => Snapshot::at(Position(position)),
            [floor, end, ref open @ ..] if !open.is_empty() && open.len() <= OPEN_MAX => {
                let open: Vec<Position> = open.iter().copied().map(Position).collect();
                Snapshot::new(Position(floor + 1), Position(end), &open)
            }
            _ => return None,
        };
        let token = Self { log_id, snapshot };
        // What says the same in other bytes was not written here.
        (token.to_bytes() == bytes).then_some(token)
    }
}

/// Where a page of a list ended, as clients carry it: opaque to them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PageMark {
    /// Which store's positions.
    pub log_id: u64,
    /// The last one on the page.
    pub position: Position,
}

impl PageMark {
    /// On the wire.
    pub fn to_bytes(self) -> [u8; PREFIX_BYTES] {
        let mut bytes = [0; PREFIX_BYTES];
        bytes[..8].copy_from_slice(&self.log_id.to_be_bytes());
        bytes[8..].copy_from_slice(&self.position.0.to_be_bytes());
        bytes
    }

    /// From the wire. `None` for anything this server did not write.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (log_id, position) = bytes.split_first_chunk::<8>()?;
        let position = u64::from_be_bytes(position.try_into().ok()?);
        (position <= i64::MAX as u64).then_some(Self {
            log_id: u64::from_be_bytes(*log_id),
            position: Position(position),
        })
    }
}

/// The id of the group that `creator` makes under `client_id`: a retried creation meets itself.
pub fn group_id(creator: UserId, client_id: ClientId) -> storage::ConversationId {
    let digest = Sha256::new_with_prefix(b"imserver group 1")
        .chain_update(creator.0.to_be_bytes())
        .chain_update(client_id.0)
        .finalize();
    let hash = digest
        .first_chunk::<8>()
        .map_or(0, |bytes| u64::from_be_bytes(*bytes));
    storage::ConversationId(protocol::ConversationId::group_from_hash(hash).get())
}

/// What two requests under one client id are compared by: the command and all of its fields.
pub fn fingerprint(command: u16, canonical_body: &[u8]) -> Fingerprint {
    let digest = Sha256::new()
        .chain_update(command.to_be_bytes())
        .chain_update(canonical_body)
        .finalize();
    let mut short = [0; 16];
    short.copy_from_slice(&digest[..16]);
    Fingerprint(short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_token_hashes_to_what_its_text_hashes_to() {
        let token = SessionToken::generate().unwrap();
        let hash = token.hash();
        let text = token.into_text();
        assert_eq!(hash_session_token(&text), hash);
        assert_ne!(hash_session_token(&text[..text.len() - 1]), hash);
        assert_eq!(text.len(), 69);
    }

    #[test]
    fn tokens_differ() {
        assert_ne!(
            SessionToken::generate().unwrap().hash(),
            SessionToken::generate().unwrap().hash()
        );
    }

    #[test]
    fn a_sync_token_survives_the_wire_and_nothing_else_does() {
        let token = |snapshot| SyncToken { log_id: 7, snapshot };
        let commit = |number: u64| Position(number << Snapshot::COMMIT_BITS);
        for snapshot in [
            Snapshot::at(Position(0)),
            Snapshot::at(Position(9)),
            Snapshot::new(commit(3), commit(9), &[commit(3), commit(5)]),
        ] {
            let token = token(snapshot);
            let bytes = token.to_bytes();
            assert_eq!(SyncToken::parse(&bytes), Some(token));
            assert_eq!(SyncToken::parse(&bytes[..bytes.len() - 1]), None);
        }
        for wrong in [
            &[0xFF; 16][..],
            &[0; 17],
            &[0; 24],
            &[],
            &[0; 8],
            &[0; 256],
            &[0; 264],
        ] {
            assert_eq!(SyncToken::parse(wrong), None);
        }
    }

    #[test]
    fn a_token_with_many_holes_becomes_shorter_and_claims_less() {
        let commit = |number: u64| Position(number << Snapshot::COMMIT_BITS);
        let open: Vec<Position> = (10..60)
            .step_by(2)
            .map(commit)
            .chain((60..70).map(commit))
            .collect();
        let snapshot = Snapshot::new(commit(10), commit(99), &open);
        let token = SyncToken { log_id: 7, snapshot };
        let bytes = token.to_bytes();
        assert!(bytes.len() <= protocol::validate::TOKEN_BYTES_MAX);
        let parsed = SyncToken::parse(&bytes).unwrap();
        assert!(parsed.snapshot.covers(Position(commit(10).0 - 1)));
        assert!(!parsed.snapshot.covers(commit(11)));
    }

    #[test]
    fn a_page_mark_survives_the_wire_and_nothing_else_does() {
        let mark = PageMark {
            log_id: 7,
            position: Position(9),
        };
        assert_eq!(PageMark::parse(&mark.to_bytes()), Some(mark));
        assert_eq!(PageMark::parse(&mark.to_bytes()[..15]), None);
        assert_eq!(PageMark::parse(&[0xFF; 16]), None);
        assert_eq!(PageMark::parse(&[0; 17]), None);
    }

    #[test]
    fn a_group_id_follows_from_creator_and_client_id() {
        let id = ClientId([1; 16]);
        assert_eq!(group_id(UserId(1), id), group_id(UserId(1), id));
        assert_ne!(group_id(UserId(1), id), group_id(UserId(2), id));
        let parsed = protocol::ConversationId::parse(group_id(UserId(1), id).0).unwrap();
        assert_eq!(parsed.class(), protocol::ConversationClass::Group);
    }
}
