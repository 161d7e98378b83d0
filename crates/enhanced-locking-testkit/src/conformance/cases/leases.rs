//! Cases about leases, sticky locks and the greatest age (design §4, "sticky and leased").

use std::time::Duration;

use enhanced_locking_foundation::{EndReason, Lease, NotHeld, RequestState, Wait};

use crate::conformance::{Bench, Fixture, ask, fail, leased, secs};

pub async fn a_lease_runs_out_at_its_deadline_and_not_before(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let first = leased(&key, "a");
    let record = t.held(&first).await;
    assert_eq!(record.expires_at, Some(t.now().await.plus(secs(30))));
    assert_eq!(record.claim_by, None, "what is granted at once is claimed");
    t.advance(secs(30) - Duration::from_micros(1)).await;
    t.busy(&ask(&key, "b").wait(Wait::No)).await;
    t.advance(Duration::from_micros(1)).await;
    t.held(&ask(&key, "b").wait(Wait::No)).await;
    let ended = t.ended(&first, EndReason::Expired).await;
    assert_eq!(ended.token, Some(record.token));
}

pub async fn renewing_starts_the_lease_anew(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let mut record = t.held(&leased(&key, "a")).await;
    let token = record.token;
    for _ in 0..3 {
        t.advance(secs(29)).await;
        let mark = t.mark().await;
        record = t.renewed(&record, None).await;
        assert_eq!(record.expires_at, Some(t.now().await.plus(secs(30))));
        assert_eq!(record.token, token, "renewing keeps the token");
        assert_eq!(t.story(&mark).await, ["renewed a"]);
    }
}

pub async fn a_renewal_can_change_the_lease(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let record = t.held(&leased(&t.key("k"), "a")).await;
    let longer = t.renewed(&record, Some(secs(90))).await;
    assert_eq!(longer.request.lease, Lease::For(secs(90)));
    t.advance(secs(60)).await;
    let again = t.renewed(&longer, None).await;
    assert_eq!(
        again.expires_at,
        Some(t.now().await.plus(secs(90))),
        "the new lease is the lease from then on"
    );
    let shorter = t.renewed(&again, Some(secs(1))).await;
    assert_eq!(shorter.expires_at, Some(t.now().await.plus(secs(1))), "it may become shorter, too");
}

pub async fn a_sticky_lock_never_runs_out(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let record = t.held(&ask(&key, "a")).await;
    t.advance(secs(10 * 365 * 24 * 3600)).await;
    assert_eq!(t.busy(&ask(&key, "b").wait(Wait::No)).await, [record]);
}

pub async fn renewing_a_sticky_lock_confirms_it(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let record = t.held(&ask(&t.key("k"), "a")).await;
    let mark = t.mark().await;
    assert_eq!(t.renewed(&record, None).await, record);
    assert!(t.story(&mark).await.is_empty(), "nothing changed");
}

pub async fn an_expired_lock_cannot_be_renewed(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let record = t.held(&leased(&key, "a")).await;
    t.advance(secs(30)).await;
    match t.renew(&record, None).await {
        Err(NotHeld { ended: Some(ended), .. }) => assert_eq!(ended.reason, EndReason::Expired),
        other => fail(format_args!("{other:?}\n{}", t.line(&key).await)),
    }
    assert_eq!(t.view(&key).await, None);
}

pub async fn an_expired_lock_cannot_be_released(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let record = t.held(&leased(&t.key("k"), "a")).await;
    t.advance(secs(30)).await;
    let error = t.not_released(&record).await;
    assert_eq!(error.ended.map(|ended| ended.reason), Some(EndReason::Expired));
}

pub async fn the_greatest_age_ends_a_lock_that_is_renewed(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let request = leased(&t.key("k"), "a").max_age(secs(50));
    let record = t.held(&request).await;
    assert_eq!(record.expires_at, Some(record.acquired_at.plus(secs(30))), "the lease ends first");
    t.advance(secs(25)).await;
    let record = t.renewed(&record, None).await;
    assert_eq!(record.expires_at, Some(record.acquired_at.plus(secs(50))), "the age ends first");
    t.advance(secs(25)).await;
    t.ended(&request, EndReason::Expired).await;
}

pub async fn the_greatest_age_ends_a_sticky_lock(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let request = ask(&t.key("k"), "a").max_age(secs(50));
    let record = t.held(&request).await;
    assert_eq!(record.expires_at, Some(record.acquired_at.plus(secs(50))));
    t.advance(secs(50)).await;
    t.ended(&request, EndReason::Expired).await;
}

pub async fn many_renewals_are_answered_in_order(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let live = t.held(&leased(&t.key("k1"), "a")).await;
    let gone = t.held(&leased(&t.key("k2"), "a")).await;
    let sticky = t.held(&ask(&t.key("k3"), "a")).await;
    t.release(&gone).await;
    let renewals = [&live, &gone, &sticky, &live]
        .map(|record| enhanced_locking_foundation::Renewal { grant: record.grant(), lease: None });
    let answers = match t.store.renew(renewals.to_vec()).await {
        Ok(answers) => answers,
        Err(error) => fail(format_args!("{error}")),
    };
    let held: Vec<_> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(held, [true, false, true, true], "{answers:?}");
}

pub async fn no_renewals_have_no_answers(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    assert_eq!(t.store.renew(Vec::new()).await.map(|answers| answers.len()).ok(), Some(0));
}

pub async fn whoever_asks_finds_an_expired_lock_handed_on(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&leased(&key, "a")).await;
    let waiter = ask(&key, "b");
    t.queued(&waiter).await;
    t.advance(secs(30)).await;
    t.holds(&waiter).await;
}

pub async fn reading_does_not_end_an_expired_lock(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let request = leased(&key, "a");
    let record = t.held(&request).await;
    t.queued(&ask(&key, "b")).await;
    t.advance(secs(31)).await;
    let mark = t.mark().await;
    let view = t.view(&key).await;
    assert_eq!(
        view.map(|view| view.holders),
        Some(vec![record.clone()]),
        "stored entries are shown as they are"
    );
    let found = t.store.find(&request.id).await.ok().flatten();
    assert_eq!(found, Some((key, RequestState::Held(record))));
    assert!(t.story(&mark).await.is_empty(), "reads change nothing");
}

pub async fn renewing_a_sticky_lock_gives_it_no_lease(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let record = t.held(&ask(&t.key("k"), "a")).await;
    let mark = t.mark().await;
    assert_eq!(t.renewed(&record, Some(secs(5))).await, record);
    assert!(t.story(&mark).await.is_empty(), "nothing changed");
    t.advance(secs(3600)).await;
    t.renewed(&record, None).await;
}
