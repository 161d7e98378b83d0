//! One client that takes, keeps, hands over and gives back locks at random. Owns the choices; what each call may be
//! answered is in `steps`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use enhanced_locking_foundation::{
    AcquireRequest, BatchOutcome, Cause, Lease, LockBackend, LockMode, LockRecord, OwnerId, RequestId,
    RequestState, ResourceKey, Selector, Wait,
};
use enhanced_locking_testkit::history::{Call, Granted, Pending, Recorder};
use enhanced_locking_tests::Random;

use crate::calls::{Calls, Silence};
use crate::steps::Hold;

/// A lease that does not run out during the test.
const LONG: Lease = Lease::For(Duration::from_secs(600));
/// A lease that is meant to run out.
pub(crate) const SHORT: Lease = Lease::For(Duration::from_millis(400));
/// How many locks a client keeps at most.
const KEPT: usize = 3;

/// One of many.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) number: u32,
    pub(crate) calls: Calls,
    pub(crate) recorder: Recorder,
    pub(crate) random: Random,
    /// Keys change from time to time, so that the history of each stays short enough to be searched.
    epoch: Arc<AtomicU64>,
    kept: Vec<Hold>,
    made: u64,
}

impl Client {
    pub(crate) fn new(
        number: u32,
        calls: Calls,
        recorder: Recorder,
        random: Random,
        epoch: Arc<AtomicU64>,
    ) -> Self {
        Self { number, calls, recorder, random, epoch, kept: Vec::new(), made: 0 }
    }

    /// Works until told to stop. What it keeps then, it goes on holding.
    pub(crate) async fn work(mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::SeqCst) {
            match self.random.below(100) {
                0..40 => self.contend().await,
                40..60 => self.keep_one().await,
                60..80 => self.use_one().await,
                80..90 => self.pair().await,
                90..95 => self.contend_for_what_is_forced().await,
                _ => self.let_one_run_out().await,
            }
        }
    }

    fn key(&self, name: &str) -> ResourceKey {
        let epoch = self.epoch.load(Ordering::Relaxed);
        ResourceKey::new(format!("{name}/{epoch}")).unwrap()
    }

    fn owner(&self) -> OwnerId {
        OwnerId::new(format!("client-{}", self.number)).unwrap()
    }

    pub(crate) fn fresh(&mut self, what: &str) -> String {
        self.made += 1;
        format!("{what}-{}-{}", self.number, self.made)
    }

    fn mode(&mut self) -> LockMode {
        if self.random.percent(25) { LockMode::Shared } else { LockMode::Exclusive }
    }

    fn safe_lease(&mut self) -> Lease {
        if self.random.percent(50) { Lease::Sticky } else { LONG }
    }

    /// Takes a lock that others want, works a little, gives it back.
    async fn contend(&mut self) {
        let name = *self.random.pick(&["a", "b", "c", "pair-1", "pair-2"]);
        let wait = match self.random.below(3) {
            0 => Wait::No,
            1 => Wait::AtMost(self.random.millis(20, 1_500)),
            _ => Wait::Forever,
        };
        let request = AcquireRequest::new(self.key(name), self.owner()).mode(self.mode()).wait(wait);
        let request = request.lease(self.safe_lease());
        let Some(hold) = self.take(request, true).await else { return };
        tokio::time::sleep(self.random.millis(0, 8)).await;
        if let Some(hold) = self.perhaps_renew(hold).await {
            self.give_back(hold).await;
        }
    }

    async fn perhaps_renew(&mut self, hold: Hold) -> Option<Hold> {
        if self.random.percent(30) { self.renew(hold).await } else { Some(hold) }
    }

    /// Takes a lock of its own and keeps it over crashes.
    async fn keep_one(&mut self) {
        if self.kept.len() >= KEPT {
            return;
        }
        let key = ResourceKey::new(self.fresh("own")).unwrap();
        let request = AcquireRequest::new(key, self.owner()).lease(self.safe_lease());
        match self.take(request, true).await {
            Some(hold) => self.kept.push(hold),
            None => self.calls.ledger.defect("a key that nobody else knows was not granted"),
        }
    }

    /// Does something with a lock it keeps.
    async fn use_one(&mut self) {
        if self.kept.is_empty() {
            return;
        }
        let at = usize::try_from(self.random.below(self.kept.len() as u64)).unwrap();
        let hold = self.kept.swap_remove(at);
        let hold = match self.random.below(100) {
            0..35 => {
                self.give_back(hold).await;
                None
            }
            35..55 => self.renew(hold).await,
            55..75 => self.hand_over(hold).await,
            75..90 => self.hand_over_to_a_waiter(hold).await,
            _ => {
                self.try_a_wrong_token(&hold).await;
                Some(hold)
            }
        };
        self.kept.extend(hold);
    }

    /// A lock that operators take away.
    async fn contend_for_what_is_forced(&mut self) {
        let key = self.key("forced");
        if self.random.percent(30) {
            let pending = self.recorder.begin(self.number, &key, &RequestId::generate(), Call::Force);
            let cause = Cause::new("operator", "crash test").unwrap();
            let service = &self.calls.service;
            // Not repeated: the second time it would hit somebody else.
            match self.calls.once(async || service.force_release(&key, None, cause.clone()).await).await {
                Ok(Ok(_)) => pending.ok(None),
                Ok(Err(error)) => {
                    self.calls.ledger.defect(format!("a force release failed: {error:?}"));
                    pending.unknown();
                }
                Err(Silence::NotSent) => pending.never_sent(),
                Err(Silence::Unknown) => pending.unknown(),
            }
            return;
        }
        let wait = if self.random.percent(50) { Wait::No } else { Wait::AtMost(Duration::from_secs(1)) };
        let request = AcquireRequest::new(key, self.owner()).wait(wait).lease(self.safe_lease());
        if let Some(hold) = self.take(request, false).await {
            tokio::time::sleep(self.random.millis(0, 20)).await;
            self.give_back(hold).await;
        }
    }

    /// A lock that is left to its lease, as by a client that died.
    async fn let_one_run_out(&mut self) {
        // An owner of its own: asked again, the same one would get the lock it has.
        let owner = OwnerId::new(self.fresh("dead")).unwrap();
        let wait = if self.random.percent(50) { Wait::No } else { Wait::AtMost(Duration::from_millis(300)) };
        let request = AcquireRequest::new(self.key("short"), owner).wait(wait).lease(SHORT);
        let _left = self.take(request, false).await;
    }

    /// Two keys at once: both or none, whatever happens.
    async fn pair(&mut self) {
        let owner = OwnerId::new(self.fresh("pair")).unwrap();
        let floor = self.calls.ledger.highest_token();
        let requests = ["pair-1", "pair-2"]
            .map(|name| AcquireRequest::new(self.key(name), owner.clone()).sticky().wait(Wait::No));
        let call = Call::Acquire { mode: LockMode::Exclusive, lease: None, wait: true };
        let pending = requests
            .each_ref()
            .map(|request| self.recorder.begin(self.number, &request.key, &request.id, call));
        let answer = loop {
            let service = &self.calls.service;
            match self.calls.once(async || service.acquire_all(requests.to_vec()).await).await {
                Ok(answer) => break answer,
                Err(_) => self.assert_both_or_none(&requests).await,
            }
        };
        match answer {
            Ok(BatchOutcome::Held(records)) => {
                for (pending, record) in pending.into_iter().zip(&records) {
                    pending.ok(Some(Granted::from(record)));
                    self.calls.ledger.granted(record, floor);
                    self.calls.ledger.settle_hold(record);
                }
                tokio::time::sleep(self.random.millis(0, 5)).await;
                self.give_back_both(&owner, &records).await;
            }
            Ok(BatchOutcome::Busy(_)) => {
                pending.into_iter().for_each(Pending::failed);
                for request in &requests {
                    self.calls.ledger.ended(&request.id);
                }
            }
            Err(error) => {
                self.calls.ledger.defect(format!("a batch failed: {error:?}"));
            }
        }
    }

    async fn assert_both_or_none(&self, requests: &[AcquireRequest; 2]) {
        let mut held = Vec::new();
        for request in requests {
            let (found, _) = self.calls.resolved(async || self.calls.service.find(&request.id).await).await;
            held.push(matches!(found, Ok(Some((_, RequestState::Held(_))))));
        }
        if held[0] != held[1] {
            self.calls.ledger.defect(format!("a batch was half applied: {held:?} of {requests:?}"));
        }
    }

    async fn give_back_both(&mut self, owner: &OwnerId, records: &[LockRecord]) {
        if self.random.percent(50) {
            for record in records {
                let hold = Hold { record: record.clone(), called: record.request.id.clone(), safe: true };
                self.give_back(hold).await;
            }
            return;
        }
        let ids: Vec<_> = records.iter().map(|record| &record.request.id).collect();
        ids.iter().for_each(|id| self.calls.ledger.unsettle(id));
        let begin = |record: &LockRecord| {
            self.recorder.begin(self.number, &record.request.key, &record.request.id, Call::Cancel)
        };
        let pending: Vec<_> = records.iter().map(begin).collect();
        let selector = Selector::Owner(owner.clone());
        let service = &self.calls.service;
        let (cleared, doubtful) =
            self.calls.resolved(async || service.clear(&selector, Cause::none()).await).await;
        let Ok(cleared) = cleared else { return };
        let expected = cleared.released.len() == records.len() || (doubtful && cleared.released.is_empty());
        if !expected {
            self.calls.ledger.defect(format!("clearing {owner} released {:?}", cleared.released));
        }
        pending.into_iter().for_each(|pending| pending.ok(None));
        ids.iter().for_each(|id| self.calls.ledger.ended(id));
    }
}
