//! A server that speaks TLS only and knows its users: for tests of certificates, names and password files.
//!
//! Owns the certificates: an authority made for the occasion, one for the server, one for its clients.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;

use super::error::LaunchError;
use super::process::folder;
use super::server::{RedisServer, ServerOptions};

/// The user that clients of a [`TlsServer`] are.
const USER: &str = "locks";

/// Where the certificates and keys are, all PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The authority to trust.
    pub ca: PathBuf,
    /// The server's certificate, for `localhost` and `127.0.0.1`.
    pub server_cert: PathBuf,
    /// The server's key.
    pub server_key: PathBuf,
    /// A client's certificate.
    pub client_cert: PathBuf,
    /// The client's key.
    pub client_key: PathBuf,
    /// The authority of somebody else: what is signed by it must be refused.
    pub other_ca: PathBuf,
}

impl TlsFiles {
    /// Makes two authorities and the certificates into `dir`.
    ///
    /// # Errors
    /// [`LaunchError::Certificates`], or that a file cannot be written.
    pub fn make(dir: &Path) -> Result<Self, LaunchError> {
        let ca = authority("tests of Enhanced Locking")?;
        let other = authority("somebody else")?;
        let (server_cert, server_key) = signed(&["localhost", "127.0.0.1"], &ca)?;
        let (client_cert, client_key) = signed(&["client.localhost"], &ca)?;
        let write = |name: &str, text: String| {
            let path = dir.join(name);
            fs::write(&path, text).map_err(LaunchError::io(format!("writing {}", path.display())))?;
            Ok::<_, LaunchError>(path)
        };
        Ok(Self {
            ca: write("ca.pem", ca.pem())?,
            server_cert: write("server.pem", server_cert)?,
            server_key: write("server.key", server_key)?,
            client_cert: write("client.pem", client_cert)?,
            client_key: write("client.key", client_key)?,
            other_ca: write("other-ca.pem", other.pem())?,
        })
    }

    pub(super) fn config(&self, port: u16) -> Vec<String> {
        vec![
            "port 0".into(),
            format!("tls-port {port}"),
            format!("tls-cert-file {}", self.server_cert.display()),
            format!("tls-key-file {}", self.server_key.display()),
            format!("tls-ca-cert-file {}", self.ca.display()),
            "tls-auth-clients yes".into(),
        ]
    }
}

/// A server behind TLS that demands a client certificate, a user and a password.
///
/// ```no_run
/// use enhanced_locking_testkit::redis::{ServerOptions, TlsServer};
///
/// let server = TlsServer::start(&ServerOptions::default())?;
/// println!("{} as {} with {:?}", server.server().address(), server.user(), server.files().ca);
/// # Ok::<(), enhanced_locking_testkit::redis::LaunchError>(())
/// ```
#[derive(Debug)]
pub struct TlsServer {
    server: RedisServer,
    files: TlsFiles,
    password: String,
    dir: TempDir,
}

impl TlsServer {
    /// Starts it. The user may do everything; more users come with `options`.
    ///
    /// # Errors
    /// As [`RedisServer::start`], and [`LaunchError::NoTls`] for a server program built without TLS.
    pub fn start(options: &ServerOptions) -> Result<Self, LaunchError> {
        let dir = folder()?;
        let files = TlsFiles::make(dir.path())?;
        // With characters that a careless reader of password files or of URLs would stumble over.
        let password = "p@ss:w/rd?0123".to_owned();
        let options = options.clone().user(USER, &password, "~* &* +@all").tls(files.clone());
        let path = dir.path().join("password");
        fs::write(&path, format!("{password}\n"))
            .map_err(LaunchError::io(format!("writing {}", path.display())))?;
        let server = RedisServer::start(&options).map_err(without_tls)?;
        Ok(Self { server, files, password, dir })
    }

    /// The server; its launcher's calls go by the unix socket.
    #[must_use]
    pub fn server(&self) -> &RedisServer {
        &self.server
    }

    /// The server, to stop and start it.
    pub fn server_mut(&mut self) -> &mut RedisServer {
        &mut self.server
    }

    /// The certificates.
    #[must_use]
    pub fn files(&self) -> &TlsFiles {
        &self.files
    }

    /// The user's name.
    #[must_use]
    pub fn user(&self) -> &str {
        USER
    }

    /// The user's password.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    /// A file that has the password and ends with a newline.
    #[must_use]
    pub fn password_file(&self) -> PathBuf {
        self.dir.path().join("password")
    }
}

/// Tells a program that knows no TLS from other failures, by its own words.
fn without_tls(error: LaunchError) -> LaunchError {
    match error {
        LaunchError::NotReady { log, .. }
            if log.contains("Failed finding TLS support") || log.contains(">>> 'tls-port") =>
        {
            LaunchError::NoTls
        }
        error => error,
    }
}

fn authority(name: &str) -> Result<CertifiedIssuer<'static, KeyPair>, LaunchError> {
    let mut params = CertificateParams::new(Vec::new()).map_err(made)?;
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().map_err(made)?;
    CertifiedIssuer::self_signed(params, key).map_err(made)
}

/// A certificate for these names and its key, both PEM.
fn signed(names: &[&str], ca: &CertifiedIssuer<'_, KeyPair>) -> Result<(String, String), LaunchError> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let params = CertificateParams::new(names).map_err(made)?;
    let key = KeyPair::generate().map_err(made)?;
    let cert = params.signed_by(&key, ca).map_err(made)?;
    Ok((cert.pem(), key.serialize_pem()))
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err hands over")]
fn made(error: rcgen::Error) -> LaunchError {
    LaunchError::Certificates(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// What `redis-cli`, which comes with the server, is told by the server behind TLS.
    fn ask(server: &TlsServer, ca: &Path, password: Option<&str>, with_cert: bool) -> String {
        let files = server.files();
        let mut command = Command::new("redis-cli");
        command.args(["-h", "localhost", "-p", &server.server().address().port().to_string(), "--tls"]);
        command.arg("--cacert").arg(ca);
        if with_cert {
            command.arg("--cert").arg(&files.client_cert).arg("--key").arg(&files.client_key);
        }
        if let Some(password) = password {
            command.args(["--user", server.user(), "--pass", password, "--no-auth-warning"]);
        }
        let output = command.arg("PING").output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }

    #[test]
    fn only_the_right_certificates_and_the_right_password_get_in() {
        let server = match TlsServer::start(&ServerOptions::default()) {
            // Only a program that somebody chose for this run may lack TLS.
            Err(LaunchError::NoTls) if std::env::var_os(crate::redis::BINARY_ENV).is_some() => return,
            server => server.unwrap(),
        };
        let (files, password) = (server.files().clone(), server.password().to_owned());
        assert_eq!(fs::read_to_string(server.password_file()).unwrap().trim_end(), password);
        assert_eq!(ask(&server, &files.ca, Some(&password), true).trim(), "PONG");
        assert!(ask(&server, &files.ca, None, true).contains("NOAUTH"));
        assert!(!ask(&server, &files.ca, Some(&password), false).contains("PONG"), "without a certificate");
        let distrusted = ask(&server, &files.other_ca, Some(&password), true);
        assert!(distrusted.contains("certificate verify failed"), "{distrusted}");
        assert_eq!(server.server().call(["PING"]).unwrap().text().as_deref(), Some("PONG"));
    }
}
