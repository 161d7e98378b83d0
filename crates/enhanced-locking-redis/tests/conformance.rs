//! Redis keeps the contract of the backend port: every case of the conformance suite, with one bucket and with
//! many; as functions, and as a script where the server takes none; on one server, with Sentinels and on a cluster.
#![expect(clippy::expect_used, reason = "the helpers of tests may panic")]

mod common;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use enhanced_locking_foundation::{Limits, LockBackend, ManualClock, Timestamp};
use enhanced_locking_redis::{RedisBackend, RedisConfig, Servers, open};
use enhanced_locking_testkit::conformance::documents::{DocumentFixture, DocumentedStore};
use enhanced_locking_testkit::conformance::{Fixture, FixturePolicy};
use enhanced_locking_testkit::redis::{ClusterGroup, ClusterOptions, SentinelGroup, SentinelOptions};
use enhanced_locking_testkit::{backend_conformance, document_conformance};

/// Where the store is.
#[derive(Clone, Copy)]
enum Place {
    /// One server that takes functions.
    Functions,
    /// One server that does not.
    Script,
    /// The master that Sentinels know.
    Sentinel,
    /// Three masters.
    Cluster,
}

impl Place {
    /// What the store is reached by; `None` for the server of `common`.
    fn servers(self) -> Option<Servers> {
        static SENTINEL: OnceLock<SentinelGroup> = OnceLock::new();
        static CLUSTER: OnceLock<ClusterGroup> = OnceLock::new();
        let nodes = |addresses: Vec<SocketAddr>| {
            addresses.iter().map(|address| (address.ip().to_string(), address.port())).collect()
        };
        match self {
            Self::Functions | Self::Script => None,
            Self::Sentinel => {
                let group = SENTINEL.get_or_init(|| {
                    SentinelGroup::start(&SentinelOptions::default()).expect("Sentinels start")
                });
                let service = group.master_name().to_owned();
                Some(Servers::Sentinel { nodes: nodes(group.sentinels()), service })
            }
            Self::Cluster => {
                let cluster = CLUSTER.get_or_init(|| {
                    ClusterGroup::start(&ClusterOptions::default()).expect("a cluster starts")
                });
                Some(Servers::Cluster { nodes: nodes(cluster.addresses()) })
            }
        }
    }
}

struct Redis {
    clock: Arc<ManualClock>,
    buckets: u16,
    place: Place,
    opened: Mutex<Option<(RedisConfig, Arc<RedisBackend>)>>,
}

impl Redis {
    fn new(buckets: u16, place: Place) -> Self {
        Self {
            clock: Arc::new(ManualClock::new(Timestamp::from_micros(1_764_000_000_000_000))),
            buckets,
            place,
            opened: Mutex::new(None),
        }
    }

    /// Many buckets, but for the cases about what only one has: exact totals, an order among all keys in what
    /// happens at the same instant, and the sight of an id under every key.
    fn spread(place: Place) -> Self {
        const WHOLE: [&str; 12] = [
            "clearing::all_of_a_pull_ends_before_anything_is_handed_on",
            "idempotency::an_id_that_lives_on_another_key_is_refused",
            "limits::a_batch_that_does_not_fit_takes_nothing",
            "limits::an_owner_waits_in_so_many_lines",
            "limits::so_many_are_held_in_all",
            "limits::so_many_wait_in_all",
            "sweeping::a_hand_off_ends_nobody_before_its_turn",
            "sweeping::a_sweep_begins_with_what_ended_first",
            "sweeping::what_is_over_at_once_ends_in_the_order_of_keys_and_ids",
            "::so_many_bytes_are_kept",
            "::so_many_documents_are_kept",
            "::what_is_there_after_a_restart_counts",
        ];
        let thread = std::thread::current();
        let case = thread.name().unwrap_or_default();
        Self::new(if WHOLE.iter().any(|whole| case.ends_with(whole)) { 1 } else { 16 }, place)
    }
}

#[async_trait::async_trait]
impl Fixture for Redis {
    async fn open(&self, policy: FixturePolicy) -> Arc<dyn LockBackend> {
        let mut config = common::config(policy, matches!(self.place, Place::Functions));
        config.servers = self.place.servers().unwrap_or(config.servers);
        config.buckets = Some(self.buckets);
        config.clock = Some(self.clock.clone());
        open(config).await.expect("the store opens")
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }
}

#[async_trait::async_trait]
impl DocumentFixture for Redis {
    async fn open(&self, limits: Limits) -> Arc<dyn DocumentedStore> {
        let policy = FixturePolicy { limits, ..FixturePolicy::default() };
        let mut config = common::config(policy, matches!(self.place, Place::Functions));
        config.servers = self.place.servers().unwrap_or(config.servers);
        config.buckets = Some(self.buckets);
        let store = open(config.clone()).await.expect("the store opens");
        *self.opened.lock().expect("nobody has panicked") = Some((config, Arc::clone(&store)));
        store
    }

    async fn reopen(&self) -> Option<Arc<dyn DocumentedStore>> {
        let (config, store) = self.opened.lock().expect("nobody has panicked").take()?;
        store.close().await.expect("the store closes");
        Some(open(config).await.expect("the store opens again"))
    }
}

backend_conformance!(one_bucket, Redis::new(1, Place::Functions));
backend_conformance!(many_buckets, Redis::spread(Place::Script));
backend_conformance!(sentinel, Redis::new(1, Place::Sentinel));
backend_conformance!(cluster, Redis::spread(Place::Cluster));
document_conformance!(documents_of_one_bucket, Redis::new(1, Place::Functions));
document_conformance!(documents_of_many_buckets, Redis::spread(Place::Script));
document_conformance!(documents_of_a_cluster, Redis::spread(Place::Cluster));
