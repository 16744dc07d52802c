//! Whether this Thump works, in one answer for machines: 200, or 503 with the fault's name.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use broker::Link;
use serde_json::{Value, json};

use crate::Desk;

pub(crate) async fn healthz(State(desk): State<Desk>) -> (StatusCode, Json<Value>) {
    let (broker_good, broker) = match &*desk.broker.link().borrow() {
        Link::Up { .. } => (true, "up".to_owned()),
        Link::Blocked { why, .. } => (false, format!("blocked: {why}")),
        Link::Down { why } => (false, format!("down: {why}")),
    };
    let (ledger_good, ledger) = match desk.ledger.pools_with_work().await {
        Ok(_) => (true, "up".to_owned()),
        Err(cause) => (false, cause.to_string()),
    };
    let good = broker_good && ledger_good;
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = if good { "good" } else { "faulty" };
    (status, Json(json!({"status": word, "broker": broker, "ledger": ledger, "version": env!("CARGO_PKG_VERSION")})))
}
