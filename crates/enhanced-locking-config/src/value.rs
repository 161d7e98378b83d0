//! Owns the step from text to a typed value: what each kind of setting accepts, how it says no, and how a
//! value is put into and taken out of a settings field. Does not own which key is of which kind.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::secret::Secret;
use crate::suggest::nearest;
use crate::units::{ByteSize, parse_duration, print_duration};

/// A checked value on its way into a field, or out of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Switch(bool),
    Integer(u64),
    Duration(Duration),
    Size(ByteSize),
    Text(String),
    List(Vec<String>),
    Address(SocketAddr),
    Secret(Secret),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Switch(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
            Self::Duration(value) => f.write_str(&print_duration(value)),
            Self::Size(value) => value.fmt(f),
            Self::Text(value) => f.write_str(value),
            Self::List(value) => f.write_str(&value.join(",")),
            Self::Address(value) => value.fmt(f),
            Self::Secret(value) => value.fmt(f),
        }
    }
}

/// A text with the form in which it may be quoted in an error: for `${VAR}` that is the form before expansion.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    pub(crate) text: String,
    pub(crate) shown: String,
}

impl Text {
    pub(crate) fn plain(text: &str) -> Self {
        Self { text: text.to_owned(), shown: text.to_owned() }
    }
}

/// What a layer says about a key, before its kind is looked at.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    One(Text),
    Many(Vec<Text>),
}

/// Why an input is not a value of its key's kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mismatch {
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

/// What a key accepts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rule {
    Switch,
    Integer { min: u64, max: u64 },
    Duration { min: Duration, max: Duration },
    Size { min: ByteSize, max: ByteSize },
    Choice(&'static [&'static str]),
    Text,
    Path,
    Listen,
    HostPorts,
    Secret,
}

impl Rule {
    /// Reads what a layer says.
    pub(crate) fn read(&self, input: &Input) -> Result<Value, Mismatch> {
        match (self, input) {
            (Self::HostPorts, Input::One(text)) => {
                let items: Vec<_> = text
                    .text
                    .split(',')
                    .map(|item| Text { text: item.trim().to_owned(), shown: text.shown.clone() })
                    .collect();
                read_host_ports(&items).ok_or_else(|| self.mismatch(&text.shown))
            }
            (Self::HostPorts, Input::Many(items)) => {
                let shown: Vec<_> = items.iter().map(|item| item.shown.as_str()).collect();
                read_host_ports(items).ok_or_else(|| self.mismatch(&shown.join(",")))
            }
            (_, Input::Many(_)) => Err(self.not_a("list")),
            (_, Input::One(text)) => self.read_one(text),
        }
    }

    /// The refusal of a thing that is not a scalar, such as a table.
    pub(crate) fn not_a(&self, thing: &str) -> Mismatch {
        Mismatch { message: format!("is a {thing}, but must be {self}"), help: None }
    }

    fn read_one(&self, input: &Text) -> Result<Value, Mismatch> {
        let text = input.text.as_str();
        let refuse = || self.mismatch(&input.shown);
        match self {
            Self::Switch => match text {
                "true" | "True" | "TRUE" => Ok(Value::Switch(true)),
                "false" | "False" | "FALSE" => Ok(Value::Switch(false)),
                _ => Err(refuse()),
            },
            Self::Integer { min, max } => text
                .parse()
                .ok()
                .filter(|value| (*min..=*max).contains(value) && !text.starts_with('+'))
                .map(Value::Integer)
                .ok_or_else(refuse),
            Self::Duration { min, max } => match parse_duration(text) {
                Ok(value) if (*min..=*max).contains(&value) => Ok(Value::Duration(value)),
                Ok(_) => Err(refuse()),
                Err(help) => Err(Mismatch { help: Some(help), ..refuse() }),
            },
            Self::Size { min, max } => match text.parse::<ByteSize>() {
                Ok(value) if (*min..=*max).contains(&value) => Ok(Value::Size(value)),
                Ok(_) => Err(refuse()),
                Err(error) => Err(Mismatch { help: Some(error.to_string()), ..refuse() }),
            },
            Self::Choice(names) if names.contains(&text) => Ok(Value::Text(text.to_owned())),
            Self::Choice(names) => {
                let help = nearest(text, names.iter().copied()).map(|name| format!("did you mean `{name}`?"));
                Err(Mismatch { help, ..refuse() })
            }
            Self::Text if text.is_empty() || text.len() > 256 || text.contains(char::is_control) => {
                Err(refuse())
            }
            Self::Text => Ok(Value::Text(text.to_owned())),
            Self::Path if text.is_empty() || text.len() > 4096 || text.contains('\0') => Err(refuse()),
            Self::Path => Ok(Value::Text(text.to_owned())),
            Self::Listen => {
                let numeric = match text.strip_prefix("localhost:") {
                    Some(port) => format!("127.0.0.1:{port}"),
                    None => text.to_owned(),
                };
                numeric.parse().map(Value::Address).map_err(|_| Mismatch {
                    help: text
                        .starts_with(':')
                        .then(|| format!("for every interface write `0.0.0.0{}`", input.shown)),
                    ..refuse()
                })
            }
            Self::Secret if is_secret(text) => Ok(Value::Secret(Secret::new(text.to_owned()))),
            Self::Secret => Err(Mismatch { message: format!("must be {self}"), help: None }),
            Self::HostPorts => Err(refuse()),
        }
    }

    fn mismatch(&self, shown: &str) -> Mismatch {
        Mismatch { message: format!("is `{}`, but must be {self}", quoted(shown)), help: self.habit(shown) }
    }

    /// A hint for what people write out of habit.
    fn habit(&self, shown: &str) -> Option<String> {
        match self {
            Self::Switch => match shown.to_ascii_lowercase().as_str() {
                "yes" | "on" | "1" | "y" | "t" | "enabled" => Some("write `true`".to_owned()),
                "no" | "off" | "0" | "n" | "f" | "disabled" => Some("write `false`".to_owned()),
                _ => None,
            },
            Self::HostPorts if shown.starts_with("/") => {
                Some(format!("for a socket write `unix:{}`", quoted(shown)))
            }
            Self::HostPorts if shown.contains("://") => {
                Some("write only host and port; user, password and database have their own keys".to_owned())
            }
            _ => None,
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Switch => f.write_str("true or false"),
            Self::Integer { min, max } => write!(f, "a whole number from {min} to {max}"),
            Self::Duration { min, max } => {
                write!(f, "a duration from {} to {}", print_duration(min), print_duration(max))
            }
            Self::Size { min, max } => write!(f, "a size from {min} to {max}"),
            Self::Choice(names) => write!(f, "one of {}", names.join(", ")),
            Self::Text => f.write_str("a text of 1 to 256 bytes on one line"),
            Self::Path => f.write_str("a path"),
            Self::Listen => f.write_str("an address with a port, such as 127.0.0.1:4141 or [::1]:4141"),
            Self::HostPorts => f.write_str("a list of `host:port`, or `unix:` and the path of a socket"),
            Self::Secret => f.write_str("a text of 1 to 4096 bytes without control characters"),
        }
    }
}

/// What any secret must be, wherever it is read from.
pub(crate) fn is_secret(text: &str) -> bool {
    !text.is_empty() && text.len() <= 4096 && !text.contains(char::is_control)
}

/// Makes a user's text safe and short enough for one line of an error. What may be a URL with a password is
/// not repeated at all.
pub(crate) fn quoted(text: &str) -> String {
    const LENGTH_MAX: usize = 80;
    if text.contains('@') && text.contains(':') {
        return "***".to_owned();
    }
    let escaped: String = text.chars().take(LENGTH_MAX).flat_map(char::escape_debug).collect();
    if text.chars().count() > LENGTH_MAX { format!("{escaped}…") } else { escaped }
}

fn read_host_ports(items: &[Text]) -> Option<Value> {
    let good =
        !items.is_empty() && items.iter().all(|item| is_host_port(&item.text) || is_socket(&item.text));
    good.then(|| Value::List(items.iter().map(|item| item.text.clone()).collect()))
}

fn is_socket(text: &str) -> bool {
    let path = text.strip_prefix("unix:").filter(|path| path.starts_with('/') && !path.starts_with("//"));
    path.is_some_and(|path| path.len() > 1 && !path.contains(char::is_control))
}

fn is_host_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let host_is_good = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            (1..=253).contains(&host.len())
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
        }
    };
    host_is_good
        && port.bytes().all(|byte| byte.is_ascii_digit())
        && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// A settings field that a [`Value`] can be put into and taken out of.
pub(crate) trait Field {
    /// `false` when the value is of another kind: the schema and the field disagree.
    fn put(&mut self, value: Value) -> bool;

    /// The current value; `None` when an optional setting is unset.
    fn value(&self) -> Option<Value>;
}

macro_rules! plain_field {
    ($($type:ty => $variant:ident),* $(,)?) => { $(
        impl Field for $type {
            fn put(&mut self, value: Value) -> bool {
                match value {
                    Value::$variant(value) => { *self = value; true }
                    _ => false,
                }
            }
            fn value(&self) -> Option<Value> {
                Some(Value::$variant(self.clone()))
            }
        }
    )* };
}

plain_field!(bool => Switch, Duration => Duration, ByteSize => Size, String => Text, Vec<String> => List,
    SocketAddr => Address, Secret => Secret);

macro_rules! integer_field {
    ($($type:ty),*) => { $(
        impl Field for $type {
            fn put(&mut self, value: Value) -> bool {
                match value {
                    Value::Integer(value) => match Self::try_from(value) {
                        Ok(value) => { *self = value; true }
                        Err(_) => false,
                    },
                    _ => false,
                }
            }
            fn value(&self) -> Option<Value> {
                u64::try_from(*self).ok().map(Value::Integer)
            }
        }
    )* };
}

integer_field!(u8, u16, u32, usize);

impl Field for PathBuf {
    fn put(&mut self, value: Value) -> bool {
        match value {
            Value::Text(text) => {
                *self = Self::from(text);
                true
            }
            _ => false,
        }
    }

    fn value(&self) -> Option<Value> {
        Some(Value::Text(self.display().to_string()))
    }
}

impl<T: Field + Blank> Field for Option<T> {
    fn put(&mut self, value: Value) -> bool {
        let mut inner = T::blank();
        let fits = inner.put(value);
        if fits {
            *self = Some(inner);
        }
        fits
    }

    fn value(&self) -> Option<Value> {
        self.as_ref().and_then(Field::value)
    }
}

/// A field's state before the schema's default is put into it.
pub(crate) trait Blank {
    fn blank() -> Self;
}

impl Blank for Secret {
    fn blank() -> Self {
        Self::new(String::new())
    }
}

impl Blank for SocketAddr {
    fn blank() -> Self {
        Self::from(([127, 0, 0, 1], 0))
    }
}

macro_rules! blank_by_default {
    ($($type:ty),*) => { $(
        impl Blank for $type {
            fn blank() -> Self {
                Self::default()
            }
        }
    )* };
}

blank_by_default!(Duration, String, PathBuf, u16, u32);

#[cfg(test)]
mod tests {
    use super::*;

    fn read(rule: Rule, text: &str) -> Result<Value, Mismatch> {
        rule.read(&Input::One(Text::plain(text)))
    }

    #[test]
    fn a_wrong_value_says_what_it_was_and_what_is_allowed() {
        let rule = Rule::Integer { min: 1, max: 10 };
        assert_eq!(read(rule, "70").unwrap_err().message, "is `70`, but must be a whole number from 1 to 10");
        for text in ["", "+5", "5.0", "0x5", "1e1", " 5"] {
            assert!(read(rule, text).is_err(), "{text}");
        }
        assert_eq!(read(Rule::Switch, "yes").unwrap_err().help.unwrap(), "write `true`");
        let error = read(Rule::Choice(&["embedded", "redis"]), "reddis").unwrap_err();
        assert_eq!(error.message, "is `reddis`, but must be one of embedded, redis");
        assert_eq!(error.help.unwrap(), "did you mean `redis`?");
    }

    #[test]
    fn a_listen_address_may_say_localhost_and_a_bare_port_gets_a_hint() {
        assert_eq!(read(Rule::Listen, "localhost:80"), Ok(Value::Address(([127, 0, 0, 1], 80).into())));
        assert_eq!(
            read(Rule::Listen, ":80").unwrap_err().help.unwrap(),
            "for every interface write `0.0.0.0:80`"
        );
        assert!(read(Rule::Listen, "127.0.0.1").is_err());
    }

    #[test]
    fn addresses_are_a_list_or_a_text_with_commas() {
        let two = Value::List(vec!["a:1".to_owned(), "[::1]:2".to_owned()]);
        assert_eq!(read(Rule::HostPorts, "a:1, [::1]:2"), Ok(two.clone()));
        let many = Input::Many(vec![Text::plain("a:1"), Text::plain("[::1]:2")]);
        assert_eq!(Rule::HostPorts.read(&many), Ok(two));
        let socket = Value::List(vec!["unix:/run/redis.sock".to_owned()]);
        assert_eq!(read(Rule::HostPorts, "unix:/run/redis.sock"), Ok(socket));
        let bare = read(Rule::HostPorts, "/run/redis.sock").unwrap_err();
        assert_eq!(bare.help.unwrap(), "for a socket write `unix:/run/redis.sock`");
        for text in ["unix:", "unix:run", "unix:/", "unix:///run/x"] {
            assert!(read(Rule::HostPorts, text).is_err(), "{text}");
        }
        for text in ["", "a", "a:", ":1", "a:0", "a:70000", "a:1,", "a:+1", "a b:1", "::1:2", "redis://a:1"] {
            assert!(read(Rule::HostPorts, text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_may_hold_a_secret_is_never_repeated() {
        let error = read(Rule::HostPorts, "redis://:hunter2@host:1").unwrap_err();
        assert!(!error.message.contains("hunter2"), "{error:?}");
        let error = read(Rule::Secret, "hunter2\n").unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        let expanded = Text { text: "hunter2".to_owned(), shown: "${PASSWORD}".to_owned() };
        let error = Rule::Switch.read(&Input::One(expanded)).unwrap_err();
        assert_eq!(error.message, "is `${PASSWORD}`, but must be true or false");
    }

    #[test]
    fn quoting_keeps_an_error_on_one_short_line() {
        assert_eq!(quoted("a\nb"), "a\\nb");
        assert!(quoted(&"x".repeat(500)).len() < 100);
    }
}
