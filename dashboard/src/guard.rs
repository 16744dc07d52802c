//! Who may ask at all: the host that was meant, and for writes a page of our own.
//!
//! Against DNS rebinding (a foreign name that points at loopback) and against forged requests from
//! another site's page. Apart, because every route must pass here, pages and API alike.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::error::Problem;

/// Everything comes from here; nothing inline; nobody frames it.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

#[derive(Clone)]
pub(crate) struct Guard {
    on_loopback: bool,
    /// Names by which people reach it, besides its addresses.
    names: Arc<[String]>,
}

impl Guard {
    pub(crate) fn new(address: SocketAddr, names: Vec<String>) -> Self {
        Self { on_loopback: address.ip().is_loopback(), names: names.into() }
    }

    /// An address cannot be rebound, a name can: of names only localhost and those that the operator gave
    /// are known. On loopback only loopback's addresses are meant.
    pub(crate) fn knows_host(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => host,
        };
        if name.eq_ignore_ascii_case("localhost") || self.names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            return true;
        }
        let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        address.is_ok_and(|address| address.is_loopback() || !self.on_loopback)
    }
}

/// Passes a request on, or refuses it; puts the same headers on every answer.
pub(crate) async fn check(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let mut response = match refusal(&guard, request.method(), request.headers()) {
        Some(problem) => problem.into_response(),
        None => crate::asked::explained(next.run(request).await),
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-cache"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

fn refusal(guard: &Guard, method: &Method, headers: &HeaderMap) -> Option<Problem> {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).unwrap_or_default();
    if !guard.knows_host(host) {
        return Some(Problem::of(StatusCode::MISDIRECTED_REQUEST, "this Thump does not answer to that host name"));
    }
    if matches!(*method, Method::GET | Method::HEAD) {
        return None;
    }
    let foreign_site = headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none");
    let foreign_origin =
        text(header::ORIGIN).is_some_and(|origin| origin.split_once("://").is_none_or(|(_, from)| from != host));
    if foreign_site || foreign_origin {
        return Some(Problem::of(StatusCode::FORBIDDEN, "a page of another origin may not change anything here"));
    }
    // A plain form of another site can send other types without asking first, but not this one.
    let json = text(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.split(';').next().is_some_and(|kind| kind.trim() == "application/json"));
    if !json {
        return Some(Problem::of(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "a command needs the content type application/json",
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &Method, headers: &[(&'static str, &'static str)]) -> bool {
        let guard = Guard::new("127.0.0.1:7411".parse().expect("an address"), vec!["ci.example".into()]);
        let headers = headers
            .iter()
            .map(|(name, value)| (header::HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        refusal(&guard, method, &headers).is_none()
    }

    #[test]
    fn a_foreign_name_for_loopback_is_refused() {
        assert!(asked(&Method::GET, &[("host", "127.0.0.1:7411")]));
        assert!(asked(&Method::GET, &[("host", "localhost:7411")]));
        assert!(!asked(&Method::GET, &[("host", "evil.example:7411")]));
        assert!(!asked(&Method::GET, &[("host", "127.0.0.1.evil.example")]));
        assert!(!asked(&Method::GET, &[]));
    }

    #[test]
    fn elsewhere_addresses_are_known_and_names_only_if_they_were_given() {
        let guard = Guard::new("0.0.0.0:7411".parse().expect("an address"), vec!["ci.example".into()]);
        for known in ["192.0.2.7:7411", "[2001:db8::1]:7411", "localhost", "CI.example:7411", "127.0.0.1"] {
            assert!(guard.knows_host(known), "{known}");
        }
        for foreign in ["evil.example:7411", "ci.example.evil.example", "", "192.0.2.7.evil.example"] {
            assert!(!guard.knows_host(foreign), "{foreign}");
        }
        let on_loopback = Guard::new("127.0.0.1:7411".parse().expect("an address"), Vec::new());
        assert!(!on_loopback.knows_host("192.0.2.7:7411"));
    }

    #[test]
    fn only_a_page_of_our_own_or_a_program_may_write() {
        let json = ("content-type", "application/json");
        let host = ("host", "127.0.0.1:7411");
        assert!(asked(&Method::POST, &[host, json]));
        assert!(asked(
            &Method::POST,
            &[host, json, ("origin", "http://127.0.0.1:7411"), ("sec-fetch-site", "same-origin")]
        ));
        assert!(!asked(&Method::POST, &[host, json, ("origin", "http://evil.example")]));
        assert!(!asked(&Method::POST, &[host, json, ("origin", "null")]));
        assert!(!asked(&Method::POST, &[host, json, ("sec-fetch-site", "cross-site")]));
        assert!(!asked(&Method::POST, &[host, ("content-type", "text/plain")]));
        assert!(!asked(&Method::POST, &[host]));
    }
}
