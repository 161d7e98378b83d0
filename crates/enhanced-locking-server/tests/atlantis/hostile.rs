//! Clients that mean harm, or nothing at all: they harm themselves.

use std::time::Duration;

use enhanced_locking_server::atlantis::AtlantisConfig;

use crate::client::{Value, request};
use crate::common::{Port, config, with_password};

/// What a client is told that says something; the connection is closed after it.
async fn told(port: &Port, bytes: &[u8]) -> String {
    let mut client = port.client().await;
    client.send(bytes).await;
    client.rest().await
}

#[tokio::test]
async fn sizes_beyond_all_bounds_end_the_connection_before_anything_is_kept() {
    let port = Port::start().await;
    for bytes in [
        "*1000000000\r\n",
        "*257\r\n",
        "*1\r\n$999999999999\r\n",
        "*1\r\n$8388609\r\n",
        "*99999999999999999999\r\n",
        "*1\r\n$-5\r\n",
        "*1\r\n:1\r\n",
        "*2\r\n$3\r\nget\r\n$1\r\nabc\r\n",
    ] {
        let told = told(&port, bytes.as_bytes()).await;
        assert!(told.starts_with("-ERR Protocol error: "), "{bytes:?}: {told:?}");
    }
    assert_eq!(port.client().await.say("ping").await, Value::Simple("PONG".to_owned()));
}

#[tokio::test]
async fn strangers_may_send_little() {
    let port = Port::with(with_password()).await;
    assert!(told(&port, b"*1\r\n$100000\r\n").await.starts_with("-ERR Protocol error: "));
    assert!(told(&port, b"*11\r\n").await.starts_with("-ERR Protocol error: "));
    let mut client = port.client().await;
    assert_eq!(client.say("auth s3cret").await, Value::ok());
    assert_eq!(client.call(&["echo", &"x".repeat(100_000)]).await, Value::bulk("x".repeat(100_000)));
}

#[tokio::test]
async fn a_line_that_never_ends_is_cut_off() {
    let port = Port::start().await;
    let told = told(&port, "a".repeat(70_000).as_bytes()).await;
    // It may be closed with the end of the line unread, and then nothing is told.
    assert!(told.is_empty() || told.starts_with("-ERR Protocol error: too big inline request"), "{told:?}");
    assert_eq!(port.client().await.say("ping").await, Value::Simple("PONG".to_owned()));
}

#[tokio::test]
async fn browsers_are_sent_away() {
    let port = Port::start().await;
    let told = told(&port, b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\nset a b\r\n").await;
    assert_eq!(told, "-ERR this is not an HTTP port\r\n");
    assert!(port.documents.map.lock().is_empty());
}

#[tokio::test]
async fn half_a_request_is_waited_for_a_while_only() {
    let short = Duration::from_millis(100);
    let port = Port::with(AtlantisConfig { request_timeout: short, ..config() }).await;
    for half in ["*2\r\n$3\r\nget\r\n", "*", "pin", "*1\r\n$100\r\nabc"] {
        assert_eq!(told(&port, half.as_bytes()).await, "");
    }
    // Dripping in does not help.
    let mut client = port.client().await;
    client.send(b"*1\r\n$90000\r\n").await;
    let mut sent = 0;
    while sent < 90_000 && tokio::io::AsyncWriteExt::write_all(&mut client.stream, b"x").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
        sent += 1;
    }
    assert!(sent < 90_000);
}

#[tokio::test]
async fn silence_ends_connections() {
    let short = Duration::from_millis(100);
    let port = Port::with(AtlantisConfig { idle_timeout: short, ..config() }).await;
    let mut client = port.client().await;
    assert_eq!(client.say("ping").await, Value::Simple("PONG".to_owned()));
    assert_eq!(client.rest().await, "");
    // Who has a password to say has less time, however much is said instead.
    let port = Port::with(AtlantisConfig { handshake_timeout: short, ..with_password() }).await;
    let mut client = port.client().await;
    for _ in 0..1000 {
        if tokio::io::AsyncWriteExt::write_all(&mut client.stream, b"ping\r\n").await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(client.rest().await.starts_with("-NOAUTH"));
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_given_up() {
    let short = Duration::from_millis(300);
    let port = Port::with(AtlantisConfig { request_timeout: short, ..config() }).await;
    let mut greedy = port.client().await;
    let bytes = request(&["echo", &"x".repeat(1 << 20)]);
    let mut sent = 0;
    while sent < 200 && tokio::io::AsyncWriteExt::write_all(&mut greedy.stream, &bytes).await.is_ok() {
        sent += 1;
    }
    assert!(sent < 200);
    assert_eq!(port.client().await.say("ping").await, Value::Simple("PONG".to_owned()));
}

#[tokio::test]
async fn too_many_connections_are_refused_and_the_others_served() {
    let port = Port::with(AtlantisConfig { max_connections: 3, ..config() }).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = port.client().await;
        assert_eq!(client.say("ping").await, Value::Simple("PONG".to_owned()));
        clients.push(client);
    }
    assert_eq!(port.client().await.rest().await, "-ERR max number of clients reached\r\n");
    assert_eq!(clients[0].say("ping").await, Value::Simple("PONG".to_owned()));
    clients.pop().unwrap().say("quit").await;
    // There is room as soon as the end is noticed.
    loop {
        let mut client = port.client().await;
        client.send(b"ping\r\n").await;
        if client.answer().await == Value::Simple("PONG".to_owned()) {
            break;
        }
    }
}

#[tokio::test]
async fn long_values_are_carried_and_one_too_long_is_not() {
    let port = Port::start().await;
    let mut client = port.modern().await;
    let long = "x".repeat(8 << 20);
    assert_eq!(client.call(&["set", "doc", &long]).await, Value::ok());
    assert_eq!(client.call(&["get", "doc"]).await, Value::bulk(long));
    assert!(client.say("mget doc doc").await.error().contains("too long for one answer"));
}

#[tokio::test]
async fn many_long_requests_that_never_end_leave_room_for_others() {
    let port = Port::start().await;
    let mut slow = Vec::new();
    for _ in 0..24 {
        let mut client = port.client().await;
        let mut bytes = b"*1\r\n$8000000\r\n".to_vec();
        bytes.extend(vec![b'x'; 300 << 10]);
        // Those that have no place are not read any further.
        let sent = tokio::time::timeout(Duration::from_millis(200), client.send(&bytes)).await;
        slow.push((client, sent.is_ok()));
    }
    assert_eq!(port.client().await.say("set a b").await, Value::ok());
}
