//! Attacks on the way of a firmware: a server or mirror that fell, a release tool in the wrong hands.

use super::{Attempt, Scene};
use crate::demo::field::{RELEASE_LIFE, code, now};
use crate::demo::report::Attack;
use crate::demo::workshop::{APP_1_0_0, APP_1_2_0, CHIP};
use anyhow::Context;
use cotter_chip::report::RefusalCode;
use cotter_factory::release::Release;
use cotter_factory::signing::{ManifestKey, SecureBootKey, random};
use cotter_twin::firmware::UpdateEnd;
use cotter_twin::net::{Ask, Reply, Tap};
use cotter_wire::content::WrappedKey;
use cotter_wire::ids::UnixTime;
use cotter_wire::keys::DeviceKeys;
use cotter_wire::manifest::{Envelope, MAX_ENVELOPE, Manifest, encode_envelope};
use cotter_wire::version::Version;

pub(super) async fn all(scene: &mut Scene<'_>, attacks: &mut Vec<Attack>) -> anyhow::Result<()> {
    attacks.push(upload_unsigned(scene).await?);
    attacks.push(upload_downgrade(scene).await?);

    let workshop = scene.workshop;
    let genuine = workshop.release(APP_1_2_0)?;
    let keys = [&workshop.manifest_rsa, &workshop.manifest_p256];
    let variant = |change: &dyn Fn(&mut Manifest)| {
        let mut manifest = genuine.manifest.clone();
        change(&mut manifest);
        Release::sign(manifest, genuine.image.clone(), &keys)
    };

    let attempt = Attempt {
        name: "unsigned firmware",
        tried: "a fallen server offers a manifest without signatures",
        layer: "device: manifest signatures",
        expected: "manifest-unsigned",
    };
    let unsigned = Release::sign(genuine.manifest.clone(), genuine.image.clone(), &[])?;
    attacks.push(offer(scene, attempt, &unsigned).await?);

    let attempt = Attempt {
        name: "firmware signed by a wrong key",
        tried: "a manifest signed by two keys of the attacker",
        layer: "device: manifest signatures",
        expected: "manifest-untrusted",
    };
    let (rsa, p256) = (ManifestKey::generate_rsa()?, ManifestKey::generate_p256()?);
    let foreign = Release::sign(genuine.manifest.clone(), genuine.image.clone(), &[&rsa, &p256])?;
    attacks.push(offer(scene, attempt, &foreign).await?);

    let attempt = Attempt {
        name: "one stolen signing key",
        tried: "a manifest signed by one of the two trusted keys",
        layer: "device: manifest signatures",
        expected: "manifest-untrusted",
    };
    let half = Release::sign(genuine.manifest.clone(), genuine.image.clone(), &[&workshop.manifest_rsa])?;
    attacks.push(offer(scene, attempt, &half).await?);

    let attempt = Attempt {
        name: "manifest edited after signing",
        tried: "the version of a signed manifest raised to 9.9.9",
        layer: "device: manifest signatures",
        expected: "manifest-bad-signature",
    };
    attacks.push(offer(scene, attempt, &edited(&genuine)?).await?);

    let attempt = Attempt {
        name: "expired manifest",
        tried: "a genuine release whose week is over",
        layer: "device: authenticated time",
        expected: "manifest-expired",
    };
    let expired = variant(&|manifest| {
        manifest.issued = UnixTime(now().0 - 2 * RELEASE_LIFE.as_secs());
        manifest.expires = UnixTime(now().0 - RELEASE_LIFE.as_secs());
    })?;
    attacks.push(offer(scene, attempt, &expired).await?);

    let attempt = Attempt {
        name: "older version",
        tried: "a genuine release 1.0.9, kept back by the attacker",
        layer: "device: version",
        expected: "manifest-not-newer",
    };
    let older = variant(&|manifest| manifest.version = Version::new(1, 0, 9))?;
    attacks.push(offer(scene, attempt, &older).await?);

    let attempt = Attempt {
        name: "lower secure_version",
        tried: "the genuine release 1.0.0 that the device left behind",
        layer: "device: anti-rollback",
        expected: "manifest-secure-version-too-low",
    };
    let left_behind = workshop.release(APP_1_0_0)?;
    attacks.push(offer(scene, attempt, &left_behind).await?);

    let attempt = Attempt {
        name: "image by a wrong Secure Boot key",
        tried: "both manifest keys stolen; the image is signed by the attacker",
        layer: "second stage: Secure Boot V2",
        expected: RefusalCode::UntrustedKey.as_str(),
    };
    attacks.push(second_signature(scene, attempt).await?);

    // From here on the genuine 1.2.0 is on offer.
    scene.admin.release(&genuine).await?;
    attacks.push(flipped_chunk(scene).await?);
    attacks.push(failing_self_test(scene).await?);
    Ok(())
}

/// A release tool without the Secure Boot key.
async fn upload_unsigned(scene: &mut Scene<'_>) -> anyhow::Result<Attack> {
    let attempt = Attempt {
        name: "unsigned image uploaded",
        tried: "a release with valid manifest signatures, its image unsigned",
        layer: "server: release check",
        expected: "422 image-unsigned",
    };
    let keys = [&scene.workshop.manifest_rsa, &scene.workshop.manifest_p256];
    let release = Release::prepare(APP_1_2_0.to_vec(), CHIP, &keys, now(), RELEASE_LIFE)?;
    upload(scene, attempt, &release).await
}

/// An operator, or somebody with his token, brings an old release back.
async fn upload_downgrade(scene: &mut Scene<'_>) -> anyhow::Result<Attack> {
    let attempt = Attempt {
        name: "downgrade uploaded",
        tried: "the genuine release 1.0.0 after 1.1.0",
        layer: "server: release check",
        expected: "422 release-not-newer",
    };
    let release = scene.workshop.release(APP_1_0_0)?;
    upload(scene, attempt, &release).await
}

async fn upload(scene: &mut Scene<'_>, attempt: Attempt, release: &Release) -> anyhow::Result<Attack> {
    let reply = scene.admin.upload(release).await?;
    let answer: serde_json::Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let text = |member: &str| answer[member].as_str().unwrap_or_default().to_owned();
    Ok(attempt.saw(format!("{} {}", reply.status, text("reason")), text("detail"), true, scene.format))
}

/// A compromised server offers a release to the device, over a perfectly good TLS connection.
async fn offer(scene: &mut Scene<'_>, attempt: Attempt, release: &Release) -> anyhow::Result<Attack> {
    let envelope = for_device(scene, release)?;
    let tap: Tap = Box::new(move |ask: &Ask, reply: &mut Reply| {
        if ask.path.contains("/update?") {
            *reply = Reply { status: 200, body: envelope.clone() };
        }
    });
    let life = scene
        .twin
        .live(async |firmware| {
            firmware.client().set_tap(Some(tap));
            let end = firmware.update().await?;
            Ok((end, firmware.chunks(), firmware.refusal().copied()))
        })
        .await?;
    let (end, chunks, refusal) = life.outcome.context("the device did not boot")?;
    // Refused before a single byte was downloaded, and the device stays where it is.
    let harmless = end == UpdateEnd::Sleeping && chunks == 0;
    let detail = refusal.map(|refusal| refusal.to_string()).unwrap_or_default();
    Ok(attempt.saw(code(refusal.as_ref()), detail, harmless, scene.format))
}

/// The envelope with the content key wrapped for the device, as the server would do it.
fn for_device(scene: &Scene<'_>, release: &Release) -> anyhow::Result<Vec<u8>> {
    let device = &scene.workshop.device;
    let keys = DeviceKeys::derive(&device.root, &device.device, device.epoch);
    let envelope = Envelope::parse(&release.envelope)?;
    let mut nonce = [0; 12];
    random(&mut nonce)?;
    let wrapped =
        WrappedKey::wrap(&keys.firmware_unwrap, &device.device, device.epoch, &release.id, nonce, &release.content_key);
    let mut out = vec![0; MAX_ENVELOPE];
    Ok(encode_envelope(envelope.body(), envelope.signatures(), Some(&wrapped), &mut out)?.to_vec())
}

/// The signatures of one manifest under the body of another.
fn edited(genuine: &Release) -> anyhow::Result<Release> {
    let mut manifest = genuine.manifest.clone();
    manifest.version = Version::new(9, 9, 9);
    let mut edited = Release::sign(manifest, genuine.image.clone(), &[])?;
    let (body, signatures) = (Envelope::parse(&edited.envelope)?, Envelope::parse(&genuine.envelope)?);
    let mut out = vec![0; MAX_ENVELOPE];
    edited.envelope = encode_envelope(body.body(), signatures.signatures(), None, &mut out)?.to_vec();
    Ok(edited)
}

/// Both manifest keys are stolen, but not the Secure Boot key: the device installs, and the second stage refuses.
async fn second_signature(scene: &mut Scene<'_>, attempt: Attempt) -> anyhow::Result<Attack> {
    let workshop = scene.workshop;
    let stolen = [&workshop.manifest_rsa, &workshop.manifest_p256];
    let image = SecureBootKey::generate()?.sign(APP_1_2_0)?;
    let release = Release::prepare(image, CHIP, &stolen, now(), RELEASE_LIFE)?;
    let (envelope, content) = (for_device(scene, &release)?, release.content());
    let tap: Tap = Box::new(move |ask: &Ask, reply: &mut Reply| {
        let chunk = ask.path.rsplit_once("/chunks/").and_then(|(_, index)| index.parse::<usize>().ok());
        if ask.path.contains("/update?") {
            *reply = Reply { status: 200, body: envelope.clone() };
        } else if let Some(chunk) = chunk.and_then(|index| content.chunks(cotter_wire::content::CHUNK).nth(index)) {
            *reply = Reply { status: 200, body: chunk.to_vec() };
        }
    });
    // On a copy of the device: this attacker wins one slot.
    let victim = cotter_twin::twin::Twin::new(
        scene.twin.board().duplicate()?,
        super::super::workshop::HOST,
        scene.server.address(),
    );
    let installed = victim
        .live(async |firmware| {
            firmware.client().set_tap(Some(tap));
            firmware.update().await
        })
        .await?;
    let marked = installed.outcome == Some(UpdateEnd::Reboot);
    let next = victim.board().power_on();
    let refusal = next.steps.iter().find_map(|step| step.refusal).map_or("nothing refused", RefusalCode::as_str);
    let still = next.booted().is_some_and(|app| app.version == "1.1.0");
    let detail = next.booted().map(|app| format!("{} boots instead", app.version)).unwrap_or_default();
    Ok(attempt.saw(refusal, detail, marked && still, scene.format))
}

/// One bit of one chunk changes between server and device.
async fn flipped_chunk(scene: &mut Scene<'_>) -> anyhow::Result<Attack> {
    let attempt = Attempt {
        name: "one flipped bit in a chunk",
        tried: "bit 0 of byte 100 of chunk 20 of the genuine 1.2.0",
        layer: "device: SHA-256",
        expected: "image-hash",
    };
    let tap: Tap = Box::new(|ask: &Ask, reply: &mut Reply| {
        if ask.path.ends_with("/chunks/20") && reply.body.len() > 100 {
            reply.body[100] ^= 1;
        }
    });
    let life = scene
        .twin
        .live(async |firmware| {
            firmware.client().set_tap(Some(tap));
            let end = firmware.update().await?;
            Ok((end, firmware.refusal().copied()))
        })
        .await?;
    let (end, refusal) = life.outcome.context("the device did not boot")?;
    let detail = refusal.map(|refusal| refusal.to_string()).unwrap_or_default();
    Ok(attempt.saw(code(refusal.as_ref()), detail, end == UpdateEnd::Sleeping, scene.format))
}

/// Genuine, signed, and broken: it boots, judges itself, and the old version comes back.
async fn failing_self_test(scene: &mut Scene<'_>) -> anyhow::Result<Attack> {
    let attempt = Attempt {
        name: "failing self-test",
        tried: "the genuine release 1.2.0, which ships a register with gain 0",
        layer: "device: self-test, rollback",
        expected: "rolled-back self-test-zero-gain",
    };
    let installed = scene.twin.live(async |firmware| firmware.update().await).await?;
    let marked = installed.outcome == Some(UpdateEnd::Reboot);
    let life = scene.twin.live(async |firmware| Ok(firmware.promise().version)).await?;
    let boots: Vec<&str> =
        life.boots.iter().map(|boot| boot.booted().map_or("nothing", |app| app.version.as_str())).collect();
    let running = life.outcome.context("the device did not boot")?;
    let history = scene.admin.history(&scene.workshop.device.device).await?;
    let row = history.first().cloned().unwrap_or_default();
    let refusal =
        format!("{} {}", row["result"].as_str().unwrap_or_default(), row["reason"].as_str().unwrap_or_default());
    let detail = format!("boots: {}", boots.join(", then "));
    Ok(attempt.saw(refusal, detail, marked && running == Version::new(1, 1, 0), scene.format))
}
