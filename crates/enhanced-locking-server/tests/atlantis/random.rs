//! Random bytes and random requests: no panic, nothing without bound, and the port serves the next client.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::client::{Value, request};
use crate::common::{KEY, Port, of_pull, with_password};

const WORDS: &[&str] = &[
    "get",
    "set",
    "del",
    "mget",
    "scan",
    "keys",
    "eval",
    "evalsha",
    "script",
    "hello",
    "auth",
    "client",
    "cluster",
    "select",
    "exists",
    "type",
    "ttl",
    "strlen",
    "command",
    "info",
    "multi",
    "quit",
    "reset",
    "0",
    "1",
    "3",
    "-1",
    "match",
    "count",
    "nx",
    "xx",
    "setname",
    "load",
    "slots",
    "pr*",
    "*",
    "[",
    "s3cret",
    "default",
    KEY,
    "global/apply/lock",
    "github.com::acme/infra::1",
    "{\"Pull\":{\"Num\":1}}",
    "",
];

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        prop::sample::select(WORDS).prop_map(|word| word.as_bytes().to_vec()),
        Just(of_pull(1).into_bytes()),
        prop::collection::vec(any::<u8>(), 0..20),
    ];
    let request = prop::collection::vec(word, 0..7).prop_map(|words| request(&words));
    let line = "[a-z *$0-9]{0,20}\r\n".prop_map(String::into_bytes);
    let noise = prop::collection::vec(any::<u8>(), 0..60);
    prop::collection::vec(prop_oneof![6 => request, 1 => line, 1 => noise], 1..8).prop_map(|all| all.concat())
}

#[test]
fn whatever_is_sent_the_next_client_is_served() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let ports = runtime.block_on(async { [Port::start().await, Port::with(with_password()).await] });
    let mut runner = TestRunner::new(Config { cases: 400, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&bytes(), |bytes| {
        runtime.block_on(async {
            for port in &ports {
                let mut client = port.client().await;
                // The port may close before it has read everything.
                let _ = tokio::io::AsyncWriteExt::write_all(&mut client.stream, &bytes).await;
                let _ = tokio::io::AsyncWriteExt::shutdown(&mut client.stream).await;
                let told = client.rest().await;
                assert!(told.len() < 1 << 20);
            }
            assert_eq!(ports[0].client().await.say("echo next").await, Value::bulk("next"));
            assert_eq!(ports[1].client().await.say("auth s3cret").await, Value::ok());
        });
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}
