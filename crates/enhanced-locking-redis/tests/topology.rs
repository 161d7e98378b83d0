//! Every way to a server, and everything that is checked before it is used: sockets, TLS, users, Sentinels, clusters;
//! and what a person is told when something is wrong.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

use std::net::SocketAddr;
use std::time::Duration;

use enhanced_locking_foundation::{AcquireOutcome, AcquireRequest, LockBackend, OwnerId, ResourceKey};
use enhanced_locking_redis::{OpenError, RedisConfig, RedisDurability, RedisTls, Servers, open};
use enhanced_locking_testkit::redis::{
    ClusterGroup, ClusterOptions, RedisServer, SentinelGroup, SentinelOptions, ServerOptions, TlsServer,
};

/// The rights that the documentation names, for the namespace `enhanced-locks`.
fn rights() -> String {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/03-redis-backend.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, rights) = page.split_once("ACL SETUSER enhanced-locks on >PASSWORD ").unwrap();
    let (rights, _) = rights.split_once("```").unwrap();
    rights.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn at(address: SocketAddr) -> RedisConfig {
    RedisConfig::new(Servers::single(address.ip().to_string(), address.port()))
}

fn nodes(addresses: &[SocketAddr]) -> Vec<(String, u16)> {
    addresses.iter().map(|address| (address.ip().to_string(), address.port())).collect()
}

/// Opens the store, and checks that it takes a lock and gives it back.
#[track_caller]
fn works(config: RedisConfig) -> impl Future<Output = Vec<String>> {
    let caller = std::panic::Location::caller();
    async move {
        let store = open(config).await.unwrap_or_else(|error| panic!("{caller}: {error:?}"));
        for key in ["a", "b", "c", "d"] {
            let request = AcquireRequest::new(ResourceKey::new(key).unwrap(), OwnerId::new("o").unwrap());
            let AcquireOutcome::Held(record) = store.acquire(request).await.unwrap() else { panic!("{key}") };
            store.release(&record.grant()).await.unwrap();
        }
        let warnings = store.warnings().to_vec();
        store.close().await.unwrap();
        warnings
    }
}

/// Why the store is not opened, with the causes below it.
async fn refused(config: RedisConfig) -> (OpenError, String) {
    let error = open(config).await.expect_err("it should be refused");
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(below) = source {
        text = format!("{text}: {below}");
        source = below.source();
    }
    (error, text)
}

#[tokio::test]
async fn a_server_is_reached_by_its_address_or_its_socket_in_any_of_its_databases() {
    let server = RedisServer::start(&ServerOptions::default()).unwrap();
    works(at(server.address())).await;
    works(RedisConfig::new(Servers::unix(server.socket())).namespace("other")).await;
    let mut config = at(server.address()).namespace("third");
    config.database = 7;
    works(config.clone()).await;
    let keys = |database: &str| {
        let mut client = server.client().unwrap();
        client.call(["SELECT", database]).unwrap();
        client.call(["KEYS", "{third*"]).unwrap().items().len()
    };
    assert!(keys("7") > 0 && keys("0") == 0);
    config.database = 200;
    let (error, text) = refused(config).await;
    assert!(matches!(error, OpenError::Connect { .. }), "{text}");
    assert!(text.contains("no database of this number"), "{text}");
}

#[tokio::test]
async fn tls_wants_the_right_authority_and_shows_the_clients_certificate() {
    let server = TlsServer::start(&ServerOptions::default()).unwrap();
    let files = server.files();
    let mut config = RedisConfig::new(Servers::single("localhost", server.server().address().port()));
    config.connect_timeout = Duration::from_secs(3);
    config.username = Some(server.user().to_owned());
    config.password = Some(server.password().to_owned());
    let tls = RedisTls {
        ca_file: Some(files.ca.clone()),
        cert_file: Some(files.client_cert.clone()),
        key_file: Some(files.client_key.clone()),
    };
    config.tls = Some(tls.clone());
    works(config.clone()).await;
    config.servers = Servers::single("127.0.0.1", server.server().address().port());
    works(config.clone()).await;
    for (tls, expected) in [
        (
            Some(RedisTls { ca_file: Some(files.other_ca.clone()), ..tls.clone() }),
            "authority that is not trusted",
        ),
        (Some(RedisTls { cert_file: None, key_file: None, ..tls.clone() }), "asks for a certificate"),
        (Some(RedisTls { cert_file: None, ..tls.clone() }), "both or none"),
        (
            Some(RedisTls { key_file: Some(files.server_key.clone()), ..tls.clone() }),
            "do not belong together",
        ),
        (None, "speaks TLS only"),
    ] {
        config.tls = tls;
        let (_, text) = refused(config.clone()).await;
        assert!(text.contains(expected), "{expected}: {text}");
        assert!(!text.contains(server.password()), "{text}");
    }
    let plain = RedisServer::start(&ServerOptions::default()).unwrap();
    let mut config = at(plain.address());
    config.connect_timeout = Duration::from_secs(3);
    config.tls = Some(tls);
    let (_, text) = refused(config).await;
    assert!(text.contains("speaks TLS") || text.contains("does not speak TLS"), "{text}");
}

#[tokio::test]
async fn a_password_file_is_read_again_for_every_new_connection() {
    let options = ServerOptions::default().user("locks", "first", "~* &* +@all");
    let server = RedisServer::start(&options).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("password");
    std::fs::write(&file, "first\n").unwrap();
    let mut config = at(server.address());
    config.username = Some("locks".to_owned());
    config.password_file = Some(file.clone());
    let store = open(config.clone()).await.unwrap();
    store.ping().await.unwrap();
    std::fs::write(&file, "second\n").unwrap();
    server.call(["ACL", "SETUSER", "locks", "resetpass", ">second"]).unwrap();
    // All connections of the user are gone; new ones need the new password.
    server.call(["CLIENT", "KILL", "USER", "locks"]).unwrap();
    let back = tokio::time::timeout(Duration::from_secs(20), async {
        while store.ping().await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    back.await.expect("it connects with the new password");
    std::fs::write(&file, "wrong\n").unwrap();
    let (_, text) = refused(config).await;
    assert!(text.contains("check user and password"), "{text}");
}

#[tokio::test]
async fn the_rights_that_the_documentation_names_are_enough() {
    let options = ServerOptions::default().user("locks", "secret", &rights());
    let server = RedisServer::start(&options).unwrap();
    let mut config = at(server.address());
    config.username = Some("locks".to_owned());
    config.password = Some("secret".to_owned());
    works(config.clone()).await;
    let cluster =
        ClusterGroup::start(&ClusterOptions { replicas: 0, server: options, ..ClusterOptions::default() })
            .unwrap();
    config.servers = Servers::Cluster { nodes: nodes(&cluster.addresses()) };
    works(config).await;
}

#[tokio::test]
async fn a_missing_right_is_named_before_anything_is_done() {
    let options = ServerOptions::default().user("locks", "secret", &rights());
    let server = RedisServer::start(&options).unwrap();
    let mut config = at(server.address());
    config.username = Some("locks".to_owned());
    for (rule, expected) in [
        ("-zadd", "not allowed ZADD;"),
        ("-@scripting", "not allowed EVAL"),
        ("-info", "not allowed INFO;"),
        ("-publish", "not allowed PUBLISH;"),
        ("resetkeys", "keys of the namespace"),
        ("resetchannels", "not allowed"),
        ("-subscribe", "to subscribe to the channels"),
    ] {
        server.call(["ACL", "SETUSER", "locks", "reset"]).unwrap();
        let allowed = rights();
        let mut rules: Vec<&str> = vec!["ACL", "SETUSER", "locks", "on", ">secret"];
        rules.extend(allowed.split_whitespace());
        rules.push(rule);
        server.call(rules).unwrap();
        config.password = Some("secret".to_owned());
        let (error, text) = refused(config.clone()).await;
        assert!(matches!(error, OpenError::Rights { .. }), "{rule}: {text}");
        assert!(text.contains(expected), "{rule}: {text}");
        config.password = Some("guessed".to_owned());
        let (_, text) = refused(config.clone()).await;
        assert!(text.contains("check user and password") && !text.contains("guessed"), "{text}");
    }
    assert_eq!(server.call(["DBSIZE"]).unwrap().integer(), Some(0), "nothing was left behind");
}

#[tokio::test]
async fn a_server_that_deletes_locks_is_refused_and_one_that_forgets_them_is_told() {
    let server = RedisServer::start(&ServerOptions::default()).unwrap();
    let warnings = works(at(server.address())).await;
    assert!(warnings.iter().any(|text| text.contains("keeps nothing on disk")), "{warnings:?}");
    server.call(["CONFIG", "SET", "save", "60 1"]).unwrap();
    let warnings = works(at(server.address())).await;
    assert!(warnings.iter().any(|text| text.contains("from time to time only")), "{warnings:?}");
    server.call(["CONFIG", "SET", "appendonly", "yes"]).unwrap();
    assert_eq!(works(at(server.address())).await, Vec::<String>::new());
    let mut durable = at(server.address());
    durable.durability = RedisDurability::durable(1);
    let warnings = open(durable).await.unwrap().warnings().to_vec();
    assert!(warnings.iter().any(|text| text.contains("has 0 replicas and 1 are asked for")), "{warnings:?}");
    server.call(["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).unwrap();
    let (error, text) = refused(at(server.address())).await;
    assert!(matches!(error, OpenError::Eviction { .. }), "{text}");
    assert!(text.contains("set it to noeviction"), "{text}");
}

#[tokio::test]
async fn where_config_is_forbidden_the_policy_is_still_found() {
    let options = ServerOptions::default()
        .user("locks", "secret", &format!("{} -config", rights()))
        .config("maxmemory-policy volatile-lru");
    let server = RedisServer::start(&options).unwrap();
    let mut config = at(server.address());
    config.username = Some("locks".to_owned());
    config.password = Some("secret".to_owned());
    let (error, text) = refused(config.clone()).await;
    assert!(matches!(error, OpenError::Eviction { .. }), "{text}");
    server.call(["CONFIG", "SET", "maxmemory-policy", "noeviction"]).unwrap();
    let warnings = works(config).await;
    assert!(warnings.iter().any(|text| text.contains("keeps no append-only file")), "{warnings:?}");
}

#[tokio::test]
async fn sentinels_lead_to_the_master_and_are_not_taken_for_one() {
    let group = SentinelGroup::start(&SentinelOptions::default()).unwrap();
    let sentinels = nodes(&group.sentinels());
    let (host, port) = sentinels[0].clone();
    let servers = |service: &str| Servers::Sentinel { nodes: sentinels.clone(), service: service.to_owned() };
    works(RedisConfig::new(servers(group.master_name()))).await;
    let (_, text) = refused(RedisConfig::new(servers("nobody"))).await;
    assert!(text.contains("know no master of this name"), "{text}");
    let (error, text) = refused(RedisConfig::new(Servers::single(host, port))).await;
    assert!(matches!(error, OpenError::Place { .. }), "{text}");
    assert!(text.contains("name it as a Sentinel"), "{text}");
    let (error, text) = refused(at(group.address(1))).await;
    let master = group.address(0);
    assert!(matches!(error, OpenError::Replica { .. }), "{text}");
    assert!(text.contains(&format!("a replica of {master}")), "{text}");
    let (_, text) = refused(RedisConfig::new(Servers::Sentinel {
        nodes: nodes(&[master]),
        service: group.master_name().to_owned(),
    }))
    .await;
    assert!(text.contains("Sentinel"), "{text}");
}

#[tokio::test]
async fn every_master_of_a_cluster_is_checked() {
    let cluster = ClusterGroup::start(&ClusterOptions::default()).unwrap();
    let config = || RedisConfig::new(Servers::Cluster { nodes: nodes(&cluster.addresses()[..1]) });
    let warnings = works(config()).await;
    let unsafe_masters = warnings.iter().filter(|text| text.contains("keeps nothing on disk")).count();
    assert_eq!(unsafe_masters, 3, "{warnings:?}");
    cluster.nodes()[2].call(["CONFIG", "SET", "maxmemory-policy", "allkeys-lfu"]).unwrap();
    let (_, text) = refused(config()).await;
    assert!(text.contains(&format!("of {} is allkeys-lfu", cluster.address(2))), "{text}");
    let mut database = config();
    database.database = 1;
    let (_, text) = refused(database).await;
    assert!(text.contains("database of a cluster is 1"), "{text}");
    let (_, text) = refused(at(cluster.address(0))).await;
    assert!(text.contains("part of a cluster; set cluster mode"), "{text}");
    let single = RedisServer::start(&ServerOptions::default()).unwrap();
    let (_, text) = refused(RedisConfig::new(Servers::Cluster { nodes: nodes(&[single.address()]) })).await;
    assert!(text.contains("belongs to no cluster"), "{text}");
}

#[tokio::test]
async fn a_cluster_is_given_as_many_connections_as_are_asked_for_and_one_bucket_only_one() {
    let server = RedisServer::start(&ServerOptions::default()).unwrap();
    let connected = || {
        let list = server.call(["CLIENT", "LIST", "TYPE", "normal"]).unwrap().text().unwrap();
        list.lines().filter(|line| !line.contains("cmd=client")).count()
    };
    let mut config = at(server.address());
    config.connections = 20;
    let store = open(config.clone()).await.unwrap();
    assert_eq!(connected(), 1);
    store.close().await.unwrap();
    config.buckets = Some(64);
    config.connections = 5;
    let store = open(config.namespace("many")).await.unwrap();
    assert_eq!(connected(), 5);
    store.close().await.unwrap();
}
