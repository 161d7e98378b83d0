//! A client that is not ours: `redis-cli`, where there is one.

use std::process::Stdio;

use crate::common::{KEY, Port, of_pull, with_password};

/// What it prints; `None` if it is not installed.
async fn redis_cli(port: &Port, arguments: &[&str]) -> Option<String> {
    let mut command = tokio::process::Command::new("redis-cli");
    command.args(["-h", "127.0.0.1", "-p", &port.address.port().to_string(), "--no-auth-warning"]);
    let output = command.args(arguments).stdin(Stdio::null()).output().await.ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

#[tokio::test]
async fn redis_cli_works_on_it_in_both_versions() {
    let port = Port::with(with_password()).await;
    for version in ["-2", "-3"] {
        let call = |words: Vec<&'static str>| {
            let port = &port;
            async move { redis_cli(port, &[&["-a", "s3cret", version][..], &words[..]].concat()).await }
        };
        let Some(pong) = call(vec!["ping"]).await else {
            eprintln!("skipped: redis-cli is not installed");
            return;
        };
        assert_eq!(pong, "PONG");
        let value: &'static str = Box::leak(of_pull(1).into_boxed_str());
        assert_eq!(call(vec!["set", KEY, value]).await.unwrap(), "OK");
        assert_eq!(call(vec!["get", KEY]).await.unwrap(), value);
        assert_eq!(call(vec!["--scan", "--pattern", "pr*"]).await.unwrap(), KEY);
        assert_eq!(call(vec!["del", KEY]).await.unwrap(), "1");
        assert_eq!(call(vec!["get", KEY]).await.unwrap(), "");
    }
    assert!(redis_cli(&port, &["ping"]).await.unwrap().starts_with("NOAUTH"));
}
