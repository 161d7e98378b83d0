//! One call of a client, from asking to knowing what came of it. Owns what may be answered when the service is killed
//! in between; everything else is a defect.

use enhanced_locking_foundation::{
    AcquireError, AcquireOutcome, AcquireRequest, CancelOutcome, Cause, EndReason, FencingToken, Grant,
    LockBackend, LockRecord, OwnerId, ReleaseError, ReleaseOutcome, Renewal, RequestId, RequestState,
    ResourceKey, Transferee, Wait,
};
use enhanced_locking_testkit::history::{Call, Granted, Pending};

use crate::client::{Client, SHORT};
use crate::ledger::is_neglect;

/// A lock as its client knows it.
#[derive(Debug)]
pub(crate) struct Hold {
    pub(crate) record: LockRecord,
    /// In the history a lock that was transferred is another request.
    pub(crate) called: RequestId,
    /// Whether nobody else may end it.
    pub(crate) safe: bool,
}

impl Hold {
    pub(crate) fn grant(&self) -> Grant {
        self.record.grant()
    }

    pub(crate) fn key(&self) -> &ResourceKey {
        &self.record.request.key
    }
}

impl Client {
    /// Asks for a lock until it is held or certainly not. `safe`: only this client can end it.
    pub(crate) async fn take(&mut self, request: AcquireRequest, safe: bool) -> Option<Hold> {
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
    pub(crate) async fn stand(
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
    pub(crate) async fn leave(
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

    pub(crate) async fn give_back(&self, hold: Hold) {
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

    pub(crate) async fn renew(&self, hold: Hold) -> Option<Hold> {
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
    pub(crate) async fn try_a_wrong_token(&self, hold: &Hold) {
        let mut wrong = hold.grant();
        wrong.token = FencingToken::from_u64(wrong.token.as_u64() - 1);
        let (outcome, _) = self.calls.resolved(async || self.calls.service.release(&wrong).await).await;
        if !matches!(outcome, Err(ReleaseError::NotHeld(_))) {
            self.calls.ledger.defect(format!("released by a wrong token: {outcome:?}"));
        }
    }

    /// Hands a lock to somebody new. In the history: taken away from the one, granted to the other.
    pub(crate) async fn hand_over(&mut self, hold: Hold) -> Option<Hold> {
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
    pub(crate) async fn hand_over_to_a_waiter(&mut self, hold: Hold) -> Option<Hold> {
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

    pub(crate) async fn transfer(&self, hold: &Hold, heir: &OwnerId, given: Pending) -> Option<LockRecord> {
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
