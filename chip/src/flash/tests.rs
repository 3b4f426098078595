//! Tests of the flash part, with a model beside it.

use super::*;
use crate::fault::{CutPoint, Phase};
use proptest::prelude::*;

fn part() -> Flash {
    Flash::erased(FlashLen(4 * SECTOR), Fault::new(3)).unwrap()
}

#[test]
fn programming_only_clears_bits() {
    let mut flash = part();
    flash.write(8, &[0xf0, 0xff, 0x55, 0]).unwrap();
    flash.write(8, &[0xff, 0x0f, 0x0f, 0xff]).unwrap();
    let mut out = [0; 4];
    flash.read(8, &mut out).unwrap();
    assert_eq!(out, [0xf0, 0x0f, 0x05, 0]);
    flash.erase(0, SECTOR).unwrap();
    flash.read(8, &mut out).unwrap();
    assert_eq!(out, [0xff; 4]);
}

#[test]
fn counts_each_page_and_each_sector() {
    let mut flash = part();
    flash.write(252, &[0; 8]).unwrap();
    assert_eq!(flash.fault().operations(), 2);
    flash.erase(0, 3 * SECTOR).unwrap();
    assert_eq!(flash.fault().operations(), 5);
}

#[test]
fn refuses_what_the_part_cannot_do() {
    let mut flash = part();
    let addr = FlashAddr(2);
    assert_eq!(flash.write(2, &[0; 4]), Err(FlashError::NotAligned { addr, len: 4, unit: 4 }));
    let addr = FlashAddr(4 * SECTOR - 4);
    assert_eq!(flash.write(addr.0, &[0; 8]), Err(FlashError::OutOfBounds { addr, len: 8, capacity: 0x4000 }));
    assert!(matches!(flash.erase(0, 100), Err(FlashError::NotAligned { .. })));
    assert!(matches!(flash.erase(SECTOR, 0), Err(FlashError::OutOfBounds { .. })));
    assert!(matches!(flash.read(u32::MAX - 3, &mut [0; 8]), Err(FlashError::OutOfBounds { .. })));
    assert_eq!(flash.fault().operations(), 0);
}

#[test]
fn a_torn_program_leaves_a_prefix_and_one_partial_byte() {
    for op in 0..20 {
        let mut flash = part();
        let fault = flash.fault().clone();
        (0..op).for_each(|_| flash.write(SECTOR, &[0xff; 4]).unwrap());
        fault.cut_at(CutPoint { op, phase: Phase::Torn });
        assert_eq!(flash.write(0, &[0; 64]), Err(FlashError::PowerLost));
        assert_eq!(flash.read(0, &mut [0; 4]), Err(FlashError::PowerLost));
        fault.restore_power();
        let content = flash.content();
        let done = content.iter().take_while(|byte| **byte == 0).count();
        assert!(done < 64 || content[64..].iter().all(|byte| *byte == 0xff));
        assert!(content[(done + 1).min(64)..].iter().all(|byte| *byte == 0xff), "op {op}");
    }
}

#[test]
fn a_torn_erase_is_repeatable_and_never_clears() {
    let run = || {
        let flash = part();
        flash.overwrite_externally(FlashAddr(0), &[0x5a; 4096]).unwrap();
        flash.fault().cut_at(CutPoint { op: 0, phase: Phase::Torn });
        assert_eq!(flash.erase_at(FlashAddr(0), FlashLen(SECTOR)), Err(FlashError::PowerLost));
        flash.content()
    };
    let content = run();
    assert_eq!(content, run());
    assert!(content[..4096].iter().all(|byte| byte & 0x5a == 0x5a));
    assert!(content[..4096].contains(&0x5a) && content[..4096].contains(&0xff));
}

#[test]
fn a_file_holds_the_whole_content() {
    let path = std::env::temp_dir().join(format!("cotter-flash-{}.bin", std::process::id()));
    let flash = part();
    flash.program_at(FlashAddr(5), b"hello").unwrap();
    flash.save(&path).unwrap();
    let again = Flash::load(&path, Fault::default()).unwrap();
    assert_eq!(again.content(), flash.content());
    fs::remove_file(&path).unwrap();
    assert!(matches!(Flash::load(&path, Fault::default()), Err(FlashFileError::Io { .. })));
    assert!(matches!(Flash::with_content(vec![0; 100], Fault::default()), Err(FlashFileError::Size { len: 100 })));
}

#[derive(Clone, Debug)]
enum Operation {
    Program { at: u32, bytes: Vec<u8> },
    Erase { sector: u32 },
    Read { at: u32, len: usize },
}

fn operation() -> impl Strategy<Value = Operation> {
    let at = 0..4 * SECTOR + 64;
    prop_oneof![
        (at.clone(), prop::collection::vec(any::<u8>(), 0..600))
            .prop_map(|(at, bytes)| Operation::Program { at, bytes }),
        (0..5_u32).prop_map(|sector| Operation::Erase { sector }),
        (at, 0..600_usize).prop_map(|(at, len)| Operation::Read { at, len }),
    ]
}

/// The model: bytes, and the two rules of NOR.
fn apply(model: &mut [u8], operation: &Operation) -> Option<Vec<u8>> {
    match operation {
        Operation::Program { at, bytes } => {
            let cells = model.get_mut(*at as usize..*at as usize + bytes.len())?;
            cells.iter_mut().zip(bytes).for_each(|(cell, byte)| *cell &= byte);
            Some(vec![])
        }
        Operation::Erase { sector } => {
            let start = (sector * SECTOR) as usize;
            model.get_mut(start..start + SECTOR as usize)?.fill(0xff);
            Some(vec![])
        }
        Operation::Read { at, len } => model.get(*at as usize..*at as usize + len).map(<[u8]>::to_vec),
    }
}

proptest! {
    #[test]
    fn behaves_as_the_model(operations in prop::collection::vec(operation(), 1..40)) {
        let flash = part();
        let mut model = flash.content();
        for operation in &operations {
            let expected = apply(&mut model, operation);
            let got = match operation {
                Operation::Program { at, bytes } => flash.program_at(FlashAddr(*at), bytes).map(|()| vec![]),
                Operation::Erase { sector } => flash.erase_at(FlashAddr(sector * SECTOR), FlashLen(SECTOR)).map(|()| vec![]),
                Operation::Read { at, len } => {
                    let mut out = vec![0; *len];
                    flash.read_at(FlashAddr(*at), &mut out).map(|()| out)
                }
            };
            prop_assert_eq!(got.ok(), expected);
            prop_assert_eq!(&flash.content(), &model);
        }
    }

    #[test]
    fn a_cut_touches_nothing_but_its_operation(
        before in prop::collection::vec(any::<u8>(), 512),
        bytes in prop::collection::vec(any::<u8>(), 1..512),
        seed in any::<u64>(),
        op in 0..3_u64,
    ) {
        for phase in Phase::ALL {
            let flash = Flash::erased(FlashLen(SECTOR), Fault::new(seed)).unwrap();
            flash.overwrite_externally(FlashAddr(0), &before).unwrap();
            flash.fault().cut_at(CutPoint { op, phase });
            let outcome = flash.program_at(FlashAddr(0), &bytes);
            let pages = bytes.len().div_ceil(PAGE) as u64;
            prop_assert_eq!(outcome.is_err(), op < pages);
            let content = flash.content();
            for (at, cell) in content.iter().enumerate() {
                let old = before.get(at).copied().unwrap_or(0xff);
                let new = old & bytes.get(at).copied().unwrap_or(0xff);
                let page = (at / PAGE) as u64;
                if page < op || (page == op && phase == Phase::After) {
                    prop_assert_eq!(*cell, new);
                } else if page > op || phase == Phase::Before {
                    prop_assert_eq!(*cell, old);
                } else {
                    prop_assert_eq!(*cell & !old, 0, "programming sets no bit");
                    prop_assert_eq!(new & !*cell, 0, "and clears none that it was not asked to");
                }
            }
        }
    }
}

#[test]
fn a_copy_shares_nothing_that_is_written() {
    let flash = Flash::erased(FlashLen(3 * SECTOR), Fault::default()).unwrap();
    flash.program_at(FlashAddr(SECTOR - 2), &[1, 2, 3, 4]).unwrap();
    let copy = flash.duplicate(Fault::default());
    assert!(copy.holds(&flash) && flash.holds(&copy) && flash.holds(&flash));
    let before = flash.content();
    copy.program_at(FlashAddr(SECTOR), &[0]).unwrap();
    copy.erase_at(FlashAddr(0), FlashLen(SECTOR)).unwrap();
    copy.overwrite_externally(FlashAddr(2 * SECTOR - 1), &[5, 6]).unwrap();
    assert_eq!(flash.content(), before);
    assert!(!copy.holds(&flash));
    assert_eq!(&copy.content()[2 * SECTOR as usize - 1..][..2], [5, 6]);
}

#[test]
fn a_tape_repeats_what_happened_to_the_operation() {
    let (flash, twin) = (
        Flash::erased(FlashLen(3 * SECTOR), Fault::default()).unwrap(),
        Flash::erased(FlashLen(3 * SECTOR), Fault::default()).unwrap(),
    );
    flash.start_tape();
    flash.program_at(FlashAddr(0xff0), &[0x5a; 600]).unwrap();
    flash.erase_at(FlashAddr(0), FlashLen(2 * SECTOR)).unwrap();
    flash.program_at(FlashAddr(0x10), &[0x33; 16]).unwrap();
    let tape = flash.take_tape();
    assert_eq!(u64::try_from(tape.len()).unwrap(), flash.fault().operations());
    tape.iter().for_each(|operation| twin.perform(operation).unwrap());
    assert!(twin.holds(&flash));
    assert!(flash.take_tape().is_empty());
}
