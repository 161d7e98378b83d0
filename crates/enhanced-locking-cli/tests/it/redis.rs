//! The service on Redis: one server, Sentinels, a cluster; several services on one store; what stops it at the start.
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Stdio};

use enhanced_locking_testkit::redis::{
    ClusterGroup, ClusterOptions, RedisServer, SentinelGroup, SentinelOptions, ServerOptions, TlsServer,
};
use serde_json::Value;

use crate::common::{Done, Service, bare, file, until};

fn server() -> RedisServer {
    RedisServer::start(&ServerOptions::default()).unwrap()
}

/// A service on a server, by its socket.
fn on(server: &RedisServer) -> Service {
    let addresses = format!("redis.addresses=unix:{}", server.socket().display());
    Service::start_with(&["--set", "backend=redis", "--set", &addresses])
}

fn with_file(yaml: &str, before: &'static str) -> (Service, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("atlantis.yaml");
    std::fs::write(&path, yaml).unwrap();
    (Service::start_after(before, &["--config", path.to_str().unwrap()]), directory)
}

fn addresses(all: &[std::net::SocketAddr]) -> String {
    all.iter().map(|address| format!("\"{address}\"")).collect::<Vec<_>>().join(", ")
}

/// Goes once through everything that can be done.
fn every_command_works(service: &Service) {
    let ran = "printf %s \"$ENHANCED_LOCK_KEY\"";
    assert_eq!(service.run(&["run", "-k", "prod/a", "--", "sh", "-c", ran]).expect_code(0).out, "prod/a");
    let lock = service.json(&["lock", "-k", "prod/a", "--owner", "ann", "--lease", "1m"])["lock"].clone();
    service.run(&["lock", "-k", "prod/a", "--owner", "bob", "--wait", "0"]).expect_code(75);
    let place = service.json(&["lock", "-k", "prod/a", "--owner", "bob", "--queue", "--priority", "high"]);
    assert_eq!((place["state"].as_str(), place["position"].as_u64()), (Some("queued"), Some(1)));
    assert!(service.run(&["queue"]).expect_code(0).out.starts_with("prod/a  held by ann"));
    assert!(service.run(&["get", "prod/a"]).expect_code(0).out.contains("1 waiting:"));
    let renewed = service.json(&["renew", "-k", "prod/a", "--owner", "ann", "--lease", "1h"])["lock"].clone();
    assert_eq!(renewed["token"], lock["token"]);
    let moved = service.json(&["transfer", "-k", "prod/a", "--owner", "ann", "--to", "cleo"])["lock"].clone();
    assert!(moved["token"].as_u64() > lock["token"].as_u64());
    let done = service.run(&["force-unlock", "prod/a", "--reason", "stuck"]).expect_code(0);
    assert!(done.out.starts_with("took prod/a from cleo"), "{}", done.out);
    let id = place["request_id"].as_str().unwrap();
    assert_eq!(service.json(&["get", "--id", id])["state"], "held");
    service.run(&["unlock", "-k", "prod/a", "--owner", "bob"]).expect_code(0);
    let of = |number| ["--repo", "acme/infra", "--pull", number];
    for key in ["x", "y", "z"] {
        service.run(&[&["lock", "-k", key, "--owner", "pr"][..], &of("42")].concat()).expect_code(0);
    }
    let list = service.run(&["list"]).expect_code(0).out;
    assert_eq!(list.lines().count(), 4, "{list}");
    let cleared = service.json(&[&["unlock", "--all"][..], &of("42")].concat());
    assert_eq!(cleared["released"].as_array().unwrap().len(), 3);
    let done = service
        .run(&["watch", "--after", "start", "-k", "prod/a", "--count", "3", "--output", "json"])
        .expect_code(0);
    let kinds =
        |line: &str| serde_json::from_str::<Value>(line).unwrap()["kind"].as_str().unwrap().to_owned();
    assert_eq!(done.out.lines().map(kinds).collect::<Vec<_>>(), ["acquired", "released", "acquired"]);
    let done = service.run(&["health"]).expect_code(0);
    assert!(done.out.starts_with("healthy") && done.out.contains("store: redis at "), "{}", done.out);
    assert!(service.run(&["backup"]).err.contains("back it up with its own tools"));
    service.until_held(0);
}

#[test]
fn every_command_works_on_one_server() {
    let server = server();
    every_command_works(&on(&server));
}

#[test]
fn every_command_works_with_sentinels() {
    let group = SentinelGroup::start(&SentinelOptions::default()).unwrap();
    let (service, _directory) = with_file(
        &format!(
            "enhanced-locking:\n  backend: redis\n  redis:\n    addresses: [{}]\n    sentinel-master: {}\n",
            addresses(&group.sentinels()),
            group.master_name()
        ),
        "",
    );
    every_command_works(&service);
}

/// The sample that operators know, with other addresses.
#[test]
fn every_command_works_with_the_sample_for_a_cluster() {
    let users = ServerOptions::default().user("spare", "spare", "+ping");
    let cluster =
        ClusterGroup::start(&ClusterOptions { server: users, ..ClusterOptions::default() }).unwrap();
    for node in cluster.nodes() {
        node.call(["ACL", "SETUSER", "default", "on", ">sesame", "~*", "&*", "+@all"]).unwrap();
    }
    let (service, _directory) = with_file(
        &format!(
            "enhanced-locking:\n  enabled: true\n  backend: redis\n  redis:\n    addresses: [{}]\n    \
             password: \"${{REDIS_PASSWORD}}\"\n    cluster-mode: true\n    pool-size: 20\n",
            addresses(&cluster.addresses()[..3])
        ),
        "export REDIS_PASSWORD=sesame",
    );
    every_command_works(&service);
}

#[test]
fn every_command_works_behind_tls_with_a_user_and_a_password_file() {
    let server = TlsServer::start(&ServerOptions::default()).unwrap();
    let files = server.files();
    let (service, _directory) = with_file(
        &format!(
            "enhanced-locking:\n  backend: redis\n  redis:\n    addresses: [\"localhost:{}\"]\n    username: {}\n    \
             password-file: {}\n    tls:\n      ca-file: {}\n      cert-file: {}\n      key-file: {}\n",
            server.server().address().port(),
            server.user(),
            server.password_file().display(),
            files.ca.display(),
            files.client_cert.display(),
            files.client_key.display(),
        ),
        "",
    );
    every_command_works(&service);
}

/// Watches all events of a service from the start.
struct Watch(Child, std::io::Lines<BufReader<std::process::ChildStdout>>);

impl Watch {
    fn of(service: &Service) -> Self {
        let mut command = service.command(&["watch", "--all", "--after", "start", "--output", "json"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self(child, lines)
    }

    fn until(&mut self, kind: &str, key: &str) -> Vec<(String, String, Value)> {
        let mut seen = Vec::new();
        loop {
            let event: Value = serde_json::from_str(&self.1.next().unwrap().unwrap()).unwrap();
            let word = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
            seen.push((word("kind"), word("key"), event["seq"].clone()));
            if word("kind") == kind && word("key") == key {
                return seen;
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn two_services_share_locks_lines_and_events() {
    let server = server();
    let (here, there) = (on(&server), on(&server));
    let (mut seen_here, mut seen_there) = (Watch::of(&here), Watch::of(&there));
    let held = there.json(&["lock", "-k", "a", "--owner", "ann"])["lock"].clone();
    // Waits at one for what is held through the other.
    let got = here.path("got");
    let script = format!("printf %s \"$ENHANCED_LOCK_TOKEN\" > {0}.new && mv {0}.new {0}", got.display());
    let waiting = here.spawn(&["run", "-k", "a", "--owner", "bob", "--", "sh", "-c", &script]);
    there.until_waiting(1);
    here.run(&["lock", "-k", "a", "--owner", "eve", "--wait", "0"]).expect_code(75);
    there.run(&["unlock", "-k", "a", "--owner", "ann"]).expect_code(0);
    let token: u64 = file(&got).parse().unwrap();
    assert!(token > held["token"].as_u64().unwrap());
    waiting.end().expect_code(0);
    here.run(&["lock", "-k", "end", "--owner", "ann"]).expect_code(0);
    there.run(&["force-unlock", "end", "--reason", "over"]).expect_code(0);
    here.until_held(0);
    let events = seen_here.until("force_released", "end");
    assert_eq!(events, seen_there.until("force_released", "end"), "both see the same, with the same numbers");
    let kinds: Vec<&str> =
        events.iter().map(|(kind, _, _)| kind.as_str()).filter(|kind| *kind != "renewed").collect();
    assert_eq!(
        kinds,
        ["acquired", "queued", "released", "granted", "claimed", "released", "acquired", "force_released"],
        "{events:?}"
    );
}

#[test]
fn what_a_killed_service_had_granted_ends_with_its_lease_and_others_go_on() {
    let server = server();
    let (mut here, there) = (on(&server), on(&server));
    let sticky = here.json(&["lock", "-k", "kept", "--owner", "ann"])["lock"]["token"].clone();
    here.run(&["lock", "-k", "leased", "--owner", "ann", "--lease", "3s"]).expect_code(0);
    let next = there.spawn(&["run", "-k", "leased", "--owner", "bob", "--", "true"]);
    let waiting = here.spawn(&["run", "-k", "kept", "--owner", "cleo", "--", "true"]);
    there.until_waiting(2);
    here.kill();
    next.end().expect_code(0);
    assert_eq!(there.json(&["list", "kept"])["locks"][0]["token"], sticky);
    // Who waited at the killed one waits on when it is back, and is handed what the other one lets go.
    here.restart();
    there.run(&["unlock", "-k", "kept", "--owner", "ann"]).expect_code(0);
    waiting.end().expect_code(0);
    there.until_held(0);
}

#[test]
fn a_service_goes_on_when_its_server_was_away() {
    let mut server = RedisServer::start(&ServerOptions::default().append_only()).unwrap();
    let service = on(&server);
    let token = service.json(&["lock", "-k", "a", "--owner", "ann"])["lock"]["token"].clone();
    server.kill();
    service.run(&["list"]).expect_code(69);
    server.restart().unwrap();
    until("it is back", || service.run(&["list"]).code == 0);
    assert_eq!(service.json(&["list"])["locks"][0]["token"], token);
    service.run(&["unlock", "-k", "a", "--owner", "ann"]).expect_code(0);
}

#[test]
fn what_stands_in_the_way_is_told_with_what_to_do() {
    let refused = |settings: &[&str]| {
        let mut arguments = vec!["serve", "--listen", "127.0.0.1:0", "--set", "backend=redis"];
        arguments.extend(settings.iter().flat_map(|setting| ["--set", setting]));
        let directory = tempfile::tempdir().unwrap();
        Done::of(bare(&arguments).current_dir(&directory).output().unwrap()).expect_code(1).err
    };
    let server = server();
    let address = format!("redis.addresses={}", server.address());
    assert!(refused(&[]).contains("name at least one server"));
    let text = refused(&[&address, "redis.cluster-mode=true"]);
    assert!(text.contains("belongs to no cluster"), "{text}");
    let text = refused(&[&address, "redis.cluster-mode=true", "redis.sentinel-master=m"]);
    assert!(text.contains("keep one of the two"), "{text}");
    let text = refused(&[&address, "redis.username=u", "redis.password=hunter2"]);
    assert!(text.contains("check user and password") && !text.contains("hunter2"), "{text}");
    let text = refused(&["redis.addresses=unix:/no/such.sock"]);
    assert!(text.contains("there is no such socket"), "{text}");
    server.call(["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).unwrap();
    let text = refused(&[&address]);
    assert!(text.contains("allkeys-lru") && text.contains("set it to noeviction"), "{text}");
    server.call(["CONFIG", "SET", "maxmemory-policy", "noeviction"]).unwrap();
    let service = Service::start_with(&["--set", "backend=redis", "--set", &address]);
    assert!(std::fs::read_to_string(service.log()).unwrap().contains("keeps nothing on disk"));
    let text = refused(&[&address, "redis.buckets=8"]);
    assert!(text.contains("has 1 buckets and 8 were asked for"), "{text}");
}

/// The body of an answer to a `GET`.
fn get(service: &Service, path: &str) -> String {
    let address = service.url.trim_start_matches("http://");
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    body.to_owned()
}

#[test]
fn a_service_tells_how_its_servers_are() {
    let mut server = server();
    let service = on(&server);
    let status: Value = serde_json::from_str(&get(&service, "/api/enhanced-locks/cluster/status")).unwrap();
    assert_eq!((&status["healthy"], status["nodes"][0]["role"].as_str()), (&true.into(), Some("master")));
    assert_eq!(status["connection"]["breaker"], "closed");
    let nodes: Value = serde_json::from_str(&get(&service, "/api/enhanced-locks/cluster/nodes")).unwrap();
    assert_eq!(nodes["nodes"].as_array().unwrap().len(), 1);
    let metrics = get(&service, "/metrics");
    assert!(metrics.contains("\natlantis_redis_connected 1\n") && metrics.ends_with("# EOF\n"), "{metrics}");
    let health: Value = serde_json::from_str(&get(&service, "/api/enhanced-locks/health/detailed")).unwrap();
    let parts = health["components"].as_array().unwrap();
    assert!(parts.iter().any(|part| part["name"] == "redis" && part["score"] == 100.0), "{health}");
    server.kill();
    until("the service tells that its server is gone", || {
        let text = get(&service, "/api/enhanced-locks/cluster/status");
        let status: Value = serde_json::from_str(&text).unwrap();
        status["healthy"] == false
            && status["problems"][0].as_str().is_some_and(|text| text.contains("no connection"))
    });
}
