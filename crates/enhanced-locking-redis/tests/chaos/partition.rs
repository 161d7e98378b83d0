//! A master that is cut off with some clients on its side, while a replica takes over on the other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_foundation::{
    AcquireError, AcquireOutcome, AcquireRequest, BackendErrorKind, LockBackend, LockRecord, OwnerId,
    ResourceKey, Wait,
};
use enhanced_locking_redis::{RedisBackend, RedisConfig, RedisDurability, Servers, open};
use enhanced_locking_testkit::guard::GuardedResources;
use enhanced_locking_testkit::redis::{SentinelGroup, SentinelOptions};
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep, timeout};

const SOON: Duration = Duration::from_secs(30);
/// How long grants pause after the promotion (strict).
const PAUSE: Duration = Duration::from_secs(2);

fn request(key: &str, owner: &str) -> AcquireRequest {
    let request = AcquireRequest::new(ResourceKey::new(key).unwrap(), OwnerId::new(owner).unwrap());
    request.sticky().wait(Wait::No)
}

fn refusal(answer: Result<AcquireOutcome, AcquireError>) -> BackendErrorKind {
    match answer {
        Err(AcquireError::Backend(error)) => error.kind(),
        other => panic!("it should be refused: {other:?}"),
    }
}

fn pair(address: &SocketAddr) -> (String, u16) {
    (address.ip().to_string(), address.port())
}

async fn opened(servers: Servers, durability: RedisDurability) -> Arc<RedisBackend> {
    let mut config = RedisConfig::new(servers);
    config.durability = durability.timeout(Duration::from_millis(300)).grace(PAUSE);
    config.command_timeout = Duration::from_secs(1);
    let until = Instant::now() + SOON;
    loop {
        match open(config.clone()).await {
            Ok(store) => return store,
            // A replica that has just joined, or was just promoted, is not ready at once.
            Err(error) => assert!(Instant::now() < until, "{error}"),
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// What a client next to the master saw of a lock that it asked for after the master had been cut off.
type During = Result<AcquireOutcome, AcquireError>;

/// A master with two replicas, and a client on its side that has the lock `before`, which all copies have.
struct Sides {
    group: SentinelGroup,
    old: usize,
    here: Arc<RedisBackend>,
    durability: RedisDurability,
}

impl Sides {
    async fn new(durability: RedisDurability) -> Self {
        let options = SentinelOptions { proxied: true, replicas: 2, ..SentinelOptions::default() };
        let group = block_in_place(|| SentinelGroup::start(&options)).unwrap();
        let old = block_in_place(|| group.master()).unwrap();
        block_in_place(|| group.wait_replicas()).unwrap();
        let (host, port) = pair(&group.nodes()[old].address());
        let here = opened(Servers::single(host, port), durability).await;
        let until = Instant::now() + SOON;
        while let Err(error) = here.acquire(request("before", "here")).await {
            assert!(Instant::now() < until, "{error:?}");
        }
        let mut client = group.nodes()[old].client().unwrap();
        client.call(["SET", "synced", ""]).unwrap();
        assert_eq!(client.call(["WAIT", "2", "4000"]).unwrap().integer(), Some(2));
        Self { group, old, here, durability }
    }

    /// Cuts the master off, asks it for the lock `during`, and waits until another takes over: the store on its side.
    async fn part(&self) -> (During, Arc<RedisBackend>) {
        self.group.isolate(self.old);
        let during = self.here.acquire(request("during", "here")).await;
        block_in_place(|| self.group.wait_promotion(self.old, SOON)).unwrap();
        let nodes = self.group.sentinels().iter().map(pair).collect();
        let service = self.group.master_name().to_owned();
        (during, opened(Servers::Sentinel { nodes, service }, self.durability).await)
    }

    /// Ends the partition: the old master becomes a replica, and whoever is still with it is refused.
    async fn reunite(&self, there: &RedisBackend) {
        self.group.heal(self.old);
        let follows = async {
            loop {
                let info = self.group.nodes()[self.old].info("replication").unwrap();
                if info["role"] == "slave" && info.get("master_link_status").is_some_and(|link| link == "up")
                {
                    return;
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(SOON, follows).await.expect("the old master follows the new one");
        assert_eq!(refusal(self.here.acquire(request("after", "here")).await), BackendErrorKind::Unavailable);
        taken(there, "after", "there").await;
    }
}

/// Takes a lock on the side of the new master, whose replica may need a moment to follow it.
async fn taken(there: &RedisBackend, key: &str, owner: &str) -> LockRecord {
    let until = Instant::now() + SOON;
    loop {
        match there.acquire(request(key, owner)).await {
            Ok(AcquireOutcome::Held(record)) => return record,
            Err(AcquireError::Backend(error)) if error.is_transient() && Instant::now() < until => {
                sleep(Duration::from_millis(20)).await;
            }
            other => panic!("{owner} should hold {key}: {other:?}"),
        }
    }
}

/// What was held before is held on the other side, too.
async fn still_held(there: &RedisBackend) {
    let view = there.resource(&ResourceKey::new("before").unwrap(), 0).await.unwrap().expect("it is held");
    assert_eq!(view.holders[0].owner().as_str(), "here");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_sides_fast_may_grant_on_both_and_the_token_tells_who_is_late() {
    let sides = Sides::new(RedisDurability::fast()).await;
    let (during, there) = sides.part().await;
    let Ok(AcquireOutcome::Held(here)) = during else { panic!("the server has it: {during:?}") };
    still_held(&there).await;
    let (rows, key) = (GuardedResources::checked(), ResourceKey::new("during").unwrap());
    let read = rows.read(&key, here.token).unwrap();
    let other = taken(&there, "during", "there").await;
    assert!(other.token > here.token, "{other:?} {here:?}");
    let version = rows.read(&key, other.token).unwrap();
    assert!(rows.write(&key, here.token, read).is_err(), "the holder that was lost is refused");
    rows.write(&key, other.token, version).unwrap();
    assert_eq!(rows.updates().lost, 0);
    sides.reunite(&there).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_sides_durable_grants_where_the_copies_are() {
    let sides = Sides::new(RedisDurability::durable(1)).await;
    let (during, there) = sides.part().await;
    assert_eq!(refusal(during), BackendErrorKind::Unavailable, "nobody has a copy, so it did not happen");
    still_held(&there).await;
    taken(&there, "during", "there").await;
    let again = sides.here.acquire(request("during", "here")).await;
    assert_eq!(refusal(again), BackendErrorKind::Unavailable);
    sides.reunite(&there).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_sides_strict_grants_where_the_copies_are_and_after_a_pause() {
    let sides = Sides::new(RedisDurability::strict(1)).await;
    let (during, there) = sides.part().await;
    assert_eq!(refusal(during), BackendErrorKind::Unavailable, "nobody has a copy, so it did not happen");
    still_held(&there).await;
    let until = there.status().await.paused_until.expect("grants pause");
    let record = taken(&there, "during", "there").await;
    assert!(record.acquired_at >= until, "{record:?} {until}");
    let again = sides.here.acquire(request("during", "here")).await;
    assert_eq!(refusal(again), BackendErrorKind::Unavailable);
    sides.reunite(&there).await;
}
