//! The Enhanced Locking service: HTTP API, event stream, dashboard (`surfaces`: HTTP).
//!
//! Owns the way from a request on the wire to a call of the [backend port] and back: routing, checks,
//! limits, authentication, problems, and the pages. Lock rules are the backend's; health and metrics are told by
//! whoever implements [`Operations`]; the bodies are in `enhanced-locking-client`.
//!
//! ```no_run
//! # async fn serve(backend: std::sync::Arc<dyn enhanced_locking_foundation::LockBackend>) -> Result<(), Box<dyn std::error::Error>> {
//! use enhanced_locking_server::{Server, ServerConfig};
//!
//! let server = Server::bind(ServerConfig::default(), backend).await?;
//! println!("listening on http://{}", server.local_addr());
//! server.run(std::future::pending()).await;
//! # Ok(())
//! # }
//! ```
//!
//! [backend port]: enhanced_locking_foundation::LockBackend
#![forbid(unsafe_code)]

mod acquire;
mod app;
pub mod atlantis;
mod auth;
mod body;
mod config;
mod connection;
mod dashboard;
mod events;
mod limits;
mod lines;
mod locks;
mod operations;
mod port;
mod problem;
mod requests;
mod routes;
mod server;
mod waits;
mod webhooks;
mod words;

pub use config::{AuthToken, ServerConfig};
pub use port::{BackupError, BareStore, Operations};
pub use routes::{ROUTES, Route};
pub use server::{BindError, Server};
pub use webhooks::WebhookConfig;
