//! What must be so before a store is used. Owns the checks of servers and of the user's rights, and the remedy for each;
//! the order of opening is `backend::open`'s.

use enhanced_locking_foundation::{BackendError, BackendErrorKind};
use futures_util::future::join_all;

use crate::driver::{Driver, Failure, NodeAnswer};
use crate::layout::Layout;
use crate::status::field;
use crate::{OpenError, RedisConfig, Servers};

/// What is said when a connection takes too long.
pub(crate) const NOT_IN_TIME: &str = "no connection could be made in time";

/// The oldest server that has all that is used, and the oldest that has it in a cluster: sharded messages.
const OLDEST: (u32, u32) = (6, 2);
const OLDEST_IN_CLUSTER: (u32, u32) = (7, 0);

const RIGHTS: &str = include_str!("scripts/rights.lua");

/// Looks for what can silently destroy locks (design §6) on every server that changes go to. What is only worse than
/// it could be is told, a sentence each.
pub(crate) async fn check_servers(
    driver: &dyn Driver,
    config: &RedisConfig,
) -> Result<Vec<String>, OpenError> {
    let nodes = driver.nodes().await;
    let mut facts = Vec::with_capacity(nodes.len());
    for NodeAnswer { address, info } in nodes {
        let (_, info) = info.map_err(|failure| failed(&failure, "INFO"))?;
        facts.push(Facts { address, info, policy: None, save: None });
    }
    if facts.iter().any(|facts| facts.field("maxmemory_policy").is_empty()) {
        for (facts, (_, value)) in facts.iter_mut().zip(driver.setting("maxmemory-policy").await) {
            facts.policy = value.ok();
        }
    }
    if facts.iter().any(|facts| facts.field("aof_enabled") == "0") {
        for (address, value) in driver.setting("save").await {
            let of_all = facts.len() == 1;
            if let Some(facts) = facts.iter_mut().find(|facts| of_all || facts.address == address) {
                facts.save = value.ok();
            }
        }
    }
    let mut warnings = Vec::new();
    for facts in &facts {
        facts.check(config, &mut warnings)?;
    }
    Ok(warnings)
}

/// Tries whether the user may do what the store does, wherever there is a bucket.
pub(crate) async fn check_rights(
    driver: &dyn Driver,
    config: &RedisConfig,
    layout: &Layout,
    node: &str,
) -> Result<(), OpenError> {
    let script = RIGHTS.replace("$publish", if config.servers.is_cluster() { "SPUBLISH" } else { "PUBLISH" });
    let tried = (0..layout.buckets()).map(|bucket| {
        let script = script.as_str();
        async move {
            let channel = layout.channel(bucket, node);
            let keys = ["hash", "list", "set"].map(|kind| format!("{channel}:{kind}"));
            let [hash, list, set] = &keys;
            driver.attempt(bucket, script, &[hash, list, set, &channel]).await
        }
    });
    let mut missing = Vec::new();
    for tried in join_all(tried).await {
        missing.extend(tried.map_err(|failure| failed(&failure, "EVAL with the keys of the namespace"))?);
    }
    missing.sort_unstable();
    missing.dedup();
    if missing.is_empty() { Ok(()) } else { Err(OpenError::Rights { missing: missing.join(", ") }) }
}

/// What came of a call while the store was opened. `what` names it, if the user may not do it.
pub(crate) fn failed(failure: &Failure, what: &str) -> OpenError {
    match failure {
        Failure::Refused(text) if text.contains("NOPERM") => OpenError::Rights { missing: what.to_owned() },
        failure => OpenError::Server(failure.error(false)),
    }
}

/// What to do when there is no connection, from the words of the client library or the server.
pub(crate) fn no_connection(config: &RedisConfig, words: &str) -> OpenError {
    let has = |part: &str| words.contains(part);
    let remedy = if has("WRONGPASS")
        || has("NOAUTH")
        || has("invalid password")
        || has("invalid username-password")
    {
        match config.servers {
            Servers::Sentinel { .. } => {
                "check user and password, those of the server and those of the Sentinels"
            }
            _ => "check user and password",
        }
    } else if has("password file") {
        "check the file with the password"
    } else if has("cluster support disabled") {
        "the server belongs to no cluster; leave cluster mode"
    } else if has("cluster state") {
        "the cluster is not complete; see CLUSTER INFO on one of its servers"
    } else if has("Missing primary address") {
        "the Sentinels know no master of this name; check it"
    } else if has("sentinel nodes") {
        "no Sentinel lets us in; check their addresses, TLS, and the user and password at the Sentinels"
    } else if has("UnknownIssuer") {
        "the server's certificate is from an authority that is not trusted; name the right one as the CA file"
    } else if has("NotValidForName") {
        "the server's certificate is for another name; use that name as the address"
    } else if has("CertificateRequired") {
        "the server asks for a certificate; name the client's certificate and key"
    } else if has("InvalidContentType") || has("corrupt message") {
        "the server does not speak TLS there; use its port for TLS, or leave TLS"
    } else if has("refused") {
        "nothing listens there; start the server, or correct the address"
    } else if has("No such file") {
        "there is no such socket; correct its path, or start the server"
    } else if has("lookup") || has("Name or service") {
        "the name is not known; correct the address"
    } else if has("DB index") {
        "the server has no database of this number"
    } else if has("LOADING") {
        "the server is still reading its data; try again later"
    } else if has("NOPERM") {
        "the user may not do it; see the rights that the documentation names"
    } else if config.tls.is_some() {
        "check the address, and whether the server speaks TLS and knows the client's certificate"
    } else {
        "check the address, and whether the server speaks TLS only"
    };
    OpenError::Connect {
        location: config.servers.location(),
        remedy,
        source: BackendError::new(BackendErrorKind::Unavailable, words.to_owned()),
    }
}

/// What a server says about itself.
struct Facts {
    address: String,
    info: String,
    /// `maxmemory-policy`, where `INFO` does not tell it.
    policy: Option<String>,
    /// `save`, if it may be asked.
    save: Option<String>,
}

impl Facts {
    fn field(&self, name: &str) -> &str {
        field(&self.info, name).unwrap_or_default()
    }

    fn check(&self, config: &RedisConfig, warnings: &mut Vec<String>) -> Result<(), OpenError> {
        self.check_version(config)?;
        self.check_place(config)?;
        let address = &self.address;
        let policy = self.policy.as_deref().unwrap_or_else(|| self.field("maxmemory_policy"));
        if policy.is_empty() {
            warnings.push(format!(
                "{address} does not tell its maxmemory-policy; make sure that it is noeviction, or locks are deleted"
            ));
        } else if policy != "noeviction" {
            return Err(OpenError::Eviction { address: address.clone(), found: policy.to_owned() });
        }
        self.persistence(warnings);
        self.replicas(config, warnings);
        Ok(())
    }

    fn check_version(&self, config: &RedisConfig) -> Result<(), OpenError> {
        let version = self.field("redis_version");
        let mut numbers = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        let oldest = if config.servers.is_cluster() { OLDEST_IN_CLUSTER } else { OLDEST };
        if found >= oldest {
            return Ok(());
        }
        let needed = format!("{}.{}", oldest.0, oldest.1);
        Err(OpenError::Version { address: self.address.clone(), found: version.to_owned(), needed })
    }

    /// Whether it is the kind of server that it was named as.
    fn check_place(&self, config: &RedisConfig) -> Result<(), OpenError> {
        let address = || self.address.clone();
        match (self.field("redis_mode"), &config.servers) {
            ("sentinel", _) => {
                return Err(OpenError::Place {
                    address: address(),
                    found: "a Sentinel",
                    remedy: "name it as a Sentinel, with the name of the master that it watches",
                });
            }
            ("cluster", servers) if !servers.is_cluster() => {
                return Err(OpenError::Place {
                    address: address(),
                    found: "part of a cluster",
                    remedy: "set cluster mode, or use a server that is not",
                });
            }
            _ => {}
        }
        if self.field("role") == "slave" {
            let master = format!("{}:{}", self.field("master_host"), self.field("master_port"));
            return Err(OpenError::Replica { address: address(), master });
        }
        Ok(())
    }

    fn persistence(&self, warnings: &mut Vec<String>) {
        let address = &self.address;
        if self.field("aof_enabled") == "0" {
            let lost = match self.save.as_deref() {
                Some("") => "keeps nothing on disk: when it restarts, all locks are gone",
                Some(_) => "saves from time to time only: when it crashes, the last locks are gone",
                None => "keeps no append-only file: when it crashes, locks are gone",
            };
            warnings.push(format!("{address} {lost}; set appendonly yes"));
        }
        let failing = |name: &str| !matches!(self.field(name), "" | "ok");
        if failing("aof_last_write_status") || failing("rdb_last_bgsave_status") {
            warnings.push(format!("{address} could not write to its disk last time; see its log"));
        }
    }

    fn replicas(&self, config: &RedisConfig, warnings: &mut Vec<String>) {
        let (address, wanted) = (&self.address, config.durability.replicas());
        let count: u32 = self.field("connected_slaves").parse().unwrap_or(0);
        if count < wanted {
            // Not a refusal: a master that was just promoted has none for a while, and must be of use again after it.
            warnings.push(format!(
                "{address} has {count} replicas and {wanted} are asked for: no change will be acknowledged until there are more"
            ));
        } else if count == 0 && matches!(config.servers, Servers::Sentinel { .. } | Servers::Cluster { .. }) {
            warnings.push(format!("{address} has no replica: nothing takes over when it fails"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RedisDurability;

    fn check(config: &RedisConfig, fields: &[(&str, &str)]) -> Result<Vec<String>, OpenError> {
        let mut all = vec![
            ("redis_version", "7.0.15"),
            ("redis_mode", "standalone"),
            ("role", "master"),
            ("maxmemory_policy", "noeviction"),
            ("aof_enabled", "1"),
            ("connected_slaves", "0"),
        ];
        for (name, value) in fields {
            all.retain(|(other, _)| other != name);
            all.push((name, value));
        }
        let info = all.iter().map(|(name, value)| format!("{name}:{value}\r\n")).collect();
        let mut warnings = Vec::new();
        Facts { address: "a:1".to_owned(), info, policy: None, save: None }.check(config, &mut warnings)?;
        Ok(warnings)
    }

    #[test]
    fn servers_that_are_too_old_or_throw_locks_away_are_refused() {
        let single = RedisConfig::new(Servers::single("a", 1));
        assert!(check(&single, &[]).unwrap().is_empty());
        assert!(check(&single, &[("redis_version", "6.2.0")]).is_ok());
        assert!(matches!(check(&single, &[("redis_version", "6.0.16")]), Err(OpenError::Version { .. })));
        for policy in ["allkeys-lru", "volatile-ttl"] {
            assert!(matches!(
                check(&single, &[("maxmemory_policy", policy)]),
                Err(OpenError::Eviction { .. })
            ));
        }
        let cluster = RedisConfig::new(Servers::Cluster { nodes: Vec::new() });
        let old = check(&cluster, &[("redis_version", "6.2.14"), ("redis_mode", "cluster")]);
        assert!(matches!(old, Err(OpenError::Version { needed, .. }) if needed == "7.0"));
    }

    #[test]
    fn what_is_worse_than_it_could_be_is_told() {
        let mut config = RedisConfig::new(Servers::single("a", 1));
        let told = |config: &RedisConfig, fields: &[(&str, &str)]| check(config, fields).unwrap().join("\n");
        assert!(told(&config, &[("aof_enabled", "0")]).contains("set appendonly yes"));
        assert!(told(&config, &[("aof_last_write_status", "err")]).contains("could not write"));
        assert!(told(&config, &[("maxmemory_policy", "")]).contains("make sure that it is noeviction"));
        config.durability = RedisDurability::durable(2);
        assert!(told(&config, &[("connected_slaves", "1")]).contains("has 1 replicas and 2 are asked for"));
        assert!(told(&config, &[("connected_slaves", "2")]).is_empty());
    }

    #[test]
    fn every_command_of_the_scripts_is_tried() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/scripts");
        let mut found = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            for rest in text.split("call('").skip(1) {
                let command = rest.split('\'').next().unwrap();
                assert!(RIGHTS.contains(&format!("try('{command}'")), "{command}");
                found += 1;
            }
        }
        assert!(found > 30, "{found}");
    }
}
