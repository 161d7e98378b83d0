//! Faults of a server's clock: it is stepped forwards and back under holders.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use enhanced_locking_foundation::{
    AcquireOutcome, AcquireRequest, Lease, LockBackend, LockRecord, OwnerId, ResourceKey, Wait,
};
use enhanced_locking_redis::{RedisBackend, RedisConfig, Servers, open};
use enhanced_locking_testkit::redis::{RedisServer, ServerOptions};

/// Names the library where it is not where Debian has it.
const LIBRARY: &str = "FAKETIME_LIBRARY";

fn library() -> Option<PathBuf> {
    let named = std::env::var_os(LIBRARY).map(PathBuf::from);
    let installed = ["x86_64-linux-gnu", "aarch64-linux-gnu"]
        .map(|machine| PathBuf::from(format!("/usr/lib/{machine}/faketime/libfaketime.so.1")));
    named.into_iter().chain(installed).find(|path| path.is_file())
}

/// A server whose clock is off by what the file says; or why there is none.
fn server(file: &Path) -> Result<RedisServer, String> {
    let library = library().ok_or(format!("there is no libfaketime, and {LIBRARY} names none"))?;
    std::fs::write(file, "+0").unwrap();
    let plain = RedisServer::start(&ServerOptions::default()).unwrap();
    let told = Command::new(plain.binary().path()).arg("--version").output().unwrap();
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    if !told.contains("malloc=libc") {
        return Err(format!("only a server with the allocator of libc goes with libfaketime: {told}"));
    }
    let options = ServerOptions::default()
        .env("LD_PRELOAD", library.to_string_lossy())
        .env("FAKETIME_TIMESTAMP_FILE", file.to_string_lossy())
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    RedisServer::start(&options).map_err(|error| format!("it does not start with libfaketime: {error}"))
}

async fn ask(store: &RedisBackend, owner: &str) -> AcquireOutcome {
    let request = AcquireRequest::new(ResourceKey::new("k").unwrap(), OwnerId::new(owner).unwrap());
    store.acquire(request.lease(Lease::For(Duration::from_secs(30))).wait(Wait::No)).await.unwrap()
}

async fn take(store: &RedisBackend, owner: &str) -> LockRecord {
    match ask(store, owner).await {
        AcquireOutcome::Held(record) => record,
        other => panic!("{owner} should hold: {other:?}"),
    }
}

#[tokio::test]
async fn a_clock_that_is_stepped_ends_leases_early_and_never_turns_tokens_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("offset");
    let server = match server(&file) {
        Ok(server) => server,
        Err(reason) => {
            println!("SKIPPED: {reason}");
            return;
        }
    };
    let store = open(RedisConfig::new(Servers::unix(server.socket()))).await.unwrap();
    let step = |to: &str| std::fs::write(&file, to).unwrap();
    let first = take(&store, "a").await;
    let before = store.now().await.unwrap();
    step("+1h");
    assert!(store.now().await.unwrap().since(before) >= Duration::from_secs(3_599));
    let second = take(&store, "b").await;
    assert!(second.token > first.token, "the lease was over for the server; the token tells who is late");
    assert!(store.release(&first.grant()).await.is_err());
    // An hour back: the bucket's time waits for the clock, and nothing is granted twice.
    step("+0");
    let AcquireOutcome::Busy(holders) = ask(&store, "c").await else { panic!("it is held") };
    assert_eq!(holders[0].owner().as_str(), "b");
    store.release(&second.grant()).await.unwrap();
    let third = take(&store, "c").await;
    assert!(third.token > second.token && third.acquired_at >= second.acquired_at, "{third:?}");
    store.release(&third.grant()).await.unwrap();
    // Three days back are believed: the clock was wrong before. Tokens rise all the same.
    step("-72h");
    let fourth = take(&store, "d").await;
    assert!(fourth.token > third.token && fourth.acquired_at < before, "{fourth:?}");
    store.release(&fourth.grant()).await.unwrap();
}
