//! Who is let in: by a token of the device, by the certificate of the connection, or by both.
//!
//! Whoever is not let in learns whether the client id is one at all, and no more: an unknown device, a device without keys
//! and a bad token are the same to a stranger, and take the same time.

use super::client_id::ClientId;
use super::session::{Greeting, Unwelcome};
use crate::app::App;
use crate::config::Mqtt;
use crate::device_key::{DeviceKey, KeyFormat};
use crate::device_token::{Admission, Expected, RegisteredKey, TokenRefusal, admit};
use crate::store::StoreError;
use cotter_wire::ids::{DeviceId, UnixTime};
use std::sync::LazyLock;

/// A client that may come in.
pub(super) struct Believed {
    pub(super) device: DeviceId,
    /// When its connection is to end.
    pub(super) until: UnixTime,
}

/// Decides about a greeting. `certified`: the device that the connection's certificate names.
pub(super) async fn believe(
    app: &App,
    config: &Mqtt,
    greeting: &Greeting,
    certified: Option<DeviceId>,
) -> Result<Believed, Unwelcome> {
    let now = UnixTime(app.clock.unix());
    if greeting.has_method {
        return Err(Unwelcome::Method);
    }
    let device = match (ClientId::parse(&greeting.client_id), certified) {
        (Ok(id), _) => {
            if (id.project, id.location, id.registry) != (&config.project, &config.location, &config.registry) {
                app.audit.stranger("mqtt-other-registry", &id.device, &format!("{:?}", greeting.client_id));
                return Err(Unwelcome::NotAuthorized);
            }
            id.device
        }
        // Who has a certificate need not say where the registry is.
        (Err(_), Some(device)) if greeting.client_id == device.as_str() => device,
        (Err(why), _) => {
            app.audit.stranger("mqtt-client-id", &why, &format!("{:?}", greeting.client_id));
            return Err(Unwelcome::ClientId);
        }
    };
    if greeting.has_will {
        app.audit.stranger("mqtt-will", &device, &"the bridge executes no last will");
        return Err(Unwelcome::Will);
    }
    if certified.is_some_and(|certified| certified != device) {
        app.audit.stranger("mqtt-other-device", &device, &"the certificate names another device");
        return Err(Unwelcome::NotAuthorized);
    }
    let token = greeting.password.as_deref();
    let until = match (token, certified) {
        // Again within a day, so that a certificate that was revoked meanwhile, or has come to its end, is noticed.
        (None, Some(_)) => match app.store.device(device).await {
            Ok(Some(_)) => UnixTime(now.0.saturating_add(DAY)),
            Ok(None) => {
                app.audit.stranger("mqtt-unknown-device", &device, &"not enrolled");
                return Err(Unwelcome::NotAuthorized);
            }
            Err(error) => return Err(unavailable(&error)),
        },
        (token, _) => match by_token(app, config, device, token.unwrap_or_default(), now).await {
            Ok(Ok(admission)) => admission.close_at,
            Ok(Err(why)) => {
                app.audit.stranger(why.code(), &device, &why);
                return Err(Unwelcome::NotAuthorized);
            }
            Err(error) => return Err(unavailable(&error)),
        },
    };
    Ok(Believed { device, until })
}

/// Whether a token is this device's.
pub(super) async fn by_token(
    app: &App,
    config: &Mqtt,
    device: DeviceId,
    token: &[u8],
    now: UnixTime,
) -> Result<Result<Admission, TokenRefusal>, StoreError> {
    let keys = app.device_keys.of(device).await?;
    let expected = Expected { project: &config.project, reuse: config.tokens.into() };
    let decided = admit(token, &keys, &expected, now);
    if keys.is_empty()
        && let Some(decoy) = &*DECOY
    {
        drop(admit(token, std::slice::from_ref(decoy), &expected, now));
    }
    Ok(decided)
}

fn unavailable(error: &StoreError) -> Unwelcome {
    tracing::error!(%error, "whether a client may come in is not known");
    Unwelcome::Unavailable
}

/// Verifies in the place of keys that a device does not have; what comes of it counts for nothing. The base point of P-256.
static DECOY: LazyLock<Option<RegisteredKey>> = LazyLock::new(|| {
    let key = DeviceKey::from_pem(KeyFormat::Es256, DECOY_PEM).ok()?;
    Some(RegisteredKey { key, expires_at: None })
});

const DECOY_PEM: &[u8] = b"-----BEGIN PUBLIC KEY-----\n\
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt\n\
6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==\n\
-----END PUBLIC KEY-----\n";

const DAY: u64 = 24 * 3600;
