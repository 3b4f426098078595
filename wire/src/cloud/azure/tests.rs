use super::*;
use proptest::prelude::*;

/// The example of Microsoft's "How to provision devices using symmetric key enrollment groups".
const GROUP_KEY: &str = "8isrFI1sGsIlvvFSSFRiMfCNzv21fjbE/+ah/lSh3lF8e2YG1Te7w1KpZhJFFXJrqYKi9yegxkqIChbqOS9Egw==";
const REGISTRATION: &str = "sn-007-888-abc-mac-a1-b2-c3-d4-e5-f6";
const DEVICE_KEY: &str = "Jsm0lyGpjaVYVP2g3FnmnmG9dI/9qU24wNoykUmermc=";

fn key(text: &str) -> SymmetricKey {
    SymmetricKey::from_base64(text.as_bytes()).unwrap()
}

#[test]
fn the_key_of_a_device_is_that_of_microsofts_example() {
    let derived = key(GROUP_KEY).derive(&RegistrationId::new(REGISTRATION).unwrap());
    assert_eq!(derived.write_base64(&mut [0; MAX_KEY_TEXT]), DEVICE_KEY);
    assert_eq!(derived.expose(), key(DEVICE_KEY).expose());
}

/// The signatures were computed with Python 3.11: `base64.b64encode(hmac.new(key, message, "sha256").digest())`, and
/// `urllib.parse.quote(.., safe="")` for both escapes.
#[test]
fn tokens_are_those_of_python() {
    let expires_at = UnixTime(1_800_000_000);
    let (mut out, mut name) = ([0; MAX_SAS], [0; MAX_SAS]);
    let hub = Resource::hub("my-hub.azure-devices.net", "device-0001").unwrap();
    assert_eq!(
        hub.sas(&key(DEVICE_KEY), expires_at, &mut out).unwrap(),
        "SharedAccessSignature sr=my-hub.azure-devices.net%2Fdevices%2Fdevice-0001&sig=7CmOhc6LB7r%2F1OvSeqE3nSDQzKGz2URhja8nQTPoOnk%3D&se=1800000000"
    );
    assert_eq!(hub.user_name(&mut name).unwrap(), "my-hub.azure-devices.net/device-0001/?api-version=2021-04-12");
    let registration = RegistrationId::new(REGISTRATION).unwrap();
    let provisioning = Resource::provisioning("0ne00012345", &registration).unwrap();
    assert_eq!(
        provisioning.sas(&key(DEVICE_KEY), expires_at, &mut out).unwrap(),
        "SharedAccessSignature sr=0ne00012345%2Fregistrations%2Fsn-007-888-abc-mac-a1-b2-c3-d4-e5-f6&sig=c%2BzTe047525cc3AA%2Fz8%2Be8IW3wMKbksdBKJ16HN8EtU%3D\
         &se=1800000000&skn=registration"
    );
    assert_eq!(
        provisioning.user_name(&mut name).unwrap(),
        "0ne00012345/registrations/sn-007-888-abc-mac-a1-b2-c3-d4-e5-f6/api-version=2019-03-31"
    );
}

#[test]
fn what_is_no_key_is_refused_by_name() {
    let refused = |text: &str| SymmetricKey::from_base64(text.as_bytes()).unwrap_err();
    assert_eq!(refused(""), SymmetricKeyError::Length { len: 0 });
    assert_eq!(refused("AAAAAAAAAAAAAAAAAAAA"), SymmetricKeyError::Length { len: 15 });
    for text in [
        "AAAAAAAAAAAAAAAAAAAAAA",
        "AAAAAAAAAAAAAAAAAAAAAB==",
        "AAAAAAAAAAAAAAAAAAAAAA==\n",
        "AAAAAAAAAAAAAAAAAAAA-_==",
        &GROUP_KEY.replace("==", "AA"),
        &[GROUP_KEY, "AAAA"].concat(),
    ] {
        assert_eq!(refused(text), SymmetricKeyError::Base64, "{text}");
    }
    assert!(SymmetricKey::from_base64(b"AAAAAAAAAAAAAAAAAAAAAA==").is_ok(), "16 bytes");
}

#[test]
fn names_are_checked_before_anything_is_signed() {
    for (text, is_one) in [
        ("a", true),
        ("a.b_c:d-", true),
        ("", false),
        ("a.", false),
        ("a:", false),
        ("a b", false),
        ("a/b", false),
        ("\u{e9}", false),
        (core::str::from_utf8(&[b'a'; 128]).unwrap(), true),
        (core::str::from_utf8(&[b'a'; 129]).unwrap(), false),
    ] {
        let found = RegistrationId::new(text).map(|id| id.as_str());
        assert_eq!(found, if is_one { Ok(text) } else { Err(NameError::RegistrationId) });
    }
    for host in ["", "hub", "Hub.azure-devices.net", "a..b", "-a.b", "a.b/", "a.b\n", "a.b:1"] {
        assert_eq!(Resource::hub(host, "device"), Err(NameError::Host), "{host}");
    }
    for device in ["", "a/b", "a:b", "a%b", "a&se=9", "a\nb", "a b"] {
        assert_eq!(Resource::hub("a.b", device), Err(NameError::DeviceId), "{device}");
    }
    let id = RegistrationId::new("a").unwrap();
    for scope in ["", "0ne-1", "0ne/1", "0ne 1"] {
        assert_eq!(Resource::provisioning(scope, &id), Err(NameError::IdScope), "{scope}");
    }
    assert_eq!(Resource::provisioning("0ne1", &RegistrationId::new("a:b").unwrap()), Err(NameError::Escaped));
}

#[test]
fn the_longest_token_has_room_and_a_shorter_buffer_is_noticed() {
    let (mut host, device) = ([b'a'; MAX_HOST], [b'd'; MAX_ID]);
    host[MAX_HOST - 2] = b'.';
    let [host, device] = [&host[..], &device].map(|name| core::str::from_utf8(name).unwrap());
    let resource = Resource::hub(host, device).unwrap();
    let (group, expires_at) = (key(GROUP_KEY), UnixTime(u64::MAX));
    let len = resource.sas(&group, expires_at, &mut [0; MAX_SAS]).unwrap().len();
    assert_eq!(resource.sas(&group, expires_at, &mut [0; MAX_SAS][..len - 1]), Err(OutputFull));
    assert!(resource.user_name(&mut [0; MAX_SAS]).is_ok());
}

proptest! {
    #[test]
    fn any_key_comes_back(bytes in proptest::collection::vec(any::<u8>(), 16..=64)) {
        let (mut out, mut again) = ([0; MAX_KEY_TEXT], [0; MAX_KEY_TEXT]);
        let text = Base64::encode(&bytes, &mut out).unwrap();
        let key = key(text);
        prop_assert_eq!(key.expose(), &bytes[..]);
        prop_assert_eq!(key.write_base64(&mut again), text);
    }
}
