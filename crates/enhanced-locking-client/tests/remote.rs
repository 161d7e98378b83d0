//! What a client makes of services that misbehave: none there, silent, dying half-way, speaking something else.
#![cfg(feature = "remote")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests may panic")]

use std::time::Duration;

use enhanced_locking_client::api::Problem;
use enhanced_locking_client::{RemoteBackend, RemoteConfig};
use enhanced_locking_foundation::{
    AcquireError, AcquireOutcome, AcquireRequest, BackendErrorKind, ErrorCode, FencingToken, Grant,
    LockBackend, OwnerId, ReleaseError, RequestId, RequestState, ResourceKey, Ticket,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// A service that takes every request in whole and answers with these bytes, then hangs up. `None`: it stays silent.
async fn service(answer: Option<String>) -> RemoteBackend {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut seen = Vec::new();
                let mut buffer = [0; 4096];
                while !whole(&seen) {
                    match stream.read(&mut buffer).await {
                        Ok(n) if n > 0 => seen.extend_from_slice(&buffer[..n]),
                        _ => return,
                    }
                }
                match answer {
                    Some(answer) => drop(stream.write_all(answer.as_bytes()).await),
                    None => std::future::pending().await,
                }
            });
        }
    });
    let config = RemoteConfig::new(server).answer_timeout(Duration::from_millis(300));
    RemoteBackend::new(&config).unwrap()
}

/// Whether a request has arrived with its body.
fn whole(seen: &[u8]) -> bool {
    let text = String::from_utf8_lossy(seen).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.is_none_or(|length| body.len() >= length.trim().parse::<usize>().unwrap())
}

fn http(status: &str, kind: &str, body: &str) -> Option<String> {
    let length = body.len();
    Some(format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    ))
}

fn refusal(problem: &Problem) -> Option<String> {
    let body = serde_json::to_string(problem).unwrap();
    http(&format!("{} X", problem.status), Problem::MEDIA_TYPE, &body)
}

fn request() -> AcquireRequest {
    AcquireRequest::new(ResourceKey::new("k").unwrap(), OwnerId::new("o").unwrap())
}

fn grant() -> Grant {
    let request = request();
    Grant { key: request.key, id: request.id, token: FencingToken::from_u64(1) }
}

async fn acquire_kind(service: &RemoteBackend) -> BackendErrorKind {
    match service.acquire(request()).await {
        Err(AcquireError::Backend(error)) => error.kind(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_service_that_is_not_there_is_unavailable_and_the_message_says_how_to_start_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let nobody = RemoteBackend::new(&RemoteConfig::new(&server)).unwrap();
    let error = nobody.ping().await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Unavailable);
    assert!(error.message().contains("enhanced-locks serve") && error.message().contains(&server), "{error}");
    assert_eq!(acquire_kind(&nobody).await, BackendErrorKind::Unavailable);
}

#[tokio::test]
async fn a_change_without_an_answer_is_unknown_and_a_question_is_not() {
    for answer in [None, Some(String::new()), Some("HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{".into())]
    {
        let service = service(answer).await;
        assert_eq!(acquire_kind(&service).await, BackendErrorKind::Indeterminate);
        assert_eq!(service.stats().await.unwrap_err().kind(), BackendErrorKind::Unavailable);
    }
}

#[tokio::test]
async fn something_else_at_the_address_is_recognised() {
    let page = service(http("200 OK", "text/html", "<html>hello</html>")).await;
    let error = page.now().await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Corrupt);
    assert!(error.message().contains("check the address"), "{error}");
    let redirect = service(http("302 Found", "text/html", "")).await;
    assert_eq!(acquire_kind(&redirect).await, BackendErrorKind::Corrupt);
}

#[tokio::test]
async fn a_proxy_that_gives_up_half_way_leaves_a_change_unknown() {
    for (status, change) in [
        ("503 Service Unavailable", BackendErrorKind::Unavailable),
        ("502 Bad Gateway", BackendErrorKind::Indeterminate),
        ("504 Gateway Timeout", BackendErrorKind::Indeterminate),
        ("403 Forbidden", BackendErrorKind::Denied),
    ] {
        let proxy = service(http(status, "text/plain", "no")).await;
        assert_eq!(acquire_kind(&proxy).await, change, "{status}");
    }
}

#[tokio::test]
async fn refusals_come_back_as_what_they_were() {
    let busy = service(refusal(&Problem::busy(&[]))).await;
    assert_eq!(busy.acquire(request()).await.unwrap(), AcquireOutcome::Busy(Vec::new()));

    let sent = AcquireError::QueueFull { scope: "for this key", waiting: 3, limit: 3 };
    let full = service(refusal(&Problem::from(&sent))).await;
    assert_eq!(full.acquire(request()).await.unwrap_err().to_string(), sent.to_string());

    let lost = enhanced_locking_foundation::NotHeld { ended: None, current: Some(FencingToken::from_u64(9)) };
    let stale = service(refusal(&Problem::from(&lost))).await;
    match stale.release(&grant()).await {
        Err(ReleaseError::NotHeld(error)) => assert_eq!(error, lost),
        other => panic!("{other:?}"),
    }

    let unknown = Problem::new(ErrorCode::NotFound, 404, "no such request")
        .kind(enhanced_locking_client::api::ProblemKind::Unknown);
    let nobody = service(refusal(&unknown)).await;
    let ticket = Ticket { key: request().key, id: RequestId::generate() };
    assert_eq!(nobody.await_turn(&ticket, Duration::ZERO).await.unwrap(), RequestState::Unknown);
    assert_eq!(nobody.find(&ticket.id).await.unwrap(), None);
}

#[tokio::test]
async fn a_closed_client_sends_nothing() {
    let service = service(None).await;
    service.close().await.unwrap();
    assert_eq!(acquire_kind(&service).await, BackendErrorKind::Closed);
}

#[tokio::test]
async fn renewals_that_lack_an_answer_are_not_taken_for_lost() {
    let service = service(http("200 OK", "application/json", r#"{"results": []}"#)).await;
    let renewal = enhanced_locking_foundation::Renewal { grant: grant(), lease: None };
    assert_eq!(service.renew(vec![renewal]).await.unwrap_err().kind(), BackendErrorKind::Corrupt);
}

/// A service that says it sends a body and then, for as long as somebody listens, sends this again and again.
async fn endless(head: &'static str, piece: Vec<u8>) -> RemoteBackend {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let piece = piece.clone();
            tokio::spawn(async move {
                let mut request = Vec::new();
                while !whole(&request) {
                    stream.read_buf(&mut request).await.unwrap();
                }
                let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{head}\r\n\r\n");
                stream.write_all(head.as_bytes()).await.unwrap();
                // Nothing to send: it waits until the other end hangs up.
                while !piece.is_empty() && stream.write_all(&piece).await.is_ok() {}
                let _ = stream.read(&mut [0]).await;
            });
        }
    });
    RemoteBackend::new(&RemoteConfig::new(server)).unwrap()
}

#[tokio::test]
async fn an_answer_without_end_is_not_taken_in() {
    let mut piece = format!("{:x}\r\n", 1 << 20).into_bytes();
    piece.resize(piece.len() + (1 << 20), b' ');
    piece.extend_from_slice(b"\r\n");
    for (head, piece) in [("transfer-encoding: chunked", piece), ("content-length: 67108865", Vec::new())] {
        let service = endless(head, piece).await;
        let error = service.stats().await.unwrap_err();
        assert_eq!(error.kind(), BackendErrorKind::Corrupt, "{head}");
        assert!(error.message().contains("longer than 67108864 bytes"), "{error}");
        assert!(error.message().contains("check the address"), "{error}");
        assert_eq!(acquire_kind(&service).await, BackendErrorKind::Indeterminate, "{head}");
    }
}

#[tokio::test]
async fn an_answer_that_is_as_long_as_may_be_is_taken_in() {
    let body = [vec![b' '; (64 << 20) - 4], b"null".to_vec()].concat();
    endless("content-length: 67108864", body).await.ping().await.unwrap();
}

/// A service that answers so many pings on each connection, hangs up, and tells so.
async fn patient(pings: usize) -> (RemoteBackend, mpsc::UnboundedReceiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let (closed, over) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            for _ in 0..pings {
                let mut request = Vec::new();
                while !whole(&request) {
                    assert!(stream.read_buf(&mut request).await.unwrap() > 0, "hung up after {pings} pings");
                }
                stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            }
            drop(stream);
            closed.send(()).unwrap();
        }
    });
    (RemoteBackend::new(&RemoteConfig::new(server)).unwrap(), over)
}

#[tokio::test]
async fn calls_one_after_the_other_share_a_connection() {
    let (service, mut over) = patient(20).await;
    for _ in 0..20 {
        service.ping().await.unwrap();
    }
    over.recv().await.unwrap();
}

#[tokio::test]
async fn a_connection_that_was_closed_while_it_rested_costs_no_call() {
    let (service, mut over) = patient(1).await;
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for _ in 0..4 {
        service.ping().await.unwrap();
        over.recv().await.unwrap();
        // The system tells of both in one go: with this connection, the end of the other has been heard.
        let (there, here) =
            tokio::join!(TcpStream::connect(elsewhere.local_addr().unwrap()), elsewhere.accept());
        drop((there.unwrap(), here.unwrap()));
    }
}
