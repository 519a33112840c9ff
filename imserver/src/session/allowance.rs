//! How much a user may ask for in a time; before the user is known, how much an address may. All connections of one
//! user or address share one allowance, and closing them does not renew it. Every way in asks it; it must never be
//! where the client can drop it.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use parking_lot::Mutex;
use storage::UserId;

use super::{Rules, rate::Rate};

/// Parts of the table; each has its own lock.
const SHARDS: usize = 64;
/// A part with fewer entries than this is never searched for entries to forget.
const SWEEP_LEAST: usize = 64;
/// A full part is searched no more often than this.
const SWEEP_EVERY_US: u64 = SECOND_US;
/// Allowances for addresses that find the table full. Addresses of one organisation share one of them.
const SHARED: usize = 256;
const SECOND_US: u64 = 1_000_000;
const MINUTE_US: u64 = 60 * SECOND_US;

/// The kinds of requests. Each has a rate of its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Charge {
    /// A message.
    Send,
    /// Any other request, whether it can be read or not.
    Request,
    /// A ping.
    Ping,
    /// A hello.
    Hello,
    /// People named for a group, each counted.
    People(usize),
    /// Conversations reported as delivered, each counted.
    Receipts(usize),
    /// Profiles asked for by id or name, each counted.
    Profiles(usize),
    /// A search for people.
    Search,
    /// People whose presence is watched from now on, each counted.
    Watches(usize),
}

/// One user's or one address' allowance.
#[derive(Debug, Default)]
pub(crate) struct Allowance {
    rates: Mutex<Rates>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Rates {
    sends: Rate,
    requests: Rate,
    pings: Rate,
    hellos: Rate,
    people: Rate,
    receipts: Rate,
    profiles: Rate,
    searches: Rate,
    watches: Rate,
}

impl Allowance {
    /// Takes what is asked for. Where a request asks for more than the allowance can ever hold, it costs a whole
    /// allowance.
    ///
    /// # Errors
    /// The allowance is used up; the value is the time in microseconds until it is enough again.
    pub(crate) fn take(&self, charge: Charge, now_us: u64, rules: &Rules) -> Result<(), u64> {
        let a_second = |rate: u32| SECOND_US / u64::from(rate.max(1));
        let a_minute = |rate: u32| MINUTE_US / u64::from(rate.max(1));
        let count = |of: usize, burst: u32| u32::try_from(of).unwrap_or(u32::MAX).min(burst);
        let mut rates = self.rates.lock();
        let (rate, each_us, burst, count) = match charge {
            Charge::Send => (
                &mut rates.sends,
                a_second(rules.sends_per_second),
                rules.sends_burst,
                1,
            ),
            Charge::Request => (
                &mut rates.requests,
                a_second(rules.requests_per_second),
                rules.requests_burst,
                1,
            ),
            Charge::Ping => (
                &mut rates.pings,
                a_second(rules.requests_per_second),
                rules.requests_burst,
                1,
            ),
            Charge::Hello if rules.hellos_per_minute == 0 => return Ok(()),
            Charge::Hello => (
                &mut rates.hellos,
                a_minute(rules.hellos_per_minute),
                rules.hellos_per_minute,
                1,
            ),
            Charge::People(of) => (
                &mut rates.people,
                a_minute(rules.people_per_minute),
                rules.people_burst,
                count(of, rules.people_burst),
            ),
            Charge::Receipts(of) => (
                &mut rates.receipts,
                a_second(rules.receipts_per_second),
                rules.receipts_burst,
                count(of, rules.receipts_burst),
            ),
            Charge::Profiles(of) => (
                &mut rates.profiles,
                a_minute(rules.profiles_per_minute),
                rules.profiles_burst,
                count(of, rules.profiles_burst),
            ),
            Charge::Search => (
                &mut rates.searches,
                a_minute(rules.searches_per_minute),
                rules.searches_burst,
                1,
            ),
            Charge::Watches(of) => (
                &mut rates.watches,
                a_minute(rules.watches_per_minute),
                rules.watches_burst,
                count(of, rules.watches_burst),
            ),
        };
        rate.take(now_us, each_us, burst, count)
    }

    fn is_full(&self, now_us: u64) -> bool {
        let Rates {
            sends,
            requests,
            pings,
            hellos,
            people,
            receipts,
            profiles,
            searches,
            watches,
        } = *self.rates.lock();
        [
            sends, requests, pings, hellos, people, receipts, profiles, searches, watches,
        ]
        .iter()
        .all(|rate| rate.is_full(now_us))
    }
}

/// One subscriber's addresses: an IPv4 address, or an IPv6 network of 64 bits.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}

/// Roughly one organisation's addresses: the first 16 bits of IPv4, the first 32 of IPv6.
fn organisation(network: IpAddr) -> u32 {
    match network {
        IpAddr::V4(address) => u32::from(address) >> 16,
        IpAddr::V6(address) => {
            let [a, b, ..] = address.segments();
            u32::from(a) << 16 | u32::from(b)
        }
    }
}

/// The allowances of all connected users and addresses; those of others stay until they are full again. Each user has
/// one entry and each address has one; a flood of addresses takes no user's place. Addresses that find the table full
/// share an allowance with others of their organisation, so an attacker who fills it from one organisation spends no
/// allowance of another's.
#[derive(Debug)]
pub(crate) struct Allowances {
    users: Table<UserId>,
    addresses: Table<IpAddr>,
}

impl Allowances {
    /// Holds roughly this many users, and as many addresses.
    pub(crate) fn new(entries_max: usize) -> Self {
        Self {
            users: Table::new(entries_max),
            addresses: Table::new(entries_max),
        }
    }

    /// The user's allowance.
    pub(crate) fn of_user(&self, user: UserId, now_us: u64) -> Arc<Allowance> {
        self.users.of(user, user, now_us)
    }

    /// The address' allowance; with IPv6, its network's.
    pub(crate) fn of_address(&self, address: IpAddr, now_us: u64) -> Arc<Allowance> {
        let network = network(address);
        self.addresses.of(network, organisation(network), now_us)
    }
}

#[derive(Debug)]
struct Table<K> {
    hasher: RandomState,
    shards: Vec<Mutex<Shard<K>>>,
    shard_max: usize,
    /// Shared by the keys that find the table full.
    shared: Vec<Arc<Allowance>>,
}

#[derive(Debug)]
struct Shard<K> {
    entries: HashMap<K, Arc<Allowance>>,
    /// The number of entries at which the part is searched.
    sweep_at: usize,
    swept_us: u64,
}

impl<K: Copy + Eq + Hash> Table<K> {
    fn new(entries_max: usize) -> Self {
        let shard = || Shard {
            entries: HashMap::new(),
            sweep_at: SWEEP_LEAST,
            swept_us: 0,
        };
        Self {
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Mutex::new(shard())).collect(),
            shard_max: entries_max.div_ceil(SHARDS).max(SWEEP_LEAST),
            shared: (0..SHARED).map(|_| Arc::default()).collect(),
        }
    }

    /// The allowance of `key`. If there is no room, the one that it shares with others of its `group`.
    fn of(&self, key: K, group: impl Hash, now_us: u64) -> Arc<Allowance> {
        let index = self.hasher.hash_one(key) % SHARDS as u64;
        let own = self.shards[index as usize].lock().of(key, now_us, self.shard_max);
        own.unwrap_or_else(|| {
            let index = self.hasher.hash_one(group) % SHARED as u64;
            Arc::clone(&self.shared[index as usize])
        })
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().entries.len()).sum()
    }
}

impl<K: Copy + Eq + Hash> Shard<K> {
    /// `None`: there is no room.
    fn of(&mut self, key: K, now_us: u64, entries_max: usize) -> Option<Arc<Allowance>> {
        if let Some(allowance) = self.entries.get(&key) {
            return Some(Arc::clone(allowance));
        }
        let len = self.entries.len();
        let is_pressed = len >= entries_max && now_us >= self.swept_us.saturating_add(SWEEP_EVERY_US);
        if is_pressed || len >= self.sweep_at && len < entries_max {
            self.sweep(now_us);
        }
        if self.entries.len() >= entries_max {
            return None;
        }
        Some(Arc::clone(self.entries.entry(key).or_default()))
    }

    /// Forgets entries that are unused and full again: a new entry would be the same.
    fn sweep(&mut self, now_us: u64) {
        self.entries
            .retain(|_, allowance| Arc::strong_count(allowance) > 1 || !allowance.is_full(now_us));
        self.sweep_at = (2 * self.entries.len()).max(SWEEP_LEAST);
        self.swept_us = now_us;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn rules() -> Rules {
        Rules {
            requests_per_second: 1,
            requests_burst: 3,
            people_per_minute: 60,
            people_burst: 100,
            receipts_per_second: 10,
            receipts_burst: 1_000,
            hellos_per_minute: 60,
            ..Rules::new(&Config::default(), 0)
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn connections_of_a_user_share_and_new_ones_start_with_what_is_left() {
        let allowances = Allowances::new(1_000);
        let first = allowances.of_user(UserId(7), 0);
        let second = allowances.of_user(UserId(7), 0);
        assert!(first.take(Charge::Request, 0, &rules()).is_ok());
        assert!(second.take(Charge::Request, 0, &rules()).is_ok());
        drop((first, second));
        let third = allowances.of_user(UserId(7), 0);
        assert!(third.take(Charge::Request, 0, &rules()).is_ok());
        assert!(third.take(Charge::Request, 0, &rules()).is_err());
        assert!(third.take(Charge::Send, 0, &rules()).is_ok(), "another rate");
        let other = allowances.of_user(UserId(8), 0);
        assert!(other.take(Charge::Request, 0, &rules()).is_ok());
    }

    #[test]
    fn an_address_has_one_allowance_and_a_network_of_ipv6_is_one_address() {
        let allowances = Allowances::new(1_000);
        for number in 0..60_u16 {
            let host = format!("2001:db8:1:2::{number:x}");
            let hello = allowances
                .of_address(ip(&host), 0)
                .take(Charge::Hello, 0, &rules());
            assert!(hello.is_ok(), "{number}");
        }
        let hello = |address: &str| {
            allowances
                .of_address(ip(address), 0)
                .take(Charge::Hello, 0, &rules())
        };
        assert_eq!(hello("2001:db8:1:2:ffff::1"), Err(1_000_000));
        assert!(hello("2001:db8:1:3::1").is_ok());
        assert!(hello("192.0.2.1").is_ok());
        let any = Rules {
            hellos_per_minute: 0,
            ..rules()
        };
        let address = allowances.of_address(ip("2001:db8:1:2::1"), 0);
        assert!(address.take(Charge::Hello, 0, &any).is_ok(), "no limit");
    }

    #[test]
    fn people_and_receipts_cost_one_by_one_and_more_than_the_burst_all_of_it() {
        let allowance = Allowance::default();
        let take = |charge, now| allowance.take(charge, now, &rules());
        assert!(take(Charge::People(60), 0).is_ok());
        assert_eq!(take(Charge::People(60), 0), Err(20_000_000));
        assert!(take(Charge::People(60), 20_000_000).is_ok());
        let rested = 1_000_000_000;
        assert!(take(Charge::People(1_000), rested).is_ok());
        assert!(take(Charge::People(1), rested).is_err());
        assert!(take(Charge::Receipts(1_000), rested).is_ok());
        assert_eq!(take(Charge::Receipts(1), rested), Err(100_000));
    }

    #[test]
    fn only_what_is_full_again_is_forgotten() {
        let allowances = Allowances::new(1_000_000);
        let used = allowances.of_user(UserId(1), 0);
        assert!(used.take(Charge::People(100), 0, &rules()).is_ok());
        drop(used);
        for user in 2..100_000 {
            let allowance = allowances.of_user(UserId(user), 0);
            assert!(allowance.take(Charge::Request, 0, &rules()).is_ok());
        }
        assert_eq!(allowances.users.len(), 99_999, "nobody's debt is forgotten");
        for user in 200_000..400_000 {
            allowances.of_user(UserId(user), 50_000_000);
        }
        let left = allowances.users.len();
        assert!(left <= 2 * SHARDS * SWEEP_LEAST, "{left}");
        let debtor = allowances.of_user(UserId(1), 50_000_000);
        assert!(debtor.take(Charge::People(60), 50_000_000, &rules()).is_err());
    }

    #[test]
    fn a_flood_of_addresses_is_bounded_takes_no_users_place_and_ends_no_debt() {
        let allowances = Allowances::new(SHARDS * SWEEP_LEAST);
        let debtor = ip("192.0.2.1");
        let _ = allowances
            .of_address(debtor, 0)
            .take(Charge::People(100), 0, &rules());
        for number in 0..100_000_u32 {
            let address = IpAddr::from(number.to_be_bytes());
            let _ = allowances.of_address(address, 0).take(Charge::Hello, 0, &rules());
        }
        assert!(allowances.addresses.len() <= SHARDS * SWEEP_LEAST);
        let of_debtor = allowances.of_address(debtor, 0);
        assert!(of_debtor.take(Charge::People(100), 0, &rules()).is_err());
        let user = allowances.of_user(UserId(1), 0);
        assert!(user.take(Charge::Request, 0, &rules()).is_ok());
        assert_eq!(allowances.users.len(), 1);
        // A second later what they used is there again, and so is their room.
        let mut shared = 0;
        for number in 0..1_000_u32 {
            let address = IpAddr::from((1_000_000 + number).to_be_bytes());
            let first = allowances.of_address(address, 2_000_000);
            shared += usize::from(Arc::strong_count(&first) > 2);
        }
        assert_eq!(shared, 0, "each has its own");
    }

    #[test]
    fn whoever_fills_the_table_from_many_networks_of_one_organisation_spends_nobody_elses() {
        const OTHERS: u16 = 1_000;
        let allowances = Allowances::new(SHARDS * SWEEP_LEAST);
        let mut held = Vec::new();
        for network in 0..50_000_u32 {
            let [a, b, c, d] = network.to_be_bytes();
            let [a, b] = [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])];
            let address = Ipv6Addr::new(0x2001, 0xdb8, a, b, 0, 0, 0, 1).into();
            // What is used is not forgotten.
            let allowance = allowances.of_address(address, 0);
            while allowance.take(Charge::Hello, 0, &rules()).is_ok() {}
            held.push(allowance);
        }
        assert_eq!(allowances.addresses.len(), SHARDS * SWEEP_LEAST, "it is full");
        let mut refused = 0;
        for number in 0..OTHERS {
            let address: IpAddr = if number % 2 == 0 {
                Ipv6Addr::new(0x2600, number, 0, 0, 0, 0, 0, 1).into()
            } else {
                let [a, b] = number.to_be_bytes();
                IpAddr::from([a + 1, b, 0, 1])
            };
            let own = allowances.of_address(address, 0);
            refused += u16::from(own.take(Charge::Hello, 0, &rules()).is_err());
        }
        assert!(refused < OTHERS / 20, "{refused} of {OTHERS} were refused");
    }
}
