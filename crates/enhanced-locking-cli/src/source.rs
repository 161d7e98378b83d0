//! Where things that Atlantis stored come from, as said on the command line. Owns the forms of `--from`; what is in a source is
//! the compatibility crate's.

use std::io::BufReader;
use std::path::PathBuf;
use std::str::FromStr;

use enhanced_locking_compat::bolt::BoltFile;
use enhanced_locking_compat::transfer::{Item, read_lines};
use enhanced_locking_redis::{RedisConfig, Servers, read_keyspace};

use crate::failure::{Failure, chain};
use crate::identity::environment;

/// The variable with the password of a Redis, so that it need not stand on the command line.
const PASSWORD: &str = "ATLANTIS_REDIS_PASSWORD";

/// A source of things that Atlantis stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Atlantis' `atlantis.db`.
    Bolt(PathBuf),
    /// Atlantis' Redis.
    Redis { nodes: Vec<(String, u16)>, cluster: bool, username: Option<String>, database: u8 },
    /// A file of `export`.
    File(PathBuf),
}

/// Something of a source: a thing, or where it is and why it cannot be read.
pub(crate) type Found = Result<Item, (String, String)>;

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("atlantis-bolt:") {
            return named(path).map(Self::Bolt);
        }
        for (scheme, cluster) in [("atlantis-redis://", false), ("atlantis-redis-cluster://", true)] {
            if let Some(rest) = text.strip_prefix(scheme) {
                return redis(rest, cluster);
            }
        }
        match text.split_once("://") {
            Some((scheme, _)) => Err(format!(
                "there is no source `{scheme}`; use atlantis-bolt:FILE, atlantis-redis://HOST:PORT, \
                 atlantis-redis-cluster://HOST:PORT,… or a file of `enhanced-locks export`"
            )),
            None => named(text.strip_prefix("file:").unwrap_or(text)).map(Self::File),
        }
    }
}

fn named(path: &str) -> Result<PathBuf, String> {
    if path.is_empty() { Err("the name of the file is missing".to_owned()) } else { Ok(path.into()) }
}

fn redis(rest: &str, cluster: bool) -> Result<Source, String> {
    let (servers, database) = rest.split_once('/').unwrap_or((rest, ""));
    let database = match database {
        "" => 0,
        number => number.parse().map_err(|_| format!("`{number}` is no number of a database, 0 to 255"))?,
    };
    let (username, servers) = match servers.rsplit_once('@') {
        Some((user, _)) if user.contains(':') => {
            return Err(format!(
                "a password here would be seen by everybody on this machine; set {PASSWORD}"
            ));
        }
        Some((user, servers)) => (Some(user.to_owned()), servers),
        None => (None, servers),
    };
    let node = |server: &str| {
        let wrong = || format!("`{server}` is not HOST:PORT");
        let (host, port) = server.rsplit_once(':').ok_or_else(wrong)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Ok::<_, String>((host.to_owned(), port.parse().map_err(|_| wrong())?))
    };
    let nodes = servers.split(',').map(node).collect::<Result<Vec<_>, _>>()?;
    if !cluster && nodes.len() > 1 {
        return Err("several servers are a cluster: use atlantis-redis-cluster://".to_owned());
    }
    Ok(Source::Redis { nodes, cluster, username, database })
}

impl Source {
    /// Everything in it, with what cannot be read among it. The source is not changed.
    ///
    /// # Errors
    /// A [`Failure`] if nothing can be read.
    pub(crate) async fn read(&self) -> Result<Vec<Found>, Failure> {
        match self {
            Self::Bolt(path) => {
                let file = BoltFile::open(path).map_err(|error| Failure::new(chain(&error)))?;
                if file.may_be_behind() {
                    eprintln!(
                        "enhanced-locks: one of the two pages that describe {} is damaged: its last change may be missing",
                        path.display()
                    );
                }
                let items = Item::of_bolt(&file).map_err(|error| Failure::new(chain(&error)))?;
                let place = |error: &dyn std::error::Error| (path.display().to_string(), chain(error));
                Ok(items.into_iter().map(|item| item.map_err(|damage| place(&damage))).collect())
            }
            Self::Redis { nodes, cluster, username, database } => {
                let servers = match (cluster, nodes.first()) {
                    (false, Some((host, port))) => Servers::single(host.clone(), *port),
                    _ => Servers::Cluster { nodes: nodes.clone() },
                };
                let mut config = RedisConfig::new(servers);
                config.username.clone_from(username);
                config.password = environment(PASSWORD);
                config.database = *database;
                let keys = read_keyspace(&config, Item::is_atlantis).await;
                let keys = keys.map_err(|error| Failure::new(chain(&error)))?;
                Ok(keys
                    .into_iter()
                    .map(|found| {
                        let key = String::from_utf8_lossy(&found.key).into_owned();
                        found.value.map(|value| Item::new(key.clone(), value)).map_err(|why| (key, why))
                    })
                    .collect())
            }
            Self::File(path) => {
                let open = |error| Failure::new(format!("cannot read {}: {error}", path.display()));
                let file = BufReader::new(std::fs::File::open(path).map_err(open)?);
                Ok(read_lines(file)
                    .map(|(line, item)| {
                        item.map_err(|error| (format!("{}:{line}", path.display()), error.to_string()))
                    })
                    .collect())
            }
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bolt(path) => write!(f, "Atlantis' file {}", path.display()),
            Self::Redis { nodes, .. } => {
                let nodes: Vec<_> = nodes.iter().map(|(host, port)| format!("{host}:{port}")).collect();
                write!(f, "Atlantis' Redis at {}", nodes.join(", "))
            }
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_have_forms_of_their_own() {
        let of = |text: &str| text.parse::<Source>();
        assert_eq!(of("atlantis-bolt:/data/atlantis.db"), Ok(Source::Bolt("/data/atlantis.db".into())));
        assert_eq!(of("locks.jsonl"), Ok(Source::File("locks.jsonl".into())));
        assert_eq!(of("file:a:b"), Ok(Source::File("a:b".into())));
        let Ok(Source::Redis { nodes, cluster, username, database }) =
            of("atlantis-redis://bot@redis:6379/2")
        else {
            unreachable!("it is a Redis")
        };
        assert_eq!(
            (nodes, cluster, username, database),
            (vec![("redis".to_owned(), 6379)], false, Some("bot".to_owned()), 2)
        );
        let Ok(Source::Redis { nodes, cluster, .. }) = of("atlantis-redis-cluster://a:1,[::1]:2") else {
            unreachable!("it is a cluster")
        };
        assert_eq!((nodes.len(), nodes[1].0.as_str(), cluster), (2, "::1", true));
    }

    #[test]
    fn what_is_no_source_is_told_what_would_be() {
        let wrong = |text: &str| text.parse::<Source>().unwrap_err();
        assert!(wrong("http://x").contains("atlantis-bolt:FILE"));
        assert!(wrong("atlantis-bolt:").contains("missing"));
        assert!(wrong("atlantis-redis://redis").contains("HOST:PORT"));
        assert!(wrong("atlantis-redis://redis:6379/x").contains("database"));
        assert!(wrong("atlantis-redis://a:1,b:2").contains("cluster"));
        let secret = wrong("atlantis-redis://bot:s3cret@redis:6379");
        assert!(secret.contains(PASSWORD) && !secret.contains("s3cret"), "{secret}");
    }
}
