//! Answers that are lost, servers that are gone: what callers are told, and that asking again with the same request id
//! gives the one truth.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_foundation::{
    AcquireError, AcquireOutcome, AcquireRequest, BackendError, BackendErrorKind, EventCursor, EventKind,
    LockBackend, LockRecord, OwnerId, ReleaseError, ReleaseOutcome, Renewal, RequestState, ResourceKey,
    TransferError, Transferee,
};
use enhanced_locking_redis::{BreakerState, RedisBackend, RedisConfig, Servers, open};
use enhanced_locking_testkit::redis::{Fault, Proxy, RedisServer, ServerOptions};
use tokio::time::Instant;

const SOON: Duration = Duration::from_secs(10);

/// A server, and a store that reaches it through a proxy.
struct Way {
    server: RedisServer,
    proxy: Proxy,
    store: Arc<RedisBackend>,
}

impl Way {
    async fn with(retries: u32) -> Self {
        let server = RedisServer::start(&ServerOptions::default()).expect("a server starts");
        let proxy = Proxy::to(server.address()).expect("a proxy starts");
        let at = proxy.address();
        let mut config = RedisConfig::new(Servers::single(at.ip().to_string(), at.port()));
        config.connect_timeout = SOON;
        config.command_timeout = Duration::from_secs(1);
        config.retries = retries;
        let store = open(config).await.expect("the store opens");
        Self { server, proxy, store }
    }

    /// The next answer of the server is lost, and the connection with it.
    async fn lose_the_next_answer(&self) {
        self.reachable().await;
        self.proxy.set(Fault::CutReplies { after: 0 });
    }

    async fn reachable(&self) {
        let tried = tokio::time::timeout(SOON, async {
            while self.store.ping().await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        tried.await.expect("the store finds its server again");
    }

    /// How often something happened, by what the server tells.
    async fn count(&self, happened: impl Fn(&EventKind) -> bool) -> usize {
        let page = self.store.events(&EventCursor::start(), 1_000).await.expect("an answer");
        page.events.iter().filter(|event| happened(&event.kind)).count()
    }
}

fn request(key: &str, owner: &str) -> AcquireRequest {
    AcquireRequest::new(ResourceKey::new(key).unwrap(), OwnerId::new(owner).unwrap()).sticky()
}

async fn hold(store: &RedisBackend, request: &AcquireRequest) -> LockRecord {
    match store.acquire(request.clone()).await.expect("an answer") {
        AcquireOutcome::Held(record) => record,
        other => panic!("{} should hold: {other:?}", request.owner),
    }
}

fn assert_unknown(error: &BackendError) {
    assert!(error.is_indeterminate(), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acquire_whose_answer_was_lost_is_one_lock_with_one_token() {
    let way = Way::with(0).await;
    let (mut asked, mut truth) = (request("k", "a"), None);
    for _ in 0..20 {
        way.lose_the_next_answer().await;
        let AcquireError::Backend(error) = way.store.acquire(asked.clone()).await.unwrap_err() else {
            panic!()
        };
        assert_unknown(&error);
        way.reachable().await;
        match way.store.find(&asked.id).await.unwrap() {
            Some((_, RequestState::Held(record))) => {
                truth = Some(record);
                break;
            }
            // The answer that was lost was one to the watch over the server, which shares the connection.
            None => asked = request("k", "a"),
            other => panic!("{other:?}"),
        }
    }
    let truth = truth.expect("an answer to an acquire was lost");
    for _ in 0..3 {
        assert_eq!(hold(&way.store, &asked).await, truth, "asking again tells the same");
    }
    assert_eq!(way.count(|kind| matches!(kind, EventKind::Acquired)).await, 1);
    assert_eq!(way.store.stats().await.unwrap().held, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_whose_answer_was_lost_has_released_once() {
    let way = Way::with(0).await;
    let record = hold(&way.store, &request("k", "a")).await;
    way.lose_the_next_answer().await;
    let ReleaseError::Backend(error) = way.store.release(&record.grant()).await.unwrap_err() else {
        panic!()
    };
    assert_unknown(&error);
    way.reachable().await;
    let next = hold(&way.store, &request("k", "b")).await;
    assert_eq!(way.store.release(&record.grant()).await.unwrap(), ReleaseOutcome::AlreadyReleased);
    assert_eq!(hold(&way.store, &next.request).await, next, "the next holder is left alone");
    assert_eq!(way.count(|kind| matches!(kind, EventKind::Ended { .. })).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn renewals_and_transfers_can_be_asked_for_again() {
    let way = Way::with(0).await;
    let record = hold(&way.store, &request("k", "a")).await;
    let renewal = || vec![Renewal { grant: record.grant(), lease: None }];
    way.lose_the_next_answer().await;
    assert_unknown(&way.store.renew(renewal()).await.unwrap_err());
    way.reachable().await;
    assert_eq!(way.store.renew(renewal()).await.unwrap().remove(0).unwrap().token, record.token);
    let to = || Transferee::new(OwnerId::new("b").unwrap());
    way.lose_the_next_answer().await;
    let error = way.store.transfer(&record.grant(), to()).await.unwrap_err();
    let TransferError::Backend(error) = error else { panic!("{error:?}") };
    assert_unknown(&error);
    way.reachable().await;
    let theirs = way.store.transfer(&record.grant(), to()).await.unwrap();
    assert!(theirs.owner().as_str() == "b" && theirs.token > record.token, "{theirs:?}");
    assert_eq!(way.store.transfer(&record.grant(), to()).await.unwrap(), theirs);
    assert_eq!(way.count(|kind| matches!(kind, EventKind::Transferred { .. })).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acquire_is_asked_for_again_by_itself_and_happens_once() {
    let way = Way::with(5).await;
    for n in 0..5 {
        let asked = request(&format!("k{n}"), "a");
        way.lose_the_next_answer().await;
        match way.store.acquire(asked.clone()).await {
            Ok(AcquireOutcome::Held(_)) => {}
            Err(AcquireError::Backend(error)) => assert_unknown(&error),
            other => panic!("{other:?}"),
        }
        way.reachable().await;
        hold(&way.store, &asked).await;
    }
    assert_eq!(way.count(|kind| matches!(kind, EventKind::Acquired)).await, 5);
    assert!(way.store.status().await.retries >= 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_retries_fail_an_acquire_that_may_have_happened_stays_unknown() {
    let way = Way::with(3).await;
    way.reachable().await;
    // It is carried out and not answered, and then there is no connection to ask again.
    way.proxy.set(Fault::CutReplies { after: 0 });
    let asked = request("k", "a");
    let asking = tokio::spawn({
        let (store, asked) = (Arc::clone(&way.store), asked.clone());
        async move { store.acquire(asked).await }
    });
    while way.proxy.cut() == 0 {
        tokio::task::yield_now().await;
    }
    way.proxy.set(Fault::Refuse);
    match asking.await.unwrap() {
        Err(AcquireError::Backend(error)) => assert_unknown(&error),
        // It was quicker than the fault.
        Ok(AcquireOutcome::Held(_)) => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_is_not_waited_for_by_everybody() {
    let mut way = Way::with(0).await;
    way.store.ping().await.unwrap();
    way.server.pause().unwrap();
    let refused = tokio::time::timeout(SOON, async {
        loop {
            let asked = Instant::now();
            let error = way.store.now().await.unwrap_err();
            assert_eq!(error.kind(), BackendErrorKind::Unavailable, "{error:?}");
            if error.message().contains("asked again in") {
                return asked.elapsed();
            }
        }
    });
    let quick = refused.await.expect("calls are refused");
    assert!(quick < Duration::from_millis(500), "at once, not after a timeout: {quick:?}");
    let status = way.store.status().await;
    assert_ne!(status.breaker, BreakerState::Closed);
    assert!(status.problems().iter().any(|problem| problem.contains("breaker")), "{status:?}");
    way.server.resume().unwrap();
    way.reachable().await;
    assert_eq!(way.store.status().await.breaker, BreakerState::Closed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_killed_is_refused_at_once_and_found_again() {
    let mut way = Way::with(3).await;
    way.store.ping().await.unwrap();
    way.server.kill();
    let gone = tokio::time::timeout(SOON, async {
        loop {
            match way.store.acquire(request("k", "a")).await.unwrap_err() {
                AcquireError::Backend(error) if error.message().contains("asked again in") => return,
                AcquireError::Backend(error) => assert!(error.is_transient(), "{error:?}"),
                other => panic!("{other:?}"),
            }
        }
    });
    gone.await.expect("calls are refused");
    assert!(!way.store.status().await.connected);
    way.server.restart().unwrap();
    let back = Instant::now();
    way.reachable().await;
    assert!(back.elapsed() < Duration::from_secs(5), "{:?}", back.elapsed());
    let status = way.store.status().await;
    assert!(status.connected && status.connections >= 2 && status.promotions >= 1, "{status:?}");
    hold(&way.store, &request("k2", "a")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_has_the_figures_of_the_server_and_of_this_process() {
    let way = Way::with(3).await;
    hold(&way.store, &request("k", "a")).await;
    let status = way.store.status().await;
    let [node] = &status.nodes[..] else { panic!("{status:?}") };
    assert_eq!((node.role.as_str(), node.memory_policy.as_str()), ("master", "noeviction"));
    assert!(node.latency.is_some() && node.used_memory > 0 && node.problem.is_none(), "{node:?}");
    assert_eq!(node.replication_id.len(), 40);
    assert!(node.version.starts_with(|first: char| first.is_ascii_digit()), "{node:?}");
    assert!(status.connected && status.calls >= 1 && status.operations >= status.calls, "{status:?}");
    assert_eq!((status.promotions, status.shortfalls, status.retries), (0, 0, 0));
    assert_eq!(status.problems(), Vec::<String>::new());
    way.server.call(["CONFIG", "SET", "maxmemory", "1"]).unwrap();
    assert!(way.store.status().await.problems().iter().any(|problem| problem.contains("raise maxmemory")));
}
