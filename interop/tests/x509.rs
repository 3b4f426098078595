//! Certificates, requests and chains against OpenSSL: it reads and believes what we issue, we read and believe what it
//! issues, and over random chains with random faults the two come to the same verdict.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on has failed")]

use cotter_factory::pki::ca::AuthorityPlan;
use cotter_factory::pki::chain::{Chain, Question};
use cotter_factory::pki::{
    AlternativeName, Certificate, DateTime, Leaf, Name, ProductCa, Purpose, Request, Validity, now,
};
use cotter_factory::private_key::PrivateKey;
use cotter_factory::public_key::KeyKind;
use cotter_formats::secure_boot::v2::Curve;
use cotter_interop::{Generator, temp_dir, tools};
use std::fs;
use std::path::Path;

const KINDS: [KeyKind; 4] =
    [KeyKind::Ecdsa(Curve::P256), KeyKind::Ecdsa(Curve::P384), KeyKind::Rsa(2048), KeyKind::Rsa(3072)];

fn key(random: &mut Generator) -> PrivateKey {
    PrivateKey::generate(*random.pick(&KINDS)).unwrap()
}

/// A name with repeated attributes, spaces and letters beyond ASCII. Not what RFC 4514 would have to escape.
fn name(random: &mut Generator) -> Name {
    let mut text = String::new();
    for _ in 0..random.below(3) {
        let word = random.word(8).replace('_', "x");
        text += &format!("/DC={word}");
    }
    for label in ["C=DE", "O=Äcme & Söhne", "OU=one", "OU=two", "serialNumber=0001"] {
        if random.below(2) == 0 {
            text += &format!("/{label}");
        }
    }
    let length = random.between(1, 30);
    text += &format!("/CN={} {}", random.word(length), random.word(3));
    text.parse().unwrap()
}

fn alternative_names(random: &mut Generator) -> Vec<AlternativeName> {
    (0..random.below(4))
        .map(|_| {
            let word = random.word(10).replace('_', "0");
            let [a, b, c, d] = random.array();
            match random.below(4) {
                0 => format!("{word}.example"),
                1 => format!("{a}.{b}.{c}.{d}"),
                2 => format!("IP:2001:db8::{a:x}:{b:x}"),
                _ => format!("URI:urn:dev:ops:{word}"),
            }
            .parse()
            .unwrap()
        })
        .collect()
}

fn days(count: u32) -> Validity {
    Validity::days(now().unwrap(), count).unwrap()
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn openssl_believes_and_reads_what_we_issue() {
    let (tools, mut random, folder) = (tools(), Generator::seeded(), temp_dir());
    let folder = folder.path();
    for round in 0..12 {
        let plan = AuthorityPlan { subject: name(&mut random), path_length: Some(1), validity: days(4000) };
        let root = ProductCa::root(key(&mut random), &plan).unwrap();
        let plan = AuthorityPlan { subject: name(&mut random), path_length: None, validity: days(3000) };
        let below = root.intermediate(key(&mut random), &plan).unwrap();
        let device = key(&mut random);
        let forever = random.below(2) == 0;
        let leaf = Leaf {
            subject: name(&mut random),
            alternative_names: alternative_names(&mut random),
            purposes: vec![Purpose::Client],
            validity: if forever { Validity::forever(now().unwrap()).unwrap() } else { days(365) },
        };
        let request = Request::create(&device, &leaf.subject, &leaf.alternative_names).unwrap();
        let certificate = below.issue(device.public(), &leaf).unwrap();
        let root_file = write(folder, "root.pem", root.certificate_pem());
        let below_file = write(folder, "below.pem", below.certificate_pem());
        let leaf_file = write(folder, "leaf.pem", &certificate.to_pem());
        let strict = ["verify", "-x509_strict", "-check_ss_sig", "-purpose", "sslclient", "-CAfile", &root_file];
        let verified = tools.openssl(strict.into_iter().chain(["-untrusted", &below_file, &leaf_file])).accepted();
        assert!(verified.contains("OK"), "{round}: {verified}");
        let shown = tools
            .openssl([
                "x509",
                "-in",
                &leaf_file,
                "-noout",
                "-serial",
                "-enddate",
                "-text",
                "-nameopt",
                "utf8,sep_comma_plus_space,sname",
            ])
            .accepted();
        let serial: String = certificate.serial().iter().map(|byte| format!("{byte:02X}")).collect();
        assert!(shown.contains(&format!("serial={serial}\n")), "{shown}");
        assert!(!forever || shown.contains("notAfter=Dec 31 23:59:59 9999 GMT"), "{shown}");
        assert!(shown.contains(&format!("Subject: {}", leaf.subject)), "{} in {shown}", leaf.subject);
        assert!(shown.contains("CA:FALSE") && shown.contains("TLS Web Client Authentication"), "{shown}");
        for name in &leaf.alternative_names {
            let name = match name {
                AlternativeName::Ip(std::net::IpAddr::V6(address)) => {
                    let groups: Vec<String> = address.segments().iter().map(|group| format!("{group:X}")).collect();
                    format!("IP Address:{}", groups.join(":"))
                }
                AlternativeName::Ip(address) => format!("IP Address:{address}"),
                other => other.to_string(),
            };
            assert!(shown.contains(&name), "{name} in {shown}");
        }
        let request = write(folder, "request.csr", &request.to_pem());
        tools.openssl(["req", "-in", &request, "-noout", "-verify"]).accepted();
        let password = random.word(20);
        let encrypted = write(folder, "device.key", &device.to_encrypted_pem(password.as_bytes()).unwrap());
        let public =
            tools.openssl(["pkey", "-in", &encrypted, "-passin", &format!("pass:{password}"), "-pubout"]).accepted();
        assert_eq!(public, device.public().to_pem().unwrap());
    }
}

#[test]
fn we_believe_and_read_what_openssl_issues() {
    let (tools, mut random, folder) = (tools(), Generator::seeded(), temp_dir());
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let [ca, ca_key, below, below_key, csr, leaf, leaf_key, extensions, config] =
        ["ca.pem", "ca.key", "below.pem", "below.key", "leaf.csr", "leaf.pem", "leaf.key", "ext.cnf", "ca.cnf"]
            .map(path);
    // A request is not signed with PSS here, a root may be.
    let generate = |random: &mut Generator, request: bool| -> Vec<&str> {
        let choices: [&[&str]; 4] = [
            &["-newkey", "rsa:2048", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"],
            &["-newkey", "rsa:2048"],
            &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
            &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"],
        ];
        random.pick(&choices[usize::from(request)..]).to_vec()
    };
    fs::write(
        &extensions,
        "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\n",
    )
    .unwrap();
    for _ in 0..10 {
        let subject = format!("/DC=com/DC=example/OU=a/OU=b/CN={}", random.word(9));
        let digest = *random.pick(&["-sha256", "-sha384", "-sha512"]);
        let new = generate(&mut random, false);
        // UTF8String, PrintableString, TeletexString or BMPString: what CAs of all ages have in their names.
        let strings = *random.pick(&["utf8only", "default", "MASK:0x4", "MASK:0x800"]);
        let text = format!(
            "[req]\nstring_mask={strings}\ndistinguished_name=dn\nx509_extensions=ca\n[dn]\n\
             [ca]\nbasicConstraints=critical,CA:TRUE\nsubjectKeyIdentifier=hash\n"
        );
        fs::write(&config, text).unwrap();
        let root =
            ["req", "-x509", "-nodes", "-days", "100", digest, "-subj", &subject, "-keyout", &ca_key, "-out", &ca];
        tools.openssl(root.into_iter().chain(["-config", &config]).chain(new)).accepted();
        let new = generate(&mut random, true);
        let request = ["req", "-new", "-nodes", "-subj", "/O=x/CN=below", "-keyout", &below_key, "-out", &csr];
        tools.openssl(request.into_iter().chain(new)).accepted();
        let sign = ["x509", "-req", digest, "-in", &csr, "-CA", &ca, "-CAkey", &ca_key, "-out", &below];
        tools.openssl(sign.into_iter().chain(["-CAcreateserial", "-days", "50", "-extfile", &extensions])).accepted();
        let new = generate(&mut random, true);
        let request = ["req", "-new", "-nodes", "-subj", "/CN=leaf", "-keyout", &leaf_key, "-out", &csr];
        let names = ["-addext", "subjectAltName=DNS:leaf.example,IP:192.0.2.9"];
        tools.openssl(request.into_iter().chain(new).chain(names)).accepted();
        let sign = ["x509", "-req", digest, "-in", &csr, "-CA", &below, "-CAkey", &below_key, "-out", &leaf];
        tools
            .openssl(sign.into_iter().chain(["-CAcreateserial", "-days", "20", "-copy_extensions", "copy"]))
            .accepted();

        let read = |path: &str| Certificate::read_all(&fs::read(path).unwrap()).unwrap();
        let presented = [read(&leaf), read(&below)].concat();
        let question = Question { at: now().unwrap(), purpose: Some(Purpose::Server), host: Some("leaf.example") };
        let chain = Chain::find(&presented, &read(&ca), &question).unwrap();
        assert!(chain.holds(), "{chain:?}");
        let shown =
            tools.openssl(["x509", "-in", &leaf, "-noout", "-serial", "-fingerprint", "-sha256", "-pubkey"]).accepted();
        let digits = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>();
        assert!(
            shown.contains(&format!("serial={}", digits(presented[0].serial()).concat().trim_start_matches("00"))),
            "{shown}"
        );
        assert!(shown.contains(&digits(&presented[0].fingerprint()).join(":")), "{shown}");
        assert!(shown.contains(&presented[0].public_key().unwrap().to_pem().unwrap()), "{shown}");

        // Their CA, with two DCs and two OUs, its key and their request in our hands; they believe the result.
        let key = PrivateKey::from_pem(&fs::read(&ca_key).unwrap(), None).unwrap();
        let ours = ProductCa::load(&fs::read(&ca).unwrap(), key).unwrap();
        let request = Request::read(&fs::read(&csr).unwrap()).unwrap();
        let granted = Leaf {
            subject: request.subject().clone(),
            alternative_names: request.alternative_names().unwrap(),
            purposes: vec![Purpose::Server],
            validity: days(10),
        };
        assert_eq!(granted.alternative_names.len(), 2);
        let granted = ours.issue(&request.judge().unwrap(), &granted).unwrap();
        assert_eq!(granted.issuer().as_der(), ours.certificate().subject().as_der(), "{strings}");
        let file = write(folder.path(), "granted.pem", &granted.to_pem());
        let verify = ["verify", "-purpose", "sslserver", "-verify_hostname", "leaf.example", "-CAfile", &ca, &file];
        tools.openssl(verify).accepted();
    }
}

#[test]
fn random_chains_get_the_verdict_of_openssl() {
    let (tools, mut random, folder) = (tools(), Generator::seeded(), temp_dir());
    let (mut good, mut bad) = (0, 0);
    for round in 0..60 {
        let life = |random: &mut Generator| days(*random.pick(&[30, 400, 400, 400, 400]));
        let length = |random: &mut Generator| *random.pick(&[None, None, Some(0), Some(1), Some(2)]);
        let root_key = PrivateKey::generate(KINDS[0]).unwrap();
        let root_pem = root_key.to_pem().unwrap();
        let subject = name(&mut random);
        let plan = AuthorityPlan { subject: subject.clone(), path_length: None, validity: life(&mut random) };
        let root = ProductCa::root(root_key, &plan).unwrap();
        // What is trusted may be another certificate of the same CA, with a shorter path.
        let again = PrivateKey::from_pem(root_pem.as_bytes(), None).unwrap();
        let trusted = AuthorityPlan { path_length: length(&mut random), ..plan };
        let trusted = ProductCa::root(again, &trusted).unwrap();
        let mut chain = vec![root];
        for _ in 0..random.below(3) {
            let plan = AuthorityPlan { subject: name(&mut random), path_length: None, validity: life(&mut random) };
            let last = &chain[chain.len() - 1];
            chain.push(last.intermediate(PrivateKey::generate(KINDS[random.below(2)]).unwrap(), &plan).unwrap());
        }
        let host = random.word(6).replace('_', "0") + ".example";
        let leaf = Leaf {
            subject: name(&mut random),
            alternative_names: vec![
                random
                    .pick(&[host.as_str(), host.as_str(), host.as_str(), host.as_str(), "*.example", "other.example"])
                    .parse()
                    .unwrap(),
            ],
            purposes: random
                .pick(&[&[][..], &[Purpose::Client], &[Purpose::Server], &[Purpose::Server], &[Purpose::Server]])
                .to_vec(),
            validity: life(&mut random),
        };
        let device = PrivateKey::generate(KINDS[0]).unwrap();
        let mut presented = vec![chain[chain.len() - 1].issue(device.public(), &leaf).unwrap()];
        presented.extend(chain[1..].iter().rev().map(|ca| ca.certificate().clone()));
        match random.below(8) {
            0 if presented.len() > 1 => {
                presented.remove(1);
            }
            1 => {
                // One bit of what is signed.
                let index = random.below(presented.len());
                let mut der = presented[index].as_der().to_vec();
                let at = random.between(der.len() / 3, der.len() - 80);
                der[at] ^= 1 << random.below(8);
                match Certificate::from_der(&der) {
                    Ok(flipped) => presented[index] = flipped,
                    Err(_) => continue,
                }
            }
            _ => {}
        }
        let offset = random.pick(&[0, 0, 0, 0, 60]) * 86_400;
        let seconds = now().unwrap().unix_duration().as_secs() + offset;
        let at = DateTime::from_unix_duration(std::time::Duration::from_secs(seconds)).unwrap();
        let question = Question { at, purpose: Some(Purpose::Server), host: Some(&host) };
        let ours = Chain::find(&presented, &[trusted.certificate().clone()], &question).unwrap();

        let untrusted: String = presented[1..].iter().map(Certificate::to_pem).collect();
        let root = write(folder.path(), "root.pem", trusted.certificate_pem());
        let first = write(folder.path(), "leaf.pem", &presented[0].to_pem());
        let seconds = seconds.to_string();
        let mut arguments = vec!["verify", "-purpose", "sslserver", "-verify_hostname", &host, "-attime", &seconds];
        arguments.extend(["-CAfile", &root]);
        let untrusted_file = write(folder.path(), "untrusted.pem", &untrusted);
        if presented.len() > 1 {
            arguments.extend(["-untrusted", &untrusted_file]);
        }
        arguments.push(&first);
        let theirs = tools.openssl(arguments);
        assert_eq!(ours.holds(), theirs.success(), "round {round}: {ours:?}\n{}", theirs.evidence());
        *(if ours.holds() { &mut good } else { &mut bad }) += 1;
    }
    println!("{good} chains hold, {bad} do not, for both");
    assert!(good > 0 && bad > 0);
}
