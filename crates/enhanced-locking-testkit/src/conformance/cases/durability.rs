//! Cases about closing a durable store and opening it again: nothing acknowledged is lost, nobody is hurt by the pause.

use enhanced_locking_foundation::{EndReason, EventKind, Lease, RequestState, Wait};

use crate::conformance::{Bench, Fixture, ask, leased, secs};

pub async fn holders_survive_a_restart_with_their_tokens(f: &dyn Fixture) {
    let mut t = Bench::open(f).await;
    let key = t.key("k");
    let request = ask(&key, "a").user("Ann").pull(crate::conformance::pull("acme/infra", 3));
    let record = t.held(&request).await;
    if !t.reopen().await {
        return;
    }
    assert_eq!(t.view(&key).await.map(|view| view.holders), Some(vec![record.clone()]));
    assert_eq!(t.held(&request).await, record, "a retry over a restart gets the same grant");
    t.busy(&ask(&key, "b").wait(Wait::No)).await;
    t.release(&record).await;
}

pub async fn the_line_survives_a_restart_in_order(f: &dyn Fixture) {
    let mut t = Bench::with(f, |policy| policy.credits = [0, 10, 30, 60, 120].map(secs)).await;
    let key = t.key("k");
    let holder = t.held(&ask(&key, "a")).await;
    for (name, priority) in [("z", 1), ("y", 1), ("x", 3), ("w", 1)] {
        t.queued(&ask(&key, name).priority(enhanced_locking_foundation::Priority::ALL[priority])).await;
    }
    let before = t.view(&key).await;
    if !t.reopen().await {
        return;
    }
    assert_eq!(t.view(&key).await, before);
    t.queued(&ask(&key, "late")).await;
    assert_eq!(t.waiting(&key).await, ["x", "z", "y", "w", "late"], "those who come later stand behind");
    assert_eq!(t.release(&holder).await[0].owner().as_str(), "x");
}

pub async fn tokens_rise_over_a_restart(f: &dyn Fixture) {
    let mut t = Bench::open(f).await;
    let key = t.key("k");
    let mut last = None;
    for _ in 0..50 {
        let record = t.held(&ask(&key, "a")).await;
        t.release(&record).await;
        last = Some(record.token);
    }
    if !t.reopen().await {
        return;
    }
    let record = t.held(&ask(&key, "a")).await;
    assert!(Some(record.token) > last, "{} is not above {last:?}", record.token);
}

pub async fn what_was_finished_stays_finished_over_a_restart(f: &dyn Fixture) {
    let mut t = Bench::open(f).await;
    let key = t.key("k");
    let request = ask(&key, "a");
    let record = t.held(&request).await;
    t.release(&record).await;
    let unseen = ask(&key, "b");
    t.cancel(&unseen).await;
    if !t.reopen().await {
        return;
    }
    assert_eq!(t.over(&request).await.token, Some(record.token));
    t.ended(&unseen, EndReason::Cancelled).await;
    assert!(matches!(
        t.store.release(&record.grant()).await,
        Ok(enhanced_locking_foundation::ReleaseOutcome::AlreadyReleased)
    ));
}

pub async fn the_feed_goes_on_over_a_restart(f: &dyn Fixture) {
    let mut t = Bench::open(f).await;
    let key = t.key("k");
    let record = t.held(&ask(&key, "a")).await;
    t.queued(&ask(&key, "b")).await;
    let (before, end) = (t.events().await, t.mark().await);
    if !t.reopen().await {
        return;
    }
    assert_eq!(t.events().await, before, "sticky locks need no time anew, so there is nothing to tell");
    t.release(&record).await;
    assert_eq!(t.story(&end).await, ["released a", "granted b"], "a cursor from before goes on");
    let seqs: Vec<_> = t.events().await.iter().map(|event| event.seq).collect();
    assert!(seqs.is_sorted_by(|a, b| a < b), "{seqs:?}");
}

pub async fn leases_begin_anew_after_a_restart(f: &dyn Fixture) {
    let mut t = Bench::open(f).await;
    let key = t.key("k");
    let request = leased(&key, "a");
    let before = t.held(&request).await;
    t.advance(secs(20)).await;
    let end = t.mark().await;
    if !t.reopen().await {
        return;
    }
    let after = t.holds(&request).await;
    assert_eq!(after.token, before.token);
    assert_eq!(after.expires_at, Some(t.now().await.plus(secs(30))), "the pause was not its fault");
    let kinds: Vec<_> = t.events_after(end).await.into_iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::Resumed { extended: 1 }]);
}

pub async fn a_lease_that_ran_out_while_closed_is_given_time(f: &dyn Fixture) {
    let mut t = Bench::open(f).await;
    let request = leased(&t.key("k"), "a");
    t.held(&request).await;
    t.advance(secs(3600)).await;
    if !t.reopen().await {
        return;
    }
    t.holds(&request).await;
    t.advance(secs(30)).await;
    t.ended(&request, EndReason::Expired).await;
}

pub async fn claims_and_places_begin_anew_after_a_restart(f: &dyn Fixture) {
    let mut t = Bench::open(f).await;
    let key = t.key("k");
    let holder = t.held(&ask(&key, "a")).await;
    let (granted, silent) = (leased(&key, "b"), leased(&key, "c"));
    t.queued(&granted).await;
    t.queued(&silent).await;
    t.release(&holder).await;
    t.advance(secs(4)).await;
    if !t.reopen().await {
        return;
    }
    t.advance(secs(4)).await;
    assert!(matches!(t.look(&granted).await, RequestState::Held(_)), "{}", t.line(&key).await);
    t.advance(secs(25)).await;
    t.waits(&silent).await;
}

pub async fn a_restart_does_not_lengthen_a_wait(f: &dyn Fixture) {
    let mut t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&ask(&key, "a")).await;
    let request = ask(&key, "b").wait(Wait::AtMost(secs(10)));
    t.queued(&request).await;
    t.advance(secs(6)).await;
    if !t.reopen().await {
        return;
    }
    t.waits(&request).await;
    t.advance(secs(4)).await;
    t.ended(&request, EndReason::TimedOut).await;
}

pub async fn a_store_can_be_opened_many_times(f: &dyn Fixture) {
    let mut t = Bench::open(f).await;
    let mut names = Vec::new();
    for round in 0..4 {
        let name = format!("a{round}");
        t.held(&ask(&t.key("k"), &name).shared()).await;
        names.push(name);
        if !t.reopen().await {
            return;
        }
        assert_eq!(t.holders(&t.key("k")).await, names);
    }
}

pub async fn a_hand_off_that_a_sweep_began_is_made_after_a_restart(f: &dyn Fixture) {
    let mut t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&leased(&key, "a").lease(Lease::For(secs(10)))).await;
    let silent = leased(&key, "b");
    t.queued(&silent).await;
    t.advance(secs(60)).await;
    // The budget ends between the holder and the silent waiter, which is over as well. Its keep-alive begins anew.
    assert_eq!(t.store.sweep(1).await.map(|outcome| outcome.ended).ok(), Some(1));
    let mark = t.mark().await;
    if !t.reopen().await {
        return;
    }
    assert_eq!(t.story(&mark).await, ["resumed", "granted b"], "nobody waits who could hold");
    t.holds(&silent).await;
}
