//! Certificates that the factory issues, shown to the server by somebody else's TLS (Python's, that is OpenSSL's), and
//! revocation lists that somebody else has signed.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use cotter_factory::identity::Identity;
use cotter_factory::pki::{Leaf, Name, ProductCa, Purpose, Validity, now};
use cotter_factory::private_key::PrivateKey;
use cotter_factory::public_key::KeyKind;
use cotter_formats::chip::Chip;
use cotter_formats::secure_boot::v2::Curve;
use cotter_interop::{server_options, temp_dir, tools};
use cotter_server::config::Config;
use cotter_server::init::init;
use cotter_server::key_file;
use cotter_server::server::Server;
use cotter_wire::keys::EnrolmentKey;
use std::path::Path;
use std::time::Duration;

/// Arguments: version of TLS, port, CA, then for each request the stem of the certificate (`-`: none), method, path, token (`-`: none) and
/// file with the body (`-`: none). Prints the statuses; `tls` where no request was answered.
const CLIENT: &str = r"
import http.client, ssl, sys
version, port, ca, rest = ssl.TLSVersion[sys.argv[1]], int(sys.argv[2]), sys.argv[3], sys.argv[4:]
said = []
while rest:
    (stem, method, path, token, body), rest = rest[:5], rest[5:]
    context = ssl.create_default_context(cafile=ca)
    context.minimum_version = context.maximum_version = version
    context.verify_flags &= ~getattr(ssl, 'VERIFY_X509_STRICT', 0)
    if stem != '-':
        context.load_cert_chain(stem + '.pem', stem + '.key.pem')
    connection = http.client.HTTPSConnection('localhost', port, context=context, timeout=20)
    try:
        headers = {} if token == '-' else {'Authorization': 'Bearer ' + token}
        connection.request(method, path, None if body == '-' else open(body, 'rb').read(), headers)
        said.append(str(connection.getresponse().status))
    except (ssl.SSLError, ConnectionError, http.client.HTTPException):
        said.append('tls')
    connection.close()
print('said', *said)
";

/// Arguments: CA, its key, the certificates that are revoked. Prints a list, PEM.
const REVOKE: &str = r"
import datetime, sys
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
ca = x509.load_pem_x509_certificate(open(sys.argv[1], 'rb').read())
key = serialization.load_pem_private_key(open(sys.argv[2], 'rb').read(), None)
now = datetime.datetime(2026, 1, 1)
crl = x509.CertificateRevocationListBuilder().issuer_name(ca.subject).last_update(now)
crl = crl.next_update(now + datetime.timedelta(days=36500))
crl = crl.add_extension(x509.CRLNumber(1), False)
crl = crl.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.public_key()), False)
for path in sys.argv[3:]:
    serial = x509.load_pem_x509_certificate(open(path, 'rb').read()).serial_number
    entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()
    crl = crl.add_revoked_certificate(entry)
open(sys.argv[2] + '.crl', 'wb').write(crl.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
";

/// A certificate of this device that is over for an hour.
fn expired(ca: &ProductCa, device: &str) -> cotter_factory::pki::Issued {
    let now = now().unwrap();
    let at =
        |ago: u64| cotter_factory::pki::DateTime::from_unix_duration(now.unix_duration() - Duration::from_secs(ago));
    let leaf = Leaf {
        subject: Name::common(device).unwrap(),
        alternative_names: Vec::new(),
        purposes: vec![Purpose::Client],
        validity: Validity { not_before: at(7200).unwrap(), not_after: at(3600).unwrap() },
    };
    let key = PrivateKey::generate(KeyKind::Ecdsa(Curve::P256)).unwrap();
    ca.issue_with_key(&key, &leaf).unwrap()
}

fn configure(config: &Path, tls: &str) {
    let text = std::fs::read_to_string(config).unwrap();
    let (before, after) = text.split_once("[tls]\n").unwrap();
    let after = after.split_once("certificate = ").unwrap().1;
    std::fs::write(config, format!("{before}[tls]\n{tls}\ncertificate = {after}")).unwrap();
}

#[test]
fn python_gets_in_with_the_factory_s_certificates_and_only_with_good_ones() {
    let home = temp_dir();
    let path = |name: &str| home.path().join(name).display().to_string();
    let made = init(home.path(), &server_options()).unwrap();
    let token = made.admin_token.reveal();
    let ca = ProductCa::generate("product CA").unwrap();
    ca.save(home.path()).unwrap();
    ca.issue_server(&["localhost"]).unwrap().save(home.path(), "server").unwrap();
    std::fs::rename(path("server.key.pem"), path("server.key")).unwrap();
    tools().openssl(["pkey", "-in", &path("server.key"), "-pubout", "-out", &path("manifest.pem")]).accepted();
    let enrolment = EnrolmentKey::new(key_file::read(&made.enrolment_key).unwrap());
    for name in ["one", "two"] {
        let identity = Identity::create(name.parse().unwrap(), &ca).unwrap();
        identity.certificate.save(home.path(), name).unwrap();
        let record = identity.enrolment(Chip::Esp32C3, [2, 0, 0, 0, 0, 1], [0; 32], &enrolment).unwrap();
        std::fs::write(home.path().join(format!("{name}.json")), record).unwrap();
    }
    ProductCa::generate("product CA").unwrap().issue_device("one").unwrap().save(home.path(), "foreign").unwrap();
    expired(&ca, "one").save(home.path(), "expired").unwrap();
    let revoke = ["-c", REVOKE, &path("ca.pem"), &path("ca.key.pem"), &path("two.pem")];
    tools().python(revoke).accepted();

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let ask = |tls: &str, requests: &[(&str, &str, &str, bool, &str)]| {
        configure(&made.config, tls);
        let server = runtime.block_on(Server::bind(&Config::read(&made.config).unwrap())).unwrap();
        let port = server.address().port().to_string();
        let running = runtime.spawn(server.run(std::future::pending()));
        let mut requested = Vec::new();
        for (stem, method, target, administrator, body) in requests {
            let file = |name: &str| if name == "-" { name.to_owned() } else { path(name) };
            let token = if *administrator { token.to_string() } else { "-".to_owned() };
            requested.extend([file(stem), (*method).to_owned(), (*target).to_owned(), token, file(body)]);
        }
        let by = |version: &str| {
            let first = ["-c", CLIENT, version, &port, &path("ca.pem")].map(str::to_owned);
            let said = tools().python(first.iter().chain(&requested)).accepted();
            let line = said.lines().find_map(|line| line.strip_prefix("said ")).unwrap().to_owned();
            line.split(' ').map(str::to_owned).collect::<Vec<_>>()
        };
        let said = by("TLSv1_3");
        // What was made cannot be made again.
        if requests.iter().all(|(_, method, ..)| *method == "GET") {
            assert_eq!(by("TLSv1_2"), said, "TLS 1.2");
        }
        running.abort();
        said
    };
    let get = |stem, target| (stem, "GET", target, false, "-");
    let (one, two) = (
        "/v1/devices/one/update?version=1.0.0&secure_version=0",
        "/v1/devices/two/update?version=1.0.0&secure_version=0",
    );
    let devices = "/admin/v1/devices";
    let known = [("-", "POST", devices, true, "one.json"), ("-", "POST", devices, true, "two.json")];
    assert_eq!(ask("", &known), ["201", "201"]);
    let asked = [
        get("one", one),
        get("one", two),
        get("two", two),
        get("-", one),
        get("foreign", one),
        get("expired", one),
        ("one", "GET", devices, true, "-"),
        ("-", "GET", devices, true, "-"),
    ];
    let off = ask("", &asked);
    assert_eq!(off, ["401", "401", "401", "401", "401", "401", "200", "200"], "a certificate means nothing");
    let optional = "client_ca = \"ca.pem\"\nclient = \"optional\"";
    assert_eq!(ask(optional, &asked), ["204", "401", "204", "401", "tls", "tls", "403", "200"]);
    let required = "client_ca = \"ca.pem\"\nclient = \"required\"";
    assert_eq!(ask(required, &asked), ["204", "401", "204", "tls", "tls", "tls", "403", "tls"]);
    let revoked = format!("{optional}\nrevoked = [\"ca.key.pem.crl\"]");
    assert_eq!(ask(&revoked, &asked), ["204", "401", "tls", "401", "tls", "tls", "403", "200"]);
    let denied = format!("{optional}\ndenied = [\"one\"]");
    assert_eq!(ask(&denied, &asked), ["tls", "tls", "204", "401", "tls", "tls", "tls", "200"]);
}
