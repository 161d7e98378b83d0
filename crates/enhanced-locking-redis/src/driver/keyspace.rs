//! The keys of somebody else in a database, such as what Atlantis stored. Owns that every master is asked, that a key
//! is told once, and that one which cannot be read keeps nobody from the others; what the keys mean is the caller's.

use std::collections::HashSet;

use fred::clients::Client;
use fred::error::Error;
use fred::interfaces::{ClientLike, KeysInterface};
use fred::types::{ClusterHash, CustomCommand, Value};
use futures_util::future::join_all;

use super::fred::failure;
use super::settings;
use crate::{OpenError, RedisConfig, startup};

/// How many keys a server is asked for at a time.
const PAGE: u32 = 1_000;

/// A key that is not ours, and what is stored under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignKey {
    /// The key.
    pub key: Vec<u8>,
    /// The value; the reason if it cannot be read, because it is no text.
    pub value: Result<Vec<u8>, String>,
}

/// The most keys that are read at once.
pub const FOREIGN_KEYS_MAX: usize = 1_000_000;

/// Reads the keys that are wanted and their values, from every master. Changes nothing.
///
/// What is written meanwhile may be there or not; what is there all the time is told once. Keys that vanish are left out.
///
/// # Errors
/// [`OpenError`] if a server cannot be reached or does not allow it, or there are more than [`FOREIGN_KEYS_MAX`] keys.
pub async fn read_keyspace(
    config: &RedisConfig,
    wanted: impl Fn(&[u8]) -> bool + Send,
) -> Result<Vec<ForeignKey>, OpenError> {
    let failed = |error: Error| startup::no_connection(config, &error.to_string());
    let client = settings::builder(config)?.build().map_err(failed)?;
    match tokio::time::timeout(config.connect_timeout, client.init()).await {
        Ok(connected) => drop(connected.map_err(failed)?),
        Err(_) => return Err(startup::no_connection(config, startup::NOT_IN_TIME)),
    }
    let read = read_all(&client, config.servers.is_cluster(), wanted).await;
    // A farewell that fails harms nobody.
    let _ = client.quit().await;
    read
}

async fn read_all(
    client: &Client,
    cluster: bool,
    wanted: impl Fn(&[u8]) -> bool + Send,
) -> Result<Vec<ForeignKey>, OpenError> {
    let (mut found, mut seen) = (Vec::new(), HashSet::new());
    for server in client.active_connections() {
        let mut cursor = "0".to_owned();
        loop {
            let command = CustomCommand::new_static("SCAN", ClusterHash::FirstKey, false);
            let arguments = vec![cursor, "COUNT".to_owned(), PAGE.to_string()];
            let page: Result<(String, Vec<Value>), Error> = if cluster {
                client.with_cluster_node(server.clone()).custom(command, arguments).await
            } else {
                client.custom(command, arguments).await
            };
            let (next, keys) = page.map_err(refused("SCAN"))?;
            // A key may be told twice while its server grows, and on two servers while its slot moves.
            let keys = keys.into_iter().filter_map(Value::into_owned_bytes);
            let new: Vec<Vec<u8>> = keys.filter(|key| wanted(key) && seen.insert(key.clone())).collect();
            if seen.len() > FOREIGN_KEYS_MAX {
                let given = format!("more than {FOREIGN_KEYS_MAX} keys");
                return Err(OpenError::Setting { what: "the database to read", given, allowed: "fewer" });
            }
            for read in join_all(new.into_iter().map(|key| read_one(client, key))).await {
                found.extend(read?);
            }
            cursor = next;
            if cursor == "0" {
                break;
            }
        }
    }
    Ok(found)
}

/// The value of a key; nothing if it has vanished.
async fn read_one(client: &Client, key: Vec<u8>) -> Result<Option<ForeignKey>, OpenError> {
    let value: Result<Value, Error> = client.get(key.as_slice()).await;
    let value = match value {
        Ok(Value::Null) => return Ok(None),
        Ok(value) => value.into_owned_bytes().ok_or_else(|| "it is no text".to_owned()),
        Err(error) if error.details().contains("WRONGTYPE") => Err("it is no text".to_owned()),
        Err(error) => return Err(refused("GET")(error)),
    };
    Ok(Some(ForeignKey { key, value }))
}

fn refused(what: &'static str) -> impl Fn(Error) -> OpenError {
    move |error| startup::failed(&failure(&error, true), what)
}
