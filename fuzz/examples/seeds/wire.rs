//! Seeds of what devices and the server say to each other.

use super::{Outcome, seed, vector};
use cotter_formats::chip::Chip;
use cotter_formats::secret::Secret;
use cotter_wire::answer::Answer;
use cotter_wire::codec::compress;
use cotter_wire::command::{
    Address, Command, CommandCounter, CommandResult, MAX_COMMAND, MAX_CONTENT, MAX_RESULT, Outcome as CommandOutcome,
    Value as CommandValue, seal as seal_command,
};
use cotter_wire::compact::{Channel, MAX_COMPACT, MAX_PLAIN};
use cotter_wire::content::WrappedKey;
use cotter_wire::ecowatt::{History, Layout, MAX_BLOB, Method, encode, encode_smallest, upload};
use cotter_wire::enrolment::{Enrolment, MAX_ENROLMENT};
use cotter_wire::firmware_key::{Algorithm, FirmwareKey};
use cotter_wire::ids::{KeyEpoch, KeyId, Nonce, SecureVersion, Sequence, UnixTime};
use cotter_wire::keys::{
    ConfirmationKey, DeviceKeys, Direction, EcowattKey, EnrolmentKey, OfferKey, RecoveryKey, RootKey,
};
use cotter_wire::manifest::{
    MAX_BODY, MAX_ENVELOPE, Manifest, ManifestSignature, Project, VerifyPolicy, encode_envelope,
};
use cotter_wire::packet::{MAX_PACKET, seal};
use cotter_wire::reading::Reading;
use cotter_wire::recovery::{Ask, ClaimMessage, Recovery};
use cotter_wire::registers::{ECOWATT, RegisterMap};
use cotter_wire::rotation::{self, Asked, ConfirmMessage, Confirmation, Offered, Ticket};
use cotter_wire::session::{Greeting, Hello, MAX_HEADER, MAX_MESSAGE, Request, SessionId};
use cotter_wire::status::{Outcome as UpdateOutcome, StatusReport};
use cotter_wire::token::{Algorithm as TokenAlgorithm, Claims, MAX_TOKEN, ToBeSigned};
use cotter_wire::trust::{self, Statement, TrustNumber};
use cotter_wire::version::Version;

pub(crate) fn answer() -> Outcome {
    for (name, answer) in [
        ("accepted", Answer::Accepted(Nonce(10_001).into())),
        ("stored", Answer::AlreadyStored),
        ("refused", Answer::Refused),
    ] {
        seed("answer", name, answer.write(&mut [0; Answer::MAX_LEN])?)?;
    }
    let report = StatusReport::new(FIRMWARE, UpdateOutcome::RolledBack, "register 3 has gain 0");
    seed("answer", "report", report.write(&mut [0; StatusReport::MAX_LEN])?)
}

/// The one command that the body's key ever sealed, its content, and its result.
pub(crate) fn command() -> Outcome {
    let (device, epoch) = ("device-1".parse()?, KeyEpoch(1));
    let keys = DeviceKeys::derive(&RootKey::new(Secret::filled_by(|key| key.fill(0x42))), &device, epoch);
    let to = Address { device: &device, epoch, counter: CommandCounter(7) };
    let mut valve = Command::new("open-valve".parse()?);
    valve.push("percent".parse()?, CommandValue::Integer(40))?;
    valve.push("slowly".parse()?, CommandValue::Boolean(true))?;
    valve.push("why".parse()?, CommandValue::text("a test")?)?;
    seed("command", "content", valve.encode(&mut [0; MAX_CONTENT])?)?;
    let (nonce, expires) = ([0x24; 12], UnixTime(1_700_000_000));
    seed("command", "sealed", seal_command(&keys.command, &to, nonce, expires, &valve, &mut [0; MAX_COMMAND])?)?;
    let result = CommandResult::new(to.counter, CommandOutcome::Done, "40 %");
    seed("command", "result", result.write(&keys.command_result, &to, &mut [0; MAX_RESULT])?)
}

/// Sealed with the keys that the body uses: the root key is 32 times 0x42.
pub(crate) fn packet() -> Outcome {
    let (device, epoch) = ("device-1".parse()?, KeyEpoch(1));
    let keys = DeviceKeys::derive(&RootKey::new(Secret::filled_by(|key| key.fill(0x42))), &device, epoch);
    for (name, plain) in [("reading", a_reading()?), ("long", vec![0x20; 512]), ("empty", vec![])] {
        let mut out = [0; MAX_PACKET];
        seed("packet", name, seal(&keys, &device, epoch, Nonce(10_001), &[0x24; 16], &plain, &mut out)?)?;
    }
    for name in ["bomb", "padding-zero", "compressed"] {
        seed("packet", &format!("vector-{name}"), &vector(&format!("wire/packet-{name}.json"))?)?;
    }
    Ok(())
}

/// Ten arrays by the method that is smallest, and the same array by each method.
pub(crate) fn ecowatt_blob() -> Outcome {
    let (layout, head) = (Layout::new(&[0, 1, 9], 1)?, [1, 3, 0, 1, 9]);
    let (mut history, mut steady, mut each) = (History::new(), head.to_vec(), head.to_vec());
    for step in 0..10 {
        let values = [2300 + step % 3, 170, 4000 + 100 * step];
        let mut out = [0; MAX_BLOB];
        for method in Method::ALL {
            with_length(&mut each, encode(method, &values, &layout, &history, &mut out)?)?;
        }
        with_length(&mut steady, encode_smallest(&values, &layout, &mut history, &mut out)?.1)?;
    }
    seed("ecowatt_blob", "smallest", &steady)?;
    seed("ecowatt_blob", "each", &each)?;
    seed("ecowatt_blob", "history", &history.to_bytes())?;
    let (layout, mut dictionary) = (Layout::new(&[0, 1, 9], 7)?, vec![7, 3, 0, 1, 9]);
    let values = [230, 17, 400].repeat(7);
    for method in [Method::Dictionary, Method::Semantic] {
        with_length(&mut dictionary, encode(method, &values, &layout, &History::new(), &mut [0; MAX_BLOB])?)?;
    }
    seed("ecowatt_blob", "dictionary", &dictionary)
}

/// A batch of one array, bare and signed with the body's key.
pub(crate) fn ecowatt_upload() -> Outcome {
    let key = EcowattKey::new(Secret::filled_by(|key| key.fill(0x42)));
    let batch = br#"{"device_id":"ESP32_001","data_type":"compressed_sensor_batch","sampling_interval":5,"compressed_data":[{"compressed_binary":"AQwDj8Cq+gA=","decompression_metadata":{"register_count":3,"sample_count":1,"compressed_size_bytes":8,"timestamp":1700000000,"register_layout":[0,1,9]}}]}"#;
    seed("ecowatt_upload", "batch", batch)?;
    seed("ecowatt_upload", "signed", upload::seal(&key, Nonce(11_001), batch, &mut [0; upload::MAX_UPLOAD])?)
}

fn with_length(seed: &mut Vec<u8>, blob: &[u8]) -> Outcome {
    seed.push(u8::try_from(blob.len())?);
    seed.extend(blob);
    Ok(())
}

/// As for packets, and the vectors, which are of another device.
pub(crate) fn compact() -> Outcome {
    let root = RootKey::new(Secret::filled_by(|key| key.fill(0x42)));
    let channel = Channel::derive(&root, &"device-1".parse()?, KeyEpoch(1), Direction::Up);
    let plain = Reading::decode(&a_reading()?)?.encode_compact(&mut [0; MAX_PLAIN])?.to_vec();
    seed("compact", "content", &plain)?;
    for (name, number) in [("reading", 10_001), ("last", (1 << 40) - 1)] {
        let sequence = Sequence::new(number).ok_or("40 bits")?;
        seed("compact", name, channel.seal(sequence, &plain, &mut [0; MAX_COMPACT])?)?;
    }
    for line in String::from_utf8(vector("wire/compact.txt")?)?.lines() {
        let (name, packet) = line.split_once(' ').zip(line.rsplit_once(' ')).ok_or("words").map(|(a, b)| (a.0, b.1))?;
        let bytes = (0..packet.len() / 2).map(|at| u8::from_str_radix(&packet[2 * at..2 * at + 2], 16));
        seed("compact", &format!("vector-{name}"), &bytes.collect::<Result<Vec<_>, _>>()?)?;
    }
    Ok(())
}

/// The four messages of one recovery, by the key that the body uses.
pub(crate) fn recovery() -> Outcome {
    let device = "device-1".parse()?;
    let key = RecoveryKey::derive(&RootKey::new(Secret::filled_by(|key| key.fill(0x42))), &device);
    let begin = || Recovery::new(device, KeyEpoch(3), [0x11; 16]);
    let mut out = [0; cotter_wire::recovery::MAX_MESSAGE];
    let ask = begin().ask(&key, &mut out)?.to_vec();
    let challenge = Ask::parse(&ask)?.verify(&key)?.challenge(&key, &[0x22; 16], &mut out)?.to_vec();
    let claim = begin().challenged(&key, &challenge)?.write(&key, &mut out)?.to_vec();
    let grant = ClaimMessage::parse(&claim)?.verify(&key)?.grant(&key, KeyEpoch(4), Nonce(10_000), &mut out)?.to_vec();
    for (name, message) in [("ask", ask), ("challenge", challenge), ("claim", claim), ("grant", grant)] {
        seed("recovery", name, &message)?;
    }
    Ok(())
}

/// Offer, confirmation and acknowledgement by the key that the body uses, of other nonces than the body's; an order.
pub(crate) fn rotation() -> Outcome {
    let device = "device-1".parse()?;
    let root = || RootKey::new(Secret::filled_by(|key| key.fill(0x42)));
    let (ticket, epoch) = (Ticket([0x33; Ticket::LEN]), KeyEpoch(2));
    let mut out = [0; rotation::MAX_MESSAGE];
    let asked = Asked { device: &device, epoch: KeyEpoch(1), device_nonce: &[0x11; 16] };
    let offered = Offered { epoch, root: root(), ticket };
    seed("rotation", "offer", asked.offer(&OfferKey::derive(&root(), &device), &offered, [0x22; 12], &mut out)?)?;
    let key = ConfirmationKey::derive(&root(), &device);
    let confirmation = Confirmation { device, epoch, device_nonce: [0x11; 16], ticket };
    let confirm = confirmation.write(&key, &mut out)?.to_vec();
    seed("rotation", "confirm", &confirm)?;
    let message = ConfirmMessage::parse(&confirm)?;
    seed("rotation", "ack", message.verify(&key)?.acknowledge(&key, &mut out)?)?;
    seed("rotation", "scope", b"tag field.north")
}

pub(crate) fn reading() -> Outcome {
    let plain = a_reading()?;
    seed("reading", "plain", &plain)?;
    seed("reading", "compressed", compress(&[0x20; 300], &mut [0; 512])?.1)
}

fn a_reading() -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let mut reading = Reading::new(3600, 7, FIRMWARE, SecureVersion(1));
    for (register, raw) in [(0, 2301), (1, 17), (2, 5001), (9, 390)] {
        reading.push(register, raw)?;
    }
    Ok(reading.encode(&mut [0; Reading::MAX_LEN])?.to_vec())
}

const FIRMWARE: Version = Version::new(1, 1, 0);

/// Sealed with the keys that the body uses, so that they open; the vector is not.
pub(crate) fn enrolment() -> Outcome {
    let key = EnrolmentKey::new(Secret::filled_by(|key| key.fill(0x42)));
    let root = RootKey::new(Secret::filled_by(|key| key.fill(0x43)));
    let mut record = Enrolment {
        device: "device-1".parse()?,
        epoch: KeyEpoch(1),
        chip: Chip::Esp32C3,
        mac: [0x60, 0x55, 0xF9, 1, 2, 3],
        secure_boot: [0xAB; 32],
        certificate: None,
    };
    let mut out = [0; MAX_ENROLMENT];
    seed("enrolment", "plain", record.seal(&key, &[5; 12], &root, &mut out)?)?;
    record.certificate = Some(&[0x30, 0x03, 0x02, 0x01, 0x00]);
    seed("enrolment", "certificate", record.seal(&key, &[5; 12], &root, &mut out)?)?;
    seed("enrolment", "vector", &vector("wire/enrolment.json")?)
}

/// `key-p256.der` was made with `openssl pkey -pubin -outform DER` from `vectors/sbv2/pub-ecdsa_p256.pem`.
/// The token of a real chip, one of ours for RSA, headers and claims with what is refused and what is ignored, keys.
pub(crate) fn device_token() -> Outcome {
    let chip = vector("token/atecc608a.jwt")?;
    seed("device_token", "chip", chip.trim_ascii_end())?;
    let claims =
        Claims { audience: "my-project", issued_at: UnixTime(1_700_000_000), expires_at: UnixTime(1_700_003_600) };
    let mut out = [0; MAX_TOKEN];
    let written = ToBeSigned::new(TokenAlgorithm::Rs256, &claims, &mut out)?.finish(&[0x5a; 256])?;
    seed("device_token", "rs256", written.as_bytes())?;
    seed(
        "device_token",
        "header",
        br#"{"typ": "JWT", "alg": "ES256", "kid": "a\"b\u00e9", "x": [1.5e-3, {"y": null}]}"#,
    )?;
    seed("device_token", "claims", br#"{ "nbf": -1, "aud": "a b", "iat": 1, "exp": 2, "sub": {"a": [true, []]} }"#)?;
    seed("device_token", "es256.pem", &vector("keys/dev_cert_p256.pem")?)?;
    seed("device_token", "spki", &vector("../fuzz/corpus/manifest/key-p256.der")?)
}

pub(crate) fn manifest() -> Outcome {
    let manifest = Manifest {
        project: Project::new("cotter-app").ok_or("a legal name")?,
        chip: Chip::Esp32C3,
        version: FIRMWARE,
        secure_version: SecureVersion(1),
        size: 135_168,
        sha256: [0xAB; 32],
        iv: [0xCD; 16],
        issued: UnixTime(1_700_000_000),
        expires: UnixTime(1_800_000_000),
    };
    let mut body = [0; MAX_BODY];
    let body = manifest.encode(&mut body)?;
    seed("manifest", "body", body)?;
    let signature = |algorithm, key, length| ManifestSignature {
        key: KeyId(key),
        algorithm,
        bytes: std::iter::repeat_n(0x11, length).collect(),
    };
    let trusted = FirmwareKey::from_spki(include_bytes!("../../corpus/manifest/key-p256.der"))?;
    let signatures = [signature(Algorithm::Es256, trusted.id().0, 64), signature(Algorithm::RsaPss2048, [7; 8], 256)];
    let content_key = WrappedKey { epoch: KeyEpoch(1), nonce: [3; 12], wrapped: [4; 48] };
    let mut out = [0; MAX_ENVELOPE];
    seed("manifest", "envelope", encode_envelope(body, &signatures, Some(&content_key), &mut out)?)?;
    let upload = [&b"{}\n"[..], &[b'a'; 64], b"\nimage"].concat();
    seed("manifest", "upload", &upload)?;
    seed("manifest", "unsigned", encode_envelope(body, &[], None, &mut out)?)
}

pub(crate) fn trust() -> Outcome {
    let trusted = FirmwareKey::from_spki(include_bytes!("../../corpus/manifest/key-p256.der"))?;
    let id = trusted.id();
    let statement = Statement {
        project: Project::new("cotter-app").ok_or("a legal name")?,
        number: TrustNumber(1),
        policy: VerifyPolicy::new([trusted], 1)?,
        secure_boot: [[0xAB; 32], [0xCD; 32]].into_iter().collect(),
    };
    let (mut body, mut out) = ([0; trust::MAX_BODY], [0; trust::MAX_STATEMENT]);
    let body = statement.encode(&mut body)?;
    seed("trust", "body", body)?;
    let bytes = std::iter::repeat_n(0x11, 64).collect();
    let signature = ManifestSignature { key: id, algorithm: Algorithm::Es256, bytes };
    seed("trust", "statement", trust::encode_statement(body, &[signature], &mut out)?)?;
    seed("trust", "unsigned", trust::encode_statement(body, &[], &mut out)?)
}

pub(crate) fn session() -> Outcome {
    let (device, epoch) = ("device-1".parse()?, KeyEpoch(1));
    let keys = DeviceKeys::derive(&RootKey::new(Secret::filled_by(|key| key.fill(0x42))), &device, epoch);
    let greeting = Greeting::new(device, epoch, [8; 16]);
    let (mut hello, mut welcome, mut header) = ([0; MAX_MESSAGE], [0; MAX_MESSAGE], [0; MAX_HEADER]);
    let hello = greeting.write(&keys, &mut hello)?;
    seed("session", "hello", hello)?;
    let verified = Hello::parse(hello)?.verify(&keys.request)?;
    let time = UnixTime(1_700_000_000);
    let (welcome, _) = verified.welcome(&keys, SessionId([1; 16]), &[2; 16], time, &mut welcome)?;
    // To another hello than the body's, which would rightly accept its own.
    seed("session", "welcome", welcome)?;
    let mut client = greeting.accept(&keys, welcome)?;
    let request = Request { method: "GET", path: "/v1", body: &[] };
    seed("session", "header", client.sign(&request, &mut header)?.as_bytes())
}

pub(crate) fn register_map() -> Outcome {
    let maps: [(&str, &[_]); 3] = [("ecowatt", &ECOWATT), ("one", &ECOWATT[..1]), ("none", &[])];
    for (name, registers) in maps {
        let map = RegisterMap::new(registers).ok_or("at most 16 registers")?;
        seed("register_map", name, &map.encode())?;
    }
    Ok(())
}
