//! The event stream and its pages: in order, resumed without a gap, honest about gaps.

use std::sync::Arc;

use enhanced_locking_core::TablePolicy;
use enhanced_locking_core::memory::MemoryBackend;
use enhanced_locking_foundation::{Limits, SteadyClock};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::common::{Service, config};

/// One message of a stream.
#[derive(Debug, Default, PartialEq)]
struct Message {
    event: String,
    id: String,
    data: Value,
}

/// Reads a stream message by message.
struct Stream {
    response: Response,
    text: String,
}

impl Stream {
    async fn open(service: &Service, last: Option<&str>) -> Self {
        let mut request = service.http.get(service.url("/events"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The next message; `None` if the stream has ended.
    async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some((head, rest)) = self.text.split_once("\n\n") {
                let mut message = Message::default();
                for line in head.lines() {
                    match line.split_once(": ") {
                        Some(("event", name)) => message.event = name.to_owned(),
                        Some(("id", id)) => message.id = id.to_owned(),
                        Some(("data", data)) => message.data = serde_json::from_str(data).unwrap(),
                        _ => {}
                    }
                }
                self.text = rest.to_owned();
                return Some(message);
            }
            let chunk = self.response.chunk().await.unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

#[tokio::test]
async fn a_stream_begins_now_and_tells_what_happens_in_order() {
    let service = Service::start().await;
    service.hold("before", "me").await;
    let mut stream = Stream::open(&service, None).await;
    let start = stream.next().await.unwrap();
    assert_eq!(
        (start.event.as_str(), start.id.as_str(), &start.data),
        ("start", "0:1", &json!({ "cursor": "0:1" }))
    );
    let lock = service.hold("demo", "me").await;
    let place = service.queue("demo", "you").await;
    service.release(&lock).await;
    let mut kinds = Vec::new();
    for seq in 2..=5 {
        let message = stream.next().await.unwrap();
        assert_eq!((message.event.as_str(), &message.id), ("", &format!("0:{seq}")));
        assert_eq!(
            (&message.data["seq"], &message.data["id"], &message.data["key"]),
            (&json!(seq), &json!(message.id), &json!("demo"))
        );
        kinds.push((message.data["kind"].as_str().unwrap().to_owned(), message.data["request_id"].clone()));
    }
    let (mine, yours) = (lock["id"].clone(), place["request_id"].clone());
    let want = [("acquired", &mine), ("queued", &yours), ("released", &mine), ("granted", &yours)];
    assert_eq!(kinds, want.map(|(kind, id)| (kind.to_owned(), id.clone())));
}

#[tokio::test]
async fn a_stream_that_broke_goes_on_without_a_gap() {
    let service = Service::start().await;
    let mut stream = Stream::open(&service, None).await;
    let mut last = stream.next().await.unwrap().id;
    assert_eq!(last, "0:0", "the start can be resumed even if nothing happened yet");
    let mut seen = Vec::new();
    for round in 0..5 {
        for n in 0..=round {
            service.hold(&format!("k{round}-{n}"), "me").await;
        }
        // Read some, lose the connection, miss some, come back.
        for _ in 0..=round / 2 {
            let message = stream.next().await.unwrap();
            last = message.id;
            seen.push(message.data["seq"].as_u64().unwrap());
        }
        drop(stream);
        stream = Stream::open(&service, Some(&last)).await;
        assert_eq!(stream.next().await.unwrap().event, "start");
    }
    while seen.len() < 15 {
        seen.push(stream.next().await.unwrap().data["seq"].as_u64().unwrap());
    }
    assert_eq!(seen, (1..=15).collect::<Vec<u64>>());
}

#[tokio::test]
async fn a_reader_that_was_away_for_too_long_is_told_of_the_gap() {
    let limits = Limits { events: 3, ..Limits::default() };
    let policy = TablePolicy { limits, ..TablePolicy::default() };
    let service = Service::over(config(), MemoryBackend::new(policy, Arc::new(SteadyClock::new()))).await;
    for n in 0..10 {
        service.hold(&format!("k{n}"), "me").await;
    }
    let mut stream = Stream::open(&service, Some("0:2")).await;
    assert_eq!(stream.next().await.unwrap().event, "start");
    let gap = stream.next().await.unwrap();
    assert_eq!((gap.event.as_str(), &gap.data["missed"]), ("gap", &json!(true)));
    for seq in 8..=10 {
        let message = stream.next().await.unwrap();
        assert_eq!((&message.data["seq"], message.id), (&json!(seq), format!("0:{seq}")));
    }
    // A place in a future that never was: the store was replaced.
    let mut stream = Stream::open(&service, Some("0:999")).await;
    stream.next().await.unwrap();
    assert_eq!(stream.next().await.unwrap().event, "gap");
}

#[tokio::test]
async fn a_page_waits_for_news() {
    let service = Service::start().await;
    let (_, end) = service.get("/events/end").await;
    let path = format!("/events/page?after={}&wait_ms=60000", end["cursor"].as_str().unwrap());
    let ((status, page), _) = tokio::join!(service.get(&path), service.hold("demo", "me"));
    assert_eq!(status, StatusCode::OK);
    assert_eq!((&page["events"][0]["kind"], &page["missed"]), (&json!("acquired"), &json!(false)), "{page}");
    let (_, page) =
        service.get(&format!("/events/page?after={}&wait_ms=5", page["next"].as_str().unwrap())).await;
    assert_eq!(page["events"], json!([]));
}

#[tokio::test]
async fn pages_are_as_long_as_asked() {
    let service = Service::start().await;
    for n in 0..5 {
        service.hold(&format!("k{n}"), "me").await;
    }
    let (_, page) = service.get("/events/page?limit=2").await;
    assert_eq!((page["events"].as_array().unwrap().len(), &page["next"]), (2, &json!("0:2")));
    let (_, page) = service.get("/events/page?after=0:2").await;
    assert_eq!(page["events"].as_array().unwrap().len(), 3);
}
