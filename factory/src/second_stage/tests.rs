//! Both kinds of files, and what they leave out.

use super::*;
use std::io::Write;

fn load(text: &str, chip: Chip) -> Result<SecondStage, SecondStageFileError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    SecondStageFile::load(file.path(), chip)
}

const PRODUCTION: &str = "
nvs-keys = { hmac = 3 }
[secure-boot]
scheme = \"v2\"
[flash-encryption]
mode = \"release\"
";

// As menuconfig of ESP-IDF 5.5 writes it, the lines that count.
const SDKCONFIG: &str = "
#
# Automatically generated file. DO NOT EDIT.
# Espressif IoT Development Framework (ESP-IDF) 5.5.1 Project Configuration
#
CONFIG_IDF_TARGET=\"esp32c3\"
CONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE=y
CONFIG_BOOTLOADER_APP_ANTI_ROLLBACK=y
CONFIG_SECURE_BOOT=y
CONFIG_SECURE_BOOT_V2_ENABLED=y
# CONFIG_SECURE_BOOT_ALLOW_JTAG is not set
CONFIG_SECURE_FLASH_ENC_ENABLED=y
# CONFIG_SECURE_FLASH_ENCRYPTION_MODE_DEVELOPMENT is not set
CONFIG_SECURE_FLASH_ENCRYPTION_MODE_RELEASE=y
CONFIG_SECURE_FLASH_ENCRYPT_ONLY_IMAGE_LEN_IN_APP_PART=y
CONFIG_SECURE_ENABLE_SECURE_ROM_DL_MODE=y
CONFIG_NVS_ENCRYPTION=y
CONFIG_NVS_SEC_KEY_PROTECT_USING_HMAC=y
CONFIG_NVS_SEC_HMAC_EFUSE_KEY_ID=3
";

#[test]
fn a_short_file_and_the_sdkconfig_of_the_same_product_say_the_same() {
    let ours = load(PRODUCTION, Chip::Esp32C3).unwrap();
    assert_eq!(ours, load(SDKCONFIG, Chip::Esp32C3).unwrap());
    assert_eq!(ours.download_mode, DownloadPolicy::Secure, "menuconfig's default for a released product");
    assert_eq!(ours.nvs_keys, NvsKeySource::Hmac { key: 3 });
    let encryption = ours.flash_encryption.unwrap();
    assert_eq!(encryption, FlashEncryption::new(FlashEncryptionMode::Release, FlashKeyKind::Aes128));
}

#[test]
fn what_is_left_out_is_as_menuconfig_has_it() {
    assert_eq!(load("", Chip::Esp32C3).unwrap(), SecondStage::default());
    let development = load("[flash-encryption]\nmode = \"development\"\n", Chip::Esp32C3).unwrap();
    assert_eq!(development.download_mode, DownloadPolicy::Open);
    assert!(development.flash_encryption.unwrap().allow_download_encrypt);
    let c2 = load(&PRODUCTION.replace("nvs-keys = { hmac = 3 }", ""), Chip::Esp32C2).unwrap();
    assert_eq!(c2.flash_encryption.unwrap().key, FlashKeyKind::Aes128Derived);
    // An old sdkconfig: nothing is set.
    let plain = load("CONFIG_IDF_TARGET=\"esp32\"\n", Chip::Esp32).unwrap();
    assert_eq!((plain.secure_boot, plain.app_rollback, plain.anti_rollback), (SecureBoot::Off, false, false));
}

#[test]
fn the_verification_key_of_v1_is_read_from_pem_and_from_64_bytes() {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors");
    let raw = vectors.join("sbv1/pubkey-v1-raw64.bin");
    let text = |key: &Path| format!("[secure-boot]\nscheme = \"v1\"\nverification-key = \"{}\"\n", key.display());
    let from_raw = load(&text(&raw), Chip::Esp32).unwrap();
    let SecureBoot::V1(SecureBootV1 { verification_key }) = &from_raw.secure_boot else { panic!("not V1") };
    assert_eq!(verification_key.raw(), fs::read(&raw).unwrap());
    assert_eq!(from_raw, load(&text(&vectors.join("sbv2/pub-ecdsa_p256.pem")), Chip::Esp32).unwrap());
    let sdkconfig = format!(
        "CONFIG_SECURE_BOOT_V1_ENABLED=y\nCONFIG_SECURE_BOOT_VERIFICATION_KEY=\"{}\"\nCONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE=y\nCONFIG_BOOTLOADER_APP_ANTI_ROLLBACK=y\n",
        raw.display()
    );
    assert_eq!(from_raw, load(&sdkconfig, Chip::Esp32).unwrap());

    let wrong = load(&text(&vectors.join("sbv2/pub-rsa3072_a.pem")), Chip::Esp32);
    assert!(matches!(wrong, Err(SecondStageFileError::VerificationKey { .. })), "{wrong:?}");
    let none = load("[secure-boot]\nscheme = \"v1\"\n", Chip::Esp32);
    assert!(matches!(none, Err(SecondStageFileError::NoVerificationKey)), "{none:?}");
}

#[test]
fn refuses_what_it_does_not_understand() {
    assert!(matches!(load("secureboot = 2\n", Chip::Esp32C3), Err(SecondStageFileError::Toml(_))));
    let other = load(SDKCONFIG, Chip::Esp32S3).unwrap_err();
    assert_eq!(other.to_string(), "sdkconfig: the project is for esp32c3, not for esp32s3");
    let number = load(&SDKCONFIG.replace("KEY_ID=3", "KEY_ID=many"), Chip::Esp32C3).unwrap_err();
    assert_eq!(number.to_string(), "sdkconfig: NVS_SEC_HMAC_EFUSE_KEY_ID is many, which is no number that fits");
}
