//! Tokens: the secret that resumes a session, and the mark that says how far a device is in step.
//!
//! It must never log a session token or let one be compared in parts: only its hash leaves this module. It must never
//! believe a mark that the store's past did not sign: what a mark says can end an epoch for everybody.

use std::sync::Arc;

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use storage::{
    Claim, ClientId, Fingerprint, Generation, Position, SessionId, Snapshot, Store, TokenHash, TokenKey,
    UserId,
};
use xxhash_rust::xxh3::xxh3_128_with_seed;

const SESSION_PREFIX: &str = "imt1_";
const SECRET_BYTES: usize = 32;
/// What is left of a signature. RFC 2104, section 5, asks for half of the hash at least.
const MAC_BYTES: usize = 16;
/// Signed with what it is for, so that neither can be presented as the other.
const SYNC_PURPOSE: &[u8] = b"imserver sync token 1";
const PAGE_PURPOSE: &[u8] = b"imserver page mark 1";
const TICKET_PURPOSE: &[u8] = b"imserver ticket 1";
/// Log id, generation, last position of the prefix, end, signature.
const SYNC_BYTES_MIN: usize = 32 + MAC_BYTES;
/// The protocol's limit.
const SYNC_BYTES_MAX: usize = protocol::validate::TOKEN_BYTES_MAX;
/// Commits within the set that are not in it, in one token at most.
const OPEN_MAX: usize = (SYNC_BYTES_MAX - SYNC_BYTES_MIN) / 8;

/// The random source failed: nothing secret can be made.
#[derive(Debug, thiserror::Error)]
#[error("the system's random source failed: {0}")]
pub(crate) struct RandomError(getrandom::Error);

/// A session token as the client keeps it. Never stored, never printed.
pub(crate) struct SessionToken(String);

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
    pub(crate) fn generate() -> Result<Self, RandomError> {
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
    pub(crate) fn into_text(self) -> String {
        self.0
    }

    /// What is stored.
    pub(crate) fn hash(&self) -> TokenHash {
        hash_session_token(&self.0)
    }
}

const HEX: [u8; 16] = *b"0123456789abcdef";

/// What a presented token would be stored as. Any text has a hash; only an issued one is found under it.
pub(crate) fn hash_session_token(text: &str) -> TokenHash {
    TokenHash(Sha256::digest(text.as_bytes()).into())
}

/// A random session id; 63 bits, because stores keep it as a signed number.
///
/// # Errors
/// The system has no randomness to give.
pub(crate) fn random_session_id() -> Result<SessionId, RandomError> {
    random_u63().map(SessionId)
}

/// A random number of 63 bits that is not zero.
///
/// # Errors
/// The system has no randomness to give.
pub(crate) fn random_u63() -> Result<u64, RandomError> {
    let mut bytes = [0_u8; 8];
    getrandom::fill(&mut bytes).map_err(RandomError)?;
    Ok((u64::from_le_bytes(bytes) >> 1).max(1))
}

/// Makes and reads what clients carry of a store's past, opaque to them and signed with the past's key.
///
/// A sync token is, in numbers of 8 bytes, big-endian: the log's id, the generation in which the set was read, the last
/// position that everything is in up to, the end of the set, and the first positions of the commits that are not in it.
/// A page mark is the log's id and a position. Each ends with 16 bytes of HMAC-SHA-256 (RFC 2104) over its purpose and
/// all before.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    log_id: u64,
    key: TokenKey,
    past: Arc<dyn Past>,
}

/// The part of a store that every token is told to.
pub(crate) trait Past: std::fmt::Debug + Send + Sync {
    /// See [`Store::told`].
    fn told(&self, ceiling: Position) -> Generation;
}

/// A store's past, as one that prints nothing of the store.
struct PastOf(Arc<dyn Store>);

impl std::fmt::Debug for PastOf {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("PastOf(…)")
    }
}

impl Past for PastOf {
    fn told(&self, ceiling: Position) -> Generation {
        self.0.told(ceiling)
    }
}

/// A sync token as it was presented.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Presented {
    /// This past signed it: the device has the set, and says in which generation it was told so.
    Signed(Claim, Snapshot),
    /// It is of another past. Nothing of it can be checked or used.
    OtherPast,
    /// It is no token, or one of this past that this past did not sign.
    Invalid,
}

impl Tokens {
    /// Those of a store.
    pub(crate) fn of(store: Arc<dyn Store>) -> Self {
        Self {
            log_id: store.log_id(),
            key: store.token_key(),
            past: Arc::new(PastOf(store)),
        }
    }

    /// A token that says that a device has this set. One with too many holes is written as its prefix: it asks for
    /// more again, and loses nothing.
    pub(crate) fn sync_token(&self, snapshot: &Snapshot) -> Vec<u8> {
        let snapshot = snapshot.within(OPEN_MAX);
        let (floor, ceiling) = (snapshot.floor(), snapshot.ceiling());
        // Told first: a generation that begins meanwhile is named only if it was compared with this.
        let generation = self.past.told(ceiling);
        let mut bytes = Vec::with_capacity(SYNC_BYTES_MIN);
        for number in [self.log_id, generation.0, floor.0, ceiling.0 + 1] {
            bytes.extend(number.to_be_bytes());
        }
        for open in snapshot.open() {
            bytes.extend(open.0.to_be_bytes());
        }
        self.sign(SYNC_PURPOSE, &mut bytes);
        bytes
    }

    /// Reads what a client presents as a sync token.
    pub(crate) fn presented(&self, bytes: &[u8]) -> Presented {
        if bytes.len() < SYNC_BYTES_MIN || bytes.len() > SYNC_BYTES_MAX || !bytes.len().is_multiple_of(8) {
            return Presented::Invalid;
        }
        if bytes.first_chunk::<8>() != Some(&self.log_id.to_be_bytes()) {
            return Presented::OtherPast;
        }
        match self.signed_set(bytes) {
            Some((claim, snapshot)) => Presented::Signed(claim, snapshot),
            None => Presented::Invalid,
        }
    }

    fn signed_set(&self, bytes: &[u8]) -> Option<(Claim, Snapshot)> {
        let (numbers, _) = self.checked(SYNC_PURPOSE, bytes)?.as_chunks::<8>();
        let numbers: Vec<u64> = numbers.iter().map(|bytes| u64::from_be_bytes(*bytes)).collect();
        let [_, generation, floor, end, ref open @ ..] = *numbers else {
            return None;
        };
        let open: Vec<Position> = open.iter().copied().map(Position).collect();
        let snapshot = Snapshot::new(Position(floor.checked_add(1)?), Position(end), &open);
        let claim = Claim {
            generation: Generation(generation),
            ceiling: snapshot.ceiling(),
        };
        Some((claim, snapshot))
    }

    /// A mark that says that a page of a list ended with this position.
    pub(crate) fn page_mark(&self, last: Position) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(16 + MAC_BYTES);
        bytes.extend(self.log_id.to_be_bytes());
        bytes.extend(last.0.to_be_bytes());
        self.sign(PAGE_PURPOSE, &mut bytes);
        bytes
    }

    /// Where the page ended that a client presents the mark of. `None` for anything that this past did not sign.
    pub(crate) fn page_end(&self, bytes: &[u8]) -> Option<Position> {
        let (log_id, position) = self.checked(PAGE_PURPOSE, bytes)?.split_first_chunk::<8>()?;
        let position = u64::from_be_bytes(position.try_into().ok()?);
        (u64::from_be_bytes(*log_id) == self.log_id && position <= i64::MAX as u64)
            .then_some(Position(position))
    }

    /// Signs what a ticket says.
    pub(crate) fn sign_ticket(&self, bytes: &mut Vec<u8>) {
        self.sign(TICKET_PURPOSE, bytes);
    }

    /// What a ticket says, if it was signed as one.
    pub(crate) fn checked_ticket<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        self.checked(TICKET_PURPOSE, bytes)
    }

    fn sign(&self, purpose: &[u8], bytes: &mut Vec<u8>) {
        let mac = self.mac(purpose, bytes).finalize().into_bytes();
        bytes.extend(&mac[..MAC_BYTES]);
    }

    /// What was signed, if it was.
    fn checked<'a>(&self, purpose: &[u8], bytes: &'a [u8]) -> Option<&'a [u8]> {
        let (signed, mac) = bytes.split_last_chunk::<MAC_BYTES>()?;
        // In constant time, as the crate says.
        self.mac(purpose, signed)
            .verify_truncated_left(mac.as_slice())
            .ok()?;
        Some(signed)
    }

    fn mac(&self, purpose: &[u8], bytes: &[u8]) -> Hmac<Sha256> {
        // A key that is shorter than the hash's block is filled up with zeros: RFC 2104, section 2.
        let mut block = [0; 64];
        block[..32].copy_from_slice(&self.key.0);
        let mac = <Hmac<Sha256> as Mac>::new(&block.into());
        mac.chain_update(purpose).chain_update(bytes)
    }
}

/// The id of the group that `creator` makes under `client_id`: a retried creation meets itself.
pub(crate) fn group_id(creator: UserId, client_id: ClientId) -> storage::ConversationId {
    let digest = Sha256::new_with_prefix(b"imserver group 1")
        .chain_update(creator.0.to_be_bytes())
        .chain_update(client_id.0)
        .finalize();
    let hash = digest
        .first_chunk::<8>()
        .map_or(0, |bytes| u64::from_be_bytes(*bytes));
    storage::ConversationId(protocol::ConversationId::group_from_hash(hash).get())
}

/// What two requests under one client id are compared by: the command and all of its fields, as XXH3 with 128 bits of the
/// body, seeded with the command. It is stored, so it never changes.
///
/// It need not resist an attacker. Only requests of one user are ever compared, and who makes two that collide gets the
/// answer to their own first one; by chance two do with a probability of 2^-128. SHA-256 costs half of what a loop does
/// for a message where the processor has no instructions for it.
pub(crate) fn fingerprint(command: u16, canonical_body: &[u8]) -> Fingerprint {
    Fingerprint(xxh3_128_with_seed(canonical_body, u64::from(command)).to_be_bytes())
}

#[cfg(test)]
pub(crate) mod tests {
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

    #[derive(Debug, Default)]
    pub(crate) struct Told(std::sync::atomic::AtomicU64);

    impl Past for Told {
        fn told(&self, ceiling: Position) -> Generation {
            self.0.fetch_max(ceiling.0, std::sync::atomic::Ordering::Relaxed);
            Generation(5)
        }
    }

    pub(crate) fn tokens(log_id: u64, key: u8) -> (Tokens, Arc<Told>) {
        let told = Arc::new(Told::default());
        let past = Arc::clone(&told) as Arc<dyn Past>;
        let key = TokenKey([key; 32]);
        (Tokens { log_id, key, past }, told)
    }

    fn commit(number: u64) -> Position {
        Position(number << Snapshot::COMMIT_BITS)
    }

    #[test]
    fn a_sync_token_survives_the_wire_and_nothing_else_does() {
        let (tokens, told) = tokens(7, 1);
        for snapshot in [
            Snapshot::at(Position(0)),
            Snapshot::at(Position(9)),
            Snapshot::new(commit(3), commit(9), &[commit(3), commit(5)]),
        ] {
            let bytes = tokens.sync_token(&snapshot);
            let claim = Claim {
                generation: Generation(5),
                ceiling: snapshot.ceiling(),
            };
            assert_eq!(told.0.load(std::sync::atomic::Ordering::Relaxed), claim.ceiling.0);
            assert_eq!(tokens.presented(&bytes), Presented::Signed(claim, snapshot));
            for cut in 1..bytes.len() {
                assert_eq!(tokens.presented(&bytes[..cut]), Presented::Invalid);
            }
            for flipped in 0..bytes.len() {
                let mut bytes = bytes.clone();
                bytes[flipped] ^= 1;
                let is = if flipped < 8 {
                    Presented::OtherPast
                } else {
                    Presented::Invalid
                };
                assert_eq!(tokens.presented(&bytes), is);
            }
        }
        for wrong in [&[][..], &[0; 8], &[0; 49], &[0; 264]] {
            assert_eq!(tokens.presented(wrong), Presented::Invalid);
        }
    }

    #[test]
    fn a_token_is_of_one_past_and_one_purpose() {
        let (ours, _) = tokens(7, 1);
        let (forged, _) = tokens(7, 2);
        let (other, _) = tokens(8, 1);
        let snapshot = Snapshot::at(Position(9));
        assert_eq!(ours.presented(&forged.sync_token(&snapshot)), Presented::Invalid);
        assert_eq!(ours.presented(&other.sync_token(&snapshot)), Presented::OtherPast);
        let mark = ours.page_mark(Position(9));
        assert_eq!(ours.page_end(&mark), Some(Position(9)));
        assert_eq!(ours.page_end(&mark[1..]), None);
        assert_eq!(ours.page_end(&ours.sync_token(&snapshot)), None);
        assert_eq!(forged.page_end(&mark), None);
        assert_eq!(other.page_end(&mark), None);
    }

    #[test]
    fn a_token_with_many_holes_becomes_shorter_and_claims_less() {
        let open: Vec<Position> = (10..60)
            .step_by(2)
            .map(commit)
            .chain((60..70).map(commit))
            .collect();
        let snapshot = Snapshot::new(commit(10), commit(99), &open);
        let (tokens, _) = tokens(7, 1);
        let bytes = tokens.sync_token(&snapshot);
        assert!(bytes.len() <= SYNC_BYTES_MAX);
        let Presented::Signed(claim, parsed) = tokens.presented(&bytes) else {
            panic!("it was signed");
        };
        assert!(parsed.covers(Position(commit(10).0 - 1)));
        assert!(!parsed.covers(commit(11)));
        assert_eq!(claim.ceiling, parsed.ceiling());
        // As many as fit are written.
        let open: Vec<Position> = (10..10 + 2 * OPEN_MAX as u64).step_by(2).map(commit).collect();
        let bytes = tokens.sync_token(&Snapshot::new(commit(10), commit(99), &open));
        assert_eq!(bytes.len(), SYNC_BYTES_MAX);
    }

    /// The second and third value are those of `xxhash` 4.1.0, the binding of the reference implementation for Python.
    #[test]
    fn a_fingerprint_is_of_the_command_and_of_every_byte_and_never_changes() {
        let of = |command, body: &[u8]| u128::from_be_bytes(fingerprint(command, body).0);
        assert_eq!(of(0, b""), 0x99aa_06d3_0147_98d8_6001_c324_468d_497f);
        assert_eq!(of(3001, b"hello"), 0x7570_052f_9106_cb88_1a69_9897_f42e_0117);
        assert_eq!(of(3001, &[7; 1000]), 0xb4e7_59d7_f708_ae81_7a98_0d54_da22_7912);
        assert_ne!(of(3001, b"hello"), of(3002, b"hello"));
        let body = [0; 300];
        for at in 0..body.len() {
            let mut other = body;
            other[at] = 1;
            assert_ne!(of(1, &body), of(1, &other), "byte {at}");
            assert_ne!(of(1, &body[..at]), of(1, &body), "length {at}");
        }
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
