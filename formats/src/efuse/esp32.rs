//! The eFuses of the ESP32: every field that espefuse knows, by Espressif's name.
//!
//! Source: esptool 5.6.0 `espefuse/efuse_defs/esp32.yaml` (format version 369d2d86) and
//! `espefuse/efuse/esp32/mem_definition.py`.

use super::field::{BlockLayout, EfuseBlock, Field, fields};

/// The four blocks; only block 0 is not subject to `CODING_SCHEME`.
pub static BLOCKS: [BlockLayout; 4] = [
    BlockLayout::new("BLOCK0", &[], 0x000, 0x01c, 7, None, 0),
    BlockLayout::new("BLOCK1", &["flash_encryption"], 0x038, 0x098, 8, Some(7), 1),
    BlockLayout::new("BLOCK2", &["secure_boot_v1", "secure_boot_v2"], 0x058, 0x0b8, 8, Some(8), 1 << 1),
    BlockLayout::new("BLOCK3", &[], 0x078, 0x0d8, 8, Some(9), 1 << 2),
];

/// The whole of block 3, which espefuse also takes as one field.
pub static VIEWS: [Field; 1] = [Field::whole("BLOCK3", &[], EfuseBlock(3), 256, 9, 1 << 2)];

// name, block, start bit, length, WR_DIS bit, RD_DIS bit, other names; in braces: reserved, espefuse does not show it
fields! {
    WR_DIS 0 0 +16 W 1 R _ []
    RD_DIS 0 16 +4 W 0 R _ []
    FLASH_CRYPT_CNT 0 20 +7 W 2 R _ []
    UART_DOWNLOAD_DIS 0 27 +1 W 2 R _ []
    RESERVED_0_28 0 28 +4 W _ R _ {}
    MAC 0 32 +48 W 3 R _ [MAC_FACTORY]
    MAC_CRC 0 80 +8 W 3 R _ [MAC_FACTORY_CRC]
    RESERVE_0_88 0 88 +8 W _ R _ {}
    DISABLE_APP_CPU 0 96 +1 W 3 R _ [CHIP_VER_DIS_APP_CPU]
    DISABLE_BT 0 97 +1 W 3 R _ [CHIP_VER_DIS_BT]
    CHIP_PACKAGE_4BIT 0 98 +1 W _ R _ [CHIP_VER_PKG_4BIT]
    DIS_CACHE 0 99 +1 W 3 R _ [CHIP_VER_DIS_CACHE]
    SPI_PAD_CONFIG_HD 0 100 +5 W _ R _ []
    CHIP_PACKAGE 0 105 +3 W _ R _ [CHIP_VER_PKG]
    CHIP_CPU_FREQ_LOW 0 108 +1 W _ R _ []
    CHIP_CPU_FREQ_RATED 0 109 +1 W _ R _ []
    BLK3_PART_RESERVE 0 110 +1 W 10 R 3 []
    CHIP_VER_REV1 0 111 +1 W _ R _ []
    RESERVE_0_112 0 112 +16 W _ R _ {}
    CLK8M_FREQ 0 128 +8 W 4 R _ [CK8M_FREQ]
    ADC_VREF 0 136 +5 W 4 R _ []
    RESERVE_0_141 0 141 +1 W _ R _ {}
    XPD_SDIO_REG 0 142 +1 W 5 R _ []
    XPD_SDIO_TIEH 0 143 +1 W 5 R _ [SDIO_TIEH]
    XPD_SDIO_FORCE 0 144 +1 W 5 R _ [SDIO_FORCE]
    RESERVE_0_145 0 145 +15 W _ R _ {}
    SPI_PAD_CONFIG_CLK 0 160 +5 W 6 R _ []
    SPI_PAD_CONFIG_Q 0 165 +5 W 6 R _ []
    SPI_PAD_CONFIG_D 0 170 +5 W 6 R _ []
    SPI_PAD_CONFIG_CS0 0 175 +5 W 6 R _ []
    CHIP_VER_REV2 0 180 +1 W _ R _ []
    RESERVE_0_181 0 181 +1 W _ R _ {}
    VOL_LEVEL_HP_INV 0 182 +2 W 3 R _ []
    WAFER_VERSION_MINOR 0 184 +2 W _ R _ []
    RESERVE_0_186 0 186 +2 W _ R _ {}
    FLASH_CRYPT_CONFIG 0 188 +4 W 10 R 3 [ENCRYPT_CONFIG]
    CODING_SCHEME 0 192 +2 W 10 R 3 []
    CONSOLE_DEBUG_DISABLE 0 194 +1 W 15 R _ []
    DISABLE_SDIO_HOST 0 195 +1 W _ R _ []
    ABS_DONE_0 0 196 +1 W 12 R _ []
    ABS_DONE_1 0 197 +1 W 13 R _ []
    JTAG_DISABLE 0 198 +1 W 14 R _ [DISABLE_JTAG]
    DISABLE_DL_ENCRYPT 0 199 +1 W 15 R _ []
    DISABLE_DL_DECRYPT 0 200 +1 W 15 R _ []
    DISABLE_DL_CACHE 0 201 +1 W 15 R _ []
    KEY_STATUS 0 202 +1 W 10 R 3 []
    RESERVE_0_203 0 203 +21 W _ R _ {}
    BLOCK1 1 0 +256 W 7 R 0 [ENCRYPT_FLASH_KEY]
    BLOCK2 2 0 +256 W 8 R 1 [SECURE_BOOT_KEY]
    CUSTOM_MAC_CRC 3 0 +8 W 9 R 2 [MAC_CUSTOM_CRC]
    CUSTOM_MAC 3 8 +48 W 9 R 2 [MAC_CUSTOM]
    RESERVED_3_56 3 56 +8 W 9 R 2 {}
    BLK3_RESERVED_2 3 64 +32 W 9 R 2 {}
    ADC1_TP_LOW 3 96 +7 W 9 R 2 []
    ADC1_TP_HIGH 3 103 +9 W 9 R 2 []
    ADC2_TP_LOW 3 112 +7 W 9 R 2 []
    ADC2_TP_HIGH 3 119 +9 W 9 R 2 []
    SECURE_VERSION 3 128 +32 W 9 R 2 []
    RESERVED_3_160 3 160 +24 W 9 R 2 {}
    MAC_VERSION 3 184 +8 W 9 R 2 [MAC_CUSTOM_VER]
    BLK3_RESERVED_6 3 192 +32 W 9 R 2 {}
    BLK3_RESERVED_7 3 224 +32 W 9 R 2 {}
}
