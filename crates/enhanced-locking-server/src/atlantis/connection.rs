//! One connection: requests in, answers out, in order and in time. Owns the limits that keep one client from harming the
//! others; what is asked is answered in `commands`.

use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout, timeout_at};

use super::resp::{Reply, RequestLimits, take_request};
use super::session::Session;
use super::{Shared, commands};

/// Bytes that any connection may hold on to while a request arrives.
const SMALL: usize = 256 << 10;

/// How many connections may hold on to more than that: what they hold together is bounded.
pub(super) const LARGE_REQUESTS_MAX: usize = 16;

/// Bytes of answers that are collected before they are sent.
const ANSWERS: usize = 64 << 10;

/// Requests that are answered before others get their turn.
const TURN: usize = 64;

/// Serves a connection until the client closes it, says what is not the protocol, is silent for too long, or the
/// service stops.
pub(super) async fn serve<S>(shared: &Arc<Shared>, mut stream: S, mut session: Session) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut input = Input::default();
    let mut answers = Vec::new();
    let deadline = Instant::now() + shared.config.handshake_timeout;
    loop {
        let mut turn = 0;
        loop {
            let limits = if session.is_known() { RequestLimits::KNOWN } else { RequestLimits::STRANGER };
            match take_request(&mut input.buffer, limits) {
                Ok(None) => break,
                Ok(Some(request)) if request.is_empty() => {}
                Ok(Some(request)) => {
                    input.taken();
                    let reply = commands::answer(shared, &mut session, &request).await;
                    reply.write(session.version(), &mut answers);
                }
                Err(error) => {
                    Reply::Error(error.to_string()).write(2, &mut answers);
                    session.end();
                }
            }
            if session.is_over() {
                send(shared, &mut stream, &mut answers).await?;
                return timeout(shared.config.request_timeout, stream.shutdown()).await?;
            }
            if answers.len() >= ANSWERS {
                send(shared, &mut stream, &mut answers).await?;
            }
            turn += 1;
            if turn == TURN {
                turn = 0;
                tokio::task::yield_now().await;
            }
        }
        send(shared, &mut stream, &mut answers).await?;
        let patience = match session.is_known() {
            true if input.buffer.is_empty() => Instant::now() + shared.config.idle_timeout,
            true => input.started() + shared.config.request_timeout,
            false => deadline,
        };
        let read = tokio::select! {
            // What has arrived in full was answered above.
            () = shared.stopping.cancelled() => return Ok(()),
            read = timeout_at(patience, input.read(shared, &mut stream)) => read??,
        };
        if read == 0 {
            return Ok(());
        }
    }
}

async fn send<S>(shared: &Shared, stream: &mut S, answers: &mut Vec<u8>) -> io::Result<()>
where
    S: AsyncWrite + Unpin,
{
    if answers.is_empty() {
        return Ok(());
    }
    let sent = async {
        stream.write_all(answers).await?;
        stream.flush().await
    };
    timeout(shared.config.request_timeout, sent).await??;
    answers.clear();
    // One long answer must not keep its room for as long as the connection lives.
    answers.shrink_to(ANSWERS);
    Ok(())
}

/// What has arrived and is not answered yet.
#[derive(Debug, Default)]
struct Input {
    buffer: BytesMut,
    started: Option<Instant>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Input {
    /// When the request that is arriving began.
    fn started(&mut self) -> Instant {
        *self.started.get_or_insert_with(Instant::now)
    }

    fn taken(&mut self) {
        self.started = None;
        if self.permit.take().is_some() {
            // What was read for a long request is given back with its place.
            self.buffer = BytesMut::from(&self.buffer[..]);
        }
    }

    async fn read<S: AsyncRead + Unpin>(&mut self, shared: &Shared, stream: &mut S) -> io::Result<usize> {
        if self.buffer.len() > SMALL && self.permit.is_none() {
            let permit = Arc::clone(&shared.large).acquire_owned().await;
            self.permit = Some(permit.map_err(io::Error::other)?);
        }
        self.buffer.reserve(16 << 10);
        stream.read_buf(&mut self.buffer).await
    }
}
