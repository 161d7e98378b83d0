//! The pages a browser sees: self-contained, under a policy that admits nothing else.

use reqwest::StatusCode;

use crate::common::Service;

#[tokio::test]
async fn pages_come_with_a_strict_policy_and_a_fresh_nonce() {
    let service = Service::start().await;
    let mut nonces = Vec::new();
    for path in ["//", "//docs", "/docs", "//"] {
        let response = service.http.get(service.url(path)).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        let nonce = policy.split("script-src 'nonce-").nth(1).unwrap().split('\'').next().unwrap().to_owned();
        let html = response.text().await.unwrap();
        assert!(html.contains(&format!("<script nonce=\"{nonce}\">")) && !html.contains("__NONCE__"));
        nonces.push(nonce);
    }
    nonces.sort();
    nonces.dedup();
    assert_eq!(nonces.len(), 4);
}

#[tokio::test]
async fn answers_with_data_are_not_cached() {
    let service = Service::start().await;
    let response = service.http.get(service.url("/locks")).send().await.unwrap();
    assert_eq!(response.headers()["cache-control"], "no-store");
}
