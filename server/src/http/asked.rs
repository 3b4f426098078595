//! What a path and a query ask for, and which page of a list. What does not read is refused: to an administrator with the
//! reason, to a device without.

use super::answer;
use axum::extract::FromRequestParts;
use axum::response::Response;
use cotter_wire::ids::DeviceId;
use hyper::StatusCode;
use hyper::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The parameters behind the `?`.
pub(super) struct Query<T>(pub(super) T);

/// The parameters in the path.
pub(super) struct Path<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let found = axum::extract::Query::from_request_parts(parts, state).await;
        found.map(|found| Self(found.0)).map_err(|why| refused(parts, "query-malformed", &why.body_text()))
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let found = axum::extract::Path::from_request_parts(parts, state).await;
        found.map(|found| Self(found.0)).map_err(|why| refused(parts, "path-malformed", &why.body_text()))
    }
}

/// The device that a path of the admin API names, as its only parameter.
pub(super) struct NamedDevice(pub(super) DeviceId);

impl<S: Send + Sync> FromRequestParts<S> for NamedDevice {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let Path(id) = Path::<String>::from_request_parts(parts, state).await?;
        // What can be no device's name is no device's.
        id.parse().map(Self).map_err(|_| answer::refused(StatusCode::NOT_FOUND))
    }
}

/// Which part of a list by number, newest first: those before a number.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewestFirst {
    pub(super) before: Option<u32>,
    limit: Option<usize>,
}

impl NewestFirst {
    /// How many rows, at most `most`.
    pub(super) fn limit(&self, most: usize) -> usize {
        limit(self.limit, most)
    }
}

/// Which part of a list by name: those after a name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ByName {
    pub(super) after: Option<String>,
    limit: Option<usize>,
}

impl ByName {
    /// How many rows, at most `most`.
    pub(super) fn limit(&self, most: usize) -> usize {
        limit(self.limit, most)
    }
}

fn limit(wanted: Option<usize>, most: usize) -> usize {
    wanted.unwrap_or(most).clamp(1, most)
}

/// Where the next page goes on; `None` if this one is the last.
pub(super) fn next<T, K>(page: &[T], limit: usize, place: impl FnOnce(&T) -> K) -> Option<K> {
    page.last().filter(|_| page.len() == limit).map(place)
}

fn refused(parts: &Parts, reason: &str, detail: &str) -> Response {
    if parts.uri.path().starts_with("/admin/") {
        answer::refused_because(StatusCode::BAD_REQUEST, reason, detail)
    } else {
        answer::refused(StatusCode::BAD_REQUEST)
    }
}
