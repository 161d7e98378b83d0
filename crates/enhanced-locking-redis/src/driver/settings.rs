//! The client library's settings. Owns what a configuration means for it, and the traps: no command is sent twice, a
//! lost connection is made again, and a password that was changed in its file is the one that is used next.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fred::error::{Error, ErrorKind};
use fred::types::config::{
    ClusterDiscoveryPolicy, Config, CredentialProvider, ReconnectPolicy, Server, ServerConfig, TcpConfig,
    UnresponsiveConfig,
};
use fred::types::{Builder, RespVersion};

use super::tls;
use crate::{OpenError, RedisConfig, Servers};

/// Wake-ups that may wait to be read; beyond that they are dropped, and everybody looks.
const MESSAGES: usize = 4_096;
/// A file with a password larger than this holds something else.
const MOST_BYTES: u64 = 64 * 1024;

/// What connections are made with.
pub(super) fn builder(config: &RedisConfig) -> Result<Builder, OpenError> {
    let tls = config.tls.as_ref().map(tls::connector).transpose()?;
    let provider = config.password_file.as_ref().map(|path| {
        Arc::new(FromFile { username: config.username.clone(), path: path.clone() })
            as Arc<dyn CredentialProvider>
    });
    let mut builder = Builder::from_config(Config {
        server: servers(config),
        username: config.username.clone(),
        password: config.password.clone(),
        credential_provider: provider,
        database: (config.database > 0).then_some(config.database),
        version: RespVersion::RESP2,
        // Without a connection there is an answer at once: it did not happen.
        fail_fast: true,
        tls,
        ..Config::default()
    });
    let (connect, command) = (config.connect_timeout, config.command_timeout);
    builder.set_policy(ReconnectPolicy::new_exponential(0, 50, 2_000, 2));
    builder.with_connection_config(|connection| {
        connection.connection_timeout = connect;
        connection.internal_command_timeout = command;
        // The library would send a script again whose answer was lost: it would run twice.
        connection.max_command_attempts = 1;
        // With one attempt it loses itself when a slot that is being moved has it ask elsewhere: nothing on the connection
        // is answered any more. What is refused for its place was not carried out; the store asks again, when the
        // library knows the new places.
        connection.max_redirections = 0;
        connection.reconnect_on_auth_error = true;
        connection.tcp = TcpConfig { nodelay: Some(true), ..TcpConfig::default() };
        connection.unresponsive =
            UnresponsiveConfig { max_timeout: Some(command * 2), interval: Duration::from_secs(1) };
    });
    builder.with_performance_config(|performance| {
        performance.default_command_timeout = command;
        performance.broadcast_channel_capacity = MESSAGES;
    });
    Ok(builder)
}

/// Reads a password as it is in its file now. One line break at its end is dropped.
pub(super) fn read_password(path: &Path) -> std::io::Result<String> {
    let size = std::fs::metadata(path)?.len();
    if size > MOST_BYTES {
        return Err(std::io::Error::other("the file is too large for a password"));
    }
    let text = std::fs::read_to_string(path)?;
    let text = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    if text.is_empty() {
        return Err(std::io::Error::other("the file is empty"));
    }
    Ok(text.to_owned())
}

fn servers(config: &RedisConfig) -> ServerConfig {
    let server = |(host, port): &(String, u16)| Server::new(host.as_str(), *port);
    match &config.servers {
        Servers::Single { host, port } => ServerConfig::new_centralized(host.as_str(), *port),
        Servers::Unix { path } => ServerConfig::Unix { path: path.clone() },
        Servers::Sentinel { nodes, service } => ServerConfig::Sentinel {
            hosts: nodes.iter().map(server).collect(),
            service_name: service.clone(),
            username: config.sentinel_username.clone(),
            password: config.sentinel_password.clone(),
        },
        Servers::Cluster { nodes } => ServerConfig::Clustered {
            hosts: nodes.iter().map(server).collect(),
            policy: ClusterDiscoveryPolicy::default(),
        },
    }
}

/// The password of every new connection, from a file that may have changed since the last one.
#[derive(Debug)]
struct FromFile {
    username: Option<String>,
    path: PathBuf,
}

#[async_trait]
impl CredentialProvider for FromFile {
    async fn fetch(&self, _: Option<&Server>) -> Result<(Option<String>, Option<String>), Error> {
        match read_password(&self.path) {
            Ok(password) => Ok((self.username.clone(), Some(password))),
            Err(error) => {
                tracing::warn!(file = %self.path.display(), %error, "the password file cannot be read");
                Err(Error::new(ErrorKind::Auth, format!("cannot read the password file: {error}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_read_without_its_last_line_break() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("password");
        for (content, password) in [
            ("secret", Some("secret")),
            ("secret\n", Some("secret")),
            ("secret\r\n", Some("secret")),
            ("\n", None),
        ] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(read_password(&path).ok().as_deref(), password, "{content:?}");
        }
        assert!(read_password(&directory.path().join("none")).is_err());
    }
}
