//! The eFuses of the ESP32-C2: every field that espefuse knows, by Espressif's name.
//!
//! Source: esptool 5.6.0 `espefuse/efuse_defs/esp32c2.yaml` (format version 58a0463c) and
//! `espefuse/efuse/esp32c2/mem_definition.py`.

use super::field::{BlockLayout, EfuseBlock, Field, fields};

/// The four blocks; each half of the key block has a bit of `RD_DIS` of its own.
pub static BLOCKS: [BlockLayout; 4] = [
    BlockLayout::new("BLOCK0", &["BLOCK0"], 0x02c, 0, 2, None, 0),
    BlockLayout::new("BLOCK1", &["BLOCK1"], 0x034, 0, 3, Some(5), 0),
    BlockLayout::new("BLOCK2", &["BLOCK2"], 0x040, 0, 8, Some(6), 0),
    BlockLayout::new("BLOCK_KEY0", &["BLOCK3"], 0x060, 0, 8, Some(7), 0b11),
];

/// The low half of the key block: a flash encryption key of 128 bits.
pub const BLOCK_KEY0_LOW_128: Field = Field::whole("BLOCK_KEY0_LOW_128", &[], EfuseBlock(3), 128, 7, 0b01);

/// The high half of the key block: the first 16 bytes of a Secure Boot digest.
pub const BLOCK_KEY0_HI_128: Field =
    Field { bit: 128, ..Field::whole("BLOCK_KEY0_HI_128", &[], EfuseBlock(3), 128, 7, 0b10) };

/// Both halves, which espefuse takes as fields.
pub static VIEWS: [Field; 2] = [BLOCK_KEY0_LOW_128, BLOCK_KEY0_HI_128];

// name, block, start bit, length, WR_DIS bit, RD_DIS bit, other names; in braces: reserved, espefuse does not show it
fields! {
    WR_DIS 0 0 +8 W _ R _ []
    RESERVED_0_8 0 8 +24 W _ R _ {}
    RD_DIS 0 32 +2 W 0 R _ []
    WDT_DELAY_SEL 0 34 +2 W 1 R _ []
    DIS_PAD_JTAG 0 36 +1 W 1 R _ []
    DIS_DOWNLOAD_ICACHE 0 37 +1 W 1 R _ []
    DIS_DOWNLOAD_MANUAL_ENCRYPT 0 38 +1 W 2 R _ []
    SPI_BOOT_CRYPT_CNT 0 39 +3 W 2 R _ []
    XTS_KEY_LENGTH_256 0 42 +1 W 2 R _ []
    UART_PRINT_CONTROL 0 43 +2 W 3 R _ []
    FORCE_SEND_RESUME 0 45 +1 W 3 R _ []
    DIS_DOWNLOAD_MODE 0 46 +1 W 3 R _ []
    DIS_DIRECT_BOOT 0 47 +1 W 3 R _ []
    ENABLE_SECURITY_DOWNLOAD 0 48 +1 W 3 R _ []
    FLASH_TPUW 0 49 +4 W 3 R _ []
    SECURE_BOOT_EN 0 53 +1 W 2 R _ []
    SECURE_VERSION 0 54 +4 W 4 R _ []
    CUSTOM_MAC_USED 0 58 +1 W 4 R _ [ENABLE_CUSTOM_MAC]
    DISABLE_WAFER_VERSION_MAJOR 0 59 +1 W 4 R _ []
    DISABLE_BLK_VERSION_MAJOR 0 60 +1 W 4 R _ []
    RESERVED_0_61 0 61 +3 W _ R _ {}
    CUSTOM_MAC 1 0 +48 W 5 R _ [MAC_CUSTOM USER_DATA_MAC_CUSTOM]
    RESERVED_1_48 1 48 +16 W 5 R _ {}
    SYSTEM_DATA2 1 64 +24 W 5 R _ {}
    MAC 2 0 +48 W 6 R _ [MAC_FACTORY]
    WAFER_VERSION_MINOR 2 48 +4 W 6 R _ []
    WAFER_VERSION_MAJOR 2 52 +2 W 6 R _ []
    PKG_VERSION 2 54 +3 W 6 R _ []
    BLK_VERSION_MINOR 2 57 +3 W 6 R _ []
    BLK_VERSION_MAJOR 2 60 +2 W 6 R _ []
    OCODE 2 62 +7 W 6 R _ []
    TEMP_CALIB 2 69 +9 W 6 R _ []
    ADC1_INIT_CODE_ATTEN0 2 78 +8 W 6 R _ []
    ADC1_INIT_CODE_ATTEN3 2 86 +5 W 6 R _ []
    ADC1_CAL_VOL_ATTEN0 2 91 +8 W 6 R _ []
    ADC1_CAL_VOL_ATTEN3 2 99 +6 W 6 R _ []
    DIG_DBIAS_HVT 2 105 +5 W 6 R _ []
    DIG_LDO_SLP_DBIAS2 2 110 +7 W 6 R _ []
    DIG_LDO_SLP_DBIAS26 2 117 +8 W 6 R _ []
    DIG_LDO_ACT_DBIAS26 2 125 +6 W 6 R _ []
    DIG_LDO_ACT_STEPD10 2 131 +4 W 6 R _ []
    RTC_LDO_SLP_DBIAS13 2 135 +7 W 6 R _ []
    RTC_LDO_SLP_DBIAS29 2 142 +9 W 6 R _ []
    RTC_LDO_SLP_DBIAS31 2 151 +6 W 6 R _ []
    RTC_LDO_ACT_DBIAS31 2 157 +6 W 6 R _ []
    RTC_LDO_ACT_DBIAS13 2 163 +8 W 6 R _ []
    RESERVED_2_171 2 171 +21 W 6 R _ {}
    ADC_CALIBRATION_3 2 192 +11 W 6 R _ []
    BLK2_RESERVED_DATA_0 2 203 +21 W 6 R _ {}
    RESERVED_2_224 2 224 +24 W 6 R _ {}
    FLASH_VENDOR 2 248 +3 W 6 R _ []
    FLASH_TEMP 2 251 +2 W 6 R _ []
    FLASH_CAP 2 253 +3 W 6 R _ []
    BLOCK_KEY0 3 0 +256 W 7 R both [KEY0]
}
