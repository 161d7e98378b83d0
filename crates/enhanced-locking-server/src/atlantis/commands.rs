//! Which command is which. Owns names, numbers of arguments and who may call; what they do is in the modules by area.

use bytes::Bytes;

use super::resp::Reply;
use super::session::{REDIS_VERSION, Session};
use super::{Shared, cluster, keys, listing, script, session, set};

/// The commands with the fewest and the most arguments they take.
const COMMANDS: &[(&str, usize, usize)] = &[
    ("AUTH", 1, 2),
    ("CLIENT", 1, 16),
    ("CLUSTER", 1, 16),
    ("COMMAND", 0, 255),
    ("DBSIZE", 0, 0),
    ("DEL", 1, 255),
    ("DISCARD", 0, 0),
    ("ECHO", 1, 1),
    ("EVAL", 2, 255),
    ("EVALSHA", 2, 255),
    ("EXEC", 0, 0),
    ("EXISTS", 1, 255),
    ("GET", 1, 1),
    ("HELLO", 0, 16),
    ("INFO", 0, 16),
    ("KEYS", 1, 1),
    ("MGET", 1, 255),
    ("MULTI", 0, 0),
    ("PING", 0, 1),
    ("PTTL", 1, 1),
    ("QUIT", 0, 255),
    ("READONLY", 0, 0),
    ("READWRITE", 0, 0),
    ("RESET", 0, 0),
    ("SCAN", 1, 16),
    ("SCRIPT", 1, 16),
    ("SELECT", 1, 1),
    ("SET", 2, 16),
    ("STRLEN", 1, 1),
    ("TIME", 0, 0),
    ("TTL", 1, 1),
    ("TYPE", 1, 1),
    ("UNLINK", 1, 255),
    ("UNWATCH", 0, 0),
    ("WATCH", 1, 255),
];

/// Answers one request.
pub(super) async fn answer(shared: &Shared, session: &mut Session, request: &[Bytes]) -> Reply {
    let Some((name, arguments)) = request.split_first() else { return syntax() };
    // A browser that was tricked into sending something here sends these.
    if is(name, "POST") || is(name, "HOST:") {
        session.end();
        return Reply::error("ERR this is not an HTTP port");
    }
    let Some((name, least, most)) = COMMANDS.iter().find(|(known, ..)| is(name, known)) else {
        return if session.is_known() { unknown(name, arguments) } else { no_auth() };
    };
    if !(*least..=*most).contains(&arguments.len()) {
        return wrong_number(name);
    }
    match (*name, arguments) {
        ("HELLO", _) => return session.hello(shared, arguments),
        ("AUTH", _) => return session.auth(shared, arguments),
        ("RESET", _) => return session.reset(shared),
        ("QUIT", _) => {
            session.end();
            return Reply::OK;
        }
        _ if !session.is_known() => return no_auth(),
        _ => {}
    }
    match (*name, arguments) {
        ("PING", []) => match shared.locks.backend().ping().await {
            Ok(()) => Reply::Simple("PONG"),
            // Readiness of Atlantis: a store that takes no change is not ready.
            Err(error) => enhanced_locking_compat::legacy::LegacyError::from(error).into(),
        },
        ("PING" | "ECHO", [text]) => Reply::Bulk(text.clone()),
        ("SELECT", [index]) => session::select(index),
        ("CLIENT", _) => session.client_command(arguments),
        ("CLUSTER", _) => cluster::answer(session, arguments),
        ("READONLY" | "READWRITE", _) => Reply::OK,
        ("COMMAND", []) => Reply::Array(Vec::new()),
        ("COMMAND", [word, ..]) if is(word, "COUNT") => {
            Reply::Number(i64::try_from(COMMANDS.len()).unwrap_or(i64::MAX))
        }
        ("COMMAND", [word, ..]) if is(word, "DOCS") => Reply::Map(Vec::new()),
        ("COMMAND", [word, names @ ..]) if is(word, "INFO") => {
            Reply::Array(names.iter().map(|_| Reply::Null).collect())
        }
        ("COMMAND", [word, ..]) => unknown_subcommand("COMMAND", word),
        ("INFO", _) => Reply::text(format!(
            "# Server\r\nredis_version:{REDIS_VERSION}\r\nredis_mode:standalone\r\n\r\n# Replication\r\nrole:master\r\n"
        )),
        ("TIME", _) => match shared.locks.backend().now().await {
            Ok(now) => {
                let micros = now.as_micros();
                let parts = [micros / 1_000_000, micros % 1_000_000];
                Reply::Array(parts.map(|part| Reply::text(part.to_string())).to_vec())
            }
            Err(error) => enhanced_locking_compat::legacy::LegacyError::from(error).into(),
        },
        ("GET", [key]) => keys::get(shared, session, key).await,
        ("MGET", _) => keys::mget(shared, session, arguments).await,
        ("SET", [key, value, options @ ..]) => set::set(shared, session, key, value, options).await,
        ("DEL" | "UNLINK", _) => keys::del(shared, session, arguments).await,
        ("EXISTS", _) => keys::exists(shared, arguments).await,
        ("TYPE", [key]) => keys::describe(shared, key, Reply::Simple("string"), Reply::Simple("none")).await,
        // Nothing here expires.
        ("TTL" | "PTTL", [key]) => keys::describe(shared, key, Reply::Number(-1), Reply::Number(-2)).await,
        ("STRLEN", [key]) => keys::length(shared, session, key).await,
        ("SCAN", [cursor, options @ ..]) => listing::scan(shared, cursor, options).await,
        ("KEYS", [pattern]) => listing::keys(shared, pattern).await,
        ("DBSIZE", _) => listing::count(shared).await,
        ("EVAL" | "EVALSHA", [script, count, rest @ ..]) => {
            script::eval(shared, *name == "EVALSHA", script, count, rest).await
        }
        ("SCRIPT", _) => script::manage(arguments),
        ("MULTI" | "EXEC" | "DISCARD" | "WATCH" | "UNWATCH", _) => Reply::error(
            "ERR transactions are not supported here; every single command decides in one step, send them one by one",
        ),
        _ => syntax(),
    }
}

/// Whether a word is a name, whatever its case.
pub(super) fn is(word: &[u8], name: &str) -> bool {
    word.eq_ignore_ascii_case(name.as_bytes())
}

pub(super) fn syntax() -> Reply {
    Reply::error("ERR syntax error")
}

pub(super) fn wrong_number(name: &str) -> Reply {
    Reply::Error(format!("ERR wrong number of arguments for '{}' command", name.to_lowercase()))
}

pub(super) fn unknown_subcommand(command: &str, word: &[u8]) -> Reply {
    let word = String::from_utf8_lossy(&word[..word.len().min(128)]);
    Reply::Error(format!("ERR unknown subcommand '{word}'. Try {command} HELP."))
}

fn no_auth() -> Reply {
    Reply::error("NOAUTH Authentication required.")
}

/// As Redis says it, with the beginning of the arguments.
fn unknown(name: &[u8], arguments: &[Bytes]) -> Reply {
    const SHOWN: usize = 128;
    let cut = |text: &[u8], len: usize| String::from_utf8_lossy(&text[..text.len().min(len)]).into_owned();
    let mut shown = String::new();
    for argument in arguments {
        if shown.len() >= SHOWN {
            break;
        }
        shown.push_str(&format!("'{}' ", cut(argument, SHOWN - shown.len())));
    }
    Reply::Error(format!("ERR unknown command '{}', with args beginning with: {shown}", cut(name, SHOWN)))
}
