//! Stores that fail half way: what is answered is what happened.

use enhanced_locking_compat::legacy::{LegacyError, TryLock};
use enhanced_locking_compat::record::PlanStatus;
use enhanced_locking_foundation::BackendErrorKind;

use crate::common::{Fault, Store, TEXT, of_pull, pull};

#[tokio::test]
async fn a_lock_whose_value_cannot_be_stored_is_not_held() {
    let store = Store::new();
    *store.documents.faults.lock() = Some((1, Fault::Refuse));
    let error = store.legacy.try_lock(&of_pull(1)).await.unwrap_err();
    assert!(matches!(&error, LegacyError::Store(e) if e.kind() == BackendErrorKind::Full), "{error:?}");
    assert!(!error.is_indeterminate());
    assert_eq!(store.legacy.get_lock(TEXT).await.unwrap(), None);
    store.lock(&of_pull(2)).await;
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again() {
    let store = Store::new();
    *store.documents.faults.lock() = Some((2, Fault::LoseAnswer));
    store.lock(&of_pull(1)).await;
    assert_eq!(store.legacy.get_lock(TEXT).await.unwrap().unwrap().value, of_pull(1));
}

#[tokio::test]
async fn answers_that_stay_lost_release_the_lock() {
    let store = Store::new();
    *store.documents.faults.lock() = Some((4, Fault::LoseAnswer));
    let error = store.legacy.try_lock(&of_pull(1)).await.unwrap_err();
    assert!(error.is_indeterminate(), "{error:?}");
    assert_eq!(store.legacy.get_lock(TEXT).await.unwrap(), None);
}

#[tokio::test]
async fn a_value_that_stays_behind_is_in_nobodys_way() {
    let store = Store::new();
    store.lock(&of_pull(1)).await;
    *store.documents.faults.lock() = Some((1, Fault::Refuse));
    assert!(store.legacy.unlock(TEXT).await.unwrap().is_some());
    assert_eq!(store.documents.names().len(), 1);
    let taken = store.legacy.try_lock(&of_pull(2)).await.unwrap();
    assert!(matches!(taken, TryLock::Acquired(_)));
    assert_eq!(store.legacy.get_lock(TEXT).await.unwrap().unwrap().pull_number(), 2);
}

#[tokio::test]
async fn a_lock_without_its_value_is_told_from_its_record() {
    let store = Store::new();
    store.lock(&of_pull(1)).await;
    store.documents.map.lock().clear();
    let held = store.legacy.get_lock(TEXT).await.unwrap().unwrap();
    let lock = held.value.value();
    assert_eq!((lock.pull.number, lock.pull.url.as_str()), (1, "https://github.com/owner/repo/pull/1"));
    assert_eq!((lock.project.path.as_str(), lock.user.username.as_str()), ("parent/child", "lkysow"));
    assert!(store.legacy.unlock_if_owned_by_pull(TEXT, 1).await.unwrap().is_some());
}

#[tokio::test]
async fn a_status_whose_answer_was_lost_is_merged_once() {
    let store = Store::new();
    *store.documents.faults.lock() = Some((1, Fault::LoseAnswer));
    let result = enhanced_locking_compat::legacy::ProjectResult {
        workspace: "default".to_owned(),
        repo_rel_dir: ".".to_owned(),
        status: PlanStatus::Planned,
        ..Default::default()
    };
    let status = store.legacy.update_with_results(&pull(1), &[result]).await.unwrap();
    assert_eq!(status.value().projects.len(), 1);
}
