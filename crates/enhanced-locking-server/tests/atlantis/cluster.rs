//! What `--redis-cluster-addresses` asks for.

use crate::client::Value;
use crate::common::{KEY, Port, of_pull};

#[tokio::test]
async fn one_node_owns_all_slots_at_the_address_it_was_reached_by() {
    let port = Port::start().await;
    let mut client = port.modern().await;
    let Value::Bulk(id) = client.say("cluster myid").await else { panic!() };
    assert_eq!(id.len(), 40);
    let node = vec![
        Value::bulk("127.0.0.1"),
        Value::Number(port.address.port().into()),
        Value::bulk(&*id),
        Value::Map(Vec::new()),
    ];
    let slots = Value::Array(vec![Value::Number(0), Value::Number(16_383), Value::Array(node)]);
    assert_eq!(client.say("cluster slots").await, Value::Array(vec![slots]));
    assert_eq!(client.say("cluster shards").await.items().len(), 1);
    assert!(
        matches!(client.say("cluster info").await, Value::Bulk(text) if text.contains("cluster_state:ok"))
    );
    assert!(matches!(client.say("cluster nodes").await, Value::Bulk(text) if text.starts_with(&id)));
    assert_eq!(client.say("cluster keyslot foo").await, Value::Number(12_182));
    assert_eq!(client.say("readonly").await, Value::ok());
    assert!(client.say("cluster reset").await.error().starts_with("ERR unknown subcommand 'reset'"));
    // A scan is whole, whichever node its cursor is hashed to.
    client.call(&["set", KEY, &of_pull(1)]).await;
    assert_eq!(client.say("scan 0 match pr*").await.keys(), [KEY]);
}
