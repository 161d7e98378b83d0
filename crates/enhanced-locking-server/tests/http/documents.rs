//! What is documented is what there is: routes, shapes of answers, codes.

use std::collections::BTreeSet;

use enhanced_locking_client::api::{ClusterView, ConnectionView, InfoView, NodeView, ReplicaView};
use enhanced_locking_foundation::ErrorCode;
use enhanced_locking_server::ROUTES;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::common::Service;

fn spec() -> Value {
    serde_json::from_str(include_str!("../../src/assets/openapi.json")).unwrap()
}

/// Every documented call as `METHOD /path`.
fn documented() -> BTreeSet<String> {
    let spec = spec();
    let paths = spec["paths"].as_object().unwrap();
    let calls = paths.iter().flat_map(|(path, methods)| {
        methods.as_object().unwrap().keys().map(move |method| format!("{} {path}", method.to_uppercase()))
    });
    calls.collect()
}

#[tokio::test]
async fn every_route_is_documented_and_every_documented_call_is_routed() {
    let routes: BTreeSet<String> =
        ROUTES.iter().map(|route| format!("{} {}", route.method, route.path)).collect();
    assert_eq!(routes, documented());
    let service = Service::start().await;
    for route in ROUTES {
        let url = format!("http://{}{}", service.address, route.path.replace("{id}", "x"));
        let method: Method = route.method.parse().unwrap();
        let response = service.http.request(method, url).send().await.unwrap();
        assert_ne!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{route:?}");
        if response.status() == StatusCode::NOT_FOUND {
            let problem: Value = response.json().await.unwrap();
            assert!(
                !problem["detail"].as_str().unwrap().contains("there is nothing at"),
                "{route:?}: {problem}"
            );
        }
    }
}

#[tokio::test]
async fn methods_that_are_not_documented_are_not_routed() {
    let service = Service::start().await;
    let documented = documented();
    let paths: BTreeSet<&str> = ROUTES.iter().map(|route| route.path).collect();
    for path in paths {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let action =
                path.strip_prefix("/api/enhanced-locks/locks/").is_some_and(|rest| !rest.contains('/'));
            // Names of actions are ids as well; and any other name is no action.
            if action || documented.contains(&format!("{method} {path}")) {
                continue;
            }
            let url = format!("http://{}{}", service.address, path.replace("{id}", "x"));
            let response = service.http.request(method.parse().unwrap(), url).send().await.unwrap();
            assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        }
    }
}

/// Objects of the schemas with all their members named: an answer with a member that is not documented is wrong here.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if object.contains_key("properties") && object.get("type") == Some(&json!("object")) {
                object.entry("additionalProperties").or_insert(json!(false));
            }
            object.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

/// Checks a value against the schema that the documentation gives for a call's answer.
struct Checker {
    spec: Value,
    seen: BTreeSet<String>,
}

impl Checker {
    fn new() -> Self {
        let mut spec = spec();
        close(&mut spec["components"]["schemas"]);
        Self { spec, seen: BTreeSet::new() }
    }

    fn validate(&self, schema: &Value, value: &Value, what: &str) {
        let mut schema = schema.clone();
        schema["components"] = self.spec["components"].clone();
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        let errors: Vec<String> = validator
            .iter_errors(value)
            .map(|error| format!("{} at {}", error, error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{what}: {errors:#?}\n{value:#}");
    }

    /// Checks the body of a call that should be right, and its answer.
    async fn call(&mut self, service: &Service, method: &str, path: &str, body: Option<Value>) -> Value {
        let plain = path.split('?').next().unwrap();
        let full = format!("/api/enhanced-locks{plain}");
        let documented = self.spec["paths"].as_object().unwrap().keys();
        let template = documented
            .filter(|template| fits(template, &full))
            .max_by_key(|template| !template.contains('{'))
            .unwrap_or_else(|| panic!("{path} is not documented"))
            .clone();
        let call = self.spec["paths"][&template][method.to_lowercase()].clone();
        if let Some(body) = &body {
            let schema = &call["requestBody"]["content"]["application/json"]["schema"];
            self.validate(schema, body, &format!("body of {method} {path}"));
        }
        let (status, answer) = service.call(method.parse().unwrap(), path, body).await;
        let response = &call["responses"][status.as_str()];
        assert!(response.is_object(), "{method} {path}: {status} is not documented: {answer}");
        if let Some(content) = response["content"].as_object() {
            let schema = &content.values().next().unwrap()["schema"];
            self.validate(schema, &answer, &format!("{status} of {method} {path}"));
        }
        self.seen.insert(format!("{} {template}", method.to_uppercase()));
        answer
    }
}

fn fits(template: &str, path: &str) -> bool {
    let (template, path): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len() && template.iter().zip(&path).all(|(t, p)| t == p || *t == "{id}")
}

#[test]
fn servers_and_their_replicas_are_shown_as_documented() {
    let node = NodeView { replicas: vec![ReplicaView::default()], ..NodeView::default() };
    let connection = ConnectionView { breaker: "half_open".to_owned(), ..ConnectionView::default() };
    let store = InfoView { durability: "durable".to_owned(), ..InfoView::default() };
    let bare = ClusterView { store, ..ClusterView::default() };
    let full = ClusterView { nodes: vec![node], connection: Some(connection), ..bare.clone() };
    let check = Checker::new();
    for view in [full, bare] {
        let schema = json!({ "$ref": "#/components/schemas/ClusterStatus" });
        check.validate(&schema, &json!(view), "a store on servers");
    }
}

#[tokio::test]
async fn live_answers_have_the_documented_shapes() {
    let service = Service::start().await;
    let mut check = Checker::new();
    let api = &service;

    let full = json!({ "repo": "acme/infra", "path": "net", "owner": "acme/infra#7", "user": "ann", "pull": 7, "mode": "exclusive",
        "priority": "high", "sticky": true, "metadata": { "link": "x" }, "request_id": "p1", "max_age_ms": 9_000_000 });
    check.call(api, "POST", "/locks", Some(full)).await;
    let held = check
        .call(api, "POST", "/locks", Some(json!({ "key": "demo", "owner": "me", "lease_ms": 600_000 })))
        .await;
    let (id, token) = (held["lock"]["id"].as_str().unwrap().to_owned(), held["lock"]["token"].clone());
    check.call(api, "POST", "/locks", Some(json!({ "key": "demo", "owner": "you" }))).await;
    check.call(api, "POST", "/locks", Some(json!({ "key": "demo", "owner": "you", "wait_ms": 1 }))).await;
    check.call(api, "POST", "/locks", Some(json!({ "key": "demo", "owner": "w1", "queue": true, "max_wait_ms": 900_000, "request_id": "w1" }))).await;
    check
        .call(
            api,
            "POST",
            "/locks",
            Some(json!({ "key": "demo", "owner": "w2", "queue": true, "request_id": "w2" })),
        )
        .await;
    check
        .call(
            api,
            "POST",
            "/locks/batch",
            Some(json!({ "locks": [{ "key": "b1", "owner": "me" }, { "key": "b2", "owner": "me" }] })),
        )
        .await;
    check
        .call(
            api,
            "POST",
            "/locks/batch",
            Some(json!({ "locks": [{ "key": "b3", "owner": "you" }, { "key": "demo", "owner": "you" }] })),
        )
        .await;
    for path in [
        "/locks",
        "/locks?limit=1",
        "/locks?cursor=x",
        "/queue/status",
        "/resources?key=demo",
        "/resources?key=free",
        "/wait-edges",
        "/events/page",
        "/events/end",
        "/health",
        "/health/detailed",
        "/metrics",
        "/stats",
        "/time",
        "/info",
        "/ping",
        "/config",
        "/openapi.json",
        "/requests/w1",
        "/requests/w1?wait_ms=1",
        "/requests/nobody",
        "/locks/nobody",
        "/locks/w1",
    ] {
        check.call(api, "GET", path, None).await;
    }
    check.call(api, "GET", &format!("/locks/{id}"), None).await;
    check.call(api, "PATCH", "/requests/w2", Some(json!({ "priority": "critical" }))).await;
    check.call(api, "PATCH", &format!("/requests/{id}"), Some(json!({ "priority": "low" }))).await;
    check.call(api, "DELETE", &format!("/requests/{id}"), None).await;
    check.call(api, "DELETE", "/requests/w1", None).await;
    check.call(api, "DELETE", "/requests/w1", None).await;
    check.call(api, "GET", "/requests/w1", None).await;
    check
        .call(api, "POST", "/locks", Some(json!({ "key": "demo", "owner": "w1", "request_id": "w1" })))
        .await;
    check
        .call(
            api,
            "POST",
            &format!("/locks/{id}/renew"),
            Some(json!({ "token": token, "lease_ms": 700_000 })),
        )
        .await;
    check.call(api, "POST", &format!("/locks/{id}/renew"), Some(json!({ "token": 1 }))).await;
    let item = |token: &Value| json!({ "key": "demo", "id": id, "token": token });
    check
        .call(api, "POST", "/locks/renew", Some(json!({ "renewals": [item(&token), item(&json!(1))] })))
        .await;
    let moved = check.call(api, "POST", &format!("/locks/{id}/transfer"), Some(json!({ "token": token, "to": { "owner": "new", "pull": { "repo": "a/b", "number": 1 } }, "actor": "ann" }))).await;
    check.call(api, "DELETE", &format!("/locks/{id}?token={token}"), None).await;
    check.call(api, "DELETE", &format!("/locks/{id}?token={}", moved["lock"]["token"]), None).await;
    check.call(api, "DELETE", &format!("/locks/{id}?token={}", moved["lock"]["token"]), None).await;
    check
        .call(api, "POST", "/locks/w2/force-release", Some(json!({ "reason": "stuck", "actor": "ann" })))
        .await;
    check.call(api, "POST", "/locks/force-release", Some(json!({ "key": "b1", "reason": "stuck" }))).await;
    check.call(api, "POST", "/locks/release-by-owner", Some(json!({ "owner": "me" }))).await;
    check
        .call(
            api,
            "POST",
            "/locks/release-by-pull",
            Some(json!({ "repo": "acme/infra", "pull": 7, "actor": "ann", "reason": "merged" })),
        )
        .await;
    check.call(api, "POST", "/cleanup", Some(json!({}))).await;
    check.call(api, "POST", "/backup", None).await;
    // Not set up here; what they do is in `webhooks`.
    check.call(api, "POST", "/webhooks/github", Some(json!({}))).await;
    check.call(api, "POST", "/webhooks/gitlab", Some(json!({}))).await;
    check.call(api, "GET", "/cluster/status", None).await;
    check.call(api, "GET", "/cluster/nodes", None).await;
    let events = check.call(api, "GET", "/events/page", None).await;
    let kinds: BTreeSet<&str> =
        events["events"].as_array().unwrap().iter().filter_map(|event| event["kind"].as_str()).collect();
    for kind in [
        "acquired",
        "queued",
        "granted",
        "renewed",
        "reprioritised",
        "transferred",
        "released",
        "cancelled",
        "force_released",
        "owner_gone",
        "timed_out",
    ] {
        assert!(kinds.contains(kind), "the walk made no {kind}: {kinds:?}");
    }

    // The stream and the pages have no JSON; everything else of the API was walked.
    let rest: Vec<String> =
        documented().difference(&check.seen).filter(|call| call.contains("/api/")).cloned().collect();
    assert_eq!(rest, ["GET /api/enhanced-locks/docs", "GET /api/enhanced-locks/events"]);
}

#[test]
fn every_code_is_explained_alike_in_the_page_and_the_document() {
    let document = include_str!("../../../../docs/errors.md");
    let rows: Vec<Vec<&str>> = document
        .lines()
        .filter(|line| line.starts_with("| EL"))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    let spec = spec();
    let explained = spec["x-errors"].as_array().unwrap();
    assert_eq!(rows.len(), ErrorCode::ALL.len());
    assert_eq!(explained.len(), ErrorCode::ALL.len());
    for ((code, row), error) in ErrorCode::ALL.into_iter().zip(&rows).zip(explained) {
        assert_eq!(row[..2], [code.as_str(), code.title()]);
        assert_eq!(
            row[..],
            ["code", "title", "cause", "remedy"].map(|member| error[member].as_str().unwrap())
        );
        assert!(row[2].len() > 20 && row[3].len() > 20, "{row:?} explains too little");
    }
}
