//! The Redis protocol, versions 2 and 3, as its clients speak it. Owns bytes, limits and the two forms of answers; what the
//! commands mean is in `commands`.
//!
//! Requests are arrays of bulk strings, or lines typed by hand. Nothing a client sends is kept longer than its limits.

use bytes::{Buf, Bytes, BytesMut};

/// What a client may send at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestLimits {
    /// Parts of a request, the command's name included.
    pub(crate) parts: usize,
    /// Bytes of one part.
    pub(crate) part: usize,
}

impl RequestLimits {
    /// Before a client has said who it is.
    pub(crate) const STRANGER: Self = Self { parts: 10, part: 16 << 10 };
    /// Afterwards. The value of a `SET` may be a document, and the parts beside it are small.
    pub(crate) const KNOWN: Self = Self { parts: 256, part: 8 << 20 };

    /// The longest request in bytes: one long part, and little else.
    pub(crate) fn total(self) -> usize {
        self.part + (64 << 10)
    }
}

/// The longest line in bytes, without its end.
const MAX_LINE: usize = 64 << 10;

/// A request that cannot be read: the connection is of no use any more.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("ERR Protocol error: {0}")]
pub(crate) struct ProtocolError(pub(crate) &'static str);

/// Takes the first request out of what has arrived; `None` if it has not arrived in full, an empty one for an empty line.
///
/// # Errors
/// [`ProtocolError`]: it is not the protocol, or beyond the limits.
pub(crate) fn take_request(
    buffer: &mut BytesMut,
    limits: RequestLimits,
) -> Result<Option<Vec<Bytes>>, ProtocolError> {
    let mut at = 0;
    let Some(head) = line(buffer, &mut at)? else { return Ok(None) };
    if head.first() != Some(&b'*') {
        let parts: Vec<Bytes> = head
            .split(u8::is_ascii_whitespace)
            .filter(|part| !part.is_empty())
            .map(Bytes::copy_from_slice)
            .collect();
        if parts.len() > limits.parts {
            return Err(ProtocolError("too many parts in a line"));
        }
        buffer.advance(at);
        return Ok(Some(parts));
    }
    let count = number(&head[1..]).ok_or(ProtocolError("invalid multibulk length"))?;
    let count = usize::try_from(count).unwrap_or(0);
    if count > limits.parts {
        return Err(ProtocolError("invalid multibulk length: too many parts"));
    }
    // First where the parts are, then the parts: what is not complete is looked at again, and must cost little.
    let mut places = Vec::with_capacity(count);
    for _ in 0..count {
        let Some(head) = line(buffer, &mut at)? else { return Ok(None) };
        let length = match head.first() {
            Some(b'$') => number(&head[1..]).and_then(|length| usize::try_from(length).ok()),
            _ => return Err(ProtocolError("expected '$' in front of a part")),
        };
        let length = length.filter(|length| *length <= limits.part);
        let length = length.ok_or(ProtocolError("invalid bulk length"))?;
        if at + length > limits.total() {
            return Err(ProtocolError("the request is too long"));
        }
        match buffer.get(at + length..at + length + 2) {
            Some(b"\r\n") => {}
            Some(_) => return Err(ProtocolError("a part does not end where it says")),
            None => return Ok(None),
        }
        places.push(at..at + length);
        at += length + 2;
    }
    // Copied: a part that is kept must not keep the whole buffer.
    let parts = places.into_iter().map(|place| Bytes::copy_from_slice(&buffer[place])).collect();
    buffer.advance(at);
    Ok(Some(parts))
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// `OK` and the like.
    Simple(&'static str),
    /// A refusal, which begins with its kind, such as `ERR`.
    Error(String),
    /// A number.
    Number(i64),
    /// Bytes.
    Bulk(Bytes),
    /// Nothing.
    Null,
    /// A list.
    Array(Vec<Reply>),
    /// Names and values.
    Map(Vec<(&'static str, Reply)>),
}

impl Reply {
    /// `OK`.
    pub(crate) const OK: Self = Self::Simple("OK");

    /// A text.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Bulk(Bytes::from(text.into()))
    }

    /// Writes it in a version of the protocol, 2 or 3.
    pub(crate) fn write(&self, version: u8, to: &mut Vec<u8>) {
        match self {
            Self::Simple(text) => line_of(to, b'+', text.as_bytes()),
            // A line: what would end it early is taken out.
            Self::Error(text) => {
                let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
                line_of(to, b'-', text.as_bytes());
            }
            Self::Number(number) => line_of(to, b':', number.to_string().as_bytes()),
            Self::Bulk(bytes) => {
                line_of(to, b'$', bytes.len().to_string().as_bytes());
                to.extend_from_slice(bytes);
                to.extend_from_slice(b"\r\n");
            }
            Self::Null if version >= 3 => to.extend_from_slice(b"_\r\n"),
            Self::Null => to.extend_from_slice(b"$-1\r\n"),
            Self::Array(items) => {
                line_of(to, b'*', items.len().to_string().as_bytes());
                items.iter().for_each(|item| item.write(version, to));
            }
            Self::Map(entries) => {
                let (sign, len) =
                    if version >= 3 { (b'%', entries.len()) } else { (b'*', entries.len() * 2) };
                line_of(to, sign, len.to_string().as_bytes());
                for (name, value) in entries {
                    Self::Bulk(Bytes::from_static(name.as_bytes())).write(version, to);
                    value.write(version, to);
                }
            }
        }
    }
}

/// The next line, and the place behind it.
fn line<'a>(buffer: &'a [u8], at: &mut usize) -> Result<Option<&'a [u8]>, ProtocolError> {
    let rest = buffer.get(*at..).unwrap_or_default();
    let seen = &rest[..rest.len().min(MAX_LINE + 2)];
    match seen.iter().position(|byte| *byte == b'\n') {
        Some(end) => {
            *at += end + 1;
            Ok(Some(seen[..end].strip_suffix(b"\r").unwrap_or(&seen[..end])))
        }
        None if rest.len() > MAX_LINE => Err(ProtocolError("too big inline request")),
        None => Ok(None),
    }
}

fn line_of(to: &mut Vec<u8>, sign: u8, text: &[u8]) {
    to.push(sign);
    to.extend_from_slice(text);
    to.extend_from_slice(b"\r\n");
}

fn number(digits: &[u8]) -> Option<i64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn take(bytes: &[u8]) -> Result<Option<Vec<Bytes>>, ProtocolError> {
        take_request(&mut BytesMut::from(bytes), RequestLimits::KNOWN)
    }

    fn encode(parts: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let parts = parts.iter().map(|part| Reply::Bulk(Bytes::copy_from_slice(part))).collect();
        Reply::Array(parts).write(2, &mut bytes);
        bytes
    }

    fn written(reply: &Reply, version: u8) -> String {
        let mut bytes = Vec::new();
        reply.write(version, &mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn lines_typed_by_hand_are_requests() {
        assert_eq!(take(b"ping\r\n").unwrap().unwrap(), ["ping"]);
        assert_eq!(take(b"get  a b\n").unwrap().unwrap(), ["get", "a", "b"]);
        assert_eq!(take(b"\r\n").unwrap().unwrap(), Vec::<Bytes>::new());
        assert_eq!(take(b"pin").unwrap(), None);
    }

    #[test]
    fn what_is_not_the_protocol_is_refused() {
        for bytes in [
            "*x\r\n",
            "*1\r\n:3\r\n",
            "*1\r\n$x\r\n",
            "*1\r\n$-1\r\n",
            "*1\r\n$3\r\nabcd\r\n",
            "*257\r\n",
            "*1\r\n$8388609\r\n",
            "*99999999999999999999\r\n",
        ] {
            assert!(take(bytes.as_bytes()).is_err(), "{bytes:?}");
        }
        assert!(take(&[b'a'; MAX_LINE + 1]).is_err(), "a line that never ends");
    }

    #[test]
    fn strangers_may_send_little() {
        let take = |bytes: Vec<u8>| take_request(&mut BytesMut::from(&bytes[..]), RequestLimits::STRANGER);
        assert!(take(encode(&[vec![b'x'; 16 << 10]])).unwrap().is_some());
        assert!(take(encode(&[vec![b'x'; (16 << 10) + 1]])).is_err());
        assert!(take(encode(&vec![vec![b'x']; 11])).is_err());
    }

    #[test]
    fn a_request_is_as_long_as_one_part_and_little_else() {
        let mut bytes = b"*2\r\n$8388608\r\n".to_vec();
        bytes.extend(vec![b'x'; 8 << 20]);
        bytes.extend_from_slice(b"\r\n$8388608\r\n");
        assert_eq!(take(&bytes), Err(ProtocolError("the request is too long")));
    }

    #[test]
    fn answers_have_the_form_of_their_version() {
        let map = Reply::Map(vec![("proto", Reply::Number(3)), ("modules", Reply::Array(Vec::new()))]);
        assert_eq!(written(&map, 3), "%2\r\n$5\r\nproto\r\n:3\r\n$7\r\nmodules\r\n*0\r\n");
        assert_eq!(written(&map, 2), "*4\r\n$5\r\nproto\r\n:3\r\n$7\r\nmodules\r\n*0\r\n");
        assert_eq!(written(&Reply::Null, 3), "_\r\n");
        assert_eq!(written(&Reply::Null, 2), "$-1\r\n");
        assert_eq!(written(&Reply::OK, 2), "+OK\r\n");
        assert_eq!(written(&Reply::Error("ERR a\r\n+OK".to_owned()), 2), "-ERR a  +OK\r\n");
    }

    proptest! {
        #[test]
        fn requests_arrive_in_pieces_and_are_the_same(
            requests in prop::collection::vec(prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6), 1..5),
            cuts in prop::collection::vec(1usize..50, 1..20),
        ) {
            let bytes: Vec<u8> = requests.iter().flat_map(|request| encode(request)).collect();
            let (mut buffer, mut found, mut at, mut turn) = (BytesMut::new(), Vec::new(), 0, 0);
            while at < bytes.len() {
                let end = (at + cuts[turn % cuts.len()]).min(bytes.len());
                buffer.extend_from_slice(&bytes[at..end]);
                (at, turn) = (end, turn + 1);
                while let Some(request) = take_request(&mut buffer, RequestLimits::KNOWN).unwrap() {
                    found.push(request.iter().map(|part| part.to_vec()).collect::<Vec<_>>());
                }
            }
            prop_assert_eq!(found, requests);
            prop_assert!(buffer.is_empty());
        }

        #[test]
        fn nothing_a_client_sends_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut buffer = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = take_request(&mut buffer, RequestLimits::STRANGER) {
                if buffer.is_empty() {
                    break;
                }
            }
        }

        #[test]
        fn nothing_that_looks_like_a_request_makes_it_panic(text in "(\\*[0-9-]{1,3}\r\n)?(\\$[0-9-]{1,4}\r\n[a-z\r\n]{0,9}){0,6}") {
            let mut buffer = BytesMut::from(text.as_bytes());
            while let Ok(Some(_)) = take_request(&mut buffer, RequestLimits::KNOWN) {
                if buffer.is_empty() {
                    break;
                }
            }
        }
    }
}
