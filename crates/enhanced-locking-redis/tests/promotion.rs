//! Promotions with and without lost writes, on a master and two replicas: what every durability class promises, and
//! what is seen.
//!
//! The nastiest case is made on purpose: the replica that had everything is passed over, and the one that was cut off
//! is promoted. `PROMOTIONS` asks for more of them than the usual 5.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed, and what was seen is printed"
)]

mod trio;

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use enhanced_locking_foundation::{
    AcquireError, AcquireOutcome, AcquireRequest, BackendErrorKind, BatchOutcome, Cause, DocumentName,
    DocumentOutcome, DocumentStore, DocumentUpdate, Lease, LockBackend, LockRecord, OwnerId, Renewal,
    RequestState, ResourceKey, Transferee, Wait,
};
use enhanced_locking_redis::{OpenError, RedisBackend, RedisConfig, RedisDurability, Servers, open};
use enhanced_locking_testkit::guard::GuardedResources;
use enhanced_locking_testkit::redis::{ClusterGroup, ClusterOptions, Takeover};
use futures_util::future::join_all;
use trio::{Promoted, Trio};

const LEASE: Duration = Duration::from_secs(3);
const SOON: Duration = Duration::from_secs(20);
/// Locks that are taken while the replica to be promoted is cut off.
const LOCKS: usize = 4;

/// What was seen over some promotions.
#[derive(Debug, Default)]
struct Seen {
    granted: usize,
    refused: usize,
    lost: usize,
    doubled: usize,
}

fn promotions() -> usize {
    std::env::var("PROMOTIONS").ok().and_then(|count| count.parse().ok()).unwrap_or(5)
}

fn request(key: &str, owner: &str) -> AcquireRequest {
    let request = AcquireRequest::new(ResourceKey::new(key).unwrap(), OwnerId::new(owner).unwrap());
    request.lease(Lease::For(LEASE))
}

/// Asks again while replicas are too slow: on a busy machine they may be, and the contract allows it.
async fn ask<T, E: Debug + Into<AcquireError>, F: Future<Output = Result<T, E>>>(
    mut call: impl FnMut() -> F,
) -> T {
    let until = tokio::time::Instant::now() + SOON;
    loop {
        match call().await.map_err(Into::into) {
            Ok(answer) => return answer,
            Err(AcquireError::Backend(error))
                if error.is_transient() && tokio::time::Instant::now() < until => {}
            Err(error) => panic!("an answer: {error:?}"),
        }
    }
}

async fn hold(store: &RedisBackend, request: &AcquireRequest) -> LockRecord {
    match ask(|| store.acquire(request.clone())).await {
        AcquireOutcome::Held(record) => record,
        other => panic!("{} should hold: {other:?}", request.owner),
    }
}

/// Takes a lock, at once or when it is its turn.
async fn hold_at_last(store: &RedisBackend, request: &AcquireRequest) -> LockRecord {
    match ask(|| store.acquire(request.clone())).await {
        AcquireOutcome::Held(record) => return record,
        AcquireOutcome::Queued(_) => {}
        AcquireOutcome::Busy(holders) => panic!("{} did not wait for {holders:?}", request.owner),
    }
    match ask(|| async { store.await_turn(&request.ticket(), SOON).await }).await {
        RequestState::Held(record) => record,
        other => panic!("{} should hold at last: {other:?}", request.owner),
    }
}

async fn store(trio: &Trio, durability: RedisDurability) -> std::sync::Arc<RedisBackend> {
    let at = trio.address();
    let mut config = RedisConfig::new(Servers::single(at.ip().to_string(), at.port()));
    config.connect_timeout = SOON;
    config.poll_period = Duration::from_millis(100);
    config.durability = durability.timeout(Duration::from_millis(500)).grace(Duration::from_millis(50));
    open_at_last(&config).await
}

async fn open_at_last(config: &RedisConfig) -> std::sync::Arc<RedisBackend> {
    ask(|| async {
        let opened = open(config.clone()).await;
        opened.map_err(|error| match error {
            OpenError::Server(error) => error,
            error => panic!("the store opens: {error:?}"),
        })
    })
    .await
}

/// Tries until the store has found the new master.
async fn reachable(store: &RedisBackend) {
    let tried = tokio::time::timeout(SOON, async {
        while store.now().await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    tried.await.expect("the store finds the new master");
}

/// One promotion while one replica was cut off, and what it did to the locks.
async fn promote_once(trio: &mut Trio, store: &RedisBackend, which: Promoted, round: usize, seen: &mut Seen) {
    let rows = GuardedResources::checked();
    let known = hold(store, &request(&format!("known-{round}"), "old").sticky()).await;
    // Of this length leases will be lost.
    hold(store, &request(&format!("leased-{round}"), "old")).await;
    trio.wait_synced();
    trio.cut_off();
    let mut held = Vec::new();
    let asked = (0..LOCKS).map(|n| store.acquire(request(&format!("lock-{round}-{n}"), "old")));
    for answer in join_all(asked).await {
        match answer {
            Ok(AcquireOutcome::Held(record)) => held.push(record),
            Err(AcquireError::Backend(error)) if error.kind() == BackendErrorKind::Unavailable => {
                seen.refused += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    seen.granted += held.len();
    let before: Vec<_> =
        held.iter().map(|record| rows.read(&record.request.key, record.token).unwrap()).collect();
    trio.promote(which);
    reachable(store).await;
    let renewal = Renewal { grant: known.grant(), lease: None };
    let renewed = ask(|| store.renew(vec![renewal.clone()])).await.pop().expect("one answer");
    assert_eq!(renewed.expect("what the new master knows is renewed").token, known.token);
    for record in &held {
        let found = store.find(&record.request.id).await.expect("an answer");
        seen.lost += usize::from(found.is_none());
    }
    let again: Vec<AcquireRequest> = held
        .iter()
        .map(|record| request(record.request.key.as_str(), "new").wait(Wait::AtMost(SOON)))
        .collect();
    let again = join_all(again.iter().map(|request| hold_at_last(store, request))).await;
    for ((old, new), read) in held.iter().zip(&again).zip(before) {
        assert!(new.token > old.token, "tokens rise over a promotion: {old:?} {new:?}");
        seen.doubled += usize::from(old.expires_at.is_some_and(|end| new.acquired_at < end));
        let version = rows.read(&new.request.key, new.token).unwrap();
        rows.write(&new.request.key, new.token, version).unwrap();
        rows.write(&old.request.key, old.token, read).expect_err("a guarded resource knows who is too old");
    }
    assert_eq!(rows.updates().lost, 0);
    for record in again.iter().chain([&known]) {
        // The pause or the waiting may have outlasted it.
        let _ = store.release(&record.grant()).await;
    }
}

async fn promote_often(durability: RedisDurability, which: Promoted) -> Seen {
    let mut trio = Trio::start();
    let store = store(&trio, durability).await;
    let mut seen = Seen::default();
    let rounds = promotions();
    for round in 0..rounds {
        promote_once(&mut trio, &store, which, round, &mut seen).await;
        trio.reunite();
    }
    let status = store.status().await;
    assert!(status.promotions >= rounds as u64, "every promotion is noticed: {status:?}");
    let Seen { granted, refused, lost, doubled } = seen;
    println!(
        "{} with {} copies, {rounds} promotions ({which:?}): \
         {granted} granted, {refused} refused, {lost} lost, {doubled} doubled",
        durability.class().as_str(),
        durability.replicas()
    );
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn fast_loses_what_the_promoted_replica_did_not_have_and_tokens_tell() {
    let seen = promote_often(RedisDurability::fast(), Promoted::CutOff).await;
    assert_eq!((seen.refused, seen.granted), (0, promotions() * LOCKS));
    assert_eq!((seen.lost, seen.doubled), (seen.granted, seen.granted), "this is what the class says");
}

#[tokio::test(flavor = "multi_thread")]
async fn durable_with_too_few_copies_loses_as_fast_does() {
    let seen = promote_often(RedisDurability::durable(1), Promoted::CutOff).await;
    assert_eq!((seen.refused, seen.granted), (0, promotions() * LOCKS));
    assert_eq!((seen.lost, seen.doubled), (seen.granted, seen.granted), "WAIT is not consensus");
}

#[tokio::test(flavor = "multi_thread")]
async fn durable_loses_nothing_if_the_best_replica_is_promoted() {
    let seen = promote_often(RedisDurability::durable(1), Promoted::Best).await;
    assert_eq!((seen.refused, seen.granted), (0, promotions() * LOCKS));
    assert_eq!((seen.lost, seen.doubled), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn durable_with_all_copies_grants_nothing_that_can_be_lost() {
    let seen = promote_often(RedisDurability::durable(2), Promoted::CutOff).await;
    assert_eq!((seen.refused, seen.granted), (promotions() * LOCKS, 0));
    assert_eq!((seen.lost, seen.doubled), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_grants_nothing_twice_even_if_grants_are_lost() {
    let seen = promote_often(RedisDurability::strict(1), Promoted::CutOff).await;
    assert_eq!((seen.refused, seen.granted), (0, promotions() * LOCKS));
    assert_eq!((seen.lost, seen.doubled), (seen.granted, 0), "lost, but waited for");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_too_few_replicas_have_is_given_back() {
    let trio = Trio::start();
    let store = store(&trio, RedisDurability::durable(2)).await;
    let held = hold(&store, &request("held", "a").sticky()).await;
    trio.cut_off();
    let asked = request("k", "a");
    let AcquireError::Backend(error) = store.acquire(asked.clone()).await.unwrap_err() else { panic!() };
    assert_eq!(error.kind(), BackendErrorKind::Unavailable, "it did not happen: {error:?}");
    assert_eq!(store.resource(&asked.key, 0).await.unwrap(), None);
    // A lock that is held is not given back because its owner asks again.
    let AcquireError::Backend(error) = store.acquire(request("held", "a").sticky()).await.unwrap_err() else {
        panic!()
    };
    assert!(error.is_indeterminate(), "{error:?}");
    assert!(store.resource(&held.request.key, 0).await.unwrap().is_some());
    let both = vec![request("x", "a"), request("y", "a")];
    let AcquireError::Backend(error) = store.acquire_all(both.clone()).await.unwrap_err() else { panic!() };
    assert_eq!(error.kind(), BackendErrorKind::Unavailable, "{error:?}");
    assert_eq!(store.stats().await.unwrap().held, 1);
    assert!(store.status().await.shortfalls >= 3);
    trio.join_up();
    assert!(matches!(store.acquire_all(both).await.unwrap(), BatchOutcome::Held(held) if held.len() == 2));
    hold(&store, &asked).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_too_few_replicas_have_is_unknown_until_they_do() {
    let trio = Trio::start();
    let store = store(&trio, RedisDurability::durable(2)).await;
    let held = hold(&store, &request("k", "a").sticky()).await;
    trio.cut_off();
    for _ in 0..2 {
        let error = store.release(&held.grant()).await.unwrap_err();
        let enhanced_locking_foundation::ReleaseError::Backend(error) = error else { panic!("{error:?}") };
        assert!(error.is_indeterminate(), "asking again does not make it true: {error:?}");
    }
    trio.join_up();
    let outcome = store.release(&held.grant()).await.unwrap();
    assert_eq!(outcome, enhanced_locking_foundation::ReleaseOutcome::AlreadyReleased);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_too_few_replicas_have_is_unknown_until_they_do() {
    let trio = Trio::start();
    let store = store(&trio, RedisDurability::durable(2)).await;
    let name = DocumentName::new("a").unwrap();
    let update = |text: &str| DocumentUpdate::write(text.as_bytes().to_vec());
    ask(|| store.put_document(&name, update("one"))).await;
    trio.cut_off();
    for update in [update("two"), update("two").if_was(Some(b"two".to_vec())), DocumentUpdate::delete()] {
        let error = store.put_document(&name, update).await.unwrap_err();
        assert!(error.is_indeterminate(), "{error:?}");
    }
    assert_eq!(store.document(&name).await.unwrap(), None, "it is done here");
    assert!(store.status().await.shortfalls >= 3);
    trio.join_up();
    let again = ask(|| store.put_document(&name, DocumentUpdate::delete())).await;
    assert_eq!(again, DocumentOutcome::Done { existed: false });
}

#[tokio::test(flavor = "multi_thread")]
async fn during_the_pause_holders_go_on_and_nobody_else_begins() {
    let mut trio = Trio::start();
    let store = store(&trio, RedisDurability::strict(1)).await;
    let (kept, gone) =
        (hold(&store, &request("kept", "a")).await, hold(&store, &request("gone", "a").sticky()).await);
    let long = hold(&store, &request("long", "a").lease(Lease::For(LEASE * 3))).await;
    trio.wait_synced();
    trio.cut_off();
    trio.promote(Promoted::CutOff);
    reachable(&store).await;
    let until = store.status().await.paused_until.expect("grants pause");
    assert!(until >= long.expires_at.unwrap(), "until the longest lease has run out");
    let renewal = Renewal { grant: kept.grant(), lease: None };
    store.renew(vec![renewal]).await.unwrap().remove(0).expect("a holder renews");
    assert_eq!(hold(&store, &kept.request).await.token, kept.token, "and is told what it holds");
    store.release(&gone.grant()).await.expect("and releases");
    for refused in [
        store.acquire(request("new", "b").wait(Wait::No)).await.map(|_| ()),
        store.acquire(request("gone", "b").shared().wait(Wait::No)).await.map(|_| ()),
        store.acquire_all(vec![request("new", "b"), request("other", "b")]).await.map(|_| ()),
    ] {
        let Err(AcquireError::Backend(error)) = refused else { panic!("{refused:?}") };
        assert_eq!(error.kind(), BackendErrorKind::Unavailable, "{error:?}");
        assert!(error.message().contains(&until.to_string()), "{error:?}");
    }
    let to = Transferee::new(OwnerId::new("b").unwrap());
    store.transfer(&kept.grant(), to).await.expect_err("a transfer is a grant");
    // A sticky waiter is not asked for, by anybody; the sweep after the pause hands on.
    let waiter = request("gone", "b").sticky().wait(Wait::Forever);
    assert!(matches!(store.acquire(waiter.clone()).await.unwrap(), AcquireOutcome::Queued(_)));
    let swept = store.sweep(100).await.unwrap();
    assert!(swept.next.is_some_and(|next| next <= until), "{swept:?}");
    let held = tokio::time::timeout(SOON, async {
        loop {
            store.sweep(100).await.unwrap();
            let view = store.resource(&waiter.key, 0).await.unwrap().expect("somebody waits or holds");
            if let Some(holder) = view.holders.first() {
                return holder.clone();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let held = held.await.expect("it is handed on");
    assert_eq!(held.request.id, waiter.id);
    assert!(held.acquired_at >= until, "{held:?} {until:?}");
    assert!(store.status().await.paused_until.is_none());
    store.clear(&enhanced_locking_foundation::Selector::Owner(waiter.owner), Cause::none()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_cluster_only_what_the_promoted_server_has_pauses() {
    let cluster = ClusterGroup::start(&ClusterOptions::default()).unwrap();
    let nodes = cluster.addresses().iter().map(|at| (at.ip().to_string(), at.port())).collect();
    let mut config = RedisConfig::new(Servers::Cluster { nodes });
    config.buckets = Some(16);
    config.connect_timeout = SOON;
    config.durability = RedisDurability::strict(1).grace(Duration::from_secs(60));
    let store = open_at_last(&config).await;
    let known = hold(&store, &request("known", "a").sticky()).await;
    let old = cluster.owner(0).unwrap();
    let heir = cluster.replicas(old).unwrap()[0];
    cluster.failover(heir, Takeover::Force).unwrap();
    cluster.wait_promotion(0, old, SOON).unwrap();
    cluster.wait_ok().unwrap();
    let (mut granted, mut paused) = (0, 0);
    for n in 0..40 {
        let asked = request(&format!("new-{n}"), "b").wait(Wait::No);
        let until = tokio::time::Instant::now() + SOON;
        loop {
            match store.acquire(asked.clone()).await {
                Ok(AcquireOutcome::Held(_)) => granted += 1,
                Err(AcquireError::Backend(error)) if error.message().contains("may have lost writes") => {
                    paused += 1;
                }
                Err(AcquireError::Backend(error))
                    if error.is_transient() && tokio::time::Instant::now() < until =>
                {
                    continue;
                }
                other => panic!("{other:?}"),
            }
            break;
        }
    }
    println!("strict in a cluster, one of three masters replaced: {granted} granted, {paused} paused");
    assert!(granted > 0 && paused > 0, "{granted} granted, {paused} paused");
    assert_eq!(hold(&store, &known.request).await.token, known.token);
    let status = store.status().await;
    assert!(status.paused_until.is_some() && status.promotions >= 1, "{status:?}");
    assert_eq!(status.nodes.len(), 3, "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_started_again_is_another_one() {
    let mut trio = Trio::start();
    let store = store(&trio, RedisDurability::strict(1)).await;
    hold(&store, &request("k", "a")).await;
    assert_eq!(store.status().await.paused_until, None);
    trio.restart_master_empty();
    reachable(&store).await;
    // It has not even the mark of a store that was opened: it forgot everything.
    let error = store.acquire(request("k", "b").wait(Wait::No)).await.unwrap_err();
    let AcquireError::Backend(error) = error else { panic!("{error:?}") };
    assert!(error.message().contains("may have lost writes"), "{error:?}");
    hold_at_last(&store, &request("k", "b").wait(Wait::AtMost(SOON))).await;
}
