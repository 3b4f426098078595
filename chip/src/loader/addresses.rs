//! Where the registers are that tools read and write through the serial loader: one row for each chip.
//!
//! Source: esptool 5.6.0 `esptool/targets/<chip>.py`, `espefuse/efuse/<chip>/mem_definition.py`.

use cotter_formats::chip::Chip;

/// Register addresses of a chip.
pub(super) struct Addresses {
    /// The word at [`ROM_MAGIC`], by which tools tell a chip that does not say its id.
    pub(super) magic: u32,
    /// The eFuse controller.
    pub(super) efuse: EfuseAddresses,
    /// The SPI controller of the flash.
    pub(super) spi: SpiAddresses,
    /// The clock divider of UART0.
    pub(super) uart_clock_divider: u32,
    /// The crystal, MHz.
    pub(super) crystal: u32,
    /// Registers of other peripherals that read as something else than 0.
    pub(super) constants: &'static [(u32, u32)],
}

/// The eFuse controller: its base, and offsets from there.
pub(super) struct EfuseAddresses {
    pub(super) base: u32,
    pub(super) conf: u32,
    pub(super) command: u32,
    /// The first register of coding errors of the blocks from 1 on, four bits each.
    pub(super) errors: u32,
    /// How many bits further up than its count the fail bit of a block is. A design error of the ESP32-C3 puts it into
    /// the place of the next block.
    pub(super) fail_bit: u32,
}

/// The SPI controller: its base, and offsets from there. `CMD` is at 0, `ADDR` at 4.
pub(super) struct SpiAddresses {
    pub(super) base: u32,
    pub(super) usr: u32,
    pub(super) usr2: u32,
    pub(super) miso_len: u32,
    pub(super) mosi_len: u32,
    pub(super) w0: u32,
}

/// `CHIP_DETECT_MAGIC_REG_ADDR`, in the mask ROM.
pub(super) const ROM_MAGIC: u32 = 0x4000_1000;

/// `APB_CTL_DATE` of the ESP32: bit 31 is the one of its revision that is in no eFuse.
pub(super) const ESP32_APB_DATE: u32 = 0x3ff6_607c;

/// Where the ROM of the ESP32-S3 keeps its pointer to the function that reads flash. Under Secure Boot this ROM does
/// not start what was loaded into RAM; esptool 5.6.0 (`run_stub`) has it jump there through this pointer.
pub(super) const ESP32S3_READ_POINTER: u32 = 0x3fce_f688;

impl Addresses {
    pub(super) const fn of(chip: Chip) -> Self {
        match chip {
            Chip::Esp32 => Self {
                magic: 0x00f0_1d83,
                efuse: EfuseAddresses { base: 0x3ff5_a000, conf: 0x0fc, command: 0x104, errors: 0x11c, fail_bit: 0 },
                spi: SpiAddresses {
                    base: 0x3ff4_2000,
                    usr: 0x1c,
                    usr2: 0x24,
                    mosi_len: 0x28,
                    miso_len: 0x2c,
                    w0: 0x80,
                },
                uart_clock_divider: 0x3ff4_0014,
                crystal: 40,
                constants: &[],
            },
            Chip::Esp32S2 => Self::later(0x0000_07c6, 0x3f41_a000, 0x3f40_2000, 0x3f40_0014, 40),
            Chip::Esp32S3 => Self::later(0, 0x6000_7000, 0x6000_2000, 0x6000_0014, 40),
            Chip::Esp32C2 => {
                let base = Self::later(0, 0x6000_8800, 0x6000_2000, 0x6000_0014, 40);
                let efuse = EfuseAddresses { conf: 0x08c, command: 0x094, errors: 0x084, ..base.efuse };
                Self { efuse, ..base }
            }
            Chip::Esp32C3 => {
                let base = Self::later(0, 0x6000_8800, 0x6000_2000, 0x6000_0014, 40);
                Self { efuse: EfuseAddresses { fail_bit: 7, ..base.efuse }, ..base }
            }
            Chip::Esp32C5 => {
                let base = Self::later(0, 0x600b_4800, 0x6000_3000, 0x6000_0014, 48);
                let efuse = EfuseAddresses { command: 0x1d8, errors: 0x190, ..base.efuse };
                // PCR_SYSCLK_CONF: the crystal that the ROM expects.
                Self { efuse, constants: &[(0x6009_6110, 48 << 24)], ..base }
            }
            Chip::Esp32C61 => {
                let base = Self::later(0, 0x600b_4800, 0x6000_3000, 0x6000_0014, 40);
                Self { efuse: EfuseAddresses { errors: 0x190, ..base.efuse }, ..base }
            }
            Chip::Esp32C6 => Self::later(0, 0x600b_0800, 0x6000_3000, 0x6000_0014, 40),
            Chip::Esp32H2 => Self::later(0, 0x600b_0800, 0x6000_3000, 0x6000_0014, 32),
            Chip::Esp32H21 => {
                let base = Self::later(0, 0x600b_4000, 0x6000_3000, 0x6000_0014, 32);
                Self { efuse: EfuseAddresses { errors: 0x190, ..base.efuse }, ..base }
            }
            Chip::Esp32H4 => {
                let base = Self::later(0, 0x600b_1800, 0x6009_9000, 0x6001_2014, 32);
                Self { efuse: EfuseAddresses { errors: 0x190, ..base.efuse }, ..base }
            }
            Chip::Esp32P4 => Self::later(0, 0x5012_d000, 0x5008_d000, 0x3ff4_0014, 40),
            Chip::Esp32S31 => Self::later(0, 0x2071_5000, 0x2050_1000, 0x6000_0014, 40),
        }
    }

    const fn later(magic: u32, efuse: u32, spi: u32, uart_clock_divider: u32, crystal: u32) -> Self {
        Self {
            magic,
            efuse: EfuseAddresses { base: efuse, conf: 0x1cc, command: 0x1d4, errors: 0x1c0, fail_bit: 3 },
            spi: SpiAddresses { base: spi, usr: 0x18, usr2: 0x20, mosi_len: 0x24, miso_len: 0x28, w0: 0x58 },
            uart_clock_divider,
            crystal,
            constants: &[],
        }
    }
}
