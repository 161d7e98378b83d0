//! Cases about listing locks and lines: order, pages, filters, cursors.

use enhanced_locking_foundation::{LockQuery, LockRecord, Page, QueueQuery, QueueView};

use crate::conformance::{Bench, Fixture, ask, fail, leased, owner, pull, secs};

async fn list(t: &Bench<'_>, query: LockQuery) -> Page<LockRecord> {
    match t.store.locks(&query).await {
        Ok(page) => page,
        Err(error) => fail(format_args!("{query:?}: {error}")),
    }
}

/// All pages of a query, by name of the key after the prefix of the case, and owner.
async fn pages(t: &Bench<'_>, mut query: LockQuery) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    loop {
        let page = list(t, query.clone()).await;
        pages.push(page.items.iter().map(|record| name(t, record)).collect());
        assert!(pages.len() < 100, "the pages never end: {pages:?}");
        match page.next {
            Some(next) => query.cursor = Some(next),
            None => return pages,
        }
    }
}

fn name(t: &Bench<'_>, record: &LockRecord) -> String {
    format!("{} {}", record.request.key.as_str().trim_start_matches(&t.prefix()), record.owner())
}

async fn lines(t: &Bench<'_>, query: QueueQuery) -> Page<QueueView> {
    match t.store.queues(&query).await {
        Ok(page) => page,
        Err(error) => fail(format_args!("{query:?}: {error}")),
    }
}

pub async fn locks_are_listed_in_the_order_of_keys(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    for key in ["b", "a", "c", "B", "a/1", "a0"] {
        t.held(&ask(&t.key(key), "o")).await;
    }
    let want: Vec<_> = ["B o", "a o", "a/1 o", "a0 o", "b o", "c o"].map(String::from).to_vec();
    assert_eq!(pages(&t, LockQuery::default()).await, [want], "byte by byte");
}

pub async fn pages_show_every_lock_once(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    for i in 0..10 {
        t.held(&ask(&t.key(&format!("k{i}")), "o")).await;
    }
    for limit in 1..=11 {
        let pages = pages(&t, LockQuery { limit, ..LockQuery::default() }).await;
        assert!(pages.iter().all(|page| page.len() <= limit), "limit {limit}: {pages:?}");
        let all: Vec<_> = pages.concat();
        let want: Vec<_> = (0..10).map(|i| format!("k{i} o")).collect();
        assert_eq!(all, want, "limit {limit}");
    }
}

pub async fn holders_of_one_key_may_span_pages(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    for i in 0..7 {
        t.held(&ask(&key, &format!("o{i}")).shared()).await;
    }
    t.held(&ask(&t.key("z"), "last")).await;
    let mut all = pages(&t, LockQuery { limit: 2, ..LockQuery::default() }).await.concat();
    all.sort();
    let want: Vec<_> = (0..7).map(|i| format!("k o{i}")).chain(["z last".to_owned()]).collect();
    assert_eq!(all, want);
}

pub async fn a_cursor_holds_while_locks_come_and_go(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let mut records = Vec::new();
    for i in 0..6 {
        records.push(t.held(&ask(&t.key(&format!("k{i}")), "o")).await);
    }
    let first = list(&t, LockQuery { limit: 3, ..LockQuery::default() }).await;
    assert_eq!(first.items, records[..3]);
    t.release(&records[0]).await;
    t.release(&records[2]).await;
    t.release(&records[4]).await;
    t.held(&ask(&t.key("a-before"), "o")).await;
    t.held(&ask(&t.key("z-behind"), "o")).await;
    let rest = pages(&t, LockQuery { limit: 3, cursor: first.next, ..LockQuery::default() }).await.concat();
    assert_eq!(rest, ["k3 o", "k5 o", "z-behind o"]);
}

pub async fn locks_are_filtered_by_prefix(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    for key in ["prod/a", "prod/b", "prod", "production", "dev/prod/a", "prod*", "pro%"] {
        t.held(&ask(&t.key(key), "o")).await;
    }
    for (prefix, want) in [
        ("prod/", vec!["prod/a o", "prod/b o"]),
        ("prod*", vec!["prod* o"]),
        ("pro%", vec!["pro% o"]),
        ("p[r]od", vec![]),
        ("PROD", vec![]),
    ] {
        let prefix = Some(format!("{}{prefix}", t.prefix()));
        let query = LockQuery { prefix: prefix.clone(), limit: 1, ..LockQuery::default() };
        assert_eq!(pages(&t, query).await.concat(), want, "{prefix:?}");
    }
}

pub async fn locks_are_filtered_by_owner_and_pull(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    t.held(&ask(&t.key("k1"), "a").pull(pull("acme/infra", 1))).await;
    t.held(&ask(&t.key("k2"), "a").pull(pull("acme/infra2", 1))).await;
    t.held(&ask(&t.key("k3"), "b").pull(pull("acme/infra", 1))).await;
    t.held(&ask(&t.key("k4"), "ab")).await;
    t.queued(&ask(&t.key("k3"), "a")).await;
    let (a, p) = (Some(owner("a")), Some(pull("acme/infra", 1)));
    for limit in [0, 1] {
        let by_owner = LockQuery { owner: a.clone(), limit, ..LockQuery::default() };
        assert_eq!(pages(&t, by_owner.clone()).await.concat(), ["k1 a", "k2 a"], "held, not waited for");
        let by_pull = LockQuery { pull: p.clone(), limit, ..LockQuery::default() };
        assert_eq!(pages(&t, by_pull).await.concat(), ["k1 a", "k3 b"]);
        let by_both = LockQuery { pull: p.clone(), ..by_owner.clone() };
        assert_eq!(pages(&t, by_both).await.concat(), ["k1 a"]);
        let with_prefix = LockQuery { prefix: Some(format!("{}k2", t.prefix())), ..by_owner };
        assert_eq!(pages(&t, with_prefix).await.concat(), ["k2 a"]);
    }
}

pub async fn an_empty_store_has_one_empty_page(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    assert_eq!(list(&t, LockQuery::default()).await, Page { items: vec![], next: None });
    assert_eq!(lines(&t, QueueQuery::default()).await, Page { items: vec![], next: None });
}

pub async fn a_page_has_at_most_its_greatest_size(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    for i in 0..=Page::<LockRecord>::MAX_ITEMS {
        t.held(&ask(&t.key(&format!("k{i:04}")), "o")).await;
    }
    for limit in [0, usize::MAX] {
        let page = list(&t, LockQuery { limit, ..LockQuery::default() }).await;
        assert_eq!(page.items.len(), Page::<LockRecord>::MAX_ITEMS, "limit {limit}");
        assert!(page.next.is_some());
    }
}

pub async fn a_bad_cursor_is_an_error(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    t.held(&ask(&t.key("k"), "a")).await;
    t.queued(&ask(&t.key("k"), "b")).await;
    for bad in ["nonsense", "-1", "\u{fe0f}\u{1f512}", "%%%", "AAAA", "0:0:0:0"] {
        let cursor = Some(bad.to_owned());
        let locks = t.store.locks(&LockQuery { cursor: cursor.clone(), ..LockQuery::default() }).await;
        assert!(locks.is_err(), "locks with cursor {bad:?}: {locks:?}");
        let queues = t.store.queues(&QueueQuery { cursor, ..QueueQuery::default() }).await;
        assert!(queues.is_err(), "queues with cursor {bad:?}: {queues:?}");
    }
}

pub async fn only_lines_somebody_stands_in_are_listed(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    t.held(&ask(&t.key("alone"), "a")).await;
    for key in ["k1", "k2"] {
        t.held(&ask(&t.key(key), "a")).await;
        t.queued(&ask(&t.key(key), "b")).await;
        t.queued(&ask(&t.key(key), "c")).await;
    }
    let page = lines(&t, QueueQuery { waiters: 1, ..QueueQuery::default() }).await;
    let shown: Vec<_> = page.items.iter().map(|v| (v.key.clone(), v.depth, v.waiters.len())).collect();
    assert_eq!(shown, [(t.key("k1"), 2, 1), (t.key("k2"), 2, 1)], "the depth is told in full");
    assert_eq!(page.items[0].waiters[0].request.owner, owner("b"));
}

pub async fn lines_come_in_pages_and_by_prefix(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    for i in 0..5 {
        let key = t.key(&format!("{}/{i}", if i % 2 == 0 { "even" } else { "odd" }));
        t.held(&ask(&key, "a")).await;
        t.queued(&ask(&key, "b")).await;
    }
    let mut query = QueueQuery { limit: 2, ..QueueQuery::default() };
    let mut seen = Vec::new();
    loop {
        let page = lines(&t, query.clone()).await;
        assert!(page.items.len() <= 2);
        seen.extend(page.items.into_iter().map(|view| view.key));
        assert!(seen.len() <= 5, "the pages never end: {seen:?}");
        query.cursor = page.next;
        if query.cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["even/0", "even/2", "even/4", "odd/1", "odd/3"].map(|name| t.key(name)));
    let query = QueueQuery { prefix: Some(format!("{}odd/", t.prefix())), ..QueueQuery::default() };
    assert_eq!(lines(&t, query).await.items.len(), 2);
}

pub async fn a_resource_shows_the_head_of_its_line(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&ask(&key, "a")).await;
    t.advance(secs(2)).await;
    let waiter = leased(&key, "b").wait(enhanced_locking_foundation::Wait::AtMost(secs(9)));
    let place = t.queued(&waiter).await;
    t.queued(&ask(&key, "c")).await;
    let view = match t.store.resource(&key, 1).await {
        Ok(Some(view)) => view,
        other => fail(format_args!("{other:?}")),
    };
    assert_eq!((&view.key, view.holders.len(), view.depth, view.waiters.len()), (&key, 1, 2, 1));
    let first = &view.waiters[0];
    assert_eq!((&*first.request, first.position), (&waiter, 1));
    assert_eq!(
        (first.enqueued_at, first.gives_up_at, first.generation),
        (place.enqueued_at, place.gives_up_at, place.generation)
    );
    assert_eq!(
        t.store.resource(&key, 0).await.ok().flatten().map(|v| (v.depth, v.waiters.len())),
        Some((2, 0))
    );
}

pub async fn holders_of_one_key_are_listed_in_the_order_of_their_ids(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    // The id begins with the name.
    for name in ["c", "a", "d", "b"] {
        t.held(&ask(&key, name).shared()).await;
    }
    for limit in [0, 1, 3] {
        let all = pages(&t, LockQuery { limit, ..LockQuery::default() }).await.concat();
        assert_eq!(all, ["k a", "k b", "k c", "k d"], "limit {limit}");
    }
}
