//! What the service answers to requests that are wrong: never a 5xx, always a problem that helps.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::common::{Service, config};

async fn raw(service: &Service, content_type: Option<&str>, body: &str) -> (StatusCode, Value) {
    let mut request = service.http.post(service.url("/locks")).body(body.to_owned());
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    (response.status(), response.json().await.unwrap())
}

#[tokio::test]
async fn json_that_is_none_is_explained_with_its_place() {
    let service = Service::start().await;
    for (body, part) in [
        ("", "the body is empty"),
        ("{", "line 1 column 1"),
        ("{\"owner\": \"o\",}", "trailing comma at line 1 column 15"),
        (" [1]", "must be a JSON object, not a list"),
        ("\"x\"", "the body must be a JSON object, not the text \"x\""),
        ("{\"owner\":\"o\"} {}", "goes on after the JSON"),
    ] {
        let (status, problem) = raw(&service, Some("application/json"), body).await;
        assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!("EL009")));
        assert!(problem["detail"].as_str().unwrap().contains(part), "{body}: {problem}");
    }
}

#[tokio::test]
async fn values_and_fields_that_are_wrong_are_named() {
    let service = Service::start().await;
    for (body, path, part) in [
        (json!({ "key": "k", "ownr": "o" }), "ownr", "unknown field `ownr`, expected one of `key`"),
        (json!({ "key": "k" }), "owner", "`owner` is missing"),
        (json!({ "key": 7, "owner": "o" }), "key", "`key` must be a text, not 7"),
        (
            json!({ "key": "k", "owner": "o", "lease_ms": "5s" }),
            "lease_ms",
            "must be a whole number of at least 0",
        ),
        (json!({ "key": "k", "owner": "o", "pull": { "repo": "r" } }), "pull.number", "is missing"),
        (json!({ "key": "k", "owner": "o", "metadata": { "a": 1 } }), "metadata.a", "must be a text, not 1"),
        (json!({ "key": "k", "owner": "o", "priority": "urgent" }), "priority", "expected one of `low`"),
        (json!({ "key": "k\u{7}", "owner": "o" }), "key", "control character at byte 1"),
        (json!({ "key": "k", "owner": "o", "lease_ms": 0 }), "lease_ms", "allowed is 1 ms to"),
        (json!({ "key": "k", "owner": "o", "request_id": "a/b" }), "request_id", "not allowed"),
        (json!({ "key": "k", "owner": "o", "sticky": true, "lease_ms": 5 }), "lease_ms", "either"),
        (json!({ "key": "k", "owner": "o", "wait_ms": 999_999_999 }), "wait_ms", "at most"),
    ] {
        let (status, problem) = service.post("/locks", body).await;
        assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!("EL009")), "{problem}");
        assert_eq!(problem["problems"][0]["path"], path, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(part), "{problem}");
    }
}

#[tokio::test]
async fn parameters_that_are_wrong_are_named() {
    let service = Service::start().await;
    for (path, parameter, part) in [
        ("/locks?limit=many", "limit", "`limit` must be a whole number"),
        ("/locks?limit=-1", "limit", "`limit` must be a whole number"),
        ("/locks?limit=", "limit", "it is empty"),
        ("/locks?limit=99999999999999999999999", "limit", "`limit` is too large"),
        ("/locks?limt=1", "limt", "unknown parameter `limt`, expected one of `prefix`"),
        ("/locks?limit=1&limit=2", "limit", "`limit` is given twice"),
        ("/requests/a?wait_ms=5s", "wait_ms", "`wait_ms` must be a whole number"),
    ] {
        let (status, problem) = service.get(path).await;
        assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!("EL009")), "{problem}");
        assert_eq!(problem["problems"][0]["path"], parameter, "{problem}");
        let message = problem["problems"][0]["message"].as_str().unwrap();
        assert!(message.contains(part), "{path}: {problem}");
    }
    let (_, problem) = service.call(Method::DELETE, "/locks/a?token=x", None).await;
    assert_eq!(problem["problems"][0]["path"], "token", "{problem}");
}

#[tokio::test]
async fn a_body_must_say_that_it_is_json() {
    let service = Service::start().await;
    for content_type in [None, Some("text/plain"), Some("application/x-www-form-urlencoded")] {
        let (status, problem) = raw(&service, content_type, r#"{"key":"k","owner":"o"}"#).await;
        assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        assert!(problem["detail"].as_str().unwrap().contains("Content-Type: application/json"), "{problem}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused_before_it_is_read() {
    let service =
        Service::with(enhanced_locking_server::ServerConfig { max_body_bytes: 100, ..config() }).await;
    let (status, problem) = raw(&service, Some("application/json"), &"x".repeat(101)).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(problem["detail"].as_str().unwrap().contains("longer than 100 bytes"), "{problem}");
    // Without a length told before.
    let mut stream = tokio::net::TcpStream::connect(service.address).await.unwrap();
    let chunk = "x".repeat(101);
    let text = format!(
        "POST /api/enhanced-locks/locks HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n65\r\n{chunk}\r\n0\r\n\r\n"
    );
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_not_waited_for() {
    let read_timeout = std::time::Duration::from_millis(80);
    let service = Service::with(enhanced_locking_server::ServerConfig { read_timeout, ..config() }).await;
    let mut stream = tokio::net::TcpStream::connect(service.address).await.unwrap();
    let head = "POST /api/enhanced-locks/locks HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    // Nor for a head.
    let mut stream = tokio::net::TcpStream::connect(service.address).await.unwrap();
    stream.write_all(b"GET / HTT").await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
}

#[tokio::test]
async fn unknown_addresses_and_methods_are_told_apart() {
    let service = Service::start().await;
    for path in ["/nothing", "//nothing", "/locks/a/nothing"] {
        let (status, problem) = service.get(path).await;
        assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("EL002")), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains("/docs"), "{problem}");
    }
    assert_eq!(service.post("/locks/nothing", json!({})).await.0, StatusCode::NOT_FOUND);
    let put = service.http.put(service.url("/locks")).send().await.unwrap();
    assert_eq!(put.status(), StatusCode::METHOD_NOT_ALLOWED);
    let allow = put.headers()["allow"].to_str().unwrap().to_owned();
    assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
    assert_eq!(put.headers()["content-type"], "application/problem+json");
    assert_eq!(service.call(Method::DELETE, "//healthz", None).await.0, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn query_parameters_are_checked_as_strictly_as_bodies() {
    let service = Service::start().await;
    for path in [
        "/locks?limit=x",
        "/locks?limt=1",
        "/locks?repo=a",
        "/locks?pull=7",
        "/locks?owner=",
        "/locks?limit=1&limit=2",
        "/locks/a?key=",
        "/locks/a%00",
        "/locks/%ff",
        "/locks/a%20b",
        "/requests/a?wait_ms=-1",
        "/requests/a?key=%0a",
        "/queue/status?cursor=x",
        "/resources",
        "/wait-edges?owner=a&limit=1",
        "/events/page?after=x",
        "/events?after=x",
    ] {
        let (status, problem) = service.get(path).await;
        assert_eq!(
            (status, &problem["code"]),
            (StatusCode::BAD_REQUEST, &json!("EL009")),
            "{path}: {problem}"
        );
    }
    for path in [
        "/locks/a?token=x",
        "/locks/a?token=-1",
        "/requests/a?end_reason=bored",
        "/requests/a?key=k&actor=%07",
    ] {
        let (status, problem) = service.delete(path).await;
        assert_eq!(
            (status, &problem["code"]),
            (StatusCode::BAD_REQUEST, &json!("EL009")),
            "{path}: {problem}"
        );
    }
}
