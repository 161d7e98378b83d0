//! What a store of documents does, case by case. Owns no fixture; each case opens its store once.
#![expect(missing_docs, reason = "the name of a case is the sentence it checks")]
#![expect(clippy::panic, reason = "a case that does not get what it expects has failed")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use enhanced_locking_foundation::{
    AcquireOutcome, AcquireRequest, BackendError, BackendErrorKind, DocumentName, DocumentOutcome,
    DocumentUpdate, EventCursor, Limits, LockQuery, OwnerId, Page, PullRequest, ResourceKey, Selector,
};

use super::{DocumentFixture, DocumentedStore};

const NEW: DocumentOutcome = DocumentOutcome::Done { existed: false };
const DONE: DocumentOutcome = DocumentOutcome::Done { existed: true };

fn name(text: &str) -> DocumentName {
    DocumentName::new(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// A store with the words of the suite.
struct Store(Arc<dyn DocumentedStore>);

impl Store {
    async fn open(f: &dyn DocumentFixture) -> Self {
        Self::with(f, |_| ()).await
    }

    async fn with(f: &dyn DocumentFixture, change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::default();
        change(&mut limits);
        Self(f.open(limits).await)
    }

    async fn read(&self, text: &str) -> Option<Vec<u8>> {
        self.0.document(&name(text)).await.unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    async fn try_put(&self, text: &str, update: DocumentUpdate) -> Result<DocumentOutcome, BackendError> {
        self.0.put_document(&name(text), update).await
    }

    async fn put(&self, text: &str, update: DocumentUpdate) -> DocumentOutcome {
        self.try_put(text, update).await.unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    async fn write(&self, text: &str, value: impl AsRef<[u8]>) -> DocumentOutcome {
        self.put(text, DocumentUpdate::write(value.as_ref().to_vec())).await
    }

    /// It is refused for want of room, and says what to do.
    async fn full(&self, text: &str, bytes: usize) {
        match self.try_put(text, DocumentUpdate::write(vec![7; bytes])).await {
            Err(error) if error.kind() == BackendErrorKind::Full => {
                assert!(error.message().contains("limit") && error.message().contains("delete"), "{error}");
            }
            other => panic!("{other:?}"),
        }
    }

    async fn page(&self, prefix: &str, cursor: Option<&str>, limit: usize) -> Page<String> {
        let page = self.0.documents(prefix, cursor, limit).await;
        let Page { items, next } = page.unwrap_or_else(|error| panic!("{prefix}: {error}"));
        Page { items: items.iter().map(ToString::to_string).collect(), next }
    }

    async fn list(&self, prefix: &str) -> Vec<String> {
        let page = self.page(prefix, None, 0).await;
        assert_eq!(page.next, None);
        page.items
    }
}

pub async fn what_was_never_written_is_not_there(f: &dyn DocumentFixture) {
    let store = Store::open(f).await;
    assert_eq!(store.read("a").await, None);
    assert_eq!(store.list("").await, [""; 0]);
}

pub async fn what_is_written_is_read_back_byte_for_byte(f: &dyn DocumentFixture) {
    let store = Store::open(f).await;
    let long: Vec<u8> = (0..1_u32 << 18).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let values = [
        ("empty", Vec::new()),
        ("zero", vec![0]),
        ("zeros", vec![0; 1_000]),
        ("not UTF-8", vec![0xff, 0xfe, 0x80, 0xc0]),
        ("every byte", (0..=255).collect()),
        ("line ends", b"a\r\nb\n\0".to_vec()),
        ("a megabyte", long),
    ];
    for (text, value) in &values {
        assert_eq!(store.write(text, value).await, NEW, "{text}");
    }
    for (text, value) in &values {
        assert!(store.read(text).await.as_ref() == Some(value), "{text} is not what was written");
    }
}

pub async fn the_longest_value_is_kept_and_a_longer_one_is_refused(f: &dyn DocumentFixture) {
    let store = Store::open(f).await;
    let mut value = vec![1; DocumentUpdate::MAX_VALUE];
    assert_eq!(store.write("a", &value).await, NEW);
    value.push(2);
    for update in [DocumentUpdate::write(value.clone()), DocumentUpdate::delete().if_was(Some(value.clone()))]
    {
        match store.try_put("a", update).await {
            Err(error) => assert_eq!(error.kind(), BackendErrorKind::Full, "{error}"),
            other => panic!("{other:?}"),
        }
    }
    value.pop();
    assert!(store.read("a").await == Some(value), "it is not what was written");
}

pub async fn a_document_is_written_over(f: &dyn DocumentFixture) {
    let store = Store::open(f).await;
    assert_eq!(store.write("a", "a long one").await, NEW);
    assert_eq!(store.write("b", "another").await, NEW);
    for value in ["short", "a much longer one than it was", "", "the same", "the same"] {
        assert_eq!(store.write("a", value).await, DONE);
        assert_eq!(store.read("a").await.as_deref(), Some(value.as_bytes()));
    }
    assert_eq!(store.read("b").await.as_deref(), Some(&b"another"[..]));
    assert_eq!(store.list("").await, ["a", "b"]);
}

pub async fn a_document_is_deleted_once(f: &dyn DocumentFixture) {
    let store = Store::open(f).await;
    store.write("a", "").await;
    store.write("b", "kept").await;
    assert_eq!(store.put("a", DocumentUpdate::delete()).await, DONE);
    assert_eq!(store.read("a").await, None);
    assert_eq!(store.list("").await, ["b"]);
    assert_eq!(store.put("a", DocumentUpdate::delete()).await, NEW, "there was nothing");
    assert_eq!(store.list("").await, ["b"]);
    assert_eq!(store.write("a", "again").await, NEW);
    assert_eq!(store.list("").await, ["a", "b"]);
}

pub async fn names_are_told_apart_whatever_they_are_made_of(f: &dyn DocumentFixture) {
    let store = Store::open(f).await;
    let longest = "n".repeat(DocumentName::MAX_BYTES);
    let names = [
        "a",
        "A",
        "a ",
        " a",
        "aa",
        "a:b",
        "a/b",
        "a%b",
        "a%2Fb",
        "a*",
        "a?",
        "[a]",
        "a\\",
        "{a}:b000",
        "\u{e4}",
        "a\u{308}",
        "\u{1f512}",
        "github.com::acme/infra::9",
        &longest,
        &longest[1..],
    ];
    for text in names {
        assert_eq!(store.write(text, text).await, NEW, "{text}");
    }
    for text in names {
        assert_eq!(store.read(text).await.as_deref(), Some(text.as_bytes()), "{text}");
    }
    for (n, text) in names.iter().enumerate() {
        assert_eq!(store.put(text, DocumentUpdate::delete()).await, DONE, "{text}");
        assert_eq!(store.list("").await.len(), names.len() - n - 1, "{text}");
    }
}

pub async fn absent_is_met_by_nothing_else(f: &dyn DocumentFixture) {
    let store = Store::open(f).await;
    let first = |value: &str| DocumentUpdate::write(value.as_bytes().to_vec()).if_was(None);
    assert_eq!(store.put("a", first("")).await, NEW);
    assert_eq!(store.put("a", first("other")).await, DocumentOutcome::Differs(Some(Vec::new())));
    store.write("a", "mine").await;
    assert_eq!(store.put("a", first("theirs")).await, DocumentOutcome::Differs(Some(b"mine".to_vec())));
    assert_eq!(store.read("a").await.as_deref(), Some(&b"mine"[..]));
    store.put("a", DocumentUpdate::delete()).await;
    assert_eq!(store.put("a", first("theirs")).await, NEW);
    assert_eq!(store.put("b", DocumentUpdate::delete().if_was(None)).await, NEW);
    assert_eq!(store.list("").await, ["a"]);
}

pub async fn a_value_is_compared_whole(f: &dyn DocumentFixture) {
    let store = Store::open(f).await;
    let next = |from: &[u8]| DocumentUpdate::write(b"next".to_vec()).if_was(Some(from.to_vec()));
    assert_eq!(
        store.put("a", next(b"")).await,
        DocumentOutcome::Differs(None),
        "nothing is not an empty one"
    );
    assert_eq!(store.list("").await, [""; 0], "what is not met makes nothing");
    let value = b"a\0b\xff";
    store.write("a", value).await;
    for other in [&b""[..], b"a", b"a\0b", b"a\0b\xff\0", b"a\0b\xfe", b"A\0b\xff"] {
        assert_eq!(store.put("a", next(other)).await, DocumentOutcome::Differs(Some(value.to_vec())));
    }
    assert_eq!(store.put("a", next(value)).await, DONE);
    assert_eq!(store.read("a").await.as_deref(), Some(&b"next"[..]));
    store.write("a", "").await;
    assert_eq!(store.put("a", next(b"")).await, DONE);
}

pub async fn a_delete_compares_as_well(f: &dyn DocumentFixture) {
    let store = Store::open(f).await;
    store.write("a", "one").await;
    let delete = |value: &[u8]| DocumentUpdate::delete().if_was(Some(value.to_vec()));
    let differs = DocumentOutcome::Differs(Some(b"one".to_vec()));
    assert_eq!(store.put("a", delete(b"two")).await, differs);
    assert_eq!(store.put("a", DocumentUpdate::delete().if_was(None)).await, differs);
    assert_eq!(store.put("a", delete(b"one")).await, DONE);
    assert_eq!(store.put("a", delete(b"one")).await, DocumentOutcome::Differs(None));
}

pub async fn of_two_who_write_if_absent_one_wins(f: &dyn DocumentFixture) {
    let store = Store::open(f).await;
    for round in 0..20 {
        let text = format!("round {round}");
        let first = |value: &str| {
            let update = DocumentUpdate::write(value.as_bytes().to_vec()).if_was(None);
            store.put(&text, update)
        };
        let (one, two) = tokio::join!(first("one"), first("two"));
        let (winner, told) = match (one, two) {
            (NEW, told) => ("one", told),
            (told, NEW) => ("two", told),
            neither => panic!("{neither:?}"),
        };
        assert_eq!(told, DocumentOutcome::Differs(Some(winner.as_bytes().to_vec())));
        assert_eq!(store.read(&text).await.as_deref(), Some(winner.as_bytes()));
    }
}

pub async fn no_update_of_many_writers_is_lost(f: &dyn DocumentFixture) {
    let store = Store::open(f).await;
    let tried = AtomicUsize::new(0);
    let count = || async {
        for _ in 0..10 {
            let mut found = store.read("count").await;
            loop {
                tried.fetch_add(1, Ordering::Relaxed);
                let mut longer = found.clone().unwrap_or_default();
                longer.push(b'+');
                match store.put("count", DocumentUpdate::write(longer).if_was(found)).await {
                    DocumentOutcome::Done { .. } => break,
                    DocumentOutcome::Differs(other) => found = other,
                }
            }
        }
    };
    tokio::join!(count(), count(), count(), count(), count());
    assert_eq!(store.read("count").await.map(|value| value.len()), Some(50));
    assert!(tried.into_inner() >= 50);
}

pub async fn names_are_listed_in_the_order_of_their_bytes(f: &dyn DocumentFixture) {
    let store = Store::open(f).await;
    let mut names =
        ["b", "a", "a/b", "a b", "a-b", "\u{e4}", "z", "Z", "\u{1f512}", "10", "9", "~", "\u{ffff}"];
    for text in names {
        store.write(text, "").await;
    }
    names.sort_unstable();
    assert_eq!(store.list("").await, names);
}

pub async fn a_prefix_is_taken_as_it_is(f: &dyn DocumentFixture) {
    let store = Store::open(f).await;
    for text in ["a", "a*", "a*b", "ab", "a:b", "a:b:c", "a;b", "b", "[", "[a", "(a", "\u{e4}", "\u{e4}a"] {
        store.write(text, "").await;
    }
    assert_eq!(store.list("a").await, ["a", "a*", "a*b", "a:b", "a:b:c", "a;b", "ab"]);
    assert_eq!(store.list("a*").await, ["a*", "a*b"]);
    assert_eq!(store.list("a:b").await, ["a:b", "a:b:c"]);
    assert_eq!(store.list("[").await, ["[", "[a"]);
    assert_eq!(store.list("(").await, ["(a"]);
    assert_eq!(store.list("\u{e4}").await, ["\u{e4}", "\u{e4}a"]);
    for nothing in ["c", "a*bc", "*", "a?", "-", "+", "\u{e5}"] {
        assert_eq!(store.list(nothing).await, [""; 0], "{nothing}");
    }
}

pub async fn pages_of_any_size_show_every_name_once(f: &dyn DocumentFixture) {
    let store = Store::open(f).await;
    let mut names: Vec<String> = (0..100).map(|n| format!("page/{n}/{}", n % 7)).collect();
    for text in names.iter().map(String::as_str).chain(["pag", "page", "page0", "q"]) {
        store.write(text, "").await;
    }
    names.sort_unstable();
    for limit in [1, 3, 50, 99, 100, 101, 0] {
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let page = store.page("page/", cursor.as_deref(), limit).await;
            assert!(limit == 0 || page.items.len() <= limit);
            seen.extend(page.items);
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, names, "pages of {limit}");
    }
    let all = store.page("", None, usize::MAX).await;
    assert_eq!((all.items.len(), all.next), (104, None));
}

pub async fn a_page_goes_on_behind_a_name_that_is_gone(f: &dyn DocumentFixture) {
    let store = Store::open(f).await;
    for text in ["a", "b", "c", "d", "e"] {
        store.write(text, "").await;
    }
    let page = store.page("", None, 2).await;
    assert_eq!((page.items, page.next.is_some()), (vec!["a".to_owned(), "b".to_owned()], true));
    store.put("b", DocumentUpdate::delete()).await;
    store.write("aa", "").await;
    store.write("bb", "").await;
    assert_eq!(store.page("", page.next.as_deref(), 2).await.items, ["bb", "c"]);
    assert_eq!(
        store.page("c", page.next.as_deref(), 0).await.items,
        ["c"],
        "a cursor from before the prefix"
    );
}

pub async fn a_cursor_that_is_no_name_is_an_error(f: &dyn DocumentFixture) {
    let store = Store::open(f).await;
    let long = "n".repeat(DocumentName::MAX_BYTES + 1);
    for cursor in ["", "a\nb", &long] {
        match store.0.documents("", Some(cursor), 10).await {
            Err(error) => assert_eq!(error.kind(), BackendErrorKind::Invalid, "{error}"),
            other => panic!("{other:?}"),
        }
    }
}

pub async fn so_many_documents_are_kept(f: &dyn DocumentFixture) {
    let store = Store::with(f, |limits| limits.documents = 2).await;
    store.write("a", "").await;
    store.write("b", "").await;
    store.full("c", 0).await;
    assert_eq!(store.read("c").await, None);
    assert_eq!(store.list("").await, ["a", "b"], "what was refused is not there");
    assert_eq!(store.write("a", "another").await, DONE);
    store.put("a", DocumentUpdate::delete()).await;
    assert_eq!(store.write("c", "").await, NEW);
    store.full("a", 0).await;
    let other = DocumentUpdate::write(Vec::new()).if_was(Some(b"x".to_vec()));
    assert_eq!(store.put("d", other).await, DocumentOutcome::Differs(None), "what is not met needs no room");
}

pub async fn so_many_bytes_are_kept(f: &dyn DocumentFixture) {
    let store = Store::with(f, |limits| limits.document_bytes = 1_000).await;
    store.write("a", [1; 600]).await;
    store.write("b", [2; 400]).await;
    store.full("c", 1).await;
    store.full("a", 601).await;
    assert_eq!(store.read("a").await.as_deref(), Some(&[1; 600][..]));
    assert_eq!(store.write("c", "").await, NEW);
    assert_eq!(store.write("a", [3; 600]).await, DONE);
    assert_eq!(store.write("a", [3; 100]).await, DONE);
    assert_eq!(store.write("b", [2; 900]).await, DONE);
    store.full("c", 1).await;
    store.put("b", DocumentUpdate::delete()).await;
    assert_eq!(store.write("c", [4; 900]).await, DONE);
    store.full("b", 1).await;
}

pub async fn documents_survive_a_restart(f: &dyn DocumentFixture) {
    let store = Store::open(f).await;
    store.write("a", "old").await;
    store.write("deleted", "x").await;
    store.write("a", b"new\0\xff").await;
    store.put("deleted", DocumentUpdate::delete()).await;
    store.write("empty", "").await;
    store.write("long", vec![5; 100_000]).await;
    let Some(again) = f.reopen().await else {
        eprintln!("skipped: the store is not durable");
        return;
    };
    let store = Store(again);
    assert_eq!(store.list("").await, ["a", "empty", "long"]);
    assert_eq!(store.read("a").await.as_deref(), Some(&b"new\0\xff"[..]));
    assert_eq!(store.read("empty").await, Some(Vec::new()));
    assert!(store.read("long").await == Some(vec![5; 100_000]), "it is not what was written");
    assert_eq!(store.read("deleted").await, None);
    assert_eq!(store.write("deleted", "y").await, NEW);
}

pub async fn what_is_there_after_a_restart_counts(f: &dyn DocumentFixture) {
    let change = |limits: &mut Limits| (limits.documents, limits.document_bytes) = (2, 1_000);
    let store = Store::with(f, change).await;
    store.write("a", [1; 600]).await;
    store.write("b", "").await;
    let Some(again) = f.reopen().await else {
        eprintln!("skipped: the store is not durable");
        return;
    };
    let store = Store(again);
    store.full("c", 0).await;
    store.full("b", 401).await;
    assert_eq!(store.write("b", [2; 400]).await, DONE);
    store.put("a", DocumentUpdate::delete()).await;
    assert_eq!(store.write("c", [3; 600]).await, NEW);
}

pub async fn locks_and_documents_do_not_disturb_each_other(f: &dyn DocumentFixture) {
    let store = Store::open(f).await;
    let locks = Arc::clone(&store.0);
    let key = |text: &str| ResourceKey::new(text).unwrap_or_else(|error| panic!("{error}"));
    let owner = OwnerId::new("o").unwrap_or_else(|error| panic!("{error}"));
    let pull = PullRequest::new("acme/infra", 1).unwrap_or_else(|error| panic!("{error}"));
    let names = ["k", "hk", "ok", "m", "d", "acme/infra", "mschema", "mseal"];
    let mut held = Vec::new();
    for text in names {
        store.write(text, text).await;
        let request = AcquireRequest::new(key(text), owner.clone()).pull(pull.clone()).sticky();
        match locks.acquire(request).await {
            Ok(AcquireOutcome::Held(record)) => held.push(record),
            other => panic!("{text}: {other:?}"),
        }
        store.write(text, format!("{text} again")).await;
    }
    let mut sorted = names;
    sorted.sort_unstable();
    let listed = locks.locks(&LockQuery::default()).await.map(|page| page.items);
    let listed = listed.unwrap_or_else(|error| panic!("{error}"));
    assert!(listed.iter().map(|record| record.request.key.as_str()).eq(sorted), "{listed:?}");
    assert_eq!(store.list("").await, sorted);
    // Documents make no events, and no figures of locks.
    let events = locks.events(&EventCursor::start(), 100).await.map(|page| page.events.len());
    assert_eq!(events.unwrap_or_else(|error| panic!("{error}")), names.len());
    for text in names {
        assert_eq!(
            store.put(text, DocumentUpdate::write(b"x".to_vec()).if_was(None)).await,
            DocumentOutcome::Differs(Some(format!("{text} again").into_bytes()))
        );
    }
    store.put("k", DocumentUpdate::delete()).await;
    let stats = locks.stats().await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((stats.held, stats.resources), (names.len(), names.len()));
    let cleared = locks.clear(&Selector::Pull(pull), enhanced_locking_foundation::Cause::none()).await;
    assert_eq!(cleared.unwrap_or_else(|error| panic!("{error}")).released.len(), held.len());
    assert_eq!(locks.sweep(100).await.map(|outcome| outcome.ended).ok(), Some(0));
    assert_eq!(store.list("").await.len(), names.len() - 1);
    assert_eq!(store.read("hk").await.as_deref(), Some(&b"hk again"[..]));
}

pub async fn a_closed_store_has_no_documents(f: &dyn DocumentFixture) {
    let store = Store::open(f).await;
    store.write("a", "").await;
    store.0.close().await.unwrap_or_else(|error| panic!("{error}"));
    let put = store.try_put("a", DocumentUpdate::delete()).await.map(drop);
    let read = store.0.document(&name("a")).await.map(drop);
    let list = store.0.documents("", None, 0).await.map(drop);
    for refused in [put, read, list] {
        assert_eq!(refused.map_err(|error| error.kind()), Err(BackendErrorKind::Closed));
    }
}
