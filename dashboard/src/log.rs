//! A job's log as text/plain, whole or by range (RFC 9110, section 14), streamed from the file.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use messages::AttemptNumber;
use serde::Deserialize;

use crate::Desk;
use crate::api::{job_id, no_job};
use crate::asked::Asked;
use crate::error::Problem;

/// How much of a log is in memory for one reader.
const PIECE: usize = 256 * 1024;

#[derive(Deserialize)]
pub(crate) struct LogQuery {
    attempt: Option<u32>,
}

pub(crate) async fn log(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    Asked(query): Asked<LogQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let job = job_id(&id)?;
    desk.ledger.job(job).await?.ok_or_else(no_job)?;
    let attempt = match query.attempt {
        Some(number) => Some(AttemptNumber(number)),
        None => desk.ledger.last_attempt(job).await?,
    };
    // A job that has not started has an empty log, not none: `follow` begins here.
    let Some(attempt) = attempt else { return Ok(text(StatusCode::OK, Body::empty(), 0, None)) };
    let logs = desk.ledger.logs().clone();
    let length = logs.state(job, attempt).await?.length;
    let asked = headers.get(header::RANGE).and_then(|range| range.to_str().ok());
    let (status, start, end) = match asked.map(|range| span(range, length)) {
        None | Some(Span::Whole) => (StatusCode::OK, 0, length),
        Some(Span::Part(start, end)) => (StatusCode::PARTIAL_CONTENT, start, end),
        Some(Span::Beyond) => {
            let range = format!("bytes */{length}");
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, [(header::CONTENT_RANGE, range)]).into_response());
        }
    };
    let pieces = stream::try_unfold(start, move |offset| {
        let logs = logs.clone();
        async move {
            let wanted = usize::try_from(end - offset).unwrap_or(PIECE).min(PIECE);
            if wanted == 0 {
                return Ok(None);
            }
            let piece = logs.read(job, attempt, offset, wanted).await.map_err(|error| error.cause)?;
            if piece.is_empty() {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof));
            }
            let next = offset + piece.len() as u64;
            Ok(Some((piece, next)))
        }
    });
    let range =
        (status == StatusCode::PARTIAL_CONTENT).then(|| format!("bytes {start}-{}/{length}", end.saturating_sub(1)));
    Ok(text(status, Body::from_stream(pieces), end - start, range))
}

fn text(status: StatusCode, body: Body, length: u64, range: Option<String>) -> Response {
    let mut response = (
        status,
        [
            (header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
            (header::CONTENT_LENGTH, length.to_string()),
            (header::ACCEPT_RANGES, "bytes".to_owned()),
        ],
        body,
    )
        .into_response();
    if let Some(value) = range.and_then(|range| range.parse().ok()) {
        response.headers_mut().insert(header::CONTENT_RANGE, value);
    }
    response
}

/// What a `Range` header asks of a text of this length.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Span {
    Whole,
    /// From, and the first byte after it.
    Part(u64, u64),
    Beyond,
}

/// One range of bytes; anything else is ignored, as RFC 9110 section 14.2 allows.
pub(crate) fn span(header: &str, length: u64) -> Span {
    let Some((from, to)) = header.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Span::Whole;
    };
    match (from.trim().parse::<u64>(), to.trim().parse::<u64>()) {
        (Ok(from), _) if from >= length => Span::Beyond,
        (Ok(from), Ok(to)) if to >= from => Span::Part(from, to.saturating_add(1).min(length)),
        (Ok(from), Err(_)) if to.trim().is_empty() => Span::Part(from, length),
        (Err(_), Ok(0)) if from.trim().is_empty() => Span::Beyond,
        (Err(_), Ok(last)) if from.trim().is_empty() && length > 0 => Span::Part(length.saturating_sub(last), length),
        (Err(_), Ok(_)) if from.trim().is_empty() => Span::Beyond,
        _ => Span::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_rfc_says() {
        assert_eq!(span("bytes=0-4", 10), Span::Part(0, 5));
        assert_eq!(span("bytes=5-", 10), Span::Part(5, 10));
        assert_eq!(span("bytes=-3", 10), Span::Part(7, 10));
        assert_eq!(span("bytes=-30", 10), Span::Part(0, 10));
        assert_eq!(span("bytes=5-99", 10), Span::Part(5, 10));
        assert_eq!(span("bytes=10-", 10), Span::Beyond);
        assert_eq!(span("bytes=0-", 0), Span::Beyond);
        assert_eq!(span("bytes=4-2", 10), Span::Whole);
        assert_eq!(span("lines=1-2", 10), Span::Whole);
        assert_eq!(span("bytes=1-2,4-5", 10), Span::Whole);
    }
}
