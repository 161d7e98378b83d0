//! Cases about fencing tokens: they rise with every grant, whatever happened in between (invariant 2).

use enhanced_locking_foundation::{Cause, FencingToken, LockRecord, Selector, Transferee};

use crate::conformance::{Bench, Fixture, ask, fail, leased, owner, secs};

fn rises(last: &mut FencingToken, record: &LockRecord, after: &str) {
    assert!(record.token > *last, "after {after}: {} is not above {last}", record.token);
    *last = record.token;
}

pub async fn tokens_rise_while_the_clock_stands_still(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let mut last = FencingToken::NONE;
    for round in 0..10 {
        let record = t.held(&ask(&key, "a")).await;
        rises(&mut last, &record, &format!("round {round}"));
        t.release(&record).await;
    }
}

pub async fn a_token_is_not_below_server_time(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    t.held(&ask(&t.key("k"), "a")).await;
    t.advance(secs(60)).await;
    let record = t.held(&ask(&t.key("k2"), "a")).await;
    assert!(record.token.as_u64() >= t.now().await.as_micros(), "it survives the loss of the last token");
}

pub async fn tokens_rise_over_every_kind_of_end(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let mut last = FencingToken::NONE;
    let record = t.held(&leased(&key, "a")).await;
    rises(&mut last, &record, "nothing");
    t.advance(secs(30)).await;
    let record = t.held(&ask(&key, "b")).await;
    rises(&mut last, &record, "an expiry");
    assert!(t.store.force_release(&key, None, Cause::none()).await.is_ok());
    let record = t.held(&ask(&key, "c")).await;
    rises(&mut last, &record, "a force");
    assert!(t.store.clear(&Selector::Owner(owner("c")), Cause::none()).await.is_ok());
    let record = t.held(&ask(&key, "d")).await;
    rises(&mut last, &record, "a clear");
    let record = match t.store.transfer(&record.grant(), Transferee::new(owner("e"))).await {
        Ok(record) => record,
        Err(error) => fail(format_args!("transfer: {error}")),
    };
    rises(&mut last, &record, "a transfer");
    t.queued(&leased(&key, "f")).await;
    t.queued(&ask(&key, "g")).await;
    rises(&mut last, &t.release(&record).await[0], "a hand-off");
    t.advance(secs(5)).await;
    rises(&mut last, &t.held(&ask(&key, "g")).await, "an unclaimed grant");
}

pub async fn tokens_rise_after_a_key_was_gone_for_long(f: &dyn Fixture) {
    let t = Bench::with(f, |policy| policy.limits.finished = 1).await;
    let key = t.key("k");
    let first = t.held(&ask(&key, "a")).await;
    t.release(&first).await;
    for i in 0..20 {
        let record = t.held(&ask(&t.key(&format!("other{i}")), "b")).await;
        t.release(&record).await;
    }
    assert_eq!(t.view(&key).await, None, "the store has nothing left of the key");
    assert!(t.held(&ask(&key, "a")).await.token > first.token);
}

pub async fn readers_have_tokens_of_their_own(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let mut last = FencingToken::NONE;
    for name in ["a", "b", "c"] {
        rises(&mut last, &t.held(&ask(&key, name).shared()).await, name);
    }
}

pub async fn the_feed_tells_the_tokens_in_order(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let mut holder = t.held(&ask(&key, "a")).await;
    let mut tokens = vec![holder.token];
    for name in ["b", "c", "d"] {
        t.queued(&ask(&key, name)).await;
    }
    for _ in 0..3 {
        holder = t.release(&holder).await.remove(0);
        tokens.push(holder.token);
    }
    assert!(tokens.is_sorted_by(|a, b| a < b), "{tokens:?}");
    assert_eq!(t.tokens(&key).await, tokens);
}
