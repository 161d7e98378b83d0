//! A durable lock in a directory, without any server: two tasks take turns.
//!
//! Run it with `cargo run -p enhanced-locking --example quickstart --features embedded`.

use enhanced_locking::embedded::EmbeddedConfig;
use enhanced_locking::manager::{LockManager, ManagerConfig};
use enhanced_locking::{AcquireRequest, OwnerId, ResourceKey};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let store = enhanced_locking::embedded::open(EmbeddedConfig::new(directory.path()))?;
    let locks = LockManager::start(store, ManagerConfig::default());
    let key = ResourceKey::new("prod/network")?;

    let plan = locks.acquire(AcquireRequest::new(key.clone(), OwnerId::new("plan")?)).await?;
    println!("plan holds {key} with token {}", plan.token());

    let apply = tokio::spawn({
        let locks = locks.clone();
        let request = AcquireRequest::new(key, OwnerId::new("apply")?);
        async move { locks.acquire(request).await }
    });
    plan.release().await?;

    let apply = apply.await??;
    println!("apply holds it with the higher token {}", apply.token());
    apply.release().await?;
    locks.shutdown(std::time::Duration::from_secs(5)).await?;
    Ok(())
}
