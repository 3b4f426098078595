//! `cotter audit` as an auditor types it, on the database of a server.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use assert_cmd::Command;
use cotter_server::audit::note::NoteSigner;
use cotter_server::config::Config;
use cotter_server::init::{InitOptions, init};
use cotter_server::key_file;
use cotter_server::store::sqlite::SqliteStore;
use cotter_server::store::{AuditEntry, Store};
use serde_json::Value;
use std::path::{Path, PathBuf};

struct Server {
    folder: tempfile::TempDir,
    config: Config,
}

impl Server {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = InitOptions {
            listen: "127.0.0.1:0".parse().unwrap(),
            admin: "admin".parse().unwrap(),
            project: "app".into(),
            manifest_keys: vec!["a.pem".into()],
            manifest_required: 1,
            secure_boot_digests: Vec::new(),
        };
        let made = init(folder.path(), &options).unwrap();
        let server = Self { config: Config::read(&made.config).unwrap(), folder };
        // Behind the note on the first administrator.
        server.append(4);
        server
    }

    fn append(&self, count: u64) {
        let signer = NoteSigner::new(&key_file::read(&self.config.keys.audit).unwrap()).unwrap();
        let store = SqliteStore::open(&self.config.data.join("cotter.db"), signer).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let size = runtime.block_on(store.audit_lines(0, 100)).unwrap().len() as u64;
        for number in size..size + count {
            let entry = AuditEntry {
                at: 1_795_000_000 + number,
                by: "solar-0001".into(),
                subject: "solar-0001".into(),
                event: "replay".into(),
                detail: format!("nonce {number}"),
            };
            runtime.block_on(store.append_audit(entry)).unwrap();
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, arguments: &str) -> Command {
        let mut command = Command::cargo_bin("cotter").unwrap();
        command.current_dir(self.folder.path()).args(arguments.split(' '));
        command
    }

    fn stdout(&self, arguments: &str) -> String {
        String::from_utf8(self.run(arguments).assert().success().get_output().stdout.clone()).unwrap()
    }

    fn refusal(&self, arguments: &str) -> String {
        let assert = self.run(arguments).assert().code(1);
        assert_eq!(assert.get_output().stdout, b"", "a refused run prints no result");
        String::from_utf8(assert.get_output().stderr.clone()).unwrap()
    }

    /// Exports the log and writes its key.
    fn export(&self, name: &str) {
        let exported = self.stdout(&format!("audit export --log {name}.jsonl --checkpoint {name}.checkpoint"));
        assert!(exported.contains("entries and their checkpoint"), "{exported}");
        std::fs::write(self.path("vkey"), self.stdout("audit key")).unwrap();
    }
}

const VERIFY: &str = "audit verify --log log.jsonl --checkpoint log.checkpoint --key vkey";

#[test]
fn a_log_is_exported_and_verified_and_continues_an_earlier_checkpoint() {
    let server = Server::new();
    server.export("march");
    server.append(3);
    server.export("log");
    let report = server.stdout(VERIFY);
    assert!(report.starts_with("8 entries are what was signed, from "), "{report}");
    let report = server.stdout(&format!("{VERIFY} --earlier march.checkpoint --json"));
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!((&report["entries"], &report["earlier"]), (&8.into(), &1.into()));
    let key = server.stdout("audit key");
    assert!(server.stdout(&VERIFY.replace("vkey", key.trim())).starts_with("8 entries"));
    assert_eq!(mode(&server.path("log.jsonl")), 0o600);
}

#[test]
fn what_an_attacker_with_the_database_does_is_named() {
    let server = Server::new();
    server.export("log");
    let good = std::fs::read_to_string(server.path("log.jsonl")).unwrap();
    let lines: Vec<&str> = good.lines().collect();
    let refusal = |content: String| {
        std::fs::write(server.path("log.jsonl"), content).unwrap();
        server.refusal(VERIFY)
    };
    for (content, finding) in [
        (good.replace("nonce 3", "nonce 4"), "changed: an entry from 0 up to, not including, 5"),
        (lines[..4].join("\n") + "\n", "truncated: 4 entries, but 5 were signed"),
        ([lines[1], lines[0]].join("\n") + "\n", "reordered: in the place of entry 0 stands entry 1"),
        (good.clone() + "{}\n", "entry 5 is not an entry as the server writes them"),
        ("x".repeat(20_000), "entry 0 is not an entry as the server writes them"),
    ] {
        let refused = refusal(content);
        assert!(refused.contains(finding), "{refused}");
    }
    // Another server, another key.
    let other = Server::new();
    other.export("log");
    std::fs::write(server.path("log.jsonl"), &good).unwrap();
    std::fs::copy(other.path("vkey"), server.path("vkey")).unwrap();
    assert!(server.refusal(VERIFY).contains("checkpoint: no signature by this key"));
    std::fs::write(server.path("vkey"), "nonsense").unwrap();
    let refused = server.refusal(VERIFY);
    assert!(refused.contains("not a verifier key") && refused.contains("help: `cotter audit key`"), "{refused}");
}

#[test]
fn a_server_that_begins_a_new_history_is_a_fork() {
    let server = Server::new();
    server.export("kept");
    // Its own key, another database: who runs the server can sign anything, but not twice.
    std::fs::remove_file(server.config.data.join("cotter.db")).unwrap();
    server.append(2);
    server.export("log");
    let verify = format!("{VERIFY} --earlier kept.checkpoint");
    assert!(server.refusal(&verify).contains("rolled back: 2 entries are signed now, 5 were before"));
    server.append(9);
    server.export("log");
    let refused = server.refusal(&verify);
    assert!(refused.contains("forked: an earlier checkpoint of 5 entries was signed for other entries"), "{refused}");
}

#[test]
fn one_entry_is_proven_without_the_others() {
    let server = Server::new();
    server.export("log");
    let prove = "audit prove 3 --log log.jsonl --checkpoint log.checkpoint --key vkey -o three.tlog-proof";
    assert_eq!(server.stdout(prove), "entry 3 is in the log of 5 entries\n");
    let proof = std::fs::read_to_string(server.path("three.tlog-proof")).unwrap();
    assert!(proof.starts_with("c2sp.org/tlog-proof@v1\nextra "), "{proof}");
    let checked: Value =
        serde_json::from_str(&server.stdout("audit check three.tlog-proof --key vkey --json")).unwrap();
    assert_eq!((&checked["index"], &checked["detail"], &checked["entries"]), (&3.into(), &"nonce 3".into(), &5.into()));
    std::fs::write(server.path("three.tlog-proof"), proof.replace("index 3", "index 2")).unwrap();
    let refused = server.refusal("audit check three.tlog-proof --key vkey");
    assert!(refused.contains("its entry is no line of a log in that place"), "{refused}");
    let refused = server.refusal(&prove.replace(" 3 ", " 5 "));
    assert!(refused.contains("the log has 5 entries, counted from 0"), "{refused}");
    server.run("audit prove").assert().code(2);
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}
