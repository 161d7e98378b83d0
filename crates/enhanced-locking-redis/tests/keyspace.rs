//! The keys of somebody else are read from every master, each once, and one that cannot be read is told.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;

use enhanced_locking_redis::{ForeignKey, RedisConfig, Servers, read_keyspace};
use enhanced_locking_testkit::redis::{ClusterGroup, ClusterOptions, RedisServer, ServerOptions};

fn is_lock(key: &[u8]) -> bool {
    key.starts_with(b"pr/")
}

/// Keys and values; `None` for what cannot be read.
fn by_key(read: Vec<ForeignKey>) -> BTreeMap<String, Option<Vec<u8>>> {
    let count = read.len();
    let found: BTreeMap<_, _> =
        read.into_iter().map(|found| (String::from_utf8(found.key).unwrap(), found.value.ok())).collect();
    assert_eq!(found.len(), count, "a key is told once");
    found
}

#[tokio::test]
async fn one_server_is_read_whole_in_the_database_that_was_named() {
    let server = RedisServer::start(&ServerOptions::default()).unwrap();
    let mut client = server.client().unwrap();
    for number in 0..2_500 {
        client.call(["SET", &format!("pr/acme/infra/{number}/default/"), &format!("v{number}")]).unwrap();
    }
    client.call(["SET", "github.com::acme/infra::1", "not wanted"]).unwrap();
    client.call(["LPUSH", "pr/a/list", "x"]).unwrap();
    client.call([&b"SET"[..], b"pr/\xff", b"\x00\xff"]).unwrap();
    client.call(["SELECT", "3"]).unwrap();
    client.call(["SET", "pr/other/database", "x"]).unwrap();
    let mut config = RedisConfig::new(Servers::single("127.0.0.1", server.address().port()));
    let read = read_keyspace(&config, is_lock).await.unwrap();
    assert!(read.contains(&ForeignKey { key: b"pr/\xff".to_vec(), value: Ok(vec![0, 0xff]) }));
    let read = by_key(read.into_iter().filter(|found| found.key != b"pr/\xff").collect());
    assert_eq!(read.len(), 2_501);
    assert_eq!(read["pr/acme/infra/77/default/"].as_deref(), Some(&b"v77"[..]));
    assert_eq!(read["pr/a/list"], None, "a list is told as one that cannot be read");
    config.database = 3;
    let other = by_key(read_keyspace(&config, is_lock).await.unwrap());
    assert_eq!(other.into_keys().collect::<Vec<_>>(), ["pr/other/database"]);
}

#[tokio::test]
async fn all_masters_of_a_cluster_are_read() {
    let cluster = ClusterGroup::start(&ClusterOptions::default()).unwrap();
    let node = &cluster.nodes()[0];
    let nodes = cluster.addresses().iter().map(|at| (at.ip().to_string(), at.port())).collect();
    for number in 0..300 {
        let key = format!("pr/acme/infra/{number}/default/");
        let owner = cluster.owner(cluster.slot_of(&key).unwrap()).unwrap();
        cluster.nodes()[owner].call(["SET", &key, "v"]).unwrap();
    }
    let config = RedisConfig::new(Servers::Cluster { nodes });
    let read = by_key(read_keyspace(&config, is_lock).await.unwrap());
    assert_eq!(read.len(), 300);
    let here: i64 = node.call(["DBSIZE"]).unwrap().integer().unwrap();
    assert!(here < 300, "one master alone has not all of them");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_with_what_to_do() {
    let config = RedisConfig::new(Servers::single("127.0.0.1", 1));
    let error = read_keyspace(&config, is_lock).await.unwrap_err().to_string();
    assert!(error.contains("127.0.0.1:1"), "{error}");
}
