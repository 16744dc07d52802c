//! Where the broker is, read from a URL, and the one form of it that may be shown.
//!
//! Apart because it is pure and because it holds the password: nothing here prints it. Must not know:
//! connections.

use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use url::Url;

use crate::error::BrokerUrlError;

/// Seconds. A dead peer is noticed after two of them (lapin) or two to three (RabbitMQ).
const HEARTBEAT: u16 = 5;
/// lapin keeps 32 frames of buffer for each direction of each connection. Bytes; 4.1 wants 8192 at least.
const FRAME_MAX: u32 = 32 * 1024;

/// A broker's address with credentials. Has no `Debug`, so that they cannot be printed.
pub(super) struct Address {
    /// What lapin connects to.
    pub(super) uri: AMQPUri,
    /// Host and port, for messages.
    pub(super) at: String,
}

impl Address {
    /// Reads `amqp://` or `amqps://user:password@host:port/vhost`.
    ///
    /// # Errors
    /// What is wrong with it, without its password.
    pub(super) fn parse(text: &str) -> Result<Self, BrokerUrlError> {
        let refuse = |why: &str| BrokerUrlError { shown: shown(text), why: why.to_owned() };
        let url = Url::parse(text).map_err(|cause| refuse(&format!("cannot be read ({cause})")))?;
        let scheme = match url.scheme() {
            "amqp" => AMQPScheme::AMQP,
            "amqps" => AMQPScheme::AMQPS,
            _ => return Err(refuse("does not begin with amqp:// or amqps://")),
        };
        let host = url.host_str().map(|host| host.trim_start_matches('[').trim_end_matches(']')).unwrap_or_default();
        if host.is_empty() {
            return Err(refuse("names no host"));
        }
        if has_stray_userinfo(&url) {
            return Err(refuse("has an '@' behind its host; write '@' as %40 and '/' as %2F in a password"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refuse("has options behind its virtual host; Thump sets them itself"));
        }
        // "amqp://host/" means the empty name to the letter, and nobody means that.
        let path = url.path().trim_start_matches('/');
        if path.contains('/') {
            return Err(refuse("has more than one '/' behind its host; write '/' in a virtual host as %2F"));
        }
        let unreadable = |_| refuse("has a part that is no UTF-8 when decoded");
        let vhost = if path.is_empty() { "/".to_owned() } else { percent_decoded(path).map_err(unreadable)? };
        let username = if url.username().is_empty() { "guest" } else { url.username() };
        let userinfo = AMQPUserInfo {
            username: percent_decoded(username).map_err(unreadable)?,
            password: percent_decoded(url.password().unwrap_or("guest")).map_err(unreadable)?,
        };
        if vhost.len() > 255 {
            return Err(refuse("names a virtual host longer than 255 bytes"));
        }
        let port = url.port().unwrap_or_else(|| scheme.default_port());
        let at = format!("{}:{port}", url.host_str().unwrap_or_default());
        let authority = AMQPAuthority { userinfo, host: host.to_owned(), port };
        let query =
            AMQPQueryString { heartbeat: Some(HEARTBEAT), frame_max: Some(FRAME_MAX), ..AMQPQueryString::default() };
        Ok(Self { uri: AMQPUri { scheme, authority, vhost, query }, at })
    }

    pub(super) fn user(&self) -> &str {
        &self.uri.authority.userinfo.username
    }
}

/// The URL without anything that may be a secret: user, password, options.
fn shown(text: &str) -> String {
    let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
    let scheme: String = scheme.chars().filter(char::is_ascii_alphanumeric).take(10).collect();
    match Url::parse(text) {
        Ok(url) if url.has_host() && !has_stray_userinfo(&url) => {
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            format!("{scheme}://{}{port}{}", url.host_str().unwrap_or_default(), url.path())
        }
        // What cannot be read may have its password anywhere.
        _ => format!("{scheme}://..."),
    }
}

/// A '/' or '#' in a password ends the host early, and what follows looks like a path.
fn has_stray_userinfo(url: &Url) -> bool {
    [Some(url.path()), url.query(), url.fragment()].into_iter().flatten().any(|part| part.contains('@'))
}

fn percent_decoded(text: &str) -> Result<String, std::string::FromUtf8Error> {
    let hex =
        |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16)).and_then(|d| u8::try_from(d).ok());
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match (byte, hex(bytes.get(at + 1)), hex(bytes.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(high * 16 + low);
                at += 3;
            }
            _ => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_read_and_decoded() {
        let address = Address::parse("amqps://us%65r:p%40ss%2Fw%25@broker.example:7777/thu%2Fmp").expect("valid");
        let uri = &address.uri;
        assert_eq!(uri.scheme, AMQPScheme::AMQPS);
        assert_eq!((uri.authority.host.as_str(), uri.authority.port), ("broker.example", 7777));
        assert_eq!((address.user(), uri.authority.userinfo.password.as_str()), ("user", "p@ss/w%"));
        assert_eq!((uri.vhost.as_str(), address.at.as_str()), ("thu/mp", "broker.example:7777"));
    }

    #[test]
    fn what_is_left_out_has_the_usual_value() {
        for text in ["amqp://localhost", "amqp://localhost/"] {
            let address = Address::parse(text).expect("valid");
            assert_eq!((address.user(), address.uri.vhost.as_str()), ("guest", "/"));
            assert_eq!(address.at, "localhost:5672");
        }
        assert_eq!(Address::parse("amqps://localhost/x").expect("valid").at, "localhost:5671");
    }

    #[test]
    fn an_ipv6_host_is_not_mistaken_for_localhost() {
        let address = Address::parse("amqp://u:p@[::1]:5673/v").expect("valid");
        assert_eq!((address.uri.authority.host.as_str(), address.at.as_str()), ("::1", "[::1]:5673"));
    }

    #[test]
    fn a_refused_url_never_shows_its_password() {
        for text in [
            "http://u:s3cret@host/vhost",
            "amqp://u:s3cret@/vhost",
            "amqp://u:s3cret@host:99999/vhost",
            "amqp://u:s3c/s3cret@host/vhost",
            "amqp://u:123/s3cret@host/vhost",
            "amqp://u:1#s3cret@host/vhost",
            "amqp://u:s3cret",
            "amqp://u:s3cret@host/a/b",
            "amqp://u:x@host/a?password=s3cret",
            "amqp:u:s3cret@host",
            "u:s3cret@host",
            "s3cret",
            "",
        ] {
            let refused = Address::parse(text).err().expect(text).to_string();
            assert!(!refused.contains("s3c"), "{refused}");
        }
    }

    #[test]
    fn a_refused_url_still_says_which_broker_was_meant() {
        let refused = Address::parse("amqp://u:s3cret@north:5672/a/b").err().expect("two slashes");
        assert_eq!(refused.shown, "amqp://north:5672/a/b");
    }
}
