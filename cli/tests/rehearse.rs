//! `cotter rehearse` with the ready policies, on golden images.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics where it fails")]

use assert_cmd::Command;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::path::Path;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const PARTITIONS: &str = "nvs,data,nvs,0x9000,0x6000\notadata,data,ota,0xf000,0x2000\n\
    ota_0,app,ota_0,0x20000,1M\nota_1,app,ota_1,,1M\n";

fn cotter(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::cargo_bin("cotter").unwrap().current_dir(folder).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// A folder with a ready policy, its files being these vectors.
fn product(policy: &str, files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(format!("{ROOT}/docs/policies/{policy}.toml"), folder.path().join("product.toml")).unwrap();
    std::fs::write(folder.path().join("partitions.csv"), PARTITIONS).unwrap();
    for (name, vector) in files {
        std::fs::copy(format!("{ROOT}/vectors/{vector}"), folder.path().join(name)).unwrap();
    }
    folder
}

fn production() -> tempfile::TempDir {
    product(
        "production",
        &[
            ("bootloader-signed.bin", "sbv2/signed-rsa3072_a.bin"),
            ("app-signed.bin", "sbv2/app-esp32c3-signed-rsa_a.bin"),
            ("secure-boot.pub.pem", "sbv2/pub-rsa3072_a.pem"),
        ],
    )
}

/// An image with other bytes at 0x24, where `secure_version` is, and at 0x30, the version; checksum and digest are right.
fn with_versions(image: &[u8], secure_version: u32, version: &[u8]) -> Vec<u8> {
    let mut image = image.to_vec();
    let end = image.len() - 32;
    let sum = |bytes: &[u8]| bytes[0x20..0x120].iter().fold(0, |sum, byte| sum ^ byte);
    let before = sum(&image);
    image[0x24..0x28].copy_from_slice(&secure_version.to_le_bytes());
    image[0x30..0x50].fill(0);
    image[0x30..0x30 + version.len()].copy_from_slice(version);
    image[end - 1] ^= before ^ sum(&image);
    let digest = Sha256::digest(&image[..end]);
    image[end..].copy_from_slice(&digest);
    image
}

/// Writes it signed.
fn signed(folder: &Path, name: &str, image: &[u8], key: &str) {
    std::fs::write(folder.join("unsigned.bin"), image).unwrap();
    let key = format!("{ROOT}/vectors/keys/{key}.pem");
    let (code, _, error) =
        cotter(folder, &["image", "sign", "--allow-insecure-ecdsa", "--key", &key, "-o", name, "unsigned.bin"]);
    assert_eq!(code, 0, "{error}");
}

/// What was tried of this name: expected, seen.
fn tried<'a>(verdict: &'a Value, name: &str) -> (&'a str, &'a str) {
    let trials = verdict["trials"].as_array().unwrap();
    let trial = trials.iter().find(|trial| trial["name"].as_str().unwrap().ends_with(name));
    let trial = trial.unwrap_or_else(|| panic!("{name}: {trials:#?}"));
    (trial["expected"].as_str().unwrap(), trial["seen"].as_str().unwrap())
}

#[test]
fn an_older_application_is_refused_by_its_secure_version_or_the_verdict_says_that_it_boots() {
    let folder = production();
    let policy = std::fs::read_to_string(folder.path().join("product.toml")).unwrap();
    let image = std::fs::read(format!("{ROOT}/vectors/image/esp32c3.bin")).unwrap();
    let rehearse = |present: u32, older: u32, burned: &str| {
        let text = policy.replace("# older-image", "older-image");
        std::fs::write(folder.path().join("product.toml"), text.replace("anti-rollback = 0", burned)).unwrap();
        signed(folder.path(), "app-signed.bin", &with_versions(&image, present, b"2.0.0"), "rsa3072_a");
        signed(folder.path(), "app-older.bin", &with_versions(&image, older, b"1.9.0"), "rsa3072_a");
        let (code, out, error) = cotter(folder.path(), &["--json", "rehearse", "--quick", "product.toml"]);
        (code, serde_json::from_str::<Value>(&out).unwrap_or_else(|_| panic!("{error}")))
    };
    let ways = ["flashed over", "selected by otadata", "selected by otadata, the newer erased"];
    for burned in ["anti-rollback = 3", "anti-rollback = 0"] {
        // With 0 in the policy it is the first boot that burns the version of the application.
        let (code, verdict) = rehearse(3, 2, burned);
        assert_eq!(code, 0, "{verdict:#}");
        let kept = "verified and booted 2.0.0";
        for (way, must) in ways.iter().zip(["secure-version-too-low", kept, "secure-version-too-low"]) {
            assert_eq!(tried(&verdict, way), (must, must), "{burned}, {way}");
        }
    }
    let (code, verdict) = rehearse(0, 0, "anti-rollback = 0");
    assert_eq!(code, 0, "{verdict:#}");
    for way in ways {
        assert_eq!(tried(&verdict, way), ("boots: anti-rollback is off", "boots: anti-rollback is off"), "{way}");
    }
    // An update that somebody forgot to raise the version of can be undone by anyone.
    let (code, verdict) = rehearse(3, 3, "anti-rollback = 3");
    assert_eq!(code, 1);
    assert_eq!(tried(&verdict, "flashed over"), ("secure-version-too-low", "booted 1.9.0 from ota_0"));

    signed(folder.path(), "app-older.bin", &with_versions(&image, 2, b"1.9.0"), "rsa3072_b");
    let (code, _, error) = cotter(folder.path(), &["rehearse", "--quick", "product.toml"]);
    assert!(code == 1 && error.contains("no signature by a key of this policy"), "{error}");
}

#[test]
fn the_production_policy_comes_through_with_page_and_json() {
    let folder = production();
    let (code, out, error) = cotter(folder.path(), &["--json", "rehearse", "product.toml", "--html", "page.html"]);
    assert_eq!(code, 0, "{error}");
    let verdict: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(verdict["passed"], true);
    let trials = verdict["trials"].as_array().unwrap();
    assert!(trials.len() >= 15 && trials.iter().all(|trial| trial["seen"] == trial["expected"]), "{trials:#?}");
    let fate = |steps: [&str; 5]| {
        let orders = verdict["orders"].as_array().unwrap();
        orders.iter().find(|order| order["steps"] == serde_json::json!(steps)).unwrap()["fate"].clone()
    };
    assert_eq!(fate(["locks", "keys", "content", "restrictions", "enables"]), "bricked");
    assert_eq!(fate(["keys", "enables", "content", "restrictions", "locks"]), "works");
    let cuts = &verdict["cuts"];
    let count = |name| cuts[name].as_u64().unwrap();
    assert!(count("burns") >= 100 && cuts["lost"].as_array().unwrap().is_empty(), "{cuts}");
    assert_eq!(count("writes"), 3 * (count("operations") - count("burns") / 10), "{cuts}");
    let page = std::fs::read_to_string(folder.path().join("page.html")).unwrap();
    for part in ["Rehearsed: this plan can be burned", "SPI_BOOT_CRYPT_CNT", "BRICKED", "verified and booted"] {
        assert!(page.contains(part), "{part}");
    }
    // The verdict in four boxes, and no line twice.
    for part in ["attempts ended as they must", "wrong orders would brick the chip", "operations</div>"] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("src="), "self-contained");
}

/// The commands of a guide by section: lines of its console blocks that begin with a dollar sign.
fn commands(guide: &str) -> Vec<(&str, Vec<&str>)> {
    let mut sections = vec![("", Vec::new())];
    let mut is_console = false;
    for line in guide.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            sections.push((title, Vec::new()));
        }
        is_console = if line.starts_with("```") { line == "```console" } else { is_console };
        if let Some(command) = line.strip_prefix("$ ").filter(|_| is_console) {
            sections.last_mut().unwrap().1.push(command);
        }
    }
    sections
}

#[test]
fn the_page_runs_nothing_that_comes_from_files() {
    let folder = production();
    let image = std::fs::read(format!("{ROOT}/vectors/image/esp32c3.bin")).unwrap();
    signed(folder.path(), "app-signed.bin", &with_versions(&image, 3, b"<img src=x onerror='1'>\"&"), "rsa3072_a");
    let (code, out, error) = cotter(folder.path(), &["rehearse", "--quick", "product.toml", "--html", "-"]);
    assert_eq!(code, 0, "{error}");
    assert!(out.contains("&lt;img src=x onerror=&#39;1&#39;&gt;&quot;&amp;") && !out.contains("<img"), "{out}");
    assert!(out.contains("<h2>Not tried</h2>"), "a quick rehearsal says what it left out");
}

#[test]
fn each_workflow_of_the_guide_can_be_copied_and_ends_rehearsed() {
    let guide = std::fs::read_to_string(format!("{ROOT}/docs/workflows.md")).unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_cotter")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let sections = commands(&guide);
    let (first, workflows) = sections.split_first().unwrap();
    let mut policies = BTreeSet::new();
    for (title, commands) in workflows {
        let desk = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(ROOT, desk.path().join("cotter")).unwrap();
        let folder = desk.path().join("product");
        std::fs::create_dir(&folder).unwrap();
        let mut last = String::new();
        for command in first.1.iter().chain(commands) {
            let mut shell = std::process::Command::new("sh");
            let output = shell.args(["-c", command]).current_dir(&folder).env("PATH", &path).output().unwrap();
            assert!(output.status.success(), "{title}: {command}: {output:?}");
            last = String::from_utf8(output.stdout).unwrap();
            policies.extend(command.split_once("docs/policies/").and_then(|(_, rest)| rest.split(' ').next()));
        }
        assert!(last.contains("REHEARSED: this plan can be burned") && !last.contains("FAIL"), "{title}: {last}");
        let key = "(HMAC_DOWN_DIGITAL_SIGNATURE)";
        let of_key = last.lines().find(|line| line.contains("readout") && line.contains(key)).unwrap_or_default();
        let expected = match *title {
            "A desk, with identity" => "readable: the policy leaves it so",
            "A desk, encrypted" | "A product's identity" | "A product" => "reads as zero",
            _ => "",
        };
        assert!(of_key.ends_with(expected), "{title}: {of_key}");
    }
    let ready = std::fs::read_dir(format!("{ROOT}/docs/policies")).unwrap();
    let ready: BTreeSet<String> = ready.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(policies, ready.iter().map(String::as_str).collect(), "every ready policy has its section");
}

#[test]
fn a_device_that_protects_itself_is_cut_at_every_operation_of_its_first_boot() {
    let folder = product(
        "first-boot-production",
        &[
            ("bootloader-signed.bin", "sbv2/signed-rsa3072_a.bin"),
            ("app-signed.bin", "sbv2/app-esp32c3-signed-rsa_a.bin"),
        ],
    );
    let (code, out, error) = cotter(folder.path(), &["--json", "rehearse", "product.toml", "--html", "page.html"]);
    let verdict: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{error}"));
    assert_eq!(code, 0, "{verdict:#}");
    let steps = verdict["steps"].as_array().unwrap();
    let burns: Vec<_> = steps.iter().filter(|step| step["irreversible"] == true).map(|step| &step["title"]).collect();
    assert_eq!(burns, ["first boot"], "{verdict:#}");
    assert!(!verdict["open"].to_string().contains("FLASH_CRYPT"), "{}", verdict["open"]);
    assert_eq!(tried(&verdict, "power on").1, "verified and booted v1.2.3-golden");
    assert_eq!(tried(&verdict, "(XTS_AES_128_KEY)").1, "reads as zero");
    assert_eq!(tried(&verdict, "flash readout").1, "0 blocks in clear");
    let first = &verdict["first_boot"];
    let count = |name: &str| first[name].as_u64().unwrap();
    let times = |name: &str, part: &str| {
        let told = first[name].as_array().unwrap().iter();
        let of_part = told.filter(|told| told["what"].as_str().unwrap().contains(part));
        of_part.map(|told| told["times"].as_u64().unwrap()).sum::<u64>()
    };
    println!("{first:#}");
    // 33 sectors of the application alone, each erased and programmed in 16 pages.
    assert!(count("operations") > 500 && count("cuts") >= 3 * count("operations"), "{first:#}");
    assert_eq!(count("cuts"), count("comes_back") + times("incomplete", "") + times("stays", ""), "{first:#}");
    assert!(count("comes_back") > 0 && times("stays", "flash the plaintext images again") > 1000, "{first:#}");
    let page = std::fs::read_to_string(folder.path().join("page.html")).unwrap();
    assert!(page.contains("Power cuts at the first boot"), "{page}");

    let policy = std::fs::read_to_string(folder.path().join("product.toml")).unwrap();
    std::fs::write(folder.path().join("product.toml"), policy + "\n[efuse]\nds = 1\n").unwrap();
    let (code, _, error) = cotter(folder.path(), &["rehearse", "product.toml"]);
    assert!(code == 1 && error.contains("leave [efuse] and [keys] out"), "{error}");
}

/// The golden second stage of the ESP32-C3, made out to another chip.
fn boot_image_of(chip_id: u16) -> Vec<u8> {
    let mut image = std::fs::read(format!("{ROOT}/vectors/image/esp32c3-bootloader.bin")).unwrap();
    image[12..14].copy_from_slice(&chip_id.to_le_bytes());
    let end = image.len() - 32;
    let digest = Sha256::digest(&image[..end]);
    image[end..].copy_from_slice(&digest);
    image
}

#[test]
fn a_production_policy_comes_through_on_every_chip() {
    let ready = std::fs::read_to_string(format!("{ROOT}/docs/policies/production.toml")).unwrap();
    let mut tried_on = Vec::new();
    for (chip, chip_id, key, peripherals) in [
        ("esp32", 0, "rsa3072_a", false),
        ("esp32s2", 2, "rsa3072_a", true),
        ("esp32s3", 9, "rsa3072_a", true),
        ("esp32c2", 12, "ecdsa_p256", false),
        ("esp32c3", 5, "rsa3072_a", true),
        ("esp32c5", 23, "rsa3072_a", true),
        ("esp32c6", 13, "rsa3072_a", true),
        ("esp32c61", 20, "ecdsa_p256", false),
        ("esp32h2", 16, "rsa3072_a", true),
        ("esp32p4", 18, "rsa3072_a", true),
    ] {
        let public = format!("sbv2/pub-{key}.pem");
        let folder = product("production", &[("secure-boot.pub.pem", &public)]);
        let application = std::fs::read(format!("{ROOT}/vectors/image/{chip}.bin")).unwrap();
        signed(folder.path(), "bootloader-signed.bin", &boot_image_of(chip_id), key);
        signed(folder.path(), "app-signed.bin", &with_versions(&application, 3, b"2.0.0"), key);
        signed(folder.path(), "app-older.bin", &with_versions(&application, 2, b"1.9.0"), key);
        let mut policy = ready.replace("\"esp32c3\"", &format!("\"{chip}\"")).replace("# older-image", "older-image");
        policy = policy.replace("anti-rollback = 0", "anti-rollback = 3");
        if !peripherals {
            policy = policy.replace("ds = 1", "").replace("nvs = \"hmac\"", "nvs = \"flash\"");
        }
        std::fs::write(folder.path().join("product.toml"), policy).unwrap();
        let (code, out, error) = cotter(folder.path(), &["--json", "rehearse", "product.toml"]);
        let verdict: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{chip}: {error}"));
        assert_eq!(code, 0, "{chip}: {verdict:#}");
        assert_eq!(tried(&verdict, "power on").1, "verified and booted 2.0.0", "{chip}");
        assert_eq!(tried(&verdict, "flashed over").1, "secure-version-too-low", "{chip}");
        assert_eq!(tried(&verdict, "application signed by somebody else").1, "untrusted-key", "{chip}");
        tried_on.push((chip, verdict["cuts"]["operations"].as_u64().unwrap()));
    }
    println!("operations, each cut before, torn and after: {tried_on:?}");
    assert!(tried_on.iter().all(|(_, operations)| *operations > 300), "{tried_on:?}");
}

#[test]
fn secure_boot_v1_with_flash_encryption_comes_through_on_an_esp32_v1() {
    let folder = product(
        "secure-boot-v1",
        &[
            ("bootloader-with-digest.bin", "sbv1/esp32-bootloader-digest-256.bin"),
            ("app-signed-v1.bin", "sbv1/esp32-app-signed-v1.bin"),
            ("secure-boot-v1.bin", "efuse/sbv1_key_256.bin"),
        ],
    );
    let policy = std::fs::read_to_string(folder.path().join("product.toml")).unwrap();
    let policy = policy.replace("flash-encryption = \"off\"", "flash-encryption = \"release\"");
    std::fs::write(folder.path().join("product.toml"), policy).unwrap();
    let (code, out, error) = cotter(folder.path(), &["--json", "rehearse", "product.toml"]);
    let verdict: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{error}"));
    assert_eq!(code, 0, "{verdict:#}");
    assert_eq!(tried(&verdict, "modified boot image").1, "checksum-mismatch");
    assert_eq!(tried(&verdict, "modified boot image, checksum and SHA-256 mended").1, "signed-digest-mismatch");
    assert_eq!(tried(&verdict, "plaintext application").1, "invalid-header");
}

#[test]
fn a_product_that_would_not_boot_is_not_rehearsed() {
    let folder = production();
    std::fs::copy(format!("{ROOT}/vectors/sbv2/pub-rsa3072_b.pem"), folder.path().join("secure-boot.pub.pem")).unwrap();
    let (code, out, _) = cotter(folder.path(), &["rehearse", "product.toml"]);
    assert_eq!(code, 1);
    assert!(out.contains("FAIL power on"), "{out}");
    assert!(out.contains("untrusted-key (must be: verified and booted v1.2.3-golden)"), "{out}");
    assert!(out.contains("NOT REHEARSED: do not burn this plan"), "{out}");
}

#[test]
fn refuses_by_name_with_the_next_step() {
    let folder = production();
    let policy = std::fs::read_to_string(folder.path().join("product.toml")).unwrap();
    for (from, to, refusal) in [
        ("chip = \"esp32c3\"", "chip = \"esp33\"", "\"esp33\" is no chip"),
        ("digest0 = ", "digest9 = ", "the plan has no key \"digest9\""),
        ("digest0 = \"secure-boot.pub.pem\"", "", "no file is named for the key \"digest0\""),
        ("secure-boot.pub.pem", "partitions.csv", "key digest0 has"),
        ("app-signed.bin", "nothing.bin", "nothing.bin"),
        ("bootloader-signed.bin", "partitions.csv", "is no boot image"),
        ("partition = \"ota_0\"", "partition = \"ota_7\"", "no partition \"ota_7\""),
        ("\"4MB\"", "\"1MB\"", "partition ota_0 does not lie between"),
        ("\"4MB\"", "\"4 apples\"", "no size such as 4MB"),
        ("workflow", "workflaw", "unknown field `workflaw`"),
        ("nvs = \"hmac\"", "secure-boot = \"v1\"", "does not support Secure Boot V1"),
    ] {
        std::fs::write(folder.path().join("product.toml"), policy.replacen(from, to, 1)).unwrap();
        let (code, out, error) = cotter(folder.path(), &["rehearse", "--quick", "product.toml"]);
        assert!(code == 1 && out.is_empty() && error.contains(refusal), "{to}: {error}");
    }
}
