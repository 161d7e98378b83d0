//! Contract §5.1, cases 1 to 5: locks on commands.

use enhanced_locking_compat::key::CommandName;
use enhanced_locking_compat::record::{CommandLock, Stored};
use enhanced_locking_foundation::Timestamp;

use crate::common::Store;

fn lock() -> Stored<CommandLock> {
    let at = Timestamp::from_micros(1_787_383_815_000_000);
    Stored::<CommandLock>::write(CommandLock::new(CommandName::Apply, at)).unwrap()
}

#[tokio::test]
async fn case_1_a_command_is_not_locked_at_first() {
    assert_eq!(Store::new().legacy.check_command_lock(CommandName::Apply).await.unwrap(), None);
}

#[tokio::test]
async fn case_2_a_locked_command_is_locked_byte_for_byte() {
    let store = Store::new();
    store.legacy.lock_command(CommandName::Apply, &lock()).await.unwrap();
    let found = store.legacy.check_command_lock(CommandName::Apply).await.unwrap().unwrap();
    assert_eq!(found.raw(), br#"{"LockMetadata":{"UnixTime":1787383815},"CommandName":0}"#);
    assert_eq!(store.legacy.locked_commands().await.unwrap(), [CommandName::Apply]);
    assert_eq!(store.legacy.check_command_lock(CommandName::Plan).await.unwrap(), None);
}

#[tokio::test]
async fn case_3_locking_twice_fails() {
    let store = Store::new();
    store.legacy.lock_command(CommandName::Apply, &lock()).await.unwrap();
    let error = store.legacy.lock_command(CommandName::Apply, &lock()).await.unwrap_err();
    assert!(error.to_string().starts_with("lock already exists"), "{error}");
}

#[tokio::test]
async fn case_4_unlocking_unlocks_and_leaves_nothing_behind() {
    let store = Store::new();
    store.legacy.lock_command(CommandName::Apply, &lock()).await.unwrap();
    store.legacy.unlock_command(CommandName::Apply).await.unwrap();
    assert_eq!(store.legacy.check_command_lock(CommandName::Apply).await.unwrap(), None);
    assert_eq!(store.documents.names(), Vec::<String>::new());
}

#[tokio::test]
async fn case_5_unlocking_what_is_not_locked_fails() {
    let error = Store::new().legacy.unlock_command(CommandName::Apply).await.unwrap_err();
    assert!(error.to_string().starts_with("no lock exists"), "{error}");
}
