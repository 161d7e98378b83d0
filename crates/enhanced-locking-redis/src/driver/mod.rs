//! The seam to the client library. Owns the few calls that the store needs, and what can come of one; the library
//! behind it can be exchanged without anything else noticing.

mod call;
mod fred;
mod keyspace;
mod settings;
mod tls;

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use enhanced_locking_foundation::{BackendError, BackendErrorKind};
use tokio::sync::{mpsc, watch};

pub(crate) use self::fred::connect;
pub use self::keyspace::{FOREIGN_KEYS_MAX, ForeignKey, read_keyspace};
use crate::durability::Copies;

/// A connection to the servers of one namespace.
#[async_trait]
pub(crate) trait Driver: Send + Sync + std::fmt::Debug {
    /// Carries out operations on one bucket in one call of the script. `time` is that of a test. With `copies`, also
    /// waits on the same connection until so many replicas have what was written.
    async fn run(
        &self,
        bucket: usize,
        time: Option<u64>,
        operations: Vec<Vec<u8>>,
        copies: Option<Copies>,
    ) -> Result<Answers, Failure>;

    /// Has a server keep the script.
    async fn load(&self) -> Result<(), Failure>;

    /// Runs another script where a bucket is, with keys of the bucket; it answers with texts.
    async fn attempt(&self, bucket: usize, script: &str, keys: &[&str]) -> Result<Vec<String>, Failure>;

    /// A setting of every server that commands go to, by `CONFIG GET`; empty if it does not have it.
    async fn setting(&self, name: &'static str) -> Vec<(String, Result<String, Failure>)>;

    /// Sets fields that are not there yet, and reads them all.
    async fn describe(
        &self,
        key: &str,
        fields: &[(&str, String)],
    ) -> Result<HashMap<String, String>, Failure>;

    /// Hears a channel from now on; when this answers, the server knows.
    async fn hear(&self, channel: &str) -> Result<(), Failure>;

    /// What is heard: channel and message. `None` as the channel says that messages may have been lost. Only once.
    fn messages(&self) -> mpsc::UnboundedReceiver<(Option<String>, Vec<u8>)>;

    /// What every server that commands go to tells about itself, and how long it took to answer.
    async fn nodes(&self) -> Vec<NodeAnswer>;

    /// How often connections were made; changes with every new one.
    fn connections(&self) -> watch::Receiver<u64>;

    /// Whether there is a connection.
    fn is_connected(&self) -> bool;

    /// Lets go of the connection.
    async fn close(&self);
}

/// What came of one call of the script.
#[derive(Debug)]
pub(crate) struct Answers {
    /// One for every operation.
    pub(crate) replies: Vec<Vec<u8>>,
    /// How many replicas have what was written; 0 if that was not asked, or is not known.
    pub(crate) copies: u32,
}

/// One server that commands go to.
#[derive(Debug)]
pub(crate) struct NodeAnswer {
    /// Host and port, or the path of a socket.
    pub(crate) address: String,
    /// How long a `PING` took, and the text of `INFO`.
    pub(crate) info: Result<(Duration, String), Failure>,
}

/// What can come of a call other than an answer.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// There is no connection: nothing was sent.
    NotSent(String),
    /// The server has not answered for a while: nothing is sent before this time is over.
    Resting(Duration),
    /// It was sent and no answer came.
    Lost(String),
    /// The server refused it, with this text.
    Refused(String),
    /// The answer has a form that cannot be.
    Nonsense(&'static str),
}

impl Failure {
    /// Whether the server has no memory left.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, Self::Refused(text) if text.contains("OOM "))
    }

    /// The error of an operation that could change something, or could not.
    pub(crate) fn error(&self, changes: bool) -> BackendError {
        let (kind, message) = match self {
            Self::NotSent(_) => (
                BackendErrorKind::Unavailable,
                "there is no connection to the server; try again when it is back".to_owned(),
            ),
            Self::Resting(left) => (
                BackendErrorKind::Unavailable,
                format!("the server does not answer; it is asked again in {} ms", left.as_millis().max(1)),
            ),
            Self::Lost(_) if changes => (
                BackendErrorKind::Indeterminate,
                "no answer came; ask again with the same request id, or read the document".to_owned(),
            ),
            Self::Lost(_) => (BackendErrorKind::Unavailable, "no answer came; ask again".to_owned()),
            Self::Refused(text) => refusal(text),
            Self::Nonsense(what) => (BackendErrorKind::Corrupt, format!("the server answered {what}")),
        };
        let error = BackendError::new(kind, message);
        match self {
            Self::NotSent(source) | Self::Lost(source) | Self::Refused(source) => {
                error.with_source(source.clone())
            }
            Self::Nonsense(_) | Self::Resting(_) => error,
        }
    }

    /// Whether the operation certainly was not carried out, and may be soon.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::NotSent(_) => true,
            Self::Refused(text) => refusal(text).0 == BackendErrorKind::Unavailable,
            Self::Resting(_) | Self::Lost(_) | Self::Nonsense(_) => false,
        }
    }
}

/// What a server's refusal means. Older servers wrap the words of a command into those of the script.
fn refusal(text: &str) -> (BackendErrorKind, String) {
    let has = |word: &str| text.contains(word);
    let (kind, message) = if has("OOM ") {
        (BackendErrorKind::Full, "the server has no memory left; raise maxmemory or release some locks")
    } else if has("MISCONF ") {
        (BackendErrorKind::Full, "the server cannot write its data to disk and takes no changes; see its log")
    } else if has("NOAUTH ") || has("WRONGPASS ") || has("NOPERM ") {
        (
            BackendErrorKind::Denied,
            "the server does not allow it; check user, password and the rights of the user",
        )
    } else if ["READONLY ", "LOADING ", "MASTERDOWN ", "CLUSTERDOWN ", "TRYAGAIN ", "NOREPLICAS ", "BUSY "]
        .iter()
        .any(|word| has(word))
    {
        (BackendErrorKind::Unavailable, "the server cannot take changes now; try again later")
    } else {
        (BackendErrorKind::Internal, "the server refused the script; report this with the text below")
    };
    (kind, message.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart() {
        for (text, kind) in [
            ("OOM command not allowed when used memory > 'maxmemory'.", BackendErrorKind::Full),
            ("ERR Error running script: @user_script: 9: -OOM command not allowed", BackendErrorKind::Full),
            ("READONLY You can't write against a read only replica.", BackendErrorKind::Unavailable),
            ("NOPERM this user has no permissions", BackendErrorKind::Denied),
            ("ERR user_script:1: attempt to index a nil value", BackendErrorKind::Internal),
        ] {
            assert_eq!(Failure::Refused(text.to_owned()).error(true).kind(), kind, "{text}");
        }
    }

    #[test]
    fn a_lost_answer_leaves_only_changes_unknown() {
        let lost = Failure::Lost(String::new());
        assert!(lost.error(true).is_indeterminate());
        assert!(!lost.error(false).is_indeterminate());
        assert!(!Failure::NotSent(String::new()).error(true).is_indeterminate());
    }
}
