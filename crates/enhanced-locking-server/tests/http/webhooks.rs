//! GitHub and GitLab report closed pull requests: theirs is released, in exactly that repository, and nothing else.

use enhanced_locking_server::{AuthToken, ServerConfig, WebhookConfig};
use proptest::prelude::*;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::common::{Service, config};

const SECRET: &str = "s3cret";

/// A service that also wants a token for everything else.
async fn service() -> Service {
    let webhooks = WebhookConfig {
        github_secret: Some(AuthToken::new(SECRET)),
        gitlab_token: Some(AuthToken::new(SECRET)),
    };
    Service::with(ServerConfig { webhooks, ..config() }).await
}

fn signature(body: &[u8]) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
    let tag = ring::hmac::sign(&key, body);
    tag.as_ref().iter().fold("sha256=".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

async fn from_github(service: &Service, event: &str, body: &[u8], signature: &str) -> (StatusCode, Value) {
    let request = service.http.post(service.url("/webhooks/github"));
    let request = request.header("content-type", "application/json").header("x-github-event", event);
    let answer = request.header("x-hub-signature-256", signature).body(body.to_vec()).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

async fn from_gitlab(service: &Service, event: &str, body: &Value, token: &str) -> (StatusCode, Value) {
    let request = service.http.post(service.url("/webhooks/gitlab")).json(body);
    let request = request.header("x-gitlab-event", event).header("x-gitlab-token", token);
    let answer = request.send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

fn github(action: &str, repo: &str, number: i64) -> Vec<u8> {
    let body = json!({
        "action": action, "number": number, "sender": { "login": "ann", "id": 1 },
        "pull_request": { "merged": true, "number": number, "title": "net" },
        "repository": { "full_name": repo, "html_url": format!("https://github.com/{repo}"), "private": true },
    });
    serde_json::to_vec(&body).unwrap()
}

/// Pull request 7 of three repositories holds a lock each, and waits for one.
async fn hold(service: &Service) {
    service.hold("shared", "somebody").await;
    for (key, repo) in
        [("a", "acme/infra"), ("b", "acme/infra2"), ("c", "other/infra"), ("d", "github.com/acme/infra")]
    {
        let sticky = json!({ "key": key, "owner": format!("{repo}#7"), "sticky": true,
            "pull": { "repo": repo, "number": 7 } });
        assert_eq!(service.post("/locks", sticky).await.0, StatusCode::OK);
        let waiting = json!({ "key": "shared", "owner": format!("{repo}#7"), "sticky": true, "queue": true,
            "pull": { "repo": repo, "number": 7 } });
        assert_eq!(service.post("/locks", waiting).await.0, StatusCode::ACCEPTED);
    }
}

fn names(list: &Value) -> Vec<&str> {
    let mut names: Vec<_> =
        list.as_array().unwrap().iter().map(|entry| entry["owner"].as_str().unwrap()).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn a_pull_request_that_is_closed_on_github_gives_everything_back() {
    let service = service().await;
    hold(&service).await;
    let body = github("closed", "acme/infra", 7);
    let (status, answer) = from_github(&service, "pull_request", &body, &signature(&body)).await;
    assert_eq!((status, &answer["ignored"]), (StatusCode::OK, &Value::Null), "{answer}");
    let its = ["acme/infra#7", "github.com/acme/infra#7"];
    assert_eq!((names(&answer["released"]), names(&answer["cancelled"])), (its.to_vec(), its.to_vec()));
    let (_, locks) = service.get("/locks").await;
    assert_eq!(names(&locks["locks"]), ["acme/infra2#7", "other/infra#7", "somebody"]);
    let ended = service.happened("owner_gone", "acme/infra#7").await;
    assert_eq!(
        (&ended["cause"]["actor"], &ended["cause"]["reason"]),
        (&json!("github:ann"), &json!("the pull request was merged"))
    );
    // Senders repeat what they got no answer to.
    let (status, again) = from_github(&service, "pull_request", &body, &signature(&body)).await;
    assert_eq!((status, names(&again["released"])), (StatusCode::OK, vec![]));
}

#[tokio::test]
async fn a_merge_request_that_is_closed_on_gitlab_gives_everything_back() {
    let service = service().await;
    hold(&service).await;
    let report = |action: &str| {
        json!({
            "object_kind": "merge_request", "user": { "username": "bob" },
            "project": { "path_with_namespace": "acme/infra", "web_url": "https://gitlab.example.com/acme/infra" },
            "object_attributes": { "iid": 7, "id": 90, "action": action },
        })
    };
    for (event, action) in [("Push Hook", "close"), ("Merge Request Hook", "update")] {
        let (status, answer) = from_gitlab(&service, event, &report(action), SECRET).await;
        assert_eq!(status, StatusCode::OK);
        assert!(answer["ignored"].is_string(), "{answer}");
    }
    let (status, answer) = from_gitlab(&service, "Merge Request Hook", &report("close"), SECRET).await;
    assert_eq!((status, names(&answer["released"])), (StatusCode::OK, vec!["acme/infra#7"]), "{answer}");
    let ended = service.happened("owner_gone", "acme/infra#7").await;
    assert_eq!(
        (&ended["cause"]["actor"], &ended["cause"]["reason"]),
        (&json!("gitlab:bob"), &json!("the pull request was closed"))
    );
}

#[tokio::test]
async fn who_does_not_know_the_secret_releases_nothing() {
    let service = service().await;
    hold(&service).await;
    let (body, other) = (github("closed", "acme/infra", 7), github("closed", "acme/infra", 8));
    for wrong in [String::new(), "sha256=00".to_owned(), signature(&other)] {
        let (status, problem) = from_github(&service, "pull_request", &body, &wrong).await;
        assert_eq!((status, &problem["code"]), (StatusCode::UNAUTHORIZED, &json!("EL011")), "{problem}");
    }
    let (status, _) = from_gitlab(&service, "Merge Request Hook", &json!({}), "s3cre").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let (_, locks) = service.get("/locks").await;
    assert_eq!(locks["locks"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn other_events_are_answered_and_passed_over() {
    let service = service().await;
    hold(&service).await;
    for (event, body) in [
        ("ping", b"{\"zen\":\"x\"}".to_vec()),
        ("push", b"{}".to_vec()),
        ("pull_request", github("opened", "acme/infra", 7)),
    ] {
        let (status, answer) = from_github(&service, event, &body, &signature(&body)).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        assert!(answer["ignored"].is_string(), "{answer}");
    }
    let (_, locks) = service.get("/locks").await;
    assert_eq!(locks["locks"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn a_sender_that_is_not_set_up_is_told_what_to_set() {
    let service = Service::start().await;
    let body = github("closed", "acme/infra", 7);
    let (status, problem) = from_github(&service, "pull_request", &body, &signature(&body)).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(problem["detail"].as_str().unwrap().contains("webhooks.github-secret"), "{problem}");
}

#[test]
fn nothing_that_is_signed_makes_it_fail() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let service = runtime.block_on(service());
    let member = prop_oneof![
        Just(json!(null)),
        any::<i64>().prop_map(|number| json!(number)),
        ".{0,300}".prop_map(|text| json!(text)),
        Just(json!({})),
        Just(json!([])),
    ];
    let config = ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let parts = (member.clone(), member.clone(), member.clone(), member.clone(), member);
    runner
        .run(&parts, |(number, name, page, login, merged)| {
            let body = json!({
                "action": "closed", "number": number, "sender": { "login": login },
                "pull_request": { "merged": merged }, "repository": { "full_name": name, "html_url": page },
            });
            let body = serde_json::to_vec(&body).unwrap();
            let signed = signature(&body);
            let (status, answer) = runtime.block_on(from_github(&service, "pull_request", &body, &signed));
            prop_assert!(matches!(status.as_u16(), 200 | 400), "{status}: {answer}");
            Ok(())
        })
        .unwrap();
}
