//! Noticing promotions: a server that was promoted, or started again, has another replication id. Owns what this process
//! has seen; the pause of grants in the class strict is the scripts', because only they see it before they grant.

use std::collections::HashMap;

/// The replication ids that were seen, by address.
#[derive(Debug, Default)]
pub(crate) struct Promotions {
    seen: HashMap<String, String>,
    count: u64,
}

impl Promotions {
    /// Notes what a server says of itself. Answers whether it is another than the one that was there before.
    pub(crate) fn note(&mut self, address: &str, replication_id: &str, follows: &str) -> bool {
        let before = self.seen.insert(address.to_owned(), replication_id.to_owned());
        let promoted = match before {
            Some(before) => before != replication_id,
            // A server that was not asked before, but was the replica of one that was.
            None => self.seen.iter().any(|(other, id)| other != address && id == follows),
        };
        self.count += u64::from(promoted);
        promoted
    }

    /// How many were noticed.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: &str = "0000000000000000000000000000000000000000";

    #[test]
    fn another_id_at_the_same_address_is_a_promotion_and_the_same_is_none() {
        let mut promotions = Promotions::default();
        assert!(!promotions.note("a:1", "one", NONE));
        assert!(!promotions.note("a:1", "one", NONE));
        assert!(promotions.note("a:1", "two", "one"));
        assert!(!promotions.note("a:1", "two", "one"));
        assert_eq!(promotions.count(), 1);
    }

    #[test]
    fn a_new_address_is_a_promotion_only_if_it_followed_a_server_that_was_seen() {
        let mut promotions = Promotions::default();
        assert!(!promotions.note("a:1", "one", NONE));
        assert!(!promotions.note("b:1", "other shard", NONE));
        assert!(promotions.note("c:1", "three", "one"));
        assert_eq!(promotions.count(), 1);
    }
}
