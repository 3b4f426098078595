//! The AT link from C: programs linked with the static library, against ends in Rust. They run under gcc's address and
//! undefined-behaviour sanitizers, and what they do wrong on purpose under valgrind as well.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics where it fails")]
#![allow(unreachable_pub, reason = "modules of a test binary")]

#[path = "link_c/exchange.rs"]
mod exchange;
#[path = "link_c/program.rs"]
mod program;
#[path = "link_c/puppet.rs"]
mod puppet;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use cotter_device::link::compat::CompatEnd;
use cotter_device::link::end::{End, Settings};
use cotter_interop::{Generator, hex, temp_dir};
use cotter_twin::serial_port::{LineEvent, SerialPort};
use cotter_wire::link::compat::{Cipher, CompatKey, ExampleKeys};
use cotter_wire::link::credentials::Credentials;
use cotter_wire::link::derivation::{Derivation, Ingredients, LinkSecret, Way};
use cotter_wire::link::mode::Mode;
use cotter_wire::link::noise::public_key;
use cotter_wire::link::session::Side;
use cotter_wire::link::suite::{Suite, SuiteSet};
use exchange::{Exchange, Keys, NO_COMMON_SUITE, NOT_AUTHENTIC, Noise, OTHER_MODE, Ours, exchange, said, secret, told};
use program::{SANITIZERS, compiles, library, linked, ran, source};
use puppet::{Puppet, Told};

/// puppet.c with sanitizers, built once.
fn puppet() -> Puppet {
    static PROGRAM: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, program) = PROGRAM.get_or_init(|| {
        let folder = temp_dir();
        let program = linked("puppet.c", folder.path(), &SANITIZERS);
        (folder, program)
    });
    Puppet::start(program)
}

/// Runs the same for each mode, suite and side; `work` gets what the ends are made of.
fn each(random: &mut Generator, mut work: impl FnMut(Mode, Suite, Side, &mut Generator)) {
    for side in [Side::Host, Side::Module] {
        for suite in Suite::ALL {
            work(Mode::Psk, suite, side, random);
        }
        for mode in [Mode::NoiseNn, Mode::NoiseKk] {
            work(mode, Suite::ChaCha20Poly1305, side, random);
        }
    }
}

/// One exchange of a C end on `side` with a Rust end on the other.
fn talk(mode: Mode, suite: Suite, side: Side, noise: Noise, bytes: usize, random: &mut Generator) -> Exchange {
    let keys = Keys::new(random);
    let mut c = puppet();
    // New keys now and then, so that streams go on in another session.
    let rekey = if noise.0 == 0 { 40 } else { 1 << 20 };
    let suites = SuiteSet::only(suite);
    let created = c.create_rekeying(mode as u8, side, suites.0, rekey, &keys.of_c(), random.next_u64());
    assert_eq!(created, 0, "{mode} {suite:?} {side:?}");
    let settings = Settings { suites, ..Settings::default() };
    let done = match mode {
        Mode::Psk => exchange(&mut c, &mut End::new(side.other(), keys.psk(), settings), noise, bytes, random),
        Mode::NoiseNn => exchange(&mut c, &mut End::new(side.other(), keys.nn(), settings), noise, bytes, random),
        Mode::NoiseKk => exchange(&mut c, &mut End::new(side.other(), keys.kk(), settings), noise, bytes, random),
    };
    assert_eq!((done.status.mode, done.status.suite), (mode as u8, suite as u8));
    assert_eq!(c.wipe(), (0, 0), "nothing is left in the storage");
    done
}

#[test]
fn c_and_rust_understand_each_other_in_every_mode_and_suite_and_on_either_side() {
    let mut random = Generator::seeded();
    let (mut frames, mut links) = (0, 0);
    each(&mut random, |mode, suite, side, random| {
        let done = talk(mode, suite, side, Noise(0), 6000, random);
        assert_eq!(done.opened[0], Told::Opened { suite: suite as u8, continued: false });
        assert!(done.opened.len() > 1, "{mode} {suite:?} {side:?}: no new keys");
        let continued = Told::Opened { suite: suite as u8, continued: true };
        assert!(done.opened[1..].iter().all(|told| *told == continued), "{:?}", done.opened);
        frames += done.frames;
        links += 1;
    });
    println!("{links} links, {frames} frames at the C end");
}

#[test]
fn a_bad_wire_delivers_no_wrong_byte_to_c_or_from_it() {
    let mut random = Generator::seeded();
    let (mut frames, mut refused) = (0, 0);
    each(&mut random, |mode, suite, side, random| {
        for one_in in [500, 100] {
            let done = talk(mode, suite, side, Noise(one_in), 3000, random);
            assert!(done.status.refused > 0, "{mode} {suite:?} {side:?}: no noise");
            frames += done.frames;
            refused += done.status.refused;
        }
    });
    println!("{frames} frames at the C end, {refused} refused, none wrong");
}

#[test]
fn another_key_mode_or_suite_is_refused_by_name_in_c_and_never_opens() {
    let mut random = Generator::seeded();
    for side in [Side::Host, Side::Module] {
        for (mode, ours, expected) in [
            (Mode::Psk, Mode::Psk, NOT_AUTHENTIC),
            (Mode::NoiseNn, Mode::NoiseNn, NOT_AUTHENTIC),
            (Mode::NoiseKk, Mode::NoiseKk, NOT_AUTHENTIC),
            (Mode::Psk, Mode::NoiseNn, OTHER_MODE),
            (Mode::NoiseNn, Mode::NoiseKk, OTHER_MODE),
            (Mode::NoiseKk, Mode::Psk, OTHER_MODE),
        ] {
            let keys = Keys::new(&mut random);
            let mut c = puppet();
            assert_eq!(c.create(mode as u8, side, 0x1f, &keys.of_c(), random.next_u64()), 0);
            let other = if mode == ours { Keys { psk: random.array(), ..keys } } else { keys };
            let settings = Settings::default();
            let refusals = match ours {
                Mode::Psk => refusals(&mut c, &mut End::new(side.other(), other.psk(), settings), &mut random),
                Mode::NoiseNn => refusals(&mut c, &mut End::new(side.other(), other.nn(), settings), &mut random),
                Mode::NoiseKk => refusals(&mut c, &mut End::new(side.other(), other.kk(), settings), &mut random),
            };
            assert!(!refusals.is_empty());
            assert!(refusals.iter().all(|reason| *reason == expected), "{mode} {ours} {side:?}: {refusals:?}");
        }
    }
    // Of the suites only a module can say.
    let keys = Keys::new(&mut random);
    let mut c = puppet();
    assert_eq!(c.create(Mode::Psk as u8, Side::Module, 0b1_1000, &keys.of_c(), 1), 0);
    let settings = Settings { suites: SuiteSet(0b0_0111), ..Settings::default() };
    let refusals = refusals(&mut c, &mut End::new(Side::Host, keys.psk(), settings), &mut random);
    assert!(refusals.contains(&NO_COMMON_SUITE) && !refusals.contains(&NOT_AUTHENTIC), "{refusals:?}");
}

/// What the C end refuses in ten seconds in which neither opens.
fn refusals<C: Credentials>(c: &mut Puppet, end: &mut Ours<C>, random: &mut Generator) -> Vec<i32> {
    let mut refusals = Vec::new();
    for now in (1000..11_000).step_by(20) {
        let (down, code) = c.transmit(now, 284);
        assert_eq!(code, 0);
        for frame in down {
            let told = told(end, &frame, now, random);
            assert!(told.iter().all(|told| matches!(told, Told::Refused(_))), "{told:?}");
        }
        for frame in said(end, now, random) {
            for told in c.receive(&frame, now) {
                let Told::Refused(reason) = told else { panic!("{told:?}") };
                refusals.push(reason);
            }
        }
        assert!(!end.is_open() && !c.status().is_open);
    }
    // TooSoon: a module takes hellos apart.
    refusals.retain(|reason| *reason != 21);
    refusals
}

#[test]
fn garbage_is_refused_by_c_and_the_link_opens_afterwards() {
    let mut random = Generator::seeded();
    for mode in Mode::ALL {
        for side in [Side::Host, Side::Module] {
            let keys = Keys::new(&mut random);
            let mut c = puppet();
            assert_eq!(c.create(mode as u8, side, 0x1f, &keys.of_c(), random.next_u64()), 0);
            let mut refused = 0;
            for now in 0..300 {
                let len = random.between(0, 700);
                // Zeros are what the delimiting is about.
                let wire: Vec<u8> =
                    random.bytes(len).into_iter().map(|byte| if byte < 24 { byte & 7 } else { byte }).collect();
                for told in c.receive(&wire, now) {
                    let Told::Refused(reason) = told else { panic!("{told:?}") };
                    assert!((1..=23).contains(&reason));
                    refused += 1;
                }
            }
            assert!(refused > 1000, "{refused}");
            let settings = Settings::default();
            let done = match mode {
                Mode::Psk => {
                    exchange(&mut c, &mut End::new(side.other(), keys.psk(), settings), Noise(0), 500, &mut random)
                }
                Mode::NoiseNn => {
                    exchange(&mut c, &mut End::new(side.other(), keys.nn(), settings), Noise(0), 500, &mut random)
                }
                Mode::NoiseKk => {
                    exchange(&mut c, &mut End::new(side.other(), keys.kk(), settings), Noise(0), 500, &mut random)
                }
            };
            assert_eq!(done.opened.len(), 1);
            // The session outlives more of it, and a wanted handshake.
            let junk = random.bytes(900);
            assert!(c.receive(&junk, 20_000_000).iter().all(|told| matches!(told, Told::Refused(_))));
            assert!(c.status().is_open && c.reconnect() == 0 && c.wake_at() > 0);
        }
    }
}

#[test]
fn small_buffers_are_told_so_and_cost_nothing() {
    let mut random = Generator::seeded();
    let keys = Keys::new(&mut random);
    let mut c = puppet();
    assert_eq!(c.create(Mode::Psk as u8, Side::Host, 0x1f, &keys.of_c(), 5), 0);
    for room in 0..67 {
        assert_eq!(c.transmit(1000, room), (vec![], -17), "{room}");
    }
    let mut end = End::new(Side::Module, keys.psk(), Settings::default());
    let done = exchange(&mut c, &mut end, Noise(0), 2000, &mut random);
    assert_eq!(done.opened.len(), 1);
}

#[test]
fn calls_in_any_order_are_answered_by_number() {
    let mut random = Generator::seeded();
    let mut c = puppet();
    let (mut answers, mut calls) = (std::collections::BTreeMap::new(), 0);
    let mut now = 0;
    for _ in 0..5000 {
        now += random.below(500) as u64;
        let code = match random.below(9) {
            0 => {
                let keys = Keys::new(&mut random);
                let mode = *random.pick(&Mode::ALL);
                let side = *random.pick(&[Side::Host, Side::Module]);
                // Among them no suite, and suites that do not exist.
                let suites = u8::try_from(random.below(64)).unwrap();
                c.create(mode as u8, side, suites, &keys.of_c(), random.next_u64())
            }
            1 => {
                let len = random.below(400);
                c.send(&random.bytes(len)).0
            }
            2 => c.escape(),
            3 => c.reconnect(),
            4 => c.wipe().0,
            5 => {
                let room = u16::try_from(random.below(400)).unwrap();
                c.transmit(now, room).1
            }
            _ => {
                let len = random.below(400);
                let wire = random.bytes(len);
                let told = c.receive(&wire, now);
                assert!(told.iter().all(|told| matches!(told, Told::Refused(_))), "{told:?}");
                continue;
            }
        };
        calls += 1;
        *answers.entry(code).or_insert(0) += 1;
    }
    // OK, NULL (no link was created), NONE (wiped), ARGUMENT (suites), NOT_OPEN, NO_ROOM: and nothing else.
    let numbers: Vec<i32> = answers.keys().copied().collect();
    assert_eq!(numbers, [-17, -16, -8, -6, -1, 0], "{answers:?}");
    println!("{calls} calls: {answers:?}");
}

#[test]
fn keys_derived_in_c_are_those_of_rust() {
    let mut random = Generator::seeded();
    let mut c = puppet();
    for _ in 0..200 {
        let material: [u8; 32] = random.array();
        let (mac, id, own) = (*random.pick(&[0, 6, 8]), *random.pick(&[0, 16]), random.below(256));
        let (mac, unique_id, own) = (random.bytes(mac), random.bytes(id), random.bytes(own));
        let ingredients = Ingredients { mac: &mac, unique_id: &unique_id, own: &own };
        let derivation = Derivation::new(&LinkSecret::new(secret(&material)), ingredients).unwrap();
        let parts = [&mac[..], &unique_id, &own];
        assert_eq!(c.derive(&material, parts), (0, *derivation.psk().expose()));
        assert_eq!(c.public_key(&material), (0, public_key(&secret(&material))));
        let (cipher, both) = (random.below(Cipher::ALL.len()), random.below(2) == 1);
        let side = *random.pick(&[Side::Host, Side::Module]);
        let number = u8::try_from(cipher + 1).unwrap();
        assert_eq!(c.compat_derived(number, side, u8::from(both), &material, parts), 0);
        let (to_module, to_host) = if both { (Way::Both, Way::Both) } else { (Way::ToModule, Way::ToHost) };
        let [to_module, to_host] = [to_module, to_host].map(|way| derivation.compat(Cipher::ALL[cipher], way));
        // The other end.
        let mut ours = match side {
            Side::Host => CompatEnd::new(&to_host, &to_module),
            Side::Module => CompatEnd::new(&to_module, &to_host),
        };
        understood(&mut c, &mut ours, &mut random);
    }
}

#[test]
fn keystreams_in_c_are_those_of_rust_byte_for_byte() {
    let mut random = Generator::seeded();
    let mut c = puppet();
    for (number, cipher) in (1..).zip(Cipher::ALL) {
        for _ in 0..20 {
            let mut key = || (random.bytes(cipher.key_len()), random.bytes(cipher.iv_len()));
            let (sending, receiving) = (key(), key());
            assert_eq!(c.compat(number, 0, [&sending.0, &sending.1, &receiving.0, &receiving.1]), 0);
            let [theirs, mine] =
                [&sending, &receiving].map(|(key, iv)| CompatKey::new(cipher, key, iv, ExampleKeys::Refuse).unwrap());
            understood(&mut c, &mut CompatEnd::new(&mine, &theirs), &mut random);
        }
        let (a, t) = (vec![b'A'; cipher.key_len()], vec![b'T'; cipher.iv_len()]);
        assert_eq!(c.compat(number, 0, [&a, &t, &a, &t]), -10, "the example's key");
        assert_eq!(c.compat(number, 1, [&a, &t, &a, &t]), 0);
    }
    // The transcript of the example: its module is ready, its host says AT.
    let (a, t) = ([b'A'; 16], [b'T'; 16]);
    assert_eq!(c.compat(1, 1, [&a, &t, &a, &t]), 0);
    assert_eq!(hex(&c.keystream(false, &[0xa1, 0x61, 7, 0xbf, 0x80, 0x39, 0xc9, 0x54, 0x13]).1), hex(b"\r\nready\r\n"));
    assert_eq!(c.keystream(true, b"AT\r\n"), (0, vec![0xed, 0x3f, 0x78, 0xd0]));
}

fn understood(c: &mut Puppet, ours: &mut CompatEnd, random: &mut Generator) {
    for _ in 0..6 {
        let len = random.below(4097);
        let plain = random.bytes(len);
        let (code, mut sealed) = c.keystream(true, &plain);
        assert_eq!(code, 0);
        ours.receive(&mut sealed).unwrap();
        assert_eq!(sealed, plain);
        ours.send(&mut sealed).unwrap();
        assert_eq!(c.keystream(false, &sealed), (0, plain));
    }
    let much = vec![9; 4097];
    assert_eq!(c.keystream(true, &much), (-4, much), "refused, and not touched");
}

#[test]
fn misuse_is_refused_by_number_and_touches_no_memory_that_is_not_its_own() {
    let folder = temp_dir();
    let sanitized = ran(&mut Command::new(linked("misuse.c", folder.path(), &SANITIZERS)));
    assert!(sanitized.contains(" checks, 0 failures"), "{sanitized}");
    let plain = linked("misuse.c", folder.path(), &[]);
    let under_valgrind = ran(Command::new("valgrind")
        .args(["--quiet", "--error-exitcode=9", "--leak-check=full", "--expensive-definedness-checks=yes"])
        .arg(plain));
    assert_eq!(under_valgrind, sanitized, "valgrind has nothing to say");
    println!("{}", sanitized.trim());
}

#[test]
fn all_sources_compile_without_a_warning_as_c_and_as_cpp() {
    for name in ["examples/serial_host.c", "puppet.c", "misuse.c"] {
        for (language, standard) in [("c", "c99"), ("c", "c11"), ("c", "c17"), ("c++", "c++11"), ("c++", "c++20")] {
            compiles(name, language, standard);
        }
    }
}

#[test]
fn the_library_exports_what_the_header_declares_and_needs_nothing_but_memory_functions() {
    let header = std::fs::read_to_string(source("include/cotter_link.h")).unwrap();
    let symbols = |flags: &[&str]| -> Vec<String> {
        let printed = ran(Command::new("nm").args(flags).args(["--extern-only", "--quiet"]).arg(library()));
        let lines = printed.lines().filter_map(|line| line.split_whitespace().last());
        lines.filter(|name| !name.ends_with(':')).map(str::to_owned).collect()
    };
    let mut exported: Vec<String> = symbols(&["--defined-only"]);
    exported.retain(|name| name.starts_with("cotter_"));
    exported.sort();
    assert!(exported.len() >= 20, "{exported:?}");
    for name in &exported {
        assert!(header.contains(&format!("{name}(")), "{name} is not in the header");
    }
    let linked = ran(Command::new("nm").args(["--undefined-only", "--quiet"]).arg(library()));
    let mut missing: Vec<&str> = linked.lines().filter_map(|line| line.trim().strip_prefix("U ")).collect();
    let defined = symbols(&["--defined-only"]);
    missing.retain(|name| !defined.iter().any(|known| known == name));
    missing.sort_unstable();
    missing.dedup();
    let memory = ["bcmp", "memcmp", "memcpy", "memmove", "memset", "strlen"];
    // The compiler's own helpers call each other by hidden names.
    missing.retain(|name| !memory.contains(name) && !name.starts_with('_'));
    assert!(missing.is_empty(), "{missing:?}");
}

/// A module in Rust behind a pseudo-terminal, the example of the documentation in front of it.
fn serial_host<C: Credentials>(
    flag: Option<&str>,
    psk: [u8; 32],
    module: C,
    random: &mut Generator,
) -> (bool, String, String) {
    let folder = temp_dir();
    let program = linked("examples/serial_host.c", folder.path(), &SANITIZERS);
    let (port, key) = (folder.path().join("port"), folder.path().join("link.key"));
    std::fs::write(&key, hex(&psk)).unwrap();
    let mut terminal = SerialPort::terminal(&port).unwrap();
    let mut child = Command::new(program);
    child.args(flag).args([&port, &key] as [&Path; 2]);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"AT\nAT+GMR\n").unwrap();
    let mut end: Ours<C> = End::new(Side::Module, module, Settings::default());
    let (begun, mut buffer, mut commands) = (Instant::now(), [0; 512], String::new());
    while begun.elapsed() < Duration::from_secs(60) && child.try_wait().unwrap().is_none() {
        let event = terminal.wait(&mut buffer, Duration::from_millis(10)).unwrap();
        let now = u64::try_from(begun.elapsed().as_millis()).unwrap();
        if let LineEvent::Bytes(count) = event {
            for told in told(&mut end, &buffer[..count], now, random) {
                let Told::Data(data) = told else { continue };
                commands.push_str(&String::from_utf8(data).unwrap());
            }
        }
        while let Some((command, rest)) = commands.split_once("\r\n") {
            let answer = format!("{command}\r\n\r\nOK\r\n");
            assert_eq!(end.send(answer.as_bytes()), Ok(answer.len()));
            commands = rest.to_owned();
        }
        for frame in said(&mut end, now, random) {
            terminal.write(&frame).unwrap();
        }
    }
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_example_gives_commands_over_a_pseudo_terminal() {
    let mut random = Generator::seeded();
    let keys = Keys::new(&mut random);
    let answers = "AT\r\n\r\nOK\r\nAT+GMR\r\n\r\nOK\r\n";
    let (success, stdout, stderr) = serial_host(None, keys.psk, keys.psk(), &mut random);
    assert!(success && stdout == answers && stderr.contains("link: open, suite 1\n"), "{stdout}\n{stderr}");
    let (success, stdout, stderr) = serial_host(Some("--noise"), keys.psk, keys.nn(), &mut random);
    assert!(success && stdout == answers && stderr.contains("link: open, suite 1\n"), "{stdout}\n{stderr}");
    // With another key no command leaves, and it says so.
    let other = Keys::new(&mut random);
    let (success, stdout, stderr) = serial_host(None, other.psk, keys.psk(), &mut random);
    assert!(!success && stdout.is_empty() && stderr.contains("no module answers with this key"), "{stdout}\n{stderr}");
    assert!(stderr.contains("not authentic: another key?"), "{stderr}");
}
