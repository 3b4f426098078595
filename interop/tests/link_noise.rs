//! The AT link's Noise handshakes against PyPI's `noiseprotocol`, from random input: both patterns, each end against ours.
#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod link_frames;

use cotter_formats::secret::Secret;
use cotter_interop::{Generator, ToolRun, hex, tools};
use cotter_wire::link::credentials::{About, Credentials};
use cotter_wire::link::handshake::{Established, LinkPsk};
use cotter_wire::link::noise::{NoiseKeys, StaticKeys, public_key};
use cotter_wire::link::session::Side;
use cotter_wire::link::suite::SuiteSet;
use link_frames::{Planned, bytes, planned, sealed};
use serde_json::{Value, json};

const NOISE: &str = include_str!("../../vectors/link/noise_psk0.py");
const CASES: usize = 300;

fn python(verb: &str, cases: &[Value]) -> ToolRun {
    tools().python_on(NOISE, &[verb], &serde_json::to_vec(cases).unwrap())
}

/// What one end has.
struct Given {
    about: About,
    static_key: [u8; 32],
    ephemeral: [u8; 32],
}

/// What both make.
struct Case {
    document: Value,
    mode: &'static str,
    psk: [u8; 32],
    host: Given,
    module: Given,
    frames: Vec<Planned>,
}

fn case(random: &mut Generator) -> Case {
    let mode = *random.pick(&["nn", "kk"]);
    let mut given = || Given {
        about: About { longest_frame: u16::try_from(random.between(64, 4096)).unwrap(), lineage: random.array() },
        static_key: random.array(),
        ephemeral: random.array(),
    };
    let (host, module) = (given(), given());
    let frames = planned(random);
    let psk = random.array();
    let describe = |given: &Given| {
        json!({"longest": given.about.longest_frame, "lineage": hex(&given.about.lineage), "static": hex(&given.static_key),
            "ephemeral": hex(&given.ephemeral)})
    };
    let document = json!({
        "mode": mode, "psk": hex(&psk), "host": describe(&host), "module": describe(&module),
        "frames": link_frames::document(&frames),
    });
    Case { document, mode, psk, host, module, frames }
}

fn secret(bytes: &[u8; 32]) -> Secret<32> {
    Secret::from_slice(bytes).unwrap()
}

fn keys(case: &Case, own: &Given, peer: &Given) -> NoiseKeys {
    let psk = LinkPsk::new(secret(&case.psk)).unwrap();
    if case.mode == "nn" {
        return NoiseKeys::nn(psk);
    }
    NoiseKeys::kk(psk, StaticKeys::new(&secret(&own.static_key), public_key(&secret(&peer.static_key))).unwrap())
}

/// Messages of one handshake, and what both ends came to.
struct Made {
    knock: Vec<u8>,
    hello: Vec<u8>,
    reply: Vec<u8>,
    host: Established,
    module: Established,
}

/// `from_python` in the place of our own messages to each end, if it is given.
fn made(case: &Case, from_python: Option<&Value>) -> Made {
    let (host, module) = (keys(case, &case.host, &case.module), keys(case, &case.module, &case.host));
    let greeting = host.greet(SuiteSet::ALL, case.host.about, |key| key.copy_from_slice(&case.host.ephemeral));
    let hello = NoiseKeys::hello(&greeting).to_vec();
    let heard = from_python.map_or_else(|| hello.clone(), |theirs| bytes(&theirs["hello"]));
    let heard = module.greeted(&heard).unwrap();
    let fresh = |key: &mut [u8]| key.copy_from_slice(&case.module.ephemeral);
    let (reply, at_module) = module.reply(&heard, SuiteSet::ALL, case.module.about, fresh).unwrap();
    let answer = from_python.map_or_else(|| reply.to_vec(), |theirs| bytes(&theirs["reply"]));
    let at_host = host.answered(&greeting, &answer).unwrap();
    let about = |peer: &Established| About { longest_frame: peer.peer.longest_frame, lineage: peer.peer.lineage };
    assert_eq!((about(&at_module), about(&at_host)), (case.host.about, case.module.about));
    Made { knock: module.knock().to_vec(), hello, reply: reply.to_vec(), host: at_host, module: at_module }
}

/// What we put onto the wire. The handshake hash is not told in full; its beginning names the session.
fn ours(case: &Case, hash: &str) -> Value {
    let Made { knock, hello, reply, mut host, mut module } = made(case, None);
    let frames: Vec<String> = sealed(&case.frames, &mut host, &mut module).iter().map(|frame| hex(frame)).collect();
    assert!(hash.starts_with(&hex(&host.session.id().0)));
    json!({"knock": hex(&knock), "hello": hex(&hello), "reply": hex(&reply), "finish": hex(host.finish()), "hash": hash,
        "frames": frames})
}

fn cases(random: &mut Generator, count: usize) -> (Vec<Case>, Vec<Value>) {
    let cases: Vec<Case> = (0..count).map(|_| case(random)).collect();
    let documents: Vec<Value> = cases.iter().map(|case| case.document.clone()).collect();
    let made = python("make", &documents).accepted();
    // Beside the answer stand the library's warnings that the ephemeral keys are given.
    let made = made.lines().find(|line| line.starts_with('[')).unwrap();
    (cases, serde_json::from_str(made).unwrap())
}

#[test]
fn we_make_and_read_the_handshakes_and_frames_of_noiseprotocol() {
    let (cases, theirs) = cases(&mut Generator::seeded(), CASES);
    assert_eq!(theirs.len(), CASES);
    let mut frames = 0;
    for (case, theirs) in cases.iter().zip(&theirs) {
        assert_eq!(*theirs, ours(case, theirs["hash"].as_str().unwrap()), "{}", case.document);
        let Made { mut host, mut module, .. } = made(case, Some(theirs));
        assert_eq!(module.check_finish(&bytes(&theirs["finish"])), Ok(()));
        for (frame, sealed) in case.frames.iter().zip(theirs["frames"].as_array().unwrap()) {
            let to = if frame.side == Side::Host { &mut module } else { &mut host };
            assert!(to.session.open(&mut bytes(sealed)).is_ok());
            frames += 1;
        }
    }
    println!("read {CASES} handshakes, {frames} frames");
}

#[test]
fn noiseprotocol_reads_our_handshakes_and_frames_as_either_end() {
    let (cases, theirs) = cases(&mut Generator::seeded(), CASES);
    let documents: Vec<Value> = cases
        .iter()
        .zip(theirs)
        .map(|(case, theirs)| {
            let mut document = case.document.clone();
            document["out"] = ours(case, theirs["hash"].as_str().unwrap());
            document
        })
        .collect();
    let output = python("check", &documents).accepted();
    assert!(output.contains(&format!("checked {CASES} handshakes")), "{output}");
}

#[test]
fn noiseprotocol_refuses_what_was_changed() {
    let (cases, theirs) = cases(&mut Generator::seeded(), 4);
    for ((case, theirs), field) in cases.iter().zip(theirs).zip(["knock", "hello", "reply", "finish"]) {
        let mut document = case.document.clone();
        document["out"] = theirs;
        let mut bytes = bytes(&document["out"][field]);
        *bytes.last_mut().unwrap() ^= 1;
        document["out"][field] = json!(hex(&bytes));
        let output = python("check", &[document]).refused();
        assert!(output.contains("Error") || output.contains("InvalidTag"), "{field}: {output}");
    }
}
