//! With a token configured, nobody gets at locks without it.

use enhanced_locking_server::{AuthToken, ROUTES, ServerConfig};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::common::{Service, config};

async fn guarded() -> Service {
    Service::with(ServerConfig { auth_token: Some(AuthToken::new("s3cret")), ..config() }).await
}

#[tokio::test]
async fn every_call_but_probes_and_pages_needs_the_token() {
    let service = guarded().await;
    for route in ROUTES {
        let url = format!("http://{}{}", service.address, route.path.replace("{id}", "x"));
        let method: Method = route.method.parse().unwrap();
        let response = service.http.request(method, url).send().await.unwrap();
        let free = matches!(route.path, "/" | "/docs" | "/healthz" | "/readyz")
            || route.path.ends_with("/docs")
            || route.path.ends_with("/openapi.json");
        if free {
            assert_eq!(response.status(), StatusCode::OK, "{route:?}");
            continue;
        }
        // Their senders have secrets of their own, and here none is set.
        if route.path.contains("/webhooks/") {
            assert_eq!(response.status(), StatusCode::FORBIDDEN, "{route:?}");
            continue;
        }
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{route:?}");
        assert!(response.headers()["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
        let problem: Value = response.json().await.unwrap();
        assert_eq!(problem["code"], "EL011");
    }
}

#[tokio::test]
async fn only_the_right_token_opens() {
    let service = guarded().await;
    for (header, status) in [
        ("Bearer s3cret", StatusCode::OK),
        ("bearer s3cret", StatusCode::OK),
        ("Bearer s3cre", StatusCode::UNAUTHORIZED),
        ("Bearer s3cret2", StatusCode::UNAUTHORIZED),
        ("Bearer ", StatusCode::UNAUTHORIZED),
        ("Basic s3cret", StatusCode::UNAUTHORIZED),
        ("s3cret", StatusCode::UNAUTHORIZED),
    ] {
        let request = service.http.get(service.url("/locks")).header("authorization", header);
        assert_eq!(request.send().await.unwrap().status(), status, "{header}");
    }
}
