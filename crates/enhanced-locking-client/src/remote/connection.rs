//! One connection to a service, and those that wait to be used again. Owns whether a request left this machine:
//! what follows from it for the caller is the transport's.
//!
//! A connection has no task of its own: who makes a call drives it, so that a call costs no wake of another task.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::http::response::Parts;
use hyper::{Request, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tower::Service;

/// A request as it is sent.
pub(super) type Sent = Request<Full<Bytes>>;

/// How long a connection may wait for its next use; the service, or something in between, may give it up earlier.
const LONGEST_IDLE: Duration = Duration::from_secs(90);

/// The longest answer that is taken in, in bytes. The longest pages of a service are far below it; something else at
/// its address may send without end.
const LONGEST_ANSWER: usize = 64 * 1024 * 1024;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Lost {
    /// Nothing of the request was sent; here it is again.
    Unsent(Box<Sent>, hyper::Error),
    /// It was sent, perhaps in part.
    Unanswered(hyper::Error),
    /// It was sent, and the answer is longer than any of a service.
    TooLong(TooLong),
}

/// An answer that is longer than what is taken in.
#[derive(Debug, thiserror::Error)]
#[error("the answer is longer than {LONGEST_ANSWER} bytes")]
pub(super) struct TooLong;

impl From<hyper::Error> for Lost {
    fn from(error: hyper::Error) -> Self {
        Self::Unanswered(error)
    }
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    wire: Wire,
    idle_since: Instant,
}

/// What moves the bytes of a connection when it is driven.
#[derive(Debug)]
struct Wire {
    inner: http1::Connection<TokioIo<TcpStream>, Full<Bytes>>,
    ended: bool,
}

impl Wire {
    fn drive(&mut self, cx: &mut Context<'_>) {
        if !self.ended {
            // An error is told to the request that it befalls.
            self.ended = Pin::new(&mut self.inner).poll(cx).is_ready();
        }
    }

    /// Takes in a whole body, and lets the connection come to rest.
    ///
    /// After a failure the connection is in the middle of something, and of no more use.
    async fn read(&mut self, mut body: Incoming) -> Result<Bytes, Lost> {
        // One that says how long it is, is not waited for.
        if body.size_hint().lower() > LONGEST_ANSWER as u64 {
            return Err(Lost::TooLong(TooLong));
        }
        let (mut first, mut all) = (Bytes::new(), Vec::new());
        while !body.is_end_stream() {
            let frame = poll_fn(|cx| {
                // Asked first, so that the connection knows there is a reader.
                if let Poll::Ready(frame) = Pin::new(&mut body).poll_frame(cx) {
                    return Poll::Ready(frame);
                }
                self.drive(cx);
                Pin::new(&mut body).poll_frame(cx)
            });
            let Some(frame) = frame.await else { break };
            let Ok(chunk) = frame?.into_data() else { continue };
            if first.len().max(all.len()) + chunk.len() > LONGEST_ANSWER {
                return Err(Lost::TooLong(TooLong));
            }
            // Most bodies come in one piece, which is taken as it is.
            if first.is_empty() {
                first = chunk;
                continue;
            }
            if all.is_empty() {
                all.extend_from_slice(&first);
            }
            all.extend_from_slice(&chunk);
        }
        drop(body);
        poll_fn(|cx| {
            self.drive(cx);
            Poll::Ready(())
        })
        .await;
        Ok(if all.is_empty() { first } else { all.into() })
    }
}

impl Connection {
    async fn open(stream: TokioIo<TcpStream>) -> hyper::Result<Box<Self>> {
        // Bodies are small: to copy one behind its head costs less than to hand the system two pieces.
        let (sender, inner) = http1::Builder::new().writev(false).handshake(stream).await?;
        // It is large, and moves between its callers and those that rest.
        Ok(Box::new(Self { sender, wire: Wire { inner, ended: false }, idle_since: Instant::now() }))
    }

    /// Whether it can be used: looks for a goodbye of the other end that came meanwhile.
    async fn is_usable(&mut self) -> bool {
        poll_fn(|cx| {
            self.wire.drive(cx);
            Poll::Ready(!self.wire.ended && self.sender.is_ready())
        })
        .await
    }

    /// Sends a request and takes in the whole answer.
    pub(super) async fn exchange(&mut self, request: Sent) -> Result<(Parts, Bytes), Lost> {
        let wire = &mut self.wire;
        let answer = {
            let mut answer = pin!(self.sender.try_send_request(request));
            poll_fn(|cx| {
                wire.drive(cx);
                answer.as_mut().poll(cx)
            })
            .await
        };
        let answer = answer.map_err(|mut error| match error.take_message() {
            Some(request) => Lost::Unsent(Box::new(request), error.into_error()),
            None => Lost::Unanswered(error.into_error()),
        })?;
        let (parts, body) = answer.into_parts();
        Ok((parts, wire.read(body).await?))
    }
}

/// The connections to one service, or to a proxy in front of it.
#[derive(Debug)]
pub(super) struct Connections {
    connector: HttpConnector,
    dial: Uri,
    /// The one that was used last is the last.
    idle: Mutex<VecDeque<Box<Connection>>>,
}

impl Connections {
    /// Connections to an address, each of which may take so long to be made.
    pub(super) fn new(dial: Uri, timeout: Duration) -> Self {
        let mut connector = HttpConnector::new();
        // Calls are small and somebody waits for each.
        connector.set_nodelay(true);
        // Shared out among the addresses of a name, so that the second is tried when the first is silent.
        connector.set_connect_timeout(Some(timeout));
        // A caller that waits for a lock for hours finds out that the service is gone.
        connector.set_keepalive(Some(Duration::from_secs(15)));
        connector.set_keepalive_interval(Some(Duration::from_secs(15)));
        connector.set_keepalive_retries(Some(3));
        #[cfg(target_os = "linux")]
        connector.set_tcp_user_timeout(Some(Duration::from_secs(30)));
        Self { connector, dial, idle: Mutex::default() }
    }

    /// Makes a connection.
    pub(super) async fn open(&self) -> Result<Box<Connection>, Box<dyn std::error::Error + Send + Sync>> {
        let mut connector = self.connector.clone();
        poll_fn(|cx| connector.poll_ready(cx)).await?;
        Ok(Connection::open(connector.call(self.dial.clone()).await?).await?)
    }

    /// One that was used before and can be used again.
    pub(super) async fn take(&self) -> Option<Box<Connection>> {
        loop {
            let mut connection = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop_back()?;
            if connection.idle_since.elapsed() < LONGEST_IDLE && connection.is_usable().await {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection for its next use, and lets go of those that had none for too long.
    pub(super) fn keep(&self, mut connection: Box<Connection>) {
        if connection.wire.ended {
            return;
        }
        connection.idle_since = Instant::now();
        let tired = |oldest: &mut Box<Connection>| connection.idle_since - oldest.idle_since >= LONGEST_IDLE;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while idle.front_mut().is_some_and(tired) {
            idle.pop_front();
        }
        idle.push_back(connection);
    }
}
