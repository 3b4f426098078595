//! Whose a path is, and who may ask for it.
//!
//! On a connection that has shown a certificate, requests are those of the device that it names or nobody's: a path of
//! another device and every path of administrators are refused, whatever else comes with the request. Requests of the named
//! device need no session header then.

use super::answer;
use crate::config::Serves;
use crate::entrance::certificate::{Certified, Door};
use axum::response::Response;
use hyper::StatusCode;

/// What to answer without looking further.
pub(super) fn refusal(door: &Door, path: &str, certified: Option<Certified>) -> Option<Response> {
    let whose = Whose::of(path);
    let elsewhere = match whose {
        Whose::Administrators => door.serves() == Serves::Devices,
        Whose::Device(_) => door.serves() == Serves::Administrators,
        Whose::Everybody => false,
    };
    if elsewhere {
        return Some(answer::refused(StatusCode::NOT_FOUND));
    }
    let Certified(device) = certified?;
    match whose {
        Whose::Administrators => Some(answer::refused(StatusCode::FORBIDDEN)),
        Whose::Device(name) if name != device.as_str() => Some(answer::refused(StatusCode::UNAUTHORIZED)),
        Whose::Device(_) | Whose::Everybody => None,
    }
}

/// Who asks for such a path.
#[derive(Debug, PartialEq, Eq)]
enum Whose<'a> {
    Administrators,
    /// As it is spelled; a name that is spelled with `%` is nobody's.
    Device(&'a str),
    Everybody,
}

impl<'a> Whose<'a> {
    fn of(path: &'a str) -> Self {
        let mut words = path.split('/').skip(1);
        match (words.next(), words.next(), words.next()) {
            (Some("admin"), ..) => Self::Administrators,
            (Some(_), Some("devices"), name) => Self::Device(name.unwrap_or_default()),
            _ => Self::Everybody,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_belong_to_somebody() {
        for (path, whose) in [
            ("/v1/devices/a/telemetry", Whose::Device("a")),
            ("/v2/devices/a/telemetry", Whose::Device("a")),
            ("/v1/devices/a%61/update", Whose::Device("a%61")),
            ("/v1/devices", Whose::Device("")),
            ("/v1/devices//update", Whose::Device("")),
            ("/admin/v1/devices/a", Whose::Administrators),
            ("/admin", Whose::Administrators),
            ("/healthz", Whose::Everybody),
            ("/", Whose::Everybody),
        ] {
            assert_eq!(Whose::of(path), whose, "{path}");
        }
    }
}
