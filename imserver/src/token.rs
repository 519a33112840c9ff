//! Tokens: the secret that resumes a session, and the mark that says how far a device is in step.
//!
//! It must never log a session token or let one be compared in parts: only its hash leaves this module.

use sha2::{Digest, Sha256};
use storage::{ClientId, Fingerprint, Position, SessionId, TokenHash, UserId};

const SESSION_PREFIX: &str = "imt1_";
const SECRET_BYTES: usize = 32;
const SYNC_BYTES: usize = 16;

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

/// A place in a store's commit order, as clients carry it: opaque to them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SyncToken {
    /// Which store's order.
    pub log_id: u64,
    /// Where in it.
    pub position: Position,
}

impl SyncToken {
    /// On the wire.
    pub fn to_bytes(self) -> [u8; SYNC_BYTES] {
        let mut bytes = [0; SYNC_BYTES];
        bytes[..8].copy_from_slice(&self.log_id.to_be_bytes());
        bytes[8..].copy_from_slice(&self.position.0.to_be_bytes());
        bytes
    }

    /// From the wire. `None` for anything this server did not write.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (log_id, position) = bytes.split_first_chunk::<8>()?;
        let position = u64::from_be_bytes(position.try_into().ok()?);
        if position > i64::MAX as u64 {
            return None;
        }
        Some(Self {
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
        let token = SyncToken {
            log_id: 7,
            position: Position(9),
        };
        assert_eq!(SyncToken::parse(&token.to_bytes()), Some(token));
        assert_eq!(SyncToken::parse(&token.to_bytes()[..15]), None);
        assert_eq!(SyncToken::parse(&[0xFF; 16]), None);
        assert_eq!(SyncToken::parse(&[0; 17]), None);
        assert_eq!(SyncToken::parse(&[]), None);
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
