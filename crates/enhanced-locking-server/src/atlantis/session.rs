//! Who is at the other end, and how it is spoken to. Owns the handshake: HELLO, AUTH, SELECT, CLIENT, RESET.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::Shared;
use super::commands::{is, syntax, unknown_subcommand};
use super::resp::Reply;

/// The version of Redis that the port resembles.
pub(super) const REDIS_VERSION: &str = "7.4.0";

const DEFAULT_USER: &[u8] = b"default";
const WRONG_PASSWORD: &str = "WRONGPASS invalid username-password pair or user is disabled.";

/// One client on one connection.
#[derive(Debug)]
pub(crate) struct Session {
    id: i64,
    version: u8,
    known: bool,
    over: bool,
    name: Bytes,
    peer: SocketAddr,
    local: SocketAddr,
}

impl Session {
    pub(super) fn new(shared: &Shared, peer: SocketAddr, local: SocketAddr) -> Self {
        let id = shared.connections_total.fetch_add(1, Ordering::Relaxed) + 1;
        Self {
            id: i64::try_from(id).unwrap_or(i64::MAX),
            version: 2,
            known: shared.config.password.is_none(),
            over: false,
            name: Bytes::new(),
            peer,
            local,
        }
    }

    /// The version of the protocol it speaks.
    pub(super) fn version(&self) -> u8 {
        self.version
    }

    /// Whether it has said who it is, or need not.
    pub(super) fn is_known(&self) -> bool {
        self.known
    }

    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Ends the connection once what was answered is sent.
    pub(super) fn end(&mut self) {
        self.over = true;
    }

    /// The machine at the other end, whichever of its connections this is.
    pub(super) fn client(&self) -> IpAddr {
        self.peer.ip()
    }

    /// The address it connected to.
    pub(super) fn local(&self) -> SocketAddr {
        self.local
    }

    /// `HELLO [version [AUTH user password] [SETNAME name]]`.
    pub(super) fn hello(&mut self, shared: &Shared, arguments: &[Bytes]) -> Reply {
        let mut version = self.version;
        let mut rest = arguments;
        if let Some((first, others)) = arguments.split_first() {
            let asked: Option<i64> = std::str::from_utf8(first).ok().and_then(|text| text.parse().ok());
            version = match asked {
                Some(2) => 2,
                Some(3) => 3,
                Some(_) => return Reply::error("NOPROTO unsupported protocol version"),
                None => return Reply::error("ERR Protocol version is not an integer or out of range"),
            };
            rest = others;
        }
        let (mut known, mut name) = (self.known, None);
        while let Some((option, others)) = rest.split_first() {
            rest = match others {
                [user, password, rest @ ..] if is(option, "AUTH") => {
                    if !admits(shared, user, password) {
                        return Reply::error(WRONG_PASSWORD);
                    }
                    known = true;
                    rest
                }
                [given, rest @ ..] if is(option, "SETNAME") => {
                    name = Some(given.clone());
                    rest
                }
                _ => {
                    let option = String::from_utf8_lossy(&option[..option.len().min(64)]).into_owned();
                    return Reply::Error(format!("ERR Syntax error in HELLO option '{option}'"));
                }
            };
        }
        if !known {
            return Reply::error(
                "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> \
                 AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol \
                 version at the same time",
            );
        }
        if let Some(name) = name
            && let Err(refused) = self.rename(&name)
        {
            return refused;
        }
        (self.version, self.known) = (version, known);
        Reply::Map(vec![
            ("server", Reply::text("redis")),
            ("version", Reply::text(REDIS_VERSION)),
            ("proto", Reply::Number(self.version.into())),
            ("id", Reply::Number(self.id)),
            ("mode", Reply::text("standalone")),
            ("role", Reply::text("master")),
            ("modules", Reply::Array(Vec::new())),
        ])
    }

    /// `AUTH [user] password`.
    pub(super) fn auth(&mut self, shared: &Shared, arguments: &[Bytes]) -> Reply {
        let (user, password) = match arguments {
            [user, password] => (&**user, password),
            [password] if shared.config.password.is_some() => (DEFAULT_USER, password),
            [_] => {
                return Reply::error(
                    "ERR AUTH <password> called without any password configured for the default user. Are you \
                     sure your configuration is correct?",
                );
            }
            _ => return syntax(),
        };
        if !admits(shared, user, password) {
            tracing::warn!(peer = %self.peer, "a client of the Atlantis port gave a wrong password");
            return Reply::error(WRONG_PASSWORD);
        }
        self.known = true;
        Reply::OK
    }

    /// `RESET`: the connection is as new.
    pub(super) fn reset(&mut self, shared: &Shared) -> Reply {
        (self.version, self.known) = (2, shared.config.password.is_none());
        self.name = Bytes::new();
        Reply::Simple("RESET")
    }

    /// `CLIENT …`. Maintenance notifications are refused: an OK would make clients wait for what never comes.
    pub(super) fn client_command(&mut self, arguments: &[Bytes]) -> Reply {
        match arguments {
            [word] if is(word, "ID") => Reply::Number(self.id),
            [word] if is(word, "GETNAME") && self.name.is_empty() => Reply::Null,
            [word] if is(word, "GETNAME") => Reply::Bulk(self.name.clone()),
            [word, name] if is(word, "SETNAME") => {
                let name = name.clone();
                self.rename(&name).map_or_else(|refused| refused, |()| Reply::OK)
            }
            [word, _, _] if is(word, "SETINFO") => Reply::OK,
            [word, ..] if ["ID", "GETNAME", "SETNAME", "SETINFO"].iter().any(|known| is(word, known)) => {
                let word = String::from_utf8_lossy(word).to_lowercase();
                Reply::Error(format!("ERR wrong number of arguments for 'client|{word}' command"))
            }
            [word, ..] => unknown_subcommand("CLIENT", word),
            [] => syntax(),
        }
    }

    fn rename(&mut self, name: &Bytes) -> Result<(), Reply> {
        if name.len() > 1024 || name.iter().any(|byte| !byte.is_ascii_graphic()) {
            return Err(Reply::error(
                "ERR Client names cannot contain spaces, newlines or special characters.",
            ));
        }
        self.name = name.clone();
        Ok(())
    }
}

/// `SELECT index`: there is one database. Two installations of Atlantis need two services.
pub(super) fn select(argument: &[u8]) -> Reply {
    let index: Option<i64> = std::str::from_utf8(argument).ok().and_then(|text| text.parse().ok());
    match index {
        Some(0) => Reply::OK,
        Some(1..=15) => Reply::error(
            "ERR DB index is out of range: this service has database 0 only; start Atlantis with --redis-db=0",
        ),
        Some(_) => Reply::error("ERR DB index is out of range"),
        None => Reply::error("ERR value is not an integer or out of range"),
    }
}

/// Whether user and password are right. Without a password, the default user is everybody.
fn admits(shared: &Shared, user: &[u8], password: &[u8]) -> bool {
    let configured = shared.config.username.as_deref().map(str::as_bytes);
    let user = user == DEFAULT_USER || Some(user) == configured;
    // Always compared, so that a wrong name takes as long as a wrong password.
    let password = shared.config.password.as_ref().is_none_or(|right| right.matches_bytes(password));
    user && password
}
