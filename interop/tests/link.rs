//! The AT link against Python, from random input: keystreams against `cryptography`, and the link with a shared key against
//! a second implementation of it, made from its description.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics where it fails")]

mod link_frames;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use cotter_device::link::Millis;
use cotter_device::link::psk::{Event, PskEnd, Refusal, Settings};
use cotter_device::platform::Random;
use cotter_formats::secret::Secret;
use cotter_interop::{Generator, ToolRun, hex, tools};
use cotter_wire::link::compat::{Cipher, CompatKey, ExampleKeys};
use cotter_wire::link::delimiter::{Undelimiter, delimit, room, wire_len};
use cotter_wire::link::handshake::{Greeting, Hello, LinkPsk, Offer};
use cotter_wire::link::session::Side;
use cotter_wire::link::suite::{Suite, SuiteSet};
use link_frames::{Planned, bytes, planned, sealed};
use serde_json::{Value, json};

const PSK: &str = include_str!("../../vectors/link/psk.py");
const KEYSTREAM: &str = include_str!("../../vectors/link/keystream.py");

fn python(script: &str, verb: &str, cases: &[Value]) -> ToolRun {
    tools().python_on(script, &[verb], &serde_json::to_vec(cases).unwrap())
}

fn psk(bytes: &[u8; 32]) -> LinkPsk {
    LinkPsk::new(Secret::from_slice(bytes).unwrap()).unwrap()
}

/// What both make.
struct Case {
    document: Value,
    psk: [u8; 32],
    host: Offer,
    module: Offer,
    suites: SuiteSet,
    module_suites: SuiteSet,
    frames: Vec<Planned>,
}

fn case(random: &mut Generator) -> Case {
    let common = *random.pick(&Suite::ALL);
    let mut some = || SuiteSet(u8::try_from(random.below(32)).unwrap()).with(common);
    let (suites, module_suites) = (some(), some());
    let mut offer = || Offer {
        longest_frame: u16::try_from(random.between(64, 4096)).unwrap(),
        lineage: random.array(),
        nonce: random.array(),
    };
    let (host, module) = (offer(), offer());
    let frames = planned(random);
    let psk = random.array();
    let describe = |offer: &Offer| json!({"longest": offer.longest_frame, "lineage": hex(&offer.lineage), "nonce": hex(&offer.nonce)});
    let document = json!({
        "psk": hex(&psk), "suites": suites.0, "module_suites": module_suites.0, "host": describe(&host),
        "module": describe(&module),
        "frames": link_frames::document(&frames),
    });
    Case { document, psk, host, module, suites, module_suites, frames }
}

/// What we make of it.
fn ours(case: &Case) -> Value {
    let psk = psk(&case.psk);
    let greeting = Greeting::new(&psk, case.suites, &case.host);
    let hello = Hello::parse(&psk, greeting.message()).unwrap();
    let (reply, mut module) = hello.reply(&psk, case.module_suites, &case.module).unwrap();
    let mut host = greeting.answered(&psk, &reply).unwrap();
    let frames = sealed(&case.frames, &mut host, &mut module);
    let wire: Vec<String> = frames.iter().map(|frame| hex(&delimited(frame))).collect();
    json!({
        "knock": hex(&psk.knock()), "hello": hex(greeting.message()), "reply": hex(&reply), "finish": hex(host.finish()),
        "session": hex(&host.session.id().0), "wire": wire,
    })
}

fn delimited(frame: &[u8]) -> Vec<u8> {
    let start = room(frame.len());
    let mut buffer = [&vec![0; start], frame, &[0]].concat();
    delimit(&mut buffer, start, frame.len(), false).unwrap().to_vec()
}

#[test]
fn python_reads_our_handshakes_and_frames() {
    let mut random = Generator::seeded();
    let cases: Vec<Value> = (0..500)
        .map(|_| {
            let case = case(&mut random);
            let mut document = case.document.clone();
            document["out"] = ours(&case);
            document
        })
        .collect();
    let output = python(PSK, "check", &cases).accepted();
    assert!(output.contains("checked 500 handshakes"), "{output}");
    println!("{}", output.trim());
}

#[test]
fn we_read_the_handshakes_and_frames_of_python() {
    let mut random = Generator::seeded();
    let cases: Vec<Case> = (0..500).map(|_| case(&mut random)).collect();
    let documents: Vec<Value> = cases.iter().map(|case| case.document.clone()).collect();
    let made: Vec<Value> = serde_json::from_str(python(PSK, "make", &documents).accepted().trim()).unwrap();
    assert_eq!(made.len(), cases.len());
    let mut frames = 0;
    for (case, made) in cases.iter().zip(made) {
        assert_eq!(made, ours(case), "{}", case.document);
        let psk = psk(&case.psk);
        assert_eq!(psk.check_knock(&bytes(&made["knock"])), Ok(()));
        let hello = Hello::parse(&psk, &bytes(&made["hello"])).unwrap();
        let (_, mut module) = hello.reply(&psk, case.module_suites, &case.module).unwrap();
        let greeting = Greeting::new(&psk, case.suites, &case.host);
        let mut host = greeting.answered(&psk, &bytes(&made["reply"])).unwrap();
        assert_eq!(module.check_finish(&bytes(&made["finish"])), Ok(()));
        for (frame, wire) in case.frames.iter().zip(made["wire"].as_array().unwrap()) {
            let mut undelimiter = Undelimiter::<1000>::new();
            let ended = bytes(wire).iter().filter(|byte| undelimiter.push(**byte).unwrap().is_some()).count();
            assert_eq!(ended, 1);
            let to = if frame.side == Side::Host { &mut module } else { &mut host };
            assert!(to.session.open(undelimiter.frame()).is_ok());
            frames += 1;
        }
    }
    println!("read {} handshakes, {frames} frames", cases.len());
}

#[test]
fn python_refuses_what_was_changed() {
    let mut random = Generator::seeded();
    for field in ["knock", "hello", "reply", "finish"] {
        let case = case(&mut random);
        let mut document = case.document.clone();
        document["out"] = ours(&case);
        let mut bytes = bytes(&document["out"][field]);
        *bytes.last_mut().unwrap() ^= 1;
        document["out"][field] = json!(hex(&bytes));
        let output = python(PSK, "check", &[document]).refused();
        assert!(output.contains("AssertionError"), "{field}: {output}");
    }
}

/// For tests: from the printed seed.
struct FromSeed<'a>(&'a mut Generator);

impl Random for FromSeed<'_> {
    fn fill(&mut self, out: &mut [u8]) {
        self.0.fill(out);
    }
}

/// A Python end on its standard input and output.
struct Python {
    child: Child,
    wire: Receiver<Vec<u8>>,
    told: Receiver<String>,
}

impl Python {
    fn start(role: &str, psk: &[u8; 32], suite: Suite) -> Self {
        let mut command: Command = tools().python_command();
        command.args(["-c", PSK, role, &hex(psk), &SuiteSet::only(suite).0.to_string(), "5"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (mut output, errors) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let ((to_wire, wire), (to_told, told)) = (channel(), channel());
        std::thread::spawn(move || {
            let mut buffer = [0; 1000];
            while let Ok(len @ 1..) = output.read(&mut buffer) {
                if to_wire.send(buffer[..len].to_vec()).is_err() {
                    break;
                }
            }
        });
        std::thread::spawn(move || {
            BufReader::new(errors).lines().map_while(Result::ok).try_for_each(|line| to_told.send(line))
        });
        Self { child, wire, told }
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Our end and Python's, until both were told everything. What ours was told, and Python's.
fn talk(side: Side, suite: Suite, random: &mut Generator) -> (Vec<String>, Vec<String>) {
    let secret = random.array();
    let mut python = Python::start(if side == Side::Host { "module" } else { "host" }, &secret, suite);
    let mut end = PskEnd::<280, 1024>::new(side, psk(&secret), Settings::default());
    let (mut ours, mut theirs, begun, mut written) = (Vec::new(), Vec::new(), Instant::now(), 0);
    while (ours.len() < 7 || theirs.len() < 7 || !end.is_all_acknowledged())
        && begun.elapsed() < Duration::from_secs(30)
    {
        let now = Millis(u64::try_from(begun.elapsed().as_millis()).unwrap());
        if end.is_open() && written < 6 {
            written += 1;
            match written {
                6 => assert_eq!(end.escape(), Ok(true)),
                _ => assert!(end.send(format!("Rust says {written}\r\n").as_bytes()).unwrap() > 0),
            }
        }
        let mut out = [0; wire_len(280)];
        while let Some(frame) = end.transmit(now, &mut FromSeed(random), &mut out).unwrap() {
            python.child.stdin.as_mut().unwrap().write_all(frame).unwrap();
        }
        theirs.extend(python.told.try_iter());
        let Ok(wire) = python.wire.recv_timeout(Duration::from_millis(10)) else { continue };
        let mut wire = &wire[..];
        loop {
            let received = end.receive(wire, now, &mut FromSeed(random));
            wire = &wire[received.used..];
            match received.event {
                None if wire.is_empty() => break,
                None => {}
                Some(Event::Opened { suite: opened, continued: false }) => {
                    assert_eq!(opened, suite);
                    ours.push("opened".to_owned());
                }
                Some(Event::Data(data)) => ours.push(String::from_utf8(data.to_vec()).unwrap()),
                Some(Event::Escape) => ours.push("escape".to_owned()),
                // Python starts slowly, so that our hello and its answer come twice; its hello may too.
                Some(Event::Refused(Refusal::UnexpectedReply | Refusal::ReplayedHello)) => {}
                Some(other) => panic!("{other:?}"),
            }
        }
    }
    (ours, theirs)
}

#[test]
fn a_live_python_end_and_ours_understand_each_other_in_both_roles() {
    let mut random = Generator::seeded();
    for suite in Suite::ALL {
        for side in [Side::Host, Side::Module] {
            let (ours, theirs) = talk(side, suite, &mut random);
            let name = if side == Side::Host { "module" } else { "host" };
            let lines = (0..5).map(|number| format!("{name} says {number}\r\n"));
            let expected: Vec<String> =
                ["opened".to_owned()].into_iter().chain(lines).chain(["escape".to_owned()]).collect();
            assert_eq!(ours, expected, "{suite:?} {side:?}, Python was told {theirs:?}");
            let data: String = theirs.iter().filter_map(|line| line.strip_prefix("data ")).collect();
            let said: String = (1..6).map(|number| format!("Rust says {number}\r\n")).collect();
            assert_eq!(
                (data, theirs.first(), theirs.last()),
                (hex(said.as_bytes()), Some(&format!("opened {}", suite as u8)), Some(&"escape".to_owned()))
            );
        }
    }
}

/// AES-CTR and `ChaCha20`; the counter of `ChaCha20` starts at 0.
#[test]
fn our_keystreams_are_those_of_python() {
    let mut random = Generator::seeded();
    let cases: Vec<Value> = (0..300)
        .map(|_| {
            let cipher = *random.pick(&Cipher::ALL[..4]);
            let (key, mut iv) = (random.bytes(cipher.key_len()), random.bytes(cipher.iv_len()));
            // Counters that carry.
            let carried = random.below(iv.len() + 1);
            if cipher != Cipher::ChaCha20 {
                iv[carried..].fill(0xff);
            }
            let len = random.between(0, 1000);
            let mut data = random.bytes(len);
            let plain = hex(&data);
            let mut stream = CompatKey::new(cipher, &key, &iv, ExampleKeys::Refuse).unwrap().keystream();
            let cut = random.below(data.len() + 1);
            let (first, second) = data.split_at_mut(cut);
            stream.apply(first).unwrap();
            stream.apply(second).unwrap();
            json!({"cipher": cipher.as_str(), "key": hex(&key), "iv": hex(&iv), "plain": plain, "sealed": hex(&data)})
        })
        .collect();
    let output = python(KEYSTREAM, "check", &cases).accepted();
    assert!(output.contains("checked 300 keystreams"), "{output}");
}
