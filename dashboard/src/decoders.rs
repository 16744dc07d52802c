//! What browsers and programs ask, and what a page shows of foreign text, opened for the fuzzing of it
//! and for nothing else.

use axum::extract::Query;
use axum::http::Uri;

use crate::{api, guard, log, shown};

/// What follows the `?` of `/api/v1/builds`: whether it is taken.
pub fn builds_query(query: &str) -> bool {
    let Ok(uri) = Uri::builder().path_and_query(format!("/?{query}")).build() else { return false };
    Query::try_from_uri(&uri).is_ok_and(|Query(query)| api::filter(query).is_ok())
}

/// What follows the `?` of a log's address: whether it is taken.
pub fn log_query(query: &str) -> bool {
    let Ok(uri) = Uri::builder().path_and_query(format!("/?{query}")).build() else { return false };
    Query::<log::LogQuery>::try_from_uri(&uri).is_ok()
}

/// A `Range` header over a log of this length: the first byte, and the first after the last.
pub fn range(header: &str, length: u64) -> Option<(u64, u64)> {
    match log::span(header, length) {
        log::Span::Part(start, end) => Some((start, end)),
        log::Span::Whole | log::Span::Beyond => None,
    }
}

/// A `Host` header: whether a dashboard on loopback answers to it.
pub fn host(header: &str) -> bool {
    guard::Guard::new(([127, 0, 0, 1], 7411).into(), vec!["ci.example".to_owned()]).knows_host(header)
}

/// A log as a page shows it.
pub fn log(bytes: &[u8]) -> String {
    shown::shown_log(bytes)
}

/// Other foreign text as a page shows it.
pub fn text(text: &str) -> String {
    shown::shown(text)
}
