//! A TCP proxy that does harm on command: between clients and a server, or between servers.
//!
//! Owns the faults of a network: connections refused, dropped, stalled, swallowed, delayed, cut in the middle of a
//! reply. It runs on a thread of its own, so that it goes on while a test or a launcher blocks.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};

use super::error::LaunchError;

/// What happens to traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: bytes go both ways.
    #[default]
    None,
    /// Every connection is closed, and new ones are closed at once.
    Refuse,
    /// A partition: connections stay, no byte moves, and all that was sent arrives after the fault is over.
    Stall,
    /// Connections are accepted and everything is read and thrown away. Closed when the fault is over.
    BlackHole,
    /// Requests arrive and are carried out; replies are thrown away. Closed when the fault is over.
    SwallowReplies,
    /// Every piece of data is held up this long, each way.
    Delay(Duration),
    /// Passes so many bytes of replies from now on, counted over all connections, then closes the connection that
    /// had one more to send: the command was carried out and its caller does not know. It strikes once.
    CutReplies {
        /// How many bytes pass.
        after: u64,
    },
}

#[derive(Clone, Debug)]
struct Orders {
    fault: Fault,
    /// Connections from here are stalled whatever the fault is.
    stalled: Vec<IpAddr>,
    upstream: Option<SocketAddr>,
    /// Connections of an earlier generation are closed.
    generation: u64,
}

impl Orders {
    fn stalls(&self, from: IpAddr) -> bool {
        self.fault == Fault::Stall || self.stalled.contains(&from)
    }
}

#[derive(Debug, Default)]
struct Counters {
    accepted: AtomicUsize,
    open: AtomicUsize,
    cut: AtomicUsize,
    /// Bytes of replies that a [`Fault::CutReplies`] still lets pass.
    allowance: AtomicU64,
}

/// A proxy on loopback until it is dropped.
///
/// ```
/// use std::io::{Read, Write};
/// use std::net::{TcpListener, TcpStream};
/// use enhanced_locking_testkit::redis::{Fault, Proxy};
///
/// let server = TcpListener::bind("127.0.0.1:0")?;
/// let proxy = Proxy::to(server.local_addr()?)?;
/// let mut client = TcpStream::connect(proxy.address())?;
/// client.write_all(b"hello")?;
/// let mut bytes = [0; 5];
/// server.accept()?.0.read_exact(&mut bytes)?;
/// assert_eq!(&bytes, b"hello");
/// proxy.set(Fault::Refuse);
/// assert_eq!(client.read(&mut bytes)?, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    orders: watch::Sender<Orders>,
    counters: Arc<Counters>,
    /// Its drop ends the thread.
    _end: oneshot::Sender<()>,
}

impl Proxy {
    /// Starts a proxy in front of `upstream`.
    ///
    /// # Errors
    /// Those of binding a port and of starting a thread.
    pub fn to(upstream: SocketAddr) -> Result<Self, LaunchError> {
        Self::start(Some(upstream))
    }

    /// Starts a proxy that refuses connections until [`Proxy::retarget`] says where to: for a server that must
    /// know the proxy's address before it starts.
    ///
    /// # Errors
    /// As [`Proxy::to`].
    pub fn unbound() -> Result<Self, LaunchError> {
        Self::start(None)
    }

    fn start(upstream: Option<SocketAddr>) -> Result<Self, LaunchError> {
        let what = || LaunchError::io("starting a proxy");
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(what())?;
        listener.set_nonblocking(true).map_err(what())?;
        let address = listener.local_addr().map_err(what())?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().map_err(what())?;
        let (orders, seen) =
            watch::channel(Orders { fault: Fault::None, stalled: Vec::new(), upstream, generation: 0 });
        let counters = Arc::new(Counters::default());
        let (end, ended) = oneshot::channel();
        let shared = Arc::clone(&counters);
        std::thread::Builder::new()
            .name("proxy".into())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        _ = ended => {}
                        () = accept(listener, seen, shared) => {}
                    }
                });
            })
            .map_err(what())?;
        Ok(Self { address, orders, counters, _end: end })
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on this happens, to open connections too. Over one that swallowed or refused, connections end.
    pub fn set(&self, fault: Fault) {
        if let Fault::CutReplies { after } = fault {
            self.counters.allowance.store(after, Ordering::SeqCst);
        }
        self.orders.send_modify(|orders| {
            let closes = |fault| matches!(fault, Fault::BlackHole | Fault::SwallowReplies);
            if fault == Fault::Refuse || closes(orders.fault) {
                orders.generation += 1;
            }
            orders.fault = fault;
        });
    }

    /// No fault from now on.
    pub fn heal(&self) {
        self.set(Fault::None);
    }

    /// A partition from one side only: stalls connections from these addresses, and no longer those from others.
    pub fn stall_from(&self, addresses: &[IpAddr]) {
        self.orders.send_modify(|orders| orders.stalled = addresses.to_vec());
    }

    /// Closes all connections once; new ones are served.
    pub fn drop_connections(&self) {
        self.orders.send_modify(|orders| orders.generation += 1);
    }

    /// Sends new connections elsewhere and closes the open ones.
    pub fn retarget(&self, upstream: SocketAddr) {
        self.orders.send_modify(|orders| {
            orders.upstream = Some(upstream);
            orders.generation += 1;
        });
    }

    /// How many connections were accepted so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.counters.accepted.load(Ordering::SeqCst)
    }

    /// How many connections are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.counters.open.load(Ordering::SeqCst)
    }

    /// How many replies [`Fault::CutReplies`] has cut. A test that cut none has tested nothing.
    #[must_use]
    pub fn cut(&self) -> usize {
        self.counters.cut.load(Ordering::SeqCst)
    }
}

async fn accept(listener: std::net::TcpListener, orders: watch::Receiver<Orders>, counters: Arc<Counters>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    loop {
        // Too many open files, or a connection gone before it was taken: the next may do better.
        let Ok((client, from)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        };
        counters.accepted.fetch_add(1, Ordering::SeqCst);
        let (mut orders, counters) = (orders.clone(), Arc::clone(&counters));
        let generation = orders.borrow_and_update().generation;
        tokio::spawn(async move {
            counters.open.fetch_add(1, Ordering::SeqCst);
            let closed = orders.clone();
            tokio::select! {
                () = superseded(closed, generation) => {}
                // An error ends the connection, which is all that can be done about it.
                _ = connection(client, from.ip(), orders, &counters) => {}
            }
            counters.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

/// Ends when the connections of `generation` are to be closed.
async fn superseded(mut orders: watch::Receiver<Orders>, generation: u64) {
    // An error means that the proxy is gone.
    let _ = orders.wait_for(|orders| orders.generation != generation).await;
}

async fn connection(
    client: TcpStream,
    from: IpAddr,
    mut orders: watch::Receiver<Orders>,
    counters: &Counters,
) -> io::Result<()> {
    let fault = orders.borrow_and_update().fault;
    match fault {
        Fault::Refuse => return Ok(()),
        Fault::BlackHole => return swallow(client).await,
        _ => {}
    }
    // A partition lets nobody through, not even a new connection.
    let moving = orders.wait_for(|orders| !orders.stalls(from)).await.map_err(io::Error::other)?.upstream;
    let upstream = moving.ok_or(io::ErrorKind::NotConnected)?;
    let server = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        ended = pump(from_client, to_server, (Way::Request, from), orders.clone(), counters) => ended,
        ended = pump(from_server, to_client, (Way::Reply, from), orders.clone(), counters) => ended,
    }
}

async fn swallow(mut client: TcpStream) -> io::Result<()> {
    let mut bytes = vec![0; 16 * 1024];
    while client.read(&mut bytes).await? > 0 {}
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Request,
    Reply,
}

/// Moves bytes one way until an end closes. Whatever the orders are when bytes come is done to them.
async fn pump(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    (way, peer): (Way, IpAddr),
    mut orders: watch::Receiver<Orders>,
    counters: &Counters,
) -> io::Result<()> {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut bytes).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        let fault = orders.wait_for(|orders| !orders.stalls(peer)).await.map_err(io::Error::other)?.fault;
        match fault {
            Fault::BlackHole => continue,
            Fault::SwallowReplies if way == Way::Reply => continue,
            Fault::Delay(delay) => tokio::time::sleep(delay).await,
            Fault::CutReplies { .. } if way == Way::Reply => {
                let length = read as u64;
                let take =
                    |left: u64| (left != u64::MAX).then(|| left.checked_sub(length).unwrap_or(u64::MAX));
                let left = counters.allowance.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take);
                if let Ok(left) = left
                    && left < length
                {
                    counters.cut.fetch_add(1, Ordering::SeqCst);
                    let passes = usize::try_from(left).unwrap_or(read);
                    return to.write_all(&bytes[..passes]).await;
                }
            }
            _ => {}
        }
        to.write_all(&bytes[..read]).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::{CallError, Client, RedisServer, ServerOptions, poll_until};

    const SOON: Duration = Duration::from_millis(100);
    const LATE: Duration = Duration::from_secs(10);

    fn pair() -> (RedisServer, Proxy) {
        let server = RedisServer::start(&ServerOptions::default()).unwrap();
        let proxy = Proxy::to(server.address()).unwrap();
        (server, proxy)
    }

    fn lost(result: Result<crate::redis::Reply, CallError>) -> bool {
        matches!(result, Err(CallError::Io(_)))
    }

    #[test]
    fn a_refusing_proxy_closes_connections_and_lets_them_come_again() {
        let (_server, proxy) = pair();
        let mut client = Client::tcp(proxy.address(), LATE).unwrap();
        client.call(["PING"]).unwrap();
        proxy.set(Fault::Refuse);
        assert!(lost(client.call(["PING"])));
        assert!(lost(Client::tcp(proxy.address(), LATE).and_then(|mut client| client.call(["PING"]))));
        proxy.heal();
        Client::tcp(proxy.address(), LATE).unwrap().call(["PING"]).unwrap();
        assert_eq!(proxy.accepted(), 3);
    }

    #[test]
    fn a_cut_reply_hides_a_command_that_was_carried_out() {
        let (server, proxy) = pair();
        let mut client = Client::tcp(proxy.address(), LATE).unwrap();
        for after in [0, 2] {
            proxy.set(Fault::CutReplies { after });
            assert!(lost(client.call(["INCR", "n"])));
            client = Client::tcp(proxy.address(), LATE).unwrap();
            client.call(["PING"]).expect("it strikes once");
        }
        assert_eq!(server.call(["GET", "n"]).unwrap().integer(), Some(2));
        proxy.set(Fault::CutReplies { after: 7 });
        client.call(["PING"]).expect("+PONG and its end are 7 bytes");
        assert!(lost(client.call(["PING"])));
        assert_eq!(proxy.cut(), 3);
    }

    #[test]
    fn swallowed_replies_are_those_of_commands_that_were_carried_out() {
        let (server, proxy) = pair();
        let mut client = Client::tcp(proxy.address(), SOON).unwrap();
        proxy.set(Fault::SwallowReplies);
        assert!(lost(client.call(["INCR", "n"])));
        assert_eq!(server.call(["GET", "n"]).unwrap().integer(), Some(1));
        proxy.heal();
        assert!(lost(client.receive()), "a connection with a hole in it is closed");
    }

    #[test]
    fn a_black_hole_takes_everything_and_nothing_arrives() {
        let (server, proxy) = pair();
        let mut old = Client::tcp(proxy.address(), SOON).unwrap();
        old.call(["PING"]).unwrap();
        proxy.set(Fault::BlackHole);
        let mut new = Client::tcp(proxy.address(), SOON).unwrap();
        assert!(lost(old.call(["INCR", "n"])) && lost(new.call(["INCR", "n"])));
        proxy.heal();
        assert!(poll_until(LATE, || (proxy.open() == 0).then_some(())).is_some());
        assert_eq!(server.call(["EXISTS", "n"]).unwrap().integer(), Some(0));
    }

    #[test]
    fn what_was_sent_into_a_partition_arrives_after_it() {
        let (server, proxy) = pair();
        let mut client = Client::tcp(proxy.address(), SOON).unwrap();
        client.call(["PING"]).unwrap();
        proxy.set(Fault::Stall);
        assert!(lost(client.call(["INCR", "n"])));
        assert_eq!(server.call(["EXISTS", "n"]).unwrap().integer(), Some(0));
        proxy.heal();
        assert!(poll_until(LATE, || server.call(["GET", "n"]).ok()?.integer()).is_some());
    }

    #[test]
    fn a_delay_holds_up_both_ways_and_dropped_connections_may_come_again() {
        let (_server, proxy) = pair();
        let mut client = Client::tcp(proxy.address(), LATE).unwrap();
        proxy.set(Fault::Delay(SOON));
        let began = tokio::time::Instant::now();
        client.call(["PING"]).unwrap();
        assert!(began.elapsed() >= 2 * SOON);
        proxy.heal();
        proxy.drop_connections();
        assert!(lost(client.call(["PING"])));
        Client::tcp(proxy.address(), LATE).unwrap().call(["PING"]).unwrap();
    }

    #[test]
    fn a_proxy_without_a_target_refuses_until_it_has_one() {
        let (server, _) = pair();
        let proxy = Proxy::unbound().unwrap();
        assert!(lost(Client::tcp(proxy.address(), LATE).unwrap().call(["PING"])));
        proxy.retarget(server.address());
        Client::tcp(proxy.address(), LATE).unwrap().call(["PING"]).unwrap();
    }

    #[test]
    fn a_master_is_cut_off_from_its_replica() {
        let (master, proxy) = pair();
        let replica = RedisServer::start(&ServerOptions::default().replica_of(proxy.address())).unwrap();
        replica.wait_link().unwrap();
        let mut client = master.client().unwrap();
        proxy.set(Fault::Stall);
        client.call(["SET", "k", "v"]).unwrap();
        assert_eq!(client.call(["WAIT", "1", "100"]).unwrap().integer(), Some(0));
        proxy.heal();
        assert_eq!(client.call(["WAIT", "1", "10000"]).unwrap().integer(), Some(1));
        assert_eq!(replica.call(["GET", "k"]).unwrap().text().as_deref(), Some("v"));
    }
}
