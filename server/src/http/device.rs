//! Routes of devices. A packet and a hello authenticate themselves; every other request belongs to a session.

use super::answer;
use super::asked::Path;
use super::body::{self, DEVICE_BODY};
use crate::app::App;
use crate::entrance::certificate::Certified;
use crate::firmware::Offer;
use crate::ingest::Receipt;
use crate::keyring::KnownDevice;
use crate::metrics::Limit;
use crate::sessions::SessionRefusal;
use crate::store::StatusRecord;
use axum::BoxError;
use axum::body::{Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::response::Response;
use cotter_wire::api::SESSION_HEADER;
use cotter_wire::compact;
use cotter_wire::ids::{DeviceId, ReleaseId, SecureVersion, UnixTime};
use cotter_wire::session::{self, Hello};
use cotter_wire::status::StatusReport;
use cotter_wire::trust::TrustNumber;
use cotter_wire::version::Version;
use hyper::StatusCode;
use hyper::header::CONTENT_TYPE;
use std::sync::Arc;
use std::time::Instant;

/// POST: a packet.
pub(super) async fn telemetry(State(app): State<Arc<App>>, Path(id): Path<String>, request: Request) -> Response {
    match id.parse() {
        Ok(id) => receive(&app, id, request).await,
        Err(_) => answer::refused(StatusCode::UNAUTHORIZED),
    }
}

/// POST: a compact packet. The path names the device, which the packet's tag covers.
pub(super) async fn compact_telemetry(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    // A parameter (cose-type) may follow.
    if kind.split(';').next().is_none_or(|kind| !kind.trim().eq_ignore_ascii_case(compact::CONTENT_TYPE)) {
        return answer::refused(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    let (id, body) = match read(&app, &id, request).await {
        Ok(read) => read,
        Err(refused) => return refused,
    };
    let begun = Instant::now();
    answer::receipt(counted(&app, app.ingest.receive_compact(id, &body).await, begun))
}

/// The device whose packet this request brings, without asking the router: most requests by far are these.
pub(super) fn brings_packet<B>(request: &hyper::Request<B>) -> Option<DeviceId> {
    let uri = request.uri();
    if request.method() != hyper::Method::POST || uri.query().is_some() {
        return None;
    }
    in_path(uri.path())
}

/// The device whose packets go to this path.
pub(super) fn in_path(path: &str) -> Option<DeviceId> {
    path.strip_prefix(BEFORE_DEVICE)?.strip_suffix(AFTER_DEVICE)?.parse().ok()
}

/// `api::TELEMETRY` without the device.
const BEFORE_DEVICE: &str = "/v1/devices/";
const AFTER_DEVICE: &str = "/telemetry";

/// Takes a packet of the device `id` in.
pub(super) async fn receive<B>(app: &App, id: DeviceId, request: hyper::Request<B>) -> Response
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let body = match read_body(app, id, request).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    answer::receipt(take(app, id, &body).await)
}

/// Takes a packet in, and counts what became of it.
pub(super) async fn take(app: &App, id: DeviceId, body: &[u8]) -> Receipt {
    let begun = Instant::now();
    counted(app, app.ingest.receive(id, body).await, begun)
}

fn counted(app: &App, receipt: Receipt, begun: Instant) -> Receipt {
    app.metrics.uploaded(receipt, begun.elapsed());
    if matches!(receipt, Receipt::TooMany(_)) {
        app.metrics.limited(Limit::Uploads);
    }
    receipt
}

/// POST: a hello.
pub(super) async fn session(State(app): State<Arc<App>>, Path(id): Path<String>, request: Request) -> Response {
    let (id, body) = match read(&app, &id, request).await {
        Ok(read) => read,
        Err(refused) => return refused,
    };
    let hello = match Hello::parse(&body) {
        Ok(hello) => hello,
        Err(why) => {
            app.audit.stranger("hello-malformed", &id, &why);
            return answer::refused(StatusCode::BAD_REQUEST);
        }
    };
    let device = match app.keyring.device(id).await {
        Ok(Some(device)) => device,
        Ok(None) => {
            app.audit.stranger("hello-of-unknown-device", &id, &"not enrolled");
            return answer::refused(StatusCode::UNAUTHORIZED);
        }
        Err(error) => return answer::unavailable(&error),
    };
    match app.sessions.open(hello, &device, UnixTime(app.clock.unix())) {
        Ok(welcome) => answer::json(StatusCode::OK, welcome),
        Err(why) => {
            app.audit.stranger("hello-refused", &id, &why);
            answer::refused(StatusCode::UNAUTHORIZED)
        }
    }
}

/// GET: the newest release, if it is newer than what the device runs.
pub(super) async fn update(State(app): State<Arc<App>>, Path(id): Path<String>, request: Request) -> Response {
    let running = running(request.uri().query().unwrap_or_default());
    let (device, _) = match known(&app, &id, request).await {
        Ok(known) => known,
        Err(refused) => return refused,
    };
    let Some((version, secure_version, trust)) = running else {
        app.audit.device("update-malformed", &device.id, &"the query is not version, secure_version and trust");
        return answer::refused(StatusCode::BAD_REQUEST);
    };
    match app.firmware.offer(&device, version, secure_version, trust).await {
        Ok(Offer { envelope, came_back_from }) => {
            alarm(&app, &device.id, version, came_back_from);
            match envelope {
                Some(envelope) => answer::json(StatusCode::OK, envelope),
                None => answer::empty(StatusCode::NO_CONTENT),
            }
        }
        Err(error) => answer::unavailable(&error),
    }
}

/// GET: one chunk of a published release.
pub(super) async fn chunk(
    State(app): State<Arc<App>>,
    Path((id, release, chunk)): Path<(String, String, String)>,
    request: Request,
) -> Response {
    let (device, _) = match known(&app, &id, request).await {
        Ok(known) => known,
        Err(refused) => return refused,
    };
    let (Ok(release), Some(chunk)) = (release.parse::<ReleaseId>(), number(&chunk)) else {
        return answer::refused(StatusCode::NOT_FOUND);
    };
    match app.firmware.chunk(&device, release, chunk).await {
        Ok(Some(chunk)) => answer::octets(chunk),
        Ok(None) => answer::refused(StatusCode::NOT_FOUND),
        Err(error) => answer::unavailable(&error),
    }
}

/// POST: how an update ended.
pub(super) async fn status(State(app): State<Arc<App>>, Path(id): Path<String>, request: Request) -> Response {
    let (id, body) = match authenticated(&app, &id, request).await {
        Ok(read) => read,
        Err(refused) => return refused,
    };
    let report = match StatusReport::parse(&body) {
        Ok(report) => report,
        Err(why) => {
            app.audit.device("status-malformed", &id, &why);
            return answer::refused(StatusCode::BAD_REQUEST);
        }
    };
    let version = report.version;
    let record = StatusRecord { device: id, report, received_at: app.clock.unix() };
    match app.store.record_status(record).await {
        Ok(reported) => {
            alarm(&app, &id, version, reported.came_back_from);
            if reported.decided {
                app.firmware.forget_offers();
            }
            answer::empty(StatusCode::NO_CONTENT)
        }
        Err(error) => answer::unavailable(&error),
    }
}

/// An operator looks at a device that has come back to an older version; the audit log has it already.
fn alarm(app: &App, device: &DeviceId, version: Version, came_back_from: Option<Version>) {
    if let Some(confirmed) = came_back_from {
        app.alerts.note("device-rolled-back", device, &format!("runs {version}, had confirmed {confirmed}"));
    }
}

/// The device that the path names, and the body.
pub(super) async fn read(app: &App, id: &str, request: Request) -> Result<(DeviceId, Bytes), Response> {
    let Ok(id) = id.parse::<DeviceId>() else { return Err(answer::refused(StatusCode::UNAUTHORIZED)) };
    Ok((id, read_body(app, id, request).await?))
}

async fn read_body<B>(app: &App, id: DeviceId, request: hyper::Request<B>) -> Result<Bytes, Response>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    body::read(request.into_body(), DEVICE_BODY, app.limits.body()).await.map_err(|why| {
        app.audit.stranger("body-refused", &id, &why);
        answer::body_refused(why)
    })
}

/// As [`authenticated`], with the keys of the device.
pub(super) async fn known(app: &App, id: &str, request: Request) -> Result<(Arc<KnownDevice>, Bytes), Response> {
    let (id, body) = authenticated(app, id, request).await?;
    match app.keyring.device(id).await {
        Ok(Some(device)) => Ok((device, body)),
        Ok(None) => Err(answer::refused(StatusCode::UNAUTHORIZED)),
        Err(error) => Err(answer::unavailable(&error)),
    }
}

/// The one spelling of `version=1.0.0&secure_version=0&trust=1`; the beginning of trust is not mentioned.
fn running(query: &str) -> Option<(Version, SecureVersion, TrustNumber)> {
    let (version, rest) = query.strip_prefix("version=")?.split_once("&secure_version=")?;
    let (secure_version, trust) = match rest.split_once("&trust=") {
        Some((secure_version, trust)) => (secure_version, number(trust).filter(|trust| *trust > 0)?),
        None => (rest, 0),
    };
    Some((version.parse().ok()?, SecureVersion(number(secure_version)?), TrustNumber(trust)))
}

/// A decimal number without sign or leading zero.
pub(super) fn number(text: &str) -> Option<u32> {
    let canonical = text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()));
    if canonical { text.parse().ok() } else { None }
}

/// As [`read`], once the session header has shown that this device made this very request, now; or, without one, once the
/// certificate of the connection has.
async fn authenticated(app: &App, id: &str, request: Request) -> Result<(DeviceId, Bytes), Response> {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    // Two headers are one too many: which of them would count?
    let mut headers = request.headers().get_all(SESSION_HEADER).iter();
    let header = match (headers.next().cloned(), headers.next()) {
        (header, None) => header,
        (_, Some(_)) => return Err(answer::refused(StatusCode::BAD_REQUEST)),
    };
    let certified = request.extensions().get::<Certified>().copied();
    let (id, body) = read(app, id, request).await?;
    let path = uri.path_and_query().map_or("", |path| path.as_str());
    let signed = session::Request { method: method.as_str(), path, body: &body };
    let header = header.as_ref().map(|header| header.as_bytes());
    let checked = match (header, certified) {
        (None, Some(Certified(device))) if device == id => match app.keyring.device(id).await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(SessionRefusal::NoHeader),
            Err(error) => return Err(answer::unavailable(&error)),
        },
        (header, _) => app.sessions.check(header, &id, &signed, UnixTime(app.clock.unix())),
    };
    match checked {
        Ok(()) => match app.requests.take(id, Instant::now()) {
            Ok(()) => Ok((id, body)),
            Err(exhausted) => {
                app.metrics.limited(Limit::Device);
                Err(answer::too_many(exhausted.retry_after))
            }
        },
        Err(why) => {
            app.audit.stranger("request-refused", &id, &why);
            Err(answer::refused(StatusCode::UNAUTHORIZED))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_recognised_by_method_and_path_alone() {
        let request = |method: &str, uri: &str| hyper::Request::builder().method(method).uri(uri).body(()).unwrap();
        assert_eq!(cotter_wire::api::TELEMETRY, format!("{BEFORE_DEVICE}{{id}}{AFTER_DEVICE}"));
        let found = brings_packet(&request("POST", "/v1/devices/solar-0001/telemetry"));
        assert_eq!(found, Some("solar-0001".parse().unwrap()));
        for (method, uri) in [
            ("GET", "/v1/devices/a/telemetry"),
            ("POST", "/v1/devices/a/telemetry?x"),
            ("POST", "/v1/devices/a/telemetry/"),
            ("POST", "/v1/devices//telemetry"),
            ("POST", "/v1/devices/telemetry"),
            ("POST", "/v1/devices/a%61/telemetry"),
            ("POST", "/v1/devices/a/b/telemetry"),
            ("POST", "/v1/devices/a/session"),
        ] {
            assert_eq!(brings_packet(&request(method, uri)), None, "{method} {uri}");
        }
    }

    #[test]
    fn a_query_has_one_spelling() {
        let said = |trust| Some((Version::new(1, 10, 0), SecureVersion(3), TrustNumber(trust)));
        assert_eq!(running("version=1.10.0&secure_version=3"), said(0));
        assert_eq!(running("version=1.10.0&secure_version=3&trust=2"), said(2));
        for query in [
            "",
            "version=1.0.0",
            "secure_version=0&version=1.0.0",
            "version=1.0.0&secure_version=00",
            "version=1.0.0&secure_version=+1",
            "version=1.0.0&secure_version=",
            "version=1.0&secure_version=0",
            "version=1.0.0&secure_version=0&x=1",
            "version=1.0.0&secure_version=0&trust=0",
            "version=1.0.0&secure_version=0&trust=01",
            "version=1.0.0&secure_version=0&trust=",
            "version=1.0.0&trust=1&secure_version=0",
            "version=1.0.0&secure_version=4294967296",
        ] {
            assert_eq!(running(query), None, "{query}");
        }
    }
}
