//! What is particular to Redis: several processes on one namespace, what is checked at the start, and what a caller is
//! told when the server or the way to it fails.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod common;
mod together;

use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_foundation::{
    AcquireOutcome, AcquireRequest, BackendError, BackendErrorKind, BatchOutcome, Cause, EndReason,
    EventCursor, EventPage, Lease, LockBackend, LockMode, LockQuery, LockRecord, ManualClock, OwnerId,
    Renewal, RequestId, RequestState, ResourceKey, Selector, Timestamp, Transferee, Wait,
};
use enhanced_locking_redis::{OpenError, RedisBackend, RedisConfig, Servers, open};
use enhanced_locking_testkit::conformance::FixturePolicy;
use enhanced_locking_testkit::redis::{
    ClusterGroup, ClusterOptions, Fault, Proxy, RedisServer, Reply, ServerOptions,
};
use futures_util::future::{FutureExt as _, join_all};
use tokio::task::JoinHandle;

use self::together::together;

const SOON: Duration = Duration::from_secs(10);

fn request(key: &str, owner: &str) -> AcquireRequest {
    AcquireRequest::new(ResourceKey::new(key).unwrap(), OwnerId::new(owner).unwrap())
}

async fn hold(store: &dyn LockBackend, request: &AcquireRequest) -> LockRecord {
    match store.acquire(request.clone()).await.expect("an answer") {
        AcquireOutcome::Held(record) => record,
        other => panic!("{} should hold: {other:?}", request.owner),
    }
}

async fn queue(store: &dyn LockBackend, request: &AcquireRequest) {
    let outcome = store.acquire(request.clone()).await.expect("an answer");
    assert!(matches!(outcome, AcquireOutcome::Queued(_)), "{} should wait: {outcome:?}", request.owner);
}

fn config() -> RedisConfig {
    common::config(FixturePolicy::default(), true)
}

/// A store at an address, which gives up early.
fn at(address: std::net::SocketAddr) -> RedisConfig {
    let mut config = RedisConfig::new(Servers::single(address.ip().to_string(), address.port()));
    config.connect_timeout = SOON;
    config.command_timeout = Duration::from_millis(500);
    config
}

/// Tries until the store has a connection again.
async fn reachable(store: &RedisBackend) {
    let tried = tokio::time::timeout(SOON, async {
        while store.ping().await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    tried.await.expect("the store finds its server again");
}

/// How often a server has carried the code out, in whichever form it was called.
fn runs(server: &RedisServer) -> u64 {
    let calls =
        |text: &String| text.split(',').find_map(|field| field.strip_prefix("calls=")?.parse::<u64>().ok());
    let stats = server.info("commandstats").unwrap();
    let forms = ["fcall", "evalsha", "eval"];
    forms.iter().filter_map(|form| stats.get(&format!("cmdstat_{form}")).and_then(calls)).sum()
}

/// Begins to wait for a turn, and has looked once in vain when this returns: what happens next comes after that look.
async fn wait_in_line(
    server: &RedisServer,
    store: &Arc<RedisBackend>,
    waiter: &AcquireRequest,
) -> JoinHandle<Result<RequestState, BackendError>> {
    let before = runs(server);
    let turn = tokio::spawn({
        let (store, ticket) = (store.clone(), waiter.ticket());
        async move { store.await_turn(&ticket, Duration::from_secs(60)).await }
    });
    let looked = tokio::time::timeout(SOON, async {
        while runs(server) == before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    looked.await.expect("the waiter looks");
    turn
}

#[tokio::test]
async fn two_processes_share_locks_lines_and_wake_ups() {
    let server = RedisServer::start(&ServerOptions::default()).unwrap();
    let config = at(server.address());
    let mut patient = config.clone();
    // So long that only a hint can be in time.
    patient.poll_period = Duration::from_secs(3_600);
    let (here, there) = (open(config).await.unwrap(), open(patient).await.unwrap());
    let record = hold(&*here, &request("k", "a")).await;
    let waiter = request("k", "b");
    queue(&*there, &waiter).await;
    let turn = wait_in_line(&server, &there, &waiter).await;
    here.release(&record.grant()).await.unwrap();
    let state = tokio::time::timeout(SOON, turn).await.expect("the hint comes").unwrap().unwrap();
    assert!(matches!(&state, RequestState::Held(held) if held.request.id == waiter.id), "{state:?}");
}

#[tokio::test]
async fn what_is_held_outlives_the_process_that_took_it() {
    let config = config();
    let first = open(config.clone()).await.unwrap();
    let asked = request("k", "a").sticky();
    let record = hold(&*first, &asked).await;
    first.close().await.unwrap();
    let second = open(config).await.unwrap();
    assert_eq!(hold(&*second, &asked).await, record, "a retry finds its grant");
    second.release(&record.grant()).await.unwrap();
    assert!(hold(&*second, &request("k", "b")).await.token > record.token);
}

#[tokio::test]
async fn a_server_that_forgot_the_code_is_given_it_again() {
    let server = RedisServer::start(&ServerOptions::default()).unwrap();
    let store = open(at(server.address())).await.unwrap();
    let record = hold(&*store, &request("k", "a")).await;
    let libraries = || server.call(["FUNCTION", "LIST"]).unwrap().items().len();
    assert_eq!(libraries(), 1, "it is a library of functions");
    server.call(["FUNCTION", "FLUSH"]).unwrap();
    store.release(&record.grant()).await.unwrap();
    assert_eq!((libraries(), store.stats().await.unwrap().held), (1, 0));
    let script = open(common::config(FixturePolicy::default(), false)).await.unwrap();
    let record = hold(&*script, &request("k", "a")).await;
    common::server(false).call(["SCRIPT", "FLUSH"]).unwrap();
    script.release(&record.grant()).await.unwrap();
    assert_eq!(script.stats().await.unwrap().held, 0);
}

#[tokio::test]
async fn a_store_is_opened_as_it_was_made() {
    let mut config = config();
    config.buckets = Some(4);
    open(config.clone()).await.unwrap();
    config.buckets = Some(8);
    let error = open(config.clone()).await.unwrap_err();
    assert!(matches!(error, OpenError::Buckets { stored: 4, given: 8, .. }), "{error:?}");
    config.buckets = Some(4);
    config.clock = Some(Arc::new(enhanced_locking_foundation::ManualClock::default()));
    let error = open(config.clone()).await.unwrap_err();
    assert!(matches!(error, OpenError::Clock { .. }), "{error:?}");
    for namespace in ["", "{x}", "a b"] {
        let error = open(config.clone().namespace(namespace)).await.unwrap_err();
        assert!(matches!(error, OpenError::Setting { what: "namespace", .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_namespace_of_another_format_is_refused_with_what_to_do() {
    let config = config();
    let store = open(config.clone()).await.unwrap();
    hold(&*store, &request("k", "a")).await;
    store.close().await.unwrap();
    let meta = format!("{{{}}}:meta", config.namespace);
    common::server(true).call(["HSET", &meta, "format", "1"]).unwrap();
    let error = open(config.clone()).await.unwrap_err();
    assert!(matches!(&error, OpenError::Format { stored, known: 2, .. } if stored == "1"), "{error:?}");
    let told = error.to_string();
    for words in ["format 1", "release the locks with the version that made it", "another `namespace`"] {
        assert!(told.contains(words), "{told}");
    }
    open(config.namespace("a-new-one")).await.unwrap();
}

#[tokio::test]
async fn a_server_that_would_throw_locks_away_is_refused() {
    let options = ServerOptions::default().config("maxmemory-policy allkeys-lru");
    let server = RedisServer::start(&options).unwrap();
    let error = open(at(server.address())).await.unwrap_err();
    assert!(matches!(&error, OpenError::Eviction { found, .. } if found == "allkeys-lru"), "{error:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_at_once() {
    let proxy = Proxy::unbound().unwrap();
    let mut config = at(proxy.address());
    config.connect_timeout = Duration::from_millis(500);
    drop(proxy);
    let error = tokio::time::timeout(SOON, open(config)).await.expect("an answer").unwrap_err();
    assert!(
        matches!(&error, OpenError::Connect { source, .. } if source.kind() == BackendErrorKind::Unavailable),
        "{error:?}"
    );
}

/// A server that takes functions, or one that does not.
fn server_of(functions: bool) -> RedisServer {
    let server = RedisServer::start(&ServerOptions::default()).unwrap();
    if functions || !server.binary().is_at_least_7() {
        return server;
    }
    RedisServer::start(&ServerOptions::default().config("rename-command FUNCTION \"\"")).unwrap()
}

/// Everything that adds nothing works when memory is full, and what would add is refused. An old server also refuses
/// what adds first and frees then.
async fn a_full_store_lets_go(store: &RedisBackend, old: bool, memory: impl Fn(&str)) {
    let leased = |name: &str, owner: &str| request(name, owner).lease(Lease::For(Duration::from_secs(60)));
    let record = hold(store, &leased("k", "a")).await;
    let others = [hold(store, &leased("k3", "a")).await, hold(store, &leased("k4", "b")).await];
    let waiter = leased("k", "b").wait(Wait::Forever);
    queue(store, &waiter).await;
    memory("1");
    let error = store.acquire(request("k2", "a")).await.unwrap_err();
    let enhanced_locking_foundation::AcquireError::Backend(error) = error else { panic!("{error:?}") };
    assert_eq!(error.kind(), BackendErrorKind::Full, "{error:?}");
    assert_eq!(store.stats().await.unwrap().held, 3);
    let renewed = store.renew(vec![Renewal { grant: record.grant(), lease: None }]).await;
    if old {
        assert_eq!(renewed.unwrap_err().kind(), BackendErrorKind::Full);
    } else {
        let to = Transferee::new(OwnerId::new("c").unwrap());
        let error = store.transfer(&others[1].grant(), to).await.unwrap_err();
        assert!(format!("{error:?}").contains("Full"), "{error:?}");
        assert!(renewed.unwrap()[0].is_ok());
        store.ping().await.unwrap();
        let state = store.await_turn(&waiter.ticket(), Duration::ZERO).await.unwrap();
        assert!(matches!(state, RequestState::Queued(_)), "{state:?}");
        let unseen = request("k", "z").ticket();
        store.cancel(&unseen, None, EndReason::Cancelled, Cause::none()).await.unwrap();
    }
    store.release(&record.grant()).await.unwrap();
    if !old {
        let state = store.await_turn(&waiter.ticket(), Duration::ZERO).await.unwrap();
        assert!(matches!(state, RequestState::Held(_)), "{state:?}");
    }
    store.sweep(100).await.unwrap();
    let freed = store.force_release(&others[0].request.key, None, Cause::none()).await.unwrap();
    assert_eq!(freed.len(), 1);
    let selector = Selector::Owner(OwnerId::new("b").unwrap());
    assert_eq!(store.clear(&selector, Cause::none()).await.unwrap().released.len(), 2);
    assert!(store.events(&EventCursor::start(), 100).await.unwrap().events.len() >= 8);
    memory("0");
    assert_eq!(store.stats().await.unwrap().held, 0);
    assert_eq!(store.resource(&ResourceKey::new("k2").unwrap(), 0).await.unwrap(), None);
}

#[tokio::test]
async fn a_full_server_takes_no_locks_and_lets_go_of_those_it_has() {
    for functions in [true, false] {
        let server = server_of(functions);
        let store = open(at(server.address())).await.unwrap();
        let memory = |most: &str| drop(server.call(["CONFIG", "SET", "maxmemory", most]).unwrap());
        a_full_store_lets_go(&store, !server.binary().is_at_least_7(), memory).await;
    }
}

#[tokio::test]
async fn releases_beside_acquires_work_when_memory_is_full() {
    for functions in [true, false] {
        let server = server_of(functions);
        let store = open(at(server.address())).await.unwrap();
        let mut records = Vec::new();
        for n in 0..64 {
            records.push(hold(&*store, &request(&format!("k{n}"), "a").sticky()).await);
        }
        server.call(["CONFIG", "SET", "maxmemory", "1"]).unwrap();
        // All at once, so that they go together.
        let releases = records.iter().map(|record| {
            let (store, grant) = (&store, record.grant());
            async move { store.release(&grant).await.map(|_| ()).map_err(|error| error.to_string()) }
        });
        let acquires = (0..64).map(|n| store.acquire(request(&format!("new{n}"), "b")));
        let (released, acquired) = tokio::join!(join_all(releases), join_all(acquires));
        assert!(released.iter().all(Result::is_ok), "{released:?}");
        // An old server lets the rest of a call go on whose first change has freed something.
        let refused = !server.binary().is_at_least_7() || acquired.iter().all(Result::is_err);
        assert!(refused, "{acquired:?}");
        server.call(["CONFIG", "SET", "maxmemory", "0"]).unwrap();
        let taken = acquired.iter().filter(|acquired| acquired.is_ok()).count();
        assert_eq!(store.stats().await.unwrap().held, taken);
    }
}

#[tokio::test]
async fn the_feed_has_what_happened_in_the_call_that_reads_it() {
    let server = RedisServer::start(&ServerOptions::default()).unwrap();
    let store = open(at(server.address())).await.unwrap();
    for name in ["a", "b", "c"] {
        hold(&*store, &request(name, "o")).await;
    }
    let store: &dyn LockBackend = &*store;
    let cursor = store.events(&EventCursor::start(), 2).await.unwrap().next;
    let read = |limit: usize| {
        let cursor = cursor.clone();
        async move { Some(store.events(&cursor, limit).await.unwrap()) }.boxed()
    };
    let take = |name: &'static str| {
        async move {
            hold(store, &request(name, "o")).await;
            None
        }
        .boxed()
    };
    let before = runs(&server);
    let asked = [read(9), take("d"), read(9), take("e"), read(9), read(2), read(0)];
    let pages: Vec<EventPage> = together(store, asked).await.into_iter().flatten().collect();
    assert_eq!(runs(&server) - before, 3, "two pings, and all the rest in one call");
    let numbers = |at: usize| pages[at].events.iter().map(|event| event.seq).collect::<Vec<_>>();
    assert_eq!([0, 1, 2, 3, 4].map(numbers), [vec![3], vec![3, 4], vec![3, 4, 5], vec![3, 4], vec![]]);
    assert!(pages.iter().all(|page| !page.missed));
}

#[tokio::test]
async fn the_memory_of_ends_goes_on_when_its_list_is_wrong() {
    let mut policy = FixturePolicy::default();
    policy.limits.finished = 3;
    let config = common::config(policy, true);
    let key = |name: &str| format!("{{{}:b000}}:{name}", config.namespace);
    let server = common::server(true);
    let store = open(config.clone()).await.unwrap();
    let named = |n: u32| request("k", "o").id(RequestId::new(format!("r{n}")).unwrap());
    let end = async |from: u32, to: u32| {
        for n in from..to {
            let record = hold(&*store, &named(n)).await;
            store.release(&record.grant()).await.unwrap();
        }
    };
    let known = async |n: u32| store.find(&named(n).id).await.unwrap().is_some();
    end(0, 50).await;
    assert!(known(47).await && !known(46).await);
    // Lost, and more was noted as remembered than there is.
    server.call(["DEL", &key("f")]).unwrap();
    end(50, 100).await;
    // In front is what still is to be remembered, and what lives.
    let record = hold(&*store, &request("other", "o").id(RequestId::new("live").unwrap())).await;
    for _ in 0..50 {
        server.call(["LPUSH", &key("f"), "r99", "live"]).unwrap();
    }
    end(100, 101).await;
    assert!(known(99).await && known(98).await && !known(97).await);
    store.release(&record.grant()).await.unwrap();
    end(101, 400).await;
    let fields = server.call(["HLEN", &key("s")]).unwrap().integer().unwrap();
    let listed = server.call(["LLEN", &key("f")]).unwrap().integer().unwrap();
    // Those that were in the list when it got lost stay.
    assert!(listed < 3 + 64 && fields < 50 + 3 + 64 + 2, "{listed} {fields}");
}

/// Adds a member to a set of the only bucket.
fn plant(server: &RedisServer, set: &str, score: &str, member: &str) {
    server.call(["ZADD", &format!("{{enhanced-locks:b000}}:{set}"), score, member]).unwrap();
}

#[tokio::test]
async fn members_whose_entry_is_gone_are_in_nobodys_way() {
    let server = RedisServer::start(&ServerOptions::default()).unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_764_000_000_000_000)));
    let mut config = at(server.address());
    config.clock = Some(clock.clone());
    let store = open(config).await.unwrap();
    let shared = |owner: &str, lease: u64| {
        request("both", owner).mode(LockMode::Shared).lease(Lease::For(Duration::from_secs(lease)))
    };
    hold(&*store, &shared("a", 10)).await;
    hold(&*store, &shared("b", 99)).await;
    let first = hold(&*store, &request("line", "a").sticky()).await;
    let waiter = request("line", "b").wait(Wait::Forever);
    queue(&*store, &waiter).await;
    plant(&server, "x", "0", "hfree\0gone");
    plant(&server, "x", "0", "oa\0free\0gone");
    plant(&server, "x", "0", "hboth\0gone");
    plant(&server, "w", "0", &format!("line\0{:016}{:016}gone", 0, 0));
    plant(&server, "d", "1", "hfree\0gone");
    plant(&server, "d", "1", "hboth\0gone");
    clock.advance(Duration::from_secs(11));
    // Whose lease is over is ended beside a deadline of nobody, and the other holder goes on.
    let AcquireOutcome::Busy(holders) = store.acquire(request("both", "c").wait(Wait::No)).await.unwrap()
    else {
        panic!("one holds")
    };
    assert_eq!(holders.iter().map(|holder| holder.owner().as_str()).collect::<Vec<_>>(), ["b"]);
    hold(&*store, &request("free", "a")).await;
    store.release(&first.grant()).await.unwrap();
    let state = store.await_turn(&waiter.ticket(), Duration::ZERO).await.unwrap();
    assert!(matches!(state, RequestState::Held(_)), "{state:?}");
    assert_eq!(store.sweep(10).await.unwrap().ended, 0);
    for set in ["x", "w", "d"] {
        let members = server.call(["ZRANGE", &format!("{{enhanced-locks:b000}}:{set}"), "0", "-1"]).unwrap();
        let planted = |member: &&Reply| member.text().is_some_and(|text| text.ends_with("gone"));
        let left: Vec<_> = members.items().iter().filter(planted).collect();
        // Names behind the first one are only passed over.
        let first = |member: &&Reply| member.text().is_some_and(|text| text.starts_with("hfree"));
        assert_eq!(
            left.iter().copied().filter(|member| set != "x" || first(member)).count(),
            0,
            "{set}: {left:?}"
        );
    }
}

#[tokio::test]
async fn a_call_with_an_operation_that_is_not_known_does_nothing_at_all() {
    let server = RedisServer::start(&ServerOptions::default()).unwrap();
    let store = open(at(server.address())).await.unwrap();
    let libraries = server.call(["FUNCTION", "LIST"]).unwrap();
    let name = libraries.items()[0].items()[1].text().unwrap();
    let keys = ["s", "x", "w", "d", "e", "a", "n:", "f"].map(|key| format!("{{enhanced-locks:b000}}:{key}"));
    // An acquire of key k by owner o, and number 99.
    let acquire = b"\x01\xa1r\xac\xa1k\xa1o\xc2\0\0\0\0\x01\xc2\xc2".as_slice();
    let mut call: Vec<&[u8]> = vec![b"FCALL", name.as_bytes(), b"8"];
    call.extend(keys.iter().map(String::as_bytes));
    call.extend([b"process".as_slice(), b"", acquire]);
    let refused = server.call(call.iter().copied().chain([b"\x63".as_slice()])).unwrap_err();
    assert!(refused.refusal().is_some_and(|text| text.contains("no such operation")), "{refused}");
    assert_eq!(server.call(["EXISTS", &keys[0], &keys[1]]).unwrap().integer(), Some(0));
    assert_eq!(server.call(call).unwrap().items().len(), 1, "without it, it is a call");
    assert_eq!(store.stats().await.unwrap().held, 1);
}

#[tokio::test]
async fn a_sticky_lock_that_was_handed_over_is_stored_like_any_other() {
    let config = config();
    let store = open(config.clone()).await.unwrap();
    let first = hold(&*store, &request("k", "a").sticky()).await;
    let waiter = request("k", "b").sticky().wait(Wait::Forever).id(RequestId::new("w").unwrap());
    queue(&*store, &waiter).await;
    let hash = format!("{{{}:b000}}:s", config.namespace);
    let form = || match common::server(true).call(["HGET", &hash, "w"]).unwrap() {
        Reply::Bytes(bytes) => bytes[0],
        other => panic!("{other:?}"),
    };
    assert_eq!(form(), 1, "in line");
    store.release(&first.grant()).await.unwrap();
    assert_eq!(form(), 0, "it need not claim, so nobody keeps its process in mind");
}

#[tokio::test]
async fn a_thousand_leases_are_renewed_in_eight_calls() {
    let server = RedisServer::start(&ServerOptions::default()).unwrap();
    let store = open(at(server.address())).await.unwrap();
    let requests =
        (0..1_000).map(|n| request(&format!("k{n}"), "a").lease(Lease::For(Duration::from_secs(60))));
    let taken = requests.map(|request| {
        let store = &store;
        async move { hold(&**store, &request).await }
    });
    let records = join_all(taken).await;
    let renewals = || records.iter().map(|record| Renewal { grant: record.grant(), lease: None }).collect();
    for _ in 0..3 {
        let before = runs(&server);
        let answers = store.renew(renewals()).await.unwrap();
        assert!(answers.iter().all(Result::is_ok));
        assert_eq!(runs(&server) - before, 8, "128 in one call");
    }
}

#[tokio::test]
async fn what_is_no_longer_over_is_looked_for_once() {
    let server = RedisServer::start(&ServerOptions::default()).unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_764_000_000_000_000)));
    let mut config = at(server.address());
    config.clock = Some(clock.clone());
    let store = open(config).await.unwrap();
    let leased = hold(&*store, &request("leased", "a").lease(Lease::For(Duration::from_secs(10)))).await;
    hold(&*store, &request("k", "a").sticky()).await;
    store.release(&leased.grant()).await.unwrap();
    // The earliest deadline that was noted is that of a lock which is gone.
    clock.advance(Duration::from_secs(11));
    let looks = || {
        let stats = server.info("commandstats").unwrap();
        let calls =
            stats.get("cmdstat_zrange").and_then(|text| text.strip_prefix("calls=")?.split(',').next());
        calls.map_or(0, |calls| calls.parse::<u64>().unwrap())
    };
    let before = looks();
    for _ in 0..5 {
        let answer = store.acquire(request("k", "b").wait(Wait::No)).await.unwrap();
        assert!(matches!(answer, AcquireOutcome::Busy(_)), "{answer:?}");
    }
    assert_eq!(looks() - before, 1);
}

#[tokio::test]
async fn a_lost_answer_is_unknown_and_a_retry_tells() {
    let server = RedisServer::start(&ServerOptions::default()).unwrap();
    let proxy = Proxy::to(server.address()).unwrap();
    let store = open(at(proxy.address())).await.unwrap();
    store.ping().await.unwrap();
    // The server is asked and answers, and nobody hears it.
    proxy.set(Fault::SwallowReplies);
    let asked = request("k", "a");
    let error = store.acquire(asked.clone()).await.unwrap_err();
    assert!(error.is_indeterminate(), "{error:?}");
    proxy.heal();
    proxy.drop_connections();
    reachable(&store).await;
    let record = hold(&*store, &asked).await;
    let events = store.events(&EventCursor::start(), 10).await.unwrap().events;
    assert_eq!(events.len(), 1, "it ran once: {events:?}");
    store.release(&record.grant()).await.unwrap();
}

#[tokio::test]
async fn without_a_connection_nothing_happened() {
    let server = RedisServer::start(&ServerOptions::default()).unwrap();
    let proxy = Proxy::to(server.address()).unwrap();
    let store = open(at(proxy.address())).await.unwrap();
    store.ping().await.unwrap();
    proxy.set(Fault::Refuse);
    proxy.drop_connections();
    let told = tokio::time::timeout(SOON, async {
        loop {
            match store.acquire(request("k", "a")).await.unwrap_err() {
                enhanced_locking_foundation::AcquireError::Backend(error) if error.is_indeterminate() => {}
                error => return error,
            }
        }
    });
    let error = told.await.expect("it is told that there is no connection");
    assert!(!error.is_indeterminate(), "{error:?}");
    proxy.heal();
    reachable(&store).await;
    hold(&*store, &request("k2", "a")).await;
}

#[tokio::test]
async fn a_waiter_whose_hints_are_lost_finds_its_turn_by_itself() {
    let server =
        RedisServer::start(&ServerOptions::default().user("locks", "secret", "~* &* +@all")).unwrap();
    let mut config = at(server.address());
    (config.username, config.password) = (Some("locks".to_owned()), Some("secret".to_owned()));
    config.poll_period = Duration::from_millis(200);
    let store = open(config).await.unwrap();
    let record = hold(&*store, &request("k", "a")).await;
    let waiter = request("k", "b");
    queue(&*store, &waiter).await;
    let turn = wait_in_line(&server, &store, &waiter).await;
    // The connection for hints is gone and cannot come back, which would wake everybody; that for commands stays.
    server.call(["ACL", "SETUSER", "locks", "off"]).unwrap();
    server.call(["CLIENT", "KILL", "TYPE", "pubsub"]).unwrap();
    assert!(server.call(["PUBSUB", "CHANNELS"]).unwrap().items().is_empty(), "nobody hears anything");
    store.release(&record.grant()).await.unwrap();
    let state = tokio::time::timeout(SOON, turn).await.expect("the poll is the net").unwrap().unwrap();
    assert!(matches!(state, RequestState::Held(_)), "{state:?}");
}

/// What a store of many buckets must do as one.
async fn works_over_many_buckets(store: &Arc<RedisBackend>) {
    let names: Vec<String> = (0..40).map(|n| format!("key-{n:02}")).collect();
    let batch: Vec<_> = names.iter().map(|name| request(name, "batch").sticky()).collect();
    let BatchOutcome::Held(records) = store.acquire_all(batch).await.unwrap() else { panic!("all are free") };
    assert!(records.iter().zip(&names).all(|(record, name)| record.request.key.as_str() == name));
    let mut listed = Vec::new();
    let mut query = LockQuery { limit: 7, ..LockQuery::default() };
    loop {
        let page = store.locks(&query).await.unwrap();
        listed.extend(page.items.into_iter().map(|record| record.request.key.to_string()));
        query.cursor = page.next;
        if query.cursor.is_none() {
            break;
        }
    }
    assert_eq!(listed, names, "pages of all buckets, in the order of keys");
    // Two of the keys of a second batch are held: none of it is taken, and both are named in the order asked for.
    let more = ["free-1", "key-33", "free-2", "key-04", "free-3"].map(|name| request(name, "other").sticky());
    let BatchOutcome::Busy(busy) = store.acquire_all(more.to_vec()).await.unwrap() else {
        panic!("two are held")
    };
    let named: Vec<_> = busy.iter().map(|(id, holders)| (id, holders[0].owner().as_str())).collect();
    assert_eq!(named, [(&more[1].id, "batch"), (&more[3].id, "batch")]);
    assert_eq!(store.stats().await.unwrap().held, 40);
    let waiter = request("key-07", "waiter");
    queue(&**store, &waiter).await;
    let turn = tokio::spawn({
        let (store, ticket) = (store.clone(), waiter.ticket());
        async move { store.await_turn(&ticket, Duration::from_secs(60)).await }
    });
    let batch = Selector::Owner(OwnerId::new("batch").unwrap());
    assert_eq!(store.clear(&batch, Cause::none()).await.unwrap().released.len(), 40);
    let state = tokio::time::timeout(SOON, turn).await.expect("the hint comes").unwrap().unwrap();
    assert!(matches!(&state, RequestState::Held(held) if held.request.id == waiter.id), "{state:?}");
    let found = store.find(&waiter.id).await.unwrap();
    assert!(matches!(found, Some((key, RequestState::Held(_))) if key == waiter.key));
    let (mut cursor, mut count) = (EventCursor::start(), 0);
    loop {
        let page = store.events(&cursor, 9).await.unwrap();
        assert!(!page.missed);
        count += page.events.len();
        cursor = page.next.to_string().parse().unwrap();
        if page.events.is_empty() {
            break;
        }
    }
    assert_eq!(count, 40 + 1 + 40 + 2, "acquired, queued, ended, granted and claimed");
}

#[tokio::test]
async fn many_buckets_are_one_store() {
    let mut config = config();
    config.buckets = Some(16);
    works_over_many_buckets(&open(config).await.unwrap()).await;
}

#[tokio::test]
async fn a_cluster_is_one_store() {
    let cluster = ClusterGroup::start(&ClusterOptions::default()).unwrap();
    let nodes = cluster.addresses().iter().map(|at| (at.ip().to_string(), at.port())).collect();
    let mut config = RedisConfig::new(Servers::Cluster { nodes });
    config.buckets = Some(32);
    works_over_many_buckets(&open(config.clone()).await.unwrap()).await;
    let memory = |most: &str| {
        for node in cluster.nodes() {
            node.call(["CONFIG", "SET", "maxmemory", most]).unwrap();
        }
    };
    a_full_store_lets_go(&open(config.namespace("full")).await.unwrap(), false, memory).await;
}
