//! Every body, with anything in it: never a 5xx, never a broken connection, always a problem or a proper answer.

use std::sync::OnceLock;
use std::time::Duration;

use enhanced_locking_server::ServerConfig;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use reqwest::Method;
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

use crate::common::{Service, config};

/// One service for all cases: what earlier ones left behind is part of the test.
fn service() -> &'static (Runtime, Service) {
    static SERVICE: OnceLock<(Runtime, Service)> = OnceLock::new();
    SERVICE.get_or_init(|| {
        let runtime = Runtime::new().unwrap();
        let config =
            ServerConfig { longest_wait: Duration::from_millis(3), max_body_bytes: 4096, ..config() };
        let service = runtime.block_on(Service::with(config));
        (runtime, service)
    })
}

/// Every call that has a body, with one that is right.
fn calls() -> Vec<(Method, &'static str, Value)> {
    let token = 1_764_000_000_123_456_u64;
    let pull = json!({ "repo": "acme/infra", "number": 7 });
    let lock = json!({ "key": "k", "owner": "o", "user": "u", "pull": pull, "mode": "shared", "priority": "high",
        "lease_ms": 5000, "wait_ms": 1, "request_id": "r", "max_age_ms": 60_000, "metadata": { "a": "b" } });
    let project = json!({ "host": "h", "repo": "acme/infra", "path": "p", "workspace": "w", "project": "n",
        "owner": "o", "pull": 7, "sticky": true, "queue": true, "max_wait_ms": 50 });
    vec![
        (Method::POST, "/locks", lock),
        (Method::POST, "/locks", project),
        (
            Method::POST,
            "/locks/batch",
            json!({ "locks": [{ "key": "a", "owner": "o" }, { "key": "b", "owner": "o" }] }),
        ),
        (
            Method::POST,
            "/locks/renew",
            json!({ "renewals": [{ "key": "k", "id": "r", "token": token, "lease_ms": 5 }] }),
        ),
        (Method::POST, "/locks/force-release", json!({ "key": "k", "id": "r", "reason": "x", "actor": "y" })),
        (
            Method::POST,
            "/locks/release-by-pull",
            json!({ "repo": "acme/infra", "pull": 7, "actor": "a", "reason": "r" }),
        ),
        (Method::POST, "/locks/release-by-owner", json!({ "owner": "o", "actor": "a", "reason": "r" })),
        (Method::POST, "/locks/r/renew?key=k", json!({ "token": token, "lease_ms": 5 })),
        (
            Method::POST,
            "/locks/r/transfer?key=k",
            json!({ "token": token, "to": { "owner": "p", "user": "u", "pull": pull }, "actor": "a" }),
        ),
        (Method::POST, "/locks/r/force-release?key=k", json!({ "reason": "x", "actor": "y" })),
        (Method::PATCH, "/requests/r?key=k", json!({ "priority": "low" })),
        (Method::POST, "/cleanup", json!({ "budget": 10 })),
    ]
}

/// Any JSON, with a liking for what breaks parsers.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        Just(json!(u64::MAX)),
        Just(json!(315_360_000_000_u64)),
        "\\PC{0,12}".prop_map(Value::from),
        "[a-z\\x00-\\x1f:#/%é]{0,8}".prop_map(Value::from),
        Just(Value::from("x".repeat(2000))),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-z_]{1,10}", inner, 0..4)
                .prop_map(|map| Value::from(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// The nth value inside a value, counted in depth.
fn nth<'v>(value: &'v mut Value, n: &mut usize) -> Option<&'v mut Value> {
    if *n == 0 {
        return Some(value);
    }
    *n -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| nth(item, n)),
        Value::Object(fields) => fields.values_mut().find_map(|field| nth(field, n)),
        _ => None,
    }
}

/// Sends the text as a body; whatever it is, the service must answer as promised.
fn check(method: &Method, path: &str, text: String) -> Result<(), TestCaseError> {
    let (runtime, service) = service();
    let request = service
        .http
        .request(method.clone(), service.url(path))
        .header("content-type", "application/json")
        .body(text.clone());
    let (status, content_type, answer) = runtime.block_on(async {
        let response =
            request.send().await.map_err(|error| TestCaseError::fail(format!("{text}: {error:?}")))?;
        let content_type = response.headers().get("content-type").cloned();
        Ok::<_, TestCaseError>((response.status(), content_type, response.text().await.unwrap_or_default()))
    })?;
    prop_assert!(!status.is_server_error(), "{method} {path} {text}: {status} {answer}");
    if status.is_client_error() {
        prop_assert_eq!(content_type.unwrap(), "application/problem+json");
        let problem: Value = serde_json::from_str(&answer).unwrap();
        prop_assert!(problem["code"].as_str().is_some_and(|code| code.starts_with("EL0")), "{answer}");
        prop_assert!(!problem["detail"].as_str().unwrap_or_default().is_empty(), "{answer}");
        prop_assert_eq!(problem["status"].as_u64(), Some(u64::from(status.as_u16())));
    } else {
        prop_assert!(serde_json::from_str::<Value>(&answer).is_ok(), "{answer}");
    }
    Ok(())
}

fn runner() -> TestRunner {
    TestRunner::new(Config { cases: 512, failure_persistence: None, ..Config::default() })
}

#[test]
fn the_bodies_that_are_right_are_understood() {
    for (method, path, body) in calls() {
        let (runtime, service) = service();
        let (status, answer) = runtime.block_on(service.call(method, path, Some(body)));
        assert_ne!(status, 400, "{path}: {answer}");
    }
}

#[test]
fn any_json_is_answered() {
    let strategy = (0..calls().len(), any_json());
    let result = runner().run(&strategy, |(call, body)| {
        let (method, path, _) = &calls()[call];
        check(method, path, body.to_string())
    });
    result.unwrap();
}

#[test]
fn a_right_body_with_one_wrong_value_is_answered() {
    let strategy = (0..calls().len(), 0_usize..16, any_json());
    let result = runner().run(&strategy, |(call, at, value)| {
        let (method, path, mut body) = calls().swap_remove(call);
        if let Some(place) = nth(&mut body, &mut { at }) {
            *place = value;
        }
        check(&method, path, body.to_string())
    });
    result.unwrap();
}

#[test]
fn a_right_body_with_a_field_more_or_less_is_answered() {
    let strategy = (0..calls().len(), any::<proptest::sample::Index>(), "[a-z_]{1,12}", any_json());
    let result = runner().run(&strategy, |(call, at, name, value)| {
        let (method, path, mut body) = calls().swap_remove(call);
        let fields = body.as_object_mut().unwrap();
        let victim = fields.keys().nth(at.index(fields.len())).cloned().unwrap();
        fields.remove(&victim);
        check(&method, path, body.to_string())?;
        let fields = body.as_object_mut().unwrap();
        fields.insert(name, value);
        check(&method, path, body.to_string())
    });
    result.unwrap();
}

#[test]
fn a_right_body_with_broken_bytes_is_answered() {
    let strategy = (0..calls().len(), any::<proptest::sample::Index>(), any::<char>(), any::<bool>());
    let result = runner().run(&strategy, |(call, at, with, cut)| {
        let (method, path, body) = calls().swap_remove(call);
        let mut text: Vec<char> = body.to_string().chars().collect();
        let at = at.index(text.len());
        if cut {
            text.truncate(at);
        } else {
            text[at] = with;
        }
        check(&method, path, text.into_iter().collect())
    });
    result.unwrap();
}

#[test]
fn any_address_is_answered() {
    let (runtime, service) = service();
    let part = prop_oneof![
        "[a-z]{0,6}",
        "(locks|requests|events|batch|renew|page)",
        "%[0-9a-f]{2}",
        "[a-z=&%?#;,.:@!]{0,9}"
    ];
    let strategy = (0_usize..4, proptest::collection::vec(part, 0..5), "[a-z_]{1,6}=[a-z0-9%]{0,4}");
    let result = runner().run(&strategy, |(method, parts, query)| {
        let path = format!("/{}?{query}", parts.join("/"));
        let Ok(url) = reqwest::Url::parse(&service.url(&path)) else { return Ok(()) };
        let method = [Method::GET, Method::POST, Method::DELETE, Method::PATCH][method].clone();
        let status = runtime.block_on(async {
            // Only the head: some addresses are streams.
            service.http.request(method, url).send().await.map(|response| response.status())
        });
        let status = status.map_err(|error| TestCaseError::fail(format!("{path}: {error:?}")))?;
        prop_assert!(!status.is_server_error(), "{path}: {status}");
        Ok(())
    });
    result.unwrap();
}
