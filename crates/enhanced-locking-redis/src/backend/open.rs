//! Opening a store: connecting, and checking what could silently destroy locks. Owns the order of checks.

use std::sync::Arc;

use enhanced_locking_foundation::{Durability, RequestId};
use futures_util::future::try_join_all;
use tokio::sync::{OnceCell, Semaphore};

use super::RedisBackend;
use crate::dispatch::Dispatch;
use crate::driver::{self, Failure};
use crate::layout::{FORMAT, Layout};
use crate::monitor::Monitor;
use crate::wake::Wakes;
use crate::wire::Operation;
use crate::{OpenError, RedisConfig, script, startup, wire};

/// Opens the store of a namespace, and makes it if it is new.
///
/// # Errors
/// [`OpenError`] if the server cannot be used, may throw locks away, or the namespace is laid out in another way.
pub async fn open(config: RedisConfig) -> Result<Arc<RedisBackend>, OpenError> {
    check_settings(&config)?;
    let buckets = config.buckets();
    let layout = Layout::new(&config.namespace, buckets);
    let text = script::Code::new(&config);
    let node: String = RequestId::generate().as_str().chars().rev().take(12).collect();
    let failed = |what: &'static str| move |failure: Failure| startup::failed(&failure, what);
    let driver = driver::connect(&config, &layout, text, node.clone()).await?;
    let warnings = startup::check_servers(&*driver, &config).await?;
    startup::check_rights(&*driver, &config, &layout, &node).await?;
    driver.load().await.map_err(failed("SCRIPT LOAD"))?;
    driver
        .hear(&layout.channel(0, &node))
        .await
        .map_err(failed("to subscribe to the channels of the namespace"))?;
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    let made = if config.clock.is_some() { "test" } else { "server" };
    let fields =
        [("format", FORMAT.to_string()), ("buckets", buckets.to_string()), ("clock", made.to_owned())];
    let stored = driver.describe(&layout.meta(), &fields).await.map_err(failed("HSETNX and HGETALL"))?;
    let field = |name: &str| stored.get(name).map_or("", String::as_str);
    let namespace = config.namespace.clone();
    if field("format") != FORMAT.to_string() {
        let stored = field("format").to_owned();
        return Err(OpenError::Format { namespace, stored, known: FORMAT });
    }
    if field("buckets") != buckets.to_string() {
        let stored = field("buckets").parse().unwrap_or_default();
        return Err(OpenError::Buckets { namespace, stored, given: buckets });
    }
    if field("clock") != made {
        let made =
            if field("clock") == "test" { "with a clock of its own" } else { "without a clock of its own" };
        return Err(OpenError::Clock { namespace, made });
    }
    let wakes = Arc::new(Wakes::default());
    let messages = driver.messages();
    tokio::spawn(pass_on(messages, layout.clone(), Arc::clone(&wakes)));
    let cells = |heard: u16| {
        (0..buckets).map(|bucket| OnceCell::new_with((bucket < heard).then_some(()))).collect::<Vec<_>>()
    };
    let dispatch = Dispatch::new(driver, &config);
    if config.durability.class() == Durability::Strict {
        let marks =
            (0..usize::from(buckets)).map(|bucket| dispatch.call(bucket, Operation::replication(true)));
        try_join_all(marks).await?;
    }
    let monitor = Monitor::start(&dispatch).await;
    Ok(Arc::new(RedisBackend {
        dispatch,
        monitor,
        hears_hints: cells(1),
        hears_events: cells(0),
        document_room: Semaphore::new(super::documents::BYTES_IN_FLIGHT),
        config,
        layout,
        wakes,
        node,
        warnings,
    }))
}

fn check_settings(config: &RedisConfig) -> Result<(), OpenError> {
    let buckets = config.buckets();
    if !(1..=4_096).contains(&buckets) {
        return Err(OpenError::Setting { what: "buckets", given: buckets.to_string(), allowed: "1 to 4096" });
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    if config.servers.is_cluster() && config.database != 0 {
        let given = config.database.to_string();
        return Err(OpenError::Setting { what: "the database of a cluster", given, allowed: "0" });
    }
    let namespace = &config.namespace;
    if namespace.is_empty() || namespace.len() > 64 || !namespace.chars().all(fits) {
        return Err(OpenError::Setting {
            what: "namespace",
            given: format!("{namespace:?}"),
            allowed: "1 to 64 letters, digits and any of -_.:",
        });
    }
    config.durability.check(config.command_timeout)
}

/// Passes on what is heard to those who wait for it.
async fn pass_on(
    mut messages: tokio::sync::mpsc::UnboundedReceiver<(Option<String>, Vec<u8>)>,
    layout: Layout,
    wakes: Arc<Wakes>,
) {
    while let Some((channel, message)) = messages.recv().await {
        match channel.as_deref().map(|channel| layout.bucket_of(channel)) {
            Some(Some((_, true))) => wakes.tell_news(),
            Some(Some((_, false))) => wire::hints(&message).iter().for_each(|id| wakes.wake(id)),
            Some(None) => {}
            None => wakes.wake_all(),
        }
    }
}
