//! Keys on a PKCS#11 token, SoftHSM's, as a person types it.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use assert_cmd::Command;
use std::path::Path;
use std::process::Output;

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const BOOTLOADER: &str = "image/esp32c3-bootloader.bin";

/// A token with keys, in a folder of its own.
struct Token(tempfile::TempDir);

impl Token {
    /// Keys of the golden vectors, under their names and one-byte ids.
    fn with_keys(keys: &[(&str, &str, &str)]) -> Self {
        let token = Self(tempfile::tempdir().unwrap());
        let at = token.0.path();
        std::fs::create_dir(at.join("tokens")).unwrap();
        let conf = format!("directories.tokendir = {}\nobjectstore.backend = file\n", at.join("tokens").display());
        std::fs::write(at.join("softhsm2.conf"), conf).unwrap();
        std::fs::write(at.join("pin"), "4711\n").unwrap();
        std::fs::write(at.join("wrong"), "4712\n").unwrap();
        token.softhsm("--init-token --free --label factory --so-pin 123456 --pin 4711");
        for (name, label, id) in keys {
            let pem = at.join("import.pem");
            let source = format!("{}/../vectors/keys/{name}.pem", env!("CARGO_MANIFEST_DIR"));
            let converted = std::process::Command::new("openssl")
                .args(["pkcs8", "-topk8", "-nocrypt", "-in", &source, "-out", pem.to_str().unwrap()])
                .status()
                .unwrap();
            assert!(converted.success());
            let pem = pem.to_str().unwrap();
            token.softhsm(&format!("--token factory --pin 4711 --import {pem} --label {label} --id {id}"));
        }
        token
    }

    fn softhsm(&self, arguments: &str) {
        let mut command = std::process::Command::new("softhsm2-util");
        let output = command
            .env("SOFTHSM2_CONF", self.0.path().join("softhsm2.conf"))
            .args(arguments.split(' '))
            .output()
            .expect("SoftHSM is missing: run `cargo xtask tools`");
        assert!(output.status.success(), "{arguments}: {output:?}");
    }

    /// Without a PIN and without a terminal; `OUT` stands for the token's folder.
    fn command(&self, arguments: &str) -> Command {
        let arguments = arguments.replace("OUT", self.0.path().to_str().unwrap());
        let mut command = Command::cargo_bin("cotter").unwrap();
        command
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors"))
            .env("SOFTHSM2_CONF", self.0.path().join("softhsm2.conf"))
            .env("COTTER_PKCS11_MODULE", MODULE)
            .env_remove("COTTER_PKCS11_PIN")
            .args(arguments.split_whitespace());
        command
    }

    fn cotter(&self, arguments: &str) -> (i32, String, String) {
        told(&self.command(&format!("{arguments} --pin-file OUT/pin")).output().unwrap())
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }
}

fn told(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors").join(name)).unwrap()
}

#[test]
fn a_token_signs_and_shows_its_public_keys() {
    let token = Token::with_keys(&[
        ("rsa3072_a", "boot-rsa", "01"),
        ("rsa3072_b", "boot-rsa-2", "02"),
        ("ecdsa_p256", "boot-p256", "03"),
        ("ecdsa_p384", "boot-p384", "04"),
    ]);
    for (chip, label, key, flag) in [
        ("esp32c3", "boot-rsa", "rsa3072_a", ""),
        ("esp32c6", "boot-p256", "ecdsa_p256", ""),
        ("esp32c5", "boot-p384", "ecdsa_p384", "--allow-insecure-ecdsa"),
    ] {
        let uri = format!("pkcs11:token=factory;object={label}");
        let sign = format!("image sign --chip {chip} {flag} --pkcs11 {uri} -o OUT/{chip} {BOOTLOADER}");
        let (code, out, error) = token.cotter(&sign);
        assert!(code == 0 && out.contains("signed for the"), "{sign}: {out}{error}");
        let verify = format!("image verify --chip {chip} --digest sbv2/digest-{key}.bin OUT/{chip}");
        let verified = token.command(&verify).output().unwrap();
        assert!(verified.status.success(), "{verify}: {verified:?}");
        let (code, pem, error) = token.cotter(&format!("key public --pkcs11 {uri}"));
        assert_eq!((code, pem.as_bytes()), (0, golden(&format!("sbv2/pub-{key}.pem")).as_slice()), "{error}");
        let (_, digest, _) = token.cotter(&format!("key digest --pkcs11 {uri}"));
        let expected: String = golden(&format!("sbv2/digest-{key}.bin")).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(digest.trim(), expected);
        assert!(token.cotter(&format!("key inspect --pkcs11 {uri}")).1.contains("private key on a token"));
    }
    let add = format!("image sign --append --pkcs11 pkcs11:id=%02 -o OUT/two {}", token.path("esp32c3").display());
    assert_eq!(token.cotter(&add).0, 0);
    let verified = token.command("image verify --key keys/rsa3072_b.pem OUT/two").output().unwrap();
    assert!(told(&verified).1.contains("accepted: block 1"), "{verified:?}");
    let (code, list, error) = token.cotter("key token");
    assert!(code == 0 && list.contains("token factory") && list.contains("object=boot-p384;id=%04"), "{list}{error}");
    let (_, json, _) = token.cotter("--json key token pkcs11:token=factory");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["tokens"][0]["keys"].as_array().unwrap().len(), 4);
}

#[test]
fn the_pin_comes_from_a_file_the_environment_or_the_uri_and_is_never_shown() {
    let token = Token::with_keys(&[("ecdsa_p256", "boot", "01")]);
    let digest = |arguments: &str| token.command(&format!("key digest --pkcs11 {arguments}"));
    assert!(digest("pkcs11:object=boot --pin-file OUT/pin").output().unwrap().status.success());
    assert!(digest("pkcs11:object=boot").env("COTTER_PKCS11_PIN", "4711").output().unwrap().status.success());
    assert!(digest("pkcs11:object=boot?pin-source=file:OUT/pin").output().unwrap().status.success());
    for source in ["--pin-file OUT/wrong", "--pin-file OUT/wrong --json"] {
        let (code, out, error) = told(&digest(&format!("pkcs11:object=boot {source}")).output().unwrap());
        assert!(code == 1 && out.is_empty() && error.contains("the PIN is wrong"), "{error}");
        assert!(!error.contains("4712"), "{error}");
    }
    let (code, _, error) = told(&digest("pkcs11:object=boot?pin-value=4711").output().unwrap());
    assert!(code == 1 && error.contains("a PIN does not belong in a URI") && !error.contains("4711"), "{error}");
}

#[test]
fn a_token_signs_for_secure_boot_v1_and_debug_certificates() {
    let token = Token::with_keys(&[("ecdsa_p256", "boot", "01"), ("ecdsa_p384", "wide", "02")]);
    let works = |arguments: &str| {
        let (code, out, error) = token.cotter(arguments);
        assert_eq!(code, 0, "{arguments}: {out}{error}");
        out
    };
    let fails = |arguments: &str, refusal: &str| {
        let (code, _, error) = token.cotter(arguments);
        assert!(code == 1 && error.contains(refusal), "{arguments}: {error}");
    };
    let v1 = "image sign --scheme v1 -o OUT/v1 image/esp32-secure-pad-v1.bin --pkcs11";
    let said = works(&format!("{v1} pkcs11:object=boot"));
    assert!(said.contains("Secure Boot V1"), "{said}");
    let verify = "image verify --scheme v1 --key keys/ecdsa_p256.pem OUT/v1";
    assert_eq!(told(&token.command(verify).output().unwrap()).0, 0);
    std::fs::remove_file(token.path("v1")).unwrap();
    fails(&format!("{v1} pkcs11:object=wide"), "ECDSA P-384 is no Secure Boot V1 key");

    let session = "--mac 30:ed:a0:ed:78:9c --session-counter 1";
    let debug = format!("debug certificate {session} --enable-jtag -o OUT/cert --pkcs11");
    let said = works(&format!("{debug} pkcs11:object=boot"));
    assert!(said.contains("unlocks enable_jtag"), "{said}");
    let show = format!("debug show {session} --digest sdc/digest.bin OUT/cert");
    let shown = told(&token.command(&show).output().unwrap());
    assert!(shown.0 == 0 && shown.1.contains("the signature holds for this chip and session"), "{shown:?}");
    std::fs::remove_file(token.path("cert")).unwrap();
    fails(&format!("{debug} pkcs11:object=wide"), "signed with ECDSA P-256, not with ECDSA P-384");
    let (code, _, error) = token.cotter(&format!("{debug} pkcs11:object=boot --key keys/ecdsa_p256.pem"));
    assert!(code == 2 && error.contains("cannot be used with"), "{error}");
    assert!(!token.path("v1").exists() && !token.path("cert").exists());
}

#[test]
fn refuses_by_name() {
    let token =
        Token::with_keys(&[("rsa2048_dev", "small", "01"), ("ecdsa_p256", "twin", "02"), ("ecdsa_p384", "twin", "03")]);
    for (arguments, refusal) in [
        ("--pkcs11 pkcs11:token=other", "no PKCS#11 token matches the URI; present: factory"),
        ("--pkcs11 pkcs11:serial=00", "no PKCS#11 token matches the URI; present: factory"),
        ("--pkcs11 pkcs11:object=none", "no private key on the token matches the URI; present: "),
        ("--pkcs11 pkcs11:object=twin", "several private keys on the token match the URI: twin (id 0"),
        ("--pkcs11 pkcs11:object=twin;type=cert", "only a private key can sign"),
        ("--pkcs11 pkcs11:object=small", "RSA-2048 is no Secure Boot V2 key"),
        ("--pkcs11 pkcs11:id=%02", "the esp32c3 does not verify ECDSA P-256"),
        ("--pkcs11 pkcs11:?pin-source=|id", "the pin-source is not the absolute path of a file"),
    ] {
        let (code, _, error) = token.cotter(&format!("image sign {arguments} -o OUT/out {BOOTLOADER}"));
        assert!(code == 1 && error.contains(refusal), "{arguments}: {error}");
        assert!(!token.path("out").exists());
    }
    let (code, _, error) = token.cotter("key digest-private --pkcs11 pkcs11:id=%02 -o OUT/out");
    assert!(code == 1 && error.contains("does not leave it"), "{error}");
}
