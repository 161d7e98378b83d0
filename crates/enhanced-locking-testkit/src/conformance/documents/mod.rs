//! The contract of a store of documents as a suite of small named cases. Owns the [`DocumentFixture`] port, the
//! [macro](crate::document_conformance) that makes one test of each case, and the list of them.

mod cases;

use std::sync::Arc;

use async_trait::async_trait;
use enhanced_locking_foundation::{DocumentStore, Limits, LockBackend};

use super::fixture::run_in_time;

#[doc(hidden)]
pub use cases::*;

/// A store of locks that keeps documents as well.
pub trait DocumentedStore: LockBackend + DocumentStore {}

impl<S: LockBackend + DocumentStore> DocumentedStore for S {}

/// Makes stores for the suite: one fixture per case, so nothing is shared between cases.
#[async_trait]
pub trait DocumentFixture: Send + Sync {
    /// Opens a fresh, empty store. Called at most once per fixture.
    async fn open(&self, limits: Limits) -> Arc<dyn DocumentedStore>;

    /// Closes the store that [`open`](Self::open) made and opens it again; `None` if it is not durable.
    async fn reopen(&self) -> Option<Arc<dyn DocumentedStore>> {
        None
    }
}

/// Runs one case on a runtime of its own. `fixture` is called inside the runtime.
///
/// # Panics
/// If the case fails, does not end within a minute, or no runtime can be made.
pub fn run<F, C>(name: &str, fixture: impl FnOnce() -> F, case: C)
where
    F: DocumentFixture,
    C: for<'f> FnOnce(&'f dyn DocumentFixture) -> std::pin::Pin<Box<dyn Future<Output = ()> + 'f>>,
{
    run_in_time(name, async {
        let fixture = fixture();
        case(&fixture).await;
    });
}

/// Hands the list of cases to a macro.
#[doc(hidden)]
#[macro_export]
macro_rules! __document_cases {
    ($then:ident $($args:tt)*) => {
        $crate::$then! {
            $($args)*
            what_was_never_written_is_not_there
            what_is_written_is_read_back_byte_for_byte
            the_longest_value_is_kept_and_a_longer_one_is_refused
            a_document_is_written_over
            a_document_is_deleted_once
            names_are_told_apart_whatever_they_are_made_of
            absent_is_met_by_nothing_else
            a_value_is_compared_whole
            a_delete_compares_as_well
            of_two_who_write_if_absent_one_wins
            no_update_of_many_writers_is_lost
            names_are_listed_in_the_order_of_their_bytes
            a_prefix_is_taken_as_it_is
            pages_of_any_size_show_every_name_once
            a_page_goes_on_behind_a_name_that_is_gone
            a_cursor_that_is_no_name_is_an_error
            so_many_documents_are_kept
            so_many_bytes_are_kept
            documents_survive_a_restart
            what_is_there_after_a_restart_counts
            locks_and_documents_do_not_disturb_each_other
            a_closed_store_has_no_documents
        }
    };
}

/// Makes one test of every case about documents, in a module of the given name.
///
/// ```
/// use std::sync::Arc;
/// use enhanced_locking_core::{TablePolicy, memory::MemoryBackend};
/// use enhanced_locking_foundation::{Limits, ManualClock};
/// use enhanced_locking_testkit::conformance::documents::{DocumentFixture, DocumentedStore};
///
/// struct Mine;
///
/// #[async_trait::async_trait]
/// impl DocumentFixture for Mine {
///     async fn open(&self, limits: Limits) -> Arc<dyn DocumentedStore> {
///         let policy = TablePolicy { limits, ..TablePolicy::default() };
///         MemoryBackend::new(policy, Arc::new(ManualClock::default()))
///     }
/// }
///
/// enhanced_locking_testkit::document_conformance!(mine, Mine);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! document_conformance {
    ($name:ident, $fixture:expr) => {
        // A function and a module may share a name; so the fixture is named where the caller's names are known.
        #[cfg(test)]
        fn $name() -> impl $crate::conformance::documents::DocumentFixture {
            $fixture
        }

        #[cfg(test)]
        mod $name {
            $crate::__document_cases! { __document_tests $name }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __document_tests {
    ($name:ident $($case:ident)*) => {
        $(
            #[test]
            fn $case() {
                $crate::conformance::documents::run(
                    stringify!($case),
                    super::$name,
                    |fixture| ::std::boxed::Box::pin($crate::conformance::documents::$case(fixture)),
                );
            }
        )*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __document_names {
    ($($case:ident)*) => {
        &[$(stringify!($case),)*]
    };
}

/// The names of all cases, in the order of the list.
pub const CASES: &[&str] = __document_cases!(__document_names);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_case_is_listed() {
        let written = include_str!("cases.rs").lines().filter_map(|line| line.strip_prefix("pub async fn "));
        let written: BTreeSet<&str> = written.filter_map(|rest| rest.split('(').next()).collect();
        let listed: BTreeSet<&str> = CASES.iter().copied().collect();
        assert_eq!(listed, written);
        assert_eq!(listed.len(), CASES.len(), "no case is listed twice");
    }
}
