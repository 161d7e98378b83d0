//! The defects of Atlantis' own locking, B1 to B15 of the contract: one test each that shows it gone.

use std::sync::Arc;

use enhanced_locking_compat::key::{CommandName, LockKey, RedisKey};
use enhanced_locking_compat::legacy::{LegacyLocks, ProjectResult, TryLock, alias_key};
use enhanced_locking_compat::record::{CommandLock, PlanStatus, ProjectLock, Stored};
use enhanced_locking_foundation::{LockBackend, Timestamp};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::common::{Fault, Store, TEXT, of_pull, pull, value};

fn at(repo: &str, path: &str, number: i64) -> Stored<ProjectLock> {
    value(|lock| {
        lock.project.repo = repo.to_owned();
        lock.project.path = path.to_owned();
        lock.pull.number = number;
    })
}

#[tokio::test]
async fn b1_old_keys_with_long_paths_and_sub_groups_exclude_the_new_ones() {
    for (repo, old) in [
        ("acme/infra", "acme/infra/parent/child/default"),
        ("group/sub/repo", "group/sub/repo/parent/child/default"),
    ] {
        let store = Store::new();
        let lock = at(repo, "parent/child", 42);
        assert!(matches!(store.legacy.try_lock_at(old, &lock).await.unwrap(), TryLock::Acquired(_)));
        let other = store.legacy.try_lock(&at(repo, "parent/child", 77)).await.unwrap();
        assert!(matches!(other, TryLock::HeldBy(_)), "{other:?}");
        // What is listed can be unlocked, by its old and by its new key.
        let text = format!("{old}/");
        assert_eq!(store.legacy.texts().await.unwrap(), [text.as_str()]);
        assert_eq!(store.legacy.get_lock(old).await.unwrap().unwrap().pull_number(), 42);
        assert_eq!(store.legacy.unlock_by_pull(repo, 42).await.unwrap().len(), 1);
        assert_eq!(store.legacy.unlock_by_pull(repo, 42).await.unwrap().len(), 0);
        // And it is not the lock of a stranger that is unlocked.
        store.lock(&at(repo, "parent/child", 77)).await;
        assert_eq!(store.legacy.unlock_by_pull(repo, 42).await.unwrap().len(), 0);
        assert_eq!(store.count().await, 1);
    }
}

#[tokio::test]
async fn b2_all_locks_are_seen_however_many_there_are() {
    let store = Store::new();
    for number in 0..2_500 {
        store.lock(&at("acme/infra", &format!("p{number}"), 42)).await;
    }
    assert_eq!(store.count().await, 2_500);
    assert_eq!(store.legacy.unlock_by_pull("acme/infra", 42).await.unwrap().len(), 2_500);
    assert_eq!(store.count().await, 0);
}

#[tokio::test]
async fn b3_repositories_with_a_common_beginning_are_not_one() {
    let store = Store::new();
    for repo in ["acme/infra", "acme/infra2", "acme/infr*", "acme/[i]nfra"] {
        store.lock(&at(repo, ".", 42)).await;
    }
    assert_eq!(store.legacy.unlock_by_pull("acme/infra", 42).await.unwrap().len(), 1);
    assert_eq!(store.legacy.unlock_by_pull("acme/infr*", 42).await.unwrap().len(), 1);
    assert_eq!(store.count().await, 2);
}

#[tokio::test]
async fn b4_who_comes_in_between_keeps_the_lock() {
    let store = Store::new();
    store.lock(&of_pull(1)).await;
    let read = store.legacy.get_lock(TEXT).await.unwrap().unwrap();
    store.legacy.unlock(TEXT).await.unwrap();
    store.lock(&of_pull(2)).await;
    assert!(!store.legacy.unlock_grant(&read.record.grant()).await.unwrap());
    assert_eq!(store.legacy.get_lock(TEXT).await.unwrap().unwrap().value, of_pull(2));
    assert!(store.legacy.is_locked(TEXT).await.unwrap());
}

/// Runs two writers against each other; how often both succeeded, and how often none.
async fn race<F, T>(rounds: usize, legacy: &LegacyLocks, go: F) -> (usize, usize)
where
    F: Fn(LegacyLocks, usize, i64) -> T + Clone + Send + Sync + 'static,
    T: Future<Output = bool> + Send,
{
    let start = Arc::new(Barrier::new(2));
    let mut writers = JoinSet::new();
    for writer in 1..=2 {
        let (start, legacy, go) = (Arc::clone(&start), legacy.clone(), go.clone());
        writers.spawn(async move {
            let mut won = Vec::with_capacity(rounds);
            for round in 0..rounds {
                start.wait().await;
                won.push(go(legacy.clone(), round, writer).await);
            }
            won
        });
    }
    let won = writers.join_all().await;
    let both = won[0].iter().zip(&won[1]).filter(|(one, two)| **one && **two).count();
    let none = won[0].iter().zip(&won[1]).filter(|(one, two)| !**one && !**two).count();
    (both, none)
}

#[tokio::test(flavor = "multi_thread")]
async fn b5_of_two_that_take_a_lock_at_once_one_has_it() {
    let store = Store::new();
    let outcome = race(2_000, &store.legacy, |legacy, round, number| async move {
        let taken = legacy.try_lock(&at("acme/infra", &format!("p{round}"), number)).await.unwrap();
        if let TryLock::HeldBy(held) = &taken {
            assert_ne!(held.pull_number(), number);
        }
        matches!(taken, TryLock::Acquired(_))
    });
    assert_eq!(outcome.await, (0, 0));
    for held in store.legacy.list().await.unwrap() {
        assert_eq!(held.record.owner().as_str(), format!("acme/infra#{}", held.pull_number()));
    }
    assert_eq!(store.documents.names().len(), 2_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn b6_of_two_that_lock_a_command_at_once_one_succeeds() {
    let store = Store::new();
    let outcome = race(2_000, &store.legacy, |legacy, round, writer| async move {
        let command = CommandName::ALL[round % 2];
        let at = Timestamp::from_micros(1_000_000 * writer.unsigned_abs());
        let lock = Stored::<CommandLock>::write(CommandLock::new(command, at)).unwrap();
        let won = legacy.lock_command(command, &lock).await.is_ok();
        // Before the next round of this command, the one of the other command is run.
        if won {
            let found = legacy.check_command_lock(command).await.unwrap().unwrap();
            assert_eq!(found.value().unix_seconds, writer);
            legacy.unlock_command(CommandName::ALL[(round + 1) % 2]).await.ok();
        }
        won
    });
    assert_eq!(outcome.await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn b7_locks_that_come_and_go_do_not_keep_the_others_from_being_listed() {
    let store = Store::new();
    for path in 0..50 {
        store.lock(&at("acme/infra", &format!("stays{path}"), 1)).await;
    }
    let legacy = store.legacy.clone();
    let churn = tokio::spawn(async move {
        for round in 0..500 {
            let lock = at("acme/infra", &format!("goes{}", round % 7), 2);
            legacy.try_lock(&lock).await.unwrap();
            legacy.unlock(&LockKey::of(lock.value()).text()).await.unwrap();
        }
    });
    let mut lists = 0;
    while lists < 20 || !churn.is_finished() {
        let listed = store.legacy.list().await.unwrap();
        let stay = listed.iter().filter(|held| held.text.contains("stays")).count();
        assert_eq!(stay, 50);
        lists += 1;
        tokio::task::yield_now().await;
    }
    churn.await.unwrap();
    assert_eq!(store.legacy.unlock_by_pull("acme/infra", 1).await.unwrap().len(), 50);
}

#[tokio::test]
async fn b8_the_status_of_a_host_called_pr_is_no_lock() {
    let store = Store::new();
    let key = "prod-git.example.com::acme/infra::9";
    store.legacy.set_key(key, Some(br#"{"Projects":null,"Pull":{"Num":9}}"#.to_vec())).await.unwrap();
    assert!(matches!(RedisKey::of(key), RedisKey::Pull(_)));
    assert_eq!(store.count().await, 0);
    assert_eq!(store.legacy.keys().await.unwrap(), [key]);
}

#[tokio::test(flavor = "multi_thread")]
async fn b9_values_that_were_read_stay_what_they_are_while_others_write() {
    let store = Store::new();
    let mine = value(|lock| lock.pull.body = "x".repeat(100_000));
    store.lock(&mine).await;
    let legacy = store.legacy.clone();
    let writes = tokio::spawn(async move {
        for path in 0..300 {
            let lock = value(|lock| {
                lock.project.path = format!("p{path}");
                lock.pull.body = "y".repeat(50_000);
            });
            legacy.try_lock(&lock).await.unwrap();
        }
    });
    let early = store.legacy.list().await.unwrap();
    while !writes.is_finished() {
        assert_eq!(store.legacy.get_lock(TEXT).await.unwrap().unwrap().value, mine);
        tokio::task::yield_now().await;
    }
    writes.await.unwrap();
    assert!(early.iter().any(|held| held.value == mine));
}

#[tokio::test]
async fn b10_a_damaged_value_harms_nobody() {
    let store = Store::new();
    for path in ["a", "b", "c"] {
        store.lock(&at("acme/infra", path, 42)).await;
    }
    let names = store.documents.names();
    store.documents.map.lock().insert(names[1].clone(), b"{\"Pull\":{\"Num\":\"42\"".to_vec());
    assert_eq!(store.count().await, 3);
    // It is told, refused to others, and unlocked like any other.
    let text = "acme/infra/b/default/";
    assert_eq!(store.legacy.get_lock(text).await.unwrap().unwrap().pull_number(), 42);
    assert!(matches!(store.legacy.try_lock(&at("acme/infra", "b", 7)).await.unwrap(), TryLock::HeldBy(_)));
    assert!(store.legacy.unlock(text).await.unwrap().is_some());
    assert_eq!(store.legacy.unlock_by_pull("acme/infra", 42).await.unwrap().len(), 2);
}

#[tokio::test]
async fn b11_an_old_key_does_not_replace_a_newer_lock() {
    let store = Store::new();
    let newer = value(|lock| (lock.project.path, lock.pull.number) = ("path".to_owned(), 2));
    store.lock(&newer).await;
    let older = value(|lock| lock.project.path = "path".to_owned());
    let taken = store.legacy.try_lock_at("owner/repo/path/default", &older).await.unwrap();
    assert!(matches!(&taken, TryLock::HeldBy(held) if held.value == newer), "{taken:?}");
    assert_eq!(store.legacy.get_lock("owner/repo/path/default/").await.unwrap().unwrap().value, newer);
}

#[tokio::test]
async fn b12_an_unlock_that_failed_is_not_told_as_done() {
    let store = Store::new();
    store.lock(&of_pull(1)).await;
    store.backend.close().await.unwrap();
    assert!(store.legacy.unlock(TEXT).await.is_err());
    assert!(store.legacy.unlock_by_pull("owner/repo", 1).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn b13_updates_at_once_lose_nothing() {
    let store = Store::new();
    let mut updates = JoinSet::new();
    for writer in 0..8 {
        let legacy = store.legacy.clone();
        updates.spawn(async move {
            for round in 0..10 {
                let result = ProjectResult {
                    workspace: "default".to_owned(),
                    repo_rel_dir: format!("{writer}/{round}"),
                    status: PlanStatus::Planned,
                    ..ProjectResult::default()
                };
                legacy.update_with_results(&pull(1), &[result]).await.unwrap();
            }
        });
    }
    updates.join_all().await;
    // One of the answers was lost as well.
    *store.documents.faults.lock() = Some((1, Fault::LoseAnswer));
    store.legacy.update_project(&pull(1), "default", "0/0", PlanStatus::Applied).await.unwrap();
    let status = store.legacy.pull_status(&pull(1)).await.unwrap().unwrap();
    assert_eq!(status.value().projects.len(), 80);
    let applied = status.value().projects.iter().filter(|one| one.status == PlanStatus::Applied).count();
    assert_eq!(applied, 1);
}

#[tokio::test]
async fn b14_equal_numbers_on_two_hosts_are_not_one_pull_request() {
    let store = Store::new();
    let on = |host: &str| value(|lock| lock.pull.base_repo.vcs_host.hostname = host.to_owned());
    store.lock(&on("github.com")).await;
    let other = store.legacy.try_lock(&on("git.example.com")).await.unwrap();
    assert!(matches!(other, TryLock::HeldBy(_)), "{other:?}");
    assert!(matches!(store.legacy.try_lock(&on("github.com")).await.unwrap(), TryLock::Mine(_)));
    // A record from before there were hosts in it is not told from any.
    assert!(matches!(store.legacy.try_lock(&on("")).await.unwrap(), TryLock::Mine(_)));
}

#[tokio::test]
async fn b15_projects_that_atlantis_confuses_exclude_each_other_and_have_keys_of_their_own() {
    let store = Store::new();
    let one = LockKey::new("o/r", "a", "w", "b/c");
    let two = LockKey::new("o/r", "a/w", "b", "c");
    assert_eq!(alias_key(&one.text()).unwrap(), alias_key(&two.text()).unwrap());
    assert_ne!(one.project("").unwrap().key().unwrap(), two.project("").unwrap().key().unwrap());
    let as_value = |key: &LockKey, number| {
        value(|lock| {
            lock.project.repo.clone_from(&key.repo);
            lock.project.path.clone_from(&key.path);
            lock.project.name.clone_from(&key.project);
            lock.workspace.clone_from(&key.workspace);
            lock.pull.number = number;
        })
    };
    store.lock(&as_value(&one, 1)).await;
    let refused = store.legacy.try_lock(&as_value(&two, 2)).await.unwrap();
    // Whoever is refused is told which project is in the way.
    assert!(matches!(&refused, TryLock::HeldBy(held) if held.value == as_value(&one, 1)), "{refused:?}");
}
