//! Opening a store: connecting, and checking what could silently destroy locks. Owns the order of checks.

use std::sync::Arc;

use enhanced_locking_foundation::{Durability, RequestId};
use futures_util::future::try_join_all;
use tokio::sync::OnceCell;

use super::RedisBackend;
use crate::dispatch::Dispatch;
use crate::driver::{self, Failure};
use crate::layout::{FORMAT, Layout};
use crate::monitor::Monitor;
use crate::wake::Wakes;
use crate::wire::Operation;
use crate::{OpenError, RedisConfig, script, wire};

/// The oldest server that has all that is used.
const OLDEST: (u32, u32) = (6, 2);

/// Opens the store of a namespace, and makes it if it is new.
///
/// # Errors
/// [`OpenError`] if the server cannot be used, may throw locks away, or the namespace is laid out in another way.
pub async fn open(config: RedisConfig) -> Result<Arc<RedisBackend>, OpenError> {
    check_settings(&config)?;
    let buckets = config.buckets();
    let layout = Layout::new(&config.namespace, buckets);
    let text = script::text(&config);
    let node: String = RequestId::generate().as_str().chars().rev().take(12).collect();
    let failed = |failure: Failure| OpenError::Server(failure.error(false));
    let driver = driver::connect(&config, &layout, text, node.clone()).await.map_err(failed)?;
    check_server(&driver.info().await.map_err(failed)?)?;
    let made = if config.clock.is_some() { "test" } else { "server" };
    let fields =
        [("format", FORMAT.to_string()), ("buckets", buckets.to_string()), ("clock", made.to_owned())];
    let stored = driver.describe(&layout.meta(), &fields).await.map_err(failed)?;
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
    let cells = || (0..buckets).map(|_| OnceCell::new()).collect();
    let dispatch = Dispatch::new(driver, &config);
    if config.durability.class() == Durability::Strict {
        let marks =
            (0..usize::from(buckets)).map(|bucket| dispatch.call(bucket, Operation::replication(true)));
        try_join_all(marks).await?;
    }
    let monitor = Monitor::start(&dispatch);
    Ok(Arc::new(RedisBackend {
        dispatch,
        monitor,
        hears_hints: cells(),
        hears_events: cells(),
        config,
        layout,
        wakes,
        node,
    }))
}

fn check_settings(config: &RedisConfig) -> Result<(), OpenError> {
    let buckets = config.buckets();
    if !(1..=4_096).contains(&buckets) {
        return Err(OpenError::Setting { what: "buckets", given: buckets.to_string(), allowed: "1 to 4096" });
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
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

/// Looks for what can silently destroy locks (design §6).
fn check_server(info: &str) -> Result<(), OpenError> {
    let field = |name: &str| {
        info.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':')).unwrap_or_default()
    };
    let version = field("redis_version");
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if found < OLDEST {
        return Err(OpenError::Version { found: version.to_owned() });
    }
    let policy = field("maxmemory_policy");
    if !policy.is_empty() && policy != "noeviction" {
        return Err(OpenError::Eviction { found: policy.to_owned() });
    }
    if field("aof_enabled") == "0" {
        tracing::warn!("the server keeps no append-only file; set appendonly yes, or a crash may lose locks");
    }
    if field("connected_slaves") == "0" && field("role") == "master" {
        tracing::warn!("the server has no replica; nothing takes over when it fails");
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_are_too_old_or_throw_locks_away_are_refused() {
        let info = |version: &str, policy: &str| {
            format!("# Server\r\nredis_version:{version}\r\nmaxmemory_policy:{policy}\r\n")
        };
        assert!(check_server(&info("6.2.0", "noeviction")).is_ok());
        assert!(check_server(&info("7.0.15", "noeviction")).is_ok());
        assert!(matches!(check_server(&info("6.0.16", "noeviction")), Err(OpenError::Version { .. })));
        assert!(matches!(check_server(&info("7.2.4", "allkeys-lru")), Err(OpenError::Eviction { .. })));
    }
}
