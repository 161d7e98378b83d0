//! The rest of what can be asked about keys, and the options of `SET`.

use enhanced_locking_foundation::{AcquireRequest, LockBackend, OwnerId, ResourceKey};

use crate::client::Value;
use crate::common::{KEY, Port, lock, of_pull};

#[tokio::test]
async fn keys_are_told_as_redis_tells_them() {
    let port = Port::start().await;
    let mut client = port.modern().await;
    client.call(&["set", KEY, &of_pull(1)]).await;
    client.say("set doc abc").await;
    for (words, want) in [
        ("exists doc doc nothing", Value::Number(2)),
        ("type doc", Value::Simple("string".to_owned())),
        ("type nothing", Value::Simple("none".to_owned())),
        ("ttl doc", Value::Number(-1)),
        ("pttl nothing", Value::Number(-2)),
        ("strlen doc", Value::Number(3)),
        ("strlen nothing", Value::Number(0)),
        ("dbsize", Value::Number(2)),
        ("mget doc nothing", Value::Array(vec![Value::bulk("abc"), Value::Null])),
        ("unlink doc nothing", Value::Number(1)),
        ("readonly", Value::ok()),
    ] {
        assert_eq!(client.say(words).await, want, "{words}");
    }
    assert_eq!(client.call(&["ttl", KEY]).await, Value::Number(-1));
    assert_eq!(client.call(&[b"get", &b"\xff\xfe"[..]]).await, Value::Null);
    assert!(client.call(&[b"set", &b"\xff\xfe"[..], b"x"]).await.error().starts_with("ERR keys are UTF-8"));
}

#[tokio::test]
async fn pages_can_be_asked_for_in_every_way() {
    let port = Port::start().await;
    let mut client = port.modern().await;
    client.call(&["set", KEY, &of_pull(1)]).await;
    client.say("set prod-git.example.com::acme/infra::9 {}").await;
    client.say("set github.com::acme/infra::9 {}").await;
    for (words, want) in [
        ("scan 0", 3),
        ("scan 0 count 1", 3),
        ("scan 0 type string match *infra*", 3),
        ("scan 0 type hash", 0),
        ("scan 17 match *", 0),
        ("scan 0 match pr/*", 1),
        // What Atlantis lists its locks by: no status among them, whatever its host is called.
        ("scan 0 match pr*", 1),
        ("scan 0 match pro*", 1),
        ("scan 0 match [p]r*", 2),
        ("scan 0 match *::9", 2),
        ("scan 0 match p*", 2),
    ] {
        assert_eq!(client.say(words).await.keys().len(), want, "{words}");
    }
    assert!(client.call(&["keys", &"*a".repeat(4096)]).await.error().starts_with("ERR there are more than"));
}

#[tokio::test]
async fn conditions_of_set_are_kept_in_one_step() {
    let port = Port::start().await;
    let mut client = port.modern().await;
    for (words, want) in [
        ("set doc a xx", Value::Null),
        ("set doc a nx", Value::ok()),
        ("set doc b nx", Value::Null),
        ("set doc b nx get", Value::bulk("a")),
        ("set doc b xx", Value::ok()),
        ("set doc c get", Value::bulk("b")),
        ("set new x get", Value::Null),
        ("set doc d keepttl", Value::ok()),
        ("get doc", Value::bulk("d")),
    ] {
        assert_eq!(client.say(words).await, want, "{words}");
    }
    for words in ["set doc a ex 10", "set doc a px 10", "set doc a nx exat 9"] {
        assert!(client.say(words).await.error().contains("do not expire"), "{words}");
    }
    assert_eq!(client.say("set doc a nx xx").await.error(), "ERR syntax error");
    // For locks the first value stays.
    assert_eq!(client.call(&["set", KEY, &of_pull(1), "xx"]).await, Value::Null);
    assert_eq!(client.call(&["set", KEY, &of_pull(1), "nx"]).await, Value::ok());
    assert_eq!(client.call(&["set", KEY, &of_pull(2), "nx"]).await, Value::Null);
    assert_eq!(client.call(&["set", KEY, &of_pull(1), "nx"]).await, Value::Null);
    assert_eq!(client.call(&["set", KEY, &of_pull(2), "nx", "get"]).await, Value::bulk(of_pull(1)));
    assert_eq!(client.call(&["set", KEY, &of_pull(1), "get"]).await, Value::bulk(of_pull(1)));
    assert!(client.call(&["set", KEY, &of_pull(2), "xx"]).await.error().contains("locked by"));
}

#[tokio::test]
async fn what_is_no_lock_is_not_stored_as_one() {
    let port = Port::start().await;
    let mut client = port.modern().await;
    for value in ["", "{", "x", "{\"Pull\":{\"Num\":\"1\"}}", "null", "{}"] {
        assert!(client.call(&["set", KEY, value]).await.error().starts_with("ERR"), "{value}");
    }
    for key in ["pr/", "pr/a/b", "pr////", "pr/a/b/c/\u{7}d/"] {
        assert!(client.call(&["set", key, &of_pull(1)]).await.error().starts_with("ERR"), "{key}");
        assert_eq!(client.call(&["get", key]).await, Value::Null);
        assert_eq!(client.call(&["del", key]).await, Value::Number(0));
        assert_eq!(client.call(&["exists", key]).await, Value::Number(0));
    }
    assert!(port.documents.map.lock().is_empty());
    assert_eq!(client.say("dbsize").await, Value::Number(0));
}

#[tokio::test]
async fn only_the_holder_that_was_read_is_deleted() {
    let port = Port::start().await;
    let (mut one, mut other) = (port.modern().await, port.modern().await);
    one.call(&["set", KEY, &of_pull(1)]).await;
    assert_eq!(one.call(&["get", KEY]).await, Value::bulk(of_pull(1)));
    // The lock changes hands by the API.
    let key = ResourceKey::new("project::acme/infra:envs/prod:default:").unwrap();
    let held = port.backend.resource(&key, 0).await.unwrap().unwrap().holders.remove(0);
    port.backend.release(&held.grant()).await.unwrap();
    let new = AcquireRequest::new(key.clone(), OwnerId::new("acme/infra#2").unwrap()).sticky();
    port.backend.acquire(new).await.unwrap();
    // On another connection of the same machine, as with a pool.
    assert_eq!(other.call(&["del", KEY]).await, Value::Number(0));
    assert_eq!(other.call(&["del", KEY]).await, Value::Number(0));
    assert_eq!(one.call(&["exists", KEY]).await, Value::Number(1));
    // Once it is read it is deleted.
    one.call(&["get", KEY]).await;
    assert_eq!(other.call(&["del", KEY]).await, Value::Number(1));
}

#[tokio::test]
async fn a_lock_that_others_took_is_read_in_the_words_of_atlantis() {
    let port = Port::start().await;
    let mut client = port.modern().await;
    let key = ResourceKey::new("project::acme/infra:envs/prod:default:").unwrap();
    let request = AcquireRequest::new(key, OwnerId::new("nightly").unwrap()).user("bob");
    port.backend.acquire(request).await.unwrap();
    let Value::Bulk(value) = client.call(&["get", KEY]).await else { panic!() };
    assert!(value.starts_with(
        r#"{"Project":{"ProjectName":"","RepoFullName":"acme/infra","Path":"envs/prod"},"Pull":{"Num":0,"#
    ));
    assert!(
        client
            .call(&["set", KEY, &lock("acme/infra", "envs/prod", 1)])
            .await
            .error()
            .contains("locked by nightly")
    );
    assert_eq!(client.say("scan 0 match pr*").await.keys(), [KEY]);
}
