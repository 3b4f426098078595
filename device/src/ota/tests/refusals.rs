//! Each refusal, provoked as an attacker would, and what it leaves behind.

extern crate std;
use super::super::{Action, Event, Reason, Refusal, Request, UpdateError};
use super::world::{Attack, NOW, P256, Publication, RSA, Release, SLOT_LEN, STRANGER, Server, World, factory_flash};
use super::{new, old};
use crate::label::{HEAD, MalformedLabel};
use crate::session::AuthenticatedTime;
use crate::test_image::TestImage;
use cotter_formats::chip::Chip;
use cotter_wire::ids::{SecureVersion, UnixTime};
use cotter_wire::manifest::{Manifest, ManifestError, Project, Unsuitable};
use cotter_wire::status::Outcome;
use cotter_wire::version::Version;
use std::vec::Vec;

/// Offers a release to a fresh device with 1.0.0 that wants `required` signatures. Gives the one refusal.
fn offer(required: u32, server: &mut Server) -> Refusal {
    let (old, new) = (old(), new());
    let world = World::new(&factory_flash(&old, required), &[&old, &new], 0);
    let mut refusals = Vec::new();
    world.boot(server, 1, &mut refusals);
    assert_eq!(world.version(), "1.0.0");
    let [refusal] = refusals[..] else { panic!("{refusals:?}") };
    let [report] = &server.reports[..] else { panic!("{:?}", server.reports) };
    assert_eq!(report.outcome, Outcome::Failed);
    assert_eq!(report.reason(), refusal.reason().as_str());
    refusal
}

/// As [`offer`], and nothing was downloaded.
fn refused_at_once(release: Release) -> Refusal {
    let mut server = Server::with(release);
    let refusal = offer(1, &mut server);
    assert_eq!(server.chunks, [], "{refusal}");
    refusal
}

fn good() -> Release {
    Publication::of(&new(), (1, 1, 0), 1, &[&RSA]).publish()
}

fn edited(edit: impl FnOnce(&mut Manifest)) -> Release {
    Publication::of(&new(), (1, 1, 0), 1, &[&RSA]).publish_with(edit)
}

#[test]
fn refuses_manifests_that_are_not_signed_as_required() {
    let by = |signers: &[&super::world::Signer]| Publication::of(&new(), (1, 1, 0), 1, signers).publish();
    let refused = |release| refused_at_once(release);
    assert_eq!(refused(by(&[])), Refusal::Manifest(ManifestError::Unsigned));
    let none = ManifestError::NotEnoughSignatures { valid: 0, required: 1 };
    assert_eq!(refused(by(&[&STRANGER])), Refusal::Manifest(none));
    let one = ManifestError::NotEnoughSignatures { valid: 1, required: 2 };
    assert_eq!(offer(2, &mut Server::with(by(&[&RSA]))), Refusal::Manifest(one));
    assert_eq!(offer(2, &mut Server::with(by(&[&RSA, &STRANGER]))), Refusal::Manifest(one));
    assert_eq!(offer(2, &mut Server::with(by(&[&P256, &P256]))), Refusal::Manifest(ManifestError::DuplicateSignature));
}

#[test]
fn refuses_a_field_edited_after_signing() {
    // The signatures of one release over the body of another.
    let (good, other) = (good(), edited(|manifest| manifest.secure_version = SecureVersion(9)));
    let split = |release: &Release| {
        let text = std::string::String::from_utf8(release.envelope.clone()).unwrap();
        let at = text.find("\",\"signatures\"").unwrap();
        (text.as_bytes()[..at].to_vec(), text.as_bytes()[at..].to_vec())
    };
    let envelope = [split(&other).0, split(&good).1].concat();
    let refusal = refused_at_once(Release { envelope, ..other });
    assert_eq!(refusal, Refusal::Manifest(ManifestError::BadSignature));
    assert_eq!(refusal.as_str(), "manifest-bad-signature");
}

#[test]
fn refuses_what_is_no_manifest() {
    for envelope in [&b""[..], b"{}", b"<html>", &[b' '; 5000]] {
        let refusal = refused_at_once(Release { envelope: envelope.to_vec(), ..good() });
        assert!(matches!(refusal, Refusal::Manifest(ManifestError::Form(_))), "{refusal}");
    }
}

#[test]
fn refuses_what_is_not_for_this_device_now() {
    let refused = |edit: fn(&mut Manifest)| refused_at_once(edited(edit));
    assert_eq!(refused(|m| m.expires = UnixTime(NOW)), Refusal::Unsuitable(Unsuitable::Expired));
    assert_eq!(refused(|m| m.issued = UnixTime(NOW + 900)), Refusal::Unsuitable(Unsuitable::FromTheFuture));
    let project = refused(|m| m.project = Project::new("other-app").unwrap());
    assert_eq!(project, Refusal::Unsuitable(Unsuitable::WrongProject));
    assert_eq!(refused(|m| m.chip = Chip::Esp32S3), Refusal::Unsuitable(Unsuitable::WrongChip));
    // As text, 0.99.0 is less, and 0.9.9 is more, than 0.99.0; as numbers both are older than 1.0.0.
    for version in [Version::new(0, 99, 0), Version::new(0, 9, 9)] {
        let mut release = edited(|m| m.version = version);
        release.manifest.version = version;
        assert_eq!(refused_at_once(release), Refusal::Unsuitable(Unsuitable::NotNewer));
    }
}

#[test]
fn refuses_a_lower_secure_version_than_runs_and_than_is_burnt() {
    // 1.1.0 with secure version 1 runs; a newer 1.2.0 with 0 is offered.
    let (running, offered) = (new(), TestImage::of("1.2.0", 0).of_len(super::SMALL).build());
    let world = World::new(&factory_flash(&running, 1), &[&running], 0);
    let mut server = Server::with(Publication::of(&offered, (1, 2, 0), 0, &[&RSA]).publish());
    assert_eq!(world.settle(&mut server), [Refusal::Unsuitable(Unsuitable::SecureVersionTooLow)]);
    assert_eq!(server.chunks, []);

    // 1.0.0 runs; the eFuses already ask for more than the release has.
    let world = World::new(&factory_flash(&old(), 1), &[&old()], 0);
    world.by_hand(SecureVersion(2), |updater, storage| {
        updater.step(storage, Event::Booted).unwrap();
        updater.step(storage, Event::Wake).unwrap();
        let (envelope, now) = (&good().envelope[..], AuthenticatedTime::of(NOW));
        updater.step(storage, Event::Offer { envelope, now }).unwrap();
        assert_eq!(updater.refusal(), Some(&Refusal::Unsuitable(Unsuitable::SecureVersionTooLow)));
    });
}

#[test]
fn refuses_sizes_that_no_slot_holds_or_no_image_has() {
    let size = SLOT_LEN + 1;
    assert_eq!(refused_at_once(edited(|m| m.size = SLOT_LEN + 1)), Refusal::ImageSize { size, capacity: SLOT_LEN });
    let size = u32::try_from(HEAD).unwrap() - 1;
    assert_eq!(refused_at_once(edited(|m| m.size = size)), Refusal::ImageSize { size, capacity: SLOT_LEN });
}

#[test]
fn refuses_a_content_key_that_is_missing_or_another_devices() {
    for device in [None, Some("esp32-002")] {
        let image = new();
        let release = Publication { device, ..Publication::of(&image, (1, 1, 0), 1, &[&RSA]) }.publish();
        assert_eq!(refused_at_once(release), Refusal::ContentKey);
    }
}

#[test]
fn refuses_chunks_of_another_length() {
    let cases: [(Attack, Refusal); 4] = [
        (|_, bytes| bytes.truncate(2047), Refusal::ChunkLength { index: 0, expected: 2048, found: 2047 }),
        (|_, bytes| bytes.clear(), Refusal::ChunkLength { index: 0, expected: 2048, found: 0 }),
        (|_, bytes| bytes.push(0), Refusal::ChunkLength { index: 0, expected: 2048, found: 2049 }),
        (
            |index, bytes| {
                if index == 4 {
                    bytes.resize(2048, 0);
                }
            },
            Refusal::ChunkLength { index: 4, expected: 1904, found: 2048 },
        ),
    ];
    for (attack, expected) in cases {
        let mut server = Server { attack: Some(attack), ..Server::with(good()) };
        assert_eq!(offer(1, &mut server), expected);
    }
}

#[test]
fn refuses_chunks_out_of_order_and_unasked_for() {
    let world = World::new(&factory_flash(&old(), 1), &[&old()], 0);
    let (release, now) = (good(), AuthenticatedTime::of(NOW));
    world.by_hand(SecureVersion(0), |updater, storage| {
        updater.step(storage, Event::Booted).unwrap();
        let bytes = &mut release.content[..2048].to_vec();
        updater.step(storage, Event::Chunk { index: 0, bytes, now }).unwrap();
        assert_eq!(updater.refusal(), Some(&Refusal::UnexpectedChunk { index: 0 }));
        updater.step(storage, Event::Reported).unwrap();

        updater.step(storage, Event::Wake).unwrap();
        updater.step(storage, Event::Offer { envelope: &release.envelope, now }).unwrap();
        let bytes = &mut release.content[2048..4096].to_vec();
        updater.step(storage, Event::Chunk { index: 1, bytes, now }).unwrap();
        assert_eq!(updater.refusal(), Some(&Refusal::ChunkOrder { expected: 0, found: 1 }));
        assert!(matches!(updater.step(storage, Event::NoOffer), Err(UpdateError::OutOfOrder)));
        assert!(matches!(updater.step(storage, Event::Booted), Err(UpdateError::OutOfOrder)));
    });
}

#[test]
fn one_flipped_bit_anywhere_is_refused_and_the_next_download_starts_over() {
    for (attack, expected) in [
        ((|index, bytes: &mut Vec<u8>| bytes[700] ^= u8::from(index == 2)) as Attack, Refusal::Hash),
        (|index, bytes| *bytes.last_mut().unwrap() ^= u8::from(index == 4), Refusal::Padding),
    ] {
        let (old, new) = (old(), new());
        let world = World::new(&factory_flash(&old, 1), &[&old, &new], 0);
        let mut server = Server { attack: Some(attack), ..Server::with(good()) };
        let mut refusals = Vec::new();
        world.boot(&mut server, 1, &mut refusals);
        assert_eq!(refusals, [expected]);
        // Whoever sends chunks and reads reports does not learn whether the padding was right.
        assert_eq!(server.reports[0].reason(), "image-hash");
        assert_eq!(world.version(), "1.0.0");

        server.attack = None;
        server.chunks.clear();
        assert_eq!(world.settle(&mut server), []);
        assert_eq!(server.chunks, [0, 1, 2, 3, 4]);
        assert_eq!(world.version(), "1.1.0");
    }
}

#[test]
fn gives_a_release_up_whose_content_never_matches() {
    let mut server = Server::with(edited(|m| m.sha256[0] ^= 1));
    let world = World::new(&factory_flash(&old(), 1), &[&old()], 0);
    let mut refusals = Vec::new();
    (0..7).for_each(|_| {
        world.boot(&mut server, 1, &mut refusals);
    });
    assert_eq!(refusals[..5], [Refusal::Hash; 5]);
    assert!(matches!(refusals[5..], [Refusal::KnownBad { .. }, Refusal::KnownBad { .. }]));
    assert_eq!(server.chunks.len(), 5 * 5);
}

#[test]
fn refuses_an_image_that_says_something_else_than_its_manifest() {
    let promised = Version::new(1, 1, 0);
    let image = |version, secure_version| TestImage::of(version, secure_version).of_len(super::SMALL);
    let other_chip = Refusal::ImageChip { promised: Chip::Esp32C3, found: Chip::Esp32C6 };
    let mut noise = new();
    noise[0] = 0;
    let cases = [
        (image("1.1.1", 1).build(), Refusal::ImageVersion { promised, found: Version::new(1, 1, 1) }),
        (
            image("1.1.0", 0).build(),
            Refusal::ImageSecureVersion { promised: SecureVersion(1), found: SecureVersion(0) },
        ),
        (TestImage { project: "other-app", ..image("1.1.0", 1) }.build(), Refusal::ImageProject),
        (
            {
                let mut chip = new();
                chip[12] = 13;
                chip
            },
            other_chip,
        ),
        (noise, Refusal::ImageLabel(MalformedLabel::Header)),
    ];
    for (image, expected) in cases {
        let mut server = Server::with(Publication::of(&image, (1, 1, 0), 1, &[&RSA]).publish());
        let refusal = offer(1, &mut server);
        assert_eq!(refusal, expected);
    }
}

#[test]
fn checks_the_manifest_again_before_it_marks_the_slot() {
    let (release, other) = (good(), edited(|m| m.expires.0 += 1));
    let finish = |now: u64, swap: bool| {
        let world = World::new(&factory_flash(&old(), 1), &[&old(), &new()], 0);
        let refusal = world.by_hand(SecureVersion(0), |updater, storage| {
            let begun = AuthenticatedTime::of(NOW);
            updater.step(storage, Event::Booted).unwrap();
            updater.step(storage, Event::Wake).unwrap();
            let mut action = updater.step(storage, Event::Offer { envelope: &release.envelope, now: begun }).unwrap();
            if swap {
                updater.envelope = Some(cotter_wire::manifest::Envelope::parse(&other.envelope).unwrap());
            }
            while let Action::Request(Request::Chunk { index, .. }) = action {
                let bytes = &mut release.content.chunks(2048).nth(index as usize).unwrap().to_vec();
                let now = AuthenticatedTime::of(now);
                action = updater.step(storage, Event::Chunk { index, bytes, now }).unwrap();
            }
            updater.refusal().copied()
        });
        (refusal, world.version())
    };
    assert_eq!(finish(NOW, false), (None, "1.1.0".into()));
    assert_eq!(finish(NOW, true), (Some(Refusal::ManifestChanged), "1.0.0".into()));
    // It was in time when the download began, but not when it ended.
    let expired = Some(Refusal::Unsuitable(Unsuitable::Expired));
    assert_eq!(finish(NOW + 1000, false), (expired, "1.0.0".into()));
}

#[test]
fn every_name_fits_a_report_and_tells_one_refusal_from_the_others() {
    use crate::self_test::SelfTestFailure as Failure;
    let version = Version::new(0, 0, 0);
    let secure = SecureVersion(0);
    let chip = Chip::Esp32C3;
    let label = MalformedLabel::Header;
    let refusals = [
        Refusal::Manifest(ManifestError::Unsigned),
        Refusal::Manifest(ManifestError::DuplicateSignature),
        Refusal::Manifest(ManifestError::AlgorithmMismatch),
        Refusal::Manifest(ManifestError::BadSignature),
        Refusal::Manifest(ManifestError::NotEnoughSignatures { valid: 0, required: 1 }),
        Refusal::Manifest(ManifestError::Inconsistent),
        Refusal::Manifest(ManifestError::UnknownChip { at: 0 }),
        Refusal::Unsuitable(Unsuitable::FromTheFuture),
        Refusal::Unsuitable(Unsuitable::Expired),
        Refusal::Unsuitable(Unsuitable::WrongProject),
        Refusal::Unsuitable(Unsuitable::WrongChip),
        Refusal::Unsuitable(Unsuitable::SecureVersionTooLow),
        Refusal::Unsuitable(Unsuitable::NotNewer),
        Refusal::ImageSize { size: 0, capacity: 0 },
        Refusal::KnownBad { release: cotter_wire::ids::ReleaseId([0; 32]) },
        Refusal::ContentKey,
        Refusal::UnexpectedChunk { index: 0 },
        Refusal::ChunkOrder { expected: 0, found: 1 },
        Refusal::ChunkLength { index: 0, expected: 1, found: 2 },
        Refusal::Padding,
        Refusal::Hash,
        Refusal::ManifestChanged,
        Refusal::ImageLabel(label),
        Refusal::ImageChip { promised: chip, found: chip },
        Refusal::ImageProject,
        Refusal::ImageVersion { promised: version, found: version },
        Refusal::ImageSecureVersion { promised: secure, found: secure },
        Refusal::SelfTest(Failure::Label(label)),
        Refusal::SelfTest(Failure::Chip { expected: chip, found: chip }),
        Refusal::SelfTest(Failure::Version { promised: version, found: version }),
        Refusal::SelfTest(Failure::SecureVersion { promised: secure, found: secure }),
        Refusal::SelfTest(Failure::RegisterMap(cotter_wire::registers::RegisterMapError::Count(17))),
        Refusal::SelfTest(Failure::NoRegisters),
        Refusal::SelfTest(Failure::ZeroGain { register: 3 }),
        Refusal::SelfTest(Failure::DuplicateRegister { register: 3 }),
        Refusal::DidNotBoot { attempts: 5 },
    ];
    let names: std::collections::BTreeSet<_> = refusals.iter().map(Refusal::as_str).collect();
    assert_eq!(names.len(), refusals.len());
    assert!(names.iter().all(|name| Reason::new(name).is_some()));
}
