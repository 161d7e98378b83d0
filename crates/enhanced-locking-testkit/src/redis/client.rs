//! A minimal blocking client of RESP2: what launchers and tests say to a server directly.
//!
//! Owns one connection and the protocol. Has no pool, no reconnect and no TLS on purpose: every server started here
//! also listens on a unix socket, and a test wants to see each failure as it is.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// The longest reply that is read: a length above it is taken for a broken stream.
const MAX_BYTES: usize = 512 * 1024 * 1024;

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A status such as `OK`.
    Status(String),
    /// A number.
    Integer(i64),
    /// A string of bytes.
    Bytes(Vec<u8>),
    /// Nothing: the null string or the null array.
    Nil,
    /// Several replies. An error inside one, as `EXEC` has them, is an [`Reply::Error`].
    Array(Vec<Reply>),
    /// An error inside an array; as the whole reply it is [`CallError::Refused`].
    Error(String),
}

impl Reply {
    /// The text of a status or a string, with bytes that are no UTF-8 replaced.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Status(text) => Some(text.clone()),
            Self::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        }
    }

    /// The number, also if it was sent as a string.
    #[must_use]
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => self.text()?.parse().ok(),
        }
    }

    /// The elements of an array; nothing for any other reply.
    #[must_use]
    pub fn items(&self) -> &[Self] {
        match self {
            Self::Array(items) => items,
            _ => &[],
        }
    }

    /// An array of names and values, as Sentinel sends them, as pairs of texts.
    #[must_use]
    pub fn pairs(&self) -> Vec<(String, String)> {
        self.items().chunks_exact(2).filter_map(|pair| Some((pair[0].text()?, pair[1].text()?))).collect()
    }
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The server said no; the command was not carried out, or not wholly.
    #[error("the server refused: {0}")]
    Refused(String),
    /// The connection failed or timed out: the command may have been carried out.
    #[error("the connection to the server failed")]
    Io(#[from] io::Error),
    /// The bytes are no RESP2.
    #[error("the server does not speak RESP2: {0}")]
    Protocol(String),
}

impl CallError {
    /// What the server said, if it said no.
    #[must_use]
    pub fn refusal(&self) -> Option<&str> {
        match self {
            Self::Refused(text) => Some(text),
            _ => None,
        }
    }
}

/// One connection. After an error other than a refusal it is of no more use.
///
/// ```no_run
/// use std::time::Duration;
/// use enhanced_locking_testkit::redis::Client;
///
/// let mut client = Client::tcp("127.0.0.1:6379".parse()?, Duration::from_secs(1))?;
/// assert_eq!(client.call(["PING"])?.text().as_deref(), Some("PONG"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Client {
    reader: BufReader<Box<dyn Read + Send>>,
    writer: Box<dyn Write + Send>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    /// Connects over TCP. `timeout` holds for connecting and for every read and write.
    ///
    /// # Errors
    /// Those of connecting.
    pub fn tcp(address: SocketAddr, timeout: Duration) -> Result<Self, CallError> {
        let stream = TcpStream::connect_timeout(&address, timeout)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        Ok(Self { reader: BufReader::new(Box::new(stream.try_clone()?)), writer: Box::new(stream) })
    }

    /// Connects to a unix socket. `timeout` holds for every read and write.
    ///
    /// # Errors
    /// Those of connecting.
    pub fn unix(path: &Path, timeout: Duration) -> Result<Self, CallError> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        Ok(Self { reader: BufReader::new(Box::new(stream.try_clone()?)), writer: Box::new(stream) })
    }

    /// Sends one command and reads its reply.
    ///
    /// # Errors
    /// [`CallError`]: a refusal, a broken connection (the outcome is then unknown), or no RESP2.
    pub fn call<A: AsRef<[u8]>>(&mut self, args: impl IntoIterator<Item = A>) -> Result<Reply, CallError> {
        self.send(args)?;
        self.receive()
    }

    /// Sends one command and does not wait: for pipelines, and for replies that never come.
    ///
    /// # Errors
    /// Those of writing.
    pub fn send<A: AsRef<[u8]>>(&mut self, args: impl IntoIterator<Item = A>) -> Result<(), CallError> {
        let args: Vec<A> = args.into_iter().collect();
        let mut frame = format!("*{}\r\n", args.len()).into_bytes();
        for arg in &args {
            let arg = arg.as_ref();
            frame.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
            frame.extend_from_slice(arg);
            frame.extend_from_slice(b"\r\n");
        }
        self.writer.write_all(&frame)?;
        self.writer.flush()?;
        Ok(())
    }

    /// Reads one reply, or one message of a subscription.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn receive(&mut self) -> Result<Reply, CallError> {
        match read_reply(&mut self.reader)? {
            Reply::Error(text) => Err(CallError::Refused(text)),
            reply => Ok(reply),
        }
    }
}

fn read_reply(reader: &mut impl BufRead) -> Result<Reply, CallError> {
    let line = read_line(reader)?;
    let (kind, rest) = line.split_at_checked(1).ok_or_else(|| broken(&line))?;
    match kind {
        "+" => Ok(Reply::Status(rest.to_owned())),
        "-" => Ok(Reply::Error(rest.to_owned())),
        ":" => rest.parse().map(Reply::Integer).map_err(|_| broken(&line)),
        "$" => {
            let Some(length) = length(rest).ok_or_else(|| broken(&line))? else { return Ok(Reply::Nil) };
            let mut bytes = vec![0; length + 2];
            reader.read_exact(&mut bytes)?;
            if !bytes.ends_with(b"\r\n") {
                return Err(broken("a string without its end"));
            }
            bytes.truncate(length);
            Ok(Reply::Bytes(bytes))
        }
        "*" => {
            let Some(length) = length(rest).ok_or_else(|| broken(&line))? else { return Ok(Reply::Nil) };
            (0..length).map(|_| read_reply(reader)).collect::<Result<_, _>>().map(Reply::Array)
        }
        _ => Err(broken(&line)),
    }
}

/// The length of a string or an array: the outer `None` for nonsense, the inner one for null.
fn length(text: &str) -> Option<Option<usize>> {
    match text.parse::<i64>().ok()? {
        -1 => Some(None),
        length => usize::try_from(length).ok().filter(|length| *length <= MAX_BYTES).map(Some),
    }
}

fn read_line(reader: &mut impl BufRead) -> Result<String, CallError> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line)?;
    if line.last() != Some(&b'\n') {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    let line = line.strip_suffix(b"\r\n").ok_or_else(|| broken("a line without its end"))?;
    Ok(String::from_utf8_lossy(line).into_owned())
}

fn broken(what: &str) -> CallError {
    CallError::Protocol(what.chars().take(80).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &str) -> Result<Reply, CallError> {
        read_reply(&mut bytes.as_bytes())
    }

    #[test]
    fn every_kind_of_reply_is_understood() {
        assert_eq!(read("+OK\r\n").unwrap(), Reply::Status("OK".into()));
        assert_eq!(read(":-7\r\n").unwrap().integer(), Some(-7));
        assert_eq!(read("$4\r\na\r\nb\r\n").unwrap(), Reply::Bytes(b"a\r\nb".to_vec()));
        assert_eq!(read("$-1\r\n").unwrap(), Reply::Nil);
        assert_eq!(read("*-1\r\n").unwrap(), Reply::Nil);
        let nested = read("*3\r\n:1\r\n*1\r\n$0\r\n\r\n-ERR no\r\n").unwrap();
        let inner = Reply::Array(vec![Reply::Bytes(Vec::new())]);
        assert_eq!(nested.items(), [Reply::Integer(1), inner, Reply::Error("ERR no".into())]);
    }

    #[test]
    fn nonsense_is_a_typed_error() {
        for text in ["?\r\n", "\r\n", ":x\r\n", "$-2\r\n", "*99999999999\r\n", "+OK\n", "$1\r\nabc"] {
            assert!(matches!(read(text), Err(CallError::Protocol(_))), "{text:?}");
        }
        for text in ["", "+O", "$5\r\nab"] {
            assert!(matches!(read(text), Err(CallError::Io(_))), "{text:?}");
        }
    }

    #[test]
    fn names_and_values_become_pairs() {
        let reply = read("*4\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$1\r\n2\r\n").unwrap();
        assert_eq!(reply.pairs(), [("a".into(), "1".into()), ("b".into(), "2".into())]);
    }
}
