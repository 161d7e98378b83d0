//! The time of a store is that of its server, read once for every call of the script (design §4): were it read twice,
//! one call could see two times.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use enhanced_locking_foundation::{
    AcquireOutcome, AcquireRequest, Lease, LockBackend, OwnerId, Renewal, ResourceKey, Wait,
};
use enhanced_locking_redis::open;
use enhanced_locking_testkit::conformance::FixturePolicy;
use enhanced_locking_testkit::redis::{RedisServer, ServerOptions};

/// How often the server was asked for its time, and how often for the code.
fn asked(server: &RedisServer) -> (u64, u64) {
    let stats: BTreeMap<_, _> = server.info("commandstats").unwrap();
    let calls = |command: &str| -> u64 {
        let figures = stats.get(&format!("cmdstat_{command}")).map_or("", String::as_str);
        let calls = figures.split(',').find_map(|figure| figure.strip_prefix("calls="));
        calls.map_or(0, |calls| calls.parse().unwrap())
    };
    (calls("time"), calls("fcall") + calls("eval") + calls("evalsha"))
}

#[tokio::test]
async fn the_clock_is_read_once_per_call() {
    let server = RedisServer::start(&ServerOptions::default()).unwrap();
    for functions in [true, false] {
        let server = if functions { &server } else { common::server(false) };
        let mut config = common::config(FixturePolicy::default(), functions);
        config.servers = enhanced_locking_redis::Servers::unix(server.socket());
        let store = open(config).await.unwrap();
        let before = asked(server);
        for n in 0..20 {
            let request = |owner: &str| {
                let key = ResourceKey::new(format!("key-{}", n % 3)).unwrap();
                AcquireRequest::new(key, OwnerId::new(owner).unwrap())
                    .lease(Lease::For(Duration::from_secs(60)))
            };
            let AcquireOutcome::Held(record) = store.acquire(request("a")).await.unwrap() else {
                panic!("it is free")
            };
            let waiter = request("b").wait(Wait::Forever);
            store.acquire(waiter.clone()).await.unwrap();
            store.renew(vec![Renewal { grant: record.grant(), lease: None }]).await.unwrap();
            store.release(&record.grant()).await.unwrap();
            let AcquireOutcome::Held(record) = store.acquire(waiter).await.unwrap() else {
                panic!("it is its turn")
            };
            store.release(&record.grant()).await.unwrap();
            store.sweep(100).await.unwrap();
        }
        let after = asked(server);
        let (times, calls) = (after.0 - before.0, after.1 - before.1);
        assert!(calls >= 140, "{calls}");
        assert_eq!(times, calls);
    }
}

#[tokio::test]
async fn grants_are_dated_by_the_server() {
    let server = common::server(true);
    let store = open(common::config(FixturePolicy::default(), true)).await.unwrap();
    let time = || {
        let reply = server.call(["TIME"]).unwrap();
        let part = |at: usize| -> u64 { reply.items()[at].text().unwrap().parse().unwrap() };
        part(0) * 1_000_000 + part(1)
    };
    for n in 0..200 {
        let request =
            AcquireRequest::new(ResourceKey::new(format!("k{n}")).unwrap(), OwnerId::new("a").unwrap());
        let before = time();
        let AcquireOutcome::Held(record) = store.acquire(request).await.unwrap() else {
            panic!("it is free")
        };
        let at = record.acquired_at.as_micros();
        assert!((before..=time()).contains(&at), "{before} {at}");
        assert!(record.token.as_u64() >= at, "a token is never behind the time of its grant");
    }
}
