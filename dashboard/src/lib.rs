//! Shows: pages, live updates and the JSON API over the ledger. Its only writes are commands (cancel,
//! retry, replay, discard).
//!
//! Served by the dispatcher's process, so that it is there when the broker is not. Of the broker it uses
//! the link's state alone: it consumes nothing and has no way to take a message out of a queue. Must not
//! know: git, processes, AMQP.

mod api;
mod asked;
pub mod decoders;
mod error;
mod events;
mod guard;
mod health;
mod json;
mod log;
mod pages;
mod parking;
mod shown;
mod test_results;
mod time;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::header;
use axum::routing::{get, post};
use broker::Broker;
use store::Ledger;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::limit::RequestBodyLimitLayer;

pub use health::Watched;

/// The largest body of a request, in bytes: commands have none to speak of.
const MAX_REQUEST_BYTES: usize = 64 * 1024;
/// How long open answers may go on after a stop.
const GOODBYE: Duration = Duration::from_secs(2);

/// What every handler may use.
#[derive(Clone)]
pub(crate) struct Desk {
    ledger: Ledger,
    health: Arc<health::Health>,
    stop: CancellationToken,
    streams: Arc<tokio::sync::Semaphore>,
}

/// The server could not go on.
#[derive(Debug, thiserror::Error)]
#[error("serve page and API: {0}")]
pub struct DashboardError(#[from] std::io::Error);

/// Serves pages and API on `listener` until `stop`. Requests must name an address, localhost or one of `names`
/// as their host. `roles` are those of this process, for the health page.
///
/// # Errors
/// The system takes the listener away.
pub async fn serve(
    listener: TcpListener,
    names: Vec<String>,
    ledger: Ledger,
    broker: Broker,
    roles: Vec<Watched>,
    stop: CancellationToken,
) -> Result<(), DashboardError> {
    let address = listener.local_addr()?;
    let desk = Desk {
        health: health::Health::new(ledger.clone(), broker, roles),
        ledger,
        stop: stop.clone(),
        streams: Arc::new(tokio::sync::Semaphore::new(events::MOST_STREAMS)),
    };
    let router =
        router(desk).layer(axum::middleware::from_fn_with_state(guard::Guard::new(address, names), guard::check));
    let asked_to_stop = stop.clone();
    let serving = axum::serve(listener, router).with_graceful_shutdown(async move { asked_to_stop.cancelled().await });
    tokio::select! {
        ended = serving.into_future() => ended?,
        // A reader that never reads must not hold the exit up.
        () = async { stop.cancelled().await; tokio::time::sleep(GOODBYE).await } => {}
    }
    Ok(())
}

fn router(desk: Desk) -> Router {
    Router::new()
        .route("/", get(pages::overview))
        .route("/builds/{id}", get(pages::build))
        .route("/jobs/{id}", get(pages::job))
        .route("/queues", get(pages::queues))
        .route("/runners", get(pages::runners))
        .route("/dead", get(parking::list_page))
        .route("/dead/{id}", get(parking::entry_page))
        .route(
            "/assets/app.css",
            get(|| async { ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("../assets/app.css")) }),
        )
        .route(
            "/assets/app.js",
            get(|| async {
                ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], include_str!("../assets/app.js"))
            }),
        )
        .route(
            "/favicon.svg",
            get(|| async { ([(header::CONTENT_TYPE, "image/svg+xml")], include_str!("../assets/favicon.svg")) }),
        )
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/api/v1/builds", get(api::builds))
        .route("/api/v1/builds/{id}", get(api::build))
        .route("/api/v1/builds/{id}/cancel", post(api::cancel_build))
        .route("/api/v1/jobs/{id}", get(api::job))
        .route("/api/v1/jobs/{id}/log", get(log::log))
        .route("/api/v1/jobs/{id}/cancel", post(api::cancel_job))
        .route("/api/v1/jobs/{id}/retry", post(api::retry_job))
        .route("/api/v1/builds/{id}/tests", get(test_results::of_build))
        .route("/api/v1/jobs/{id}/tests", get(test_results::of_job))
        .route("/api/v1/tests", get(test_results::tests))
        .route("/api/v1/tests/{id}", get(test_results::test))
        .route("/api/v1/queues", get(api::queues))
        .route("/api/v1/runners", get(api::runners))
        .route("/api/v1/dead", get(parking::list))
        .route("/api/v1/dead/{id}", get(parking::entry))
        .route("/api/v1/dead/{id}/replay", post(parking::replay))
        .route("/api/v1/dead/{id}/discard", post(parking::discard))
        .route("/api/v1/events", get(events::events))
        .fallback(|| async { error::Problem::not_found("there is no such page") })
        .layer(RequestBodyLimitLayer::new(MAX_REQUEST_BYTES))
        .with_state(desk)
}
