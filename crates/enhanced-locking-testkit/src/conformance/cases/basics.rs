//! Cases about the store itself: it can be asked, and it can be closed.

use std::time::Duration;

use enhanced_locking_foundation::AcquireError;

use crate::conformance::{Bench, Fixture, ask, fail};

pub async fn an_open_store_can_be_asked(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    assert!(!t.store.info().name.is_empty());
    t.store.ping().await.unwrap_or_else(|error| fail(format_args!("an open store answers a ping: {error}")));
}

pub async fn time_follows_the_stores_clock(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let before = t.now().await;
    assert_eq!(t.now().await, before, "the clock of a fixture stands still by itself");
    t.advance(Duration::from_millis(1234)).await;
    assert_eq!(t.now().await, before.plus(Duration::from_millis(1234)));
}

pub async fn a_closed_store_takes_no_changes(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    t.store.close().await.unwrap_or_else(|error| fail(format_args!("close: {error}")));
    let error = t.refused(&ask(&t.key("k"), "a")).await;
    assert!(
        matches!(&error, AcquireError::Backend(error) if !error.is_indeterminate()),
        "a closed store did not do it, and says so: {error:?}"
    );
    assert!(t.store.ping().await.is_err(), "a closed store cannot take a change");
}

pub async fn closing_twice_is_harmless(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    for time in 1..=2 {
        assert!(t.store.close().await.is_ok(), "close number {time}");
    }
}
