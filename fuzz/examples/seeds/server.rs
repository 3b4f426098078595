//! Seeds of what the server keeps, and is told by its operators.

use super::{Outcome, seed};
use cotter_formats::secret::Secret;
use cotter_server::audit::checkpoint::Checkpoint;
use cotter_server::audit::line::Line;
use cotter_server::audit::note::NoteSigner;
use cotter_server::audit::proof;
use cotter_server::audit::tree::Frontier;
use cotter_server::store::AuditEntry;

/// A log of five entries, its checkpoint, a proof and a key; the signer is the body's own.
pub(crate) fn audit_log() -> Outcome {
    let signer = NoteSigner::new(&Secret::filled_by(|seed| seed.fill(0x42)))?;
    let entry = |index| AuditEntry {
        at: 1,
        by: "a".into(),
        subject: "a".into(),
        event: "replay".into(),
        detail: format!("nonce {index}"),
    };
    let lines: Vec<String> = (0..5).map(|index| Line::new(index, entry(index)).text()).collect();
    let leaves: Vec<_> = lines.iter().map(|line| Line::leaf_of(line)).collect();
    let note = Checkpoint::of(&Frontier::of(leaves.clone())).sign(&signer);
    let proof = proof::prove(&leaves, &lines[3], 3, &note).ok_or("no such entry")?;
    seed("audit_log", "log", (lines.join("\n") + "\n").as_bytes())?;
    seed("audit_log", "checkpoint", note.as_bytes())?;
    seed("audit_log", "proof", proof.as_bytes())?;
    seed("audit_log", "key", signer.key().to_string().as_bytes())
}

/// The first of three shares, and the header that belongs to it.
pub(crate) fn backup() -> Outcome {
    let body = format!("cotter-share-1:{}:2:3:1:{}", "07".repeat(16), "5a".repeat(32));
    seed("backup", "share", format!("{body}:eb36f282").as_bytes())?;
    seed("backup", "header", &[&b"cotter-backup/1\n"[..], &[7; 16], &[2, 3]].concat())
}

/// A plan of three stages, a tag, a number.
pub(crate) fn rollout() -> Outcome {
    let plan = r#"{"stages":[{"tag":"beta"},{"percent":12.5,"success":90,"failure":5,"on_failure":"abort","reports":20},{"percent":100.0}],"conditions":{},"attempts":3}"#;
    seed("rollout", "plan", plan.as_bytes())?;
    seed("rollout", "tag", b"beta-2.north_wing")?;
    seed("rollout", "number", b"42")
}

/// Conversations in MQTT 3.1.1 and 5, cut here and there: a greeting, a subscription, messages, an acknowledgement, a ping,
/// a goodbye; a client id; topics.
pub(crate) fn mqtt_session() -> Outcome {
    let text = |text: &[u8]| [&[0, u8::try_from(text.len()).unwrap_or_default()], text].concat();
    let packet = |kind: u8, body: Vec<u8>| [vec![kind, u8::try_from(body.len()).unwrap_or_default()], body].concat();
    let id = b"projects/p/locations/l/registries/r/devices/d";
    for (name, level, properties) in [("v3_1_1", 4, &[][..]), ("v5_0", 5, &[0][..])] {
        let greeting =
            [text(b"MQTT"), vec![level, 0xc2, 0, 60], properties.to_vec(), text(id), text(b"u"), text(b"token")];
        let subscribe = [vec![0, 1], properties.to_vec(), text(b"/devices/d/config"), vec![1]];
        let publish = [text(b"/devices/d/events/a"), vec![0, 2], properties.to_vec(), b"{}".to_vec()];
        let conversation = [
            vec![5],
            packet(0x10, greeting.concat()),
            packet(0x82, subscribe.concat()),
            packet(0x32, publish.concat()),
            packet(0x30, [text(b"/devices/d/state"), properties.to_vec(), b"on".to_vec()].concat()),
            packet(0x40, vec![0, 1]),
            vec![0xc0, 0, 0xe0, 0],
        ];
        seed("mqtt_session", name, &conversation.concat())?;
    }
    seed("mqtt_session", "client_id", id)?;
    seed("mqtt_session", "topic", b"/devices/d/events/alarms/red")?;
    seed("mqtt_session", "filter", b"/devices/d/commands/#")
}
