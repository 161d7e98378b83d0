//! A real service on a free port over the memory store, and a client to talk to it.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_client::api::EventPageView;
use enhanced_locking_core::TablePolicy;
use enhanced_locking_core::memory::MemoryBackend;
use enhanced_locking_foundation::{
    EventCursor, Lease, LockBackend, ManualClock, SteadyClock, Timestamp, Timing,
};
use enhanced_locking_server::{Server, ServerConfig};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A service that runs until it is dropped or stopped.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    pub(crate) backend: Arc<MemoryBackend>,
    pub(crate) http: reqwest::Client,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<()>>,
}

/// Settings on a free port.
pub(crate) fn config() -> ServerConfig {
    ServerConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        shutdown_grace: Duration::from_secs(5),
        // Longer than any stall of a busy machine.
        default_lease: Lease::For(Duration::from_secs(600)),
        ..ServerConfig::default()
    }
}

/// A store that gives nobody up because a busy machine stalls.
fn patient() -> TablePolicy {
    let timing = Timing { claim_window: Duration::from_secs(600), keep_alive: Duration::from_secs(600) };
    TablePolicy { timing, ..TablePolicy::default() }
}

impl Service {
    pub(crate) async fn start() -> Self {
        Self::with(config()).await
    }

    pub(crate) async fn with(config: ServerConfig) -> Self {
        Self::over(config, MemoryBackend::new(patient(), Arc::new(SteadyClock::new()))).await
    }

    /// With a clock that stands still until it is told to move.
    pub(crate) async fn with_clock() -> (Self, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000)));
        let backend = MemoryBackend::new(patient(), Arc::clone(&clock) as _);
        (Self::over(config(), backend).await, clock)
    }

    pub(crate) async fn over(config: ServerConfig, backend: Arc<MemoryBackend>) -> Self {
        let server = Server::bind(config, Arc::clone(&backend) as Arc<dyn LockBackend>).await.unwrap();
        let address = server.local_addr();
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(server.run(async move {
            let _ = stopped.await;
        }));
        let http = reqwest::Client::builder().timeout(Duration::from_secs(90)).build().unwrap();
        Self { address, backend, http, stop: Some(stop), running: Some(running) }
    }

    /// The address of a call: of the API, or from the root if it begins with `//`.
    pub(crate) fn url(&self, path: &str) -> String {
        match path.strip_prefix("//") {
            Some(root) => format!("http://{}/{root}", self.address),
            None => format!("http://{}/api/enhanced-locks{path}", self.address),
        }
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let mut request = self.http.request(method, self.url(path));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.call(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        self.call(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> (StatusCode, Value) {
        self.call(Method::DELETE, path, None).await
    }

    /// Takes a lock that must be free.
    pub(crate) async fn hold(&self, key: &str, owner: &str) -> Value {
        let (status, body) = self.post("/locks", serde_json::json!({ "key": key, "owner": owner })).await;
        assert_eq!((status, &body["state"]), (StatusCode::OK, &"held".into()), "{body}");
        body["lock"].clone()
    }

    /// Joins the line for a lock that must be held.
    pub(crate) async fn queue(&self, key: &str, owner: &str) -> Value {
        let body = serde_json::json!({ "key": key, "owner": owner, "queue": true });
        let (status, body) = self.post("/locks", body).await;
        assert_eq!((status, &body["state"]), (StatusCode::ACCEPTED, &"queued".into()), "{body}");
        body
    }

    pub(crate) async fn release(&self, lock: &Value) -> (StatusCode, Value) {
        let id = lock["id"].as_str().unwrap();
        self.delete(&format!("/locks/{id}?token={}", lock["token"])).await
    }

    /// Waits until an event of this kind happened to the request with this id or owner.
    pub(crate) async fn happened(&self, kind: &str, who: &str) -> Value {
        let mut after = EventCursor::start();
        loop {
            let page = self.backend.events(&after, 1000).await.unwrap();
            let view = serde_json::to_value(EventPageView::new(&after, &page)).unwrap();
            let found =
                view["events"].as_array().unwrap().iter().find(|event| {
                    event["kind"] == kind && (event["request_id"] == who || event["owner"] == who)
                });
            if let Some(event) = found {
                return event.clone();
            }
            after = page.next;
            if page.events.is_empty() {
                self.backend.await_events(&after, Duration::from_secs(60)).await.unwrap();
                let news = self.backend.events(&after, 1).await.unwrap();
                assert!(!news.events.is_empty(), "no event {kind} of {who} within 60 s");
            }
        }
    }

    /// Tells the service to stop, without waiting for it.
    pub(crate) fn begin_stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits until the service has stopped.
    pub(crate) async fn stopped(&mut self) {
        self.begin_stop();
        if let Some(running) = self.running.take() {
            running.await.unwrap();
        }
    }
}
