//! The driver on the client library fred. Owns its settings and its traps: no command is sent twice, a lost connection
//! is made again, and a subscription counts only when the server has acknowledged it.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use fred::clients::{Client, SubscriberClient};
use fred::error::{Error, ErrorKind};
use fred::interfaces::{ClientLike, EventInterface, HashesInterface, LuaInterface, PubsubInterface};
use fred::types::config::{
    ClusterDiscoveryPolicy, Config, ReconnectPolicy, Server, ServerConfig, TcpConfig, UnresponsiveConfig,
};
use fred::types::{Builder, ClientState, Key, RespVersion, Value};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{Driver, Failure};
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
    let tasks = vec![hear_messages(&subscriber, heard.clone()), hear_reconnects(&subscriber, heard)];
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
    ) -> Result<Vec<Vec<u8>>, Failure> {
        self.check_connection()?;
        let count = operations.len();
        let time = time.map_or_else(String::new, |micros| micros.to_string());
        let mut arguments: Vec<Value> = vec![self.node.as_str().into(), time.into()];
        arguments.extend(operations.into_iter().map(|operation| Value::Bytes(operation.into())));
        let keys = self.keys.get(bucket).cloned().unwrap_or_default();
        let first: Result<Value, Error> =
            self.client.evalsha(self.digest.as_str(), keys.clone(), arguments.clone()).await;
        let answer = match first {
            // Nothing was carried out: the whole script goes along this once, and the server keeps it.
            Err(error) if error.details().starts_with("NOSCRIPT") => {
                self.client.eval(self.script.as_str(), keys, arguments).await
            }
            answer => answer,
        };
        let Value::Array(replies) = answer.map_err(|error| failure(&error, true))? else {
            return Err(Failure::Nonsense("something that is not a list"));
        };
        if replies.len() != count {
            return Err(Failure::Nonsense("more or fewer answers than there were questions"));
        }
        let replies = replies.into_iter().map(Value::into_owned_bytes).collect::<Option<Vec<_>>>();
        replies.ok_or(Failure::Nonsense("something that is not a text"))
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
