//! The ESP32-C3's boot ROM, as far as our images call it: memory functions as code of ours, the rest on the host.
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
    /// `uart_tx_one_char(character) -> 0`
    Print,
    /// `software_reset()`, `software_reset_cpu()`
    Reset,
    /// `esp_rom_spiflash_read(from, to, length) -> result`
    FlashRead,
    /// `esp_rom_spiflash_write(to, from, length) -> result`
    FlashWrite,
    /// `esp_rom_spiflash_erase_sector(number) -> result`
    FlashEraseSector,
    /// `esp_rom_spiflash_erase_block(number) -> result`
    FlashEraseBlock,
    /// One of libgcc's functions of two 64-bit numbers (or one and a shift), `None` where it is not defined.
    Arithmetic(fn(u64, u64) -> Option<u64>),
    /// Sets up something that is not there: analog registers, interrupt routing, waiting for a FIFO without delay.
    Nothing,
}

impl Function {
    /// The function at an address.
    pub(crate) fn at(address: u32) -> Option<Self> {
        Some(match address {
            0x4000_0018 => Self::ResetReason,
            0x4000_0050 => Self::Delay,
            0x4000_0068 => Self::Print,
            0x4000_0090 | 0x4000_0094 => Self::Reset,
            0x4000_0124 => Self::FlashEraseBlock,
            0x4000_0128 => Self::FlashEraseSector,
            0x4000_012c => Self::FlashWrite,
            0x4000_0130 => Self::FlashRead,
            // uart_tx_flush, esp_rom_spiflash_unlock, Cache_Invalidate_Addr, ets_update_cpu_frequency, the channel of
            // the console, intr_matrix_set, rom_i2c_readReg(_Mask), rom_i2c_writeReg(_Mask)
            0x4000_0080 | 0x4000_0140 | 0x4000_04d4 | 0x4000_0588 | 0x4000_058c | 0x4000_05f4 => Self::Nothing,
            0x4000_1954 | 0x4000_1958 | 0x4000_195c | 0x4000_1960 => Self::Nothing,
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
    let mut at = ROUTINES;
    for (entry, code) in [(0x4000_0354, MEMSET), (0x4000_0358, MEMCPY), (0x4000_035c, MEMMOVE), (0x4000_0360, MEMCMP)] {
        words[index(entry)] = jal(ZERO, entry, at);
        words[index(at)..][..code.len()].copy_from_slice(code);
        at += 0x100;
    }
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
const ROUTINES: u32 = 0x4005_1000;

// riscv32im without compressed instructions, assembled by llvm-mc 14.

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
