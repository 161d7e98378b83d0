//! One client that takes, keeps, hands over and gives back locks at random. Owns what may be answered to each call when
//! the service is killed in between; everything else is a defect.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use enhanced_locking_foundation::{
    AcquireError, AcquireOutcome, AcquireRequest, BatchOutcome, CancelOutcome, Cause, EndReason,
    FencingToken, Grant, Lease, LockBackend, LockMode, LockRecord, OwnerId, ReleaseError, ReleaseOutcome,
    Renewal, RequestId, RequestState, ResourceKey, Selector, Transferee, Wait,
};
use enhanced_locking_testkit::history::{Call, Granted, Pending, Recorder};
use enhanced_locking_tests::Random;

use crate::calls::{Calls, Silence};
use crate::ledger::is_neglect;

/// A lease that does not run out during the test.
const LONG: Lease = Lease::For(Duration::from_secs(600));
/// A lease that is meant to run out.
const SHORT: Lease = Lease::For(Duration::from_millis(400));
/// How many locks a client keeps at most.
const KEPT: usize = 3;

/// One of many.
#[derive(Debug)]
pub(crate) struct Client {
    number: u32,
    calls: Calls,
    recorder: Recorder,
    random: Random,
    /// Keys change from time to time, so that the history of each stays short enough to be searched.
    epoch: Arc<AtomicU64>,
    kept: Vec<Hold>,
    made: u64,
}

/// A lock as its client knows it.
#[derive(Debug)]
struct Hold {
    record: LockRecord,
    /// In the history a lock that was transferred is another request.
    called: RequestId,
    /// Whether nobody else may end it.
    safe: bool,
}

impl Hold {
    fn grant(&self) -> Grant {
        self.record.grant()
    }

    fn key(&self) -> &ResourceKey {
        &self.record.request.key
    }
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

    fn fresh(&mut self, what: &str) -> String {
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

    /// Asks for a lock until it is held or certainly not. `safe`: only this client can end it.
    async fn take(&mut self, request: AcquireRequest, safe: bool) -> Option<Hold> {
        let floor = self.calls.ledger.highest_token();
        let call = Call::Acquire {
            mode: request.mode,
            lease: request.lease.duration(),
            wait: request.wait.may_queue(),
        };
        let pending = self.recorder.begin(self.number, &request.key, &request.id, call);
        let service = &self.calls.service;
        let (answer, doubtful) = self.calls.resolved(async || service.acquire(request.clone()).await).await;
        match answer {
            Ok(AcquireOutcome::Held(record)) => self.taken(pending, record, &request, floor, safe),
            Ok(AcquireOutcome::Busy(_)) => {
                pending.failed();
                self.calls.ledger.ended(&request.id);
                None
            }
            Ok(AcquireOutcome::Queued(_)) => self.stand(pending, &request, floor, safe).await,
            Err(AcquireError::Finished { ended, .. }) => {
                if !doubtful || !may_end(&request, ended.reason, safe) {
                    self.calls.ledger.defect(format!("{} was answered with its end: {ended:?}", request.id));
                }
                self.calls.ledger.ended(&request.id);
                // Without a line it was held for a while, with one perhaps not.
                if request.wait.may_queue() {
                    pending.failed()
                } else {
                    pending.unknown()
                }
                None
            }
            Err(error) => {
                self.calls.ledger.defect(format!("{request:?} was refused: {error:?}"));
                None
            }
        }
    }

    /// Stands in line until it is held, over, or left at random.
    async fn stand(
        &mut self,
        pending: Pending,
        request: &AcquireRequest,
        floor: FencingToken,
        safe: bool,
    ) -> Option<Hold> {
        let ticket = request.ticket();
        if safe && request.wait == Wait::Forever {
            self.calls.ledger.settle_wait(&ticket);
        }
        loop {
            if self.random.percent(5) {
                return self.leave(pending, request, floor, safe).await;
            }
            let patience = self.random.millis(5, 300);
            let service = &self.calls.service;
            let (state, _) = self.calls.resolved(async || service.await_turn(&ticket, patience).await).await;
            match state {
                Ok(RequestState::Held(record)) => return self.taken(pending, record, request, floor, safe),
                Ok(RequestState::Queued(_)) => {}
                Ok(RequestState::Finished(ended)) => {
                    if !may_end(request, ended.reason, safe) {
                        self.calls.ledger.defect(format!("the place of {} ended: {ended:?}", request.id));
                    }
                    self.calls.ledger.ended(&request.id);
                    pending.failed();
                    return None;
                }
                Ok(RequestState::Unknown) => {
                    self.calls
                        .ledger
                        .defect(format!("{ticket:?} was acknowledged as waiting, and is not known"));
                    return None;
                }
                Err(_) => return None,
            }
        }
    }

    /// Leaves the line.
    async fn leave(
        &mut self,
        pending: Pending,
        request: &AcquireRequest,
        floor: FencingToken,
        safe: bool,
    ) -> Option<Hold> {
        let ticket = request.ticket();
        self.calls.ledger.unsettle(&request.id);
        let leaving = self.recorder.begin(self.number, &request.key, &request.id, Call::Cancel);
        let service = &self.calls.service;
        let cancel = async || service.cancel(&ticket, None, EndReason::Cancelled, Cause::none()).await;
        let (outcome, doubtful) = self.calls.resolved(cancel).await;
        match outcome {
            Ok(CancelOutcome::Held(record)) => {
                leaving.failed();
                return self.taken(pending, record, request, floor, safe);
            }
            Ok(CancelOutcome::Finished(ended)) => {
                let by_us = doubtful && ended.reason == EndReason::Cancelled;
                if !by_us && !may_end(request, ended.reason, safe) {
                    self.calls.ledger.defect(format!("{} left the line and was over: {ended:?}", request.id));
                }
            }
            Ok(CancelOutcome::Cancelled) => {}
            Err(_) => return None,
        }
        leaving.ok(None);
        pending.failed();
        self.calls.ledger.ended(&request.id);
        None
    }

    fn taken(
        &self,
        pending: Pending,
        record: LockRecord,
        request: &AcquireRequest,
        floor: FencingToken,
        safe: bool,
    ) -> Option<Hold> {
        if (&record.request.id, record.owner(), &record.request.key)
            != (&request.id, &request.owner, &request.key)
        {
            self.calls.ledger.defect(format!("{request:?} was answered with {record:?}"));
            return None;
        }
        pending.ok(Some(Granted::from(&record)));
        self.calls.ledger.granted(&record, floor);
        self.calls.ledger.unsettle(&request.id);
        if safe {
            self.calls.ledger.settle_hold(&record);
        }
        let called = request.id.clone();
        Some(Hold { record, called, safe })
    }

    fn lost(&self, hold: &Hold, what: &str, error: &dyn std::fmt::Debug) {
        if hold.safe {
            self.calls.ledger.defect(format!("{what} {:?}: {error:?}", hold.grant()));
        }
        self.calls.ledger.ended(&hold.record.request.id);
    }

    async fn give_back(&self, hold: Hold) {
        let grant = hold.grant();
        self.calls.ledger.unsettle(&grant.id);
        let pending =
            self.recorder.begin(self.number, hold.key(), &hold.called, Call::Release { token: grant.token });
        match self.calls.resolved(async || self.calls.service.release(&grant).await).await {
            (Ok(outcome), doubtful) => {
                if outcome == ReleaseOutcome::AlreadyReleased && !doubtful {
                    self.calls.ledger.defect(format!("{grant:?} was released before anybody asked for it"));
                }
                pending.ok(None);
                self.calls.ledger.ended(&grant.id);
            }
            (Err(ReleaseError::NotHeld(error)), _) => {
                pending.failed();
                self.lost(&hold, "releasing", &error);
            }
            (Err(_), _) => {}
        }
    }

    async fn renew(&self, hold: Hold) -> Option<Hold> {
        let lease = hold.record.request.lease.duration();
        let grant = hold.grant();
        let call = Call::Renew { token: grant.token, lease: lease.unwrap_or_default() };
        let pending = self.recorder.begin(self.number, hold.key(), &hold.called, call);
        let renewal = Renewal { grant, lease };
        let (results, _) =
            self.calls.resolved(async || self.calls.service.renew(vec![renewal.clone()]).await).await;
        match results.ok()?.pop()? {
            Ok(record) => {
                if record.token != hold.record.token {
                    self.calls.ledger.defect(format!("renewed, {:?} became {record:?}", hold.record));
                }
                pending.ok(Some(Granted::from(&record)));
                Some(hold)
            }
            Err(error) => {
                pending.failed();
                self.lost(&hold, "renewing", &error);
                None
            }
        }
    }

    /// A token that is not the lock's must change nothing; the next audit would miss the lock.
    async fn try_a_wrong_token(&self, hold: &Hold) {
        let mut wrong = hold.grant();
        wrong.token = FencingToken::from_u64(wrong.token.as_u64() - 1);
        let (outcome, _) = self.calls.resolved(async || self.calls.service.release(&wrong).await).await;
        if !matches!(outcome, Err(ReleaseError::NotHeld(_))) {
            self.calls.ledger.defect(format!("released by a wrong token: {outcome:?}"));
        }
    }

    /// Hands a lock to somebody new. In the history: taken away from the one, granted to the other.
    async fn hand_over(&mut self, hold: Hold) -> Option<Hold> {
        let heir = OwnerId::new(self.fresh("heir")).unwrap();
        let called = RequestId::generate();
        let call = Call::Acquire {
            mode: hold.record.request.mode,
            lease: hold.record.request.lease.duration(),
            wait: true,
        };
        let given = self.recorder.begin(self.number, hold.key(), &called, call);
        let record = self.transfer(&hold, &heir, given).await?;
        if record.request.id != hold.record.request.id {
            self.calls.ledger.defect(format!("handed over, {:?} became {record:?}", hold.record));
        }
        self.calls.ledger.settle_hold(&record);
        Some(Hold { record, called, safe: true })
    }

    /// Hands a lock to somebody who waits for it: their request becomes the holder.
    async fn hand_over_to_a_waiter(&mut self, hold: Hold) -> Option<Hold> {
        let heir = OwnerId::new(self.fresh("heir")).unwrap();
        let request = AcquireRequest::new(hold.key().clone(), heir.clone()).sticky();
        let call = Call::Acquire { mode: request.mode, lease: None, wait: true };
        let given = self.recorder.begin(self.number, &request.key, &request.id, call);
        let service = &self.calls.service;
        let (place, _) = self.calls.resolved(async || service.acquire(request.clone()).await).await;
        if !matches!(place, Ok(AcquireOutcome::Queued(_))) {
            self.calls.ledger.defect(format!("{request:?} wants what is held and got {place:?}"));
            return None;
        }
        let record = self.transfer(&hold, &heir, given).await?;
        if record.request.id != request.id {
            self.calls
                .ledger
                .defect(format!("handed over to {request:?}, {:?} became {record:?}", hold.record));
        }
        self.calls.ledger.ended(&hold.record.request.id);
        self.calls.ledger.settle_hold(&record);
        Some(Hold { called: record.request.id.clone(), record, safe: true })
    }

    async fn transfer(&self, hold: &Hold, heir: &OwnerId, given: Pending) -> Option<LockRecord> {
        let (grant, floor) = (hold.grant(), self.calls.ledger.highest_token());
        self.calls.ledger.unsettle(&grant.id);
        let taken = self.recorder.begin(self.number, hold.key(), &hold.called, Call::Force);
        let transfer = async || self.calls.service.transfer(&grant, Transferee::new(heir.clone())).await;
        match self.calls.resolved(transfer).await {
            (Ok(record), _) => {
                if record.owner() != heir {
                    self.calls.ledger.defect(format!("{grant:?} was handed to {heir}: {record:?}"));
                }
                taken.ok(None);
                given.ok(Some(Granted::from(&record)));
                self.calls.ledger.granted(&record, floor);
                Some(record)
            }
            (Err(error), _) => {
                taken.failed();
                given.never_sent();
                self.lost(hold, "handing over", &error);
                None
            }
        }
    }
}

/// Whether a request that was acknowledged may have ended without its client.
fn may_end(request: &AcquireRequest, reason: EndReason, safe: bool) -> bool {
    match reason {
        EndReason::TimedOut => matches!(request.wait, Wait::AtMost(_)),
        reason if is_neglect(reason) => !request.lease.is_sticky(),
        EndReason::Expired => request.lease == SHORT,
        EndReason::ForceReleased => !safe,
        _ => false,
    }
}
