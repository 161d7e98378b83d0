//! A master and two replicas behind one address. One replica always follows, the other can be cut off and promoted.
//! Owns who is what; what stores make of it is the tests'.

use std::net::SocketAddr;
use std::time::Duration;

use enhanced_locking_testkit::redis::{Fault, Proxy, RedisServer, ServerOptions, poll_until};

const PATIENCE: Duration = Duration::from_secs(20);

/// Which replica becomes the master.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Promoted {
    /// The one that got nothing any more: writes are lost.
    CutOff,
    /// The one that has most, as Sentinel chooses.
    Best,
}

/// Three servers, who of them is the master, and the ways to them.
#[derive(Debug)]
pub(crate) struct Trio {
    servers: Vec<RedisServer>,
    /// The way of each server to its master.
    links: Vec<Proxy>,
    /// The way of clients to the master.
    front: Proxy,
    master: usize,
}

impl Trio {
    /// Starts the servers; the first is the master.
    pub(crate) fn start() -> Self {
        let servers: Vec<_> = (0..3)
            .map(|_| {
                let options =
                    ServerOptions::default().config("repl-timeout 600").config("repl-backlog-size 1mb");
                RedisServer::start(&options).expect("a server starts")
            })
            .collect();
        let links =
            servers.iter().map(|_| Proxy::to(servers[0].address()).expect("a proxy starts")).collect();
        let front = Proxy::to(servers[0].address()).expect("a proxy starts");
        let mut trio = Self { servers, links, front, master: 0 };
        trio.follow();
        trio
    }

    /// Where clients find the master.
    pub(crate) fn address(&self) -> SocketAddr {
        self.front.address()
    }

    /// Waits until both replicas have everything. One that has just joined gets the stream up to a second later.
    pub(crate) fn wait_synced(&self) {
        let mut client = self.servers[self.master].client().expect("a connection");
        let synced = poll_until(PATIENCE, || {
            client.call(["SET", "synced", ""]).ok()?;
            (client.call(["WAIT", "2", "1000"]).ok()?.integer()? == 2).then_some(())
        });
        synced.expect("the replicas follow");
    }

    /// One of the replicas gets nothing any more.
    pub(crate) fn cut_off(&self) {
        self.links[self.next()].set(Fault::Stall);
    }

    /// It gets everything again.
    pub(crate) fn join_up(&self) {
        self.links[self.next()].heal();
        self.wait_synced();
    }

    /// Makes a replica the master, and leads clients to it.
    pub(crate) fn promote(&mut self, which: Promoted) {
        self.master = match which {
            Promoted::CutOff => self.next(),
            Promoted::Best => (self.master + 2) % 3,
        };
        self.servers[self.master].call(["REPLICAOF", "NO", "ONE"]).expect("it obeys");
        self.front.retarget(self.servers[self.master].address());
        self.follow();
    }

    /// All follow the new master.
    pub(crate) fn reunite(&mut self) {
        self.follow();
    }

    /// Kills the master and starts it again; it has nothing on disk.
    pub(crate) fn restart_master_empty(&mut self) {
        self.servers[self.master].restart().expect("it starts again");
        self.follow();
    }

    fn next(&self) -> usize {
        (self.master + 1) % 3
    }

    fn replicas(&self) -> impl Iterator<Item = usize> + use<> {
        let master = self.master;
        (0..3).filter(move |server| *server != master)
    }

    fn follow(&mut self) {
        for replica in self.replicas().collect::<Vec<_>>() {
            self.lead(replica);
        }
        self.wait_synced();
    }

    /// Has a server follow the master, on a new way: the old one may still have something on it.
    fn lead(&mut self, replica: usize) {
        let link = Proxy::to(self.servers[self.master].address()).expect("a proxy starts");
        let port = link.address().port().to_string();
        self.links[replica] = link;
        self.servers[replica].call(["REPLICAOF", "127.0.0.1", &port]).expect("it obeys");
    }
}
