//! The clone URL, which holds a token. Owns that it is never shown; finding URLs in whole values is in `redact`.

use std::borrow::Cow;

/// What stands where a secret was.
pub(crate) const REDACTED: &str = "<redacted>";

/// The URL Atlantis clones from, with the user and the token of the version control system in clear.
///
/// `Debug`, `Display` and serde show the host and the path only; [`expose`](Self::expose) is the one way to the rest.
///
/// ```
/// use enhanced_locking_compat::record::CloneUrl;
/// let url = CloneUrl::new("https://bot:s3cret@github.com/acme/infra.git");
/// assert_eq!(url.to_string(), "https://<redacted>@github.com/acme/infra.git");
/// assert_eq!(format!("{url:?}"), r#""https://<redacted>@github.com/acme/infra.git""#);
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CloneUrl(String);

impl CloneUrl {
    /// Wraps a URL.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// The URL with its token. Write it where Atlantis reads it, nowhere else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub(crate) fn expose_mut(&mut self) -> &mut String {
        &mut self.0
    }
}

impl std::fmt::Display for CloneUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&without_secret(&self.0))
    }
}

impl std::fmt::Debug for CloneUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", without_secret(&self.0))
    }
}

impl serde::Serialize for CloneUrl {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&without_secret(&self.0))
    }
}

/// A clone URL without whatever may be a secret in it.
///
/// Everything up to the last `@` goes, even if it is part of the path: a token may hold any character, and too little
/// to see does no harm. So does everything from a `?` or `#` on, where tokens are found as well. Without an `@`, which
/// damage may have taken away, only a URL with nothing but a host in front of its path is shown at all.
pub(crate) fn without_secret(url: &str) -> Cow<'_, str> {
    let end = url.rfind('@').map_or(0, |at| at + 1);
    let tail = url.get(end..).unwrap_or_default();
    let shown = tail.split(['?', '#']).next().unwrap_or_default();
    let scheme = scheme_of(url);
    if end == 0 && !url.is_empty() && !scheme.is_some_and(|scheme| is_host_and_path(shown, scheme)) {
        return Cow::Borrowed(REDACTED);
    }
    if end == 0 && shown.len() == url.len() {
        return Cow::Borrowed(url);
    }
    let query = if shown.len() < tail.len() { REDACTED } else { "" };
    Cow::Owned(match (end, scheme) {
        (0, _) => format!("{shown}?{query}"),
        (_, Some(scheme)) => format!("{scheme}://{REDACTED}@{shown}"),
        (_, None) => format!("{REDACTED}@{shown}"),
    })
}

/// The scheme: letters before `://`. Anything else in front may be part of the secret.
fn scheme_of(url: &str) -> Option<&str> {
    let (scheme, _) = url.split_once("://")?;
    let plain = !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'+');
    plain.then_some(scheme)
}

/// Whether there is a host behind the scheme, perhaps with a port, and then the path or nothing.
fn is_host_and_path(url: &str, scheme: &str) -> bool {
    let rest = url.get(scheme.len() + 3..).unwrap_or_default();
    let authority = rest.split('/').next().unwrap_or_default();
    let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
    host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
        && port.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_host_and_the_path_of_a_url_are_shown() {
        for (url, want) in [
            ("", ""),
            ("https://github.com/acme/infra.git", "https://github.com/acme/infra.git"),
            ("https://TOKEN@github.com/a.git", "https://<redacted>@github.com/a.git"),
            ("https://u:TO/K?E#N@github.com/a.git", "https://<redacted>@github.com/a.git"),
            ("https://u:TO@KEN@github.com/a.git", "https://<redacted>@github.com/a.git"),
            ("https://github.com/a.git?access_token=TOKEN", "https://github.com/a.git?<redacted>"),
            ("https://u:TOKEN@github.com/a.git?t=TOKEN", "https://<redacted>@github.com/a.git"),
            ("git@github.com:a.git", "<redacted>@github.com:a.git"),
            ("TOKEN://x@host/a", "<redacted>@host/a"),
            ("u:TOKEN@host/a", "<redacted>@host/a"),
            ("https://git.example.com:8443/a", "https://git.example.com:8443/a"),
            ("https://u:TOKEN/host/a", "<redacted>"),
            ("https://u:TOKEN?host/a", "<redacted>"),
            ("u:TOKEN", "<redacted>"),
        ] {
            assert_eq!(without_secret(url), want, "{url}");
        }
    }

    proptest! {
        #[test]
        fn nothing_in_front_of_the_host_is_shown(secret in "[!-~]{0,20}TOKEN[!-~]{0,20}", user in "[!-~]{0,8}") {
            let url = CloneUrl::new(format!("https://{user}:{secret}@github.com/a.git"));
            prop_assert!(!format!("{url} {url:?}").contains("TOKEN"), "{}", url.expose());
            prop_assert!(!serde_json::to_string(&url).unwrap().contains("TOKEN"));
        }
    }
}
