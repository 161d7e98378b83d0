//! Faults of one server, and of the way to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use enhanced_locking_foundation::{
    AcquireOutcome, AcquireRequest, LockBackend, OwnerId, RequestState, ResourceKey, Wait,
};
use enhanced_locking_redis::{RedisConfig, Servers, open};
use enhanced_locking_testkit::redis::{Fault, Proxy, RedisServer, ServerOptions};
use tokio::time::{Instant, timeout};

use crate::load::{Promise, Run};

fn at(address: SocketAddr) -> RedisConfig {
    RedisConfig::new(Servers::single(address.ip().to_string(), address.port()))
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_killed_and_started_again() {
    let mut server = RedisServer::start(&ServerOptions::default().append_only()).unwrap();
    let run = Run::of(at(server.address()), 3, Promise::All).await.meanwhile(move |ending, mut dice| {
        let mut kills = 0;
        while !ending.has_come() {
            sleep(millis(300 + dice.below(1_200)));
            server.kill();
            sleep(millis(dice.below(300)));
            server.restart().unwrap();
            kills += 1;
            ending.strike();
        }
        (kills, server)
    });
    let seen = run.go("killed and restarted").await;
    assert!(seen.faults > 0 && seen.grants > 10, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_stopped_for_longer_than_a_lease() {
    let mut server = RedisServer::start(&ServerOptions::default()).unwrap();
    let run = Run::of(at(server.address()), 3, Promise::All).await.meanwhile(move |ending, mut dice| {
        let mut stops = 0;
        while !ending.has_come() {
            sleep(millis(200 + dice.below(800)));
            // Leases of this run are of 400 ms. Now and then calls are given up as well.
            server.pause().unwrap();
            sleep(millis(500 + dice.below(2_500)));
            server.resume().unwrap();
            stops += 1;
            ending.strike();
        }
        (stops, server)
    });
    let seen = run.go("stopped").await;
    assert!(seen.faults > 0 && seen.grants > 10, "{seen:?}");
}

/// Has a server forget the code, again and again.
async fn forget(name: &str, options: &ServerOptions, commands: &'static [&'static str]) {
    let server = RedisServer::start(options).unwrap();
    let run = Run::of(at(server.address()), 3, Promise::All).await.meanwhile(move |ending, mut dice| {
        let mut flushes = 0;
        while !ending.has_come() {
            for command in commands {
                server.call([command, "FLUSH"]).unwrap();
            }
            flushes += 1;
            ending.strike();
            sleep(millis(dice.below(8)));
        }
        (flushes, server)
    });
    let seen = run.go(name).await;
    assert!(seen.faults > 100 && seen.grants > 10 && seen.unknown == 0, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn functions_are_forgotten_again_and_again() {
    forget("function flush", &ServerOptions::default(), &["FUNCTION", "SCRIPT"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_are_forgotten_again_and_again() {
    let options = ServerOptions::default().config("rename-command FUNCTION \"\"");
    forget("script flush", &options, &["SCRIPT"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_and_connections_are_cut() {
    let server = RedisServer::start(&ServerOptions::default()).unwrap();
    let proxies: Vec<_> = (0..3).map(|_| Proxy::to(server.address()).unwrap()).collect();
    let configs = proxies.iter().map(|proxy| at(proxy.address())).collect();
    let run = Run::on(configs, Promise::All).await.meanwhile(move |ending, mut dice| {
        let mut strikes = 0_u32;
        while !ending.has_come() {
            let proxy = &proxies[usize::try_from(dice.below(3)).unwrap()];
            match dice.below(5) {
                0 => proxy.drop_connections(),
                1 => {
                    proxy.set(Fault::Stall);
                    sleep(millis(dice.below(600)));
                    proxy.heal();
                }
                2 => {
                    proxy.set(Fault::SwallowReplies);
                    sleep(millis(dice.below(300)));
                    proxy.heal();
                }
                _ => proxy.set(Fault::CutReplies { after: dice.below(2_000) }),
            }
            strikes += 1;
            ending.strike();
            sleep(millis(dice.below(300)));
        }
        proxies.iter().for_each(Proxy::heal);
        (strikes, (proxies, server))
    });
    let seen = run.go("cut").await;
    assert!(seen.faults > 3 && seen.grants > 10, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_eviction_policy_is_changed_and_the_status_tells() {
    let server = Arc::new(RedisServer::start(&ServerOptions::default()).unwrap());
    let run = Run::of(at(server.address()), 2, Promise::All).await;
    let watched = Arc::clone(&run.stores()[0]);
    let run = run.meanwhile({
        let server = Arc::clone(&server);
        let runtime = tokio::runtime::Handle::current();
        move |ending, mut dice| {
            let problems = || runtime.block_on(watched.status()).problems().join("; ");
            let mut changes = 0;
            while !ending.has_come() {
                for policy in ["allkeys-lru", "volatile-ttl", "allkeys-random"] {
                    server.call(["CONFIG", "SET", "maxmemory-policy", policy]).unwrap();
                    let told = problems();
                    assert!(told.contains(policy), "{policy} is not told: {told:?}");
                    server.call(["CONFIG", "SET", "maxmemory-policy", "noeviction"]).unwrap();
                    let told = problems();
                    assert!(!told.contains("polic"), "all is well: {told:?}");
                    changes += 1;
                    sleep(millis(dice.below(100)));
                }
                ending.strike();
            }
            (changes, server)
        }
    });
    let seen = run.go("eviction policy").await;
    assert!(seen.faults >= 3 && seen.unknown == 0, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_hear_hints_are_killed() {
    let server = RedisServer::start(&ServerOptions::default()).unwrap();
    let run = Run::of(at(server.address()), 3, Promise::All).await.meanwhile(move |ending, mut dice| {
        let mut kills = 0;
        while !ending.has_come() {
            kills += server.call(["CLIENT", "KILL", "TYPE", "pubsub"]).unwrap().integer().unwrap();
            if kills > 10 {
                ending.strike();
            }
            sleep(millis(dice.below(30)));
        }
        (u32::try_from(kills).unwrap(), server)
    });
    let seen = run.go("hints killed").await;
    assert!(seen.faults > 10 && seen.unknown == 0, "{seen:?}");
}

/// A line of owners from two processes: each is handed the lock by the one before, without a hint.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_hint_costs_no_more_than_a_poll_period() {
    const PERIOD: Duration = Duration::from_millis(400);
    const LINE: usize = 12;
    let server = RedisServer::start(&ServerOptions::default()).unwrap();
    let mut config = at(server.address());
    config.poll_period = PERIOD;
    let stores = [open(config.clone()).await.unwrap(), open(config).await.unwrap()];
    let request = |owner: usize| {
        let owner = OwnerId::new(format!("owner-{owner}")).unwrap();
        AcquireRequest::new(ResourceKey::new("k").unwrap(), owner).wait(Wait::Forever)
    };
    let AcquireOutcome::Held(mut held) = stores[0].acquire(request(0)).await.unwrap() else {
        panic!("it is free")
    };
    let mut waits = Vec::new();
    for owner in 1..=LINE {
        let (store, request) = (Arc::clone(&stores[owner % 2]), request(owner));
        assert!(matches!(store.acquire(request.clone()).await.unwrap(), AcquireOutcome::Queued(_)));
        waits.push(tokio::spawn(async move {
            let state = store.await_turn(&request.ticket(), Duration::from_secs(60)).await.unwrap();
            let RequestState::Held(record) = state else { panic!("{state:?}") };
            (record, Instant::now())
        }));
    }
    let mut longest = Duration::ZERO;
    for wait in waits {
        // Nobody hears: those who listen again are cut off right before.
        server.call(["CLIENT", "KILL", "TYPE", "pubsub"]).unwrap();
        let released = Instant::now();
        stores[0].release(&held.grant()).await.unwrap();
        let (record, at) = timeout(Duration::from_secs(30), wait).await.expect("no stall").unwrap();
        longest = longest.max(at.saturating_duration_since(released));
        held = record;
    }
    println!("hints lost: the longest hand-off took {longest:?}");
    // Somewhat more than the period: machines that run tests are busy.
    assert!(longest < PERIOD + Duration::from_millis(600), "{longest:?}");
}
