//! `cotter cert` as a person types it: authorities, certificates, requests, chains, bundles.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use assert_cmd::Command;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::TempDir;

/// Runs in `folder`; returns exit code, stdout and stderr.
fn cotter(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::cargo_bin("cotter")
        .unwrap()
        .current_dir(folder)
        .env_remove("COTTER_KEY_PASSWORD")
        .arg("cert")
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[track_caller]
fn accepted(folder: &Path, line: &str) -> String {
    let (code, out, error) = cotter(folder, &words(line));
    assert_eq!(code, 0, "cotter cert {line}\n{out}{error}");
    out
}

#[track_caller]
fn refused(folder: &Path, line: &str) -> String {
    let (code, out, error) = cotter(folder, &words(line));
    assert_eq!(code, 1, "cotter cert {line}\n{out}{error}");
    out + &error
}

/// Words between spaces; `_` stands for a space inside of one.
fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

fn openssl(folder: &Path, arguments: &[&str]) -> String {
    let output = std::process::Command::new("openssl").current_dir(folder).args(arguments).output().unwrap();
    assert!(output.status.success(), "openssl {arguments:?}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn mode(path: impl AsRef<Path>) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// A folder with a root (ca.pem) and a device (device.pem) by it.
fn house() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    accepted(folder.path(), "ca --subject CN=Root,O=Acme -o ca.pem");
    accepted(folder.path(), "issue --ca ca.pem --ca-key ca.key.pem --subject CN=device-0001 -o device.pem");
    folder
}

#[test]
fn each_openssl_step_of_the_getting_started_guide_is_one_command_with_the_same_outcome() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    // 1) openssl req -newkey rsa:2048 -nodes -keyout prvtkey.pem -x509 -days 3650 -out cacert.pem -subj "/CN=Test CA"
    let (code, _, error) = cotter(
        at,
        &[
            "ca",
            "--kind",
            "rsa2048",
            "--subject",
            "/CN=Test CA",
            "--days",
            "3650",
            "--key-out",
            "prvtkey.pem",
            "-o",
            "cacert.pem",
        ],
    );
    assert_eq!(code, 0, "{error}");
    let theirs = ["req", "-newkey", "rsa:2048", "-nodes", "-keyout", "o-prvtkey.pem", "-x509", "-days", "3650"];
    openssl(at, &[&theirs[..], &["-out", "o-cacert.pem", "-subj", "/CN=Test CA"]].concat());
    let subject = |file: &str| openssl(at, &["x509", "-in", file, "-noout", "-subject", "-issuer"]);
    assert_eq!(subject("cacert.pem"), subject("o-cacert.pem"));
    // 2) openssl genrsa -out client.key, and openssl req -out client.csr -key client.key -new: one command
    accepted(at, "csr --kind rsa2048 --subject CN=client -o client.csr");
    openssl(at, &["req", "-in", "client.csr", "-noout", "-verify"]);
    openssl(at, &["genrsa", "-out", "o-client.key"]);
    openssl(at, &["req", "-out", "o-client.csr", "-key", "o-client.key", "-new", "-subj", "/CN=client"]);
    // 3) openssl x509 -req -days 365 -in client.csr -CA cacert.pem -CAkey prvtkey.pem -sha256 -CAcreateserial -out client.crt
    accepted(at, "issue --ca cacert.pem --ca-key prvtkey.pem --csr client.csr --days 365 -o client.crt");
    let sign = ["x509", "-req", "-days", "365", "-in", "o-client.csr", "-CA", "o-cacert.pem", "-CAkey"];
    openssl(at, &[&sign[..], &["o-prvtkey.pem", "-sha256", "-CAcreateserial", "-out", "o-client.crt"]].concat());
    for (ca, certificate) in [("cacert.pem", "client.crt"), ("o-cacert.pem", "o-client.crt")] {
        assert!(openssl(at, &["verify", "-CAfile", ca, certificate]).contains("OK"));
        assert!(accepted(at, &format!("chain --root {ca} {certificate}")).contains("holds: every link is good"));
    }
    assert_eq!(subject("client.crt"), subject("o-client.crt"));
    // Their request by our CA, our request by theirs.
    accepted(at, "issue --ca o-cacert.pem --ca-key o-prvtkey.pem --csr client.csr -o mixed.crt");
    openssl(at, &["verify", "-CAfile", "o-cacert.pem", "mixed.crt"]);
}

#[test]
fn keys_are_for_their_owner_only_and_nothing_is_replaced() {
    let folder = house();
    let at = folder.path();
    assert_eq!((mode(at.join("ca.key.pem")), mode(at.join("device.key.pem"))), (0o600, 0o600));
    assert_eq!(mode(at.join("ca.pem")), 0o644);
    let before = std::fs::read(at.join("ca.key.pem")).unwrap();
    assert!(refused(at, "ca --subject CN=Other -o ca.pem").contains("ca.pem exists"));
    std::fs::remove_file(at.join("ca.pem")).unwrap();
    assert!(refused(at, "ca --subject CN=Other -o ca.pem").contains("ca.key.pem exists"));
    assert!(!at.join("ca.pem").exists());
    assert_eq!(std::fs::read(at.join("ca.key.pem")).unwrap(), before);
    accepted(at, "ca --subject CN=Other -o ca.pem --force");
    assert_ne!(std::fs::read(at.join("ca.key.pem")).unwrap(), before);
}

#[test]
fn passwords_come_from_a_file_or_the_environment_and_a_file_is_enough_to_encrypt() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("password"), "correct horse\nsecond line\n").unwrap();
    accepted(at, "ca --subject CN=Root --path-length 1 --encrypt --password-file password -o ca.pem");
    let is_encrypted = |file: &str| {
        std::fs::read_to_string(at.join(file)).unwrap().starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----")
    };
    assert!(is_encrypted("ca.key.pem"));
    openssl(at, &["pkey", "-in", "ca.key.pem", "-passin", "pass:correct horse", "-noout"]);
    accepted(at, "csr --subject CN=device --password-file password -o device.csr");
    assert!(is_encrypted("device.key.pem"));
    let issue = "issue --ca ca.pem --ca-key ca.key.pem --subject CN=device";
    accepted(at, &format!("{issue} --password-file password -o one.pem"));
    assert!(!is_encrypted("one.key.pem"), "the password is that of the CA");
    let with_variable = |line: &str| {
        let mut command = Command::cargo_bin("cotter").unwrap();
        command.current_dir(at).env("COTTER_KEY_PASSWORD", "correct horse").arg("cert").args(words(line));
        command.assert().success();
    };
    with_variable(&format!("{issue} -o two.pem"));
    assert!(!is_encrypted("two.key.pem"));
    with_variable("ca --subject CN=Line --encrypt --parent ca.pem --parent-key ca.key.pem -o line.pem");
    assert!(is_encrypted("line.key.pem"));
    std::fs::write(at.join("password"), "wrong").unwrap();
    let wrong = refused(at, &format!("{issue} --password-file password -o three.pem"));
    assert!(wrong.contains("does not decrypt") && wrong.contains("first line of --password-file"), "{wrong}");
    let below =
        "ca --subject CN=B --parent ca.pem --parent-key ca.key.pem --parent-password-file password -o below.pem";
    assert!(refused(at, below).contains("ca.key.pem: the key does not decrypt"));
    assert!(!at.join("three.pem").exists() && !at.join("below.pem").exists());
}

#[test]
fn an_intermediate_stands_between_and_the_chain_says_which_link_breaks() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    accepted(at, "ca --subject CN=Root --path-length 1 -o root.pem");
    let parent = "--parent root.pem --parent-key root.key.pem";
    assert!(
        refused(at, &format!("ca --subject CN=Line {parent} --path-length 1 -o line.pem")).contains("path length 1")
    );
    accepted(at, &format!("ca --subject CN=Line {parent} -o line.pem"));
    let end = |file: &str| openssl(at, &["x509", "-in", file, "-noout", "-enddate"]);
    assert_eq!(end("line.pem"), end("root.pem"), "by itself it does not outlive its parent");
    let (_, _, warning) = cotter(at, &words(&format!("ca --subject CN=Long {parent} --days 5000 -o long.pem")));
    assert!(warning.contains("the CA outlives its parent: no chain verifies after"), "{warning}");
    let issue = "issue --ca line.pem --ca-key line.key.pem --subject CN=device --chain chain.pem -o device.pem";
    accepted(at, issue);
    let holds = accepted(at, "chain --root root.pem --purpose device chain.pem");
    assert!(holds.contains("holds: every link is good, up to a trusted certificate"), "{holds}");
    let missing = refused(at, "chain --root root.pem device.pem");
    assert!(missing.contains("incomplete, the certificate of CN=Line is missing"), "{missing}");
    let unordered = accepted(at, "chain --root root.pem device.pem root.pem line.pem");
    assert!(unordered.contains("not in the order of the chain"), "{unordered}");
    let untrusted = refused(at, "chain chain.pem root.pem");
    assert!(untrusted.contains("name it with --root if you trust it"), "{untrusted}");
    let expired = refused(at, "chain --root root.pem --at 2199-01-01 chain.pem");
    assert!(expired.contains("refused: certificate 1 (CN=device): expired at"), "{expired}");
    let server = refused(at, "chain --root root.pem --purpose server chain.pem");
    assert!(server.contains("it is not for TLS servers"), "{server}");
    let json: serde_json::Value =
        serde_json::from_str(&accepted(at, "chain --json --root root.pem chain.pem")).unwrap();
    assert_eq!(
        (&json["holds"], &json["end"], json["links"].as_array().unwrap().len()),
        (&true.into(), &"trusted".into(), 3)
    );
    assert_eq!(json["links"][1]["subject"], "CN=Line");
}

#[test]
fn requests_that_ask_for_too_much_or_have_weak_keys_are_refused() {
    let folder = house();
    let at = folder.path();
    let request = |name: &str, more: &[&str]| {
        let base = ["req", "-new", "-nodes", "-subj", "/CN=x", "-keyout", "x.key", "-out", name];
        openssl(at, &[&base[..], more].concat());
        refused(at, &format!("issue --ca ca.pem --ca-key ca.key.pem --csr {name} -o no.pem"))
    };
    let rsa = ["-newkey", "rsa:1024"];
    assert!(request("weak.csr", &rsa).contains("the RSA-1024 key has fewer than 2048 bits"));
    let p256 = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
    let authority = [&p256[..], &["-addext", "basicConstraints=CA:TRUE"]].concat();
    assert!(request("ca.csr", &authority).contains("the request asks for CA:TRUE, which is for CAs only"));
    let signer = [&p256[..], &["-addext", "keyUsage=keyCertSign"]].concat();
    assert!(request("signer.csr", &signer).contains("keyCertSign or cRLSign"));
    let p192 = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime192v1"];
    assert!(request("p192.csr", &p192).contains("P-192 key is 96 bits strong"));
    let ed25519 = ["-newkey", "ed25519"];
    assert!(request("ed.csr", &ed25519).contains("1.3.101.112 are not supported"));
    assert!(!at.join("no.pem").exists());
    assert!(refused(at, "csr --kind p192 --subject CN=x -o x.csr").contains("P-192"));
    let other = refused(at, "issue --ca ca.pem --ca-key device.key.pem --subject CN=x -o no.pem");
    assert!(other.contains("the private key is not that of the CA certificate"), "{other}");
    assert!(other.contains("help: name the two files that belong together"), "{other}");
    let no_request = refused(at, "issue --ca ca.pem --ca-key ca.key.pem --csr ca.pem -o no.pem");
    assert!(no_request.contains("ca.pem: no certification request in it") && no_request.contains("cotter cert csr"));
    let no_ca = refused(at, "issue --ca device.pem --ca-key device.key.pem --subject CN=x -o no.pem");
    assert!(no_ca.contains("not that of a CA"), "{no_ca}");
    let nobody = refused(at, "issue --ca ca.pem --ca-key ca.key.pem --subject CN=x --purpose server -o no.pem");
    assert!(nobody.contains("accepted by no client") && nobody.contains("--san"), "{nobody}");
}

#[test]
fn der_goes_out_where_the_name_says_so_and_comes_back_in() {
    let folder = house();
    let at = folder.path();
    accepted(at, "ca --subject CN=Root2 -o root.der --key-out root.key.pem");
    accepted(
        at,
        "issue --ca root.der --ca-key root.key.pem --subject CN=d --no-expiry --san d.example -o d.der --key-out d.key.pem",
    );
    let text = openssl(at, &["x509", "-inform", "DER", "-in", "d.der", "-noout", "-text"]);
    assert!(text.contains("Not After : Dec 31 23:59:59 9999 GMT") && text.contains("DNS:d.example"), "{text}");
    accepted(at, "chain --root root.der d.der");
    openssl(at, &["pkey", "-in", "d.key.pem", "-pubout", "-out", "d.pub.pem"]);
    accepted(at, "issue --ca root.der --ca-key root.key.pem --subject CN=e --public-key d.pub.pem -o e.pem");
    accepted(at, "issue --ca root.der --ca-key root.key.pem --subject CN=e --key d.key.pem -o f.pem");
    let key = |file: &str| openssl(at, &["x509", "-in", file, "-noout", "-pubkey"]);
    assert_eq!(key("e.pem"), key("f.pem"));
    // A CA over a key that exists keeps what it signed before.
    accepted(at, "ca --subject CN=Root2 --key root.key.pem -o renewed.pem");
    accepted(at, "chain --root renewed.pem d.der");
}

#[test]
fn a_bundle_is_built_without_duplicates_shown_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::create_dir(at.join("roots")).unwrap();
    for name in ["zebra", "ant", "mole"] {
        accepted(at, &format!("ca --subject CN={name} -o roots/{name}.pem --key-out {name}.key"));
    }
    accepted(at, "ca --subject CN=bee -o roots/bee.der --key-out bee.key");
    std::fs::copy(at.join("roots/ant.pem"), at.join("roots/ant-again.pem")).unwrap();
    std::fs::copy(at.join("roots/ant.pem"), at.join("roots/ant.crt")).unwrap();
    let built = accepted(at, "bundle build roots -o bundle");
    assert!(built.contains("there twice, left out: CN=ant") && built.contains("ant.crt"), "{built}");
    assert!(built.contains("bundle: 4 certificates"), "{built}");
    let shown = accepted(at, "bundle check bundle");
    let subjects: Vec<&str> = shown.lines().filter_map(|line| line.split_once("CN=")).map(|(_, name)| name).collect();
    assert_eq!(subjects, ["ant", "bee", "mole", "zebra"]);
    accepted(at, "bundle build roots --keep-duplicates -o twice");
    let twice = refused(at, "bundle check twice");
    assert!(twice.contains("certificate 2: a second CN=ant"), "{twice}");
    accepted(at, "bundle show twice");
    let many = refused(at, "bundle build roots --max-certs 3 -o no");
    assert!(many.contains("4 certificates, but the firmware accepts 3"), "{many}");
    std::fs::write(at.join("torn"), &std::fs::read(at.join("bundle")).unwrap()[..100]).unwrap();
    assert!(refused(at, "bundle show torn").contains("truncated at offset"));
    std::fs::write(at.join("empty.pem"), "nothing\n").unwrap();
    let none = refused(at, "bundle build empty.pem -o no");
    assert!(none.contains("a bundle without certificates is refused by the device"), "{none}");
}

#[test]
fn the_golden_bundle_of_gen_crt_bundle_is_built_byte_for_byte_and_in_any_order() {
    let vectors = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/crtbundle"));
    let golden = std::fs::read(vectors.join("x509_crt_bundle")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (index, order) in
        [["p256.pem", "p384.pem", "rsa4096.pem", "rsa2048.der"], ["rsa2048.der", "rsa4096.pem", "p384.pem", "p256.pem"]]
            .iter()
            .enumerate()
    {
        let output = folder.path().join(index.to_string());
        accepted(vectors, &format!("bundle build {} -o {}", order.join(" "), output.display()));
        assert_eq!(std::fs::read(&output).unwrap(), golden);
    }
    let shown = accepted(vectors, "bundle check x509_crt_bundle");
    assert!(shown.contains("CN=Größe") && shown.contains("OU=one, OU=two, CN=Middle root"), "{shown}");
    let chain = accepted(vectors, "chain --root rsa2048.der --at 2030-01-01 chain.pem");
    assert!(chain.contains("holds: every link is good"), "{chain}");
}
