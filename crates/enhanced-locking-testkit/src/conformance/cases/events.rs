//! Cases about which changes make which events (invariant 9). How the feed is read is in `feed`.

use enhanced_locking_foundation::{Cause, EventKind, Priority, Selector, Transferee, Wait};

use crate::conformance::{Bench, Fixture, ask, fail, leased, owner, secs};

pub async fn every_change_has_one_event(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let first = t.held(&leased(&key, "a")).await;
    t.renewed(&first, None).await;
    let second = leased(&key, "b");
    t.queued(&second).await;
    assert!(t.store.reprioritise(&second.ticket(), Priority::High).await.is_ok());
    t.release(&first).await;
    let record = t.holds(&second).await;
    let third = match t.store.transfer(&record.grant(), Transferee::new(owner("c"))).await {
        Ok(record) => record,
        Err(error) => fail(format_args!("{error}")),
    };
    let fourth = ask(&key, "d");
    t.queued(&fourth).await;
    t.cancel(&fourth).await;
    t.release(&third).await;
    let want = [
        "acquired a",
        "renewed a",
        "queued b",
        "reprioritised b",
        "released a",
        "granted b",
        "claimed b",
        "transferred c",
        "queued d",
        "cancelled d",
        "released c",
    ];
    assert_eq!(t.story(&Default::default()).await, want);
}

pub async fn every_end_has_its_event(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&leased(&key, "a")).await;
    t.queued(&leased(&key, "b")).await;
    t.queued(&ask(&key, "c").wait(Wait::AtMost(secs(3)))).await;
    t.advance(secs(15)).await;
    t.held(&leased(&key, "a")).await;
    let keeper = leased(&key, "d");
    t.queued(&keeper).await;
    t.advance(secs(15)).await;
    t.holds(&keeper).await;
    let story = t.story(&Default::default()).await;
    for want in ["expired a", "abandoned b", "timed_out c", "granted d"] {
        assert_eq!(story.iter().filter(|words| *words == want).count(), 1, "{want}: {story:?}");
    }
}

pub async fn sequences_have_no_gaps(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    for round in 0..3 {
        for name in ["k1", "k2", "k3"] {
            let record = t.held(&ask(&t.key(name), &format!("a{round}"))).await;
            t.release(&record).await;
        }
    }
    let events = t.events().await;
    assert_eq!(events.len(), 18);
    let streams: std::collections::BTreeSet<_> = events.iter().map(|event| event.stream).collect();
    for stream in streams {
        let seqs: Vec<_> = events.iter().filter(|e| e.stream == stream).map(|e| e.seq).collect();
        assert!(seqs.iter().copied().eq(1..=seqs.len() as u64), "stream {stream}: {seqs:?}");
    }
}

pub async fn refusals_and_questions_make_no_events(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let request = ask(&key, "a");
    let record = t.held(&request).await;
    let waiter = leased(&key, "b");
    t.queued(&waiter).await;
    let mark = t.mark().await;
    t.busy(&ask(&key, "c").wait(Wait::No)).await;
    t.refused(&ask(&key, "c").id(request.id.clone())).await;
    t.waits(&waiter).await;
    t.holds(&request).await;
    let mut stale = record.clone();
    stale.token = stale.token.next(stale.acquired_at);
    t.not_released(&stale).await;
    assert!(t.renew(&stale, None).await.is_err());
    assert!(t.store.transfer(&stale.grant(), Transferee::new(owner("x"))).await.is_err());
    assert!(t.store.force_release(&t.key("free"), None, Cause::none()).await.is_ok());
    assert!(t.store.clear(&Selector::Owner(owner("nobody")), Cause::none()).await.is_ok());
    assert!(t.store.find(&request.id).await.is_ok() && t.store.stats().await.is_ok());
    assert!(t.store.sweep(10).await.is_ok());
    assert_eq!(t.story(&mark).await, [""; 0]);
}

pub async fn events_show_request_token_and_time(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    t.advance(secs(7)).await;
    let request = ask(&t.key("k"), "a").user("Ann");
    let record = t.held(&request).await;
    let acquired_at = t.now().await;
    t.advance(secs(1)).await;
    t.release(&record).await;
    let events = t.events().await;
    let shown: Vec<_> = events.iter().map(|e| (e.at, e.token, e.request.as_deref().cloned())).collect();
    let token = Some(record.token);
    assert_eq!(
        shown,
        [(acquired_at, token, Some(request.clone())), (acquired_at.plus(secs(1)), token, Some(request)),]
    );
}

pub async fn a_grant_tells_how_long_it_was_waited_for(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let holder = t.held(&ask(&key, "a")).await;
    t.queued(&ask(&key, "b")).await;
    t.advance(secs(12)).await;
    t.release(&holder).await;
    let kinds: Vec<_> = t.events().await.into_iter().map(|event| event.kind).collect();
    assert_eq!(kinds.last(), Some(&EventKind::Granted { waited_us: 12_000_000 }));
}

pub async fn joining_tells_the_place(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&ask(&key, "a")).await;
    for (i, name) in ["b", "c", "d"].into_iter().enumerate() {
        let mark = t.mark().await;
        t.queued(&ask(&key, name)).await;
        let kinds: Vec<_> = t.events_after(mark).await.into_iter().map(|event| event.kind).collect();
        assert_eq!(kinds, [EventKind::Queued { position: i + 1 }]);
    }
}

pub async fn a_waiter_has_no_token_in_its_events(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&ask(&key, "a")).await;
    let waiter = ask(&key, "b");
    let mark = t.mark().await;
    t.queued(&waiter).await;
    t.cancel(&waiter).await;
    for event in t.events_after(mark).await {
        assert_eq!(event.token, None, "{event:?}");
    }
}

pub async fn ends_come_before_the_grants_they_cause(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&leased(&key, "a")).await;
    t.queued(&ask(&key, "b").wait(Wait::AtMost(secs(5)))).await;
    t.queued(&ask(&key, "c")).await;
    t.advance(secs(30)).await;
    let mark = t.mark().await;
    t.queued(&ask(&key, "d")).await;
    let story = t.story(&mark).await;
    let at = |want: &str| story.iter().position(|words| words == want);
    assert!(at("expired a").is_some() && at("expired a") < at("granted c"), "{story:?}");
    assert!(at("timed_out b").is_some() && at("timed_out b") < at("granted c"), "{story:?}");
    assert_eq!(story.last().map(String::as_str), Some("queued d"), "{story:?}");
}
