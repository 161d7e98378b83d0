//! Names of keys and forms of ids in Redis. Owns buckets and hash tags; what is stored under the keys is the scripts'.

use enhanced_locking_foundation::{RequestId, ResourceKey};
use uuid::Uuid;

/// The form of the stored data. A store with another one is not opened.
pub(crate) const FORMAT: u32 = 2;

/// First byte of a packed UUID. Ids that callers choose have no control characters.
const PACKED: u8 = 1;

/// The keys of one namespace.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    namespace: String,
    buckets: Vec<[String; 8]>,
}

impl Layout {
    /// The layout of a namespace with so many buckets.
    pub(crate) fn new(namespace: &str, buckets: u16) -> Self {
        let keys = |bucket: u16| {
            ["s", "x", "w", "d", "e", "a", "n:", "f"]
                .map(|name| format!("{{{namespace}:b{bucket:03}}}:{name}"))
        };
        Self { namespace: namespace.to_owned(), buckets: (0..buckets).map(keys).collect() }
    }

    /// How many buckets there are.
    pub(crate) fn buckets(&self) -> usize {
        self.buckets.len()
    }

    /// The key that tells how the namespace is laid out.
    pub(crate) fn meta(&self) -> String {
        format!("{{{}}}:meta", self.namespace)
    }

    /// The bucket of a resource.
    pub(crate) fn bucket(&self, key: &ResourceKey) -> usize {
        self.bucket_of_name(key.as_str())
    }

    /// The bucket of what has a name: of a document.
    pub(crate) fn bucket_of_name(&self, name: &str) -> usize {
        if self.buckets.len() == 1 { 0 } else { usize::from(crc16(name.as_bytes())) % self.buckets.len() }
    }

    /// The keys of a bucket, as scripts declare them.
    pub(crate) fn keys(&self, bucket: usize) -> &[String; 8] {
        &self.buckets[bucket]
    }

    /// The channel on which a process is told about its requests in a bucket; without a process, about events.
    pub(crate) fn channel(&self, bucket: usize, node: &str) -> String {
        format!("{}{node}", self.buckets[bucket][6])
    }

    /// The bucket that a channel belongs to, and whether it tells about events.
    pub(crate) fn bucket_of(&self, channel: &str) -> Option<(usize, bool)> {
        let at = self.buckets.iter().position(|keys| channel.starts_with(keys[6].as_str()))?;
        Some((at, channel.len() == self.buckets[at][6].len()))
    }
}

/// The form of an id in Redis: a UUID takes 17 bytes instead of 36, others are what they are. Keeps the order of UUIDs.
pub(crate) fn pack_id(id: &RequestId) -> Vec<u8> {
    let text = id.as_str();
    if text.len() == 36
        && let Ok(uuid) = Uuid::try_parse(text)
        && *uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == *text
    {
        let mut packed = Vec::with_capacity(17);
        packed.push(PACKED);
        packed.extend_from_slice(uuid.as_bytes());
        return packed;
    }
    text.as_bytes().to_vec()
}

/// The id of a packed form; `None` if it is not one.
pub(crate) fn unpack_id(packed: &[u8]) -> Option<RequestId> {
    if let Some((&PACKED, rest)) = packed.split_first() {
        let uuid = Uuid::from_slice(rest).ok()?;
        return RequestId::new(uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer())).ok();
    }
    RequestId::new(std::str::from_utf8(packed).ok()?).ok()
}

/// The checksum that Redis Cluster spreads keys by (CRC-16/XMODEM): stable, and known to every client.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_one_of_redis_cluster() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        assert_eq!(crc16(b"foo") % 16_384, 12_182);
    }

    #[test]
    fn all_keys_of_a_bucket_share_a_hash_tag() {
        let layout = Layout::new("ns", 256);
        for key in layout.keys(17) {
            assert!(key.starts_with("{ns:b017}:"), "{key}");
        }
        assert_eq!(layout.bucket_of(&layout.channel(17, "abc")), Some((17, false)));
        assert_eq!(layout.bucket_of(&layout.channel(17, "")), Some((17, true)));
    }

    #[test]
    fn ids_survive_packing_and_uuids_shrink() {
        let uuid = RequestId::generate();
        assert_eq!(pack_id(&uuid).len(), 17);
        let upper = RequestId::new(uuid.as_str().to_uppercase()).unwrap();
        for id in [uuid, upper, RequestId::new("r1").unwrap(), RequestId::new("x".repeat(36)).unwrap()] {
            assert_eq!(unpack_id(&pack_id(&id)), Some(id));
        }
        assert_eq!(unpack_id(&[1, 2, 3]), None);
        assert_eq!(unpack_id(&[0xff]), None);
    }
}
