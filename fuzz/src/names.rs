//! What people type and messages name: device ids, release and key ids, versions, administrators, distinguished and alternative
//! names, names and keys in clouds.

use cotter_factory::pki::{AlternativeName, Name};
use cotter_formats::chip::Chip;
use cotter_formats::efuse::lint::Rule;
use cotter_formats::nvs::entry::Key;
use cotter_server::administrator::{AdminName, Role};
use cotter_server::ecowatt::EcowattName;
use cotter_wire::cloud::aws::{AuthorizerToken, MAX_USER_NAME, ThingName};
use cotter_wire::cloud::azure::{MAX_KEY_TEXT, MAX_SAS, RegistrationId, Resource, SymmetricKey};
use cotter_wire::ids::{DeviceId, KeyId, ReleaseId, UnixTime};
use cotter_wire::version::Version;
use std::fmt::{Debug, Display};
use std::str::FromStr;

/// Each has one spelling, or one meaning however it is spelled; nothing printed moves a terminal.
pub fn names(data: &[u8]) {
    if let Ok(id) = DeviceId::from_bytes(data) {
        assert_eq!(id.as_bytes(), data, "an id changed in a round trip");
    }
    if let Ok(version) = Version::from_bytes(data) {
        assert_eq!(version.to_string().as_bytes(), data, "a version changed in a round trip");
    }
    let Ok(text) = str::from_utf8(data) else { return };
    one_spelling::<DeviceId>(text);
    one_spelling::<Version>(text);
    one_spelling::<ReleaseId>(text);
    one_spelling::<KeyId>(text);
    one_spelling::<Role>(text);
    one_spelling::<AdminName>(text);
    one_spelling::<EcowattName>(text);
    clouds(text);
    if let Some(chip) = Chip::from_name(text) {
        assert_eq!(Chip::from_name(chip.name()), Some(chip));
    }
    if let Some(rule) = Rule::from_code(text) {
        assert_eq!(rule.to_string(), text, "a second spelling of {rule:?}");
    }
    if let Ok(key) = text.parse::<Key>() {
        assert_eq!(key.as_bytes(), data, "an NVS key changed in a round trip");
    }
    if let Ok(name) = text.parse::<Name>() {
        assert_eq!(Name::from_der(name.as_der()).as_ref(), Ok(&name), "a name changed in a round trip");
        assert!(!name.to_string().contains(char::is_control), "a control character to the terminal");
    }
    if let Ok(name) = text.parse::<AlternativeName>() {
        assert_eq!(name.to_string().parse().as_ref(), Ok(&name), "an alternative name changed in a round trip");
        assert!(!name.to_string().contains(char::is_control), "a control character to the terminal");
    }
}

/// A name ends where it ends: none adds a parameter to what it goes into.
fn clouds(text: &str) {
    if let Ok(key) = SymmetricKey::from_base64(text.as_bytes()) {
        assert_eq!(key.write_base64(&mut [0; MAX_KEY_TEXT]), text, "a key changed in a round trip");
    }
    let key = SymmetricKey::from_base64(b"AAAAAAAAAAAAAAAAAAAAAA==").expect("16 bytes");
    let opens = |resource: Resource<'_>, parameters: usize| {
        let (mut sas, mut name) = ([0; MAX_SAS], [0; MAX_SAS]);
        let sas = resource.sas(&key, UnixTime(u64::MAX), &mut sas).expect("room for every token");
        assert_eq!(sas.split('&').count(), parameters, "{sas}");
        let name = resource.user_name(&mut name).expect("room for every name");
        assert!(sas.bytes().chain(name.bytes()).all(|byte| byte.is_ascii_graphic() || byte == b' '));
    };
    let (first, second) = text.split_once('/').unwrap_or((text, text));
    if let Ok(resource) = Resource::hub(first, second) {
        opens(resource, 3);
    }
    if let Ok(registration) = RegistrationId::new(second) {
        assert_eq!(registration.as_str(), second);
        if let Ok(resource) = Resource::provisioning(first, &registration) {
            opens(resource, 4);
        }
    }
    if let Ok(thing) = ThingName::new(text) {
        assert_eq!(thing.as_str(), text);
    }
    if let Ok(token) = AuthorizerToken::new(first, second, first, second) {
        let mut out = vec![0; MAX_USER_NAME];
        let name = token.user_name(&[0xff; 256], &mut out).expect("room for every name");
        assert_eq!((name.split('&').count(), name.split('?').count()), (3, 2), "{name}");
    }
}

fn one_spelling<T: FromStr + Display + Debug>(text: &str) {
    if let Ok(read) = text.parse::<T>() {
        assert_eq!(read.to_string(), text, "a second spelling of {read:?}");
    }
}
