//! The control registers that Espressif's core has and QEMU's has not: instructions that use them are breakpoints.
//!
//! Source: ESP32-C3 Technical Reference Manual v1.2, 1.4 (register summary) and 1.9 (trigger registers).

use std::collections::BTreeMap;

use super::gdb::Register;
use super::registers::Clock;

/// Their content.
#[derive(Default)]
pub(crate) struct ControlRegisters(BTreeMap<u16, u32>);

/// One instruction that reads and writes such a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    register: u16,
    operation: u32,
    source: usize,
    /// What is read goes here.
    pub(crate) destination: Register,
}

impl Access {
    /// Reads an instruction; `None` if it is none that QEMU needs help with.
    pub(crate) fn decode(instruction: u32) -> Option<Self> {
        let register = u16::try_from(instruction >> 20).ok()?;
        let operation = instruction >> 12 & 7;
        let known = OURS.contains(&register) && instruction & 0x7f == SYSTEM && operation & 3 != 0;
        let field = |at: u32| (instruction >> at & 0x1f) as usize;
        known.then(|| Self { register, operation, source: field(15), destination: Register(field(7)) })
    }

    /// Where such instructions may be in a segment. Data that looks like one is listed too, and never reached.
    pub(crate) fn places(load_address: u32, code: &[u8]) -> Vec<u32> {
        let words = code.windows(4).zip(load_address..).step_by(2);
        let found = words.filter(|(bytes, _)| {
            let word = bytes.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte));
            Self::decode(word).is_some()
        });
        found.map(|(_, address)| address).collect()
    }
}

impl ControlRegisters {
    /// Does what the instruction does, but for its result, which is returned.
    pub(crate) fn execute(&mut self, access: Access, registers: &[u32; 33], clock: &mut Clock) -> u32 {
        let held = self.0.entry(access.register).or_default();
        let old = if access.register == CYCLES { clock.cycles() } else { *held };
        let immediate = u32::try_from(access.source).unwrap_or(0);
        let operand = if access.operation & 4 != 0 { immediate } else { registers[access.source] };
        match access.operation & 3 {
            1 => *held = operand,
            2 => *held = old | operand,
            _ => *held = old & !operand,
        }
        old
    }
}

/// `mpccr`
const CYCLES: u16 = 0x7e2;
/// `tcontrol`; `mpcer`, `mpcmr`, `mpccr`; `cpu_gpio_oen`, `cpu_gpio_in`, `cpu_gpio_out`.
const OURS: [u16; 7] = [0x7a5, 0x7e0, 0x7e1, CYCLES, 0x803, 0x804, 0x805];
const SYSTEM: u32 = 0x73;

#[cfg(test)]
mod tests {
    use super::*;

    // Assembled by llvm-mc 14.
    const CSRR_A4_MPCCR: u32 = 0x7e20_2773;
    const CSRW_TCONTROL_A2: u32 = 0x7a56_1073;
    const CSRW_MTVEC_A0: u32 = 0x3055_1073;

    #[test]
    fn finds_only_the_instructions_that_qemu_lacks() {
        let read = Access::decode(CSRR_A4_MPCCR).unwrap();
        assert_eq!((read.register, read.destination), (CYCLES, Register(14)));
        assert!(Access::decode(CSRW_TCONTROL_A2).is_some());
        assert_eq!(Access::decode(CSRW_MTVEC_A0), None);
        // Behind a compressed instruction.
        let mut code = vec![0x01, 0x00];
        code.extend(CSRR_A4_MPCCR.to_le_bytes());
        code.extend(CSRW_MTVEC_A0.to_le_bytes());
        assert_eq!(Access::places(0x4200_0000, &code), [0x4200_0002]);
    }

    #[test]
    fn what_was_written_is_read_back() {
        let (mut held, mut clock) = (ControlRegisters::default(), Clock::default());
        let mut registers = [0; 33];
        registers[12] = 8;
        let access = Access::decode(CSRW_TCONTROL_A2).unwrap();
        assert_eq!(held.execute(access, &registers, &mut clock), 0);
        assert_eq!(held.execute(access, &registers, &mut clock), 8);
    }
}
