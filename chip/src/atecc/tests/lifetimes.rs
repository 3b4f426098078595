//! Wake, idle, sleep, watchdog, and what each leaves of the volatile memory.

use super::*;

/// `TempKey.Valid` and the flags, as `Info` tells them.
fn state(host: &mut Host) -> [u8; 2] {
    let state = host.ok(Opcode::INFO, 2, 0, &[]);
    [state[0], state[1]]
}

#[test]
fn the_demos_commands_get_the_demos_answers() {
    let mut host = Host::configured(&DEMO, 2);
    host.idles = false;
    host.wake();
    assert_eq!(host.answer(), [0x11]);
    assert_eq!(host.send(&hex!("0730000000035d")), Written::Acknowledged(8));
    assert_eq!(host.answer(), hex!("00006002"));
    // The demo's driver sends its whole buffer; what lies past the count is not acknowledged.
    let mut buffer = [0; 151];
    buffer[..7].copy_from_slice(&hex!("07470000002e85"));
    assert_eq!(host.send(&buffer), Written::Acknowledged(8));
    assert_eq!(host.answer(), [0]);
}

#[test]
fn a_part_that_sleeps_or_works_acknowledges_nothing() {
    let mut host = Host::new();
    assert_eq!(host.part.read(host.now, ADDRESS, 4), None);
    assert_eq!(host.part.write(host.now, 0x50, &[0xff]), Written::Nack);
    host.wait(timing::WAKE);
    assert_eq!(host.part.read(host.now, ADDRESS, 4), None, "that woke nobody");
    assert_eq!(host.part.write(host.now, 0, &[1]), Written::Nack);
    assert_eq!(host.part.read(host.now, ADDRESS, 4), None, "it takes its time");
    host.wait(timing::WAKE);
    assert_eq!(host.part.read(host.now, 0x61, 4), None, "another's address");
    assert_eq!(host.part.read(host.now, ADDRESS, 6), Some(hex!("04113343ffff").to_vec()));
    assert_eq!(host.part.read(host.now, ADDRESS, 1), Some(vec![0xff]));
    assert_eq!(host.part.write(host.now, ADDRESS, &[0]), Written::Acknowledged(1));
    assert_eq!(host.part.read(host.now, ADDRESS, 2), Some(vec![4, 0x11]), "it can be read again");
    host.send(&hex!("0730000000035d"));
    assert_eq!(host.part.read(host.now, ADDRESS, 1), None, "busy");
    assert_eq!(host.part.write(host.now, ADDRESS, &[2]), Written::Nack, "busy");
    host.wait(Duration::from_millis(5));
    assert_eq!(host.part.read(host.now, ADDRESS, 1), Some(vec![7]));
}

#[test]
fn a_command_may_come_in_pieces_and_a_reset_forgets_half_of_one() {
    let mut host = Host::new();
    host.idles = false;
    host.wake();
    let packet = hex!("0730000000035d");
    for byte in packet {
        assert_eq!(host.send(&[byte]), Written::Acknowledged(2));
    }
    assert_eq!(host.answer(), hex!("00006002"));
    host.send(&packet[..3]);
    assert_eq!(host.part.read(host.now, ADDRESS, 1), None, "half a command");
    assert_eq!(host.part.write(host.now, ADDRESS, &[0]), Written::Acknowledged(1));
    assert_eq!(host.send(&packet), Written::Acknowledged(8));
    assert_eq!(host.answer(), hex!("00006002"));
}

#[test]
fn a_damaged_command_is_a_communication_error() {
    let mut host = Host::new();
    host.idles = false;
    host.wake();
    let packet = hex!("0730000000035d");
    for bit in 8..packet.len() * 8 {
        let mut flipped = packet;
        flipped[bit / 8] ^= 1 << (bit % 8);
        host.send(&flipped);
        assert_eq!(host.answer(), [Status::COMMUNICATION.0], "{bit}");
    }
    for count in [0, 1, 6, 156, 255] {
        assert_eq!(host.send(&[count]), Written::Acknowledged(2));
        assert_eq!(host.answer(), [Status::COMMUNICATION.0], "{count}");
    }
}

#[test]
fn idle_keeps_the_buffers_and_sleep_does_not() {
    let mut host = Host::configured(&DEMO, 2);
    let setup = |host: &mut Host| {
        host.ok(Opcode::NONCE, 3, 0, &[1; 32]);
        host.ok(Opcode::NONCE, 0x43, 0, &[2; 32]);
        host.ok(Opcode::SHA, 0, 0, &[]);
    };
    host.ok(Opcode::GEN_KEY, 4, 2, &[]);
    setup(&mut host);
    assert_eq!(state(&mut host), [0x10, 0x80]);
    assert_eq!(host.ok(Opcode::SHA, 6, 0, &[]).len(), 36);
    assert_eq!(host.ok(Opcode::SIGN, 0xa0, 2, &[]).len(), 64);
    for ends in ["sleep", "watchdog", "power"] {
        setup(&mut host);
        host.wake();
        match ends {
            "sleep" => assert_eq!(host.part.write(host.now, ADDRESS, &[1]), Written::Acknowledged(1)),
            "watchdog" => host.wait(timing::WATCHDOG),
            _ => {
                host.part.set_power(false);
                assert_eq!(host.part.write(host.now, 0, &[0]), Written::Nack);
                host.part.set_power(true);
            }
        }
        assert_eq!(host.part.read(host.now, ADDRESS, 1), None, "{ends}");
        assert_eq!(state(&mut host), [0, 0], "{ends}");
        assert_eq!(host.refused(Opcode::SHA, 6, 0, &[]), Status::EXECUTION, "{ends}");
        assert_eq!(host.refused(Opcode::SIGN, 0xa0, 2, &[]), Status::EXECUTION, "{ends}");
    }
}

#[test]
fn the_watchdog_barks_whatever_happens_and_refuses_what_it_would_interrupt() {
    let mut host = Host::configured(&DEMO, 2);
    host.idles = false;
    host.wake();
    let start = host.now - timing::WAKE;
    // A command of 5 ms still fits, one of 115 ms does not.
    host.now = start + timing::WATCHDOG - Duration::from_millis(50);
    assert_eq!(host.run(Opcode::GEN_KEY, 0, 2, &[]), [Status::WATCHDOG.0]);
    assert_eq!(host.run(Opcode::INFO, 0, 0, &[]), hex!("00006002"));
    host.now = start + timing::WATCHDOG;
    assert_eq!(host.part.read(host.now, ADDRESS, 1), None);
    host.wake();
    assert_eq!(host.answer(), [0x11]);
    let mut config = DEMO;
    config[19] = 4;
    let mut patient = Host::configured(&config, 2);
    patient.wake();
    patient.wait(timing::WATCHDOG * 5);
    assert!(patient.part.read(patient.now, ADDRESS, 1).is_some(), "ten seconds");
}

#[test]
fn slower_clocks_take_longer() {
    for (mode, millis) in [(0x00, 115), (0x28, 220), (0x68, 665)] {
        let mut config = DEMO;
        config[19] = mode;
        let mut host = Host::configured(&config, 2);
        host.ok(Opcode::GEN_KEY, 4, 2, &[]);
        host.ok(Opcode::NONCE, 3, 0, &[1; 32]);
        let before = host.now;
        host.ok(Opcode::SIGN, 0x80, 2, &[]);
        let taken = host.now - before - timing::WAKE;
        assert_eq!(taken, Duration::from_millis(millis), "{mode:#x}");
    }
}

#[test]
fn temp_key_outlives_what_does_not_use_it() {
    let kept: [(Opcode, u8, u16, &[u8]); 9] = [
        (Opcode::RANDOM, 0, 0, &[]),
        (Opcode::READ, 0, 0, &[]),
        (Opcode::READ, 0x82, 2 << 3, &[]),
        (Opcode::COUNTER, 0, 0, &[]),
        (Opcode::SIGN, 0xa0, 2, &[]),
        (Opcode::INFO, 0, 0, &[]),
        (Opcode::NONCE, 0x43, 0, &[3; 32]),
        (Opcode::GEN_KEY, 0, 2, &[]),
        (Opcode::AES, 0, 0xffff, &[0; 16]),
    ];
    let cleared: [(Opcode, u8, u16, &[u8]); 3] =
        [(Opcode::MAC, 5, 4, &[]), (Opcode::SIGN, 0x80, 2, &[]), (Opcode::NONCE, 3, 0, &[1; 31])];
    for ((opcode, param1, param2, data), valid) in
        kept.into_iter().map(|line| (line, 0x80)).chain(cleared.into_iter().map(|line| (line, 0)))
    {
        let mut host = Host::configured(&DEMO, 2);
        host.ok(Opcode::GEN_KEY, 4, 2, &[]);
        host.ok(Opcode::NONCE, 3, 0, &[1; 32]);
        host.run(opcode, param1, param2, data);
        assert_eq!(state(&mut host)[1], valid, "{opcode:?}");
    }
}

#[test]
fn a_new_address_counts_from_the_next_wake() {
    let mut config = DEMO;
    config[16] = 0x6a;
    let mut host = Host::configured(&config, 0);
    assert_eq!(host.ok(Opcode::INFO, 0, 0, &[]), hex!("00006002"), "idle did not change it");
    host.wake();
    host.part.write(host.now, ADDRESS, &[1]);
    host.wake();
    assert_eq!(host.part.read(host.now, ADDRESS, 1), None);
    assert_eq!(host.part.read(host.now, 0x35, 1), Some(vec![4]));
}

#[test]
fn files_hold_all_that_survives_without_power() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("element.bin");
    let mut host = Host::configured(&DEMO, 2);
    let public = host.ok(Opcode::GEN_KEY, 4, 2, &[]);
    host.ok(Opcode::COUNTER, 1, 1, &[]);
    assert!(host.part.take_changed() && !host.part.take_changed());
    host.part.save(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(bytes.len(), super::super::STATE_LEN);
    host.part = SecureElement::load(&path, Entropy::known(2)).unwrap();
    assert_eq!(host.ok(Opcode::GEN_KEY, 0, 2, &[]), public);
    assert_eq!(host.ok(Opcode::COUNTER, 0, 1, &[]), [1, 0, 0, 0]);
    assert!(!host.part.take_changed());
    for cut in 0..bytes.len() {
        assert!(SecureElement::from_bytes(&bytes[..cut], Entropy::system()).is_err(), "{cut}");
    }
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(SecureElement::from_bytes(&flipped, Entropy::system()).is_err(), "{bit}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(64))]
    #[test]
    fn no_bytes_on_the_bus_break_it(
        locks in 0_u8..3,
        packets in proptest::collection::vec(
            (proptest::prelude::any::<u8>(), proptest::prelude::any::<u8>(), 0_u16..0x220,
             proptest::collection::vec(proptest::prelude::any::<u8>(), 0..140)), 1..12),
        noise in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40),
    ) {
        let mut host = Host::configured(&DEMO, locks);
        for (opcode, param1, param2, data) in &packets {
            let answer = host.run(Opcode(*opcode), *param1, *param2, data);
            proptest::prop_assert!((1..=99).contains(&answer.len()));
        }
        host.wake();
        host.part.write(host.now, ADDRESS, &noise);
        host.part.read(host.now, ADDRESS, noise.len());
    }
}
