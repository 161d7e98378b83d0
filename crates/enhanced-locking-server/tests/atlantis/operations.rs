//! Every operation of Atlantis as it is on the wire (contract §3.3).

use enhanced_locking_foundation::{LockBackend, LockQuery};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{Client, PATIENCE, Value, request};
use crate::common::{KEY, Port, SCRIPT, lock, of_pull};

#[tokio::test]
async fn try_lock_takes_a_free_lock_byte_for_byte_and_leaves_a_held_one() {
    let port = Port::start().await;
    let mut client = port.modern().await;
    assert_eq!(client.call(&["get", KEY]).await, Value::Null);
    assert_eq!(client.call(&["set", KEY, &of_pull(42)]).await, Value::ok());
    assert_eq!(client.call(&["get", KEY]).await, Value::bulk(of_pull(42)));
    // It is a lock of this system.
    let locks = port.backend.locks(&LockQuery::default()).await.unwrap().items;
    let request = &locks[0].request;
    assert_eq!(request.key.as_str(), "project::acme/infra:envs/prod:default:");
    assert_eq!((request.owner.as_str(), request.user.as_deref()), ("acme/infra#42", Some("alice")));
    assert!(request.lease.is_sticky() && !format!("{request:?}").contains("TOKEN"));
}

#[tokio::test]
async fn the_same_pull_request_keeps_its_first_value() {
    let port = Port::start().await;
    let mut client = port.modern().await;
    client.call(&["set", KEY, &of_pull(42)]).await;
    let later = of_pull(42).replace("2737c45a7bd1", "ffffffffffff");
    assert_eq!(client.call(&["set", KEY, &later]).await, Value::ok());
    assert_eq!(client.call(&["get", KEY]).await, Value::bulk(of_pull(42)));
}

#[tokio::test]
async fn somebody_else_is_told_who_holds_the_lock() {
    let port = Port::start().await;
    let mut client = port.modern().await;
    client.call(&["set", KEY, &of_pull(42)]).await;
    let refused = client.call(&["set", KEY, &of_pull(7)]).await.error();
    assert!(refused.starts_with("ERR locked by acme/infra#42 since 20"), "{refused}");
    assert!(
        refused.contains("see https://github.com/acme/infra/pull/42") && !refused.contains("TOKEN"),
        "{refused}"
    );
    assert_eq!(client.call(&["get", KEY]).await, Value::bulk(of_pull(42)));
}

#[tokio::test]
async fn unlock_deletes_the_lock() {
    let port = Port::start().await;
    let mut client = port.modern().await;
    client.call(&["set", KEY, &of_pull(42)]).await;
    client.call(&["get", KEY]).await;
    assert_eq!(client.call(&["del", KEY]).await, Value::Number(1));
    assert_eq!(client.call(&["get", KEY]).await, Value::Null);
    assert_eq!(client.call(&["del", KEY]).await, Value::Number(0));
    assert!(port.documents.map.lock().is_empty());
}

#[tokio::test]
async fn unlock_if_owned_by_pull_is_the_one_script() {
    let port = Port::start().await;
    let mut client = port.modern().await;
    let eval = |number: &str| {
        ["eval".to_owned(), SCRIPT.to_owned(), "1".to_owned(), KEY.to_owned(), number.to_owned()]
    };
    assert_eq!(client.call(&eval("42")).await, Value::Null);
    client.call(&["set", KEY, &of_pull(42)]).await;
    for other in ["7", "x", ""] {
        assert_eq!(client.call(&eval(other)).await, Value::Null);
    }
    assert_eq!(client.call(&["exists", KEY]).await, Value::Number(1));
    assert_eq!(client.call(&eval("42")).await, Value::bulk(of_pull(42)));
    assert_eq!(client.call(&["exists", KEY]).await, Value::Number(0));
    // By its digest as well, and nothing else is run.
    client.call(&["set", KEY, &of_pull(42)]).await;
    let digest = client.call(&["script", "load", SCRIPT]).await;
    assert_eq!(digest, Value::bulk("c09313c9247bdb6383a96b527fe8492ef19a1eeb"));
    assert_eq!(
        client.call(&["evalsha", "C09313c9247bdb6383a96b527fe8492ef19a1eeb", "1", KEY, "42"]).await,
        Value::bulk(of_pull(42))
    );
    for (script, count) in
        [("return 1", "0"), (&SCRIPT[1..], "1"), (SCRIPT, "0"), (SCRIPT, "-1"), (SCRIPT, "9")]
    {
        assert!(
            client.call(&["eval", script, count, KEY, "42"]).await.error().starts_with("ERR"),
            "{script}"
        );
    }
}

#[tokio::test]
async fn list_and_unlock_by_pull_see_every_lock_once() {
    let port = Port::start().await;
    let mut client = port.modern().await;
    for number in 0..1_500 {
        let path = format!("p{number:04}");
        let key = format!("pr/acme/infra/{path}/default/");
        client.call(&["set", &key, &lock("acme/infra", &path, 42)]).await;
    }
    client.call(&["set", "pr/acme/infra2/p/default/", &lock("acme/infra2", "p", 42)]).await;
    assert_eq!(client.say("scan 0 match pr*").await.keys().len(), 1_501);
    // As Atlantis looks for the locks of a repository: not those of another whose name begins the same.
    let keys = client.say("scan 0 match pr/acme/infra*").await.keys();
    assert_eq!(client.say("scan 0 match pr/acme/infra**").await.keys().len(), 1_501);
    assert_eq!((keys.len(), keys[0].as_str()), (1_500, "pr/acme/infra/p0000/default/"));
    for key in &keys {
        assert!(
            matches!(client.call(&["get", key]).await, Value::Bulk(value) if value.contains(r#""Num":42"#))
        );
        assert_eq!(client.call(&["del", key]).await, Value::Number(1));
    }
    assert_eq!(client.say("scan 0 match pr*").await.keys(), ["pr/acme/infra2/p/default/"]);
    assert_eq!(client.say("keys pr/*").await.items().len(), 1);
}

#[tokio::test]
async fn commands_are_locked_once() {
    let port = Port::start().await;
    let mut client = port.modern().await;
    let (key, value) = ("global/apply/lock", r#"{"LockMetadata":{"UnixTime":1787383815},"CommandName":0}"#);
    assert_eq!(client.call(&["get", key]).await, Value::Null);
    assert_eq!(client.call(&["set", key, value]).await, Value::ok());
    assert!(client.call(&["set", key, value]).await.error().starts_with("ERR lock already exists"));
    assert_eq!(client.call(&["get", key]).await, Value::bulk(value));
    assert_eq!(client.say("keys global/*").await, Value::Array(vec![Value::bulk(key)]));
    assert_eq!(client.say("scan 0 match pr*").await.keys(), Vec::<String>::new());
    assert_eq!(client.call(&["del", key]).await, Value::Number(1));
    assert_eq!(client.call(&["del", key]).await, Value::Number(0));
}

#[tokio::test]
async fn pull_statuses_and_unknown_keys_are_kept_as_they_are() {
    let port = Port::start().await;
    let mut client = port.modern().await;
    for key in ["github.com::acme/infra::42", "lease:acme/infra:42", "pr"] {
        assert_eq!(client.call(&["get", key]).await, Value::Null);
        for value in ["{\"Projects\":null}", "", "\0\r\n not json"] {
            assert_eq!(client.call(&["set", key, value]).await, Value::ok());
            assert_eq!(client.call(&["get", key]).await, Value::bulk(value));
        }
        assert_eq!(client.call(&["del", key]).await, Value::Number(1));
        assert_eq!(client.call(&["del", key]).await, Value::Number(0));
    }
}

#[tokio::test]
async fn an_old_atlantis_and_a_new_one_exclude_each_other() {
    let port = Port::start().await;
    let mut client = port.modern().await;
    let old = "pr/acme/infra/prod/default";
    client.call(&["set", old, &lock("acme/infra", "prod", 1)]).await;
    assert_eq!(
        client.call(&["get", "pr/acme/infra/prod/default/"]).await,
        Value::bulk(lock("acme/infra", "prod", 1))
    );
    assert_eq!(client.call(&["get", old]).await, Value::bulk(lock("acme/infra", "prod", 1)));
    // An Atlantis that starts finds nothing to migrate, and so deletes nothing.
    assert_eq!(client.say("scan 0 match pr/*").await.keys(), ["pr/acme/infra/prod/default/"]);
    assert!(
        client
            .call(&["set", "pr/acme/infra/prod/default/", &lock("acme/infra", "prod", 2)])
            .await
            .error()
            .contains("acme/infra#1")
    );
    assert_eq!(client.call(&["del", old]).await, Value::Number(1));
}

#[tokio::test]
async fn requests_that_are_sent_together_are_answered_in_order() {
    let port = Port::start().await;
    let client = port.modern().await;
    let mut bytes = Vec::new();
    for number in 0..2_000 {
        bytes.extend(request(&["echo", &number.to_string()]));
        bytes.extend(request(&["set", &format!("k{number}"), "v"]));
        bytes.extend(request(&["get", &format!("k{number}")]));
    }
    let Client { stream, .. } = client;
    let (reader, mut writer) = stream.into_split();
    let sent = tokio::spawn(async move {
        writer.write_all(&bytes).await.unwrap();
        writer
    });
    let want: String =
        (0..2_000).map(|n: i32| format!("${}\r\n{n}\r\n+OK\r\n$1\r\nv\r\n", n.to_string().len())).collect();
    let mut got = vec![0; want.len()];
    let mut reader = reader;
    tokio::time::timeout(PATIENCE, reader.read_exact(&mut got)).await.unwrap().unwrap();
    assert!(got == want.as_bytes());
    drop(sent.await.unwrap());
}

#[tokio::test]
async fn what_was_asked_is_answered_before_the_port_stops() {
    let mut port = Port::start().await;
    let mut client = port.modern().await;
    client.call(&["set", KEY, &of_pull(42)]).await;
    let idle = port.client().await;
    port.stopped().await;
    assert_eq!(client.rest().await, "");
    drop(idle);
    assert!(tokio::net::TcpStream::connect(port.address).await.is_err());
}

#[tokio::test]
async fn a_store_that_is_away_is_told_as_such() {
    let port = Port::start().await;
    let mut client = port.modern().await;
    port.documents.away.store(true, std::sync::atomic::Ordering::SeqCst);
    // Nothing happened: go-redis may send it again.
    let refused = client.call(&["set", KEY, &of_pull(42)]).await.error();
    assert!(refused.starts_with("TRYAGAIN store is not available"), "{refused}");
    port.documents.away.store(false, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(client.call(&["get", KEY]).await, Value::Null);
    assert_eq!(client.call(&["set", KEY, &of_pull(42)]).await, Value::ok());
    port.backend.close().await.unwrap();
    assert!(client.say("ping").await.error().starts_with("ERR store is closed"));
    assert!(client.call(&["get", KEY]).await.error().starts_with("ERR store is closed"));
}
