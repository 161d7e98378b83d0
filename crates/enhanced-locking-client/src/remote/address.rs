//! Where calls go: the base address of a service, the headers of every call, and a proxy of the environment in
//! between. Owns how a call's path and parameters are written; sending it is the transport's.

use std::fmt::{self, Write};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, PROXY_AUTHORIZATION, USER_AGENT,
};
use hyper::http::uri::InvalidUri;
use hyper::{Method, Request, Uri};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use url::{Position, Url};

use super::{ConnectError, RemoteConfig};

/// Everything about the address of a service that is the same for every call, made once.
#[derive(Debug)]
pub(super) struct Address {
    /// Where connections are made to: the service, or a proxy.
    dial: Uri,
    /// What stands in front of the path of every call: the base path, behind a proxy the whole base address.
    prefix: String,
    headers: HeaderMap,
}

impl Address {
    /// The address with the proxies that the environment names.
    pub(super) fn new(config: &RemoteConfig) -> Result<Self, ConnectError> {
        Self::behind(config, &Matcher::from_env())
    }

    pub(super) fn behind(config: &RemoteConfig, proxies: &Matcher) -> Result<Self, ConnectError> {
        let base = config.base()?;
        let host = &base[Position::BeforeHost..Position::AfterPort];
        let origin: Uri = format!("http://{host}").parse().map_err(|error: InvalidUri| {
            ConnectError::Address { given: config.server().to_owned(), reason: error.to_string() }
        })?;
        // Build machines have a proxy in their environment; it cannot reach a service on this machine.
        let proxy = if is_loopback(&base) { None } else { proxies.intercept(&origin) };
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_str(host).map_err(client)?);
        let agent = HeaderValue::from_static(concat!("enhanced-locking/", env!("CARGO_PKG_VERSION")));
        headers.insert(USER_AGENT, agent);
        if let Some(value) = config.authorization()? {
            headers.insert(AUTHORIZATION, value);
        }
        let Some(proxy) = proxy else {
            return Ok(Self { dial: origin, prefix: base.path().to_owned(), headers });
        };
        check(&proxy)?;
        if let Some(value) = proxy.basic_auth() {
            headers.insert(PROXY_AUTHORIZATION, value.clone());
        }
        Ok(Self { dial: proxy.uri().clone(), prefix: base.as_str().to_owned(), headers })
    }

    /// Where connections are made to.
    pub(super) fn dial(&self) -> &Uri {
        &self.dial
    }

    /// The request for a target, with a body of JSON if there is one.
    pub(super) fn request(
        &self,
        method: Method,
        target: &Target,
        body: Option<Vec<u8>>,
    ) -> Result<Request<Full<Bytes>>, InvalidUri> {
        let mut whole = String::with_capacity(self.prefix.len() + target.text.len());
        whole.push_str(&self.prefix);
        whole.push_str(&target.text);
        let uri = Uri::from_maybe_shared(Bytes::from(whole))?;
        let mut headers = self.headers.clone();
        if body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let mut request = Request::new(Full::new(body.map_or_else(Bytes::new, Bytes::from)));
        (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (method, uri, headers);
        Ok(request)
    }
}

/// Only what is spoken here: a proxy for plain HTTP.
fn check(proxy: &Intercept) -> Result<(), ConnectError> {
    match proxy.uri().scheme_str() {
        None | Some("http") => Ok(()),
        Some(other) => Err(client(format!(
            "the environment names a proxy that speaks {other}; name one that speaks http, or add the service to NO_PROXY"
        ))),
    }
}

fn client(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ConnectError {
    ConnectError::Client(error.into())
}

fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        host == "localhost"
            || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    })
}

/// The path of a call below the base, with its parameters, as it is written on the wire.
#[derive(Clone, Debug)]
pub(super) struct Target {
    text: String,
    asked: bool,
}

impl Target {
    pub(super) fn new(path: &[&str]) -> Self {
        let mut text = String::with_capacity(160);
        for part in path {
            text.push('/');
            // As they are, these two would be steps and not names.
            match *part {
                "." => text.push_str("%2E"),
                ".." => text.push_str("%2E%2E"),
                name => escape(name, b"", &mut text),
            }
        }
        Self { text, asked: false }
    }

    /// Adds a parameter.
    pub(super) fn ask(&mut self, name: &'static str, value: impl fmt::Display) {
        self.text.push(if self.asked { '&' } else { '?' });
        self.asked = true;
        self.text.push_str(name);
        self.text.push('=');
        // Cannot fail: it ends in a string.
        let _ = write!(Value(&mut self.text), "{value}");
    }
}

/// Writes the value of a parameter.
struct Value<'a>(&'a mut String);

impl Write for Value<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape(text, b"/:@", self.0);
        Ok(())
    }
}

/// Escapes everything but what means itself everywhere (RFC 3986, "unreserved"), and what `also` lets through.
fn escape(text: &str, also: &[u8], out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || also.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxied(server: &str, proxy: &str) -> Result<Address, ConnectError> {
        let proxies = Matcher::builder().http(proxy).no("inside.example").build();
        Address::behind(&RemoteConfig::new(server).token("t"), &proxies)
    }

    fn line(address: &Address) -> (String, HeaderMap) {
        let request = address.request(Method::GET, &Target::new(&["ping"]), None).unwrap();
        (request.uri().to_string(), request.headers().clone())
    }

    #[test]
    fn a_proxy_of_the_environment_gets_whole_addresses_and_its_own_password() {
        let address = proxied("http://far.example:4141/el/", "http://u:p@proxy.example:3128").unwrap();
        assert_eq!(address.dial(), "http://proxy.example:3128/");
        let (uri, headers) = line(&address);
        assert_eq!(uri, "http://far.example:4141/el/api/enhanced-locks/ping");
        assert_eq!(
            (&headers[HOST], &headers[AUTHORIZATION]),
            (&"far.example:4141".parse().unwrap(), &"Bearer t".parse().unwrap())
        );
        assert_eq!(headers[PROXY_AUTHORIZATION], "Basic dTpw");
    }

    #[test]
    fn this_machine_and_what_no_proxy_names_are_reached_directly() {
        for server in [
            "http://localhost:4141",
            "http://127.0.0.1:4141",
            "http://[::1]:4141",
            "http://inside.example:4141",
        ] {
            let address = proxied(server, "http://u:p@proxy.example:3128").unwrap();
            assert_eq!(*address.dial(), *format!("{server}/"));
            let (uri, headers) = line(&address);
            assert_eq!(uri, "/api/enhanced-locks/ping");
            assert!(!headers.contains_key(PROXY_AUTHORIZATION));
        }
    }

    #[test]
    fn a_proxy_that_is_not_spoken_to_is_named_before_anything_is_sent() {
        let error = proxied("http://far.example", "socks5://proxy.example:1080").unwrap_err();
        let ConnectError::Client(source) = error else { panic!("{error}") };
        assert!(source.to_string().contains("socks5") && source.to_string().contains("NO_PROXY"), "{source}");
        assert!(proxied("http://127.0.0.1", "socks5://proxy.example:1080").is_ok());
    }

    #[test]
    fn the_usual_port_is_left_out_and_a_base_path_is_kept() {
        let address = proxied("http://inside.example:80/a%20b/", "").unwrap();
        let (uri, headers) = line(&address);
        assert_eq!(
            (uri.as_str(), &headers[HOST]),
            ("/a%20b/api/enhanced-locks/ping", &"inside.example".parse().unwrap())
        );
    }

    #[test]
    fn names_and_values_are_escaped_so_that_they_come_back_whole() {
        let odd = "a/b c+d%&=#?é:@\u{1f512}";
        let mut target = Target::new(&["requests", odd, "..", "."]);
        target.ask("key", odd);
        target.ask("limit", 7);
        let url = Url::parse(&format!("http://h{}", target.text)).unwrap();
        let values: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        assert_eq!(values, [("key".into(), odd.into()), ("limit".into(), "7".into())]);
        assert!(
            target.text.starts_with(
                "/requests/a%2Fb%20c%2Bd%25%26%3D%23%3F%C3%A9%3A%40%F0%9F%94%92/%2E%2E/%2E?key="
            )
        );
    }
}
