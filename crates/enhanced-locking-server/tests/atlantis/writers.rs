//! Two that write at once (defect B5): one has the lock, the other is told who.

use std::sync::Arc;

use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::client::{Client, Value};
use crate::common::{Port, lock};

const ROUNDS: usize = 2_000;

/// Atlantis' TryLock of one pull request after the other; which rounds were won.
async fn writer(mut client: Client, number: i64, start: Arc<Barrier>) -> Vec<bool> {
    let mut won = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        let path = format!("p{round}");
        let key = format!("pr/acme/infra/{path}/default/");
        start.wait().await;
        let acquired = match client.call(&["get", &key]).await {
            Value::Null => match client.call(&["set", &key, &lock("acme/infra", &path, number)]).await {
                Value::Error(refused) => {
                    let other = format!("ERR locked by acme/infra#{}", 3 - number);
                    assert!(refused.starts_with(&other), "{refused}");
                    false
                }
                set => set == Value::ok(),
            },
            _ => false,
        };
        won.push(acquired);
    }
    won
}

async fn race(ports: [&Port; 2]) {
    let start = Arc::new(Barrier::new(2));
    let mut writers = JoinSet::new();
    for (number, port) in (1..).zip(ports) {
        writers.spawn(writer(port.modern().await, number, Arc::clone(&start)));
    }
    let won = writers.join_all().await;
    let both = won[0].iter().zip(&won[1]).filter(|(one, two)| **one && **two).count();
    let one = won[0].iter().zip(&won[1]).filter(|(one, two)| one != two).count();
    assert_eq!((both, one), (0, ROUNDS));
    let mut client = ports[0].modern().await;
    assert_eq!(client.say("scan 0 match pr*").await.keys().len(), ROUNDS);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_connections_one_acquires() {
    let port = Port::start().await;
    race([&port, &port]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_replicas_over_one_store_one_acquires() {
    let one = Port::start().await;
    let two = Port::over(crate::common::config(), Arc::clone(&one.backend), Arc::clone(&one.documents)).await;
    race([&one, &two]).await;
}
