//! The driver on the client library fred. Owns what is sent over which connection, and what came of it; a subscription
//! counts only when the server has acknowledged it.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use fred::clients::{Client, SubscriberClient};
use fred::error::{Error, ErrorKind};
use fred::interfaces::{
    ClientLike, EventInterface, HashesInterface, LuaInterface, PubsubInterface, ServerInterface,
};
use fred::types::{ClientState, ClusterHash, CustomCommand, Key, Value};
use futures_util::future::{join_all, try_join_all};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::call::{Call, Caller};
use super::{Answers, Driver, Failure, NodeAnswer, settings};
use crate::durability::Copies;
use crate::layout::Layout;
use crate::script::Code;
use crate::wire::Operation;
use crate::{OpenError, RedisConfig, startup};

/// How long a server may take to tell its figures.
const LOOK: Duration = Duration::from_secs(1);

/// What was heard.
type Message = (Option<String>, Vec<u8>);

/// Clients for commands and one for what is heard.
struct Fred {
    /// The first of them, for what belongs to no bucket.
    client: Client,
    /// A bucket always uses the same one: what is sent first is done first.
    clients: Vec<Client>,
    subscriber: SubscriberClient,
    /// The keys of every bucket, ready to be sent.
    keys: Vec<Vec<Key>>,
    caller: Caller,
    node: String,
    sharded: bool,
    messages: Mutex<Option<mpsc::UnboundedReceiver<Message>>>,
    connections: watch::Receiver<u64>,
    /// The one server, where there is one.
    location: String,
    tasks: Vec<JoinHandle<()>>,
}

/// Connects.
pub(crate) async fn connect(
    config: &RedisConfig,
    layout: &Layout,
    code: Code,
    node: String,
) -> Result<Box<dyn Driver>, OpenError> {
    let builder = settings::builder(config)?;
    let failed = |error: Error| startup::no_connection(config, &error.to_string());
    let count = config.connections.clamp(1, layout.buckets().max(1));
    let clients = (0..count).map(|_| builder.build()).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let subscriber = builder.build_subscriber_client().map_err(failed)?;
    let Some(client) = clients.first().cloned() else {
        return Err(failed(Error::new(ErrorKind::Unknown, "")));
    };
    // The library would try for ever; a store that cannot be reached should be told at once.
    let all = async {
        // One after the other until one succeeds: if there is something wrong, it is told once.
        client.init().await?;
        subscriber.init().await?;
        try_join_all(clients.iter().skip(1).map(ClientLike::init)).await
    };
    match tokio::time::timeout(config.connect_timeout, all).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return Err(failed(error)),
        Err(_) => return Err(startup::no_connection(config, startup::NOT_IN_TIME)),
    }
    let (heard, messages) = mpsc::unbounded_channel();
    let (made, connections) = watch::channel(1);
    let mut tasks = vec![hear_messages(&subscriber, heard.clone()), hear_reconnects(&subscriber, heard)];
    tasks.extend(clients.iter().map(|client| count_connections(client, made.clone())));
    let keys = (0..layout.buckets())
        .map(|bucket| layout.keys(bucket).iter().map(|key| Key::from(key.clone())).collect())
        .collect();
    Ok(Box::new(Fred {
        client,
        clients,
        subscriber,
        keys,
        caller: Caller::new(code),
        node,
        sharded: config.servers.is_cluster(),
        messages: Mutex::new(Some(messages)),
        connections,
        location: config.servers.location(),
        tasks,
    }))
}

#[async_trait]
impl Driver for Fred {
    async fn run(
        &self,
        bucket: usize,
        time: Option<u64>,
        operations: Vec<Vec<u8>>,
        copies: Option<Copies>,
    ) -> Result<Answers, Failure> {
        let client = self.client_of(bucket);
        check_connection(client)?;
        let count = operations.len();
        let may_fill = operations.iter().any(|operation| Operation::may_fill(operation));
        let time = time.map_or_else(String::new, |micros| micros.to_string());
        let mut arguments: Vec<Value> = vec![self.node.as_str().into(), time.into()];
        arguments.extend(operations.into_iter().map(|operation| Value::Bytes(operation.into())));
        let keys = self.keys.get(bucket).map_or(&[][..], Vec::as_slice);
        let call = Call { keys, arguments: &arguments, copies, may_fill };
        let (answer, had) = self.caller.call(client, call).await;
        let Value::Array(replies) = answer.map_err(|error| failure(&error, true))? else {
            return Err(Failure::Nonsense("something that is not a list"));
        };
        if replies.len() != count {
            return Err(Failure::Nonsense("more or fewer answers than there were questions"));
        }
        let replies = replies.into_iter().map(Value::into_owned_bytes).collect::<Option<Vec<_>>>();
        let replies = replies.ok_or(Failure::Nonsense("something that is not a text"))?;
        Ok(Answers { replies, copies: had })
    }

    async fn load(&self) -> Result<(), Failure> {
        check_connection(&self.client)?;
        self.caller.load(&self.client, self.sharded).await.map_err(|error| failure(&error, true))
    }

    async fn attempt(&self, bucket: usize, script: &str, keys: &[&str]) -> Result<Vec<String>, Failure> {
        let client = self.client_of(bucket);
        check_connection(client)?;
        let answer: Result<Vec<String>, Error> =
            client.eval(script, keys.to_vec(), Vec::<Value>::new()).await;
        answer.map_err(|error| failure(&error, true))
    }

    async fn setting(&self, name: &'static str) -> Vec<(String, Result<String, Failure>)> {
        let servers = self.client.active_connections();
        join_all(servers.into_iter().map(|server| async move {
            let address = format!("{}:{}", server.host, server.port);
            let command = CustomCommand::new_static("CONFIG", ClusterHash::FirstKey, false);
            let arguments = vec!["GET", name];
            let answer: Result<Vec<String>, Error> = if self.sharded {
                self.client.with_cluster_node(server).custom(command, arguments).await
            } else {
                self.client.custom(command, arguments).await
            };
            let value = answer.map_err(|error| failure(&error, true));
            (address, value.map(|pair| pair.into_iter().nth(1).unwrap_or_default()))
        }))
        .await
    }

    async fn describe(
        &self,
        key: &str,
        fields: &[(&str, String)],
    ) -> Result<HashMap<String, String>, Failure> {
        self.check_connection()?;
        for (name, value) in fields {
            let set: Result<(), Error> = self.client.hsetnx(key, *name, value.as_str()).await;
            set.map_err(|error| failure(&error, true))?;
        }
        self.client.hgetall(key).await.map_err(|error| failure(&error, true))
    }

    async fn hear(&self, channel: &str) -> Result<(), Failure> {
        let subscribed = if self.sharded {
            self.subscriber.ssubscribe(channel).await
        } else {
            self.subscriber.subscribe(channel).await
        };
        subscribed.map_err(|error| failure(&error, true))?;
        // The library answers before the server has; what is asked next on this connection is answered after it has.
        if !self.sharded {
            let barrier: Result<(), Error> = self.subscriber.ping(None).await;
            barrier.map_err(|error| failure(&error, true))?;
        }
        Ok(())
    }

    fn messages(&self) -> mpsc::UnboundedReceiver<Message> {
        self.messages.lock().take().unwrap_or_else(|| mpsc::unbounded_channel().1)
    }

    async fn nodes(&self) -> Vec<NodeAnswer> {
        if !self.sharded {
            let (address, client) = (self.location.clone(), &self.client);
            return vec![NodeAnswer { address, info: ask_node(client, self.check_connection()).await }];
        }
        let servers = self.client.active_connections();
        join_all(servers.into_iter().map(|server| async move {
            let address = format!("{}:{}", server.host, server.port);
            let client = self.client.with_cluster_node(server);
            NodeAnswer { address, info: ask_node(&client, self.check_connection()).await }
        }))
        .await
    }

    fn connections(&self) -> watch::Receiver<u64> {
        self.connections.clone()
    }

    fn is_connected(&self) -> bool {
        self.check_connection().is_ok()
    }

    async fn close(&self) {
        for task in &self.tasks {
            task.abort();
        }
        let mut ends = join_all(self.clients.iter().map(ClientLike::quit)).await;
        ends.push(self.subscriber.quit().await);
        for end in ends {
            if let Err(error) = end {
                tracing::debug!(%error, "the connection was closed without a farewell");
            }
        }
    }
}

impl Fred {
    fn client_of(&self, bucket: usize) -> &Client {
        self.clients.get(bucket % self.clients.len().max(1)).unwrap_or(&self.client)
    }

    fn check_connection(&self) -> Result<(), Failure> {
        self.clients.iter().try_for_each(check_connection)
    }
}

fn check_connection(client: &Client) -> Result<(), Failure> {
    match client.state() {
        ClientState::Connected => Ok(()),
        state => Err(Failure::NotSent(format!("the connection is {state:?}"))),
    }
}

/// Asks one server for its figures, if there is a connection.
async fn ask_node<C>(client: &C, connected: Result<(), Failure>) -> Result<(Duration, String), Failure>
where
    C: ClientLike + ServerInterface,
{
    connected?;
    let asking = async {
        let asked = Instant::now();
        client.ping::<Value>(None).await.map_err(|error| failure(&error, true))?;
        let latency = asked.elapsed();
        let info: String = client.info(None).await.map_err(|error| failure(&error, true))?;
        Ok((latency, info))
    };
    // Whoever looks at figures wants to see soon which server does not answer.
    let late = |_| Failure::Lost("it took longer than a look may take".to_owned());
    tokio::time::timeout(LOOK, asking).await.map_err(late)?
}

impl std::fmt::Debug for Fred {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fred").field("node", &self.node).finish_non_exhaustive()
    }
}

impl Drop for Fred {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// What came of a call. `sent` says whether it may have reached the server.
pub(super) fn failure(error: &Error, sent: bool) -> Failure {
    let text = error.details();
    let code = text.split(' ').next().unwrap_or_default();
    let refused = code.len() > 2 && code.bytes().all(|byte| byte.is_ascii_uppercase());
    let of_client =
        matches!(error.kind(), ErrorKind::IO | ErrorKind::Timeout | ErrorKind::Canceled | ErrorKind::Routing);
    if *error.kind() == ErrorKind::Routing && text.contains("redirections") {
        // A server is there and answers: the slot is somewhere else, or on its way there.
        return Failure::Refused("TRYAGAIN the slot is being moved to another server".to_owned());
    }
    if *error.kind() == ErrorKind::Routing {
        // It was sent on so often that the library gave up, or never left: nobody carried it out.
        return Failure::NotSent(error.to_string());
    }
    match (refused && !of_client, sent) {
        (true, _) => Failure::Refused(text.to_owned()),
        (false, true) => Failure::Lost(error.to_string()),
        (false, false) => Failure::NotSent(error.to_string()),
    }
}

fn hear_messages(subscriber: &SubscriberClient, heard: mpsc::UnboundedSender<Message>) -> JoinHandle<()> {
    let mut messages = subscriber.message_rx();
    tokio::spawn(async move {
        loop {
            let message = match messages.recv().await {
                Ok(message) => {
                    (Some(message.channel.to_string()), message.value.into_owned_bytes().unwrap_or_default())
                }
                // Too many at once: some are gone, so everybody must look.
                Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => (None, Vec::new()),
                Err(tokio::sync::broadcast::error::RecvError::Closed) => return,
            };
            if heard.send(message).is_err() {
                return;
            }
        }
    })
}

fn count_connections(client: &Client, made: watch::Sender<u64>) -> JoinHandle<()> {
    let mut reconnects = client.reconnect_rx();
    tokio::spawn(async move {
        use tokio::sync::broadcast::error::RecvError;
        while !matches!(reconnects.recv().await, Err(RecvError::Closed)) {
            made.send_modify(|made| *made += 1);
        }
    })
}

/// After a new connection the library does not know what was heard: subscribes again, and has everybody look.
fn hear_reconnects(subscriber: &SubscriberClient, heard: mpsc::UnboundedSender<Message>) -> JoinHandle<()> {
    let mut reconnects = subscriber.reconnect_rx();
    let subscriber = subscriber.clone();
    tokio::spawn(async move {
        while reconnects.recv().await.is_ok() {
            if let Err(error) = subscriber.resubscribe_all().await {
                tracing::warn!(%error, "channels could not be subscribed to again; waiting requests are polled");
            }
            if heard.send((None, Vec::new())).is_err() {
                return;
            }
        }
    })
}
