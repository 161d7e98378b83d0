//! Taking, looking, renewing, handing over and releasing locks over real connections.

use std::time::Duration;

use crate::common::Service;
use reqwest::{Method, StatusCode};
use serde_json::json;

#[tokio::test]
async fn a_lock_is_taken_shown_renewed_and_released() {
    let service = Service::start().await;
    let lock = service.hold("demo", "me").await;
    let id = lock["id"].as_str().unwrap();
    assert!(lock["token"].as_u64().unwrap() > 1_700_000_000_000_000);
    assert_eq!(lock["lease_ms"], 600_000);

    let (status, one) = service.get(&format!("/locks/{id}")).await;
    assert_eq!((status, &one["lock"]), (StatusCode::OK, &lock));
    let (_, page) = service.get("/locks?prefix=de&owner=me").await;
    assert_eq!((page["locks"].as_array().unwrap().len(), &page["next"]), (1, &json!(null)));
    let (_, none) = service.get("/locks?owner=you").await;
    assert_eq!(none["locks"], json!([]));

    let renewed = service
        .post(&format!("/locks/{id}/renew"), json!({ "token": lock["token"], "lease_ms": 60_000 }))
        .await;
    assert_eq!((renewed.0, &renewed.1["lock"]["lease_ms"]), (StatusCode::OK, &json!(60_000)));

    let (status, released) = service.release(&lock).await;
    assert_eq!((status, released), (StatusCode::OK, json!({ "state": "released", "next": [] })));
    let (status, again) = service.release(&lock).await;
    assert_eq!((status, &again["state"]), (StatusCode::OK, &json!("already_released")));
}

#[tokio::test]
async fn who_may_not_wait_is_told_who_holds_it() {
    let service = Service::start().await;
    let lock = service.hold("demo", "me").await;
    let (status, problem) = service.post("/locks", json!({ "key": "demo", "owner": "you" })).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!((&problem["code"], &problem["kind"]), (&json!("EL001"), &json!("busy")));
    assert_eq!(problem["holders"][0], lock);
    assert!(problem["detail"].as_str().unwrap().contains("held by me"), "{problem}");
}

#[tokio::test]
async fn the_same_owner_gets_its_own_grant_back() {
    let service = Service::start().await;
    let lock = service.hold("demo", "me").await;
    assert_eq!(service.hold("demo", "me").await, lock);
}

#[tokio::test]
async fn a_wrong_token_changes_nothing() {
    let service = Service::start().await;
    let lock = service.hold("demo", "me").await;
    let id = lock["id"].as_str().unwrap();
    for (status, problem) in [
        service.delete(&format!("/locks/{id}?token=5")).await,
        service.post(&format!("/locks/{id}/renew"), json!({ "token": 5 })).await,
        service.post(&format!("/locks/{id}/transfer"), json!({ "token": 5, "to": { "owner": "you" } })).await,
    ] {
        assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("EL003")), "{problem}");
        assert_eq!(problem["current_token"], lock["token"]);
    }
    let (status, problem) = service.delete(&format!("/locks/{id}")).await;
    assert_eq!((status, &problem["problems"][0]["path"]), (StatusCode::BAD_REQUEST, &json!("token")));
    assert_eq!(service.get(&format!("/locks/{id}")).await.1["lock"], lock);
}

#[tokio::test]
async fn what_nobody_knows_is_not_found() {
    let service = Service::start().await;
    for (status, problem) in [
        service.get("/locks/nobody").await,
        service.delete("/locks/nobody?token=1").await,
        service.delete("/locks/nobody?token=1&key=demo").await,
        service.post("/locks/nobody/renew", json!({ "token": 1 })).await,
        service.post("/locks/nobody/force-release", json!({ "reason": "r" })).await,
        service.get("/requests/nobody").await,
        service.get("/requests/nobody?wait_ms=10").await,
        service.delete("/requests/nobody").await,
        service.get("/resources?key=demo").await,
    ] {
        assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("EL002")), "{problem}");
    }
}

#[tokio::test]
async fn ids_with_the_names_of_actions_are_not_shadowed() {
    let service = Service::start().await;
    for id in ["batch", "renew", "force-release", "release-by-pull", "health", "a:b|{c}"] {
        let (status, body) =
            service.post("/locks", json!({ "key": id, "owner": "me", "request_id": id })).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let address = id.replace('|', "%7C").replace('{', "%7B").replace('}', "%7D");
        assert_eq!(service.get(&format!("/locks/{address}")).await.1["lock"]["id"], id);
        assert_eq!(service.get(&format!("/requests/{address}")).await.1["state"], "held");
        assert_eq!(
            service.delete(&format!("/locks/{address}?token={}", body["lock"]["token"])).await.0,
            StatusCode::OK
        );
    }
}

#[tokio::test]
async fn a_project_is_locked_by_its_parts() {
    let service = Service::start().await;
    let body = json!({ "repo": "acme/infra", "path": "./net/", "workspace": "prod", "project": "vpc",
        "owner": "acme/infra#7", "pull": 7, "sticky": true, "user": "ann", "metadata": { "link": "x" } });
    let (status, held) = service.post("/locks", body).await;
    assert_eq!(status, StatusCode::OK, "{held}");
    let lock = &held["lock"];
    assert_eq!(
        lock["project"],
        json!({ "host": "", "repo": "acme/infra", "path": "net", "workspace": "prod", "project": "vpc" })
    );
    assert_eq!((&lock["expires_at"], &lock["sticky"]), (&json!(null), &json!(true)));
    for query in ["pull=7&repo=acme/infra", "pull=acme/infra%237"] {
        assert_eq!(service.get(&format!("/locks?{query}")).await.1["locks"][0]["id"], lock["id"]);
    }
    assert_eq!(service.get("/locks?pull=7&repo=acme/other").await.1["locks"], json!([]));
}

#[tokio::test]
async fn pages_follow_each_other_to_the_end() {
    let service = Service::start().await;
    for n in 0..5 {
        service.hold(&format!("k{n}"), "me").await;
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let (status, page) = service.get(&format!("/locks?limit=2{cursor}")).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        seen.extend(
            page["locks"].as_array().unwrap().iter().map(|lock| lock["key"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next"].as_str() else { break };
        let next: String = next.bytes().map(|byte| format!("%{byte:02X}")).collect();
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, ["k0", "k1", "k2", "k3", "k4"]);
    let (status, problem) = service.get("/locks?cursor=nonsense").await;
    assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!("EL009")), "{problem}");
}

#[tokio::test]
async fn a_batch_is_all_or_nothing() {
    let service = Service::start().await;
    let theirs = service.hold("b", "you").await;
    let ask = |keys: &[&str]| json!({ "locks": keys.iter().map(|key| json!({ "key": key, "owner": "me", "request_id": format!("r-{key}-{}", keys.len()) })).collect::<Vec<_>>() });
    let (status, problem) = service.post("/locks/batch", ask(&["a", "b"])).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("EL001")), "{problem}");
    assert_eq!(problem["blocked"], json!([{ "request_id": "r-b-2", "holders": [theirs] }]));
    assert_eq!(service.get("/locks?owner=me").await.1["locks"], json!([]));
    let (status, held) = service.post("/locks/batch", ask(&["a", "c", "d"])).await;
    assert_eq!((status, held["locks"].as_array().unwrap().len()), (StatusCode::OK, 3), "{held}");
    let (status, problem) = service.post("/locks/batch", ask(&["e", "e"])).await;
    assert_eq!((status, &problem["kind"]), (StatusCode::BAD_REQUEST, &json!("duplicate_key")), "{problem}");
}

#[tokio::test]
async fn many_renewals_are_judged_one_by_one() {
    let service = Service::start().await;
    let lock = service.hold("a", "me").await;
    let item = |token: &serde_json::Value| json!({ "key": "a", "id": lock["id"], "token": token });
    let body = json!({ "renewals": [item(&lock["token"]), item(&json!(3))] });
    let (status, reply) = service.post("/locks/renew", body).await;
    assert_eq!(status, StatusCode::OK, "{reply}");
    assert_eq!(reply["results"][0]["lock"]["token"], lock["token"]);
    assert_eq!(reply["results"][1]["problem"]["code"], "EL003");
}

#[tokio::test]
async fn a_lock_is_handed_over_with_a_new_token() {
    let service = Service::start().await;
    let lock = service.hold("demo", "me").await;
    let id = lock["id"].as_str().unwrap();
    let body = json!({ "token": lock["token"], "to": { "owner": "you", "user": "bob" }, "actor": "ann" });
    let (status, reply) = service.post(&format!("/locks/{id}/transfer"), body).await;
    assert_eq!((status, &reply["lock"]["owner"]), (StatusCode::OK, &json!("you")), "{reply}");
    assert!(reply["lock"]["token"].as_u64() > lock["token"].as_u64());
    assert_eq!(service.release(&lock).await.0, StatusCode::CONFLICT);
}

#[tokio::test]
async fn force_takes_a_lock_away_for_a_reason() {
    let service = Service::start().await;
    let lock = service.hold("demo", "me").await;
    let id = lock["id"].as_str().unwrap();
    let (status, problem) = service.post(&format!("/locks/{id}/force-release"), json!({})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(problem["detail"].as_str().unwrap().contains("`reason` is missing"), "{problem}");
    let (status, reply) = service
        .post(&format!("/locks/{id}/force-release"), json!({ "reason": "stuck", "actor": "ann" }))
        .await;
    assert_eq!((status, &reply["released"][0]["id"]), (StatusCode::OK, &lock["id"]), "{reply}");
    let event = service.happened("force_released", id).await;
    assert_eq!(event["cause"], json!({ "actor": "ann", "reason": "stuck" }));

    let other = service.hold("other", "me").await;
    let (_, reply) = service.post("/locks/force-release", json!({ "key": "other", "reason": "r" })).await;
    assert_eq!(reply["released"][0]["id"], other["id"]);
    let (status, problem) = service.release(&other).await;
    assert_eq!((status, &problem["ended"]["reason"]), (StatusCode::CONFLICT, &json!("force_released")));
}

#[tokio::test]
async fn closing_a_pull_request_releases_all_of_it_and_nothing_else() {
    let service = Service::start().await;
    let ask = |key: &str, repo: &str, queue: bool| json!({ "key": key, "owner": format!("{repo}#7"), "pull": { "repo": repo, "number": 7 }, "sticky": true, "queue": queue });
    service.post("/locks", ask("a", "acme/infra", false)).await;
    service.post("/locks", ask("b", "acme/other", false)).await;
    service.post("/locks", ask("b", "acme/infra", true)).await;
    let (status, reply) =
        service.post("/locks/release-by-pull", json!({ "repo": "acme/infra", "pull": 7 })).await;
    assert_eq!(status, StatusCode::OK, "{reply}");
    assert_eq!(
        (reply["released"].as_array().unwrap().len(), reply["cancelled"].as_array().unwrap().len()),
        (1, 1)
    );
    assert_eq!(service.get("/locks").await.1["locks"].as_array().unwrap().len(), 1);
    let (_, reply) = service.post("/locks/release-by-owner", json!({ "owner": "acme/other#7" })).await;
    assert_eq!(reply["released"][0]["key"], "b");
}

#[tokio::test]
async fn a_release_hands_the_lock_to_the_next_in_line() {
    let service = Service::start().await;
    let lock = service.hold("demo", "me").await;
    let next = service.queue("demo", "you").await;
    let (_, reply) = service.release(&lock).await;
    assert_eq!(reply["next"][0]["id"], next["request_id"]);
    assert!(reply["next"][0]["claim_by"].is_string());
}

#[tokio::test]
async fn the_clean_up_ends_what_is_over() {
    let (service, clock) = Service::with_clock().await;
    let lock = service.hold("demo", "me").await;
    clock.advance(Duration::from_secs(601));
    let (status, reply) = service.call(Method::POST, "/cleanup", Some(json!({ "budget": 10 }))).await;
    assert_eq!((status, &reply["ended"]), (StatusCode::OK, &json!(1)), "{reply}");
    let (status, problem) = service.release(&lock).await;
    assert_eq!((status, &problem["ended"]["reason"]), (StatusCode::CONFLICT, &json!("expired")));
}

#[tokio::test]
async fn a_sticky_lock_is_confirmed_and_does_not_get_a_lease() {
    let service = Service::start().await;
    let (_, held) = service.post("/locks", json!({ "key": "k", "owner": "o", "sticky": true })).await;
    let (id, token) = (held["lock"]["id"].as_str().unwrap(), held["lock"]["token"].clone());
    let path = format!("/locks/{id}/renew");
    let (status, problem) = service.post(&path, json!({ "token": token, "lease_ms": 5_000 })).await;
    assert_eq!((status, &problem["problems"][0]["path"]), (StatusCode::BAD_REQUEST, &json!("lease_ms")));
    assert!(problem["problems"][0]["message"].as_str().unwrap().contains("sticky"), "{problem}");
    let (status, confirmed) = service.post(&path, json!({ "token": token })).await;
    assert_eq!((status, &confirmed["lock"]), (StatusCode::OK, &held["lock"]));
    // Of many at once each is judged by itself; one that is sticky stays as it is.
    let item = json!({ "key": "k", "id": id, "token": token, "lease_ms": 5_000 });
    let (status, reply) = service.post("/locks/renew", json!({ "renewals": [item] })).await;
    assert_eq!((status, &reply["results"][0]["lock"]), (StatusCode::OK, &held["lock"]));
}
