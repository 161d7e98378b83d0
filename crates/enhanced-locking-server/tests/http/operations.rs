//! Health, metrics, figures and the port's small questions.

use std::sync::Arc;

use async_trait::async_trait;
use enhanced_locking_client::api::HealthDetailView;
use enhanced_locking_core::TablePolicy;
use enhanced_locking_core::memory::MemoryBackend;
use enhanced_locking_foundation::{LockBackend, SteadyClock};
use enhanced_locking_server::{Operations, Server};
use reqwest::StatusCode;
use serde_json::json;

use crate::common::{Service, config};

#[tokio::test]
async fn health_is_told_short_and_long_and_to_probes() {
    let service = Service::start().await;
    let (status, health) = service.get("/health").await;
    assert_eq!(
        (status, health),
        (StatusCode::OK, json!({ "healthy": true, "status": "healthy", "score": 100.0 }))
    );
    let (_, detail) = service.get("/health/detailed").await;
    assert_eq!(
        (&detail["store"]["name"], &detail["components"][0]["name"]),
        (&json!("memory"), &json!("store"))
    );
    assert_eq!(service.get("//readyz").await, (StatusCode::OK, json!("ready\n")));
    assert_eq!(service.get("/ping").await.0, StatusCode::NO_CONTENT);

    service.backend.close().await.unwrap();
    for (path, want) in
        [("/health", 503), ("/health/detailed", 503), ("//readyz", 503), ("//healthz", 200), ("/ping", 503)]
    {
        assert_eq!(service.get(path).await.0, want, "{path}");
    }
    let (status, problem) = service.post("/locks", json!({ "key": "k", "owner": "o" })).await;
    assert_eq!((status, &problem["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("EL007")), "{problem}");
}

#[tokio::test]
async fn metrics_are_json_for_people_and_open_metrics_for_scrapers() {
    let service = Service::start().await;
    service.hold("demo", "me").await;
    let ask = async |path: &str, accept: &str| {
        let response = service.http.get(service.url(path)).header("accept", accept).send().await.unwrap();
        (response.headers()["content-type"].to_str().unwrap().to_owned(), response.text().await.unwrap())
    };
    let (kind, text) = ask("/metrics", "*/*").await;
    assert_eq!(kind, "application/json");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap()["stats"]["held"], 1);
    for (path, accept) in
        [("/metrics", "application/openmetrics-text"), ("/metrics", "text/plain"), ("//metrics", "*/*")]
    {
        let (kind, text) = ask(path, accept).await;
        assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
        assert!(text.contains("atlantis_enhanced_health_score 100\n") && text.ends_with("# EOF\n"), "{text}");
    }
}

#[tokio::test]
async fn the_small_questions_of_the_port_are_answered() {
    let service = Service::start().await;
    service.hold("demo", "me").await;
    service.queue("demo", "you").await;
    let (_, stats) = service.get("/stats").await;
    assert_eq!((&stats["held"], &stats["waiting"], &stats["resources"]), (&json!(1), &json!(1), &json!(1)));
    assert!(service.get("/time").await.1["now"].as_str().unwrap().ends_with('Z'));
    assert_eq!(service.get("/info").await.1["durability"], "process");
    assert_eq!(service.get("/config").await, (StatusCode::OK, json!({})));
}

/// Breaks whatever it is asked.
#[derive(Debug)]
struct Broken;

#[async_trait]
impl Operations for Broken {
    async fn health(&self) -> HealthDetailView {
        panic!("secret words")
    }

    async fn metrics_text(&self) -> String {
        panic!("secret words")
    }

    async fn metrics_json(&self) -> String {
        panic!("secret words")
    }
}

#[tokio::test]
async fn a_defect_is_a_500_that_tells_nothing_and_ends_nothing() {
    let backend = MemoryBackend::new(TablePolicy::default(), Arc::new(SteadyClock::new()));
    let server = Server::bind_with(config(), backend, Arc::new(Broken)).await.unwrap();
    let base = format!("http://{}", server.local_addr());
    tokio::spawn(server.run(std::future::pending()));
    let http = reqwest::Client::new();
    for path in ["/metrics", "/api/enhanced-locks/health", "/api/enhanced-locks/metrics"] {
        let response = http.get(format!("{base}{path}")).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert!(!response.text().await.unwrap().contains("secret"));
    }
    assert_eq!(http.get(format!("{base}/readyz")).send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn cleaning_up_needs_no_body() {
    let service = Service::start().await;
    for with_kind in [false, true] {
        let mut request = service.http.post(service.url("/cleanup"));
        if with_kind {
            request = request.header("content-type", "application/json");
        }
        assert_eq!(request.send().await.unwrap().status(), StatusCode::OK, "{with_kind}");
    }
    // What is said must still say that it is JSON, and be right.
    let plain = service.http.post(service.url("/cleanup")).body("{}").send().await.unwrap();
    assert_eq!(plain.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let (status, _) = service.post("/cleanup", json!({ "budgte": 1 })).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let taking = service.http.post(service.url("/locks")).send().await.unwrap();
    assert_eq!(taking.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
}
