//! The eFuses of the ESP32-C3: every field that espefuse knows, by Espressif's name.
//!
//! Source: esptool 5.6.0 `espefuse/efuse_defs/esp32c3.yaml` (format version 4622cf92) and
//! `espefuse/efuse/esp32c3/mem_definition.py`.

use super::field::{BlockLayout, EfuseBlock, Field};

/// The eleven blocks, in order of their number.
pub static BLOCKS: [BlockLayout; 11] = [
    BlockLayout { name: "BLOCK0", read_offset: 0x02c, words: 6, write_protect_bit: None, read_protect_bit: None },
    BlockLayout {
        name: "MAC_SPI_8M_0",
        read_offset: 0x044,
        words: 6,
        write_protect_bit: Some(20),
        read_protect_bit: None,
    },
    BlockLayout {
        name: "BLOCK_SYS_DATA",
        read_offset: 0x05c,
        words: 8,
        write_protect_bit: Some(21),
        read_protect_bit: None,
    },
    BlockLayout {
        name: "BLOCK_USR_DATA",
        read_offset: 0x07c,
        words: 8,
        write_protect_bit: Some(22),
        read_protect_bit: None,
    },
    BlockLayout {
        name: "BLOCK_KEY0",
        read_offset: 0x09c,
        words: 8,
        write_protect_bit: Some(23),
        read_protect_bit: Some(0),
    },
    BlockLayout {
        name: "BLOCK_KEY1",
        read_offset: 0x0bc,
        words: 8,
        write_protect_bit: Some(24),
        read_protect_bit: Some(1),
    },
    BlockLayout {
        name: "BLOCK_KEY2",
        read_offset: 0x0dc,
        words: 8,
        write_protect_bit: Some(25),
        read_protect_bit: Some(2),
    },
    BlockLayout {
        name: "BLOCK_KEY3",
        read_offset: 0x0fc,
        words: 8,
        write_protect_bit: Some(26),
        read_protect_bit: Some(3),
    },
    BlockLayout {
        name: "BLOCK_KEY4",
        read_offset: 0x11c,
        words: 8,
        write_protect_bit: Some(27),
        read_protect_bit: Some(4),
    },
    BlockLayout {
        name: "BLOCK_KEY5",
        read_offset: 0x13c,
        words: 8,
        write_protect_bit: Some(28),
        read_protect_bit: Some(5),
    },
    BlockLayout {
        name: "BLOCK_SYS_DATA2",
        read_offset: 0x15c,
        words: 8,
        write_protect_bit: Some(29),
        read_protect_bit: Some(6),
    },
];

/// `KEY_PURPOSE_0` to `KEY_PURPOSE_5`, in order of the key blocks.
pub static KEY_PURPOSES: [Field; 6] =
    [KEY_PURPOSE_0, KEY_PURPOSE_1, KEY_PURPOSE_2, KEY_PURPOSE_3, KEY_PURPOSE_4, KEY_PURPOSE_5];

/// `SECURE_BOOT_KEY_REVOKE0` to `2`, in order of the digests.
pub static KEY_REVOKES: [Field; 3] = [SECURE_BOOT_KEY_REVOKE0, SECURE_BOOT_KEY_REVOKE1, SECURE_BOOT_KEY_REVOKE2];

macro_rules! bit {
    (_) => {
        None
    };
    ($bit:literal) => {
        Some($bit)
    };
}

macro_rules! fields {
    ($($name:ident $block:literal $bit:literal +$len:literal W $write:tt R $read:tt [$($alternate:ident)*])*) => {
        $(
            #[doc = concat!("`", stringify!($name), "`: block ", $block, ", bit ", $bit, ", ", $len, " bits.")]
            pub const $name: Field = Field {
                name: stringify!($name),
                alternates: &[$(stringify!($alternate)),*],
                block: EfuseBlock($block),
                bit: $bit,
                len: $len,
                write_protect_bit: bit!($write),
                read_protect_bit: bit!($read),
            };
        )*
        /// All fields, in order of block and bit.
        pub static FIELDS: &[Field] = &[$($name),*];
    };
}

// name, block, start bit, length, WR_DIS bit, RD_DIS bit, other names
fields! {
    WR_DIS 0 0 +32 W _ R _ []
    RD_DIS 0 32 +7 W 0 R _ []
    DIS_RTC_RAM_BOOT 0 39 +1 W 1 R _ []
    DIS_ICACHE 0 40 +1 W 2 R _ []
    DIS_USB_JTAG 0 41 +1 W 2 R _ []
    DIS_DOWNLOAD_ICACHE 0 42 +1 W 2 R _ []
    DIS_USB_SERIAL_JTAG 0 43 +1 W 2 R _ [DIS_USB_DEVICE]
    DIS_FORCE_DOWNLOAD 0 44 +1 W 2 R _ []
    RPT4_RESERVED6 0 45 +1 W _ R _ []
    DIS_TWAI 0 46 +1 W 2 R _ [DIS_CAN]
    JTAG_SEL_ENABLE 0 47 +1 W 2 R _ []
    SOFT_DIS_JTAG 0 48 +3 W 31 R _ []
    DIS_PAD_JTAG 0 51 +1 W 2 R _ []
    DIS_DOWNLOAD_MANUAL_ENCRYPT 0 52 +1 W 2 R _ []
    USB_DREFH 0 53 +2 W 30 R _ []
    USB_DREFL 0 55 +2 W 30 R _ []
    USB_EXCHG_PINS 0 57 +1 W 30 R _ []
    VDD_SPI_AS_GPIO 0 58 +1 W 30 R _ []
    BTLC_GPIO_ENABLE 0 59 +2 W 30 R _ []
    POWERGLITCH_EN 0 61 +1 W 3 R _ []
    POWER_GLITCH_DSENSE 0 62 +2 W 3 R _ []
    RPT4_RESERVED2 0 64 +16 W _ R _ []
    WDT_DELAY_SEL 0 80 +2 W 3 R _ []
    SPI_BOOT_CRYPT_CNT 0 82 +3 W 4 R _ []
    SECURE_BOOT_KEY_REVOKE0 0 85 +1 W 5 R _ []
    SECURE_BOOT_KEY_REVOKE1 0 86 +1 W 6 R _ []
    SECURE_BOOT_KEY_REVOKE2 0 87 +1 W 7 R _ []
    KEY_PURPOSE_0 0 88 +4 W 8 R _ [KEY0_PURPOSE]
    KEY_PURPOSE_1 0 92 +4 W 9 R _ [KEY1_PURPOSE]
    KEY_PURPOSE_2 0 96 +4 W 10 R _ [KEY2_PURPOSE]
    KEY_PURPOSE_3 0 100 +4 W 11 R _ [KEY3_PURPOSE]
    KEY_PURPOSE_4 0 104 +4 W 12 R _ [KEY4_PURPOSE]
    KEY_PURPOSE_5 0 108 +4 W 13 R _ [KEY5_PURPOSE]
    RPT4_RESERVED3 0 112 +4 W _ R _ []
    SECURE_BOOT_EN 0 116 +1 W 15 R _ []
    SECURE_BOOT_AGGRESSIVE_REVOKE 0 117 +1 W 16 R _ []
    RPT4_RESERVED0 0 118 +6 W _ R _ []
    FLASH_TPUW 0 124 +4 W 18 R _ []
    DIS_DOWNLOAD_MODE 0 128 +1 W 18 R _ []
    DIS_DIRECT_BOOT 0 129 +1 W 18 R _ [DIS_LEGACY_SPI_BOOT]
    DIS_USB_SERIAL_JTAG_ROM_PRINT 0 130 +1 W 18 R _ [UART_PRINT_CHANNEL]
    FLASH_ECC_MODE 0 131 +1 W 18 R _ []
    DIS_USB_SERIAL_JTAG_DOWNLOAD_MODE 0 132 +1 W 18 R _ [DIS_USB_DOWNLOAD_MODE]
    ENABLE_SECURITY_DOWNLOAD 0 133 +1 W 18 R _ []
    UART_PRINT_CONTROL 0 134 +2 W 18 R _ []
    PIN_POWER_SELECTION 0 136 +1 W 18 R _ []
    FLASH_TYPE 0 137 +1 W 18 R _ []
    FLASH_PAGE_SIZE 0 138 +2 W 18 R _ []
    FLASH_ECC_EN 0 140 +1 W 18 R _ []
    FORCE_SEND_RESUME 0 141 +1 W 18 R _ []
    SECURE_VERSION 0 142 +16 W 18 R _ []
    RESERVED_0_158 0 158 +1 W _ R _ []
    ERR_RST_ENABLE 0 159 +1 W 19 R _ []
    DISABLE_WAFER_VERSION_MAJOR 0 160 +1 W 19 R _ []
    DISABLE_BLK_VERSION_MAJOR 0 161 +1 W 19 R _ []
    RESERVED_0_162 0 162 +22 W _ R _ []
    MAC 1 0 +48 W 20 R _ [MAC_FACTORY]
    SPI_PAD_CONFIG_CLK 1 48 +6 W 20 R _ []
    SPI_PAD_CONFIG_Q 1 54 +6 W 20 R _ []
    SPI_PAD_CONFIG_D 1 60 +6 W 20 R _ []
    SPI_PAD_CONFIG_CS 1 66 +6 W 20 R _ []
    SPI_PAD_CONFIG_HD 1 72 +6 W 20 R _ []
    SPI_PAD_CONFIG_WP 1 78 +6 W 20 R _ []
    SPI_PAD_CONFIG_DQS 1 84 +6 W 20 R _ []
    SPI_PAD_CONFIG_D4 1 90 +6 W 20 R _ []
    SPI_PAD_CONFIG_D5 1 96 +6 W 20 R _ []
    SPI_PAD_CONFIG_D6 1 102 +6 W 20 R _ []
    SPI_PAD_CONFIG_D7 1 108 +6 W 20 R _ []
    WAFER_VERSION_MINOR_LO 1 114 +3 W 20 R _ []
    PKG_VERSION 1 117 +3 W 20 R _ []
    BLK_VERSION_MINOR 1 120 +3 W 20 R _ []
    FLASH_CAP 1 123 +3 W 20 R _ []
    FLASH_TEMP 1 126 +2 W 20 R _ []
    FLASH_VENDOR 1 128 +3 W 20 R _ []
    RESERVED_1_131 1 131 +4 W 20 R _ []
    K_RTC_LDO 1 135 +7 W 20 R _ []
    K_DIG_LDO 1 142 +7 W 20 R _ []
    V_RTC_DBIAS20 1 149 +8 W 20 R _ []
    V_DIG_DBIAS20 1 157 +8 W 20 R _ []
    DIG_DBIAS_HVT 1 165 +5 W 20 R _ []
    THRES_HVT 1 170 +10 W 20 R _ []
    RESERVED_1_180 1 180 +3 W 20 R _ []
    WAFER_VERSION_MINOR_HI 1 183 +1 W 20 R _ []
    WAFER_VERSION_MAJOR 1 184 +2 W 20 R _ []
    RESERVED_1_186 1 186 +6 W 20 R _ []
    OPTIONAL_UNIQUE_ID 2 0 +128 W 21 R _ []
    BLK_VERSION_MAJOR 2 128 +2 W 21 R _ []
    RESERVED_2_130 2 130 +1 W 21 R _ []
    TEMP_CALIB 2 131 +9 W 21 R _ []
    OCODE 2 140 +8 W 21 R _ []
    ADC1_INIT_CODE_ATTEN0 2 148 +10 W 21 R _ []
    ADC1_INIT_CODE_ATTEN1 2 158 +10 W 21 R _ []
    ADC1_INIT_CODE_ATTEN2 2 168 +10 W 21 R _ []
    ADC1_INIT_CODE_ATTEN3 2 178 +10 W 21 R _ []
    ADC1_CAL_VOL_ATTEN0 2 188 +10 W 21 R _ []
    ADC1_CAL_VOL_ATTEN1 2 198 +10 W 21 R _ []
    ADC1_CAL_VOL_ATTEN2 2 208 +10 W 21 R _ []
    ADC1_CAL_VOL_ATTEN3 2 218 +10 W 21 R _ []
    RESERVED_2_228 2 228 +28 W 21 R _ []
    BLOCK_USR_DATA 3 0 +192 W 22 R _ [USER_DATA]
    RESERVED_3_192 3 192 +8 W 22 R _ []
    CUSTOM_MAC 3 200 +48 W 22 R _ [MAC_CUSTOM USER_DATA_MAC_CUSTOM]
    RESERVED_3_248 3 248 +8 W 22 R _ []
    BLOCK_KEY0 4 0 +256 W 23 R 0 [KEY0]
    BLOCK_KEY1 5 0 +256 W 24 R 1 [KEY1]
    BLOCK_KEY2 6 0 +256 W 25 R 2 [KEY2]
    BLOCK_KEY3 7 0 +256 W 26 R 3 [KEY3]
    BLOCK_KEY4 8 0 +256 W 27 R 4 [KEY4]
    BLOCK_KEY5 9 0 +256 W 28 R 5 [KEY5]
    BLOCK_SYS_DATA2 10 0 +256 W 29 R 6 [SYS_DATA_PART2]
}
