//! Contract §5.3 and §5.4 as far as they are about a store, and locks that others took.

use enhanced_locking_compat::legacy::{LegacyError, TryLock, alias_key};
use enhanced_locking_foundation::{
    AcquireOutcome, AcquireRequest, BackendErrorKind, LockBackend, LockQuery, Metadata, OwnerId, ProjectKey,
    PullRequest, ResourceKey, Transferee,
};

use crate::common::{Store, TEXT, of_pull, value};

#[tokio::test]
async fn keys_that_are_none_are_refused_before_the_store_is_asked() {
    let store = Store::new();
    store.backend.close().await.unwrap();
    for text in ["invalidkey", "", "o/r/\np/w/", "a/b/c"] {
        for error in [
            store.legacy.get_lock(text).await.unwrap_err(),
            store.legacy.unlock(text).await.unwrap_err(),
            store.legacy.unlock_if_owned_by_pull(text, 1).await.unwrap_err(),
        ] {
            assert!(error.to_string().starts_with("invalid key format"), "{text:?}: {error}");
        }
    }
}

#[tokio::test]
async fn texts_that_cannot_be_kept_are_refused_and_nothing_is_stored() {
    let store = Store::new();
    for repo in ["o/r\u{7}".to_owned(), "o/".to_owned() + &"r".repeat(2000), String::new()] {
        let lock = value(|lock| {
            lock.project.repo.clone_from(&repo);
            lock.pull.base_repo.full_name.clear();
        });
        store.legacy.try_lock(&lock).await.unwrap_err();
    }
    assert_eq!((store.count().await, store.documents.names().len()), (0, 0));
}

#[tokio::test]
async fn failures_of_the_store_are_told() {
    let store = Store::new();
    store.backend.close().await.unwrap();
    let closed = |error: LegacyError| {
        assert!(matches!(&error, LegacyError::Store(e) if e.kind() == BackendErrorKind::Closed), "{error:?}");
    };
    closed(store.legacy.try_lock(&of_pull(1)).await.unwrap_err());
    closed(store.legacy.get_lock(TEXT).await.unwrap_err());
    closed(store.legacy.unlock(TEXT).await.unwrap_err());
    closed(store.legacy.unlock_if_owned_by_pull(TEXT, 1).await.unwrap_err());
    closed(store.legacy.unlock_by_pull("owner/repo", 1).await.unwrap_err());
    closed(store.legacy.list().await.unwrap_err());
    assert_eq!(store.documents.names().len(), 0);
}

#[tokio::test]
async fn a_repository_with_slashes_is_unlocked_without_taking_its_key_apart() {
    let store = Store::new();
    let lock = value(|lock| {
        lock.project.repo = "group/subgroup/repo".to_owned();
        lock.project.path = "terraform".to_owned();
        lock.project.name = "prod".to_owned();
    });
    let held = store.lock(&lock).await;
    assert_eq!(held.record.owner().as_str(), "group/subgroup/repo#1");
    assert_eq!(store.legacy.texts().await.unwrap(), [held.text.as_str()]);
    assert_eq!(store.legacy.unlock_by_pull("group/subgroup/repo", 1).await.unwrap()[0].text, held.text);
    store.lock(&lock).await;
    assert_eq!(store.legacy.unlock_if_owned_by_pull(&held.text, 1).await.unwrap().unwrap().value, lock);
}

#[tokio::test]
async fn every_listed_key_leads_to_its_lock() {
    let store = Store::new();
    for (repo, path, name) in [
        ("g/s/repo", ".", ""),
        ("acme/infra", "/a", "n"),
        ("acme/infra", "../up", "n/m"),
        ("org/project/repo", "a/b", "x:y%"),
        ("acme/in fra", "ü", ""),
    ] {
        store
            .lock(&value(|lock| {
                lock.project.repo = repo.to_owned();
                lock.project.path = path.to_owned();
                lock.project.name = name.to_owned();
            }))
            .await;
    }
    let texts = store.legacy.texts().await.unwrap();
    assert_eq!(texts.len(), 5);
    for text in texts {
        let held = store.legacy.get_lock(&text).await.unwrap().unwrap();
        assert_eq!(enhanced_locking_compat::key::LockKey::of(held.value.value()).text(), text);
    }
}

#[tokio::test]
async fn the_refusal_is_what_atlantis_says() {
    let store = Store::new();
    store.lock(&of_pull(2)).await;
    let refused = store.legacy.try_lock(&of_pull(0)).await.unwrap();
    let TryLock::HeldBy(held) = &refused else { unreachable!("{refused:?}") };
    assert_eq!(
        held.refusal("link", "atlantis-my-custom-name"),
        "This project is currently locked by an unapplied plan from pull link. To continue, delete the lock from \
         link or apply that plan and merge the pull request.\n\nOnce the lock is released, comment \
         `atlantis-my-custom-name plan` here to re-plan."
    );
}

#[tokio::test]
async fn the_same_pull_request_keeps_its_first_value_and_unlocks_it_once() {
    let store = Store::new();
    let first = store.lock(&of_pull(2)).await;
    let later = value(|lock| {
        lock.pull.number = 2;
        lock.pull.head_commit = "newer".to_owned();
    });
    let again = store.legacy.try_lock(&later).await.unwrap();
    assert_eq!(again, TryLock::Mine(first));
    assert_eq!(store.documents.names().len(), 1);
    assert!(store.legacy.unlock_if_owned_by_pull(TEXT, 2).await.unwrap().is_some());
    assert_eq!(store.legacy.get_lock(TEXT).await.unwrap(), None);
}

#[tokio::test]
async fn a_lock_that_the_command_took_is_told_in_the_words_of_atlantis() {
    let store = Store::new();
    // As `enhanced-locks run --from-atlantis-env` asks.
    let key = ProjectKey::new("acme/infra", "envs/prod", "default").unwrap().name("net").key().unwrap();
    assert_eq!(key, alias_key("acme/infra/envs/prod/default/net").unwrap());
    let url = "https://github.com/acme/infra/pull/42".to_owned();
    let request = AcquireRequest::new(key, OwnerId::new("acme/infra#42").unwrap())
        .pull(PullRequest::new("acme/infra", 42).unwrap())
        .user("alice")
        .metadata(Metadata::new([("url".to_owned(), url)].into()).unwrap());
    let AcquireOutcome::Held(record) = store.backend.acquire(request).await.unwrap() else { unreachable!() };
    let held = store.legacy.get_lock("acme/infra/envs/prod/default/net").await.unwrap().unwrap();
    let want = format!(
        r#"{{"Project":{{"ProjectName":"net","RepoFullName":"acme/infra","Path":"envs/prod"}},"Pull":{{"Num":42,"HeadCommit":"","URL":"https://github.com/acme/infra/pull/42","HeadBranch":"","BaseBranch":"","HardenedNonPRRefCheckout":false,"Author":"alice","Body":"","State":0,"BaseRepo":{{"FullName":"acme/infra","Owner":"acme","Name":"infra","CloneURL":"","SanitizedCloneURL":"","VCSHost":{{"Hostname":"","Type":0}}}}}},"User":{{"Username":"alice","Teams":null}},"Workspace":"default","Time":"{}"}}"#,
        record.acquired_at
    );
    assert_eq!(String::from_utf8(held.value.raw().to_vec()).unwrap(), want);
    // Both are in each other's way, and the same pull request is not in its own.
    let ask = |number| {
        value(|lock| {
            lock.project.repo = "acme/infra".to_owned();
            lock.project.path = "envs/prod".to_owned();
            lock.project.name = "net".to_owned();
            lock.pull.number = number;
        })
    };
    assert!(matches!(store.legacy.try_lock(&ask(7)).await.unwrap(), TryLock::HeldBy(_)));
    assert!(matches!(store.legacy.try_lock(&ask(42)).await.unwrap(), TryLock::Mine(_)));
}

#[tokio::test]
async fn a_lock_without_a_pull_request_is_pull_request_zero() {
    let store = Store::new();
    let key = alias_key(TEXT).unwrap();
    store.backend.acquire(AcquireRequest::new(key, OwnerId::new("nightly").unwrap())).await.unwrap();
    let listed = store.legacy.list().await.unwrap();
    assert_eq!((listed[0].pull_number(), listed[0].value.value().pull.author.as_str()), (0, "nightly"));
    assert!(matches!(store.legacy.try_lock(&of_pull(1)).await.unwrap(), TryLock::HeldBy(_)));
}

#[tokio::test]
async fn keys_that_atlantis_cannot_name_are_left_out() {
    let store = Store::new();
    let host = ProjectKey::new("acme/infra", ".", "default").unwrap().host("github.com").key().unwrap();
    for key in [ResourceKey::new("demo").unwrap(), host] {
        store.backend.acquire(AcquireRequest::new(key, OwnerId::new("me").unwrap())).await.unwrap();
    }
    assert_eq!(store.count().await, 0);
}

#[tokio::test]
async fn after_a_transfer_the_value_speaks_of_the_new_holder() {
    let store = Store::new();
    let held = store.lock(&of_pull(1)).await;
    let mut to = Transferee::new(OwnerId::new("owner/repo#9").unwrap());
    to.pull = Some(PullRequest::new("owner/repo", 9).unwrap());
    store.backend.transfer(&held.record.grant(), to).await.unwrap();
    assert_eq!(store.legacy.get_lock(TEXT).await.unwrap().unwrap().pull_number(), 9);
}

#[tokio::test]
async fn no_token_is_in_what_the_store_or_anybody_shows() {
    let store = Store::new();
    let lock = value(|lock| lock.pull.url = "https://bot:s3cret@github.com/owner/repo/pull/1".to_owned());
    store.lock(&lock).await;
    let locks = store.backend.locks(&LockQuery::default()).await.unwrap();
    assert!(!format!("{locks:?}").contains("s3cret"));
    let held = store.lock(&value(|lock| lock.workspace = "other".to_owned())).await;
    assert!(!format!("{held:?}").contains("s3cret"));
    assert!(String::from_utf8_lossy(held.value.raw()).contains("s3cret"));
}
