//! Contract §5.1, cases 6 to 26: locks on projects.

use enhanced_locking_compat::key::CommandName;
use enhanced_locking_compat::legacy::TryLock;
use enhanced_locking_compat::record::{CommandLock, ProjectLock, Stored};
use enhanced_locking_foundation::Timestamp;

use crate::common::{Store, TEXT, of_pull, value};

fn named(change: &str) -> Stored<ProjectLock> {
    value(|lock| match change {
        "path" => lock.project.path = "different/path".to_owned(),
        "workspace" => lock.workspace = "different-workspace".to_owned(),
        "repo" => lock.project.repo = "different/repo".to_owned(),
        "name" => lock.project.name = "different-name".to_owned(),
        _ => {}
    })
}

#[tokio::test]
async fn case_6_a_lock_under_an_old_key_is_found_under_the_new_one() {
    let store = Store::new();
    let lock = value(|lock| {
        lock.project.path = "path".to_owned();
        lock.project.name = "myproject".to_owned();
    });
    let taken = store.legacy.try_lock_at("owner/repo/path/default", &lock).await.unwrap();
    assert!(matches!(taken, TryLock::Acquired(_)));
    let found = store.legacy.get_lock("owner/repo/path/default/myproject").await.unwrap().unwrap();
    assert_eq!((&found.value, found.value.value().user.username.as_str()), (&lock, "lkysow"));
    // Those who know the old key only still find it, and it is one lock, told under its new key.
    assert_eq!(store.legacy.get_lock("owner/repo/path/default").await.unwrap().unwrap().value, lock);
    assert_eq!(store.legacy.texts().await.unwrap(), ["owner/repo/path/default/myproject"]);
    assert!(store.legacy.unlock("owner/repo/path/default").await.unwrap().is_some());
    assert_eq!(store.count().await, 0);
}

#[tokio::test]
async fn case_7_a_new_key_stays_as_it_is() {
    let store = Store::new();
    store.lock(&of_pull(1)).await;
    let again = enhanced_locking_compat::legacy::LegacyLocks::new(
        std::sync::Arc::clone(&store.backend) as _,
        std::sync::Arc::clone(&store.documents) as _,
    );
    assert_eq!(again.get_lock(TEXT).await.unwrap().unwrap().value, of_pull(1));
}

#[tokio::test]
async fn case_8_locks_on_commands_are_not_listed() {
    let store = Store::new();
    let command = CommandLock::new(CommandName::Apply, Timestamp::from_micros(1));
    let command = Stored::<CommandLock>::write(command).unwrap();
    store.legacy.lock_command(CommandName::Apply, &command).await.unwrap();
    store.lock(&of_pull(1)).await;
    assert_eq!(store.count().await, 1);
}

#[tokio::test]
async fn cases_9_to_11_all_locks_are_listed() {
    let store = Store::new();
    assert_eq!(store.count().await, 0);
    for repo in 1..=4 {
        store.lock(&value(|lock| lock.project.repo = format!("owner/repo{repo}"))).await;
        assert_eq!(store.count().await, repo);
    }
    let repos: Vec<_> = store.legacy.list().await.unwrap();
    let repos: Vec<_> = repos.iter().map(|held| held.value.value().project.repo.as_str()).collect();
    assert_eq!(repos, ["owner/repo1", "owner/repo2", "owner/repo3", "owner/repo4"]);
}

#[tokio::test]
async fn case_12_what_was_unlocked_is_not_listed() {
    let store = Store::new();
    store.lock(&of_pull(1)).await;
    assert_eq!(store.legacy.unlock(TEXT).await.unwrap().unwrap().value, of_pull(1));
    assert_eq!(store.count().await, 0);
    assert_eq!(store.documents.names(), Vec::<String>::new());
}

#[tokio::test]
async fn case_13_a_free_lock_is_acquired_as_it_was_given() {
    let store = Store::new();
    let held = store.lock(&of_pull(1)).await;
    assert_eq!((held.value, held.text.as_str()), (of_pull(1), TEXT));
    assert!(held.record.request.lease.is_sticky());
    assert_eq!(held.record.owner().as_str(), "owner/repo#1");
}

#[tokio::test]
async fn case_14_only_the_same_project_is_in_the_way() {
    let store = Store::new();
    store.lock(&of_pull(1)).await;
    for change in ["path", "workspace", "repo", "name"] {
        let lock = named(change);
        assert_eq!(store.lock(&lock).await.value, lock, "{change}");
    }
    let refused = store.legacy.try_lock(&of_pull(2)).await.unwrap();
    assert!(matches!(&refused, TryLock::HeldBy(held) if held.pull_number() == 1), "{refused:?}");
    // The value of the one that was refused is gone again.
    assert_eq!(store.documents.names().len(), 5);
}

#[tokio::test]
async fn case_15_unlocking_what_is_free_is_no_error() {
    assert_eq!(Store::new().legacy.unlock(TEXT).await.unwrap(), None);
}

#[tokio::test]
async fn case_16_after_unlocking_another_may_lock() {
    let store = Store::new();
    store.lock(&of_pull(1)).await;
    store.legacy.unlock(TEXT).await.unwrap();
    assert_eq!(store.count().await, 0);
    store.lock(&of_pull(2)).await;
}

#[tokio::test]
async fn case_17_each_lock_is_unlocked_on_its_own() {
    let store = Store::new();
    let locks = ["", "repo", "path", "workspace"].map(named);
    for lock in &locks {
        store.lock(lock).await;
    }
    for (left, lock) in locks.iter().enumerate().map(|(done, lock)| (3 - done, lock)) {
        let text = enhanced_locking_compat::key::LockKey::of(lock.value()).text();
        assert_eq!(store.legacy.unlock(&text).await.unwrap().unwrap().value, *lock);
        assert_eq!(store.count().await, left);
    }
}

#[tokio::test]
async fn cases_18_to_20_only_the_owner_unlocks_its_own() {
    let store = Store::new();
    assert_eq!(store.legacy.unlock_if_owned_by_pull(TEXT, 1).await.unwrap(), None);
    store.lock(&of_pull(1)).await;
    assert_eq!(store.legacy.unlock_if_owned_by_pull(TEXT, 2).await.unwrap(), None);
    assert_eq!(store.legacy.get_lock(TEXT).await.unwrap().unwrap().pull_number(), 1);
    assert_eq!(store.legacy.unlock_if_owned_by_pull(TEXT, 1).await.unwrap().unwrap().value, of_pull(1));
    assert_eq!(store.legacy.get_lock(TEXT).await.unwrap(), None);
}

#[tokio::test]
async fn case_21_a_pull_request_without_locks_has_nothing_to_unlock() {
    assert_eq!(Store::new().legacy.unlock_by_pull("any/repo", 1).await.unwrap(), []);
}

#[tokio::test]
async fn case_22_only_this_pull_request_of_this_repository_loses_its_locks() {
    let store = Store::new();
    store.lock(&of_pull(1)).await;
    for (repo, number) in [("owner/repo", 2), ("different/repo", 1)] {
        assert_eq!(store.legacy.unlock_by_pull(repo, number).await.unwrap(), []);
        assert_eq!(store.count().await, 1);
    }
    let unlocked = store.legacy.unlock_by_pull("owner/repo", 1).await.unwrap();
    assert_eq!((unlocked[0].text.as_str(), &unlocked[0].value), (TEXT, &of_pull(1)));
    assert_eq!((store.count().await, store.documents.names().len()), (0, 0));
}

#[tokio::test]
async fn case_23_after_unlocking_there_is_nothing_left_for_the_pull_request() {
    let store = Store::new();
    store.lock(&of_pull(1)).await;
    store.legacy.unlock(TEXT).await.unwrap();
    assert_eq!(store.legacy.unlock_by_pull("owner/repo", 1).await.unwrap(), []);
    assert_eq!(store.count().await, 0);
}

#[tokio::test]
async fn case_24_all_locks_of_a_pull_request_are_unlocked() {
    let store = Store::new();
    for change in ["", "path", "workspace"] {
        store.lock(&named(change)).await;
    }
    assert_eq!(store.legacy.unlock_by_pull("owner/repo", 1).await.unwrap().len(), 3);
    assert_eq!(store.count().await, 0);
}

#[tokio::test]
async fn cases_25_and_26_a_lock_is_there_or_not() {
    let store = Store::new();
    assert_eq!(store.legacy.get_lock(TEXT).await.unwrap(), None);
    assert!(!store.legacy.is_locked(TEXT).await.unwrap());
    store.lock(&of_pull(1)).await;
    assert_eq!(store.legacy.get_lock(TEXT).await.unwrap().unwrap().value, of_pull(1));
    assert!(store.legacy.is_locked(TEXT).await.unwrap());
}
