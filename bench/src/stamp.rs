//! What a message's body carries so that it can be checked: who sent it, which one it is, when it was meant to
//! be sent, and a checksum over all of it. A body is printable ASCII, because some of what is spoken carries
//! nothing else.
//!
//! ```text
//!  run: 6   sender: 5   counter: 7   time: 8   checksum: 6   filler
//! ```
//!
//! Numbers are written in digits of six bits, the first one the highest. The checksum covers everything else;
//! the filler follows from the counter, so that a message can be made again.

/// Bytes of a stamp: the shortest body there can be.
pub(crate) const STAMP_BYTES: usize = 32;

const RUN: usize = 6;
const SENDER: usize = 5;
const COUNTER: usize = 7;
const TIME: usize = 8;
const CHECKSUM: usize = 6;
/// Where the checksum begins.
const SUM_AT: usize = RUN + SENDER + COUNTER + TIME;

const BITS: u32 = 6;
const DIGITS: [u8; 64] = *b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
const NO_DIGIT: u8 = 0xFF;
const VALUES: [u8; 256] = values();

/// The largest number of a run.
pub(crate) const RUN_MAX: u64 = (1 << (BITS * RUN as u32)) - 1;
/// Senders that can be told apart.
pub(crate) const SENDERS_MAX: usize = 1 << (BITS * SENDER as u32);

/// See the module.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Stamp {
    /// Tells runs apart; at most [`RUN_MAX`].
    pub(crate) run: u64,
    /// The sender's number, below [`SENDERS_MAX`].
    pub(crate) sender: u32,
    /// 0, 1, 2 … for each sender.
    pub(crate) counter: u64,
    /// When it was meant to be sent: nanoseconds since the load began.
    pub(crate) intended_ns: u64,
}

impl Stamp {
    /// Makes `body` the message of this stamp, `size` bytes long but never shorter than a stamp.
    pub(crate) fn write(&self, size: usize, body: &mut Vec<u8>) {
        body.clear();
        body.resize(STAMP_BYTES, 0);
        let (numbers, sum) = body.split_at_mut(SUM_AT);
        let (run, rest) = numbers.split_at_mut(RUN);
        let (sender, rest) = rest.split_at_mut(SENDER);
        let (counter, time) = rest.split_at_mut(COUNTER);
        write_digits(run, self.run);
        write_digits(sender, u64::from(self.sender));
        write_digits(counter, self.counter);
        write_digits(time, self.intended_ns);
        sum.fill(0);
        fill(body, size, self.counter);
        let sum = checksum(body);
        if let Some(place) = body.get_mut(SUM_AT..STAMP_BYTES) {
            write_digits(place, u64::from(sum));
        }
    }

    /// The stamp of a body, or nothing if any byte of it is not what was written.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let stamp = Self::peek(body)?;
        let sum = read_digits(body.get(SUM_AT..STAMP_BYTES)?)?;
        (u64::from(checksum(body)) == sum).then_some(stamp)
    }

    /// The same without looking at the checksum: enough to tell whether a message is worth checking.
    pub(crate) fn peek(body: &[u8]) -> Option<Self> {
        let (numbers, _) = body.split_at_checked(SUM_AT)?;
        let (run, rest) = numbers.split_at(RUN);
        let (sender, rest) = rest.split_at(SENDER);
        let (counter, time) = rest.split_at(COUNTER);
        Some(Self {
            run: read_digits(run)?,
            sender: u32::try_from(read_digits(sender)?).ok()?,
            counter: read_digits(counter)?,
            intended_ns: read_digits(time)?,
        })
    }
}

const fn values() -> [u8; 256] {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < DIGITS.len() {
        values[DIGITS[value] as usize] = value as u8;
        value += 1;
    }
    values
}

fn write_digits(place: &mut [u8], mut number: u64) {
    for digit in place.iter_mut().rev() {
        *digit = DIGITS[(number & 63) as usize];
        number >>= BITS;
    }
}

fn read_digits(digits: &[u8]) -> Option<u64> {
    let mut number = 0;
    for digit in digits {
        let value = VALUES[usize::from(*digit)];
        if value == NO_DIGIT {
            return None;
        }
        number = number << BITS | u64::from(value);
    }
    Some(number)
}

fn fill(body: &mut Vec<u8>, size: usize, counter: u64) {
    // Rotated by the counter, so that two messages differ in more than their stamps.
    let mut from = (counter & 63) as usize;
    while body.len() < size {
        let rest = DIGITS.get(from..).unwrap_or_default();
        let take = rest.len().min(size - body.len());
        body.extend_from_slice(rest.get(..take).unwrap_or_default());
        from = 0;
    }
}

/// Over everything but the checksum itself, eight bytes at a time. Each step maps what came before one to one,
/// so that no change of a single word can go unseen before the last fold.
fn checksum(body: &[u8]) -> u32 {
    const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
    let (numbers, rest) = body.split_at_checked(SUM_AT).unwrap_or((body, &[]));
    let filler = rest.get(CHECKSUM..).unwrap_or_default();
    let mut sum = body.len() as u64;
    for part in [numbers, filler] {
        let mut words = part.chunks_exact(8);
        for word in &mut words {
            let word = word.try_into().map_or(0, u64::from_le_bytes);
            sum = (sum ^ word).wrapping_mul(FACTOR).rotate_left(29);
        }
        for byte in words.remainder() {
            sum = (sum ^ u64::from(*byte)).wrapping_mul(FACTOR).rotate_left(29);
        }
    }
    (sum ^ sum >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp {
        run: 0x9_8765_4321,
        sender: 70_000,
        counter: 1 << 40,
        intended_ns: 1 << 47,
    };

    #[test]
    fn a_stamp_is_read_back_from_a_body_of_the_asked_size() {
        let mut body = Vec::new();
        for size in [0, STAMP_BYTES, 33, 128, 4096] {
            STAMP.write(size, &mut body);
            assert_eq!(body.len(), size.max(STAMP_BYTES));
            assert_eq!(Stamp::read(&body), Some(STAMP));
            assert!(body.iter().all(u8::is_ascii_graphic));
        }
    }

    #[test]
    fn every_damaged_byte_is_seen() {
        let mut body = Vec::new();
        STAMP.write(131, &mut body);
        for at in 0..body.len() {
            let mut damaged = body.clone();
            damaged[at] = if damaged[at] == b'0' { b'1' } else { b'0' };
            assert_eq!(Stamp::read(&damaged), None, "byte {at}");
        }
        assert_eq!(Stamp::read(&body[..130]), None);
        assert_eq!(Stamp::read(&[body, vec![b'0']].concat()), None);
        assert_eq!(Stamp::read(b"hello"), None);
    }
}
