//! A cluster of masters, each with a replica.
//!
//! Owns its making, who serves which slots now, failovers and slot migrations step by step: what the state is in
//! between is the test's business. All orders go by the unix sockets, so no proxy and no redirection is in their way.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::client::{CallError, Reply};
use super::error::LaunchError;
use super::nodes::{Node, parse};
use super::process::PATIENCE;
use super::proxy::{Fault, Proxy};
use super::server::{LAUNCHER, RedisServer, ServerOptions};
use super::wait::poll_until;

/// How many slots there are.
pub const SLOTS: u16 = 16_384;
/// Keys moved by one `MIGRATE`.
const MOVED_AT_ONCE: usize = 100;

/// How a cluster shall be. The default: three masters with a replica each, without proxies.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// Masters.
    pub masters: u16,
    /// Replicas of each.
    pub replicas: u16,
    /// Without an answer for so long, a server is held to be down. Promotion takes one to two seconds more.
    pub node_timeout_ms: u64,
    /// Whether there are proxies in front of each server, one for clients and replicas, one for the bus. With the first
    /// stalled, replicas do not follow, and a master killed then loses what it had acknowledged. With both, see
    /// [`ClusterGroup::isolate`].
    pub proxied: bool,
    /// How each server shall be.
    pub server: ServerOptions,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        let server = ServerOptions::default();
        Self { masters: 3, replicas: 1, node_timeout_ms: 1_000, proxied: false, server }
    }
}

/// How a replica takes over; see `CLUSTER FAILOVER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takeover {
    /// With the master's help: nothing is lost.
    Planned,
    /// By vote of the other masters, whatever the master has that the replica has not.
    Force,
    /// Without asking anybody.
    Alone,
}

/// The cluster, until it is dropped. Nodes `0..masters` begin as masters, each following `masters` are their replicas.
///
/// ```no_run
/// use std::time::Duration;
/// use enhanced_locking_testkit::redis::{ClusterGroup, ClusterOptions};
///
/// let mut cluster = ClusterGroup::start(&ClusterOptions::default())?;
/// let slot = cluster.slot_of("{locks:b1}:x")?;
/// let old = cluster.owner(slot)?;
/// cluster.node_mut(old).kill();
/// let new = cluster.wait_promotion(slot, old, Duration::from_secs(30))?;
/// assert_ne!(old, new);
/// # Ok::<(), enhanced_locking_testkit::redis::LaunchError>(())
/// ```
#[derive(Debug)]
pub struct ClusterGroup {
    nodes: Vec<RedisServer>,
    proxies: Vec<Proxy>,
    buses: Vec<Proxy>,
    ids: Vec<String>,
    has_users: bool,
}

impl ClusterGroup {
    /// Starts all servers and makes them a cluster; returns when every one of them knows everything. Blocks for
    /// some two seconds.
    ///
    /// # Errors
    /// [`LaunchError`]: one did not come up, or they did not become a cluster.
    pub fn start(options: &ClusterOptions) -> Result<Self, LaunchError> {
        let has_users = options.server.has_users();
        let mut cluster =
            Self { nodes: Vec::new(), proxies: Vec::new(), buses: Vec::new(), ids: Vec::new(), has_users };
        for _ in 0..options.masters * (1 + options.replicas) {
            cluster.add_node(options)?;
        }
        cluster.assign(options.masters)?;
        let (first, bus) = (cluster.address(0), cluster.bus(0).port().to_string());
        for node in 1..cluster.nodes.len() {
            cluster.order(node, ["MEET", &first.ip().to_string(), &first.port().to_string(), &bus])?;
        }
        let masters = usize::from(options.masters);
        for node in masters..cluster.nodes.len() {
            let master = cluster.ids[node % masters].clone();
            // Refused until the two have heard of each other.
            let done = poll_until(PATIENCE, || cluster.order(node, ["REPLICATE", &master]).ok());
            done.ok_or_else(|| cluster.nodes[node].not_ready("a server did not become a replica".into()))?;
        }
        cluster.wait_ok()?;
        for node in &cluster.nodes[masters..] {
            node.wait_link()?;
        }
        Ok(cluster)
    }

    /// Where clients may begin: at the proxies in a proxied cluster.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        (0..self.nodes.len()).map(|node| self.address(node)).collect()
    }

    /// Where clients reach a server.
    #[must_use]
    pub fn address(&self, node: usize) -> SocketAddr {
        self.proxy(node).map_or_else(|| self.nodes[node].address(), Proxy::address)
    }

    /// The proxy in front of a server, in a proxied cluster.
    #[must_use]
    pub fn proxy(&self, node: usize) -> Option<&Proxy> {
        self.proxies.get(node)
    }

    /// Cuts a server of a proxied cluster off from all others, both ways, and from clients that do not go to it
    /// directly. It serves on for a node timeout, the others promote its replica after as long. Nothing in a cluster
    /// without proxies; before Redis 7 only the way to it is cut.
    pub fn isolate(&self, node: usize) {
        let from = source(node);
        for (other, proxies) in self.proxies.iter().zip(&self.buses).enumerate() {
            for proxy in [proxies.0, proxies.1] {
                if other == node {
                    proxy.set(Fault::Stall);
                } else {
                    proxy.stall_from(&[from]);
                }
            }
        }
    }

    /// Ends what [`ClusterGroup::isolate`] began, and every other fault of the proxies.
    pub fn heal(&self) {
        for proxy in self.proxies.iter().chain(&self.buses) {
            proxy.stall_from(&[]);
            proxy.heal();
        }
    }

    /// All servers.
    #[must_use]
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// One server, to stop and start it.
    pub fn node_mut(&mut self, node: usize) -> &mut RedisServer {
        &mut self.nodes[node]
    }

    /// The slot of a key.
    ///
    /// # Errors
    /// If no server answers.
    pub fn slot_of(&self, key: &str) -> Result<u16, LaunchError> {
        let up = self.any_up();
        let slot = self.nodes[up].call(["CLUSTER", "KEYSLOT", key]);
        let slot = slot.map_err(LaunchError::call("asking for a key's slot"))?.integer();
        Ok(slot.and_then(|slot| u16::try_from(slot).ok()).unwrap_or(SLOTS))
    }

    /// Which server serves a slot, by its own word.
    ///
    /// # Errors
    /// [`LaunchError::NotReady`] if none does for 20 s.
    pub fn owner(&self, slot: u16) -> Result<usize, LaunchError> {
        let found = poll_until(PATIENCE, || self.owners(slot).first().copied());
        found.ok_or_else(|| self.nodes[self.any_up()].not_ready(format!("nobody serves slot {slot}")))
    }

    /// The replicas of a master, as it knows them.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn replicas(&self, master: usize) -> Result<Vec<usize>, LaunchError> {
        let nodes = self.view(master).map_err(LaunchError::call("asking for the nodes of the cluster"))?;
        let id = &self.ids[master];
        let is_ours = |node: &&Node| node.master.as_ref() == Some(id);
        Ok(nodes.iter().filter(is_ours).filter_map(|node| self.index(&node.id)).collect())
    }

    /// Waits until another server than `old` serves a slot.
    ///
    /// # Errors
    /// [`LaunchError::NotReady`] if that takes longer than `limit`.
    pub fn wait_promotion(&self, slot: u16, old: usize, limit: Duration) -> Result<usize, LaunchError> {
        let found = poll_until(limit, || self.owners(slot).into_iter().find(|owner| *owner != old));
        found.ok_or_else(|| self.nodes[self.any_up()].not_ready(format!("nobody took over slot {slot}")))
    }

    /// Waits until every server that is up finds the cluster well and complete, and all agree on who is whose replica.
    ///
    /// # Errors
    /// [`LaunchError::NotReady`] if that takes more than 20 s.
    pub fn wait_ok(&self) -> Result<(), LaunchError> {
        let ok = poll_until(PATIENCE, || {
            let mut views = Vec::new();
            for node in (0..self.nodes.len()).filter(|node| self.nodes[*node].is_up()) {
                let info = self.nodes[node].call(["CLUSTER", "INFO"]).ok()?.text()?;
                let mut view = self.view(node).ok()?;
                if !info.contains("cluster_state:ok") || view.len() != self.nodes.len() {
                    return None;
                }
                view.sort_by(|a, b| a.id.cmp(&b.id));
                views.push(
                    view.into_iter().map(|node| (node.id, node.master, node.slots)).collect::<Vec<_>>(),
                );
            }
            views.windows(2).all(|pair| pair[0] == pair[1]).then_some(())
        });
        ok.ok_or_else(|| self.nodes[self.any_up()].not_ready("the cluster is not well".into()))
    }

    /// Lets a replica take over from its master.
    ///
    /// # Errors
    /// A refusal: it is no replica, or its master is not connected.
    pub fn failover(&self, replica: usize, how: Takeover) -> Result<(), LaunchError> {
        match how {
            Takeover::Planned => self.order(replica, ["FAILOVER"]),
            Takeover::Force => self.order(replica, ["FAILOVER", "FORCE"]),
            Takeover::Alone => self.order(replica, ["FAILOVER", "TAKEOVER"]),
        }
    }

    /// Begins to move a slot: from now on what is not at `from` any more is answered with `ASK` there, and a command
    /// that finds some of its keys only with `TRYAGAIN` at `to`, from Redis 7 on at both.
    ///
    /// # Errors
    /// A refusal: `from` does not serve it, or `to` does.
    pub fn begin_migration(&self, slot: u16, from: usize, to: usize) -> Result<(), LaunchError> {
        let slot = slot.to_string();
        self.order(to, ["SETSLOT", &slot, "IMPORTING", &self.ids[from]])?;
        self.order(from, ["SETSLOT", &slot, "MIGRATING", &self.ids[to]])
    }

    /// Moves at most so many keys of a slot; returns how many there were to move.
    ///
    /// # Errors
    /// A refusal, or that the two servers do not reach each other.
    pub fn move_keys(&self, slot: u16, from: usize, to: usize, limit: usize) -> Result<usize, LaunchError> {
        let what = || LaunchError::call(format!("moving keys of slot {slot}"));
        let source = &self.nodes[from];
        let count = limit.min(MOVED_AT_ONCE).to_string();
        let keys = source.call(["CLUSTER", "GETKEYSINSLOT", &slot.to_string(), &count]).map_err(what())?;
        let keys: Vec<Vec<u8>> = keys.items().iter().filter_map(bytes).collect();
        if keys.is_empty() {
            return Ok(0);
        }
        let target = self.nodes[to].address();
        let mut command: Vec<Vec<u8>> =
            ["MIGRATE", &target.ip().to_string(), &target.port().to_string(), "", "0", "5000"]
                .map(|arg| arg.as_bytes().to_vec())
                .into();
        if self.has_users {
            command.extend(["AUTH2", LAUNCHER.0, LAUNCHER.1].map(|arg| arg.as_bytes().to_vec()));
        }
        command.push(b"KEYS".to_vec());
        let moved = keys.len();
        command.extend(keys);
        source.call(&command).map_err(what())?;
        if moved == MOVED_AT_ONCE && limit > moved {
            return Ok(moved + self.move_keys(slot, from, to, limit - moved)?);
        }
        Ok(moved)
    }

    /// Ends a migration: the slot is `to`'s, and everybody knows.
    ///
    /// # Errors
    /// A refusal: there are keys left at `from`.
    pub fn end_migration(&self, slot: u16, from: usize, to: usize) -> Result<(), LaunchError> {
        let slot = slot.to_string();
        // The new owner first: were it last, a redirection could go round in a circle.
        for node in [to, from] {
            self.order(node, ["SETSLOT", &slot, "NODE", &self.ids[to]])?;
        }
        Ok(())
    }

    /// Moves a slot with all its keys.
    ///
    /// # Errors
    /// As the three steps.
    pub fn migrate(&self, slot: u16, to: usize) -> Result<(), LaunchError> {
        let from = self.owner(slot)?;
        if from == to {
            return Ok(());
        }
        self.begin_migration(slot, from, to)?;
        while self.move_keys(slot, from, to, usize::MAX)? > 0 {}
        self.end_migration(slot, from, to)
    }

    fn add_node(&mut self, options: &ClusterOptions) -> Result<(), LaunchError> {
        let mut server = options.server.clone().config("cluster-enabled yes");
        server = server.config("cluster-config-file nodes.conf").config("cluster-replica-validity-factor 0");
        server = server.config(format!("cluster-node-timeout {}", options.node_timeout_ms));
        let proxies = if options.proxied { Some((Proxy::unbound()?, Proxy::unbound()?)) } else { None };
        if let Some((clients, bus)) = &proxies {
            server = server.cluster_proxies(clients.address(), bus.address());
            if options.server.find_binary()?.is_at_least_7() {
                server = server.config(format!("bind-source-addr {}", source(self.nodes.len())));
            }
        }
        let node = RedisServer::start(&server)?;
        if let Some((clients, bus)) = proxies {
            clients.retarget(node.address());
            bus.retarget(node.bus());
            self.proxies.push(clients);
            self.buses.push(bus);
        }
        let id = node.call(["CLUSTER", "MYID"]).map_err(LaunchError::call("asking a server for its id"))?;
        self.ids.push(id.text().unwrap_or_default());
        self.nodes.push(node);
        Ok(())
    }

    /// Shares out the slots among the first `masters` servers, each with an epoch of its own.
    fn assign(&self, masters: u16) -> Result<(), LaunchError> {
        for master in 0..masters {
            let bound = |part: u16| u32::from(SLOTS) * u32::from(part) / u32::from(masters);
            let slots = (bound(master)..bound(master + 1)).map(|slot| slot.to_string());
            let args: Vec<String> = std::iter::once("ADDSLOTS".to_owned()).chain(slots).collect();
            self.order(usize::from(master), args)?;
        }
        for node in 0..self.nodes.len() {
            self.order(node, ["SET-CONFIG-EPOCH", &(node + 1).to_string()])?;
        }
        Ok(())
    }

    fn order<A: AsRef<[u8]>>(
        &self,
        node: usize,
        args: impl IntoIterator<Item = A>,
    ) -> Result<(), LaunchError> {
        let args: Vec<A> = args.into_iter().collect();
        let what =
            args.first().map_or_else(String::new, |a| String::from_utf8_lossy(a.as_ref()).into_owned());
        let command = std::iter::once(b"CLUSTER".as_slice()).chain(args.iter().map(AsRef::as_ref));
        self.nodes[node].call(command).map(drop).map_err(LaunchError::call(format!("CLUSTER {what}")))
    }

    fn view(&self, node: usize) -> Result<Vec<Node>, CallError> {
        Ok(parse(&self.nodes[node].call(["CLUSTER", "NODES"])?.text().unwrap_or_default()))
    }

    /// Who says of itself that it serves the slot: more than one for a moment, or in a split.
    fn owners(&self, slot: u16) -> Vec<usize> {
        let says_so = |node: &usize| {
            let view = self.view(*node).unwrap_or_default();
            view.iter().any(|seen| seen.is_self && seen.master.is_none() && seen.serves(slot))
        };
        (0..self.nodes.len()).filter(|node| self.nodes[*node].is_up()).filter(says_so).collect()
    }

    /// Where the others reach its bus.
    fn bus(&self, node: usize) -> SocketAddr {
        self.buses.get(node).map_or_else(|| self.nodes[node].bus(), Proxy::address)
    }

    fn index(&self, id: &str) -> Option<usize> {
        self.ids.iter().position(|known| known == id)
    }

    fn any_up(&self) -> usize {
        self.nodes.iter().position(RedisServer::is_up).unwrap_or(0)
    }
}

/// What a proxied server's own connections come from: the proxies of the others tell it by this.
fn source(node: usize) -> IpAddr {
    Ipv4Addr::new(127, 0, 1, u8::try_from(node + 1).unwrap_or(u8::MAX)).into()
}

fn bytes(reply: &Reply) -> Option<Vec<u8>> {
    match reply {
        Reply::Bytes(bytes) => Some(bytes.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[test]
    fn slots_are_served_moved_and_taken_over() {
        let mut cluster = ClusterGroup::start(&ClusterOptions::default()).unwrap();
        let slot = cluster.slot_of("{t}k").unwrap();
        let from = cluster.owner(slot).unwrap();
        let to = (from + 1) % 3;
        for key in ["{t}k", "{t}l"] {
            cluster.nodes()[from].call(["SET", key, "v"]).unwrap();
        }
        let refusal = |node: usize, command: &[&str]| {
            let error = cluster.nodes()[node].call(command).unwrap_err();
            error.refusal().unwrap_or_default().split(' ').next().unwrap_or_default().to_owned()
        };
        assert_eq!(refusal(to, &["GET", "{t}k"]), "MOVED");
        cluster.begin_migration(slot, from, to).unwrap();
        assert_eq!(cluster.move_keys(slot, from, to, 1).unwrap(), 1);
        let mut halfway = cluster.nodes()[to].client().unwrap();
        halfway.call(["ASKING"]).unwrap();
        let error = halfway.call(["MGET", "{t}k", "{t}l"]).unwrap_err();
        assert!(error.refusal().unwrap().starts_with("TRYAGAIN"), "{error}");
        assert_eq!(refusal(from, &["GET", "{t}never"]), "ASK");
        assert_eq!(cluster.move_keys(slot, from, to, usize::MAX).unwrap(), 1);
        cluster.end_migration(slot, from, to).unwrap();
        assert_eq!(refusal(from, &["GET", "{t}k"]), "MOVED");
        assert_eq!(cluster.owner(slot).unwrap(), to);

        let mut client = cluster.nodes()[to].client().unwrap();
        client.call(["SET", "{t}k", "w"]).unwrap();
        client.call(["WAIT", "1", "5000"]).unwrap();
        cluster.node_mut(to).kill();
        let new = cluster.wait_promotion(slot, to, LIMIT).unwrap();
        cluster.node_mut(to).restart().unwrap();
        cluster.wait_ok().unwrap();
        assert_eq!(cluster.nodes()[new].call(["GET", "{t}k"]).unwrap().text().as_deref(), Some("w"));
        assert_eq!(cluster.replicas(new).unwrap(), [to]);
        cluster.failover(to, Takeover::Planned).unwrap();
        assert_eq!(cluster.wait_promotion(slot, new, LIMIT).unwrap(), to);
    }

    #[test]
    fn a_promotion_loses_what_the_replica_was_kept_from() {
        let options = ClusterOptions {
            proxied: true,
            server: ServerOptions::default().user("locks", "secret", "~* &* +@all"),
            ..ClusterOptions::default()
        };
        let mut cluster = ClusterGroup::start(&options).unwrap();
        let slot = cluster.slot_of("k").unwrap();
        let old = cluster.owner(slot).unwrap();
        cluster.proxy(old).unwrap().set(Fault::Stall);
        cluster.nodes()[old].call(["SET", "k", "lost"]).unwrap();
        cluster.node_mut(old).kill();
        let new = cluster.wait_promotion(slot, old, LIMIT).unwrap();
        cluster.wait_ok().unwrap();
        assert_eq!(cluster.nodes()[new].call(["EXISTS", "k"]).unwrap().integer(), Some(0));
    }

    #[test]
    fn a_master_cut_off_serves_for_a_moment_and_its_replica_takes_over() {
        let options = ClusterOptions { proxied: true, ..ClusterOptions::default() };
        let cluster = ClusterGroup::start(&options).unwrap();
        if !cluster.nodes()[0].binary().is_at_least_7() {
            return;
        }
        let slot = cluster.slot_of("k").unwrap();
        let old = cluster.owner(slot).unwrap();
        let mut client = cluster.nodes()[old].client().unwrap();
        cluster.isolate(old);
        client.call(["SET", "k", "lost"]).unwrap();
        let new = cluster.wait_promotion(slot, old, LIMIT).unwrap();
        let down = poll_until(LIMIT, || client.call(["GET", "k"]).err());
        assert!(down.unwrap().refusal().unwrap().starts_with("CLUSTERDOWN"), "a minority must stop");
        assert_eq!(cluster.owners(slot).len(), 2, "it does not know yet");
        cluster.heal();
        cluster.wait_ok().unwrap();
        assert_eq!(cluster.owner(slot).unwrap(), new);
        assert_eq!(cluster.nodes()[new].call(["EXISTS", "k"]).unwrap().integer(), Some(0));
    }
}
