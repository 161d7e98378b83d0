//! Values whose lock is gone. Owns finding them: they are harmless, and left behind by crashes and expiries only.

use std::time::Duration;

use enhanced_locking_foundation::{DocumentUpdate, RequestId, RequestState, Timestamp};

use super::error::LegacyError;
use super::locks::{LOCK_DOCUMENTS, LegacyLocks, lock_document};

/// A value younger than this may belong to a lock that is being taken.
const AGE_MIN: Duration = Duration::from_secs(600);

/// What a sweep came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Values that were looked at.
    pub seen: usize,
    /// Values that were deleted.
    pub deleted: usize,
    /// Where the next sweep goes on; `None` at the end.
    pub next: Option<String>,
}

impl LegacyLocks {
    /// Deletes the values of locks that are gone, looking at `budget` of them at most, from `cursor` on.
    ///
    /// # Errors
    /// [`LegacyError::Store`]; what was deleted stays deleted.
    pub async fn sweep_orphans(&self, cursor: Option<&str>, budget: usize) -> Result<Swept, LegacyError> {
        let now = self.locks.now().await?;
        let page = self.documents.documents(LOCK_DOCUMENTS, cursor, budget.max(1)).await?;
        let mut swept = Swept { next: page.next, ..Swept::default() };
        for name in page.items {
            swept.seen += 1;
            let id = name.as_str().strip_prefix(LOCK_DOCUMENTS).and_then(|id| RequestId::new(id).ok());
            let Some(id) = id else { continue };
            if made_at(&id).is_some_and(|made| now < made.plus(AGE_MIN)) {
                continue;
            }
            let state = self.locks.find(&id).await?;
            if matches!(state, Some((_, RequestState::Held(_) | RequestState::Queued(_)))) {
                continue;
            }
            self.put(&lock_document(&id)?, DocumentUpdate::delete()).await?;
            swept.deleted += 1;
        }
        Ok(swept)
    }
}

/// When an id was made that we made: the first 48 bits are milliseconds.
fn made_at(id: &RequestId) -> Option<Timestamp> {
    let (high, low) = (id.as_str().get(..8)?, id.as_str().get(9..13)?);
    let millis = u64::from_str_radix(&format!("{high}{low}"), 16).ok()?;
    Some(Timestamp::from_micros(millis.checked_mul(1000)?))
}

#[cfg(test)]
mod tests {
    use enhanced_locking_foundation::{Clock, SteadyClock};

    use super::*;

    #[test]
    fn the_age_of_an_id_is_in_it() {
        let now = SteadyClock::new().now();
        let made = made_at(&RequestId::generate()).unwrap();
        let off = now.since(made).max(made.since(now));
        assert!(off < Duration::from_secs(60), "{off:?}");
        assert_eq!(made_at(&RequestId::new("by-hand").unwrap()), None);
    }
}
