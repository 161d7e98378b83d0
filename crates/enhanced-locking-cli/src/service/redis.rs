//! A store in Redis from settings. Owns which setting means what for it; what can go wrong is the store's.

use enhanced_locking_config::{Durability, Secret, Settings};
use enhanced_locking_core::TablePolicy;
use enhanced_locking_redis::{RedisConfig, RedisDurability, RedisPolicy, RedisTls, Servers};

use crate::failure::Failure;

/// What the settings ask for.
///
/// # Errors
/// A [`Failure`] for addresses that no server can have.
pub(super) fn config(settings: &Settings, policy: TablePolicy) -> Result<RedisConfig, Failure> {
    let redis = &settings.redis;
    let mut config = RedisConfig::new(servers(settings)?).namespace(redis.namespace.as_str());
    config.username.clone_from(&redis.username);
    config.password = redis.password.as_ref().map(exposed);
    // The file is read again for every connection, unless something else said the password.
    let is_from_file = settings.source_of("redis.password") == settings.source_of("redis.password-file");
    config.password_file = redis.password_file.clone().filter(|_| is_from_file);
    config.sentinel_username.clone_from(&redis.sentinel_username);
    config.sentinel_password = redis.sentinel_password.as_ref().map(exposed);
    config.tls = redis.tls.enabled.then(|| RedisTls {
        ca_file: redis.tls.ca_file.clone(),
        cert_file: redis.tls.cert_file.clone(),
        key_file: redis.tls.key_file.clone(),
    });
    config.connections = redis.pool_size;
    config.database = redis.db;
    config.buckets = redis.buckets;
    config.policy = RedisPolicy { limits: policy.limits, timing: policy.timing, credits: policy.credits };
    config.connect_timeout = redis.connect_timeout;
    config.command_timeout = redis.command_timeout;
    config.poll_period = redis.poll_period;
    let class = match redis.durability {
        Durability::Fast => RedisDurability::fast(),
        Durability::Durable => RedisDurability::durable(redis.replicas),
        Durability::Strict => RedisDurability::strict(redis.replicas),
    };
    config.durability = class.timeout(redis.replica_timeout).grace(redis.promotion_grace);
    Ok(config)
}

fn servers(settings: &Settings) -> Result<Servers, Failure> {
    let redis = &settings.redis;
    if let [address] = redis.addresses.as_slice()
        && let Some(path) = address.strip_prefix("unix:")
    {
        return Ok(Servers::unix(path));
    }
    let nodes = redis.addresses.iter().map(|address| host_and_port(address)).collect::<Option<Vec<_>>>();
    let nodes = nodes.filter(|nodes| !nodes.is_empty());
    let nodes = nodes.ok_or_else(|| {
        Failure::new("`enhanced-locking.redis.addresses` names no server")
            .hint("name at least one, such as `addresses: [\"localhost:6379\"]`")
    })?;
    if redis.cluster_mode {
        return Ok(Servers::Cluster { nodes });
    }
    match (&redis.sentinel_master, nodes.as_slice()) {
        (Some(service), _) => Ok(Servers::Sentinel { nodes, service: service.clone() }),
        (None, [(host, port)]) => Ok(Servers::single(host.as_str(), *port)),
        (None, _) => Err(Failure::new("`enhanced-locking.redis.addresses` names several servers")
            .hint("set `cluster-mode: true` if they are a cluster, `sentinel-master` if they are Sentinels")),
    }
}

/// An address of IPv6 stands in brackets.
fn host_and_port(address: &str) -> Option<(String, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Some((host.to_owned(), port.parse().ok()?))
}

fn exposed(secret: &Secret) -> String {
    secret.expose().to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use enhanced_locking_config::Loader;

    use super::*;

    fn read(redis: &str) -> RedisConfig {
        let text = format!("enhanced-locking: {{backend: redis, redis: {redis}}}");
        let settings =
            Loader::new().text("t", text).environment([("REDIS_PASSWORD", "0123")]).load().unwrap();
        config(&settings, TablePolicy::default()).unwrap()
    }

    #[test]
    fn the_sample_of_the_documentation_means_a_cluster() {
        let config = read(
            "{addresses: [\"redis-1:6379\", \"redis-2:6379\", \"redis-3:6379\"], password: \"${REDIS_PASSWORD}\", \
             cluster-mode: true, pool-size: 20}",
        );
        let Servers::Cluster { nodes } = &config.servers else { panic!("{:?}", config.servers) };
        assert_eq!(nodes[2], ("redis-3".to_owned(), 6379));
        assert_eq!((config.password.as_deref(), config.connections), (Some("0123"), 20));
        assert_eq!(config.buckets(), RedisConfig::CLUSTER_BUCKETS);
    }

    #[test]
    fn servers_sockets_and_sentinels_are_told_apart() {
        assert_eq!(read("{addresses: \"a:1\"}").servers, Servers::single("a", 1));
        assert_eq!(read("{addresses: \"[::1]:2\"}").servers, Servers::single("::1", 2));
        assert_eq!(read("{addresses: \"unix:/run/r.sock\"}").servers, Servers::unix("/run/r.sock"));
        let config = read("{addresses: \"a:1,b:2\", sentinel-master: m, sentinel-password: s}");
        assert_eq!(config.servers.location(), "redis-sentinel://a:1,b:2/m");
        assert_eq!(config.sentinel_password.as_deref(), Some("s"));
    }

    #[test]
    fn what_is_not_said_is_as_the_library_has_it() {
        let (ours, theirs) = (read("{addresses: \"a:1\"}"), RedisConfig::new(Servers::single("a", 1)));
        assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
        assert_eq!(ours.connect_timeout, theirs.connect_timeout);
        assert_eq!(ours.command_timeout, theirs.command_timeout);
        assert_eq!(ours.poll_period, theirs.poll_period);
    }

    #[test]
    fn every_other_setting_arrives() {
        let config = read(
            "{addresses: \"a:1\", tls: {ca-file: /ca, cert-file: /c, key-file: /k}, db: 3, namespace: n, buckets: 8, \
             connect-timeout: 1s, command-timeout: 2s, poll-period: 3s, durability: strict, replicas: 2, \
             replica-timeout: 40ms, promotion-grace: 5s}",
        );
        assert_eq!(config.tls.unwrap().key_file.unwrap().to_str(), Some("/k"));
        assert_eq!((config.database, config.namespace.as_str(), config.buckets), (3, "n", Some(8)));
        assert_eq!(config.connect_timeout, Duration::from_secs(1));
        assert_eq!(config.command_timeout, Duration::from_secs(2));
        assert_eq!(config.poll_period, Duration::from_secs(3));
        let strict =
            RedisDurability::strict(2).timeout(Duration::from_millis(40)).grace(Duration::from_secs(5));
        assert_eq!(config.durability, strict);
    }

    #[test]
    fn a_password_file_is_followed_only_where_it_gave_the_password() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "secret\n").unwrap();
        let path = file.path().to_str().unwrap();
        let loader = || {
            let flags = [("backend", "redis"), ("redis.addresses", "a:1")];
            let text = format!("enhanced-locking: {{redis: {{password-file: {path}}}}}");
            flags.iter().fold(Loader::new().text("t", text), |loader, (key, value)| loader.flag(key, value))
        };
        let read = |loader: Loader| config(&loader.load().unwrap(), TablePolicy::default()).unwrap();
        assert_eq!(read(loader()).password_file.as_deref(), Some(file.path()));
        let other = read(loader().flag("redis.password", "other"));
        assert_eq!((other.password.as_deref(), other.password_file), (Some("other"), None));
    }
}
