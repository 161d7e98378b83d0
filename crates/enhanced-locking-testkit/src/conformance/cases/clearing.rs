//! Cases about clearing away an owner or a pull request of exactly one repository.

use enhanced_locking_foundation::{Cause, Cleared, EndReason, EventKind, Selector};

use crate::conformance::{Bench, Fixture, ask, fail, owner, pull};

fn closed() -> Cause {
    Cause::new("github", "pull request closed").unwrap_or_default()
}

async fn clear(t: &Bench<'_>, selector: Selector) -> Cleared {
    match t.store.clear(&selector, closed()).await {
        Ok(cleared) => cleared,
        Err(error) => fail(format_args!("clear {selector:?}: {error}")),
    }
}

pub async fn an_owner_loses_all_locks_and_places(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let (held, waited) = (t.key("held"), t.key("waited"));
    let lock = ask(&held, "a");
    t.held(&lock).await;
    t.held(&ask(&waited, "b")).await;
    let wait = ask(&waited, "a");
    t.queued(&wait).await;
    let cleared = clear(&t, Selector::Owner(owner("a"))).await;
    assert_eq!((cleared.released.len(), cleared.cancelled.len()), (1, 1), "{cleared:?}");
    assert_eq!(*cleared.released[0].request, lock);
    assert_eq!(*cleared.cancelled[0], wait);
    assert_eq!(t.view(&held).await, None);
    assert_eq!((t.holders(&waited).await, t.waiting(&waited).await.len()), (vec!["b".to_owned()], 0));
    for request in [lock, wait] {
        t.ended(&request, EndReason::OwnerGone).await;
    }
}

pub async fn what_is_cleared_goes_to_those_who_wait(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let record = t.held(&ask(&key, "a")).await;
    let next = ask(&key, "b");
    t.queued(&next).await;
    clear(&t, Selector::Owner(owner("a"))).await;
    assert!(t.holds(&next).await.token > record.token);
}

pub async fn a_cleared_owner_is_not_granted_its_own_lock(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let request = |name| ask(&key, name).pull(pull("acme/infra", 1));
    t.held(&request("a")).await;
    t.queued(&request("b")).await;
    let stranger = ask(&key, "c");
    t.queued(&stranger).await;
    let cleared = clear(&t, Selector::Pull(pull("acme/infra", 1))).await;
    assert_eq!((cleared.released.len(), cleared.cancelled.len()), (1, 1), "{cleared:?}");
    t.holds(&stranger).await;
}

pub async fn a_pull_is_of_exactly_one_repository(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let pulls =
        [("acme/infra", 1), ("acme/infra2", 1), ("acme/infra", 11), ("acme/infra", -1), ("cme/infra", 1)];
    for (i, (repo, number)) in pulls.into_iter().enumerate() {
        t.held(&ask(&t.key(&format!("k{i}")), "atlantis").pull(pull(repo, number))).await;
    }
    t.held(&ask(&t.key("no pull"), "acme/infra#1")).await;
    let cleared = clear(&t, Selector::Pull(pull("acme/infra", 1))).await;
    assert_eq!(cleared.released.len(), 1, "{cleared:?}");
    assert_eq!(t.view(&t.key("k0")).await, None);
    for (i, pull) in pulls.iter().enumerate().skip(1) {
        assert_eq!(t.holders(&t.key(&format!("k{i}"))).await, ["atlantis"], "{pull:?}");
    }
    assert_eq!(t.holders(&t.key("no pull")).await, ["acme/infra#1"], "an owner's name is no pull request");
}

pub async fn a_pull_is_cleared_whoever_the_owners_are(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let request = |key: &str, name: &str| ask(&t.key(key), name).pull(pull("acme/infra", 4));
    t.held(&request("k1", "plan")).await;
    t.held(&request("k2", "apply")).await;
    t.held(&ask(&t.key("k3"), "plan")).await;
    let cleared = clear(&t, Selector::Pull(pull("acme/infra", 4))).await;
    assert_eq!(cleared.released.len(), 2, "{cleared:?}");
    assert_eq!(t.holders(&t.key("k3")).await, ["plan"], "the owner's other lock stays");
}

pub async fn an_owner_is_matched_whole(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    for name in ["acme/infra#1", "acme/infra#11", "acme/infra", "Acme/infra#1"] {
        t.held(&ask(&t.key(&name.replace('/', "-")), name)).await;
    }
    let cleared = clear(&t, Selector::Owner(owner("acme/infra#1"))).await;
    assert_eq!(cleared.released.len(), 1, "{cleared:?}");
    assert_eq!(cleared.released[0].owner().as_str(), "acme/infra#1");
}

pub async fn clearing_nothing_changes_nothing(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    t.held(&ask(&t.key("k"), "a")).await;
    let mark = t.mark().await;
    for selector in [Selector::Owner(owner("b")), Selector::Pull(pull("acme/infra", 1))] {
        assert_eq!(clear(&t, selector).await, Cleared::default());
    }
    assert!(t.story(&mark).await.is_empty());
}

pub async fn clearing_tells_who_and_why(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    t.held(&ask(&t.key("k1"), "a")).await;
    t.held(&ask(&t.key("k2"), "a")).await;
    let mark = t.mark().await;
    clear(&t, Selector::Owner(owner("a"))).await;
    let events = t.events_after(mark).await;
    assert_eq!(events.len(), 2, "{events:?}");
    for event in events {
        assert_eq!(event.kind, EventKind::Ended { reason: EndReason::OwnerGone, cause: closed() });
    }
}

pub async fn after_a_transfer_the_lock_is_cleared_with_its_new_pull(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let record = t.held(&ask(&key, "a").pull(pull("acme/infra", 1))).await;
    let heir = enhanced_locking_foundation::Transferee {
        owner: owner("b"),
        user: None,
        pull: Some(pull("acme/infra", 2)),
    };
    if let Err(error) = t.store.transfer(&record.grant(), heir).await {
        fail(format_args!("transfer: {error}"));
    }
    assert_eq!(clear(&t, Selector::Pull(pull("acme/infra", 1))).await, Cleared::default());
    assert_eq!(clear(&t, Selector::Owner(owner("a"))).await, Cleared::default());
    assert_eq!(clear(&t, Selector::Pull(pull("acme/infra", 2))).await.released.len(), 1);
}

pub async fn locks_and_places_are_cleared_in_the_order_of_keys(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    for key in ["c", "a", "b"] {
        t.held(&ask(&t.key(key), "holder")).await;
    }
    t.held(&ask(&t.key("d"), "a")).await;
    for key in ["c", "a", "b"] {
        t.queued(&ask(&t.key(key), "a")).await;
    }
    let cleared = clear(&t, Selector::Owner(owner("a"))).await;
    let keys: Vec<_> = cleared.cancelled.iter().map(|request| request.key.clone()).collect();
    assert_eq!(keys, ["a", "b", "c"].map(|name| t.key(name)));
    assert_eq!(cleared.released.len(), 1);
}

pub async fn all_of_a_pull_ends_before_anything_is_handed_on(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let request = |key: &str, name: &str| ask(&t.key(key), name).pull(pull("acme/infra", 4));
    t.held(&request("k1", "plan")).await;
    t.queued(&ask(&t.key("k1"), "x")).await;
    t.held(&request("k2", "apply")).await;
    t.queued(&ask(&t.key("k2"), "y")).await;
    let mark = t.mark().await;
    clear(&t, Selector::Pull(pull("acme/infra", 4))).await;
    let story = t.story(&mark).await;
    assert_eq!(story, ["owner_gone plan", "owner_gone apply", "granted x", "granted y"]);
}
