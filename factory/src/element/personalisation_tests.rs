//! Templates, plans, rehearsals and applications.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics where it fails")]

use super::rehearsal::SimulatedPart;
use super::*;
use crate::hex::hex;
use crate::journal::Journal;
use cotter_chip::atecc::{Entropy, Model, SecureElement};
use cotter_formats::secret::Secret;

fn identity() -> Template {
    Template::from_toml(IDENTITY).unwrap()
}

fn blank() -> SecureElement {
    SecureElement::fresh(Model::Atecc608A, [1, 2, 3, 4, 5, 6], Entropy::system())
}

fn slot(number: u16) -> Slot {
    Slot::new(number).unwrap()
}

fn key() -> Secret<32> {
    Secret::filled_by(|bytes| bytes.fill(0x7e))
}

#[test]
fn the_identity_profile_has_nothing_that_a_product_should_not_ship_with() {
    let plan = ElementPlan::new(identity(), blank().config().clone()).unwrap();
    assert_eq!(plan.compiled().findings(), []);
    let finished = plan.compiled().finished();
    let rules = SlotRules::of(&finished, slot(0));
    assert_eq!((rules.content, rules.reads, rules.writes), (Content::PrivateKey, Reads::Never, Writes::Never));
    assert!(rules.is_locked && !rules.is_regenerable && !finished.slot_config(slot(0)).creates_keys());
    assert!(!finished.slot_config(slot(0)).agrees() && finished.slot_config(slot(0)).signs_external());
    for number in [1, 2, 3, 4, 5, 7, 13, 14, 15] {
        let rules = SlotRules::of(&finished, slot(number));
        assert_eq!((rules.content, rules.reads), (Content::SecretOrData, Reads::Never), "{number}");
        assert_eq!(rules.writes, Writes::Never, "{number}");
    }
    assert_eq!(finished.chip_options().io_key(), Some(slot(6)));
}

#[test]
fn a_rehearsed_plan_is_applied_and_a_second_time_nothing_is_left_to_do() {
    let plan = ElementPlan::new(identity(), blank().config().clone()).unwrap();
    let rehearsed = rehearse(plan).unwrap();
    let verdict = rehearsed.verdict();
    assert!(verdict.commands > 100 && verdict.cuts == 2 * verdict.commands, "{verdict:?}");
    let seen = |what: &str| verdict.trials.iter().find(|trial| trial.what == what).unwrap().outcome;
    assert_eq!(seen("slot 0 signs, and its public key verifies it"), TrialOutcome::Done);
    assert_eq!(seen("make a new private key in slot 0"), TrialOutcome::Refused(0x0f));
    assert_eq!(seen("read slot 0"), TrialOutcome::Refused(0x0f));
    assert_eq!(seen("read slot 6"), TrialOutcome::Refused(0x0f));
    assert_eq!(seen("write slot 8 after that"), TrialOutcome::Refused(0x0f));
    assert_eq!(seen("counter 1 counts up"), TrialOutcome::Done);

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.jsonl");
    let mut part = SimulatedPart::new(blank());
    let mut journal = Journal::open(&path).unwrap();
    let known = Progress::read(&path, rehearsed.plan()).unwrap();
    let first = apply(&rehearsed, Some(&key()), &mut part, &known, &mut journal).unwrap();
    assert_eq!(part.element().config(), &rehearsed.plan().compiled().finished());
    let known = Progress::read(&path, rehearsed.plan()).unwrap();
    assert_eq!((known.is_begun, &known.keys), (true, &first.keys));
    let second = apply(&rehearsed, Some(&key()), &mut part, &known, &mut journal).unwrap();
    assert_eq!(second, first);
}

#[test]
fn a_plan_is_for_one_part_in_one_state() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(&directory.path().join("journal")).unwrap();
    let rehearsed = rehearse(ElementPlan::new(identity(), blank().config().clone()).unwrap()).unwrap();
    let mut go = |part: SecureElement| {
        let mut part = SimulatedPart::new(part);
        apply(&rehearsed, Some(&key()), &mut part, &Progress::default(), &mut journal)
    };
    let other = SecureElement::fresh(Model::Atecc608A, [9; 6], Entropy::system());
    assert!(matches!(go(other), Err(ApplyError::OtherPart { .. })));
    let mut changed = blank().config().clone();
    changed.0[20] ^= 1;
    assert!(matches!(go(SecureElement::with_config(changed, Entropy::system())), Err(ApplyError::NotAsPlanned)));
    // Begun, says the journal, but not by this plan alone.
    let mut changed = blank().config().clone();
    changed.0[20] = 0x77;
    let mut part = SimulatedPart::new(SecureElement::with_config(changed, Entropy::system()));
    let begun = Progress { is_begun: true, ..Progress::default() };
    let refused = apply(&rehearsed, Some(&key()), &mut part, &begun, &mut journal);
    assert!(matches!(refused, Err(ApplyError::Stray { at: 20 })));
    let refused = apply(&rehearsed, None, &mut SimulatedPart::new(blank()), &begun, &mut journal);
    assert!(matches!(refused, Err(ApplyError::MissingKey(_))));
}

#[test]
fn a_key_in_a_locked_slot_that_the_journal_does_not_know_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal");
    let rehearsed = rehearse(ElementPlan::new(identity(), blank().config().clone()).unwrap()).unwrap();
    let mut part = SimulatedPart::new(blank());
    let mut journal = Journal::open(&path).unwrap();
    apply(&rehearsed, Some(&key()), &mut part, &Progress::default(), &mut journal).unwrap();
    let begun = Progress { is_begun: true, ..Progress::default() };
    let refused = apply(&rehearsed, Some(&key()), &mut part, &begun, &mut journal).unwrap_err();
    assert!(matches!(refused, ApplyError::Step { source: StepError::UnknownKey { slot: 0 }, .. }), "{refused}");
}

#[test]
fn another_transport_key_than_the_parts_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal");
    let rehearsed = rehearse(ElementPlan::new(identity(), blank().config().clone()).unwrap()).unwrap();
    let mut part = SimulatedPart::new(blank());
    let mut journal = Journal::open(&path).unwrap();
    apply(&rehearsed, Some(&key()), &mut part, &Progress::default(), &mut journal).unwrap();
    let known = Progress::read(&path, rehearsed.plan()).unwrap();
    let other = Secret::filled_by(|bytes| bytes.fill(0x7f));
    let refused = apply(&rehearsed, Some(&other), &mut part, &known, &mut journal).unwrap_err();
    assert!(matches!(refused, ApplyError::Step { source: StepError::OtherTransportKey { slot: 6 }, .. }), "{refused}");
}

/// The process dies while it writes a line, at each byte of the journal; the next one goes on.
#[test]
fn a_journal_that_was_cut_anywhere_is_enough_to_go_on_or_to_refuse() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal");
    let rehearsed = rehearse(ElementPlan::new(identity(), blank().config().clone()).unwrap()).unwrap();
    let mut part = SimulatedPart::new(blank());
    let made =
        apply(&rehearsed, Some(&key()), &mut part, &Progress::default(), &mut Journal::open(&path).unwrap()).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let created = whole.windows(11).position(|window| window == b"key-created").unwrap();
    for cut in (0..whole.len()).step_by(7) {
        std::fs::write(&path, whole.get(..cut).unwrap()).unwrap();
        let known = Progress::read(&path, rehearsed.plan()).unwrap();
        // The key is known once its line is whole, and never wrongly.
        assert!(known.keys.is_empty() || known.keys == made.keys);
        assert!(known.keys.is_empty() || cut > created, "{cut}");
        Journal::open(&path)
            .unwrap()
            .record(&crate::journal::Entry::KeyCreated { slot: 9, public_key: &"5a".repeat(64) })
            .unwrap();
        let again = Progress::read(&path, rehearsed.plan()).unwrap();
        assert_eq!(again.keys.contains_key(&9), known.is_begun, "{cut}");
    }
}

#[test]
fn content_that_is_not_the_plans_is_not_locked() {
    // The OTP zone of this part is not as it is sold, which only the sum over it tells.
    let plan = ElementPlan::new(identity(), blank().config().clone()).unwrap();
    let rehearsed = rehearse(plan).unwrap();
    let otp = [0x6b; 64];
    let mut bytes = blank().to_bytes();
    bytes[24 + 128..24 + 128 + 64].copy_from_slice(&otp);
    let end = bytes.len() - 32;
    let sum = <sha2::Sha256 as sha2::Digest>::digest(&bytes[..end]);
    bytes[end..].copy_from_slice(&sum);
    let mut part = SimulatedPart::new(SecureElement::from_bytes(&bytes, Entropy::system()).unwrap());
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(&directory.path().join("journal")).unwrap();
    let refused = apply(&rehearsed, Some(&key()), &mut part, &Progress::default(), &mut journal).unwrap_err();
    assert!(matches!(refused, ApplyError::Step { source: StepError::LockRefused { status: 0x0f }, .. }), "{refused}");
    assert!(!part.element().config().is_data_locked());
}

#[test]
fn a_plan_file_says_what_follows_from_it_and_nothing_else() {
    let plan = ElementPlan::new(identity(), blank().config().clone()).unwrap();
    let text = plan.to_json();
    assert_eq!(ElementPlan::from_json(text.as_bytes()).unwrap(), plan);
    assert!(text.contains("private key; nobody reads it, replaces it"), "{text}");
    let after = hex(&plan.compiled().config.0);
    let edited = text.replace(&after, &after.replace("8f8f", "8f0f"));
    for edited in [
        text.replace("lock the configuration zone", "do nothing"),
        text.replace("\"irreversible\": true", "\"irreversible\": false"),
        text.replace("\"use\": \"transport-key\"", "\"use\": \"closed\""),
        text.replace("0000600", "0000601"),
        text.replacen("\"digest\": \"", "\"digest\": \"00", 1),
    ]
    .into_iter()
    .chain((edited != text).then_some(edited))
    {
        assert!(matches!(ElementPlan::from_json(edited.as_bytes()), Err(PlanError::Edited { .. })), "{edited}");
    }
    assert!(matches!(ElementPlan::from_json(b"{"), Err(PlanError::Json(_))));
    let other = text.replace("cotter-element-plan/1", "cotter-element-plan/2");
    assert!(matches!(ElementPlan::from_json(other.as_bytes()), Err(PlanError::Format { .. })));
}

#[test]
fn what_is_locked_is_not_planned_for() {
    let refusal = |at: usize, value: u8| {
        let mut config = blank().config().clone();
        config.0[at] = value;
        ElementPlan::new(identity(), config).unwrap_err()
    };
    assert!(matches!(refusal(87, 0), PlanError::Locked("configuration")));
    assert!(matches!(refusal(86, 0), PlanError::Locked("data")));
    assert!(matches!(refusal(88, 0xfe), PlanError::SlotLocked(0)));
    assert!(matches!(refusal(6, 0x20), PlanError::Template(TemplateError::Revision(_))));
}

#[test]
fn templates_that_make_no_sense_are_refused_by_name() {
    let compile = |text: &str| {
        let template = Template::from_toml(&format!("name = \"t\"\n{text}")).unwrap();
        template.compile(blank().config()).unwrap_err()
    };
    let slot = |number: u8, rest: &str| format!("[[slot]]\nslot = {number}\n{rest}\n");
    assert!(matches!(compile("address = 0x7f"), TemplateError::Address(0x7f)));
    assert!(matches!(compile("counters = [0, 2097152]"), TemplateError::Counter(2_097_152)));
    assert!(matches!(compile(&slot(16, "use = \"data\"")), TemplateError::Slot(16)));
    assert!(matches!(compile(&slot(3, "use = \"data\"").repeat(2)), TemplateError::Twice(3)));
    let two = slot(3, "use = \"transport-key\"") + &slot(4, "use = \"transport-key\"");
    assert!(matches!(compile(&two), TemplateError::Second(4)));
    let field = compile(&slot(3, "use = \"identity\"\nread = \"nobody\""));
    assert!(matches!(field, TemplateError::Field { slot: 3, field: "read" }));
    assert!(matches!(compile(&slot(3, "use = \"certificate\"")), TemplateError::Small(3)));
    assert!(matches!(compile(&slot(3, "use = \"data\"\nwrite = \"nobody\"")), TemplateError::ClearRead(3)));
    let encrypted = slot(3, "use = \"data\"\nread = \"encrypted\"\nwrite = \"nobody\"");
    assert!(matches!(compile(&encrypted), TemplateError::NoTransportKey(3)));
    assert!(matches!(compile(&slot(3, "use = \"identity\"\nlimited = true")), TemplateError::NoLimit(3)));
    assert!(matches!(compile(&slot(3, "use = \"count-limit\"\nlimit = 33")), TemplateError::Limit(3)));
    assert!(matches!(compile(&slot(3, "use = \"data\"\ncontent = \"0\"")), TemplateError::Content(3)));
    assert!(matches!(compile(&slot(9, "use = \"public-key\"\ncontent = \"00\"")), TemplateError::Point(9)));
    assert!(matches!(compile("otp = \"00\""), TemplateError::Otp));
    let open = compile(&slot(3, "use = \"agreement\""));
    assert!(
        matches!(open, TemplateError::Findings(found) if found == [Finding::AgreesInTheClear(Slot::new(3).unwrap())])
    );
    assert!(matches!(Template::from_toml("nome = 1"), Err(TemplateError::Toml(_))));
}

#[test]
fn a_template_with_all_there_is_comes_through_its_rehearsal() {
    let text = r#"
        name = "all"
        address = 0x35
        watchdog = "long"
        clock = "m1"
        counters = [0, 7]
        otp = "000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f"
        [[slot]]
        slot = 0
        use = "identity"
        [[slot]]
        slot = 1
        use = "identity"
        limited = true
        [[slot]]
        slot = 2
        use = "agreement"
        [[slot]]
        slot = 4
        use = "transport-key"
        [[slot]]
        slot = 5
        use = "count-limit"
        limit = 64
        [[slot]]
        slot = 7
        use = "data"
        read = "encrypted"
        write = "encrypted"
        [[slot]]
        slot = 8
        use = "certificate"
        [[slot]]
        slot = 9
        use = "data"
        content = "c0ffee"
        lock = true
        [[slot]]
        slot = 10
        use = "public-key"
        content = "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
        lock = true
    "#;
    for model in [Model::Atecc608A, Model::Atecc608B] {
        let part = SecureElement::fresh(model, [1; 6], Entropy::system());
        let plan = ElementPlan::new(Template::from_toml(text).unwrap(), part.config().clone()).unwrap();
        let rehearsed = rehearse(plan).unwrap();
        let finished = rehearsed.plan().compiled().finished();
        assert_eq!((finished.address(), finished.has_long_watchdog()), (0x35, true));
        assert_eq!(finished.count_match(), Some(slot(5)));
        assert!([0, 1, 2, 9, 10].iter().all(|number| finished.is_slot_locked(slot(*number))));
    }
}

/// As far as it goes: the simulated part is an ATECC608 with the configuration zone of an ATECC508A.
#[test]
fn a_part_of_the_older_generation_keeps_what_it_does_not_know() {
    let mut config = blank().config().clone();
    config.0[4..8].copy_from_slice(&[0, 0, 0x50, 0]);
    config.0[13] = 0;
    config.0[18] = 0xaa;
    config.0[68..84].fill(0xff);
    let plan = ElementPlan::new(identity(), config.clone()).unwrap();
    assert_eq!(plan.compiled().config.0[68..84], [0xff; 16]);
    assert_eq!((plan.compiled().config.0[18], plan.compiled().config.0[90..92].to_vec()), (0xaa, vec![0, 0]));
    assert_eq!(plan.model(), "ATECC508A");
    let limit = "name = \"t\"\n[[slot]]\nslot = 5\nuse = \"count-limit\"\nlimit = 32";
    let refused = ElementPlan::new(Template::from_toml(limit).unwrap(), config).unwrap_err();
    assert!(matches!(refused, PlanError::Template(TemplateError::Generation(5, _))), "{refused}");
    rehearse(plan).unwrap();
}
