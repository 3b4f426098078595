//! The peripheral registers that our images wait for. All others are memory that keeps what was written.
//!
//! Source of the addresses: ESP32-C3 Technical Reference Manual; register crate `esp32c3` 0.33.0.

use sha2::{Digest, Sha256};

use super::flash::Flash;
use super::gdb::Point;

/// Registers that change by themselves.
pub(crate) struct Registers {
    clock: Clock,
    noise: Noise,
}

/// Microseconds since the reset. It moves when somebody looks, or waits.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    microseconds: u64,
}

impl Registers {
    /// After a reset; `seed` decides what the random number generator gives.
    pub(crate) fn new(seed: &str) -> Self {
        Self { clock: Clock::default(), noise: Noise { seed: Sha256::digest(seed).into(), drawn: 0 } }
    }

    /// What has to be watched.
    pub(crate) fn points() -> Vec<Point> {
        let mut points = [SPI1_COMMAND, CALIBRATION, SYSTIMER_UNIT0_OPERATION, RANDOM].map(Point::Read).to_vec();
        points.extend([UART0_FIFO, RTC_OPTIONS].map(Point::Write));
        points
    }

    /// What is not 0 after a reset, as address and value.
    pub(crate) fn presets() -> Vec<(u32, u32)> {
        vec![(SPI1_BUFFER, u32::from_le_bytes(Flash::IDENTITY))]
    }

    /// Words to put into memory before the program reads the watched `address`, where `held` is now.
    pub(crate) fn before_read(&mut self, address: u32, held: u32) -> Vec<(u32, u32)> {
        match address {
            // A command is done as soon as somebody looks.
            SPI1_COMMAND => vec![(address, 0)],
            CALIBRATION => {
                // RTC_CALI_MAX periods of the chosen slow clock, counted with the crystal's 40 MHz.
                let periods = held >> 16 & 0x7fff;
                let hertz = match held >> 13 & 3 {
                    0 => 136_000,
                    1 => 17_500_000 / 256,
                    _ => 32_768,
                };
                let counted = u64::from(periods) * 40_000_000 / hertz;
                let counted = u32::try_from(counted).unwrap_or(u32::MAX) << 7;
                vec![(address, held | CALIBRATION_READY), (CALIBRATION_RESULT, counted | 1)]
            }
            SYSTIMER_UNIT0_OPERATION => {
                let [low, high] = self.clock.systimer();
                vec![(address, SYSTIMER_VALID), (SYSTIMER_UNIT0_LOW, low), (SYSTIMER_UNIT0_HIGH, high)]
            }
            RANDOM => vec![(address, self.noise.word())],
            _ => Vec::new(),
        }
    }

    pub(crate) fn clock(&mut self) -> &mut Clock {
        &mut self.clock
    }
}

impl Clock {
    /// Time that the program spent waiting.
    pub(crate) fn pass(&mut self, microseconds: u32) {
        self.microseconds += u64::from(microseconds);
    }

    /// Cycles of the core at 160 MHz, the low half.
    pub(crate) fn cycles(&mut self) -> u32 {
        self.pass(1);
        halves(self.microseconds * 160)[0]
    }

    /// 52 bits at 16 MHz: low word, high word.
    fn systimer(&mut self) -> [u32; 2] {
        self.pass(1);
        halves(self.microseconds * 16)
    }
}

/// Low word, high word.
pub(crate) fn halves(number: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = number.to_le_bytes();
    [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])]
}

/// SHA-256 of a seed and a counter: the same in each run, so that a failure can be seen again.
struct Noise {
    seed: [u8; 32],
    drawn: u32,
}

impl Noise {
    fn word(&mut self) -> u32 {
        self.drawn += 1;
        let digest = Sha256::new().chain_update(self.seed).chain_update(self.drawn.to_le_bytes()).finalize();
        u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]])
    }
}

/// `UART_FIFO_REG(0)`: what is written here is sent.
pub(crate) const UART0_FIFO: u32 = 0x6000_0000;
/// `RTC_CNTL_OPTIONS0_REG`.
pub(crate) const RTC_OPTIONS: u32 = 0x6000_8000;
/// `RTC_CNTL_SW_SYS_RST`.
pub(crate) const RESET_CHIP: u32 = 1 << 31;
/// `DR_REG_MMU_TABLE`: one word per 64 KiB of the windows onto the flash.
pub(crate) const MMU_TABLE: u32 = 0x600c_5000;
/// Entries of the table.
pub(crate) const MMU_ENTRIES: u32 = 128;
/// `MMU_INVALID`
pub(crate) const MMU_INVALID: u32 = 1 << 8;

const SPI1_COMMAND: u32 = 0x6000_2000;
const SPI1_BUFFER: u32 = 0x6000_2058;
/// `TIMG_RTCCALICFG_REG(0)`
const CALIBRATION: u32 = 0x6001_f068;
const CALIBRATION_READY: u32 = 1 << 15;
const CALIBRATION_RESULT: u32 = 0x6001_f06c;
const SYSTIMER_UNIT0_OPERATION: u32 = 0x6002_3004;
const SYSTIMER_VALID: u32 = 1 << 29;
const SYSTIMER_UNIT0_HIGH: u32 = 0x6002_3040;
const SYSTIMER_UNIT0_LOW: u32 = 0x6002_3044;
/// `RNG_DATA_REG`
const RANDOM: u32 = 0x6002_60b0;
