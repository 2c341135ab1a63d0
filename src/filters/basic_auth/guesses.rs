//! Who has guessed too often has to wait: wrong passwords are counted by address, and what comes after too many of them is not hashed.

use std::{sync::Arc, time::Duration};

use crate::{
    clock,
    exchange::Exchange,
    filters::{
        Site,
        keys::{self, Key, KeySettings, Stage},
        rate_limit::bucket::{Bucket, Empty, Taking},
        table::Table,
    },
    settings::Rate,
    telemetry::metrics::Event,
};

/// So many addresses are told apart. Each that is known has cost a hash within the last minutes, so it takes many hashes to fill
/// this, and then newcomers share what is left.
const MOST_ADDRESSES: u32 = 16 * 1024;

/// The wrong passwords of all addresses.
pub struct Guesses {
    bucket: Bucket,
    key: Key,
    /// When each address has nothing against it any more.
    table: Arc<Table>,
    held_off: Event,
}

/// A client that presents a password nobody knows to be right.
pub struct Guesser {
    guesses: Arc<Guesses>,
    client: u64,
}

impl Guesses {
    /// So many may be wrong in so much time. What was counted goes on over a reload.
    pub fn new(most: Rate, site: &Site<'_>) -> Self {
        let by_address = Key::new(KeySettings::default(), keys::a_clients_network(), Stage::BeforeAuthentication);
        Self {
            bucket: Bucket::new(most, most.count()).expect("the time of a rate is a year at most"),
            key: by_address.expect("an address is known before anybody has proved anything"),
            table: site.keep("guesses", |_| true, || Table::with_room_for(MOST_ADDRESSES)),
            held_off: site.event("held_off"),
        }
    }

    /// Whose request this is.
    pub fn guesser(self: &Arc<Self>, exchange: &Exchange) -> Guesser {
        let client = self.key.of(exchange, self.table.seed());
        Guesser { guesses: Arc::clone(self), client }
    }
}

impl Guesser {
    /// How long it has to wait before another password of it is hashed, if it has to.
    pub fn has_to_wait(&self) -> Option<Duration> {
        let Guesses { bucket, table, held_off, .. } = &*self.guesses;
        let Err(Empty(wait)) = bucket.take(table.number(self.client), clock::nanoseconds()) else { return None };
        held_off.happened();
        Some(wait)
    }

    /// It was wrong.
    pub fn was_wrong(&self) {
        let Guesses { bucket, table, .. } = &*self.guesses;
        // Of those that were hashed at the same time, more may be wrong than there may be: there is nothing more to take.
        let _counted = table.change(self.client, &Taking { bucket: *bucket, now: clock::nanoseconds() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{filters::testing::request, telemetry::metrics::Ledger};

    fn guesses(site: &Site<'_>) -> Arc<Guesses> {
        Arc::new(Guesses::new("2/1h".parse().expect("a rate"), site))
    }

    fn from(guesses: &Arc<Guesses>, address: &str) -> Guesser {
        let mut exchange = request("GET /", &[]);
        exchange.client.address = Some(address.parse().expect("an address"));
        guesses.guesser(&exchange)
    }

    #[test]
    fn who_was_wrong_too_often_waits_and_so_do_its_neighbours_of_ipv6() {
        let (ledger, at) = (Ledger::default(), ["basic_auth".to_owned()]);
        let site = Site::new("basic_auth", &at, None, &ledger);
        let guesses = guesses(&site);
        let waits = |address: &str| from(&guesses, address).has_to_wait().is_some();

        from(&guesses, "2001:db8::1").was_wrong();
        assert!(!waits("2001:db8::1"));
        from(&guesses, "2001:db8::2").was_wrong();

        for (address, expected) in
            [("2001:db8::1", true), ("2001:db8::ffff:1", true), ("2001:db8:0:1::1", false), ("192.0.2.1", false)]
        {
            assert_eq!(waits(address), expected, "{address}");
        }
        assert!(from(&guesses, "2001:db8::1").has_to_wait().is_some_and(|wait| wait <= Duration::from_secs(1800)));
        assert!(ledger.events().contains(&(("basic_auth", "held_off"), 3)));
    }

    #[test]
    fn it_takes_half_a_megabyte() {
        let (ledger, at) = (Ledger::default(), ["basic_auth".to_owned()]);
        let guesses = guesses(&Site::new("basic_auth", &at, None, &ledger));

        assert!((500_000..600_000).contains(&guesses.table.memory()), "{}", guesses.table.memory());
    }

    #[test]
    fn what_was_counted_goes_on_under_other_settings() {
        let (ledger, at) = (Ledger::default(), ["basic_auth".to_owned()]);
        let first = Site::new("basic_auth", &at, None, &ledger);
        let before = guesses(&first);
        (0..2).for_each(|_| from(&before, "192.0.2.1").was_wrong());
        let belongings = first.into_belongings();

        let after = guesses(&Site::new("basic_auth", &at, Some(&belongings), &ledger));

        assert!(from(&after, "192.0.2.1").has_to_wait().is_some());
    }
}
