//! Routes for tokens: who may do what. A token itself is in one answer, once.

use super::admin::refused_admin;
use super::answer;
use super::asked::Path;
use super::body::{AdminJson, AdminWish};
use crate::admin_token::{AdminToken, TokenRecord};
use crate::administrator::{AdminName, Administrator};
use crate::app::App;
use crate::store::{TokenAdded, TokenRevoked};
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// GET: every token, without its secret.
pub(super) async fn list(State(app): State<Arc<App>>) -> Response {
    match app.store.tokens().await {
        Ok(tokens) => {
            let tokens: Vec<_> = tokens.iter().map(Document::of).collect();
            answer::document(StatusCode::OK, &serde_json::json!({ "tokens": tokens }))
        }
        Err(error) => answer::unavailable(&error),
    }
}

/// POST `{"name":"ci","role":"release-manager","days":90}`: makes a token; without `days` it lasts until it is revoked.
pub(super) async fn add(
    State(app): State<Arc<App>>,
    by: Extension<Administrator>,
    AdminJson(wish): AdminJson<Wish>,
) -> Response {
    let (name, role) = match (wish.name.parse::<AdminName>(), wish.role.parse()) {
        (Ok(name), Ok(role)) => (name, role),
        (Err(error), _) | (_, Err(error)) => {
            return refused_admin(&app, &by, Wish::MALFORMED, error.to_string()).await;
        }
    };
    let (token, record) = match AdminToken::issue(name.clone(), role, app.clock.unix(), wish.days) {
        Ok(issued) => issued,
        Err(error) => return answer::unavailable(&error),
    };
    let expires_at = record.expires_at;
    let note = app.audit.note(&by.name, "token-added", name.to_string(), role.to_string());
    match app.store.add_token(record, note).await {
        Ok(TokenAdded::Added) => answer::document(
            StatusCode::CREATED,
            &serde_json::json!({ "token": *token.reveal(), "name": name.as_str(), "role": role.as_str(),
                                 "expires_at": expires_at }),
        ),
        Ok(TokenAdded::NameTaken) => {
            refused_admin(&app, &by, "token-name-taken", format!("there is a token of the name {name} already")).await
        }
        Err(error) => answer::unavailable(&error),
    }
}

/// DELETE: makes a token void at once.
pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    by: Extension<Administrator>,
    Path(name): Path<String>,
) -> Response {
    let Ok(name) = name.parse::<AdminName>() else { return answer::refused(StatusCode::NOT_FOUND) };
    let note = app.audit.note(&by.name, "token-revoked", name.to_string(), String::new());
    match app.store.revoke_token(name.clone(), note).await {
        Ok(TokenRevoked::Revoked) => answer::empty(StatusCode::NO_CONTENT),
        Ok(TokenRevoked::Unknown) => answer::refused(StatusCode::NOT_FOUND),
        Ok(TokenRevoked::LastAdmin) => {
            let why = format!("{name} is the last admin whose token does not expire");
            refused_admin(&app, &by, "token-last-admin", why).await
        }
        Err(error) => answer::unavailable(&error),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    name: String,
    role: String,
    days: Option<u32>,
}

impl AdminWish for Wish {
    const MALFORMED: &'static str = "token-malformed";
}

#[derive(Serialize)]
struct Document<'a> {
    name: &'a str,
    role: &'static str,
    added_at: u64,
    expires_at: Option<u64>,
}

impl<'a> Document<'a> {
    fn of(record: &'a TokenRecord) -> Self {
        let TokenRecord { name, role, added_at, expires_at, .. } = record;
        Self { name: name.as_str(), role: role.as_str(), added_at: *added_at, expires_at: *expires_at }
    }
}
