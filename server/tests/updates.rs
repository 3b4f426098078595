//! Releases and updates over real TLS: what is accepted, what is offered to whom, and what a device gets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod product;

use cotter_wire::content::{ContentKey, decrypt_chunk, without_padding};
use cotter_wire::ids::{ReleaseId, SecureVersion, UnixTime};
use cotter_wire::manifest::{Envelope, Manifest, VerifiedManifest, VerifyPolicy};
use cotter_wire::session::{MAX_HEADER, Request};
use cotter_wire::status::{Outcome, StatusReport};
use cotter_wire::version::Version;
use cotter_wire::{api, firmware_key::FirmwareKey};
use product::client::Answer;
use product::device::{Device, ask};
use product::release::{self, manifest_signer, other_manifest_signer, other_secure_boot_signer, secure_boot_signer};
use product::{Product, Running};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;

const REFUSED: &str = "{\"result\":\"refused\"}";

async fn upload(product: &Product, server: &Running, body: Vec<u8>) -> Answer {
    product.admin(server.address, "POST", api::ADMIN_RELEASES, body).await
}

async fn publish(product: &Product, server: &Running, version: &str) -> ReleaseId {
    let answer = upload(product, server, release::good(version)).await;
    assert_eq!(answer.status, 201, "{:?}", answer.is());
    let id = answer.json()["release"].as_str().unwrap().to_owned();
    let path = format!("/admin/v1/releases/{id}/publish");
    assert_eq!(product.admin(server.address, "POST", &path, Vec::new()).await.status, 200);
    id.parse().unwrap()
}

fn reason(answer: &Answer) -> (u16, String) {
    (answer.status, answer.json()["reason"].as_str().unwrap().to_owned())
}

fn verified(product: &Product, envelope: &Envelope) -> VerifiedManifest {
    let pem = product.directory.path().join("manifest.pem");
    let key = FirmwareKey::from_spki(&SubjectPublicKeyInfoDer::from_pem_file(pem).unwrap()).unwrap();
    envelope.verify(&VerifyPolicy::new([key], 1).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_gets_the_image_that_was_signed() {
    let product = Product::new();
    let server = product.serve().await;
    let release_id = publish(&product, &server, "1.1.0").await;
    let device = Device::enrolled(&product, server.address, "a").await;
    let mut client = product.connect(server.address).await;
    let mut session = device.begin(&mut client).await;

    let path = api::update(&device.id, Version::new(1, 0, 0), SecureVersion(0));
    let offer = ask(&mut client, &mut session, "GET", &path, Vec::new()).await;
    assert_eq!(offer.status, 200);
    let envelope = Envelope::parse(&offer.body).unwrap();
    let manifest = verified(&product, &envelope).manifest().clone();
    assert_eq!((manifest.version, envelope.release()), (Version::new(1, 1, 0), release_id));

    let key: ContentKey = device.unwrap(&envelope);
    let (mut image, mut previous, mut index) = (Vec::new(), manifest.iv, 0);
    loop {
        let path = api::chunk(&device.id, &release_id, index);
        let answer = ask(&mut client, &mut session, "GET", &path, Vec::new()).await;
        if answer.status == 404 {
            break;
        }
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers["content-length"], answer.body.len().to_string());
        let mut chunk = answer.body;
        decrypt_chunk(&key, &mut previous, &mut chunk).unwrap();
        if image.len() + chunk.len() == manifest.encrypted_size() as usize {
            chunk.truncate(without_padding(&chunk).unwrap());
        }
        image.extend_from_slice(&chunk);
        index += 1;
    }
    assert_eq!(index, manifest.encrypted_size().div_ceil(2048));
    assert_eq!(release::manifest(&image).sha256, manifest.sha256);

    let report = StatusReport::new(Version::new(1, 1, 0), Outcome::RolledBack, "register 3 has gain 0");
    let body = report.write(&mut [0; StatusReport::MAX_LEN]).unwrap().to_vec();
    assert_eq!(ask(&mut client, &mut session, "POST", &api::status(&device.id), body).await.status, 204);
    let history = product.admin(server.address, "GET", "/admin/v1/devices/a/history", Vec::new()).await.json();
    assert_eq!(history["history"][0]["reason"], "register 3 has gain 0");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_is_offered_only_when_newer_and_published() {
    let product = Product::new();
    let server = product.serve().await;
    let device = Device::enrolled(&product, server.address, "a").await;
    let mut client = product.connect(server.address).await;
    let mut session = device.begin(&mut client).await;
    let mut poll = async |version: (u16, u16, u16), secure_version| {
        let version = Version::new(version.0, version.1, version.2);
        let path = api::update(&device.id, version, SecureVersion(secure_version));
        ask(&mut client, &mut session, "GET", &path, Vec::new()).await.status
    };
    assert_eq!(poll((1, 0, 0), 0).await, 204, "there is none");
    let answer = upload(&product, &server, release::good("1.1.0")).await;
    assert_eq!(answer.status, 201);
    assert_eq!(poll((1, 0, 0), 0).await, 204, "not published");
    let path = format!("/admin/v1/releases/{}/publish", answer.json()["release"].as_str().unwrap());
    assert_eq!(product.admin(server.address, "POST", &path, Vec::new()).await.status, 200);
    assert_eq!(poll((1, 0, 0), 0).await, 200);
    assert_eq!(poll((1, 0, 99), 1).await, 200);
    for (version, secure_version) in [((1, 1, 0), 0), ((1, 10, 0), 0), ((99, 0, 0), 0), ((1, 0, 0), 2)] {
        assert_eq!(poll(version, secure_version).await, 204, "{version:?} {secure_version}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refuses_what_is_not_signed_as_the_fleet_trusts() {
    let product = Product::new();
    let server = product.serve().await;
    let image = release::signed_image("1.1.0", secure_boot_signer());
    let manifest = release::manifest(&image);
    let trusted = [manifest_signer()];
    let envelope = |manifest: &Manifest| release::envelope(manifest, &trusted);

    let unsigned_image = release::image("1.1.0");
    let foreign_image = release::signed_image("1.1.0", other_secure_boot_signer());
    let mut flipped = image.clone();
    flipped[0x2000] ^= 1;
    let mut edited = release::envelope(&manifest, &trusted);
    // A digit in the base64 of the body: version 1.1.0 becomes another.
    let at = edited.windows(8).position(|window| window == b"\"manifes").unwrap() + 100;
    edited[at] = if edited[at] == b'A' { b'B' } else { b'A' };
    let cases = [
        ("manifest-unsigned", release::envelope(&manifest, &[]), &image),
        ("manifest-untrusted", release::envelope(&manifest, &[other_manifest_signer()]), &image),
        ("manifest-bad-signature", edited, &image),
        ("image-unsigned", envelope(&release::manifest(&unsigned_image)), &unsigned_image),
        ("image-signature", envelope(&release::manifest(&foreign_image)), &foreign_image),
        ("release-sha256", envelope(&manifest), &flipped),
        ("release-size", envelope(&Manifest { size: manifest.size - 1, ..manifest.clone() }), &image),
        (
            "release-expired",
            envelope(&Manifest { issued: UnixTime(1), expires: UnixTime(2), ..manifest.clone() }),
            &image,
        ),
        (
            "release-from-the-future",
            envelope(&Manifest { issued: UnixTime(manifest.expires.0 - 1), ..manifest.clone() }),
            &image,
        ),
        (
            "release-disagrees-with-image",
            envelope(&Manifest { version: Version::new(9, 0, 0), ..manifest.clone() }),
            &image,
        ),
        (
            "release-disagrees-with-image",
            envelope(&Manifest { secure_version: SecureVersion(9), ..manifest.clone() }),
            &image,
        ),
        (
            "release-wrong-project",
            envelope(&Manifest { project: cotter_wire::manifest::Project::new("other").unwrap(), ..manifest.clone() }),
            &image,
        ),
        (
            "image-malformed",
            envelope(&Manifest { chip: cotter_formats::chip::Chip::Esp32S3, ..manifest.clone() }),
            &image,
        ),
    ];
    for (expected, envelope, image) in cases {
        let answer = upload(&product, &server, release::upload(&envelope, image)).await;
        assert_eq!(reason(&answer), (422, expected.into()), "{}", answer.is().1);
    }
    let answer = upload(&product, &server, b"no upload".to_vec()).await;
    assert_eq!(reason(&answer), (422, "upload-malformed".into()));
    let artifacts = std::fs::read_dir(product.directory.path().join("artifacts")).unwrap().count();
    assert_eq!(artifacts, 0, "nothing of it was kept");
    assert_eq!(upload(&product, &server, release::upload(&envelope(&manifest), &image)).await.status, 201);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_two_keys_must_sign_one_of_them_twice_is_not_enough() {
    let product = Product::new();
    other_manifest_signer().write_public(&product.directory.path().join("other.pem"));
    let config = std::fs::read_to_string(&product.config).unwrap();
    let config = config.replace("[\"manifest.pem\"]", "[\"manifest.pem\", \"other.pem\"]");
    let config = config.replace("manifest_required = 1", "manifest_required = 2");
    std::fs::write(&product.config, config).unwrap();
    let server = product.serve().await;
    let image = release::signed_image("1.1.0", secure_boot_signer());
    let manifest = release::manifest(&image);
    let (one, other) = (manifest_signer(), other_manifest_signer());
    for (signers, expected) in [
        (&[][..], "manifest-unsigned"),
        (&[one], "manifest-untrusted"),
        (&[other], "manifest-untrusted"),
        (&[one, one], "manifest-duplicate-signature"),
    ] {
        let answer = upload(&product, &server, release::upload(&release::envelope(&manifest, signers), &image)).await;
        assert_eq!(reason(&answer), (422, expected.into()), "{} signatures", signers.len());
    }
    let both = release::envelope(&manifest, &[one, other]);
    assert_eq!(upload(&product, &server, release::upload(&both, &image)).await.status, 201);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refuses_a_release_that_the_chips_efuses_cannot_count_to() {
    let product = Product::new();
    let server = product.serve().await;
    let body = |secure_version| {
        let image = release::image_with_secure_version("1.1.0", secure_version);
        let image = release::signed(&image, secure_boot_signer());
        release::upload(&release::envelope(&release::manifest(&image), &[manifest_signer()]), &image)
    };
    for beyond in [17, 32, u32::MAX] {
        let answer = upload(&product, &server, body(beyond)).await;
        assert_eq!(reason(&answer), (422, "release-secure-version-beyond-fuses".into()), "{beyond}");
    }
    let answer = upload(&product, &server, body(16)).await;
    assert_eq!(answer.status, 201, "{:?}", answer.is());
    let path = format!("/admin/v1/releases/{}", answer.json()["release"].as_str().unwrap());
    let shown = product.admin(server.address, "GET", &path, Vec::new()).await.json();
    let budget = ["secure_version_steps", "secure_version_uses", "secure_version_left"].map(|name| &shown[name]);
    assert_eq!(budget, [16, 16, 0]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refuses_a_downgrade_and_a_second_content_for_one_version() {
    let product = Product::new();
    let server = product.serve().await;
    let old = release::good("1.0.0");
    let answer = upload(&product, &server, old.clone()).await;
    assert_eq!(answer.status, 201);
    let old_id = answer.json()["release"].as_str().unwrap().to_owned();
    assert_eq!(upload(&product, &server, old.clone()).await.status, 200, "the same again changes nothing");
    publish(&product, &server, "1.1.0").await;

    let path = format!("/admin/v1/releases/{old_id}/publish");
    let answer = product.admin(server.address, "POST", &path, Vec::new()).await;
    assert_eq!(reason(&answer), (422, "release-not-newer".into()));
    let image = release::signed_image("1.0.0", secure_boot_signer());
    let again = Manifest { expires: UnixTime(release::manifest(&image).expires.0 + 1), ..release::manifest(&image) };
    let again = release::upload(&release::envelope(&again, &[manifest_signer()]), &image);
    assert_eq!(reason(&upload(&product, &server, again).await), (422, "release-not-newer".into()));

    let image = release::signed_image("1.2.0", secure_boot_signer());
    let first = release::manifest(&image);
    let second = Manifest { iv: [1; 16], ..first.clone() };
    let body = |manifest| release::upload(&release::envelope(manifest, &[manifest_signer()]), &image);
    assert_eq!(upload(&product, &server, body(&first)).await.status, 201);
    assert_eq!(reason(&upload(&product, &server, body(&second)).await), (422, "release-version-taken".into()));
    let unknown = format!("/admin/v1/releases/{}/publish", ReleaseId([0; 32]));
    assert_eq!(product.admin(server.address, "POST", &unknown, Vec::new()).await.status, 404);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_but_hello_and_packet_needs_the_devices_own_session() {
    let product = Product::new();
    let server = product.serve().await;
    let release_id = publish(&product, &server, "1.1.0").await;
    let (one, two) = (
        Device::enrolled(&product, server.address, "one").await,
        Device::enrolled(&product, server.address, "two").await,
    );
    let mut client = product.connect(server.address).await;
    let mut session = one.begin(&mut client).await;
    let update = |device: &Device| api::update(&device.id, Version::new(1, 0, 0), SecureVersion(0));

    for path in [update(&one), api::chunk(&one.id, &release_id, 0)] {
        assert_eq!(client.ask("GET", &path, &[], Vec::new()).await.is(), (401, REFUSED), "no header");
        let headers = [(api::SESSION_HEADER, "x")];
        assert_eq!(client.ask("GET", &path, &headers, Vec::new()).await.is(), (401, REFUSED), "no credential");
    }
    assert_eq!(client.ask("POST", &api::status(&one.id), &[], b"{}".to_vec()).await.is(), (401, REFUSED));
    for path in [update(&two), api::chunk(&two.id, &release_id, 0), api::status(&two.id)] {
        let answer = ask(&mut client, &mut session, "GET", &path, Vec::new()).await;
        assert!(answer.status == 401 || answer.status == 405, "another device: {answer:?}");
    }

    // One credential: good for one request, for this path, this method and this body.
    let path = update(&one);
    let mut out = [0; MAX_HEADER];
    let credential = session.sign(&Request { method: "GET", path: &path, body: b"" }, &mut out).unwrap().to_owned();
    let headers = [(api::SESSION_HEADER, credential.as_str())];
    let chunk = api::chunk(&one.id, &release_id, 0);
    assert_eq!(client.ask("GET", &chunk, &headers, Vec::new()).await.is(), (401, REFUSED), "another path");
    assert_eq!(client.ask("GET", &path, &headers, b"x".to_vec()).await.is(), (401, REFUSED), "another body");
    let twice = [headers[0], headers[0]];
    assert_eq!(client.ask("GET", &path, &twice, Vec::new()).await.is(), (400, REFUSED), "two headers");
    assert_eq!(client.ask("GET", &path, &headers, Vec::new()).await.status, 200);
    assert_eq!(client.ask("GET", &path, &headers, Vec::new()).await.is(), (401, REFUSED), "again");

    // What cannot be asked for.
    for path in ["/v1/devices/one/update?version=1.0.0", "/v1/devices/one/update"] {
        assert_eq!(ask(&mut client, &mut session, "GET", path, Vec::new()).await.is(), (400, REFUSED));
    }
    for path in [
        api::chunk(&one.id, &release_id, u32::MAX).to_string(),
        api::chunk(&one.id, &ReleaseId([9; 32]), 0).to_string(),
        format!("/v1/devices/one/releases/{release_id}/chunks/00"),
        format!("/v1/devices/one/releases/{release_id}/chunks/-1"),
        "/v1/devices/one/releases/..%2f..%2fmaster.key/chunks/0".to_owned(),
    ] {
        assert_eq!(ask(&mut client, &mut session, "GET", &path, Vec::new()).await.is(), (404, REFUSED), "{path}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hello_must_come_from_the_device_that_it_names() {
    let product = Product::new();
    let server = product.serve().await;
    let device = Device::enrolled(&product, server.address, "one").await;
    let other = Device::enrolled(&product, server.address, "two").await;
    let mut client = product.connect(server.address).await;
    let path = api::session(&device.id);
    let (stranger, impostor) = (Device::born("stranger", 1), Device::born("one", 1));
    for (path, hello) in [
        (&path, other.hello().1),
        (&path, impostor.hello().1),
        (&path, Device::born("one", 2).hello().1),
        (&api::session(&stranger.id), stranger.hello().1),
    ] {
        assert_eq!(client.ask("POST", path, &[], hello).await.is(), (401, REFUSED));
    }
    assert_eq!(client.ask("POST", &path, &[], b"{}".to_vec()).await.is(), (400, REFUSED));
    // A welcome that another server made is not believed by the device.
    let answer = client.ask("POST", &path, &[], device.hello().1).await;
    let (greeting, _) = device.hello();
    assert!(greeting.accept(&device.keys, &answer.body).is_err(), "the answer to another hello");
    server.stop().await;
}
