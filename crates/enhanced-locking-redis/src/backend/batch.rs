//! All or none, over several buckets. Owns the order of buckets and the way back; within a bucket it is one script.

use std::collections::{BTreeMap, BTreeSet};

use enhanced_locking_foundation::{
    AcquireError, AcquireRequest, BackendError, BatchOutcome, LockRecord, RequestId,
};
use futures_util::future::join_all;

use super::RedisBackend;
use crate::durability::Copies;
use crate::wire::{self, Batch, Operation};

/// Requests of one bucket with their places in the batch.
type Part<'a> = (Vec<usize>, Vec<&'a AcquireRequest>);

impl RedisBackend {
    /// Takes all of the locks or none.
    ///
    /// Over several buckets this is not one step: all are asked first, and only if every one would do it are they
    /// taken, in the order of buckets. What was taken is taken back if somebody came in between; others may have
    /// seen it held for that moment, but never two at once.
    pub(super) async fn acquire_batch(
        &self,
        requests: &[AcquireRequest],
    ) -> Result<BatchOutcome, AcquireError> {
        let limit = self.config.policy.limits.batch;
        if requests.len() > limit {
            return Err(AcquireError::LimitReached { what: "locks in one batch", limit });
        }
        let (mut keys, mut ids) = (BTreeSet::new(), BTreeSet::new());
        let mut parts: BTreeMap<usize, Part<'_>> = BTreeMap::new();
        for (place, request) in requests.iter().enumerate() {
            request.check()?;
            if !keys.insert(&request.key) {
                return Err(AcquireError::DuplicateKey { key: request.key.clone() });
            }
            if !ids.insert(&request.id) {
                return Err(AcquireError::IdReused { id: request.id.clone() });
            }
            let part = parts.entry(self.bucket(&request.key)).or_default();
            part.0.push(place);
            part.1.push(request);
        }
        if parts.len() > 1 {
            let asked = parts.iter().map(|(bucket, part)| self.acquire_part(*bucket, part, true));
            let asked = join_all(asked).await.into_iter().map(|asked| asked.map(|(batch, _)| batch));
            if let Some(busy) = busy(requests, asked.zip(parts.values()))? {
                return Ok(busy);
            }
        }
        let mut held: Vec<(usize, bool, LockRecord)> = Vec::with_capacity(requests.len());
        for (bucket, part) in &parts {
            let mut answer = self.acquire_part(*bucket, part, false).await;
            if let Ok((Batch::Held(records), missing)) = &mut answer {
                let (places, missing) = (part.0.iter().zip(std::mem::take(records)), *missing);
                held.extend(places.map(|(place, (new, record))| (*place, new, record)));
                let Some(missing) = missing else { continue };
                self.take_back(&held).await.map_err(|_| missing.missing())?;
                return Err(missing.taken_back().into());
            }
            let answer = answer.map(|(batch, _)| batch);
            self.take_back(&held).await?;
            return match busy(requests, [(answer, part)])? {
                Some(busy) => Ok(busy),
                None => Ok(BatchOutcome::Busy(Vec::new())),
            };
        }
        held.sort_by_key(|(place, ..)| *place);
        Ok(BatchOutcome::Held(held.into_iter().map(|(_, _, record)| record).collect()))
    }

    /// Asks one bucket. Also tells which copies of the answer are missing.
    async fn acquire_part(
        &self,
        bucket: usize,
        part: &Part<'_>,
        dry: bool,
    ) -> Result<(Batch, Option<Copies>), AcquireError> {
        let reply = self.dispatch.ask(bucket, Operation::acquire_all(&part.1, dry)).await?;
        let ids: Vec<&RequestId> = part.1.iter().map(|request| &request.id).collect();
        Ok((wire::all_acquired(&reply.bytes, &ids, &self.config.policy.limits)?, reply.missing))
    }

    /// Gives back what is new, by its token, the last first.
    async fn take_back(&self, held: &[(usize, bool, LockRecord)]) -> Result<(), BackendError> {
        for (_, new, record) in held.iter().rev() {
            if *new {
                self.withdraw(&record.grant()).await?;
            }
        }
        Ok(())
    }
}

/// What is busy in some parts of a batch, in the order asked for; `None` if nothing is.
fn busy<'a>(
    requests: &[AcquireRequest],
    answers: impl IntoIterator<Item = (Result<Batch, AcquireError>, &'a Part<'a>)>,
) -> Result<Option<BatchOutcome>, AcquireError> {
    let mut all = BTreeMap::new();
    for (answer, part) in answers {
        if let Batch::Busy(blocked) = answer? {
            for (at, holders) in blocked {
                let place = part.0[at];
                all.insert(place, (requests[place].id.clone(), holders));
            }
        }
    }
    Ok((!all.is_empty()).then(|| BatchOutcome::Busy(all.into_values().collect())))
}
