//! Ids that say where and when: a UUIDv7 whose `rand_a` holds the row's bucket. Must not read a clock.

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use uuid::Uuid;

/// Where a row lives: 0 to 255, the shard key of every large table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(pub u8);

impl Bucket {
    /// The bucket that an id carries in the low eight bits of `rand_a`.
    pub fn of(id: Uuid) -> Self {
        Self(id.as_bytes()[7])
    }

    /// The bucket of a row of keys: the first byte of its key's SHA-256.
    pub fn of_hash(hash: &[u8; 32]) -> Self {
        Self(hash[0])
    }

    /// The column's type.
    pub fn as_i16(self) -> i16 {
        i16::from(self.0)
    }
}

/// Whether a UUID could have been made by [`IdGenerator`]: version 7, RFC 9562 variant, four zero bits above
/// the bucket. Anything else cannot name one of our rows, and need not be looked up.
pub fn is_ours(id: Uuid) -> bool {
    let bytes = id.as_bytes();
    bytes[6] == 0x70 && bytes[8] >> 6 == 0b10
}

/// When an id was made, to the millisecond.
pub fn time_of(id: Uuid) -> Timestamp {
    let bytes = id.as_bytes();
    let unix_ms = bytes[..6].iter().fold(0_i64, |ms, &byte| ms << 8 | i64::from(byte));
    Timestamp::from_millisecond(unix_ms).unwrap_or(Timestamp::MAX)
}

/// The smallest UUID of that millisecond: the bound of a partition or of a page. Times before 1970 count as 1970.
pub fn first_id_at(time: Timestamp) -> Uuid {
    let unix_ms = u64::try_from(time.as_millisecond()).unwrap_or(0);
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&unix_ms.to_be_bytes()[2..]);
    Uuid::from_bytes(bytes)
}

/// Makes ids (RFC 9562 section 5.7): 48 bits of milliseconds, the bucket, a 20-bit counter within the
/// millisecond, 42 random bits. Ids of one generator strictly increase within a bucket, also when the clock
/// steps back.
#[derive(Debug)]
pub struct IdGenerator {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    last_ms: u64,
    counter: u32,
    random: fastrand::Rng,
}

const COUNTER_BITS: u32 = 20;

impl IdGenerator {
    /// A generator whose sequence depends on the seed alone.
    pub fn seeded(seed: u64) -> Self {
        Self { state: Mutex::new(State { last_ms: 0, counter: 0, random: fastrand::Rng::with_seed(seed) }) }
    }

    /// A generator seeded by the operating system.
    ///
    /// # Errors
    /// When the operating system has no randomness to give.
    pub fn from_entropy() -> Result<Self, getrandom::Error> {
        Ok(Self::seeded(getrandom::u64()?))
    }

    pub fn next(&self, now: Timestamp, bucket: Bucket) -> Uuid {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now_ms = u64::try_from(now.as_millisecond()).unwrap_or(0);
        if now_ms > state.last_ms {
            state.last_ms = now_ms;
            state.counter = 0;
        } else {
            state.counter += 1;
            if state.counter >> COUNTER_BITS != 0 {
                state.last_ms += 1;
                state.counter = 0;
            }
        }
        let low = u64::from(state.counter) << 42 | state.random.u64(..1 << 42);
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&state.last_ms.to_be_bytes()[2..]);
        bytes[6] = 0x70;
        bytes[7] = bucket.0;
        bytes[8..].copy_from_slice(&(1 << 63 | low).to_be_bytes());
        Uuid::from_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_ms(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    #[test]
    fn an_id_tells_its_time_its_bucket_and_that_it_is_ours() {
        let id = IdGenerator::seeded(1).next(at_ms(1_764_000_000_123), Bucket(0xA7));
        assert_eq!(time_of(id), at_ms(1_764_000_000_123));
        assert_eq!(Bucket::of(id), Bucket(0xA7));
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
        assert!(is_ours(id));
        assert!(!is_ours(Uuid::nil()));
    }

    #[test]
    fn ids_of_a_bucket_increase_also_when_the_clock_steps_back() {
        let ids = IdGenerator::seeded(2);
        let times = [5, 5, 5, 4, 1, 5, 6, 2];
        let made: Vec<Uuid> = times.iter().map(|&ms| ids.next(at_ms(ms), Bucket(9))).collect();
        assert!(made.windows(2).all(|pair| pair[0] < pair[1]), "{made:?}");
    }

    #[test]
    fn a_full_counter_moves_into_the_next_millisecond() {
        let ids = IdGenerator::seeded(3);
        let mut last = ids.next(at_ms(1), Bucket(0));
        for _ in 0..=1 << COUNTER_BITS {
            let id = ids.next(at_ms(1), Bucket(0));
            assert!(id > last);
            last = id;
        }
        assert_eq!(time_of(last), at_ms(2));
    }

    #[test]
    fn the_first_id_of_a_millisecond_is_not_above_any_id_of_it() {
        let id = IdGenerator::seeded(4).next(at_ms(77), Bucket(0));
        assert!(first_id_at(at_ms(77)) < id && id < first_id_at(at_ms(78)));
    }
}
