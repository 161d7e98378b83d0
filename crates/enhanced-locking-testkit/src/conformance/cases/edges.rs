//! Cases about the wait-for graph: whom a waiting request waits for (design §7).

use enhanced_locking_foundation::{EdgeQuery, OwnerId, Page, WaitEdge};

use crate::conformance::{Bench, Fixture, ask, fail, owner};

async fn edges(t: &Bench<'_>, query: EdgeQuery) -> Page<WaitEdge> {
    match t.store.wait_edges(&query).await {
        Ok(page) => page,
        Err(error) => fail(format_args!("{query:?}: {error}")),
    }
}

async fn of(t: &Bench<'_>, name: &str) -> Vec<WaitEdge> {
    edges(t, EdgeQuery::Owner(owner(name))).await.items
}

fn ahead(edge: &WaitEdge) -> Vec<&str> {
    edge.ahead.iter().map(|(owner, _): &(OwnerId, u64)| owner.as_str()).collect()
}

pub async fn a_waiter_waits_for_the_holder(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let holder = t.held(&ask(&key, "a")).await;
    let request = ask(&key, "b");
    let place = t.queued(&request).await;
    let found = of(&t, "b").await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(*found[0].request, request);
    assert_eq!(found[0].generation, place.generation);
    assert_eq!(found[0].holders, [(owner("a"), holder.token)]);
    assert!(found[0].ahead.is_empty());
    assert!(of(&t, "a").await.is_empty(), "a holder waits for nobody");
}

pub async fn a_writer_waits_for_all_ahead_of_it(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&ask(&key, "r1").shared()).await;
    t.held(&ask(&key, "r2").shared()).await;
    let first = t.queued(&ask(&key, "w1")).await;
    t.queued(&ask(&key, "r3").shared()).await;
    t.queued(&ask(&key, "w2")).await;
    let found = of(&t, "w2").await;
    assert_eq!(found.len(), 1, "{found:?}");
    let mut names = ahead(&found[0]);
    names.sort_unstable();
    assert_eq!(names, ["r3", "w1"]);
    let generation = found[0].ahead.iter().find(|(name, _)| name.as_str() == "w1").map(|(_, g)| *g);
    assert_eq!(generation, Some(first.generation));
    assert_eq!(found[0].holders.len(), 2);
}

pub async fn a_reader_waits_for_writers_ahead_and_not_for_readers(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&ask(&key, "r1").shared()).await;
    t.queued(&ask(&key, "w")).await;
    t.queued(&ask(&key, "r2").shared()).await;
    t.queued(&ask(&key, "r3").shared()).await;
    let found = of(&t, "r3").await;
    assert_eq!(found.iter().map(ahead).collect::<Vec<_>>(), [["w"]]);
}

pub async fn an_owner_that_waits_twice_has_two_edges(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    for name in ["k1", "k2"] {
        t.held(&ask(&t.key(name), "a")).await;
        t.queued(&ask(&t.key(name), "b")).await;
    }
    assert_eq!(of(&t, "b").await.len(), 2);
}

pub async fn edges_go_when_the_lock_comes(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    let holder = t.held(&ask(&key, "a")).await;
    t.queued(&ask(&key, "b")).await;
    t.queued(&ask(&key, "c")).await;
    let next = t.release(&holder).await.remove(0);
    assert!(of(&t, "b").await.is_empty());
    let found = of(&t, "c").await;
    assert_eq!(found[0].holders, [(owner("b"), next.token)], "the edge points to the new holder");
    assert!(found[0].ahead.is_empty());
}

pub async fn the_whole_graph_is_read_in_pages(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    for name in ["k1", "k2", "k3"] {
        t.held(&ask(&t.key(name), "a")).await;
        for waiter in ["b", "c", "d"] {
            t.queued(&ask(&t.key(name), &format!("{waiter}-{name}"))).await;
        }
    }
    for limit in [0, 1, 2, 4, 9] {
        let mut names = Vec::new();
        let mut cursor = None;
        loop {
            let page = edges(&t, EdgeQuery::All { cursor, limit }).await;
            assert!(limit == 0 || page.items.len() <= limit, "limit {limit}: {} edges", page.items.len());
            names.extend(page.items.iter().map(|edge| edge.request.owner.to_string()));
            assert!(names.len() <= 9, "the pages never end: {names:?}");
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        names.sort();
        let mut want: Vec<_> =
            ["k1", "k2", "k3"].iter().flat_map(|k| ["b", "c", "d"].map(|w| format!("{w}-{k}"))).collect();
        want.sort();
        assert_eq!(names, want, "limit {limit}");
    }
}

pub async fn a_bad_cursor_of_the_graph_is_an_error(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    t.held(&ask(&t.key("k"), "a")).await;
    t.queued(&ask(&t.key("k"), "b")).await;
    for bad in ["nonsense", "-1", "%%%"] {
        let query = EdgeQuery::All { cursor: Some(bad.to_owned()), limit: 0 };
        let answer = t.store.wait_edges(&query).await;
        assert!(answer.is_err(), "{bad:?}: {answer:?}");
    }
}

pub async fn soft_edges_name_the_nearest_sixty_four(f: &dyn Fixture) {
    let t = Bench::open(f).await;
    let key = t.key("k");
    t.held(&ask(&key, "a")).await;
    for i in 0..70 {
        t.queued(&ask(&key, &format!("w{i}"))).await;
    }
    t.queued(&ask(&key, "last")).await;
    let found = of(&t, "last").await;
    let names = ahead(&found[0]);
    assert_eq!(names.len(), 64);
    assert!(names.contains(&"w69") && names.contains(&"w6") && !names.contains(&"w5"), "{names:?}");
}
