//! Python reads the server's audit log, its checkpoints and its proofs by the letter of RFC 9162 and C2SP, and signs
//! checkpoints that we read.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use cotter_formats::secret::Secret;
use cotter_interop::{Generator, temp_dir, tools};
use cotter_server::audit::checkpoint::Checkpoint;
use cotter_server::audit::line::Line;
use cotter_server::audit::note::{NoteKey, NoteSigner};
use cotter_server::audit::proof;
use cotter_server::audit::tree::Frontier;
use cotter_server::store::AuditEntry;

/// Recursive, as the RFC writes the tree down; says yes to a proof or a note, or ends with an error.
const AUDITOR: &str = r#"
import base64, hashlib, json, sys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

def H(*parts): return hashlib.sha256(b"".join(parts)).digest()
def split(n):
    k = 1
    while k * 2 < n: k *= 2
    return k
def root(leaves):
    if not leaves: return H()
    if len(leaves) == 1: return H(b"\0", leaves[0])
    k = split(len(leaves))
    return H(b"\1", root(leaves[:k]), root(leaves[k:]))
def climb(m, n, leaf, path):
    if n == 1:
        assert not path
        return leaf
    k, sibling = split(n), path[-1]
    if m < k: return H(b"\1", climb(m, k, leaf, path[:-1]), sibling)
    return H(b"\1", sibling, climb(m - k, n - k, leaf, path[:-1]))
def key_id(name, public): return H(name.encode(), b"\n\1", public)[:4]
def checkpoint(note, vkey):
    name, ident, typed = vkey.split("+", 2)
    typed = base64.b64decode(typed, validate=True)
    assert typed[0] == 1 and bytes.fromhex(ident) == key_id(name, typed[1:])
    text, signatures = note[:note.rindex("\n\n") + 1], note[note.rindex("\n\n") + 2:]
    mark, signer, value = signatures.rstrip("\n").split(" ")
    value = base64.b64decode(value, validate=True)
    assert mark == "\u2014" and signer == name and value[:4] == bytes.fromhex(ident)
    Ed25519PublicKey.from_public_bytes(typed[1:]).verify(value[4:], text.encode())
    origin, size, top = text.rstrip("\n").split("\n")
    assert origin == name
    return int(size), base64.b64decode(top, validate=True)

case = json.load(open(sys.argv[1]))
for log in case["logs"]:
    lines = [line.encode() for line in log["lines"]]
    size, top = checkpoint(log["checkpoint"], case["key"])
    assert size == len(lines) and top == root(lines), "root"
    for index, text in log["proofs"]:
        head, note = text.split("\n\n", 1)
        head = head.split("\n")
        assert head[0] == "c2sp.org/tlog-proof@v1" and head[2] == f"index {index}"
        entry = base64.b64decode(head[1].removeprefix("extra "), validate=True)
        assert entry == lines[index] and json.loads(entry)["index"] == index
        path = [base64.b64decode(line, validate=True) for line in head[3:]]
        assert climb(index, size, H(b"\0", entry), path) == checkpoint(note, case["key"])[1], "path"

private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(case["seed"]))
public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
text = "python.example/log\n5\n" + base64.b64encode(b"\7" * 32).decode() + "\n"
ident = key_id("python.example/log", public)
print(json.dumps({
    "key": f"python.example/log+{ident.hex()}+" + base64.b64encode(b"\1" + public).decode(),
    "note": text + "\n\u2014 python.example/log " + base64.b64encode(ident + private.sign(text.encode())).decode() + "\n",
}))
"#;

#[test]
fn python_agrees_with_every_root_signature_and_proof_and_we_with_its_note() {
    let mut random = Generator::seeded();
    let seed: [u8; 32] = random.array();
    let signer = NoteSigner::new(&Secret::from_slice(&seed).unwrap()).unwrap();
    let mut logs = Vec::new();
    for size in (0..=17).chain([31, 32, 33, 100]) {
        let lines: Vec<String> = (0..size).map(|index| line(&mut random, index)).collect();
        let leaves: Vec<_> = lines.iter().map(|line| Line::leaf_of(line)).collect();
        let checkpoint = Checkpoint::of(&Frontier::of(leaves.clone())).sign(&signer);
        let prove = |index: usize| (index, proof::prove(&leaves, &lines[index], index, &checkpoint).unwrap());
        let proofs: Vec<_> = (0..lines.len()).map(prove).collect();
        logs.push(serde_json::json!({ "lines": lines, "checkpoint": checkpoint, "proofs": proofs }));
    }
    let hex: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
    let case = serde_json::json!({ "logs": logs, "key": signer.key().to_string(), "seed": hex });
    let folder = temp_dir();
    let path = folder.path().join("case.json");
    std::fs::write(&path, case.to_string()).unwrap();
    let output = tools().python(["-c".as_ref(), AUDITOR.as_ref(), path.as_os_str()]).accepted();
    let answer = output.lines().find(|line| line.starts_with('{')).unwrap();
    let answer: serde_json::Value = serde_json::from_str(answer).unwrap();
    let key: NoteKey = answer["key"].as_str().unwrap().parse().unwrap();
    assert_eq!(Checkpoint::open(answer["note"].as_str().unwrap(), &key), Ok(Checkpoint { size: 5, root: [7; 32] }));
}

/// Texts with everything that JSON may escape.
fn line(random: &mut Generator, index: u64) -> String {
    let mut text = |most: usize| -> String {
        let len = random.below(most);
        (0..len).map(|_| *random.pick(&['a', '"', '\\', '\n', '\u{1}', 'é', '\u{2028}', '😀', '/'])).collect()
    };
    let entry = AuditEntry { at: index * 7, by: text(9), subject: text(20), event: "replay".into(), detail: text(60) };
    Line::new(index, entry).text()
}
