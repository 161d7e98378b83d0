//! What each go-redis sends on a new connection (contract §3.1), byte for byte, and the answers.

use crate::client::{Value, request};
use crate::common::{Port, with_password};

const SETINFO: &str =
    "*4\r\n$6\r\nclient\r\n$7\r\nsetinfo\r\n$8\r\nLIB-NAME\r\n$19\r\ngo-redis(,go1.26.6)\r\n";

fn lib_version(version: &str) -> String {
    format!("*4\r\n$6\r\nclient\r\n$7\r\nsetinfo\r\n$7\r\nLIB-VER\r\n${}\r\n{version}\r\n", version.len())
}

fn greeting(id: u64) -> String {
    format!(
        "%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.4.0\r\n$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:{id}\r\n\
         $4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n"
    )
}

#[tokio::test]
async fn atlantis_0_41_and_later_is_greeted() {
    let port = Port::start().await;
    let mut client = port.client().await;
    client.send(b"*2\r\n$5\r\nhello\r\n$1\r\n3\r\n").await;
    client.expect(greeting(1).as_bytes()).await;
    client
        .send(b"*5\r\n$6\r\nclient\r\n$19\r\nmaint_notifications\r\n$2\r\non\r\n$20\r\nmoving-endpoint-type\r\n$11\r\ninternal-ip\r\n")
        .await;
    // Not OK: that would make the client wait for notifications.
    client.expect(b"-ERR unknown subcommand 'maint_notifications'. Try CLIENT HELP.\r\n").await;
    client.send(format!("{SETINFO}{}", lib_version("9.17.3")).as_bytes()).await;
    client.expect(b"+OK\r\n+OK\r\n").await;
    client.send(b"*1\r\n$4\r\nping\r\n*2\r\n$3\r\nget\r\n$17\r\nglobal/apply/lock\r\n").await;
    client.expect(b"+PONG\r\n_\r\n").await;
}

#[tokio::test]
async fn atlantis_0_38_to_0_40_logs_in_with_a_password() {
    let port = Port::with(with_password()).await;
    let mut client = port.client().await;
    client.send(b"*5\r\n$5\r\nhello\r\n$1\r\n3\r\n$4\r\nauth\r\n$7\r\ndefault\r\n$6\r\ns3cret\r\n").await;
    client.expect(greeting(1).as_bytes()).await;
    client.send(format!("{SETINFO}{}", lib_version("9.7.3")).as_bytes()).await;
    client.expect(b"+OK\r\n+OK\r\n").await;
    client.send(b"*4\r\n$4\r\nscan\r\n$1\r\n0\r\n$5\r\nmatch\r\n$4\r\npr/*\r\n").await;
    client.expect(b"*2\r\n$1\r\n0\r\n*0\r\n").await;
}

#[tokio::test]
async fn atlantis_0_25_selects_a_database() {
    let port = Port::start().await;
    let mut client = port.client().await;
    client.send(b"*2\r\n$5\r\nhello\r\n$1\r\n3\r\n*2\r\n$6\r\nselect\r\n$1\r\n0\r\n").await;
    client.expect(greeting(1).as_bytes()).await;
    client.expect(b"+OK\r\n").await;
    let refused = client.say("select 3").await.error();
    assert!(refused.contains("--redis-db=0"), "{refused}");
    assert_eq!(client.say("select 16").await.error(), "ERR DB index is out of range");
    assert_eq!(client.say("select x").await.error(), "ERR value is not an integer or out of range");
}

#[tokio::test]
async fn wrong_passwords_and_silence_about_it_are_refused() {
    let port = Port::with(with_password()).await;
    let mut client = port.client().await;
    for words in ["ping", "get a", "select 0", "scan 0", "client id", "dance"] {
        assert_eq!(client.say(words).await.error(), "NOAUTH Authentication required.", "{words}");
    }
    assert!(client.say("hello 3").await.error().starts_with("NOAUTH HELLO must be called"));
    for words in
        ["hello 3 auth default wrong", "hello 3 auth other s3cret", "auth wrong", "auth other s3cret"]
    {
        let refused = client.say(words).await.error();
        assert_eq!(refused, "WRONGPASS invalid username-password pair or user is disabled.", "{words}");
    }
    assert_eq!(client.say("ping").await.error(), "NOAUTH Authentication required.");
    assert_eq!(client.say("auth s3cret").await, Value::ok());
    assert_eq!(client.say("ping").await, Value::Simple("PONG".to_owned()));
    assert_eq!(client.say("reset").await, Value::Simple("RESET".to_owned()));
    assert_eq!(client.say("ping").await.error(), "NOAUTH Authentication required.");
}

#[tokio::test]
async fn a_user_name_of_its_own_is_accepted() {
    let mut config = with_password();
    config.username = Some("atlantis".to_owned());
    let port = Port::with(config).await;
    for words in ["auth atlantis s3cret", "auth default s3cret", "auth s3cret"] {
        assert_eq!(port.client().await.say(words).await, Value::ok(), "{words}");
    }
    assert!(port.client().await.say("auth nobody s3cret").await.error().starts_with("WRONGPASS"));
}

#[tokio::test]
async fn without_a_password_the_default_user_is_everybody() {
    let port = Port::start().await;
    let mut client = port.client().await;
    assert!(client.say("auth s3cret").await.error().starts_with("ERR AUTH <password> called without"));
    assert_eq!(client.say("auth default whatever").await, Value::ok());
    assert!(client.say("auth atlantis whatever").await.error().starts_with("WRONGPASS"));
}

#[tokio::test]
async fn the_second_version_has_other_forms() {
    let port = Port::start().await;
    let mut client = port.client().await;
    client.send(&request(&["get", "nothing"])).await;
    client.expect(b"$-1\r\n").await;
    assert_eq!(client.say("hello 2").await.items().len(), 14);
    assert_eq!(client.say("hello 4").await.error(), "NOPROTO unsupported protocol version");
    assert!(client.say("hello x").await.error().starts_with("ERR Protocol version is not an integer"));
    assert!(client.say("hello 3 dance").await.error().starts_with("ERR Syntax error in HELLO option"));
    // A refused greeting changes nothing.
    client.send(&request(&["get", "nothing"])).await;
    client.expect(b"$-1\r\n").await;
}

#[tokio::test]
async fn connections_have_names_and_numbers() {
    let port = Port::start().await;
    let mut client = port.client().await;
    assert_eq!(client.say("client id").await, Value::Number(1));
    assert_eq!(client.say("client getname").await, Value::Null);
    assert_eq!(client.say("client setname me").await, Value::ok());
    assert_eq!(client.say("client getname").await, Value::bulk("me"));
    assert!(client.call(&["client", "setname", "a b"]).await.error().starts_with("ERR Client names cannot"));
    assert!(matches!(client.say("hello 3 setname you").await, Value::Map(_)));
    assert_eq!(client.say("client getname").await, Value::bulk("you"));
    assert_eq!(client.say("echo hi").await, Value::bulk("hi"));
    assert_eq!(client.say("ping hi").await, Value::bulk("hi"));
    assert_eq!(client.say("time").await.items().len(), 2);
    assert_eq!(client.say("command").await, Value::Array(Vec::new()));
    assert!(
        matches!(client.say("info server").await, Value::Bulk(text) if text.contains("redis_version:7.4.0"))
    );
    assert_eq!(client.say("quit").await, Value::ok());
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn what_is_not_known_is_refused_in_the_words_of_redis() {
    let port = Port::start().await;
    let mut client = port.client().await;
    for (words, want) in [
        ("foo a b", "ERR unknown command 'foo', with args beginning with: 'a' 'b' "),
        ("FLUSHALL", "ERR unknown command 'FLUSHALL', with args beginning with: "),
        ("get", "ERR wrong number of arguments for 'get' command"),
        ("del", "ERR wrong number of arguments for 'del' command"),
        ("client", "ERR wrong number of arguments for 'client' command"),
        ("client nosuch", "ERR unknown subcommand 'nosuch'. Try CLIENT HELP."),
        ("set a b c", "ERR syntax error"),
        ("scan x", "ERR invalid cursor"),
        ("scan 0 foo", "ERR syntax error"),
        ("scan 0 count 0", "ERR syntax error"),
        ("eval x", "ERR wrong number of arguments for 'eval' command"),
        ("evalsha abc 0", "NOSCRIPT No matching script. Please use EVAL."),
    ] {
        assert_eq!(client.say(words).await.error(), want);
    }
    for words in ["multi", "exec", "discard", "watch a", "unwatch"] {
        assert!(client.say(words).await.error().starts_with("ERR transactions are not supported"), "{words}");
    }
    let many = vec!["x".repeat(100); 200];
    assert!(client.call(&many).await.error().len() < 400);
}
