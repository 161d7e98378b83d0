//! The line against an ordered map, and the overtaking bound for every credit table.

use std::collections::BTreeMap;
use std::time::Duration;

use enhanced_locking_foundation::{Priority, Timestamp};
use enhanced_locking_queue::{CreditTable, Line, Place};
use proptest::prelude::*;

fn place(rank: u64, sequence: u64) -> Place {
    Place { rank: CreditTable::fifo().rank(Timestamp::from_micros(rank), Priority::Normal), sequence }
}

proptest! {
    #[test]
    fn a_line_behaves_like_an_ordered_map_that_knows_positions(
        steps in proptest::collection::vec((any::<bool>(), 0u64..8, 0u64..8), 0..200),
    ) {
        let mut line = Line::new();
        let mut model = BTreeMap::new();
        for (insert, rank, sequence) in steps {
            let at = place(rank, sequence);
            if insert {
                prop_assert_eq!(line.insert(at, sequence), model.insert(at, sequence));
            } else {
                prop_assert_eq!(line.remove(at), model.remove(&at));
            }
            prop_assert_eq!(line.len(), model.len());
            prop_assert!(line.iter().map(|(at, v)| (at, *v)).eq(model.iter().map(|(at, v)| (*at, *v))));
            for (i, at) in model.keys().enumerate() {
                prop_assert_eq!(line.position(*at), Some(i + 1));
                prop_assert_eq!(line.get(*at), model.get(at));
            }
            prop_assert_eq!(line.position(place(99, 99)), None);
        }
    }

    #[test]
    fn nobody_is_overtaken_outside_the_credit_window(
        credits in proptest::array::uniform5(0u64..10_000),
        (first, second) in (0u64..1_000_000, 0u64..1_000_000),
        (a, b) in (0usize..5, 0usize..5),
    ) {
        let table = CreditTable::new(credits.map(Duration::from_micros));
        let (early, late) = (first.min(second), first.max(second));
        let (a, b) = (Priority::ALL[a], Priority::ALL[b]);
        let overtaken = table.rank(Timestamp::from_micros(late), b) < table.rank(Timestamp::from_micros(early), a);
        let window = credits[b.index()].saturating_sub(credits[a.index()]);
        prop_assert_eq!(overtaken, late - early < window);
    }
}

#[test]
fn a_line_of_a_hundred_thousand_is_shallow_enough_to_walk() {
    let mut line = Line::new();
    for i in 0..100_000u64 {
        line.insert(place(i / 3, i), i);
    }
    assert_eq!(line.position(place(99_999 / 3, 99_999)), Some(100_000));
    for i in (0..100_000).step_by(2) {
        assert_eq!(line.remove(place(i / 3, i)), Some(i));
    }
    assert_eq!(line.position(place(99_999 / 3, 99_999)), Some(50_000));
    assert_eq!(line.first().map(|(_, v)| *v), Some(1));
}
