//! Python restores a backup by the letter of its format: Shamir's secret sharing over GF(256), HKDF, AES-256-GCM.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use cotter_interop::{Generator, server_options, temp_dir, tools};
use cotter_server::backup;
use cotter_server::backup::custodian::Custodians;
use cotter_server::init::init;
use cotter_wire::ids::ReleaseId;

/// Prints the SHA-256 of each part.
const CUSTODIAN: &str = r#"
import hashlib, json, struct, sys
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

def times(a, b):
    product = 0
    while b:
        if b & 1: product ^= a
        a = (a << 1) ^ (0x11b if a & 0x80 else 0)
        b >>= 1
    return product
def inverse(a): return next(b for b in range(1, 256) if times(a, b) == 1)
def at_zero(points):
    total = 0
    for i, (x, y) in enumerate(points):
        for j, (other, _) in enumerate(points):
            if i != j: y = times(y, times(other, inverse(x ^ other)))
        total ^= y
    return total

file, shares = open(sys.argv[1], "rb").read(), json.load(open(sys.argv[2]))
points = []
for line in shares:
    body, check = line.rsplit(":", 1)
    assert hashlib.sha256(body.encode()).hexdigest()[:8] == check
    kind, backup, threshold, count, number, value = body.split(":")
    assert kind == "cotter-share-1" and bytes.fromhex(backup) == file[16:32] and [int(threshold), int(count)] == list(file[32:34])
    points.append((int(number), bytes.fromhex(value)))
secret = bytes(at_zero([(x, value[i]) for x, value in points]) for i in range(32)) if int(threshold) > 1 else points[0][1]
header, body = file[:34], file[34:]
assert header[:16] == b"cotter-backup/1\n"
key = AESGCM(HKDF(hashes.SHA256(), 32, header[16:32], b"cotter/backup/v1\0" + header).derive(secret))
plain, number = b"", 0
while True:
    chunk, body = body[:65552], body[65552:]
    plain += key.decrypt(bytes(7) + struct.pack(">IB", number, not body), chunk, b"")
    number += 1
    if not body: break
parts, kinds = {}, {1: "configuration", 2: "file", 3: "database", 4: "artifact"}
while plain[0]:
    kind, length = plain[0], plain[1]
    name, size = plain[2:2 + length].decode(), struct.unpack(">Q", plain[2 + length:10 + length])[0]
    content, plain = plain[10 + length:10 + length + size], plain[10 + length + size:]
    assert len(content) == size
    parts[f"{kinds[kind]} {name}".strip()] = hashlib.sha256(content).hexdigest()
assert plain == b"\0"
print(json.dumps(parts))
"#;

#[test]
fn python_restores_every_part_with_any_enough_custodians() {
    let mut random = Generator::seeded();
    let folder = temp_dir();
    let server = folder.path().join("server");
    let made = init(&server, &server_options()).unwrap();
    for name in ["manifest.pem", "server.pem", "server.key"] {
        std::fs::write(server.join(name), random.bytes(300)).unwrap();
    }
    let release = ReleaseId(random.array());
    std::fs::create_dir(server.join("artifacts")).unwrap();
    std::fs::write(server.join(format!("artifacts/{release}.bin")), random.bytes(150_000)).unwrap();

    for (threshold, count) in [(1, 1), (1, 3), (2, 2), (3, 5), (4, 7)] {
        let file = folder.path().join(format!("{threshold}-{count}.backup"));
        let custodians = Custodians::new(threshold, count).unwrap();
        let shares = backup::make(&made.config, &file, custodians, |_| Ok(())).unwrap().shares;
        let mut lines: Vec<_> = shares.iter().map(|share| share.reveal().to_string()).collect();
        while lines.len() > threshold.into() {
            lines.remove(random.below(lines.len()));
        }
        let list = folder.path().join("shares.json");
        std::fs::write(&list, serde_json::to_string(&lines).unwrap()).unwrap();
        let output = tools().python(["-c".as_ref(), CUSTODIAN.as_ref(), file.as_os_str(), list.as_os_str()]).accepted();
        let line = output.lines().find(|line| line.starts_with('{')).unwrap();
        let parts: std::collections::BTreeMap<String, String> = serde_json::from_str(line).unwrap();
        let mut expected = vec![("configuration".to_owned(), server.join("cotter.toml"))];
        let named = [
            ("tls.certificate", "server.pem"),
            ("tls.key", "server.key"),
            ("keys.master", "master.key"),
            ("keys.enrolment", "enrolment.key"),
            ("keys.audit", "audit.key"),
            ("firmware.manifest_keys.0", "manifest.pem"),
        ];
        expected.extend(named.map(|(key, name)| (format!("file {key}"), server.join(name))));
        expected.push((format!("artifact {release}"), server.join(format!("artifacts/{release}.bin"))));
        for (part, path) in &expected {
            assert_eq!(parts[part], sha256(&std::fs::read(path).unwrap()), "{part}");
        }
        assert!(parts.contains_key("database") && parts.len() == expected.len() + 1, "{parts:?}");
    }
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
