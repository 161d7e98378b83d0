//! The driver on the client library fred. Owns its settings and its traps: no command is sent twice, a lost connection
//! is made again, and a subscription counts only when the server has acknowledged it.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use fred::clients::{Client, SubscriberClient};
use fred::error::{Error, ErrorKind};
use fred::interfaces::{
    ClientLike, EventInterface, HashesInterface, LuaInterface, PubsubInterface, ServerInterface,
};
use fred::types::config::Options;
use fred::types::config::{
    ClusterDiscoveryPolicy, Config, ReconnectPolicy, Server, ServerConfig, TcpConfig, UnresponsiveConfig,
};
use fred::types::{Builder, ClientState, CustomCommand, Key, RespVersion, Value};
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{Answers, Driver, Failure, NodeAnswer};
use crate::durability::Copies;
use crate::layout::Layout;
use crate::{RedisConfig, Servers};

/// What was heard.
type Message = (Option<String>, Vec<u8>);

/// Wake-ups that may wait to be read; beyond that they are dropped, and everybody looks.
const MESSAGES: usize = 4_096;

/// One client for commands and one for what is heard.
struct Fred {
    client: Client,
    subscriber: SubscriberClient,
    /// The keys of every bucket, ready to be sent.
    keys: Vec<Vec<Key>>,
    script: String,
    digest: String,
    node: String,
    sharded: bool,
    messages: Mutex<Option<mpsc::UnboundedReceiver<Message>>>,
    connections: watch::Receiver<u64>,
    /// The one server, where there is one.
    location: String,
    tasks: Vec<JoinHandle<()>>,
}

/// Connects and loads the script.
pub(crate) async fn connect(
    config: &RedisConfig,
    layout: &Layout,
    script: String,
    node: String,
) -> Result<Box<dyn Driver>, Failure> {
    let builder = builder(config);
    let client = builder.build().map_err(|error| failure(&error, false))?;
    let subscriber = builder.build_subscriber_client().map_err(|error| failure(&error, false))?;
    // The library would try for ever; a store that cannot be reached should be told at once.
    let both = async {
        client.init().await?;
        subscriber.init().await?;
        Ok::<_, Error>(())
    };
    match tokio::time::timeout(config.connect_timeout, both).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(failure(&error, false)),
        Err(_) => return Err(Failure::NotSent("no connection could be made in time".to_owned())),
    }
    let loaded: Result<String, Error> = client.script_load(script.as_str()).await;
    let digest = loaded.map_err(|error| failure(&error, true))?;
    let (heard, messages) = mpsc::unbounded_channel();
    let (made, connections) = watch::channel(1);
    let tasks = vec![
        hear_messages(&subscriber, heard.clone()),
        hear_reconnects(&subscriber, heard),
        count_connections(&client, made),
    ];
    let keys = (0..layout.buckets())
        .map(|bucket| layout.keys(bucket).iter().map(|key| Key::from(key.clone())).collect())
        .collect();
    Ok(Box::new(Fred {
        client,
        subscriber,
        keys,
        script,
        digest,
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
        self.check_connection()?;
        let count = operations.len();
        let time = time.map_or_else(String::new, |micros| micros.to_string());
        let mut arguments: Vec<Value> = vec![self.node.as_str().into(), time.into()];
        arguments.extend(operations.into_iter().map(|operation| Value::Bytes(operation.into())));
        let keys = self.keys.get(bucket).cloned().unwrap_or_default();
        let (first, mut had) = match copies {
            None => (self.client.evalsha(self.digest.as_str(), keys.clone(), arguments.clone()).await, 0),
            Some(copies) => self.run_and_wait("EVALSHA", &self.digest, &keys, &arguments, copies).await,
        };
        let answer = match (first, copies) {
            // Nothing was carried out: the whole script goes along this once, and the server keeps it.
            (Err(error), copies) if error.details().starts_with("NOSCRIPT") => match copies {
                None => self.client.eval(self.script.as_str(), keys, arguments).await,
                Some(copies) => {
                    let again = self.run_and_wait("EVAL", &self.script, &keys, &arguments, copies).await;
                    had = again.1;
                    again.0
                }
            },
            (answer, _) => answer,
        };
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

    async fn info(&self) -> Result<String, Failure> {
        self.check_connection()?;
        self.client.info(None).await.map_err(|error| failure(&error, true))
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
        for quit in [self.client.quit().await, self.subscriber.quit().await] {
            if let Err(error) = quit {
                tracing::debug!(%error, "the connection was closed without a farewell");
            }
        }
    }
}

impl Fred {
    fn check_connection(&self) -> Result<(), Failure> {
        match self.client.state() {
            ClientState::Connected => Ok(()),
            state => Err(Failure::NotSent(format!("the connection is {state:?}"))),
        }
    }

    /// The script and `WAIT` behind it, one after the other on the same connection: `WAIT` counts what that wrote.
    async fn run_and_wait(
        &self,
        command: &'static str,
        script: &str,
        keys: &[Key],
        arguments: &[Value],
        copies: Copies,
    ) -> (Result<Value, Error>, u32) {
        let slot = keys.first().map(Key::cluster_hash);
        // A script that is sent on to another server would leave `WAIT` behind: it is refused instead.
        let stay = Options { max_redirections: Some(0), ..Options::default() };
        let pipeline = self.client.pipeline().with_options(&stay);
        let count = i64::try_from(keys.len()).unwrap_or(i64::MAX);
        let mut all: Vec<Value> = vec![script.into(), count.into()];
        all.extend(keys.iter().map(|key| Value::from(key.clone())));
        all.extend(arguments.iter().cloned());
        let wait =
            [i64::from(copies.replicas), i64::try_from(copies.timeout.as_millis()).unwrap_or(i64::MAX)];
        let wait: Vec<Value> = wait.into_iter().map(Value::from).collect();
        for (command, arguments) in [(command, all), ("WAIT", wait)] {
            let command = CustomCommand::new_static(command, slot, false);
            // Only noted: nothing is sent before all are together.
            if let Err(error) = pipeline.custom::<Value, _>(command, arguments).await {
                return (Err(error), 0);
            }
        }
        let mut answers = pipeline.try_all::<Value>().await.into_iter();
        let lost = || Err(Error::new(ErrorKind::Canceled, "no answer"));
        let answer = answers.next().unwrap_or_else(lost);
        // What is not known is not counted: a copy too few is a grant given back, one too many a lie.
        let had = answers.next().and_then(|had| u32::try_from(had.ok()?.as_i64()?).ok()).unwrap_or(0);
        (answer, had)
    }
}

/// Asks one server for its figures, if there is a connection.
async fn ask_node<C>(client: &C, connected: Result<(), Failure>) -> Result<(Duration, String), Failure>
where
    C: ClientLike + ServerInterface,
{
    connected?;
    let asked = Instant::now();
    client.ping::<Value>(None).await.map_err(|error| failure(&error, true))?;
    let latency = asked.elapsed();
    let info: String = client.info(None).await.map_err(|error| failure(&error, true))?;
    Ok((latency, info))
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

fn builder(config: &RedisConfig) -> Builder {
    let server = |(host, port): &(String, u16)| Server::new(host.as_str(), *port);
    let servers = match &config.servers {
        Servers::Single { host, port } => ServerConfig::new_centralized(host.as_str(), *port),
        Servers::Unix { path } => ServerConfig::Unix { path: path.clone() },
        Servers::Sentinel { nodes, service } => ServerConfig::Sentinel {
            hosts: nodes.iter().map(server).collect(),
            service_name: service.clone(),
            username: None,
            password: None,
        },
        Servers::Cluster { nodes } => ServerConfig::Clustered {
            hosts: nodes.iter().map(server).collect(),
            policy: ClusterDiscoveryPolicy::default(),
        },
    };
    let mut builder = Builder::from_config(Config {
        server: servers,
        username: config.username.clone(),
        password: config.password.clone(),
        database: (config.database > 0).then_some(config.database),
        version: RespVersion::RESP2,
        // Without a connection there is an answer at once: it did not happen.
        fail_fast: true,
        ..Config::default()
    });
    let (connect, command) = (config.connect_timeout, config.command_timeout);
    builder.set_policy(ReconnectPolicy::new_exponential(0, 50, 2_000, 2));
    builder.with_connection_config(|connection| {
        connection.connection_timeout = connect;
        connection.internal_command_timeout = command;
        // The library would send a script again whose answer was lost: it would run twice.
        connection.max_command_attempts = 1;
        connection.reconnect_on_auth_error = true;
        connection.tcp = TcpConfig { nodelay: Some(true), ..TcpConfig::default() };
        connection.unresponsive =
            UnresponsiveConfig { max_timeout: Some(command * 2), interval: Duration::from_secs(1) };
    });
    builder.with_performance_config(|performance| {
        performance.default_command_timeout = command;
        performance.broadcast_channel_capacity = MESSAGES;
    });
    builder
}

/// What came of a call. `sent` says whether it may have reached the server.
fn failure(error: &Error, sent: bool) -> Failure {
    let text = error.details();
    let code = text.split(' ').next().unwrap_or_default();
    let refused = code.len() > 2 && code.bytes().all(|byte| byte.is_ascii_uppercase());
    let of_client =
        matches!(error.kind(), ErrorKind::IO | ErrorKind::Timeout | ErrorKind::Canceled | ErrorKind::Routing);
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
