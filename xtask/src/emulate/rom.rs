//! The ESP32-C3's boot ROM, as far as our images call it: what they call often as code of ours, the rest on the host.
//!
//! Every word of the ROM that is not code of ours is `jal tp, DISPATCH`: whichever function is called, the core stops
//! at one breakpoint, and tp, which Rust programs do not use, tells which it was. (Not t0: esp-riscv-rt 0.15 keeps its
//! return address there while it calls the ROM.) A function that is not listed here ends the run with its address.
//!
//! Source of the addresses: `ld/esp32c3/rom/*.ld` of esp-rom-sys 0.1.5 (ESP-IDF's `components/esp_rom/esp32c3/ld`).

/// Where the ROM is.
pub(crate) const START: u32 = 0x4000_0000;
/// Its size, 384 KiB.
pub(crate) const LEN: u32 = 0x6_0000;
/// All that is not in this ROM comes here; the breakpoint.
pub(crate) const DISPATCH: u32 = 0x4005_0000;

/// A function that the host answers for the ROM.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Function {
    /// `rtc_get_reset_reason() -> reason`
    ResetReason,
    /// `ets_delay_us(us)`
    Delay,
    /// `software_reset()`, `software_reset_cpu()`
    Reset,
    /// `esp_rom_spiflash_read(from, to, length) -> result`, if it does not stay in the flash or is not all words.
    BadFlashRead,
    /// `esp_rom_spiflash_write(to, from, length) -> result`
    FlashWrite,
    /// `esp_rom_spiflash_erase_sector(number) -> result`
    FlashEraseSector,
    /// `esp_rom_spiflash_erase_block(number) -> result`
    FlashEraseBlock,
    /// One of libgcc's functions of two 64-bit numbers (or one and a shift), `None` where it is not defined.
    Arithmetic(fn(u64, u64) -> Option<u64>),
}

impl Function {
    /// The function at an address.
    pub(crate) fn at(address: u32) -> Option<Self> {
        Some(match address {
            0x4000_0018 => Self::ResetReason,
            0x4000_0050 => Self::Delay,
            0x4000_0090 | 0x4000_0094 => Self::Reset,
            0x4000_0124 => Self::FlashEraseBlock,
            0x4000_0128 => Self::FlashEraseSector,
            0x4000_012c => Self::FlashWrite,
            BAD_FLASH_READ => Self::BadFlashRead,
            0x4000_077c..=0x4000_08bc => Self::Arithmetic(arithmetic(address)?),
            _ => return None,
        })
    }
}

/// `esp32c3.rom.libgcc.ld`
fn arithmetic(address: u32) -> Option<fn(u64, u64) -> Option<u64>> {
    Some(match address {
        // __ashldi3, __ashrdi3, __lshrdi3, __muldi3
        0x4000_077c => |a, b| Some(a << (b & 63)),
        0x4000_0780 => |a, b| Some((a.cast_signed() >> (b & 63)).cast_unsigned()),
        0x4000_0830 => |a, b| Some(a >> (b & 63)),
        0x4000_084c => |a, b| Some(a.wrapping_mul(b)),
        // __udivdi3, __umoddi3, __divdi3, __moddi3
        0x4000_08ac => u64::checked_div,
        0x4000_08bc => u64::checked_rem,
        0x4000_07b4 => |a, b| a.cast_signed().checked_div(b.cast_signed()).map(i64::cast_unsigned),
        0x4000_083c => |a, b| a.cast_signed().checked_rem(b.cast_signed()).map(i64::cast_unsigned),
        _ => return None,
    })
}

/// The content of the ROM.
pub(crate) fn image() -> Vec<u8> {
    let mut words = (START..START + LEN).step_by(4).map(|at| jal(TP, at, DISPATCH)).collect::<Vec<_>>();
    let index = |address: u32| ((address - START) / 4) as usize;
    for (routine, (entries, code)) in ROUTINES.iter().enumerate() {
        let at = CODE + 0x100 * u32::try_from(routine).expect("a handful");
        words[index(at)..][..code.len()].copy_from_slice(code);
        for &entry in *entries {
            words[index(entry)] = jal(ZERO, entry, at);
        }
    }
    // Where the code for reading flash goes when it cannot.
    words[index(BAD_FLASH_READ)] = jal(TP, BAD_FLASH_READ, DISPATCH);
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}

/// `jal link, to` for address `at`; within 1 MiB, as all of this ROM is.
fn jal(link: u32, at: u32, to: u32) -> u32 {
    let offset = to.wrapping_sub(at);
    let bits = |from: u32, count: u32| (offset >> from) & ((1 << count) - 1);
    bits(20, 1) << 31 | bits(1, 10) << 21 | bits(11, 1) << 20 | bits(12, 8) << 12 | link << 7 | 0x6f
}

const ZERO: u32 = 0;
const TP: u32 = 4;
const CODE: u32 = 0x4005_1000;

/// The code of ours, and the entries that lead to it.
const ROUTINES: [(&[u32], &[u32]); 7] = [
    (&[0x4000_0130], FLASH_READ),
    (&[0x4000_0354], MEMSET),
    (&[0x4000_0358], MEMCPY),
    (&[0x4000_035c], MEMMOVE),
    (&[0x4000_0360], MEMCMP),
    (&[0x4000_0068], PRINT),
    (NOTHINGS, NOTHING),
];

/// What is 0 or sets up something that is not there: uart_tx_flush, esp_rom_spiflash_unlock, Cache_Invalidate_Addr,
/// ets_update_cpu_frequency, the channel of the console, intr_matrix_set, rom_i2c_readReg(_Mask), rom_i2c_writeReg(_Mask).
const NOTHINGS: &[u32] = &[
    0x4000_0080,
    0x4000_0140,
    0x4000_04d4,
    0x4000_0588,
    0x4000_058c,
    0x4000_05f4,
    0x4000_1954,
    0x4000_1958,
    0x4000_195c,
    0x4000_1960,
];

/// In memory that the chip has not got: how many characters were printed, then the characters.
pub(crate) const CONSOLE: u32 = 0x7f00_0000;
/// In memory that the chip has not got: a copy of the flash.
pub(crate) const FLASH: u32 = 0x1000_0000;
/// The last word of the first routine.
const BAD_FLASH_READ: u32 = CODE + 4 * 19;

// riscv32im without compressed instructions, assembled by llvm-mc 14.

const FLASH_READ: &[u32] = &[
    0x00b5_67b3, //    or   a5, a0, a1
    0x00c7_e7b3, //    or   a5, a5, a2
    0x0037_f793, //    andi a5, a5, 3
    0x0407_9063, //    bnez a5, 3f
    0x00c5_07b3, //    add  a5, a0, a2
    0x02a7_ec63, //    bltu a5, a0, 3f
    0x0040_0737, //    lui  a4, 0x400       (Flash::LEN)
    0x02f7_6863, //    bltu a4, a5, 3f
    0x1000_0737, //    lui  a4, 0x10000     (FLASH)
    0x00e5_0533, //    add  a0, a0, a4
    0x00c5_8633, //    add  a2, a1, a2
    0x00c5_8c63, // 1: beq  a1, a2, 2f
    0x0005_2783, //    lw   a5, 0(a0)
    0x00f5_a023, //    sw   a5, 0(a1)
    0x0045_0513, //    addi a0, a0, 4
    0x0045_8593, //    addi a1, a1, 4
    0xfedf_f06f, //    j    1b
    0x0000_0513, // 2: li   a0, 0
    0x0000_8067, //    ret
    0x0000_0000, // 3: BAD_FLASH_READ
];

const PRINT: &[u32] = &[
    0x7f00_07b7, //    lui  a5, 0x7f000     (CONSOLE)
    0x0007_a703, //    lw   a4, 0(a5)
    0x00e7_86b3, //    add  a3, a5, a4
    0x00a6_8223, //    sb   a0, 4(a3)
    0x0017_0713, //    addi a4, a4, 1
    0x00e7_a023, //    sw   a4, 0(a5)
    0x0000_0513, //    li   a0, 0
    0x0000_8067, //    ret
];

const NOTHING: &[u32] = &[
    0x0000_0513, //    li   a0, 0
    0x0000_8067, //    ret
];

const MEMSET: &[u32] = &[
    0x00c5_0633, //    add  a2, a0, a2
    0x0005_0793, //    mv   a5, a0
    0x00c7_8863, // 1: beq  a5, a2, 2f
    0x00b7_8023, //    sb   a1, 0(a5)
    0x0017_8793, //    addi a5, a5, 1
    0xff5f_f06f, //    j    1b
    0x0000_8067, // 2: ret
];

const MEMCPY: &[u32] = &[
    0x00c5_8633, //    add  a2, a1, a2
    0x0005_0793, //    mv   a5, a0
    0x00c5_8c63, // 1: beq  a1, a2, 2f
    0x0005_c703, //    lbu  a4, 0(a1)
    0x00e7_8023, //    sb   a4, 0(a5)
    0x0015_8593, //    addi a1, a1, 1
    0x0017_8793, //    addi a5, a5, 1
    0xfedf_f06f, //    j    1b
    0x0000_8067, // 2: ret
];

const MEMMOVE: &[u32] = &[
    0x02b5_7263, //    bgeu a0, a1, 2f
    0x00c5_8633, //    add  a2, a1, a2
    0x0005_0793, //    mv   a5, a0
    0x02c5_8c63, // 1: beq  a1, a2, 4f
    0x0005_c703, //    lbu  a4, 0(a1)
    0x00e7_8023, //    sb   a4, 0(a5)
    0x0015_8593, //    addi a1, a1, 1
    0x0017_8793, //    addi a5, a5, 1
    0xfedf_f06f, //    j    1b
    0x00c5_85b3, // 2: add  a1, a1, a2
    0x00c5_07b3, //    add  a5, a0, a2
    0x00a7_8c63, // 3: beq  a5, a0, 4f
    0xfff5_8593, //    addi a1, a1, -1
    0xfff7_8793, //    addi a5, a5, -1
    0x0005_c703, //    lbu  a4, 0(a1)
    0x00e7_8023, //    sb   a4, 0(a5)
    0xfedf_f06f, //    j    3b
    0x0000_8067, // 4: ret
];

const MEMCMP: &[u32] = &[
    0x00c5_0633, //    add  a2, a0, a2
    0x02c5_0063, // 1: beq  a0, a2, 2f
    0x0005_4703, //    lbu  a4, 0(a0)
    0x0005_c783, //    lbu  a5, 0(a1)
    0x0015_0513, //    addi a0, a0, 1
    0x0015_8593, //    addi a1, a1, 1
    0xfef7_06e3, //    beq  a4, a5, 1b
    0x40f7_0533, //    sub  a0, a4, a5
    0x0000_8067, //    ret
    0x0000_0513, // 2: li   a0, 0
    0x0000_8067, //    ret
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_jumps_as_llvm_does() {
        assert_eq!(jal(TP, 0x4000_0010, 0x4005_0000), JAL_FORWARD);
        assert_eq!(jal(TP, 0x4005_10ec, 0x4005_0000), JAL_BACK);
        assert_eq!(jal(ZERO, 0x4000_0404, 0x4005_1100), JUMP);
    }

    #[test]
    fn every_routine_has_room() {
        assert!(ROUTINES.iter().all(|(_, code)| code.len() < 0x100 / 4));
        assert!(FLASH_READ.len() == 20, "BAD_FLASH_READ is its last word");
    }

    #[test]
    fn calls_that_nobody_answers_reach_the_dispatcher() {
        let rom = image();
        let word = |at: u32| u32::from_le_bytes(rom[(at - START) as usize..][..4].try_into().unwrap());
        for at in [START, 0x4000_0018, BAD_FLASH_READ, START + LEN - 4] {
            assert_eq!(word(at), jal(TP, at, DISPATCH), "{at:#010x}");
        }
        assert_eq!(word(0x4000_0130), jal(ZERO, 0x4000_0130, CODE));
    }

    // Assembled by llvm-mc 14.
    const JAL_FORWARD: u32 = 0x7f14_f26f;
    const JAL_BACK: u32 = 0xf15f_e26f;
    const JUMP: u32 = 0x4fd5_006f;
}
