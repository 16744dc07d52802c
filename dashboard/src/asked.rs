//! What a request asks, read so that a mistake in it is answered like every other error: as a problem.
//!
//! Apart because the framework's own refusals are plain text, which a client of this API does not expect.

use axum::body::Body;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::de::DeserializeOwned;

use crate::error::{PROBLEM, Problem};

/// The parameters behind the question mark.
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = Query::<T>::from_request_parts(parts, state).await;
        // The outer sentence names the library, the inner one the parameter.
        let words =
            |cause: &dyn std::error::Error| cause.source().map_or_else(|| cause.to_string(), ToString::to_string);
        let Query(value) =
            read.map_err(|cause| Problem::bad_request(format!("the query cannot be read: {}", words(&cause))))?;
        Ok(Self(value))
    }
}

/// Turns the framework's own plain refusals into problems; other answers pass as they are.
pub(crate) fn explained(mut response: Response) -> Response {
    let detail = match response.status() {
        StatusCode::BAD_REQUEST => "the address cannot be read: it holds bytes that are no text",
        StatusCode::METHOD_NOT_ALLOWED => "this address does not take that method",
        StatusCode::PAYLOAD_TOO_LARGE => "the body is too large: a command needs none",
        _ => return response,
    };
    let kind = response.headers().get(header::CONTENT_TYPE);
    if kind.is_some_and(|kind| kind.as_bytes().ends_with(b"json")) {
        return response;
    }
    let body = Problem::of(response.status(), detail).body();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
    response.headers_mut().remove(header::CONTENT_LENGTH);
    *response.body_mut() = Body::from(body);
    response
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Wanted {
        limit: Option<u32>,
    }

    async fn asked(query: &str) -> Result<Option<u32>, String> {
        let request = Request::get(format!("/api/v1/builds?{query}")).body(Body::empty()).expect("a request");
        let read = Asked::<Wanted>::from_request_parts(&mut request.into_parts().0, &()).await;
        read.map(|Asked(wanted)| wanted.limit).map_err(|problem| problem.body())
    }

    #[tokio::test]
    async fn a_parameter_that_cannot_be_read_is_named_in_a_problem() {
        assert_eq!(asked("limit=7").await, Ok(Some(7)));
        let refused = asked("limit=many").await.expect_err("no number");
        assert!(refused.contains("limit") && refused.contains("400"), "{refused}");
    }

    #[test]
    fn only_plain_refusals_are_explained() {
        let plain = Response::builder().status(405).header("allow", "GET").body(Body::empty()).expect("a response");
        let explained_one = explained(plain);
        assert_eq!(explained_one.headers()["content-type"], PROBLEM);
        assert_eq!(explained_one.headers()["allow"], "GET");
        let good = Response::builder().status(404).header("content-type", "text/html").body(Body::empty());
        assert_eq!(explained(good.expect("a response")).headers()["content-type"], "text/html");
    }
}
