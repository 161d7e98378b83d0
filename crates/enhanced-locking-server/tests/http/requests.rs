//! Waiting in line over real connections: long polls, leaving, lost connections.

use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_core::TablePolicy;
use enhanced_locking_core::memory::MemoryBackend;
use enhanced_locking_foundation::{SteadyClock, Timing};
use enhanced_locking_server::ServerConfig;

use crate::common::{Service, config};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn who_queues_is_told_its_place_at_once() {
    let service = Service::start().await;
    let lock = service.hold("demo", "me").await;
    let response = service
        .http
        .post(service.url("/locks"))
        .json(&json!({ "key": "demo", "owner": "you", "queue": true }))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let place: serde_json::Value = response.json().await.unwrap();
    assert_eq!(location, format!("/api/enhanced-locks/requests/{}", place["request_id"].as_str().unwrap()));
    assert_eq!((&place["position"], &place["depth"], &place["eta_ms"]), (&json!(1), &json!(1), &json!(null)));
    assert_eq!(place["holders"], json!([lock]));
    assert_eq!((&place["owner"], &place["key"]), (&json!("you"), &json!("demo")));
}

#[tokio::test]
async fn a_long_poll_ends_when_the_lock_is_granted() {
    let service = Service::start().await;
    let lock = service.hold("demo", "me").await;
    let place = service.queue("demo", "you").await;
    let id = place["request_id"].as_str().unwrap();
    let path = format!("/requests/{id}?wait_ms=60000");
    let (poll, _) = tokio::join!(service.get(&path), service.release(&lock));
    assert_eq!((poll.0, &poll.1["state"]), (StatusCode::OK, &json!("held")), "{}", poll.1);
    assert_eq!(poll.1["lock"]["claim_by"], json!(null), "the poll claims the grant");
}

#[tokio::test]
async fn looking_does_not_claim() {
    let service = Service::start().await;
    let lock = service.hold("demo", "me").await;
    let place = service.queue("demo", "you").await;
    let id = place["request_id"].as_str().unwrap();
    assert_eq!(service.get(&format!("/requests/{id}")).await.1["state"], "queued");
    service.release(&lock).await;
    assert!(service.get(&format!("/requests/{id}")).await.1["lock"]["claim_by"].is_string());
    assert_eq!(
        service.get(&format!("/requests/{id}?wait_ms=0&key=demo")).await.1["lock"]["claim_by"],
        json!(null)
    );
}

#[tokio::test]
async fn a_call_that_waits_is_granted_the_lock() {
    let service = Service::start().await;
    let lock = service.hold("demo", "me").await;
    let ask = service.post("/locks", json!({ "key": "demo", "owner": "you", "wait_ms": 60_000 }));
    let then = async {
        service.happened("queued", "you").await;
        service.release(&lock).await
    };
    let ((status, reply), _) = tokio::join!(ask, then);
    assert_eq!((status, &reply["state"]), (StatusCode::OK, &json!("held")), "{reply}");
}

#[tokio::test]
async fn a_long_poll_keeps_the_place_for_longer_than_the_keep_alive() {
    let timing = Timing { keep_alive: Duration::from_secs(2), ..Timing::default() };
    let policy = TablePolicy { timing, ..TablePolicy::default() };
    let backend = MemoryBackend::new(policy, Arc::new(SteadyClock::new()));
    let touch_interval = Duration::from_millis(50);
    let service = Service::over(ServerConfig { touch_interval, ..config() }, backend).await;
    service.hold("demo", "me").await;
    let place = service.queue("demo", "you").await;
    let id = place["request_id"].as_str().unwrap();
    let (_, reply) = service.get(&format!("/requests/{id}?wait_ms=3000")).await;
    assert_eq!(reply["state"], "queued", "{reply}");
}

#[tokio::test]
async fn a_wait_that_is_over_leaves_the_line_unless_it_queues() {
    let service = Service::start().await;
    let lock = service.hold("demo", "me").await;
    let (status, problem) =
        service.post("/locks", json!({ "key": "demo", "owner": "you", "wait_ms": 30 })).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("EL006")), "{problem}");
    assert_eq!(problem["holders"], json!([lock]));
    assert_eq!(service.get("/queue/status").await.1["depth"], 0);

    let body = json!({ "key": "demo", "owner": "you", "wait_ms": 30, "queue": true });
    let (status, place) = service.post("/locks", body).await;
    assert_eq!((status, &place["position"]), (StatusCode::ACCEPTED, &json!(1)), "{place}");
    assert_eq!(service.get("/queue/status").await.1["depth"], 1);
}

#[tokio::test]
async fn a_client_that_goes_away_gives_up_its_place() {
    let service = Service::start().await;
    let lock = service.hold("demo", "me").await;
    let mut line =
        open(&service, r#"{"key":"demo","owner":"you","wait_ms":60000,"request_id":"gone"}"#).await;
    service.happened("queued", "gone").await;
    line.shutdown().await.unwrap();
    drop(line);
    let event = service.happened("cancelled", "gone").await;
    assert_eq!(event["cause"]["actor"], "service");
    let (_, reply) = service.release(&lock).await;
    assert_eq!(reply["next"], json!([]), "nobody is left to hand it to");
}

#[tokio::test]
async fn a_client_that_queues_and_goes_away_keeps_its_place() {
    let service = Service::start().await;
    service.hold("demo", "me").await;
    let line =
        open(&service, r#"{"key":"demo","owner":"you","wait_ms":60000,"queue":true,"request_id":"stays"}"#)
            .await;
    service.happened("queued", "stays").await;
    drop(line);
    // Give the loss time to be noticed: another client's loss, noticed later, is the proof that this one's was.
    let other = open(&service, r#"{"key":"demo","owner":"other","wait_ms":60000,"request_id":"gone"}"#).await;
    service.happened("queued", "gone").await;
    drop(other);
    service.happened("cancelled", "gone").await;
    let (_, reply) = service.get("/requests/stays").await;
    assert_eq!((&reply["state"], &reply["position"]), (&json!("queued"), &json!(1)), "{reply}");
}

#[tokio::test]
async fn a_retry_on_a_new_connection_is_not_given_up_by_the_old_one() {
    // Room for two waiting calls: that a third is refused shows that both are under way.
    let service = Service::with(ServerConfig { max_waiting: 2, ..config() }).await;
    let lock = service.hold("demo", "me").await;
    let body = r#"{"key":"demo","owner":"you","wait_ms":60000,"request_id":"twice"}"#;
    let old = open(&service, body).await;
    service.happened("queued", "twice").await;
    let retry = service.post("/locks", serde_json::from_str(body).unwrap());
    let then = async {
        let both = || service.get("/requests/twice?wait_ms=1");
        while both().await.0 != StatusCode::SERVICE_UNAVAILABLE {}
        drop(old);
        // And that there is room again, that the loss was noticed.
        while both().await.0 == StatusCode::SERVICE_UNAVAILABLE {}
        service.release(&lock).await
    };
    let ((status, reply), _) = tokio::join!(retry, then);
    assert_eq!((status, &reply["lock"]["id"]), (StatusCode::OK, &json!("twice")), "{reply}");
}

/// Sends a body to `POST /locks` on a connection of its own and does not read the answer.
async fn open(service: &Service, body: &str) -> tokio::net::TcpStream {
    let mut stream = tokio::net::TcpStream::connect(service.address).await.unwrap();
    let head = format!(
        "POST /api/enhanced-locks/locks HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn leaving_the_line_is_idempotent_and_too_late_for_a_holder() {
    let service = Service::start().await;
    let lock = service.hold("demo", "me").await;
    let place = service.queue("demo", "you").await;
    let id = place["request_id"].as_str().unwrap();
    assert_eq!(service.delete(&format!("/requests/{id}")).await.1["state"], "cancelled");
    let (status, again) = service.delete(&format!("/requests/{id}")).await;
    assert_eq!(
        (status, &again["state"], &again["reason"]),
        (StatusCode::OK, &json!("finished"), &json!("cancelled"))
    );
    assert_eq!(service.get(&format!("/requests/{id}")).await.1["state"], "finished");

    let (status, problem) = service.delete(&format!("/requests/{}", lock["id"].as_str().unwrap())).await;
    assert_eq!((status, &problem["kind"]), (StatusCode::CONFLICT, &json!("held")), "{problem}");
    assert_eq!(problem["holders"][0], lock);
}

#[tokio::test]
async fn an_id_cancelled_before_it_arrives_is_refused() {
    let service = Service::start().await;
    let (status, _) = service.delete("/requests/early?key=demo&end_reason=cancelled").await;
    assert_eq!(status, StatusCode::OK);
    let (status, problem) =
        service.post("/locks", json!({ "key": "demo", "owner": "me", "request_id": "early" })).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("EL010")), "{problem}");
    assert_eq!(problem["ended"]["reason"], "cancelled");
}

#[tokio::test]
async fn a_waiting_request_gets_another_priority_and_a_holder_does_not() {
    let service = Service::start().await;
    let lock = service.hold("demo", "me").await;
    let place = service.queue("demo", "you").await;
    let id = place["request_id"].as_str().unwrap();
    let patch = async |id: &str| {
        let body = json!({ "priority": "emergency" });
        service.call(Method::PATCH, &format!("/requests/{id}"), Some(body)).await
    };
    let (status, reply) = patch(id).await;
    assert_eq!((status, &reply["priority"]), (StatusCode::OK, &json!("emergency")), "{reply}");
    let (status, problem) = patch(lock["id"].as_str().unwrap()).await;
    assert_eq!((status, &problem["kind"]), (StatusCode::CONFLICT, &json!("not_queued")), "{problem}");
}

#[tokio::test]
async fn the_lines_show_who_waits_for_whom() {
    let (service, clock) = Service::with_clock().await;
    service.hold("demo", "me").await;
    service.queue("demo", "you").await;
    service.queue("demo", "they").await;
    clock.advance(Duration::from_millis(1500));
    let (status, reply) = service.get("/queue/status?prefix=de&waiters=1").await;
    assert_eq!(
        (status, &reply["depth"], &reply["oldest_wait_ms"]),
        (StatusCode::OK, &json!(2), &json!(1500))
    );
    assert_eq!(reply["by_priority"]["normal"], 2);
    let queue = &reply["queues"][0];
    assert_eq!((&queue["depth"], &queue["holders"][0]["owner"]), (&json!(2), &json!("me")));
    assert_eq!(queue["waiters"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&queue["waiters"][0]["owner"], &queue["waiters"][0]["waited_ms"]),
        (&json!("you"), &json!(1500))
    );

    let (_, one) = service.get("/resources?key=demo").await;
    assert_eq!(one["waiters"][1]["position"], 2);
    let (_, edges) = service.get("/wait-edges?owner=they").await;
    assert_eq!(edges["edges"][0]["holders"][0]["owner"], "me");
    assert_eq!(edges["edges"][0]["ahead"][0]["owner"], "you");
    assert_eq!(service.get("/wait-edges").await.1["edges"].as_array().unwrap().len(), 2);
}
