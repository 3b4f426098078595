//! The eFuses of the ESP32-S31: every field that espefuse knows, by Espressif's name.
//!
//! Source: esptool 5.6.0 `espefuse/efuse_defs/esp32s31.yaml` (format version 2f5c1899) and
//! `espefuse/efuse/esp32s31/mem_definition.py`.

use super::field::{BlockLayout, EfuseBlock, Field, fields};

/// Ten blocks: block 0 has nine words, and there is no `BLOCK_KEY5`.
pub static BLOCKS: [BlockLayout; 10] = [
    BlockLayout::new("BLOCK0", &[], 0x02c, 0, 9, None, 0),
    BlockLayout::new("MAC_SPI_8M_0", &["BLOCK1"], 0x050, 0, 6, Some(20), 0),
    BlockLayout::new("BLOCK_SYS_DATA", &["BLOCK2"], 0x068, 0, 8, Some(21), 0),
    BlockLayout::new("BLOCK_USR_DATA", &["BLOCK3"], 0x088, 0, 8, Some(22), 0),
    BlockLayout::new("BLOCK_KEY0", &["BLOCK4"], 0x0a8, 0, 8, Some(23), 1),
    BlockLayout::new("BLOCK_KEY1", &["BLOCK5"], 0x0c8, 0, 8, Some(24), 1 << 1),
    BlockLayout::new("BLOCK_KEY2", &["BLOCK6"], 0x0e8, 0, 8, Some(25), 1 << 2),
    BlockLayout::new("BLOCK_KEY3", &["BLOCK7"], 0x108, 0, 8, Some(26), 1 << 3),
    BlockLayout::new("BLOCK_KEY4", &["BLOCK8"], 0x128, 0, 8, Some(27), 1 << 4),
    BlockLayout::new("BLOCK_SYS_DATA2", &["BLOCK9"], 0x148, 0, 8, Some(28), 1 << 5),
];

/// `KEY_PURPOSE_0` to `KEY_PURPOSE_4`, in order of the key blocks.
pub static KEY_PURPOSES: [Field; 5] = [KEY_PURPOSE_0, KEY_PURPOSE_1, KEY_PURPOSE_2, KEY_PURPOSE_3, KEY_PURPOSE_4];

/// `SECURE_BOOT_KEY_REVOKE0` to `2`, in order of the digests.
pub static KEY_REVOKES: [Field; 3] = [SECURE_BOOT_KEY_REVOKE0, SECURE_BOOT_KEY_REVOKE1, SECURE_BOOT_KEY_REVOKE2];

// name, block, start bit, length, WR_DIS bit, RD_DIS bit, other names; in braces: reserved, espefuse does not show it
fields! {
    WR_DIS 0 0 +32 W _ R _ []
    RD_DIS 0 32 +7 W 0 R _ []
    RESERVED_0_39 0 39 +3 W _ R _ {}
    DIS_USB_JTAG 0 42 +1 W 2 R _ []
    DIS_USB_SERIAL_JTAG 0 43 +1 W 2 R _ {}
    DIS_FORCE_DOWNLOAD 0 44 +1 W 2 R _ []
    SPI_DOWNLOAD_MSPI_DIS 0 45 +1 W 2 R _ []
    DIS_TWAI 0 46 +1 W 2 R _ []
    JTAG_SEL_ENABLE 0 47 +1 W 2 R _ []
    SOFT_DIS_JTAG 0 48 +3 W 31 R _ []
    DIS_PAD_JTAG 0 51 +1 W 2 R _ []
    DIS_DOWNLOAD_MANUAL_ENCRYPT 0 52 +1 W 2 R _ []
    RESERVED_0_53 0 53 +1 W _ R _ {}
    DIS_WIFI6 0 54 +1 W 2 R _ {}
    HUK_GEN_STATE 0 55 +5 W 19 R _ []
    RESERVED_0_60 0 60 +4 W _ R _ {}
    KM_RND_SWITCH_CYCLE 0 64 +1 W 1 R _ []
    RESERVED_0_65 0 65 +1 W _ R _ {}
    KM_DISABLE_DEPLOY_MODE 0 66 +5 W 1 R _ []
    KM_DEPLOY_ONLY_ONCE 0 71 +5 W 1 R _ []
    FORCE_USE_KEY_MANAGER_KEY 0 76 +5 W 1 R _ []
    FORCE_DISABLE_SW_INIT_KEY 0 81 +1 W 1 R _ []
    KM_XTS_KEY_LENGTH_256 0 82 +1 W 1 R _ []
    WDT_DELAY_SEL 0 83 +1 W 2 R _ []
    DIS_SM_CRYPT 0 84 +1 W 14 R _ []
    SPI_BOOT_CRYPT_CNT 0 85 +3 W 4 R _ []
    SECURE_BOOT_KEY_REVOKE0 0 88 +1 W 5 R _ []
    SECURE_BOOT_KEY_REVOKE1 0 89 +1 W 6 R _ []
    SECURE_BOOT_KEY_REVOKE2 0 90 +1 W 7 R _ []
    RESERVED_0_91 0 91 +5 W _ R _ {}
    KEY_PURPOSE_0 0 96 +5 W 8 R _ [KEY0_PURPOSE]
    KEY_PURPOSE_1 0 101 +5 W 9 R _ [KEY1_PURPOSE]
    KEY_PURPOSE_2 0 106 +5 W 10 R _ [KEY2_PURPOSE]
    KEY_PURPOSE_3 0 111 +5 W 11 R _ [KEY3_PURPOSE]
    KEY_PURPOSE_4 0 116 +5 W 12 R _ [KEY4_PURPOSE]
    ECC_FORCE_CONST_TIME 0 121 +1 W 14 R _ []
    ECDSA_DISABLE_SOFT_K 0 122 +1 W 14 R _ []
    SEC_DPA_LEVEL 0 123 +2 W 14 R _ []
    XTS_DPA_CLK_ENABLE 0 125 +1 W 14 R _ []
    RESERVED_0_126 0 126 +2 W _ R _ {}
    XTS_DPA_PSEUDO_LEVEL 0 128 +2 W 14 R _ []
    SECURE_BOOT_EN 0 130 +1 W 15 R _ []
    SECURE_BOOT_AGGRESSIVE_REVOKE 0 131 +1 W 16 R _ []
    RESERVED_0_132 0 132 +1 W _ R _ {}
    FLASH_TYPE 0 133 +1 W 18 R _ []
    RESERVED_0_134 0 134 +3 W _ R _ {}
    DIS_USB_OTG_DOWNLOAD_MODE 0 137 +1 W 18 R _ []
    RESERVED_0_138 0 138 +2 W _ R _ {}
    FLASH_TPUW 0 140 +4 W 18 R _ []
    DIS_DOWNLOAD_MODE 0 144 +1 W 18 R _ []
    DIS_DIRECT_BOOT 0 145 +1 W 18 R _ []
    DIS_USB_SERIAL_JTAG_ROM_PRINT 0 146 +1 W 18 R _ []
    LOCK_KM_KEY 0 147 +1 W 1 R _ []
    DIS_USB_SERIAL_JTAG_DOWNLOAD_MODE 0 148 +1 W 18 R _ []
    ENABLE_SECURITY_DOWNLOAD 0 149 +1 W 18 R _ []
    UART_PRINT_CONTROL 0 150 +2 W 18 R _ []
    FORCE_SEND_RESUME 0 152 +1 W 18 R _ []
    RESERVED_0_153 0 153 +7 W _ R _ {}
    SECURE_VERSION 0 160 +16 W 18 R _ []
    SECURE_BOOT_DISABLE_FAST_WAKE 0 176 +1 W 2 R _ []
    HYS_EN_PAD 0 177 +1 W _ R _ []
    RESERVED_0_178 0 178 +14 W _ R _ {}
    RESERVED_0_192 0 192 +2 W _ R _ {}
    DCDC_VSET_EN 0 194 +1 W _ R _ []
    DIS_WDT 0 195 +1 W 2 R _ []
    DIS_SWD 0 196 +1 W 2 R _ []
    RESERVED_0_197 0 197 +6 W _ R _ {}
    SECURE_BOOT_SHA384_EN 0 203 +1 W _ R _ []
    BOOTLOADER_ANTI_ROLLBACK_SECURE_VERSION 0 204 +4 W _ R _ []
    BOOTLOADER_ANTI_ROLLBACK_EN 0 208 +1 W _ R _ []
    BOOTLOADER_ANTI_ROLLBACK_UPDATE_IN_ROM 0 209 +1 W _ R _ []
    RECOVERY_BOOTLOADER_FLASH_SECTOR 0 210 +12 W _ R _ []
    SDC_ENA 0 222 +2 W _ R _ []
    SDC_SESSION_COUNTER 0 224 +3 W _ R _ []
    SDC_NONCE_ENA 0 227 +2 W 14 R _ []
    SDC_CHIP_INFO_SOURCE 0 229 +1 W 14 R _ []
    SDC_DISABLE_FAST_VEF 0 230 +1 W 14 R _ []
    PVT_0_GLITCH_EN 0 231 +1 W 3 R _ []
    PVT_0_GLITCH_MODE 0 232 +2 W 3 R _ []
    PVT_1_GLITCH_EN 0 234 +1 W 3 R _ []
    PVT_1_GLITCH_MODE 0 235 +2 W 3 R _ []
    PMU_FLASH_POWER_SEL 0 237 +1 W 2 R _ []
    PMU_FLASH_POWER_SEL_EN 0 238 +1 W 2 R _ []
    POWER_GLITCH_EN 0 239 +4 W 2 R _ []
    ENA_XTS_SHADOW 0 243 +1 W 14 R _ []
    ENA_SPI_BOOT_CRYPT_SCRAMBLER 0 244 +1 W 14 R _ []
    RE_ENABLE_JTAG_SOURCE 0 245 +1 W 14 R _ []
    RESERVED_0_246 0 246 +10 W _ R _ {}
    REPEAT7_RSVD 0 256 +16 W _ R _ {}
    RESERVED_0_272 0 272 +16 W _ R _ {}
    MAC 1 0 +48 W 20 R _ [MAC_FACTORY]
    MAC_EXT 1 48 +16 W 20 R _ []
    MAC_RESERVED_0 1 64 +14 W 20 R _ {}
    MAC_RESERVED_1 1 78 +18 W 20 R _ {}
    MAC_RESERVED_2 1 96 +18 W 20 R _ {}
    WAFER_VERSION_MINOR 1 114 +4 W 20 R _ []
    WAFER_VERSION_MAJOR 1 118 +2 W 20 R _ []
    DISABLE_WAFER_VERSION_MAJOR 1 120 +1 W 20 R _ []
    DISABLE_BLK_VERSION_MAJOR 1 121 +1 W 20 R _ []
    BLK_VERSION_MINOR 1 122 +3 W 20 R _ []
    BLK_VERSION_MAJOR 1 125 +2 W 20 R _ []
    PSRAM_CAP 1 127 +3 W 20 R _ []
    TEMP 1 130 +2 W 20 R _ []
    PSRAM_VENDOR 1 132 +2 W 20 R _ []
    PKG_VERSION 1 134 +2 W 20 R _ []
    OCODE 1 136 +8 W 20 R _ []
    ACTIVE_HP_DBIAS 1 144 +4 W 20 R _ []
    ACTIVE_LP_DBIAS 1 148 +4 W 20 R _ []
    LSLP_HP_DBG 1 152 +2 W 20 R _ []
    LSLP_HP_DBIAS 1 154 +4 W 20 R _ []
    DSLP_LP_DBG 1 158 +4 W 20 R _ []
    DSLP_LP_DBIAS 1 162 +5 W 20 R _ []
    LP_HP_DBIAS_VOL_GAP 1 167 +5 W 20 R _ []
    PVT_DBIAS 1 172 +4 W 20 R _ []
    RESERVED_1_176 1 176 +16 W 20 R _ {}
    OPTIONAL_UNIQUE_ID 2 0 +128 W 21 R _ []
    TEMP_CALIBRATION 2 128 +10 W 21 R _ []
    SPI_LDO_1V8_DREF 2 138 +4 W 21 R _ []
    SPI_LDO_1V8_MUL 2 142 +3 W 21 R _ []
    ADC1_WEIGHT_BIT16 2 145 +10 W 21 R _ []
    ADC1_WEIGHT_BIT15 2 155 +9 W 21 R _ []
    ADC1_WEIGHT_BIT14 2 164 +8 W 21 R _ []
    ADC1_WEIGHT_BIT13 2 172 +8 W 21 R _ []
    ADC1_WEIGHT_BIT12 2 180 +8 W 21 R _ []
    ADC1_WEIGHT_BIT11 2 188 +6 W 21 R _ []
    ADC1_WEIGHT_BIT10 2 194 +5 W 21 R _ []
    ADC2_WEIGHT_BIT16 2 199 +10 W 21 R _ []
    ADC2_WEIGHT_BIT15 2 209 +9 W 21 R _ []
    ADC2_WEIGHT_BIT14 2 218 +8 W 21 R _ []
    ADC2_WEIGHT_BIT13 2 226 +8 W 21 R _ []
    ADC2_WEIGHT_BIT12 2 234 +8 W 21 R _ []
    ADC2_WEIGHT_BIT11 2 242 +6 W 21 R _ []
    ADC2_WEIGHT_BIT10 2 248 +5 W 21 R _ []
    RESERVED_2_253 2 253 +3 W 21 R _ {}
    BLOCK_USR_DATA 3 0 +192 W 22 R _ [USER_DATA]
    RESERVED_3_192 3 192 +8 W 22 R _ {}
    CUSTOM_MAC 3 200 +48 W 22 R _ [MAC_CUSTOM USER_DATA_MAC_CUSTOM]
    RESERVED_3_248 3 248 +8 W 22 R _ {}
    BLOCK_KEY0 4 0 +256 W 23 R 0 [KEY0]
    BLOCK_KEY1 5 0 +256 W 24 R 1 [KEY1]
    BLOCK_KEY2 6 0 +256 W 25 R 2 [KEY2]
    BLOCK_KEY3 7 0 +256 W 26 R 3 [KEY3]
    BLOCK_KEY4 8 0 +256 W 27 R 4 [KEY4]
    ADC1_DIFF_K 9 0 +11 W 28 R 5 []
    ADC1_DIFF_B 9 11 +10 W 28 R 5 []
    ADC1_P_K 9 21 +11 W 28 R 5 []
    ADC1_P_B 9 32 +10 W 28 R 5 []
    ADC1_N_K 9 42 +11 W 28 R 5 []
    ADC1_N_B 9 53 +10 W 28 R 5 []
    ADC2_DIFF_K 9 63 +11 W 28 R 5 []
    ADC2_DIFF_B 9 74 +10 W 28 R 5 []
    ADC2_P_K 9 84 +11 W 28 R 5 []
    ADC2_P_B 9 95 +10 W 28 R 5 []
    ADC2_N_K 9 105 +11 W 28 R 5 []
    ADC2_N_B 9 116 +10 W 28 R 5 []
    RESERVED_9_126 9 126 +2 W 28 R 5 {}
    SYS_DATA_PART2_4 9 128 +32 W 28 R 5 {}
    SYS_DATA_PART2_5 9 160 +32 W 28 R 5 {}
    USB_DEVICE_EXCHG_PINS 9 192 +1 W 28 R 5 []
    USB_DEVICE_DREFH 9 193 +2 W 28 R 5 {}
    USB_DEVICE_DREFL 9 195 +2 W 28 R 5 {}
    RESERVED_9_197 9 197 +12 W 28 R 5 {}
    PVT_0_CELL_SELECT 9 209 +7 W 28 R 5 {}
    PVT_1_CELL_SELECT 9 216 +7 W 28 R 5 {}
    RESERVED_9_223 9 223 +1 W 28 R 5 {}
    PVT_0_LIMIT 9 224 +16 W 28 R 5 {}
    PVT_1_LIMIT 9 240 +16 W 28 R 5 {}
}
