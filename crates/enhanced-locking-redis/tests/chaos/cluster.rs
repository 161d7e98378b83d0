//! Faults of a cluster: masters that are lost, cut off or replaced, and slots that move under load.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::Duration;

use enhanced_locking_redis::{RedisConfig, RedisDurability, Servers};
use enhanced_locking_testkit::redis::{ClusterGroup, ClusterOptions, Takeover};

use crate::load::{Promise, Run};

const SOON: Duration = Duration::from_secs(60);
const NAMESPACE: &str = "chaos";
const BUCKETS: u16 = 3;

fn config(cluster: &ClusterGroup) -> RedisConfig {
    let nodes = cluster.addresses().iter().map(|at| (at.ip().to_string(), at.port())).collect();
    let mut config = RedisConfig::new(Servers::Cluster { nodes }).namespace(NAMESPACE);
    config.buckets = Some(BUCKETS);
    config
}

/// The slots of all buckets.
fn slots(cluster: &ClusterGroup) -> Vec<u16> {
    let key = |bucket| format!("{{{NAMESPACE}:b{bucket:03}}}:s");
    (0..BUCKETS).map(|bucket| cluster.slot_of(&key(bucket)).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn masters_are_killed_and_durable_with_their_only_replicas_loses_nothing() {
    let mut cluster = ClusterGroup::start(&ClusterOptions::default()).unwrap();
    let mut config = config(&cluster);
    config.durability = RedisDurability::durable(1).timeout(Duration::from_millis(500));
    let run = Run::of(config, 3, Promise::All).await.meanwhile(move |ending, mut dice| {
        let mut promotions = 0;
        let slots = slots(&cluster);
        while ending.wants(promotions) {
            sleep(Duration::from_millis(300 + dice.below(1_000)));
            let slot = slots[usize::try_from(dice.below(slots.len() as u64)).unwrap()];
            let old = cluster.owner(slot).unwrap();
            cluster.node_mut(old).kill();
            cluster.wait_promotion(slot, old, SOON).unwrap();
            cluster.node_mut(old).restart().unwrap();
            cluster.wait_ok().unwrap();
            promotions += 1;
            ending.strike();
        }
        (promotions, cluster)
    });
    let seen = run.go("cluster, killed").await;
    assert!(seen.faults > 0 && seen.grants > 10, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn masters_hand_over_to_their_replicas() {
    let cluster = ClusterGroup::start(&ClusterOptions::default()).unwrap();
    let run = Run::of(config(&cluster), 3, Promise::All).await.meanwhile(move |ending, mut dice| {
        let mut promotions = 0;
        let slots = slots(&cluster);
        while ending.wants(promotions) {
            sleep(Duration::from_millis(300 + dice.below(1_000)));
            let slot = slots[usize::try_from(dice.below(slots.len() as u64)).unwrap()];
            let old = cluster.owner(slot).unwrap();
            let Some(&replica) = cluster.replicas(old).unwrap().first() else { continue };
            cluster.failover(replica, Takeover::Planned).unwrap();
            cluster.wait_promotion(slot, old, SOON).unwrap();
            cluster.wait_ok().unwrap();
            promotions += 1;
            ending.strike();
        }
        (promotions, cluster)
    });
    let seen = run.go("cluster, handed over").await;
    assert!(seen.faults > 0 && seen.grants > 10, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn masters_are_cut_off_and_durable_with_their_only_replicas_loses_nothing() {
    let cluster =
        ClusterGroup::start(&ClusterOptions { proxied: true, ..ClusterOptions::default() }).unwrap();
    let mut config = config(&cluster);
    config.durability = RedisDurability::durable(1).timeout(Duration::from_millis(500));
    let run = Run::of(config, 3, Promise::All).await.meanwhile(move |ending, mut dice| {
        let mut promotions = 0;
        let slots = slots(&cluster);
        while ending.wants(promotions) {
            sleep(Duration::from_millis(300 + dice.below(1_000)));
            let slot = slots[usize::try_from(dice.below(slots.len() as u64)).unwrap()];
            let old = cluster.owner(slot).unwrap();
            // Clients cannot reach it, and may have sent it what arrives after the partition.
            cluster.isolate(old);
            cluster.wait_promotion(slot, old, SOON).unwrap();
            cluster.heal();
            cluster.wait_ok().unwrap();
            promotions += 1;
            ending.strike();
        }
        (promotions, cluster)
    });
    let seen = run.go("cluster, cut off").await;
    assert!(seen.faults > 0 && seen.grants > 10, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_move_to_and_fro() {
    let cluster = ClusterGroup::start(&ClusterOptions::default()).unwrap();
    let run = Run::of(config(&cluster), 3, Promise::All).await.meanwhile(move |ending, mut dice| {
        let slots = slots(&cluster);
        let mut homes = BTreeSet::new();
        let mut moves = 0;
        while !ending.has_come() {
            let slot = slots[usize::try_from(dice.below(slots.len() as u64)).unwrap()];
            let from = cluster.owner(slot).unwrap();
            let to = (from + 1 + usize::try_from(dice.below(2)).unwrap()) % 3;
            cluster.begin_migration(slot, from, to).unwrap();
            // Half of the keys here and half there: nobody can use them now.
            while cluster.move_keys(slot, from, to, 2).unwrap() > 0 {
                sleep(Duration::from_millis(dice.below(30)));
            }
            sleep(Duration::from_millis(dice.below(100)));
            // Keys that were made meanwhile go along.
            while cluster.move_keys(slot, from, to, 100).unwrap() > 0 {}
            cluster.end_migration(slot, from, to).unwrap();
            homes.insert((slot, to));
            moves += 1;
            if homes.len() > 4 {
                ending.strike();
            }
            sleep(Duration::from_millis(dice.below(150)));
        }
        (moves, cluster)
    });
    let seen = run.go("slots moved").await;
    assert!(seen.faults > 4 && seen.grants > 10, "{seen:?}");
}
