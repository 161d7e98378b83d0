//! Documents on a real server: several processes, full memory, lost answers, and many long ones at once.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use enhanced_locking_foundation::{
    BackendErrorKind, DocumentName, DocumentOutcome, DocumentStore, DocumentUpdate, Limits, LockBackend,
};
use enhanced_locking_redis::{RedisBackend, RedisConfig, Servers, open};
use enhanced_locking_testkit::conformance::FixturePolicy;
use enhanced_locking_testkit::redis::{Fault, Proxy, RedisServer, ServerOptions};
use futures_util::future::join_all;

const SOON: Duration = Duration::from_secs(10);
const NEW: DocumentOutcome = DocumentOutcome::Done { existed: false };
const DONE: DocumentOutcome = DocumentOutcome::Done { existed: true };

fn name(text: &str) -> DocumentName {
    DocumentName::new(text).unwrap()
}

fn write(text: &str) -> DocumentUpdate {
    DocumentUpdate::write(text.as_bytes().to_vec())
}

async fn read(store: &RedisBackend, text: &str) -> Option<Vec<u8>> {
    store.document(&name(text)).await.unwrap()
}

/// One of two kinds of servers: with functions, and without.
fn server(functions: bool) -> RedisServer {
    let options = ServerOptions::default();
    let options = if functions { options } else { options.config("rename-command FUNCTION \"\"") };
    RedisServer::start(&options).unwrap()
}

fn at(address: std::net::SocketAddr) -> RedisConfig {
    let mut config = RedisConfig::new(Servers::single(address.ip().to_string(), address.port()));
    config.connect_timeout = SOON;
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_processes_that_write_if_absent_one_wins_and_all_see_it() {
    let config = common::config(FixturePolicy::default(), true);
    let stores = join_all((0..4).map(|_| open(config.clone()))).await;
    let stores: Vec<Arc<RedisBackend>> = stores.into_iter().map(Result::unwrap).collect();
    for round in 0..50 {
        let name = name(&format!("round {round}"));
        let puts = stores.iter().enumerate().map(|(n, store)| {
            let (store, name) = (Arc::clone(store), name.clone());
            tokio::spawn(async move { store.put_document(&name, write(&n.to_string()).if_was(None)).await })
        });
        let puts: Vec<_> = join_all(puts).await.into_iter().map(|put| put.unwrap().unwrap()).collect();
        let winners: Vec<usize> = (0..4).filter(|n| puts[*n] == NEW).collect();
        let [winner] = winners[..] else { panic!("{puts:?}") };
        let value = winner.to_string().into_bytes();
        for (n, store) in stores.iter().enumerate() {
            assert_eq!(store.document(&name).await.unwrap().as_ref(), Some(&value));
            assert!(n == winner || puts[n] == DocumentOutcome::Differs(Some(value.clone())), "{puts:?}");
        }
    }
}

#[tokio::test]
async fn a_full_server_takes_no_documents_and_lets_go_of_those_it_has() {
    for functions in [true, false] {
        let server = server(functions);
        let mut config = at(server.address());
        config.policy.limits = Limits { documents: 4, document_bytes: 100, ..Limits::default() };
        let store = open(config).await.unwrap();
        for text in ["a", "b", "c"] {
            store.put_document(&name(text), write("0123456789")).await.unwrap();
        }
        server.call(["CONFIG", "SET", "maxmemory", "1"]).unwrap();
        let met = write("y").if_was(Some(b"0123456789".to_vec()));
        for (text, update) in [("new", write("")), ("a", write("x")), ("a", met)] {
            let refused = store.put_document(&name(text), update).await.unwrap_err();
            assert_eq!(refused.kind(), BackendErrorKind::Full, "{refused}");
        }
        assert_eq!(read(&store, "a").await.unwrap(), b"0123456789");
        assert_eq!(store.documents("", None, 0).await.unwrap().items.len(), 3);
        // All at once, so that they go together, and apart again.
        let deletes = ["b", "c"].map(|text| store.put_document_of(text, DocumentUpdate::delete()));
        let puts = ["d", "e", "f"].map(|text| store.put_document_of(text, write("x")));
        let (deleted, put) = tokio::join!(join_all(deletes), join_all(puts));
        assert!(deleted.iter().all(|deleted| *deleted == Ok(DONE)), "{deleted:?}");
        // A script that has freed memory in the same call may take some; functions are asked beforehand.
        assert!(!functions || put.iter().all(Result::is_err), "{put:?}");
        server.call(["CONFIG", "SET", "maxmemory", "0"]).unwrap();
        for text in ["d", "e", "f"] {
            store.put_document(&name(text), DocumentUpdate::delete()).await.unwrap();
        }
        // What was refused has not been counted, and what was deleted is not counted any more.
        assert_eq!(store.put_document(&name("a"), DocumentUpdate::write(vec![1; 98])).await.unwrap(), DONE);
        for text in ["b", "c"] {
            assert_eq!(store.put_document(&name(text), write("x")).await.unwrap(), NEW);
        }
        let error = store.put_document(&name("d"), write("x")).await.unwrap_err();
        assert!(error.message().contains("100 bytes"), "{error}");
        assert_eq!(store.put_document(&name("d"), write("")).await.unwrap(), NEW);
        let error = store.put_document(&name("e"), write("")).await.unwrap_err();
        assert!(error.message().contains("4 documents"), "{error}");
    }
}

/// Calls by text, for many at once.
trait PutOf {
    fn put_document_of(
        &self,
        text: &str,
        update: DocumentUpdate,
    ) -> impl Future<Output = Result<DocumentOutcome, BackendErrorKind>>;
}

impl PutOf for RedisBackend {
    async fn put_document_of(
        &self,
        text: &str,
        update: DocumentUpdate,
    ) -> Result<DocumentOutcome, BackendErrorKind> {
        self.put_document(&name(text), update).await.map_err(|error| error.kind())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_whose_answer_was_lost_is_unknown_and_reading_tells() {
    let server = server(true);
    let proxy = Proxy::to(server.address()).unwrap();
    let mut config = at(proxy.address());
    config.command_timeout = Duration::from_secs(1);
    // It is not sent again by itself: somebody else may have written in between.
    config.retries = 3;
    let store = open(config).await.unwrap();
    let lose = async || {
        store.ping().await.unwrap();
        proxy.set(Fault::CutReplies { after: 0 });
    };
    for (update, then) in
        [(write("one").if_was(None), Some(b"one".to_vec())), (DocumentUpdate::delete(), None)]
    {
        lose().await;
        let error = store.put_document(&name("a"), update).await.unwrap_err();
        assert!(error.is_indeterminate(), "{error:?}");
        let tried = tokio::time::timeout(SOON, async {
            while store.ping().await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        tried.await.expect("the store finds its server again");
        assert_eq!(read(&store, "a").await, then);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_of_the_longest_are_written_and_read_at_once() {
    let config = common::config(FixturePolicy::default(), true);
    let store = open(config).await.unwrap();
    let each = (0..20_u8).map(|n| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let (name, value) = (name(&n.to_string()), vec![n; DocumentUpdate::MAX_VALUE]);
            assert_eq!(store.put_document(&name, DocumentUpdate::write(value)).await.unwrap(), NEW);
            let value = store.document(&name).await.unwrap().unwrap();
            assert!(value.len() == DocumentUpdate::MAX_VALUE && value.iter().all(|byte| *byte == n));
        })
    });
    for ended in join_all(each).await {
        ended.unwrap();
    }
    let locks = store.stats().await.unwrap();
    assert_eq!((locks.held, locks.resources), (0, 0));
}
