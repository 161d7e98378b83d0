//! How much at once: waiting calls cannot starve short ones, and probes always get through.

use enhanced_locking_server::ServerConfig;
use reqwest::StatusCode;
use serde_json::json;

use crate::common::{Service, config};

#[tokio::test]
async fn waiting_calls_have_a_limit_of_their_own_and_leave_room_for_the_others() {
    let service = Service::with(ServerConfig { max_in_flight: 1, max_waiting: 2, ..config() }).await;
    let lock = service.hold("demo", "me").await;
    let wait = |owner: &str| json!({ "key": "demo", "owner": owner, "wait_ms": 60_000 });
    let checks = async {
        // With both waiting there is room for a short call, and none for a third that waits.
        let refused = loop {
            let (status, problem) = service.get("/events/page?after=0:999999&wait_ms=1").await;
            if status == StatusCode::SERVICE_UNAVAILABLE && problem["detail"].to_string().contains("waiting")
            {
                break problem;
            }
        };
        let (_, stats) = service.get("/stats").await;
        for owner in ["a", "b"] {
            service.post("/locks/release-by-owner", json!({ "owner": owner })).await;
        }
        (refused, stats)
    };
    let (one, two, (refused, stats)) =
        tokio::join!(service.post("/locks", wait("a")), service.post("/locks", wait("b")), checks);
    assert_eq!((&refused["code"], &refused["retry_after_ms"]), (&json!("EL008"), &json!(1000)));
    assert_eq!(stats["waiting"], 2, "{stats}");
    for (status, problem) in [one, two] {
        assert_eq!(
            (status, &problem["ended"]["reason"]),
            (StatusCode::CONFLICT, &json!("owner_gone")),
            "{problem}"
        );
    }
    service.release(&lock).await;
}

#[tokio::test]
async fn an_overloaded_service_says_so_and_its_probes_answer() {
    let service = Service::with(ServerConfig { max_in_flight: 0, ..config() }).await;
    let response = service.http.get(service.url("/locks")).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["retry-after"], "1");
    let problem: serde_json::Value = response.json().await.unwrap();
    assert_eq!(problem["code"], "EL008");
    assert_eq!(service.get("//healthz").await.0, StatusCode::OK);
    assert_eq!(service.get("//readyz").await.0, StatusCode::OK);
}

#[tokio::test]
async fn streams_count_as_waiting() {
    let service = Service::with(ServerConfig { max_waiting: 1, ..config() }).await;
    let stream = service.http.get(service.url("/events")).send().await.unwrap();
    assert_eq!(stream.status(), StatusCode::OK);
    assert_eq!(service.get("/events").await.0, StatusCode::SERVICE_UNAVAILABLE);
    drop(stream);
    // The place is free again as soon as the loss is noticed.
    while service.get("/events/page?wait_ms=1").await.0 == StatusCode::SERVICE_UNAVAILABLE {}
}

#[tokio::test]
async fn a_connection_too_many_waits_for_room() {
    let service = Service::with(ServerConfig { max_connections: 1, ..config() }).await;
    let only = reqwest::Client::new();
    assert_eq!(only.get(service.url("//healthz")).send().await.unwrap().status(), StatusCode::OK);
    let second = reqwest::Client::new();
    let (other, ()) = tokio::join!(second.get(service.url("//healthz")).send(), async { drop(only) });
    assert_eq!(other.unwrap().status(), StatusCode::OK);
}
