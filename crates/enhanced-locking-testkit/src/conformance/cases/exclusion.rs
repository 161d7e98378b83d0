//! Cases about exclusion: one holder at a time, keys told apart byte by byte (invariant 1).

use std::collections::BTreeMap;
use std::time::Duration;

use enhanced_locking_foundation::{
    FencingToken, Metadata, OwnerId, Priority, QueuePlace, ReleaseOutcome, ResourceKey, Wait,
};

use crate::conformance::{Bench, Fixture, ask, fail, leased, owner, pull, secs};

pub async fn a_free_key_is_held_at_once(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let request = ask(&t.key("k"), "a");
    let record = t.held(&request).await;
    assert_eq!(*record.request, request);
    assert!(record.token > FencingToken::NONE);
    assert_eq!(record.acquired_at, t.now().await);
    assert_eq!((record.expires_at, record.claim_by), (None, None), "a sticky lock has no deadline");
    assert_eq!(t.holders(&request.key).await, ["a"]);
}

pub async fn a_second_owner_waits_in_line(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let first = t.held(&ask(&key, "a")).await;
    let second = ask(&key, "b");
    let place = t.queued(&second).await;
    assert_eq!(*place.request, second);
    assert_eq!((place.position, place.depth), (1, 1));
    assert_eq!(place.holders, [first]);
    assert_eq!(place.enqueued_at, t.now().await);
    assert_eq!(place.gives_up_at, None);
}

pub async fn an_owner_that_may_not_wait_is_told_who_holds_it(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let first = t.held(&ask(&key, "a")).await;
    assert_eq!(t.busy(&ask(&key, "b").wait(Wait::No)).await, [first]);
    assert!(t.waiting(&key).await.is_empty(), "{}", t.line(&key).await);
}

pub async fn a_request_that_was_busy_may_be_sent_again(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let first = t.held(&ask(&key, "a")).await;
    let second = ask(&key, "b").wait(Wait::No);
    t.busy(&second).await;
    t.release(&first).await;
    assert_eq!(*t.held(&second).await.owner(), owner("b"), "busy is no end: the same id may try again");
}

pub async fn busy_names_at_most_sixteen_holders(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    for i in 0..=QueuePlace::MAX_BLOCKERS {
        t.held(&ask(&key, &format!("reader-{i}")).shared()).await;
    }
    let busy = t.busy(&ask(&key, "w").wait(Wait::No)).await;
    assert_eq!(busy.len(), QueuePlace::MAX_BLOCKERS);
    assert_eq!(t.queued(&ask(&key, "w")).await.holders.len(), QueuePlace::MAX_BLOCKERS);
}

pub async fn keys_do_not_disturb_each_other(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    for name in ["k", "k/", "k/1", "K", "k ", "k:1", "k*", "k\u{e9}", "ke\u{301}"] {
        t.held(&ask(&t.key(name), "a")).await;
        t.queued(&ask(&t.key(name), "b")).await;
    }
}

pub async fn the_longest_names_are_taken(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let long = |text: String, max: usize| text + &"x".repeat(max);
    let mut key = long(t.prefix(), ResourceKey::MAX_BYTES);
    key.truncate(ResourceKey::MAX_BYTES);
    let near = format!("{}y", &key[..key.len() - 1]);
    let name = "o".repeat(OwnerId::MAX_BYTES);
    for text in [key, near] {
        let Ok(key) = ResourceKey::new(&text) else { fail(format_args!("{text} is not a key")) };
        let record = t.held(&ask(&key, "a")).await;
        let waiter = ask(&key, "w");
        let waiter = enhanced_locking_foundation::AcquireRequest { owner: owner(&name), ..waiter };
        t.queued(&waiter).await;
        assert_eq!(t.release(&record).await.len(), 1, "{}", t.line(&key).await);
        t.holds(&waiter).await;
    }
}

pub async fn a_released_key_is_free_again(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let first = t.held(&ask(&key, "a")).await;
    assert!(t.release(&first).await.is_empty());
    assert_eq!(t.view(&key).await, None, "a free key without a line is nothing");
    t.held(&ask(&key, "b")).await;
}

pub async fn a_release_hands_the_lock_on(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let first = t.held(&ask(&key, "a")).await;
    let second = ask(&key, "b");
    t.queued(&second).await;
    let next = t.release(&first).await;
    assert_eq!(next, [t.holds(&second).await], "the release tells who follows");
    assert!(t.waiting(&key).await.is_empty(), "{}", t.line(&key).await);
}

pub async fn a_record_shows_all_that_was_asked(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let labels = BTreeMap::from([("job".to_owned(), "https://ci/1".to_owned()), ("é".into(), String::new())]);
    let Ok(metadata) = Metadata::new(labels) else { fail(format_args!("labels are fine")) };
    let request = leased(&t.key("k"), "acme/infra#7")
        .user("Jo Ünal")
        .pull(pull("acme/infra", -7))
        .priority(Priority::Critical)
        .wait(Wait::AtMost(Duration::from_millis(1500)))
        .max_age(secs(3600))
        .metadata(metadata);
    let record = t.held(&request).await;
    assert_eq!(*record.request, request);
    let listed = t.view(&request.key).await.map(|view| view.holders);
    assert_eq!(listed, Some(vec![record]), "what is listed is what was answered");
}

pub async fn a_stale_token_releases_nothing(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let record = t.held(&ask(&key, "a")).await;
    for wrong in [FencingToken::NONE, FencingToken::from_u64(record.token.as_u64() + 1)] {
        let mut stale = record.clone();
        stale.token = wrong;
        let error = t.not_released(&stale).await;
        assert_eq!((error.current, error.ended), (Some(record.token), None), "given {wrong}");
    }
    assert_eq!(t.holders(&key).await, ["a"]);
    let answer = t.store.release(&record.grant()).await;
    assert!(matches!(answer, Ok(ReleaseOutcome::Released { .. })), "{answer:?}");
}
