//! One change and its answer, in one place that caller and writer share. Owns how the answer comes back; what is done with a change is the writer's.
//!
//! The caller makes the place and usually lets go of it last: nothing is freed by another thread than made it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use enhanced_locking_core::LockTable;
use enhanced_locking_foundation::{BackendError, Timestamp};
use parking_lot::Mutex;

use crate::shared::lost;

/// A change on its way through the writer. Dropped without an answer, it tells its caller so.
pub(crate) struct Job(Option<Arc<dyn Ask>>);

/// What a caller waits for: its answer, or `None` if there will be none.
pub(crate) struct Answer<F, R>(Arc<Slot<F, R>>);

/// Makes a change and what its caller waits for.
pub(crate) fn ask<F, R>(change: F) -> (Job, Answer<F, R>)
where
    F: FnOnce(&mut LockTable, Timestamp) -> R + Send + 'static,
    R: Send + 'static,
{
    let slot = Arc::new(Slot(Mutex::new(State { stage: Stage::Asked(change), caller: None })));
    (Job(Some(Arc::<Slot<F, R>>::clone(&slot))), Answer(slot))
}

impl Job {
    /// Applies it to the table and keeps the result.
    pub(crate) fn apply(&self, table: &mut LockTable, now: Timestamp) {
        if let Some(slot) = &self.0 {
            slot.apply(table, now);
        }
    }

    /// Lets the caller have the result, or the reason why it does not count.
    pub(crate) fn answer(mut self, failed: Option<BackendError>) {
        self.settle(Some(failed));
    }

    fn settle(&mut self, answer: Option<Option<BackendError>>) {
        let Some(slot) = self.0.take() else { return };
        let caller = slot.settle(answer);
        // Before the caller goes on, so that it is the caller who frees it.
        drop(slot);
        if let Some(caller) = caller {
            caller.wake();
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.settle(None);
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Job")
    }
}

impl<F, R> Future for Answer<F, R> {
    type Output = Option<Result<R, BackendError>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.0.lock();
        match std::mem::replace(&mut state.stage, Stage::Over) {
            Stage::Answered(answer) => Poll::Ready(Some(answer)),
            Stage::Over => Poll::Ready(None),
            under_way => {
                state.stage = under_way;
                match &mut state.caller {
                    Some(caller) => caller.clone_from(context.waker()),
                    none => *none = Some(context.waker().clone()),
                }
                Poll::Pending
            }
        }
    }
}

/// What the writer sees of a change, whatever its result is.
trait Ask: Send + Sync {
    fn apply(&self, table: &mut LockTable, now: Timestamp);

    /// Answers with the result, with an error, or with nothing; returns who is to be woken.
    fn settle(&self, answer: Option<Option<BackendError>>) -> Option<Waker>;
}

struct Slot<F, R>(Mutex<State<F, R>>);

struct State<F, R> {
    stage: Stage<F, R>,
    caller: Option<Waker>,
}

enum Stage<F, R> {
    Asked(F),
    /// The writer is at it.
    Taken,
    Applied(R),
    Answered(Result<R, BackendError>),
    /// The answer was fetched, or there will be none.
    Over,
}

impl<F, R> Ask for Slot<F, R>
where
    F: FnOnce(&mut LockTable, Timestamp) -> R + Send,
    R: Send,
{
    fn apply(&self, table: &mut LockTable, now: Timestamp) {
        let stage = std::mem::replace(&mut self.0.lock().stage, Stage::Taken);
        if let Stage::Asked(change) = stage {
            // Not under the lock: a caller that looks meanwhile need not wait for it.
            let result = change(table, now);
            self.0.lock().stage = Stage::Applied(result);
        }
    }

    fn settle(&self, answer: Option<Option<BackendError>>) -> Option<Waker> {
        let mut state = self.0.lock();
        let stage = std::mem::replace(&mut state.stage, Stage::Over);
        if let Some(failed) = answer {
            state.stage = Stage::Answered(match (failed, stage) {
                (Some(error), _) => Err(error),
                (None, Stage::Applied(result)) => Ok(result),
                (None, _) => Err(lost()),
            });
        }
        state.caller.take()
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Wake, Waker};

    use enhanced_locking_core::TablePolicy;

    use super::*;

    struct Woken(Mutex<usize>);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            *self.0.lock() += 1;
        }
    }

    fn look<F, R>(answer: &mut Answer<F, R>, woken: &Arc<Woken>) -> Poll<Option<Result<R, BackendError>>> {
        let waker = Waker::from(Arc::clone(woken));
        Pin::new(answer).poll(&mut Context::from_waker(&waker))
    }

    #[test]
    fn a_caller_is_woken_once_and_has_the_result_or_the_reason_why_there_is_none() {
        let mut table = LockTable::new(TablePolicy::default());
        for (applied, failed) in [(true, None), (true, Some(lost())), (false, None)] {
            let woken = Arc::new(Woken(Mutex::new(0)));
            let (job, mut answer) = ask(|_, now| now);
            assert!(look(&mut answer, &woken).is_pending());
            if applied {
                job.apply(&mut table, Timestamp::from_micros(7));
            }
            assert!(look(&mut answer, &woken).is_pending(), "it is not answered yet");
            let good = applied && failed.is_none();
            job.answer(failed);
            assert_eq!(*woken.0.lock(), 1);
            match look(&mut answer, &woken) {
                Poll::Ready(Some(Ok(now))) if good => assert_eq!(now, Timestamp::from_micros(7)),
                Poll::Ready(Some(Err(error))) if !good => assert_eq!(error.kind(), lost().kind()),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_caller_hears_when_its_change_is_dropped_and_may_go_away_before() {
        let woken = Arc::new(Woken(Mutex::new(0)));
        let (job, mut answer) = ask(|_, now| now);
        assert!(look(&mut answer, &woken).is_pending());
        drop(job);
        assert_eq!(*woken.0.lock(), 1);
        assert!(matches!(look(&mut answer, &woken), Poll::Ready(None)));
        let (job, answer) = ask(|_, now| now);
        drop(answer);
        job.apply(&mut LockTable::new(TablePolicy::default()), Timestamp::ZERO);
        job.answer(None);
    }
}
