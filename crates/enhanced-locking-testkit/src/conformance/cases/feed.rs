//! Cases about reading the event feed: from any cursor, without gaps, and saying so when something is gone.

use std::time::Duration;

use enhanced_locking_foundation::{EventCursor, EventPage};

use crate::conformance::{Bench, Fixture, ask, fail};

async fn page(t: &Bench<'_>, after: &EventCursor, limit: usize) -> EventPage {
    match t.store.events(after, limit).await {
        Ok(page) => page,
        Err(error) => fail(format_args!("events after {after}: {error}")),
    }
}

/// `count` locks taken and released: twice as many events.
async fn changes(t: &Bench<'_>, count: usize) {
    for i in 0..count {
        let record = t.held(&ask(&t.key("k"), &format!("o{i}"))).await;
        t.release(&record).await;
    }
}

pub async fn the_feed_resumes_from_every_cursor(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    changes(&t, 5).await;
    let all = t.events().await;
    assert_eq!(all.len(), 10);
    let mut cursor = EventCursor::start();
    for seen in 0..all.len() {
        assert_eq!(t.events_after(cursor.clone()).await, all[seen..], "after {seen} events, cursor {cursor}");
        let one = page(&t, &cursor, 1).await;
        assert_eq!(one.events, all[seen..=seen]);
        assert!(!one.missed);
        cursor = one.next;
    }
    assert!(page(&t, &cursor, 100).await.events.is_empty());
}

pub async fn a_cursor_survives_being_written_down(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    changes(&t, 3).await;
    let next = page(&t, &EventCursor::start(), 2).await.next;
    match next.to_string().parse::<EventCursor>() {
        Ok(parsed) => assert_eq!(t.events_after(parsed).await, t.events_after(next).await),
        Err(error) => fail(format_args!("{next}: {error}")),
    }
}

pub async fn an_empty_page_keeps_the_cursor(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    changes(&t, 2).await;
    let end = t.mark().await;
    let empty = page(&t, &end, 10).await;
    assert_eq!(empty, EventPage { events: Vec::new(), next: end, missed: false });
}

pub async fn the_end_of_the_feed_shows_only_what_comes_later(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    changes(&t, 2).await;
    let end = t.mark().await;
    t.held(&ask(&t.key("k"), "later")).await;
    assert_eq!(t.story(&end).await, ["acquired later"]);
}

pub async fn the_end_of_an_empty_feed_is_a_cursor(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let end = t.mark().await;
    assert!(!page(&t, &end, 10).await.missed);
    changes(&t, 1).await;
    assert_eq!(t.events_after(end).await.len(), 2);
}

pub async fn events_that_are_gone_are_reported(f: &dyn Fixture) {
    let t = Bench::with(f, |policy| policy.limits.events = 4).await;
    changes(&t, 5).await;
    let first = page(&t, &EventCursor::start(), 100).await;
    assert!(first.missed, "six of ten events are gone: {first:?}");
    let seqs: Vec<_> = first.events.iter().map(|event| event.seq).collect();
    assert_eq!(seqs, [7, 8, 9, 10], "the newest are kept");
    assert_eq!(first.next, t.mark().await);
    assert!(!page(&t, &first.next, 100).await.missed, "told once");
}

pub async fn a_cursor_at_the_edge_has_missed_nothing(f: &dyn Fixture) {
    let t = Bench::with(f, |policy| policy.limits.events = 4).await;
    changes(&t, 2).await;
    assert!(!page(&t, &EventCursor::start(), 100).await.missed, "four of four are there");
    let mut cursor = EventCursor::start();
    for _ in 0..2 {
        cursor = page(&t, &cursor, 1).await.next;
    }
    changes(&t, 1).await;
    let edge = page(&t, &cursor, 100).await;
    assert_eq!((edge.missed, edge.events.len()), (false, 4), "{edge:?}");
    let before = page(&t, &EventCursor::start(), 100).await;
    assert_eq!((before.missed, before.events.len()), (true, 4), "{before:?}");
}

pub async fn waiting_for_events_ends_at_once_if_there_are_some(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    changes(&t, 1).await;
    let began = tokio::time::Instant::now();
    assert!(t.store.await_events(&EventCursor::start(), Duration::from_secs(30)).await.is_ok());
    assert!(began.elapsed() < Duration::from_secs(10), "it waited {:?}", began.elapsed());
}

pub async fn a_change_wakes_those_who_wait_for_events(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let end = t.mark().await;
    let began = tokio::time::Instant::now();
    let store = t.store.clone();
    let reader = tokio::spawn({
        let end = end.clone();
        async move { store.await_events(&end, Duration::from_secs(30)).await }
    });
    tokio::task::yield_now().await;
    t.held(&ask(&t.key("k"), "a")).await;
    let woken = reader.await;
    assert!(matches!(woken, Ok(Ok(()))), "{woken:?}");
    assert!(began.elapsed() < Duration::from_secs(10), "it slept {:?} through the change", began.elapsed());
    assert_eq!(t.story(&end).await, ["acquired a"]);
}

pub async fn waiting_for_events_in_vain_ends(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let end = t.mark().await;
    assert!(t.store.await_events(&end, Duration::from_millis(20)).await.is_ok());
    assert!(t.events_after(end).await.is_empty());
}
