//! Why tokens matter: a holder that was stopped for too long comes back and is refused by what it writes to.
//!
//! Run it with `cargo run -p enhanced-locking --example fencing`.

use std::sync::Arc;

use enhanced_locking::core::{TablePolicy, memory::MemoryBackend};
use enhanced_locking::{
    AcquireOutcome, AcquireRequest, Cause, FenceGuard, FencingToken, LockBackend, OwnerId, ResourceKey,
    SteadyClock,
};

/// A file, a table, a bucket: whatever is guarded keeps the highest token it has seen.
#[derive(Default)]
struct State {
    fence: FenceGuard,
}

impl State {
    fn write(&self, who: &str, token: FencingToken) {
        match self.fence.check(token) {
            Ok(()) => println!("{who} writes with token {token}"),
            Err(stale) => println!("{who} is refused: {stale}"),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let locks = MemoryBackend::new(TablePolicy::default(), Arc::new(SteadyClock::new()));
    let state = State::default();
    let key = ResourceKey::new("prod/network")?;
    let ask =
        |owner| Ok::<_, Box<dyn std::error::Error>>(AcquireRequest::new(key.clone(), OwnerId::new(owner)?));

    let AcquireOutcome::Held(slow) = locks.acquire(ask("slow")?).await? else {
        return Err("it was free".into());
    };
    state.write("slow", slow.token);
    // The slow one stops for longer than its lease, or an operator takes its lock away.
    locks.force_release(&key, None, Cause::new("alice", "the runner is gone")?).await?;
    let AcquireOutcome::Held(next) = locks.acquire(ask("next")?).await? else {
        return Err("it was free".into());
    };
    state.write("next", next.token);
    state.write("slow", slow.token);
    Ok(())
}
