//! Requests to the API, and what their failures mean for the exit code.

use std::error::Error;
use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::Value;

use crate::cli::ServerOptions;
use crate::exit::Exit;

/// A running Thump.
pub(crate) struct Api {
    server: String,
    client: Client,
}

/// Why there is no answer.
pub(crate) enum Failure {
    /// Nobody answers there.
    Unreachable(String),
    /// Somebody answers, but has no such thing.
    NotFound(String),
    /// What was typed cannot be asked for.
    Unusable(String),
    /// It refuses, with its reason.
    Refused(String),
}

impl From<Failure> for Exit {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unreachable(what) | Failure::NotFound(what) => Exit::not_found(what),
            Failure::Unusable(what) => Exit::usage(what),
            Failure::Refused(what) => Exit::failed(what),
        }
    }
}

impl Api {
    pub(crate) fn new(options: &ServerOptions) -> Result<Self, Exit> {
        let url = url::Url::parse(&options.server).ok().filter(|url| url.scheme() == "http" && url.host().is_some());
        if url.is_none() {
            return Err(Exit::usage(format!(
                "--server is {:?}, which is not of the form http://host:port",
                options.server
            )));
        }
        let client = Client::builder().connect_timeout(Duration::from_secs(5)).build();
        let client = client.map_err(|cause| Exit::failed(format!("make a client: {cause}")))?;
        Ok(Self { server: options.server.trim_end_matches('/').to_owned(), client })
    }

    /// Asks for JSON.
    pub(crate) async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Value, Failure> {
        let request = self.client.get(format!("{}{path}", self.server)).query(query).timeout(Duration::from_secs(30));
        self.json(self.send(request).await?).await
    }

    /// Gives a command.
    pub(crate) async fn post(&self, path: &str) -> Result<Value, Failure> {
        self.post_json(path, &serde_json::json!({})).await
    }

    /// Gives a command and says who does.
    pub(crate) async fn post_as(&self, path: &str, who: &str) -> Result<Value, Failure> {
        self.post_json(path, &serde_json::json!({ "who": who })).await
    }

    async fn post_json(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let request = self.client.post(format!("{}{path}", self.server)).json(body).timeout(Duration::from_secs(30));
        self.json(self.send(request).await?).await
    }

    /// Asks for bytes from an offset; `None` if there are none yet.
    pub(crate) async fn bytes_from(&self, path: &str, offset: u64) -> Result<Option<Response>, Failure> {
        let request = self.client.get(format!("{}{path}", self.server)).header("range", format!("bytes={offset}-"));
        let response = self.answer(request).await?;
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            return Ok(None);
        }
        // An empty log has no range at all.
        let whole = response.status() == StatusCode::OK;
        let response = self.check(response).await?;
        Ok(if whole && response.content_length() == Some(0) { None } else { Some(response) })
    }

    /// Opens the change feed.
    pub(crate) async fn feed(&self) -> Result<Response, Failure> {
        self.send(self.client.get(format!("{}/api/v1/events", self.server))).await
    }

    /// What a broken answer means.
    pub(crate) fn broken(&self, cause: &reqwest::Error) -> Failure {
        let root = std::iter::successors(cause.source(), |cause: &&dyn Error| (*cause).source()).last();
        let why = root.map_or_else(|| cause.to_string(), ToString::to_string);
        Failure::Unreachable(format!(
            "no Thump answers at {}: {why}\n  try   --server URL, or start one with `thump up`",
            self.server
        ))
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Response, Failure> {
        request.send().await.map_err(|cause| self.broken(&cause))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let response = self.answer(request).await?;
        self.check(response).await
    }

    async fn check(&self, response: Response) -> Result<Response, Failure> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body: Value = response.json().await.unwrap_or_default();
        let detail = body["detail"].as_str().map_or_else(|| status.to_string(), crate::verdicts::shown);
        Err(match status {
            StatusCode::NOT_FOUND => Failure::NotFound(detail),
            StatusCode::SERVICE_UNAVAILABLE => Failure::Unreachable(detail),
            StatusCode::BAD_REQUEST => Failure::Unusable(detail),
            _ => Failure::Refused(detail),
        })
    }

    async fn json(&self, response: Response) -> Result<Value, Failure> {
        response.json().await.map_err(|cause| self.broken(&cause))
    }
}
