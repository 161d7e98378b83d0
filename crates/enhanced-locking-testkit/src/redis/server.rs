//! One Redis or Valkey server on loopback.
//!
//! Owns its configuration and its life: start, SIGSTOP, SIGKILL, restart with the same data. Groups of them are in
//! `sentinel` and `cluster`, faults on the way to them in `proxy`.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::binary::Binary;
use super::client::{CallError, Client, Reply};
use super::error::LaunchError;
use super::ports::{BUS_OFFSET, PortLease};
use super::process::{PATIENCE, ServerProcess, Spec, folder};
use super::tls::TlsFiles;
use super::wait::poll_until;

/// How long the launcher's own connections wait for an answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Starts before giving up where other programs take the port in between.
const STARTS: usize = 5;
/// The launcher's own user, on servers that have users.
pub(super) const LAUNCHER: (&str, &str) = ("launcher", "launcher-of-the-tests");

/// How a server shall be. The default: in memory only, no users, TCP on loopback and a unix socket.
#[derive(Clone, Debug, Default)]
pub struct ServerOptions {
    append_only: bool,
    replica_of: Option<SocketAddr>,
    announce: Option<SocketAddr>,
    lines: Vec<String>,
    users: Vec<String>,
    env: Vec<(String, String)>,
    binary: Option<PathBuf>,
    tls: Option<TlsFiles>,
}

impl ServerOptions {
    /// Keep an append-only file, synced with every write: what was acknowledged survives SIGKILL and a restart.
    #[must_use]
    pub fn append_only(mut self) -> Self {
        self.append_only = true;
        self
    }

    /// One more line of configuration, such as `maxmemory-policy allkeys-lru`. The last of two wins.
    #[must_use]
    pub fn config(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    /// Copy the server at this address, or behind a proxy there.
    #[must_use]
    pub fn replica_of(mut self, master: SocketAddr) -> Self {
        self.replica_of = Some(master);
        self
    }

    /// Tell replicas, Sentinels and masters that it is at this address: that of a proxy in front of it.
    #[must_use]
    pub fn announce(mut self, address: SocketAddr) -> Self {
        self.announce = Some(address);
        self
    }

    /// A user by the rules of `ACL SETUSER`, such as `user("locks", "secret", "~* &* +@all")`. With the first of
    /// them the default user is switched off.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str, rules: &str) -> Self {
        self.users.push(format!("user {name} on >{password} {rules}"));
        self
    }

    /// A variable of the environment for the server. With libfaketime preloaded and a `FAKETIME_TIMESTAMP_FILE`, its
    /// clock can be stepped while it runs; not with a server that has jemalloc, as Debian's has, which then hangs.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// This server program instead of the one [`Binary::find`] finds.
    #[must_use]
    pub fn binary(mut self, path: impl Into<PathBuf>) -> Self {
        self.binary = Some(path.into());
        self
    }

    /// TLS only on TCP, with client certificates demanded.
    #[must_use]
    pub(super) fn tls(mut self, files: TlsFiles) -> Self {
        self.tls = Some(files);
        self
    }

    /// Tell the others of a cluster that it is behind these proxies, one for clients and replicas, one for the bus.
    #[must_use]
    pub(super) fn cluster_proxies(self, clients: SocketAddr, bus: SocketAddr) -> Self {
        self.config(format!("cluster-announce-ip {}", clients.ip()))
            .config(format!("cluster-announce-port {}", clients.port()))
            .config(format!("cluster-announce-bus-port {}", bus.port()))
    }

    pub(super) fn has_users(&self) -> bool {
        !self.users.is_empty()
    }

    pub(super) fn find_binary(&self) -> Result<Binary, LaunchError> {
        self.binary.as_deref().map_or_else(Binary::find, Binary::at)
    }

    fn text(&self, binary: &Binary, port: u16) -> String {
        let mut lines: Vec<String> = vec![
            "bind 127.0.0.1".into(),
            "unixsocket redis.sock".into(),
            "unixsocketperm 700".into(),
            "daemonize no".into(),
            "save \"\"".into(),
            "repl-diskless-sync-delay 0".into(),
            "repl-ping-replica-period 1".into(),
        ];
        if binary.is_at_least_7() {
            lines.push("enable-debug-command local".into());
        }
        match &self.tls {
            Some(files) => lines.extend(files.config(port)),
            None => lines.push(format!("port {port}")),
        }
        if self.append_only {
            lines.extend(["appendonly yes".into(), "appendfsync always".into()]);
        }
        if self.has_users() {
            let (name, password) = LAUNCHER;
            lines.extend(["user default off".into(), format!("user {name} on >{password} ~* &* +@all")]);
            lines.extend([format!("masteruser {name}"), format!("masterauth {password}")]);
            lines.extend(self.users.iter().cloned());
        }
        if let Some(master) = self.replica_of {
            lines.push(format!("replicaof {} {}", master.ip(), master.port()));
        }
        if let Some(address) = self.announce {
            lines.push(format!("replica-announce-ip {}", address.ip()));
            lines.push(format!("replica-announce-port {}", address.port()));
        }
        lines.extend(self.lines.iter().cloned());
        lines.join("\n") + "\n"
    }
}

/// A server that runs until it is dropped.
///
/// ```no_run
/// use enhanced_locking_testkit::redis::{RedisServer, ServerOptions};
///
/// let mut server = RedisServer::start(&ServerOptions::default().append_only())?;
/// server.call(["SET", "k", "v"])?;
/// server.kill();
/// server.restart()?;
/// assert_eq!(server.call(["GET", "k"])?.text().as_deref(), Some("v"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct RedisServer {
    process: ServerProcess,
    lease: PortLease,
    binary: Binary,
    has_users: bool,
}

impl RedisServer {
    /// Starts a server; it answers when this returns. Blocks for some 20 ms.
    ///
    /// # Errors
    /// [`LaunchError`]: no program, or it did not come up, with the end of its log.
    pub fn start(options: &ServerOptions) -> Result<Self, LaunchError> {
        let binary = options.find_binary()?;
        let mut attempt = 1;
        loop {
            let lease = PortLease::take()?;
            let spec = Spec {
                binary: binary.path().to_owned(),
                config: options.text(&binary, lease.port()),
                args: Vec::new(),
                env: options.env.clone(),
                ready: "Ready to accept connections",
            };
            match ServerProcess::start(spec, folder()?) {
                Ok(process) => {
                    let has_users = options.has_users();
                    let server = Self { process, lease, binary, has_users };
                    server.answers()?;
                    return Ok(server);
                }
                Err(error) if attempt < STARTS && ServerProcess::lost_its_port(&error) => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Where it listens on TCP.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.lease.port()).into()
    }

    /// Where its bus listens, if it is in a cluster.
    pub(super) fn bus(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.lease.port() + BUS_OFFSET).into()
    }

    /// Its unix socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.process.dir().join("redis.sock")
    }

    /// The folder of its data.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.process.dir()
    }

    /// The program that runs.
    #[must_use]
    pub fn binary(&self) -> &Binary {
        &self.binary
    }

    /// A new connection by the unix socket, allowed to do everything. It waits at most 5 s for each answer.
    ///
    /// # Errors
    /// Those of connecting.
    pub fn client(&self) -> Result<Client, CallError> {
        let mut client = Client::unix(&self.socket(), CALL_TIMEOUT)?;
        if self.has_users {
            client.call(["AUTH", LAUNCHER.0, LAUNCHER.1])?;
        }
        Ok(client)
    }

    /// One command on a new connection.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn call<A: AsRef<[u8]>>(&self, args: impl IntoIterator<Item = A>) -> Result<Reply, CallError> {
        self.client()?.call(args)
    }

    /// The fields of a section of `INFO`.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn info(&self, section: &str) -> Result<BTreeMap<String, String>, CallError> {
        let text = self.call(["INFO", section])?.text().unwrap_or_default();
        let fields = text.lines().filter_map(|line| line.trim_end().split_once(':'));
        Ok(fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// The process id; `None` while it is not running.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    /// SIGKILL. What the append-only file does not have is lost.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Errors
    /// That it does not run, or did not end.
    pub fn terminate(&mut self) -> Result<(), LaunchError> {
        self.process.terminate()
    }

    /// Starts it again on the same port with the same data, killing it first if it runs.
    ///
    /// # Errors
    /// As [`RedisServer::start`].
    pub fn restart(&mut self) -> Result<(), LaunchError> {
        self.process.kill();
        self.process.run()?;
        self.answers()
    }

    /// SIGSTOP: connections stay open, nothing is answered.
    ///
    /// # Errors
    /// That it does not run.
    pub fn pause(&mut self) -> Result<(), LaunchError> {
        self.process.pause()
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// That it does not run.
    pub fn resume(&mut self) -> Result<(), LaunchError> {
        self.process.resume()
    }

    /// Whether it runs and is not paused.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.process.pid().is_some() && !self.process.is_paused()
    }

    /// Everything it logged, over all its runs.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Waits until the log of the present run has `words`. Returns `false` if it has not in time.
    #[must_use]
    pub fn wait_log(&self, words: &str, limit: Duration) -> bool {
        self.process.wait_log(words, limit)
    }

    /// Waits until it is a replica whose link to its master is up.
    ///
    /// # Errors
    /// [`LaunchError::NotReady`] if that takes more than 20 s.
    pub fn wait_link(&self) -> Result<(), LaunchError> {
        self.wait_info("replication", "master_link_status", "up")
    }

    /// Waits until a field of `INFO` has this value.
    ///
    /// # Errors
    /// [`LaunchError::NotReady`] if that takes more than 20 s.
    pub fn wait_info(&self, section: &str, field: &str, value: &str) -> Result<(), LaunchError> {
        let seen = poll_until(PATIENCE, || (self.info(section).ok()?.get(field)? == value).then_some(()));
        seen.ok_or_else(|| self.process.not_ready(format!("{field} did not become {value}")))
    }

    pub(super) fn not_ready(&self, what: String) -> LaunchError {
        self.process.not_ready(what)
    }

    /// Ready is what answers, not what says so. A server that still loads its data is waited for.
    fn answers(&self) -> Result<(), LaunchError> {
        let pong = poll_until(PATIENCE, || self.call(["PING"]).ok());
        pong.map(drop).ok_or_else(|| self.process.not_ready("the server does not answer PING".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(options: &ServerOptions) -> RedisServer {
        RedisServer::start(options).unwrap()
    }

    #[test]
    fn it_answers_by_socket_and_by_tcp_and_is_gone_when_dropped() {
        let server = server(&ServerOptions::default());
        let mut tcp = Client::tcp(server.address(), CALL_TIMEOUT).unwrap();
        assert_eq!(tcp.call(["SET", "k", "v"]).unwrap().text().as_deref(), Some("OK"));
        assert_eq!(server.call(["GET", "k"]).unwrap().text().as_deref(), Some("v"));
        assert_eq!(server.call(["NONSENSE"]).unwrap_err().refusal().map(|text| &text[..3]), Some("ERR"));
        let (dir, address) = (server.dir().to_owned(), server.address());
        drop(server);
        assert!(!dir.exists());
        assert!(Client::tcp(address, CALL_TIMEOUT).is_err());
    }

    #[test]
    fn an_append_only_file_survives_a_kill_and_memory_does_not() {
        for (options, kept) in
            [(ServerOptions::default().append_only(), Some("v")), (ServerOptions::default(), None)]
        {
            let mut server = server(&options);
            server.call(["SET", "k", "v"]).unwrap();
            let (address, pid) = (server.address(), server.pid());
            server.kill();
            assert_eq!(server.pid(), None);
            server.restart().unwrap();
            assert_eq!(server.address(), address);
            assert_ne!(server.pid(), pid);
            assert_eq!(server.call(["GET", "k"]).unwrap().text().as_deref(), kept);
        }
    }

    #[test]
    fn a_paused_server_answers_after_it_is_resumed() {
        let mut server = server(&ServerOptions::default());
        let mut client = Client::unix(&server.socket(), Duration::from_millis(50)).unwrap();
        client.call(["PING"]).unwrap();
        server.pause().unwrap();
        assert!(!server.is_up());
        assert!(matches!(client.call(["PING"]), Err(CallError::Io(_))));
        server.resume().unwrap();
        server.call(["PING"]).unwrap();
        server.terminate().unwrap();
        assert_eq!(server.pid(), None);
        assert!(server.pause().is_err());
    }

    #[test]
    fn lines_of_configuration_count_and_a_wrong_one_is_told_with_the_log() {
        let server = server(&ServerOptions::default().config("maxmemory-policy allkeys-lru"));
        assert_eq!(server.info("memory").unwrap()["maxmemory_policy"], "allkeys-lru");
        let error = RedisServer::start(&ServerOptions::default().config("no-such-option yes")).unwrap_err();
        assert!(matches!(error, LaunchError::NotReady { .. }), "{error}");
    }

    #[test]
    fn users_are_demanded_and_the_launcher_has_its_own() {
        let options = ServerOptions::default().user("locks", "secret", "~* &* +@all -debug");
        let server = server(&options);
        let mut client = Client::tcp(server.address(), CALL_TIMEOUT).unwrap();
        assert!(client.call(["PING"]).unwrap_err().refusal().unwrap().starts_with("NOAUTH"));
        client.call(["AUTH", "locks", "secret"]).unwrap();
        client.call(["PING"]).unwrap();
        assert!(client.call(["DEBUG", "JMAP"]).unwrap_err().refusal().unwrap().starts_with("NOPERM"));
        server.call(["ACL", "LIST"]).unwrap();
    }

    #[test]
    fn a_replica_follows_its_master() {
        let master = server(&ServerOptions::default());
        let replica = server(&ServerOptions::default().replica_of(master.address()));
        replica.wait_link().unwrap();
        let mut client = master.client().unwrap();
        client.call(["SET", "k", "v"]).unwrap();
        assert_eq!(client.call(["WAIT", "1", "5000"]).unwrap().integer(), Some(1));
        assert_eq!(replica.call(["GET", "k"]).unwrap().text().as_deref(), Some("v"));
    }
}
