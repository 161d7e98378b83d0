//! A client of the protocol that is not ours: it knows answers, and nothing else.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than any stall of a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Simple(String),
    Error(String),
    Number(i64),
    Bulk(String),
    Null,
    Array(Vec<Value>),
    Map(Vec<(Value, Value)>),
}

impl Value {
    pub(crate) fn ok() -> Self {
        Self::Simple("OK".to_owned())
    }

    pub(crate) fn bulk(text: impl Into<String>) -> Self {
        Self::Bulk(text.into())
    }

    pub(crate) fn error(self) -> String {
        match self {
            Self::Error(text) => text,
            other => panic!("not an error: {other:?}"),
        }
    }

    pub(crate) fn items(self) -> Vec<Self> {
        match self {
            Self::Array(items) => items,
            other => panic!("not a list: {other:?}"),
        }
    }

    /// The keys of a page.
    pub(crate) fn keys(self) -> Vec<String> {
        let mut page = self.items();
        let keys = page.pop().unwrap().items().into_iter();
        assert_eq!(page, [Self::bulk("0")]);
        let mut keys: Vec<_> =
            keys.map(|key| if let Self::Bulk(key) = key { key } else { panic!() }).collect();
        keys.sort();
        keys
    }
}

pub(crate) struct Client<S = TcpStream> {
    pub(crate) stream: S,
    buffer: Vec<u8>,
}

/// A request as bytes.
pub(crate) fn request<P: AsRef<[u8]>>(parts: &[P]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", parts.len()).into_bytes();
    for part in parts {
        bytes.extend(format!("${}\r\n", part.as_ref().len()).as_bytes());
        bytes.extend(part.as_ref());
        bytes.extend(b"\r\n");
    }
    bytes
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        timeout(PATIENCE, self.stream.write_all(bytes)).await.unwrap().unwrap();
        self.stream.flush().await.unwrap();
    }

    pub(crate) async fn call<P: AsRef<[u8]>>(&mut self, parts: &[P]) -> Value {
        self.send(&request(parts)).await;
        self.answer().await
    }

    /// A call of words.
    pub(crate) async fn say(&mut self, words: &str) -> Value {
        self.call(&words.split(' ').collect::<Vec<_>>()).await
    }

    /// The next bytes are these.
    pub(crate) async fn expect(&mut self, bytes: &[u8]) {
        while self.buffer.len() < bytes.len() {
            assert!(self.more().await, "closed after {:?}", String::from_utf8_lossy(&self.buffer));
        }
        let rest = self.buffer.split_off(bytes.len());
        assert_eq!(String::from_utf8_lossy(&self.buffer), String::from_utf8_lossy(bytes));
        self.buffer = rest;
    }

    /// Whatever comes until the other side closes.
    pub(crate) async fn rest(&mut self) -> String {
        while self.more().await {}
        String::from_utf8_lossy(&std::mem::take(&mut self.buffer)).into_owned()
    }

    async fn more(&mut self) -> bool {
        let mut bytes = [0; 4096];
        match timeout(PATIENCE, self.stream.read(&mut bytes)).await.unwrap() {
            Ok(read) => {
                self.buffer.extend(&bytes[..read]);
                read > 0
            }
            // Closed with something of ours unread.
            Err(_) => false,
        }
    }

    pub(crate) async fn answer(&mut self) -> Value {
        let line = self.line().await;
        let (sign, text) = line.split_at(1);
        let count = || text.parse::<i64>().unwrap();
        match sign {
            "+" => Value::Simple(text.to_owned()),
            "-" => Value::Error(text.to_owned()),
            ":" => Value::Number(count()),
            "_" => Value::Null,
            "$" if text == "-1" => Value::Null,
            "$" => {
                let len = usize::try_from(count()).unwrap();
                while self.buffer.len() < len + 2 {
                    assert!(self.more().await, "closed");
                }
                let rest = self.buffer.split_off(len + 2);
                let mut bytes = std::mem::replace(&mut self.buffer, rest);
                assert_eq!(bytes.split_off(len), b"\r\n");
                Value::Bulk(String::from_utf8(bytes).unwrap())
            }
            "*" => {
                let mut items = Vec::new();
                for _ in 0..count() {
                    items.push(Box::pin(self.answer()).await);
                }
                Value::Array(items)
            }
            "%" => {
                let mut entries = Vec::new();
                for _ in 0..count() {
                    let name = Box::pin(self.answer()).await;
                    entries.push((name, Box::pin(self.answer()).await));
                }
                Value::Map(entries)
            }
            other => panic!("what is {other}{text}?"),
        }
    }

    async fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let rest = self.buffer.split_off(end + 2);
                let line = std::mem::replace(&mut self.buffer, rest);
                return String::from_utf8(line[..end].to_vec()).unwrap();
            }
            assert!(self.more().await, "closed after {:?}", String::from_utf8_lossy(&self.buffer));
        }
    }
}
