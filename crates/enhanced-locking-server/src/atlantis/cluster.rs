//! A cluster of one: what `--redis-cluster-addresses` needs. Owns the topology that is told, and the slots of keys.
//!
//! Every replica of the service says of itself that it owns all slots, at the address the client has reached it by: all
//! commands of a client then go where its topology came from, and the store behind the replicas is the same.

use bytes::Bytes;

use super::commands::{is, syntax, unknown_subcommand, wrong_number};
use super::resp::Reply;
use super::script;
use super::session::Session;

const SLOTS: u16 = 16_384;

/// `CLUSTER …`.
pub(super) fn answer(session: &Session, arguments: &[Bytes]) -> Reply {
    let (host, port) = (session.local().ip().to_canonical().to_string(), session.local().port());
    let id = script::name_of(&session.local().to_string());
    let last = i64::from(SLOTS - 1);
    match arguments {
        [word] if is(word, "SLOTS") => {
            let node =
                vec![Reply::text(host), Reply::Number(port.into()), Reply::text(id), Reply::Map(Vec::new())];
            Reply::Array(vec![Reply::Array(vec![Reply::Number(0), Reply::Number(last), Reply::Array(node)])])
        }
        [word] if is(word, "SHARDS") => {
            let node = Reply::Map(vec![
                ("id", Reply::text(id)),
                ("port", Reply::Number(port.into())),
                ("ip", Reply::text(host.clone())),
                ("endpoint", Reply::text(host)),
                ("role", Reply::text("master")),
                ("replication-offset", Reply::Number(0)),
                ("health", Reply::text("online")),
            ]);
            let slots = Reply::Array(vec![Reply::Number(0), Reply::Number(last)]);
            Reply::Array(vec![Reply::Map(vec![("slots", slots), ("nodes", Reply::Array(vec![node]))])])
        }
        [word] if is(word, "NODES") => {
            Reply::text(format!("{id} {host}:{port}@0 myself,master - 0 0 1 connected 0-{last}\n"))
        }
        [word] if is(word, "INFO") => Reply::text(format!(
            "cluster_enabled:1\r\ncluster_state:ok\r\ncluster_slots_assigned:{SLOTS}\r\ncluster_slots_ok:{SLOTS}\r\n\
             cluster_slots_pfail:0\r\ncluster_slots_fail:0\r\ncluster_known_nodes:1\r\ncluster_size:1\r\n"
        )),
        [word] if is(word, "MYID") => Reply::text(id),
        [word, key] if is(word, "KEYSLOT") => Reply::Number(slot(key).into()),
        [word, ..] if is(word, "KEYSLOT") => wrong_number("cluster|keyslot"),
        [word, ..] => unknown_subcommand("CLUSTER", word),
        [] => syntax(),
    }
}

/// The slot of a key: of what is in its first pair of braces, if that is not empty.
fn slot(key: &[u8]) -> u16 {
    let tagged = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        let close = rest.iter().position(|byte| *byte == b'}')?;
        (close > 0).then(|| &rest[..close])
    });
    crc16(tagged.unwrap_or(key)) % SLOTS
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_a_cluster() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot(b"foo"), 12182);
        assert_eq!(slot(b"pr/{foo}/x"), 12182);
        assert_ne!(slot(b"{}foo"), 12182);
    }
}
