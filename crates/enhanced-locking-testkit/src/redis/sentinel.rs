//! A master, its replicas and the Sentinels that watch them.
//!
//! Owns their start, who is master now, and partitions: in a proxied group everybody, Sentinels and other servers
//! alike, reaches a server through the proxy in front of it, while a test may talk to it directly. So a master can be
//! cut off together with the clients on its side.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::client::{CallError, Client, Reply};
use super::error::LaunchError;
use super::ports::PortLease;
use super::process::{PATIENCE, ServerProcess, Spec, folder};
use super::proxy::{Fault, Proxy};
use super::server::{LAUNCHER, RedisServer, ServerOptions};
use super::wait::poll_until;

/// The least `down_after_ms` with servers before 7.0.
const SLOW_DOWN_AFTER_MS: u64 = 2_000;
/// How long Sentinels may take to answer a call.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// How a group shall be. The default: one replica, three Sentinels of which two must agree, no proxies.
#[derive(Clone, Debug)]
pub struct SentinelOptions {
    /// Replicas of the master.
    pub replicas: usize,
    /// Sentinels; more than half must agree.
    pub sentinels: usize,
    /// Without an answer for so long, a server is held to be down. At least 2 s with servers before 7.0.
    pub down_after_ms: u64,
    /// `failover-timeout`: a promotion that takes longer is given up, and a second failover begins twice this time after
    /// the first at the earliest.
    pub failover_timeout_ms: u64,
    /// Whether there is a proxy in front of each server.
    pub proxied: bool,
    /// How each server shall be.
    pub server: ServerOptions,
}

impl Default for SentinelOptions {
    fn default() -> Self {
        Self {
            replicas: 1,
            sentinels: 3,
            down_after_ms: 1_000,
            failover_timeout_ms: 3_000,
            proxied: false,
            server: ServerOptions::default(),
        }
    }
}

/// The group, until it is dropped.
///
/// ```no_run
/// use std::time::Duration;
/// use enhanced_locking_testkit::redis::{SentinelGroup, SentinelOptions};
///
/// let mut group = SentinelGroup::start(&SentinelOptions::default())?;
/// let old = group.master()?;
/// group.node_mut(old).kill();
/// let new = group.wait_promotion(old, Duration::from_secs(20))?;
/// assert_ne!(old, new);
/// # Ok::<(), enhanced_locking_testkit::redis::LaunchError>(())
/// ```
#[derive(Debug)]
pub struct SentinelGroup {
    // Dropped in this order: a Sentinel that outlived its servers would find those of others on their ports.
    sentinels: Vec<Sentinel>,
    nodes: Vec<RedisServer>,
    proxies: Vec<Proxy>,
    name: String,
    replicas: usize,
}

#[derive(Debug)]
struct Sentinel {
    /// Of the watched group.
    name: String,
    process: ServerProcess,
    lease: PortLease,
}

impl SentinelGroup {
    /// Starts all of them; node 0 is the master. Returns when each Sentinel knows all the others. Blocks for some
    /// seconds with servers before 7.0, which find each other slowly.
    ///
    /// # Errors
    /// [`LaunchError`]: one did not come up, or they did not find each other.
    pub fn start(options: &SentinelOptions) -> Result<Self, LaunchError> {
        let mut group = Self {
            sentinels: Vec::new(),
            nodes: Vec::new(),
            proxies: Vec::new(),
            name: String::new(),
            replicas: options.replicas,
        };
        for _ in 0..=options.replicas {
            group.add_node(options)?;
        }
        for node in &group.nodes[1..] {
            node.wait_link()?;
        }
        group.name = format!("locks-{}", group.address(0).port());
        for _ in 0..options.sentinels {
            let sentinel = Sentinel::start(options, &group.name, group.address(0))?;
            group.sentinels.push(sentinel);
        }
        group.wait_complete()?;
        Ok(group)
    }

    /// The name under which Sentinels know the master. Each group has its own: Sentinels believe what others say about
    /// a master of that name, and a vote needs most of all they ever heard of.
    #[must_use]
    pub fn master_name(&self) -> &str {
        &self.name
    }

    /// Where the Sentinels listen.
    #[must_use]
    pub fn sentinels(&self) -> Vec<SocketAddr> {
        self.sentinels.iter().map(Sentinel::address).collect()
    }

    /// All servers, the first master first.
    #[must_use]
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// One server, to stop and start it.
    pub fn node_mut(&mut self, node: usize) -> &mut RedisServer {
        &mut self.nodes[node]
    }

    /// The proxy in front of a server, in a proxied group.
    #[must_use]
    pub fn proxy(&self, node: usize) -> Option<&Proxy> {
        self.proxies.get(node)
    }

    /// Where everybody else reaches a server: at its proxy in a proxied group.
    #[must_use]
    pub fn address(&self, node: usize) -> SocketAddr {
        self.proxy(node).map_or_else(|| self.nodes[node].address(), Proxy::address)
    }

    /// Cuts a server of a proxied group off from Sentinels, servers and all clients that do not go to it directly.
    /// Nothing in a group without proxies.
    pub fn isolate(&self, node: usize) {
        if let Some(proxy) = self.proxy(node) {
            proxy.set(Fault::Stall);
        }
    }

    /// Ends what [`SentinelGroup::isolate`] began.
    pub fn heal(&self, node: usize) {
        if let Some(proxy) = self.proxy(node) {
            proxy.heal();
        }
    }

    /// Which server most Sentinels hold for the master.
    ///
    /// # Errors
    /// [`LaunchError::NotReady`] if there is no such majority for 20 s.
    pub fn master(&self) -> Result<usize, LaunchError> {
        let agreed = poll_until(PATIENCE, || self.agreed());
        agreed.ok_or_else(|| self.not_ready("the Sentinels agree on no master"))
    }

    /// Waits until another server than `old` is master by most Sentinels and by its own word.
    ///
    /// # Errors
    /// [`LaunchError::NotReady`] if that takes longer than `limit`.
    pub fn wait_promotion(&self, old: usize, limit: Duration) -> Result<usize, LaunchError> {
        let promoted = poll_until(limit, || {
            let new = self.agreed().filter(|new| *new != old)?;
            (self.nodes[new].info("replication").ok()?.get("role")? == "master").then_some(new)
        });
        promoted.ok_or_else(|| self.not_ready("no other master was promoted in time"))
    }

    /// Waits until the master has all its replicas, with their links up.
    ///
    /// # Errors
    /// [`LaunchError::NotReady`] if that takes more than 20 s.
    pub fn wait_replicas(&self) -> Result<(), LaunchError> {
        let complete = poll_until(PATIENCE, || {
            let info = self.nodes[self.agreed()?].info("replication").ok()?;
            let online = info.iter().filter(|(name, value)| {
                name.strip_prefix("slave").is_some_and(|rest| rest.parse::<u32>().is_ok())
                    && value.contains("state=online")
            });
            (online.count() == self.replicas).then_some(())
        });
        complete.ok_or_else(|| self.not_ready("the master does not have all its replicas"))
    }

    /// Orders a failover although the master is well.
    ///
    /// # Errors
    /// A refusal: one is under way, or there is no replica that will do.
    pub fn failover(&self) -> Result<(), LaunchError> {
        let ordered = self.sentinels[0].call(&["SENTINEL", "FAILOVER", &self.name]);
        ordered.map(drop).map_err(LaunchError::call("ordering a failover"))
    }

    fn add_node(&mut self, options: &SentinelOptions) -> Result<(), LaunchError> {
        let mut server = options.server.clone();
        if !self.nodes.is_empty() {
            server = server.replica_of(self.address(0));
        }
        if !options.proxied {
            self.nodes.push(RedisServer::start(&server)?);
            return Ok(());
        }
        let proxy = Proxy::unbound()?;
        let node = RedisServer::start(&server.announce(proxy.address()))?;
        proxy.retarget(node.address());
        self.proxies.push(proxy);
        self.nodes.push(node);
        Ok(())
    }

    fn agreed(&self) -> Option<usize> {
        let told: Vec<SocketAddr> = self.sentinels.iter().filter_map(Sentinel::master).collect();
        (0..self.nodes.len()).find(|node| {
            let address = self.address(*node);
            told.iter().filter(|told| **told == address).count() * 2 > self.sentinels.len()
        })
    }

    fn wait_complete(&self) -> Result<(), LaunchError> {
        for sentinel in &self.sentinels {
            let complete = poll_until(PATIENCE, || {
                let fields = sentinel.call(&["SENTINEL", "MASTER", &self.name]).ok()?.pairs();
                let number = |name| {
                    fields.iter().find(|(field, _)| field == name).and_then(|(_, value)| value.parse().ok())
                };
                let others: usize = number("num-other-sentinels")?;
                (number("num-slaves")? == self.replicas && others + 1 == self.sentinels.len()).then_some(())
            });
            complete.ok_or_else(|| {
                sentinel.process.not_ready("a Sentinel did not find all servers and Sentinels".into())
            })?;
        }
        Ok(())
    }

    fn not_ready(&self, what: &str) -> LaunchError {
        match self.sentinels.first() {
            Some(sentinel) => sentinel.process.not_ready(what.into()),
            None => {
                LaunchError::NotReady { what: format!("{what}: there is no Sentinel"), log: String::new() }
            }
        }
    }
}

impl Sentinel {
    fn start(options: &SentinelOptions, name: &str, master: SocketAddr) -> Result<Self, LaunchError> {
        let binary = options.server.find_binary()?;
        let lease = PortLease::take()?;
        let quorum = options.sentinels / 2 + 1;
        let failover = options.failover_timeout_ms;
        // Before 7.0 a Sentinel cannot be made to look more often than this, and would see servers die and rise.
        let down = options.down_after_ms.max(if binary.is_at_least_7() { 0 } else { SLOW_DOWN_AFTER_MS });
        let mut config = format!(
            "port {port}\nbind 127.0.0.1\n\
             sentinel monitor {name} {ip} {master_port} {quorum}\n\
             sentinel down-after-milliseconds {name} {down}\n\
             sentinel failover-timeout {name} {failover}\n\
             sentinel parallel-syncs {name} 8\n",
            port = lease.port(),
            ip = master.ip(),
            master_port = master.port(),
        );
        if options.server.has_users() {
            let (user, password) = LAUNCHER;
            config += &format!("sentinel auth-user {name} {user}\nsentinel auth-pass {name} {password}\n");
        }
        let spec = Spec {
            binary: binary.path().to_owned(),
            config,
            args: vec!["--sentinel".into()],
            env: Vec::new(),
            ready: "Sentinel ID is",
        };
        let sentinel = Self { name: name.to_owned(), process: ServerProcess::start(spec, folder()?)?, lease };
        let answers = poll_until(PATIENCE, || sentinel.call(&["PING"]).ok());
        answers.ok_or_else(|| sentinel.process.not_ready("a Sentinel does not answer PING".into()))?;
        if binary.is_at_least_7() {
            // While a master is down, replicas are looked at once a second, whatever is set, and one that was last seen
            // more than five pings ago is not promoted: pings more often than this would leave it to chance.
            let faster =
                ["SENTINEL", "DEBUG", "info-period", "200", "publish-period", "200", "ping-period", "300"];
            sentinel.call(&faster).map_err(LaunchError::call("making a Sentinel look more often"))?;
        }
        Ok(sentinel)
    }

    fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.lease.port()).into()
    }

    fn call(&self, args: &[&str]) -> Result<Reply, CallError> {
        Client::tcp(self.address(), CALL_TIMEOUT)?.call(args)
    }

    fn master(&self) -> Option<SocketAddr> {
        let reply = self.call(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", &self.name]).ok()?;
        let [ip, port] = reply.items() else { return None };
        format!("{}:{}", ip.text()?, port.text()?).parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[test]
    fn a_killed_master_is_replaced_and_comes_back_as_a_replica() {
        let mut group = SentinelGroup::start(&SentinelOptions::default()).unwrap();
        assert_eq!(group.master().unwrap(), 0);
        group.node_mut(0).kill();
        assert_eq!(group.wait_promotion(0, LIMIT).unwrap(), 1);
        group.node_mut(0).restart().unwrap();
        group.nodes()[0].wait_info("replication", "role", "slave").unwrap();
        group.wait_replicas().unwrap();
    }

    #[test]
    fn a_master_cut_off_still_serves_its_side_and_loses_what_it_took() {
        let options = SentinelOptions {
            proxied: true,
            server: ServerOptions::default().user("locks", "secret", "~* &* +@all"),
            ..SentinelOptions::default()
        };
        let group = SentinelGroup::start(&options).unwrap();
        group.isolate(0);
        let new = group.wait_promotion(0, LIMIT).unwrap();
        group.nodes()[0].call(["SET", "k", "lost"]).unwrap();
        group.nodes()[new].call(["SET", "k", "kept"]).unwrap();
        group.heal(0);
        group.nodes()[0].wait_info("replication", "role", "slave").unwrap();
        group.nodes()[0].wait_link().unwrap();
        assert_eq!(group.nodes()[0].call(["GET", "k"]).unwrap().text().as_deref(), Some("kept"));
    }

    #[test]
    fn a_failover_may_be_ordered() {
        let group =
            SentinelGroup::start(&SentinelOptions { replicas: 2, ..SentinelOptions::default() }).unwrap();
        group.failover().unwrap();
        assert_ne!(group.wait_promotion(0, LIMIT).unwrap(), 0);
        group.wait_replicas().unwrap();
    }
}
