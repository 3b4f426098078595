//! Keys on a PKCS#11 token, SoftHSM's: espsecure and OpenSSL accept what the token signed for Secure Boot V1 and V2, and
//! debug certificates come out as espsecure makes them.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use cotter_factory::debug_certificate::sign_with_token;
use cotter_factory::public_key::{KeyKind, PublicKey};
use cotter_factory::token::uri::Pkcs11Uri;
use cotter_factory::token::{Module, TokenError, TokenKey};
use cotter_formats::secure_boot::v1;
use cotter_formats::secure_boot::v2::{ContentDigests, Curve, SignedFile, Trusted, append_block};
use cotter_formats::secure_debug::{ChipInfo, Feature, SessionCounter, Unlock};
use cotter_interop::{Generator, SoftHsm, temp_dir, tools};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::Attribute;
use cryptoki::session::UserType;
use cryptoki::types::AuthPin;
use std::path::Path;
use zeroize::Zeroizing;

fn key(module: &Module, uri: &str) -> Result<TokenKey, TokenError> {
    let uri: Pkcs11Uri = uri.parse().unwrap();
    let token = module.token(&uri)?;
    assert!(token.needs_pin());
    token.login(Some(Zeroizing::new(SoftHsm::PIN.to_owned())))?;
    token.key(&uri)
}

/// Signs random content with the key; espsecure and we accept it, and refuse it once a bit is flipped.
fn signs(dir: &Path, random: &mut Generator, key: &TokenKey) {
    let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let length = random.between(1, 9000);
    let content = append_padding(random.bytes(length));
    let block = key.sign_block(&ContentDigests::of(&content)).unwrap();
    let signed = append_block(&content, &block);
    let trusted = key.public().secure_boot_digest().unwrap();
    let verdict = SignedFile::parse(&signed).unwrap().verify_any(&[trusted]);
    assert_eq!(verdict, Ok(Trusted { block: 0, digest: 0 }), "{}", key.public().kind());
    let (file, pem) = (path("signed"), path("public.pem"));
    std::fs::write(&file, &signed).unwrap();
    std::fs::write(&pem, key.public().to_pem().unwrap()).unwrap();
    tools().espsecure(["verify-signature", "-v", "2", "-k", &pem, &file]).accepted();
    let mut bad = signed;
    bad[random.below(content.len())] ^= 1 << random.below(8);
    std::fs::write(&file, &bad).unwrap();
    tools().espsecure(["verify-signature", "-v", "2", "-k", &pem, &file]).refused();
}

fn append_padding(mut content: Vec<u8>) -> Vec<u8> {
    content.resize(content.len().next_multiple_of(4096), 0xff);
    content
}

#[test]
fn espsecure_accepts_what_imported_keys_sign() {
    SoftHsm::run("espsecure_accepts_what_imported_keys_sign", |token| {
        let (dir, mut random) = (temp_dir(), Generator::seeded());
        for (id, scheme) in [("01", "rsa3072"), ("02", "ecdsa256"), ("03", "ecdsa384")] {
            let pem = dir.path().join(scheme);
            let name = pem.to_str().unwrap();
            tools().espsecure(["generate-signing-key", "--version", "2", "--scheme", scheme, name]).accepted();
            token.import(&pem, scheme, id);
            let module = Module::load(&SoftHsm::module()).unwrap();
            let found = key(&module, &format!("pkcs11:token=cotter;object={scheme};id=%{id};type=private")).unwrap();
            let public = tools().openssl(["pkey", "-in", name, "-pubout"]).accepted();
            assert_eq!(&PublicKey::from_pem(public.as_bytes()).unwrap(), found.public(), "{scheme}");
            signs(dir.path(), &mut random, &found);
        }
    });
}

#[test]
fn espsecure_accepts_what_keys_born_on_the_token_sign() {
    SoftHsm::run("espsecure_accepts_what_keys_born_on_the_token_sign", |_| {
        let (dir, mut random) = (temp_dir(), Generator::seeded());
        {
            let library = Pkcs11::new(SoftHsm::module()).unwrap();
            library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
            let session = library.open_rw_session(library.get_slots_with_initialized_token().unwrap()[0]).unwrap();
            session.login(UserType::User, Some(&AuthPin::from(SoftHsm::PIN.to_owned()))).unwrap();
            let rsa = [Attribute::ModulusBits(3072.into()), Attribute::PublicExponent(vec![1, 0, 1])];
            let p256 = [Attribute::EcParams(vec![6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7])];
            let p384 = [Attribute::EcParams(vec![6, 5, 0x2b, 0x81, 4, 0, 0x22])];
            for (label, mechanism, parameters) in [
                ("rsa", Mechanism::RsaPkcsKeyPairGen, &rsa[..]),
                ("p256", Mechanism::EccKeyPairGen, &p256),
                ("p384", Mechanism::EccKeyPairGen, &p384),
            ] {
                let named = [Attribute::Label(label.into()), Attribute::Token(true), Attribute::Id(label.into())];
                let public = [&named[..], parameters, &[Attribute::Verify(true)]].concat();
                let private = [&named[..], &[Attribute::Sign(true), Attribute::Sensitive(true)]].concat();
                session.generate_key_pair(&mechanism, &public, &private).unwrap();
            }
        }
        for (label, kind) in
            [("rsa", KeyKind::Rsa(3072)), ("p256", KeyKind::Ecdsa(Curve::P256)), ("p384", KeyKind::Ecdsa(Curve::P384))]
        {
            let module = Module::load(&SoftHsm::module()).unwrap();
            let found = key(&module, &format!("pkcs11:object={label}")).unwrap();
            assert_eq!(found.public().kind(), kind);
            signs(dir.path(), &mut random, &found);
            let refused = found.sign_digest(&[0; 20]).unwrap_err();
            assert!(matches!(refused, TokenError::Digest { len: 20, .. }), "{refused}");
        }
    });
}

/// A P-256 key of espsecure's, on the token and in a file.
fn p256(token: &SoftHsm, dir: &Path) -> (TokenKey, String) {
    let pem = dir.join("p256.pem").to_str().unwrap().to_owned();
    tools().espsecure(["generate-signing-key", "--version", "1", &pem]).accepted();
    token.import(Path::new(&pem), "p256", "01");
    (key(&Module::load(&SoftHsm::module()).unwrap(), "pkcs11:object=p256").unwrap(), pem)
}

#[test]
fn espsecure_accepts_what_a_token_signs_for_secure_boot_v1() {
    SoftHsm::run("espsecure_accepts_what_a_token_signs_for_secure_boot_v1", |token| {
        let (dir, mut random) = (temp_dir(), Generator::seeded());
        let (key, pem) = p256(token, dir.path());
        let file = dir.path().join("signed");
        let name = file.to_str().unwrap();
        for _ in 0..6 {
            let length = random.between(1, 9000);
            let content = random.bytes(length);
            let mut signed = [&content[..], &key.sign_v1(&content).unwrap().to_bytes()].concat();
            let verifying = key.public().secure_boot_v1().unwrap();
            assert_eq!(verifying.verify(&v1::SignedFile::parse(&signed).unwrap()), Ok(()));
            std::fs::write(&file, &signed).unwrap();
            tools().espsecure(["verify-signature", "-v", "1", "-k", &pem, name]).accepted();
            signed[random.below(length)] ^= 1 << random.below(8);
            std::fs::write(&file, &signed).unwrap();
            tools().espsecure(["verify-signature", "-v", "1", "-k", &pem, name]).refused();
        }
    });
}

#[test]
fn espsecure_makes_the_same_bytes_around_a_token_s_signature_and_it_verifies() {
    SoftHsm::run("espsecure_makes_the_same_bytes_around_a_token_s_signature_and_it_verifies", |token| {
        let (dir, mut random) = (temp_dir(), Generator::seeded());
        let (key, _) = p256(token, dir.path());
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let cases: Vec<_> = (0..20)
            .map(|_| {
                let (mac, counter): ([u8; 6], _) = (random.array(), *random.pick(&SessionCounter::ALL));
                let chosen = [(); 3].map(|()| random.below(2) == 1);
                let wanted = Feature::ALL.into_iter().zip(chosen).filter(|&(_, wanted)| wanted);
                let unlock = wanted.fold(Unlock::NOTHING, |unlock, (feature, _)| unlock.with(feature));
                let chip = ChipInfo::of(mac, counter, random.array());
                let certificate = sign_with_token(&key, unlock, &chip).unwrap();
                serde_json::json!({
                    "certificate": hex(&certificate.encode()), "unlock": chosen, "mac": hex(&mac),
                    "counter": counter.bits(), "chip_info": hex(&chip.digest),
                })
            })
            .collect();
        let check = include_str!("../../vectors/sdc/check.py");
        let output = tools().python_on(check, &[], &serde_json::to_vec(&cases).unwrap()).accepted();
        assert!(output.contains("checked 20 certificates"), "{output}");
    });
}
