//! Cases about shared locks: readers together, writers alone, neither starving (design §4, "modes").

use enhanced_locking_foundation::{EndReason, Wait};

use crate::conformance::{Bench, Fixture, ask, secs};

pub async fn shared_owners_hold_together(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let first = t.held(&ask(&key, "a").shared()).await;
    let second = t.held(&ask(&key, "b").shared()).await;
    assert!(second.token > first.token, "each has a token of its own, and later ones are higher");
    assert_eq!(t.holders(&key).await, ["a", "b"]);
}

pub async fn a_writer_waits_for_every_reader(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let readers = [t.held(&ask(&key, "a").shared()).await, t.held(&ask(&key, "b").shared()).await];
    let writer = ask(&key, "w");
    assert_eq!(t.queued(&writer).await.holders.len(), 2);
    assert!(t.release(&readers[0]).await.is_empty(), "{}", t.line(&key).await);
    t.waits(&writer).await;
    assert_eq!(t.release(&readers[1]).await.len(), 1, "{}", t.line(&key).await);
    t.holds(&writer).await;
}

pub async fn a_reader_waits_for_a_writer(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let writer = t.held(&ask(&key, "w")).await;
    let reader = ask(&key, "a").shared();
    t.queued(&reader).await;
    t.release(&writer).await;
    t.holds(&reader).await;
}

pub async fn a_queued_writer_stops_new_readers(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&ask(&key, "a").shared()).await;
    t.queued(&ask(&key, "w")).await;
    assert_eq!(t.queued(&ask(&key, "b").shared()).await.position, 2, "{}", t.line(&key).await);
    assert_eq!(t.busy(&ask(&key, "c").shared().wait(Wait::No)).await.len(), 1);
}

pub async fn readers_at_the_head_are_let_in_together(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let writer = t.held(&ask(&key, "w")).await;
    for reader in ["a", "b"] {
        t.queued(&ask(&key, reader).shared()).await;
    }
    let second = ask(&key, "x");
    t.queued(&second).await;
    t.queued(&ask(&key, "c").shared()).await;
    let next = t.release(&writer).await;
    assert_eq!(next.len(), 2, "the run of readers at the head, and nobody behind the writer: {next:?}");
    assert!(next[0].token < next[1].token, "tokens rise in the order of the line");
    assert_eq!(t.holders(&key).await, ["a", "b"]);
    assert_eq!(t.waiting(&key).await, ["x", "c"]);
}

pub async fn a_stream_of_readers_does_not_starve_a_writer(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let first = t.held(&ask(&key, "r").shared()).await;
    let writer = ask(&key, "w");
    t.queued(&writer).await;
    for i in 0..20 {
        t.advance(secs(1)).await;
        t.queued(&ask(&key, &format!("r{i}")).shared()).await;
    }
    t.release(&first).await;
    let record = t.holds(&writer).await;
    assert_eq!(t.holders(&key).await, ["w"]);
    assert_eq!(t.release(&record).await.len(), 20, "then all readers come in at once");
}

pub async fn writers_and_readers_take_turns_in_order(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let mut holding = vec![t.held(&ask(&key, "start")).await];
    for name in ["w1", "r1", "r2", "w2", "w3", "r3"] {
        let request = ask(&key, name);
        t.queued(&if name.starts_with('r') { request.shared() } else { request }).await;
    }
    let mut turns = Vec::new();
    while !holding.is_empty() {
        let mut next = Vec::new();
        for record in &holding {
            next.extend(t.release(record).await);
        }
        turns.push(next.iter().map(|record| record.owner().to_string()).collect::<Vec<_>>().join("+"));
        holding = next;
    }
    assert_eq!(turns, ["w1", "r1+r2", "w2", "w3", "r3", ""]);
}

pub async fn a_writer_that_leaves_the_line_lets_readers_in(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&ask(&key, "a").shared()).await;
    let writer = ask(&key, "w");
    t.queued(&writer).await;
    let reader = ask(&key, "b").shared();
    t.queued(&reader).await;
    t.cancel(&writer).await;
    assert_eq!(t.holders(&key).await, ["a", "b"], "{}", t.line(&key).await);
}

pub async fn a_writer_that_gives_up_lets_readers_in(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&ask(&key, "a").shared()).await;
    let writer = ask(&key, "w").wait(Wait::AtMost(secs(10)));
    t.queued(&writer).await;
    let reader = ask(&key, "b").shared();
    t.queued(&reader).await;
    t.advance(secs(10)).await;
    t.holds(&reader).await;
    t.ended(&writer, EndReason::TimedOut).await;
}

pub async fn one_reader_leaving_does_not_disturb_the_others(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let mut records = Vec::new();
    for name in ["a", "b", "c"] {
        records.push(t.held(&ask(&key, name).shared()).await);
    }
    t.release(&records.remove(1)).await;
    assert_eq!(t.holders(&key).await, ["a", "c"]);
    let view = t.view(&key).await.map(|view| view.holders);
    assert!(view.is_some_and(|holders| holders.iter().all(|held| records.contains(held))));
}
