//! Masters that are lost, and replicas that take over by the word of Sentinels.

use std::time::Duration;

use enhanced_locking_redis::{RedisConfig, RedisDurability, Servers};
use enhanced_locking_testkit::redis::{SentinelGroup, SentinelOptions};

use crate::load::{Promise, Run};

const SOON: Duration = Duration::from_secs(60);

/// Kills masters, and has each come back as a replica before the next is killed.
async fn masters_are_killed(name: &str, durability: RedisDurability, promise: Promise) {
    let mut group = SentinelGroup::start(&SentinelOptions::default()).unwrap();
    let nodes = group.sentinels().iter().map(|at| (at.ip().to_string(), at.port())).collect();
    let service = group.master_name().to_owned();
    let mut config = RedisConfig::new(Servers::Sentinel { nodes, service });
    config.durability = durability.timeout(Duration::from_millis(500)).grace(Duration::from_secs(1));
    let run = Run::of(config, 3, promise).await.meanwhile(move |ending, mut dice| {
        let mut promotions = 0;
        while ending.wants(promotions) {
            std::thread::sleep(Duration::from_millis(300 + dice.below(1_500)));
            let old = group.master().unwrap();
            group.node_mut(old).kill();
            group.wait_promotion(old, SOON).unwrap();
            group.node_mut(old).restart().unwrap();
            group.wait_replicas().unwrap();
            promotions += 1;
            ending.strike();
        }
        (promotions, group)
    });
    let seen = run.go(name).await;
    assert!(seen.faults > 0 && seen.grants > 10, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_is_killed_and_fast_keeps_its_tokens() {
    masters_are_killed("sentinel, fast", RedisDurability::fast(), Promise::Tokens).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_is_killed_and_durable_with_its_only_replica_loses_nothing() {
    masters_are_killed("sentinel, durable", RedisDurability::durable(1), Promise::All).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_is_killed_and_strict_with_its_only_replica_loses_nothing() {
    masters_are_killed("sentinel, strict", RedisDurability::strict(1), Promise::All).await;
}
