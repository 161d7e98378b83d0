//! Load on a store of several processes while something goes wrong, and what must be true of it afterwards. Owns the
//! clients and the verdict; the faults are their tests'.
//!
//! A run has episodes of some seconds each, with keys and clients of their own. Without `CHAOS_SECONDS` there is one.

use std::any::Any;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use enhanced_locking_foundation::{
    AcquireError, AcquireOutcome, AcquireRequest, Cause, LockBackend, OwnerId, QueueQuery, ResourceKey,
};
use enhanced_locking_redis::{RedisBackend, RedisConfig, open};
use enhanced_locking_testkit::guard::GuardedResources;
use enhanced_locking_testkit::history::{Defect, Outcome, Report, Workload, check, drive_all};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep, timeout};

/// Within this time a store that has its servers back must work.
const SOON: Duration = Duration::from_secs(30);
/// Clients of one episode have little to do: within this time they are through, whatever strikes.
const LONGEST_EPISODE: Duration = Duration::from_secs(240);
const CLIENTS: u32 = 6;
const KEYS: u32 = 3;

/// What locks may be seen to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// Everything: nothing that was acknowledged is lost.
    All,
    /// What the class `fast` keeps when a master is lost with its last writes: tokens rise, and so a resource that
    /// checks them loses nothing.
    Tokens,
}

/// When the run is over: its faults end then. It does not end before they have struck.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ending {
    come: Arc<AtomicBool>,
    struck: Arc<AtomicBool>,
}

impl Ending {
    pub(crate) fn has_come(&self) -> bool {
        self.come.load(Ordering::Acquire)
    }

    /// Whether another promotion is wanted: each keeps clients waiting for seconds, so a short run has two.
    pub(crate) fn wants(&self, promotions: u32) -> bool {
        !self.has_come() && (promotions < 2 || setting("CHAOS_SECONDS").is_some())
    }

    /// The fault has struck, and the servers are as they should be again.
    pub(crate) fn strike(&self) {
        self.struck.store(true, Ordering::Release);
    }

    fn has_struck(&self) -> bool {
        self.struck.load(Ordering::Acquire)
    }
}

/// Small numbers that differ from run to run, the same for one seed.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit.max(1)
    }
}

/// The servers, kept until the verdict.
type Servers = Box<dyn Any + Send>;

/// A run: its stores, and the fault that goes on meanwhile.
pub(crate) struct Run {
    stores: Vec<Arc<RedisBackend>>,
    workload: Workload,
    promise: Promise,
    seed: u64,
    ending: Ending,
    fault: Fault,
}

/// What goes wrong meanwhile.
enum Fault {
    /// Nothing, or nothing more: what it counted, and the servers.
    Over(u32, Servers),
    /// It goes on.
    Striking(JoinHandle<(u32, Servers)>),
}

impl Default for Fault {
    fn default() -> Self {
        Self::Over(0, Box::new(()))
    }
}

impl Fault {
    /// Does some work while the fault goes on. Clients try for ever: work that cannot end because the servers are not
    /// what they should be is given up, and the test fails with what the fault died of.
    async fn outlast<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(timeout(LONGEST_EPISODE, work));
        if let Self::Striking(fault) = self {
            tokio::select! {
                done = &mut work => return done.expect("the episode ends"),
                ended = fault => *self = Self::over(ended),
            }
        }
        work.await.expect("the episode ends")
    }

    /// Waits for its end: what it counted, and the servers.
    async fn end(self) -> (u32, Servers) {
        let over = match self {
            Self::Striking(fault) => Self::over(fault.await),
            over => over,
        };
        match over {
            Self::Over(count, servers) => (count, servers),
            Self::Striking(_) => unreachable!("its end was waited for"),
        }
    }

    fn over(ended: Result<(u32, Servers), JoinError>) -> Self {
        match ended.map_err(JoinError::try_into_panic) {
            Ok((count, servers)) => Self::Over(count, servers),
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            Err(Err(error)) => panic!("{error}"),
        }
    }
}

/// What was seen in a run.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// What the fault counted.
    pub(crate) faults: u32,
    pub(crate) grants: usize,
    pub(crate) unknown: usize,
    /// Defects that the promise allows.
    pub(crate) allowed: usize,
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

impl Run {
    /// Opens a store for each configuration, all of one namespace.
    pub(crate) async fn on(configs: Vec<RedisConfig>, promise: Promise) -> Self {
        let mut stores = Vec::new();
        for mut config in configs {
            config.connect_timeout = SOON;
            config.command_timeout = Duration::from_secs(2);
            config.poll_period = Duration::from_millis(250);
            // A replica that has just joined gets its first writes only after a moment.
            let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
            let store = loop {
                match open(config.clone()).await {
                    Ok(store) => break store,
                    Err(error) => assert!(tokio::time::Instant::now() < deadline, "{error}"),
                }
            };
            stores.push(store);
        }
        let workload = Workload {
            rounds: 12,
            keys: KEYS,
            answer: Duration::from_secs(4),
            turn: Duration::from_millis(2_500),
            hold: Duration::from_millis(500),
            pause: Duration::from_millis(20),
            // A client that gave up would leave a lock behind and find it again as its own, by another request.
            tries: 10_000,
            ..Workload::default()
        };
        let seed = setting("CHAOS_SEED").unwrap_or(7);
        Self { stores, workload, promise, seed, ending: Ending::default(), fault: Fault::default() }
    }

    /// The same configuration for so many processes.
    pub(crate) async fn of(config: RedisConfig, processes: usize, promise: Promise) -> Self {
        Self::on(vec![config; processes], promise).await
    }

    pub(crate) fn stores(&self) -> &[Arc<RedisBackend>] {
        &self.stores
    }

    /// Has something go wrong while clients work. It tells how often it struck, and ends when the run does, with all
    /// servers as they should be; it gives them back, so that they live until the verdict.
    pub(crate) fn meanwhile<S: Any + Send>(
        mut self,
        fault: impl FnOnce(Ending, Dice) -> (u32, S) + Send + 'static,
    ) -> Self {
        let (ending, dice) = (self.ending.clone(), Dice(self.seed));
        self.fault = Fault::Striking(spawn_blocking(move || {
            let (count, servers) = fault(ending, dice);
            (count, Box::new(servers) as Servers)
        }));
        self
    }

    /// Lets the clients work, and judges what they saw.
    pub(crate) async fn go(mut self, name: &str) -> Seen {
        let until = Instant::now() + Duration::from_secs(setting("CHAOS_SECONDS").unwrap_or(0));
        let backends: Vec<Arc<dyn LockBackend>> =
            self.stores.iter().map(|store| Arc::clone(store) as _).collect();
        let rows = Arc::new(GuardedResources::checked());
        self.workload.guarded = vec![Arc::clone(&rows)];
        let (mut seen, mut episode, mut all) = (Seen::default(), 0_u64, Report::default());
        loop {
            let workload = Workload { prefix: format!("e{episode}k"), ..self.workload.clone() };
            let seed = self.seed.wrapping_add(episode);
            let history = self.fault.outlast(drive_all(&backends, &workload, CLIENTS, seed)).await;
            let report = check(&history);
            seen.grants += report.grants;
            seen.unknown += history.ops.iter().filter(|op| op.outcome == Outcome::Unknown).count();
            all.defects.extend(report.defects);
            all.undecided.extend(report.undecided);
            episode += 1;
            // A fault that takes long to strike gets the episodes that it needs.
            let struck = self.ending.has_struck() || !matches!(self.fault, Fault::Striking(_));
            if Instant::now() >= until && struck {
                break;
            }
        }
        self.ending.come.store(true, Ordering::Release);
        let (faults, servers) = std::mem::take(&mut self.fault).end().await;
        seen.faults = faults;
        let allowed = |defect: &Defect| self.promise == Promise::Tokens && !is_about_tokens(defect);
        let before = all.defects.len();
        all.defects.retain(|defect| !allowed(defect));
        seen.allowed = before - all.defects.len();
        assert!(all.defects.is_empty(), "{name}, seed {}: {all}", self.seed);
        let updates = rows.updates();
        assert!(updates.written > 0 && updates.lost == 0, "{name}, seed {}: {updates}", self.seed);
        self.lines_move_on().await;
        println!("{name}: {seen:?}, {updates}, {} undecided, seed {}", all.undecided.len(), self.seed);
        for store in &self.stores {
            store.close().await.expect("a farewell");
        }
        drop(servers);
        seen
    }

    /// After all, no waiter is lost: where a line is, somebody holds, and who is put out makes room for the next at
    /// once. A new client finds every key usable.
    async fn lines_move_on(&self) {
        let store = &self.stores[0];
        reachable(store).await;
        let paused = timeout(SOON, async {
            while store.status().await.paused_until.is_some() {
                // The sweep hands on what was not handed on during the pause.
                let _ = store.sweep(1_000).await;
                sleep(Duration::from_millis(50)).await;
            }
        });
        paused.await.expect("the pause ends");
        let query = QueueQuery { waiters: 100, ..QueueQuery::default() };
        let moved = timeout(SOON, async {
            loop {
                while store.sweep(1_000).await.map_or(true, |swept| swept.ended > 0) {}
                let Ok(page) = store.queues(&query).await else { continue };
                if page.items.is_empty() {
                    return;
                }
                for view in page.items {
                    assert!(!view.holders.is_empty(), "a line waits for nobody: {view:?}");
                    let _ = store.force_release(&view.key, None, Cause::none()).await;
                }
            }
        });
        moved.await.expect("lines end");
        for number in 0..KEYS {
            let key = ResourceKey::new(format!("e0k{number}")).unwrap();
            let _ = store.force_release(&key, None, Cause::none()).await;
            let request = AcquireRequest::new(key, OwnerId::new("afterwards").unwrap()).sticky();
            let taken = timeout(SOON, async {
                loop {
                    match store.acquire(request.clone()).await {
                        Ok(AcquireOutcome::Held(record)) => return record,
                        Err(AcquireError::Backend(_)) => sleep(Duration::from_millis(20)).await,
                        other => panic!("{other:?}"),
                    }
                }
            });
            let record = taken.await.expect("a free lock is granted");
            store.release(&record.grant()).await.expect("an answer");
        }
    }
}

/// Whether tokens do not rise. A client whose acknowledged release is lost is told of its own lock, with its token, when
/// it asks anew: that is a lost write and no second grant.
fn is_about_tokens(defect: &Defect) -> bool {
    let ids: Vec<&str> = defect.what.split(" and ").filter_map(|part| part.split(' ').next()).collect();
    let clients: Vec<_> = ids.iter().map(|id| id.rsplit_once('.').map(|(client, _)| client)).collect();
    let re_entry = matches!(clients[..], [one, other] if one == other);
    defect.rule == "H-2" && !re_entry
}

/// Tries until the store works again.
pub(crate) async fn reachable(store: &RedisBackend) {
    let until = Instant::now() + SOON;
    while let Err(error) = store.stats().await {
        assert!(Instant::now() < until, "the store does not find its servers again: {error:?}");
        sleep(Duration::from_millis(20)).await;
    }
}
