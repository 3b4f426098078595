//! What a virtual chip and a simulated secure element are told.

use super::{Outcome, seed};
use cotter_chip::atecc::{Entropy, Model, SecureElement};
use cotter_factory::element::{ElementPlan, IDENTITY, Template};
use cotter_formats::atecc::certificate::{CompressedCertificate, CompressedDates, Hour, SerialSource};
use cotter_formats::atecc::{Command, Opcode};
use cotter_formats::chip::Chip;

/// Requests as esptool sends them, each behind the byte that picks the chip.
pub(super) fn serial_loader() -> Outcome {
    let esp32c3 = u8::try_from(Chip::ALL.iter().position(|chip| *chip == Chip::Esp32C3).ok_or("no ESP32-C3")?)?;
    let request = |op: u8, checksum: u8, words: &[u32], rest: &[u8]| -> Vec<u8> {
        let data: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).chain(rest.iter().copied()).collect();
        let len = u16::try_from(data.len()).unwrap_or(0).to_le_bytes();
        let header = [0, op, len[0], len[1], checksum, 0, 0, 0];
        let mut frame = vec![0xc0];
        for byte in header.into_iter().chain(data) {
            match byte {
                0xc0 => frame.extend([0xdb, 0xdc]),
                0xdb => frame.extend([0xdb, 0xdd]),
                byte => frame.push(byte),
            }
        }
        frame.push(0xc0);
        frame
    };
    let block = |op: u8, content: &[u8]| -> Result<Vec<u8>, Box<dyn std::error::Error>> {
        let checksum = content.iter().fold(0xef, |sum, byte| sum ^ byte);
        Ok(request(op, checksum, &[u32::try_from(content.len())?, 0, 0, 0], content))
    };
    let stub = [
        request(5, 0, &[4, 1, 0x1800, 0x4038_0000], &[]),
        block(7, &[1, 2, 3, 4])?,
        request(6, 0, &[0, 0x4038_0000], &[]),
    ]
    .concat();
    let deflated: &[u8] = &[0x78, 0x9c, 0x4b, 0x4c, 0x4a, 0x06, 0, 2, 0x4d, 1, 0x27];
    let burn = [
        request(9, 0, &[0x6000_8800, 1, u32::MAX, 0], &[]),
        request(9, 0, &[0x6000_89cc, 0x5a5a, u32::MAX, 0], &[]),
        request(9, 0, &[0x6000_89d4, 2 | 3 << 2, u32::MAX, 0], &[]),
        request(10, 0, &[0x6000_8878], &[]),
    ]
    .concat();
    let seeds = [
        ("sync", request(8, 0, &[0x2012_0707], &[0x55; 32])),
        ("flash_id", request(9, 0, &[0x6000_2020, 0x7000_009f, u32::MAX, 0, 0x6000_2000, 1 << 18, u32::MAX, 0], &[])),
        ("write", [request(2, 0, &[4, 1, 0x400, 0x1000, 0], &[]), block(3, &[1, 2, 3, 4])?].concat()),
        ("deflated", [request(0x10, 0, &[3, 1, 0x400, 0], &[]), block(0x11, deflated)?].concat()),
        ("burn", burn),
        ("stub_read", [stub, request(0xd2, 0, &[0, 0x1800, 0x1000, 2], &[])].concat()),
    ];
    for (name, bytes) in seeds {
        seed("serial_loader", name, &[&[esp32c3][..], &bytes].concat())?;
    }
    Ok(())
}

/// Lock state and commands, as the body reads them; the demo's among them.
pub(super) fn atecc_commands() -> Outcome {
    let line = |opcode: Opcode, param1: u8, param2: u16, data: &[u8]| -> Vec<u8> {
        let [low, high] = param2.to_le_bytes();
        [&[opcode.0, param1, low, high, u8::try_from(data.len()).unwrap_or(0)][..], data].concat()
    };
    let session = [line(Opcode::NONCE, 0, 0, &[7; 20]), line(Opcode::GEN_DIG, 2, 4, &[])].concat();
    let seeds = [
        ("open", [line(Opcode::WRITE, 0, 5, &[0x8f, 0x20, 0, 0]), line(Opcode::LOCK, 0x80, 0, &[])].concat(), 0),
        ("data", [line(Opcode::WRITE, 0x82, 8 << 3, &[1; 32]), line(Opcode::LOCK, 0x81, 0, &[])].concat(), 1),
        ("keys", [line(Opcode::GEN_KEY, 4, 1, &[]), line(Opcode::LOCK, 6, 0, &[])].concat(), 1),
        ("sign", [line(Opcode::NONCE, 0x43, 0, &[5; 32]), line(Opcode::SIGN, 0xa0, 0, &[])].concat(), 2),
        ("verify", [line(Opcode::NONCE, 0x43, 0, &[5; 32]), line(Opcode::VERIFY, 0x22, 4, &[1; 128])].concat(), 2),
        ("read", [session.clone(), line(Opcode::READ, 0x82, 3 << 3, &[])].concat(), 2),
        ("write", [session.clone(), line(Opcode::WRITE, 0x82, 5 << 3, &[9; 64])].concat(), 2),
        ("derive", [session, line(Opcode::DERIVE_KEY, 0, 5, &[])].concat(), 2),
        ("mac", [line(Opcode::MAC, 0x40, 4, &[3; 32]), line(Opcode::CHECK_MAC, 0, 4, &[3; 77])].concat(), 2),
        (
            "sha",
            [line(Opcode::SHA, 0, 0, &[]), line(Opcode::SHA, 1, 3, b"abc"), line(Opcode::SHA, 6, 0, &[])].concat(),
            2,
        ),
        ("hmac", [line(Opcode::SHA, 4, 4, &[]), line(Opcode::SHA, 2, 3, b"abc")].concat(), 2),
        ("ecdh", [line(Opcode::GEN_KEY, 4, 0xffff, &[]), line(Opcode::ECDH, 0x0d, 0, &[4; 64])].concat(), 2),
        ("kdf", [line(Opcode::NONCE, 3, 0, &[1; 32]), line(Opcode::KDF, 0x10, 0, &[1, 0, 0, 2, 8, 9])].concat(), 2),
        ("aes", [line(Opcode::NONCE, 0x23, 0, &[1; 64]), line(Opcode::AES, 0, 0xffff, &[2; 16])].concat(), 2),
        ("count", [line(Opcode::COUNTER, 1, 0, &[]), line(Opcode::UPDATE_EXTRA, 0, 7, &[])].concat(), 2),
        ("boot", line(Opcode::SECURE_BOOT, 5, 0, &[6; 96]), 2),
        ("info", [line(Opcode::INFO, 2, 0, &[]), line(Opcode::SELF_TEST, 0x3b, 0, &[])].concat(), 2),
    ];
    for (name, commands, locks) in seeds {
        seed("atecc_commands", name, &[&[locks][..], &commands].concat())?;
    }
    let mut packet = [0; 64];
    let len = Command { opcode: Opcode::NONCE, param1: 3, param2: 0, data: &[8; 32] }.write(&mut packet).unwrap_or(0);
    seed("atecc_commands", "packet", &packet[..len])
}

/// Lines of the bus, and the file of a part.
pub(super) fn element_bus() -> Outcome {
    seed("element_bus", "info", b"wake\nwait 1500\nr 60 4\nw 60 030730000000035d\nwait 5000\nr 60 1\nr 60 6\ntime\n")?;
    seed("element_bus", "random", b"w 00 01\nwait 1500\nw 60 03071b000000ab4d\nw 60 02\nw 60 01\nr 60 256\n")?;
    seed("element_bus", "power", b"power off\nw 60 00\npower on\nw 60\n\nhello\nw 60 0\nr 80 1\n")?;
    let element = SecureElement::fresh(Model::Atecc608A, [1, 2, 3, 4, 5, 6], Entropy::known(0));
    seed("element_bus", "file", &element.to_bytes())
}

/// 72 bytes, and something that is unique.
pub(super) fn element_certificate() -> Outcome {
    let certificate = |years| {
        let issued = Hour { year: 2026, month: 11, day: 22, hour: 9 };
        let dates = CompressedDates::new(issued, years).ok()?;
        let (signature, signer_id, serial_source) = ([7; 64], [1, 2], SerialSource::KEY_HASH);
        let whole = CompressedCertificate { signature, dates, signer_id, template_id: 1, chain_id: 0, serial_source };
        Some([&whole.to_bytes()[..], &[9; 64]].concat())
    };
    for (name, years) in [("year", 1), ("for-ever", 0), ("century", 100)] {
        seed("element_certificate", name, &certificate(years).unwrap_or_default())?;
    }
    Ok(())
}

/// Requests to a board.
pub(super) fn element_kit() -> Outcome {
    let select = b"board:device(00)\nboard:device(01)\nE:physical:interface:i2c\nE:physical:select(C0)\n";
    seed("element_kit", "select", select)?;
    seed("element_kit", "info", b"E:w()\nE:t(0730000000035D)\nE:i()\ns:w()\ns:t(071b000000ab4d)\ns:s()\nE:t(00)\n")
}

/// The built-in template, one with all there is, and the plan of the first.
pub(super) fn element_plan() -> Outcome {
    let part = SecureElement::fresh(Model::Atecc608A, [3; 6], Entropy::known(3));
    let plan = ElementPlan::new(Template::from_toml(IDENTITY)?, part.config().clone())?;
    seed("element_plan", "template", IDENTITY.as_bytes())?;
    seed("element_plan", "plan", plan.to_json().as_bytes())?;
    let all = "name = \"all\"\naddress = 0x35\nwatchdog = \"long\"\nclock = \"m1\"\ncounters = [0, 7]\n\
        accept = [\"agrees-in-the-clear\"]\n[[slot]]\nslot = 1\nuse = \"identity\"\nlimited = true\n[[slot]]\nslot = 2\n\
        use = \"agreement\"\n[[slot]]\nslot = 5\nuse = \"count-limit\"\nlimit = 64\n[[slot]]\nslot = 9\nuse = \"data\"\n\
        content = \"c0ffee\"\nlock = true\n";
    seed("element_plan", "all", all.as_bytes())
}

/// Which procedure, and what a quiet bus answers to its commands; then a bus that is not quiet.
pub(super) fn element_driver() -> Outcome {
    let quiet = |payload: &[u8]| -> Vec<u8> {
        [&[0, 0, 0, u8::try_from(payload.len()).unwrap_or(0)][..], payload, &[0, 0, 0]].concat()
    };
    let element = SecureElement::fresh(Model::Atecc608A, [1, 2, 3, 4, 5, 6], Entropy::known(0));
    let config = &element.config().0;
    let blocks: Vec<u8> = config.chunks(32).flat_map(quiet).collect();
    let done = quiet(&[0]);
    let three = |last: &[u8]| [quiet(&[7; 32]), done.clone(), quiet(last)].concat();
    let seeds = [
        ("identify", 0, [quiet(&config[4..8]), quiet(&config[..32])].concat()),
        ("random", 1, quiet(&[7; 32])),
        ("fixed", 1, quiet(&[0xff, 0xff, 0, 0].repeat(8))),
        ("context", 2, quiet(&[1; 99])),
        ("count", 3, quiet(&[1, 0, 0, 0])),
        ("tests", 4, quiet(&[0x11])),
        ("public", 0x25, quiet(&[3; 64])),
        ("config", 6, blocks),
        ("hmac", 0x47, [done.clone(), done.clone(), done.clone(), quiet(&[9; 32])].concat()),
        ("sign", 0x28, three(&[6; 64])),
        ("read", 0x39, three(&[5; 32])),
        ("verify", 10, [done.clone(), quiet(&[1; 32])].concat()),
        ("kdf", 0x4b, quiet(&[1; 96])),
        ("slot", 0x8c, [quiet(&[1; 32]), quiet(&[2; 32]), quiet(&[3; 32])].concat()),
        ("state", 13, quiet(&[0x14, 0x80, 0, 0])),
        ("refused", 13, quiet(&[0x0f])),
        ("rewind", 3, vec![0, 0xfd, 0, 0, 0, 0, 0xfe, 0, 4, 1, 0, 0, 0, 0, 0xff, 0, 0, 0, 0]),
        ("damaged", 13, vec![0, 0, 0, 0x84, 7, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 2, 3, 4]),
    ];
    for (name, which, script) in seeds {
        seed("element_driver", name, &[&[which][..], &script].concat())?;
    }
    Ok(())
}
