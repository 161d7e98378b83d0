//! Stopping: what waits is answered, streams end, nobody's place is lost, and it does not take longer than the grace.

use std::time::Duration;

use enhanced_locking_foundation::LockBackend;
use enhanced_locking_server::ServerConfig;
use reqwest::StatusCode;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use crate::common::{Service, config};

#[tokio::test]
async fn long_polls_and_streams_end_promptly_when_the_service_stops() {
    let mut service = Service::start().await;
    service.hold("demo", "me").await;
    let place = service.queue("demo", "you").await;
    let id = place["request_id"].as_str().unwrap().to_owned();
    let (http, url) = (service.http.clone(), service.url("/events"));
    let mut stream = http.get(url).send().await.unwrap();
    let poll = http.get(service.url(&format!("/requests/{id}?wait_ms=60000"))).send();
    let ask = http
        .post(service.url("/locks"))
        .json(&json!({ "key": "demo", "owner": "x", "wait_ms": 60_000, "request_id": "x" }))
        .send();
    let queue = http
        .post(service.url("/locks"))
        .json(&json!({ "key": "demo", "owner": "y", "wait_ms": 60_000, "queue": true }))
        .send();
    let began = Instant::now();
    let stop = async {
        service.happened("queued", "x").await;
        service.happened("queued", "y").await;
        service.stopped().await;
    };
    let (poll, ask, queue, ()) = tokio::join!(poll, ask, queue, stop);
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());

    let poll: serde_json::Value = poll.unwrap().json().await.unwrap();
    assert_eq!((&poll["state"], &poll["position"]), (&json!("queued"), &json!(1)), "{poll}");
    let queue = queue.unwrap();
    assert_eq!(queue.status(), StatusCode::ACCEPTED);
    let ask = ask.unwrap();
    assert_eq!(
        (ask.status(), &ask.headers()["retry-after"]),
        (StatusCode::SERVICE_UNAVAILABLE, &"2".parse().unwrap())
    );
    let problem: serde_json::Value = ask.json().await.unwrap();
    assert_eq!((&problem["kind"], &problem["request_id"]), (&json!("draining"), &json!("x")), "{problem}");
    while stream.chunk().await.unwrap().is_some() {}

    let stats = service.backend.stats().await.unwrap();
    assert_eq!((stats.held, stats.waiting), (1, 3), "everybody keeps the place");
}

#[tokio::test]
async fn a_call_that_hangs_does_not_outlive_the_grace() {
    let grace = Duration::from_millis(200);
    let mut service = Service::with(ServerConfig { shutdown_grace: grace, ..config() }).await;
    let mut stream = tokio::net::TcpStream::connect(service.address).await.unwrap();
    let head = "POST /api/enhanced-locks/locks HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    service.get("//healthz").await;
    let began = Instant::now();
    service.stopped().await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_stopped_service_accepts_nobody() {
    let mut service = Service::start().await;
    assert_eq!(service.get("//readyz").await.0, StatusCode::OK);
    service.stopped().await;
    assert!(tokio::net::TcpStream::connect(service.address).await.is_err());
}
