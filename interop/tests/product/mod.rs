//! A product for production: its keys, what is burned, its images, and what attackers make of them. Signed and encrypted
//! by espsecure, never by us.

mod attack;
mod image;

use crate::batch::batch;
use cotter_chip::board::VirtualChip;
use cotter_chip::second_stage::{SecondStage, SecureBoot, SecureBootV1};
use cotter_formats::addr::{FlashAddr, FlashLen, SECTOR};
use cotter_formats::chip::Chip;
use cotter_formats::efuse::{ChipRevision, EfuseImage, Family};
use cotter_formats::partition::{Label, Partition, PartitionFlags, PartitionType, Subtype, build};
use cotter_formats::secure_boot::v1::VerifyingKey;
use cotter_interop::{Generator, tools};
use std::path::{Path, PathBuf};

pub(crate) use attack::Attack;

/// How the boot chain is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// Secure Boot V1.
    V1,
    /// V2.
    Rsa,
    /// V2 on chips that know no RSA.
    Ecdsa,
}

/// A part of the flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Boot,
    Table,
    App,
}

pub(crate) struct Product {
    pub(crate) scheme: Scheme,
    chip: Chip,
    /// A chip that has seen nothing but the factory.
    fresh: EfuseImage,
    directory: PathBuf,
    boot: Vec<u8>,
    app: Vec<u8>,
    /// The application before this one.
    old_app: Vec<u8>,
}

/// Bytes for an address.
pub(crate) struct Piece {
    pub(crate) place: Place,
    pub(crate) at: u32,
    /// Signed.
    pub(crate) plain: Vec<u8>,
    /// Encrypted with the product's key for that address.
    pub(crate) content: Vec<u8>,
    /// The files with these two.
    pub(crate) plain_file: String,
    pub(crate) cipher_file: String,
}

/// Where the application is.
const APP: u32 = 0x1_0000;
const TABLE: u32 = 0x8000;
/// What the eFuses demand of an application.
const SECURE_VERSION: u32 = 1;

impl Product {
    pub(crate) fn new(board: &VirtualChip, directory: &Path) -> Self {
        let (chip, fresh) = (board.chip(), board.efuses().image().unwrap());
        let scheme = match chip {
            Chip::Esp32 if fresh.revision() < ChipRevision(300) => Scheme::V1,
            Chip::Esp32C2 | Chip::Esp32C61 => Scheme::Ecdsa,
            _ => Scheme::Rsa,
        };
        let mut random = Generator::seeded();
        let boot = image::boot(chip, &mut random);
        let [app, old_app] = [SECURE_VERSION, SECURE_VERSION - 1].map(|version| image::app(chip, version, &mut random));
        let product = Self { scheme, chip, fresh, directory: directory.to_owned(), boot, app, old_app };
        let length = product.flash_key_len();
        for (name, length) in
            [("flash", length), ("other", length), ("boot", 32), ("hmac", 32), ("ds", 32), ("jtag", 32)]
        {
            let key = random.bytes(length);
            product.put(&format!("{name}.key"), &key);
        }
        product.signing_keys();
        product
    }

    /// Keys with a public half: of the owner, of the owner but revoked, of somebody else; and the device's own.
    fn signing_keys(&self) {
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/keys/");
        for (name, rsa) in
            [("owner", "rsa3072_a"), ("revoked", "rsa3072_b"), ("stranger", "rsa3072_dev"), ("ecdsa", "")]
        {
            let pem = self.path(&format!("{name}.pem"));
            if self.scheme == Scheme::Rsa && !rsa.is_empty() {
                std::fs::copy(format!("{golden}{rsa}.pem"), &pem).unwrap();
            } else {
                let curve = ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", &pem];
                tools().openssl(curve).accepted();
            }
        }
    }

    /// What the owner's second stage was compiled with: under Secure Boot V1 the key that applications are signed with.
    pub(crate) fn second_stage(&self) -> SecondStage {
        if self.scheme != Scheme::V1 {
            return SecondStage::default();
        }
        let public = self.path("owner.pub");
        let extract = ["extract-public-key", "--version", "1", "--keyfile", &self.path("owner.pem"), &public];
        tools().espsecure(extract).accepted();
        let point = std::fs::read(public).unwrap().try_into().unwrap();
        let verification_key = VerifyingKey::from_raw(&point).unwrap();
        SecondStage { secure_boot: SecureBoot::V1(SecureBootV1 { verification_key }), ..SecondStage::default() }
    }

    fn flash_key_len(&self) -> usize {
        match self.chip {
            Chip::Esp32C2 => 16,
            Chip::Esp32S2 | Chip::Esp32S3 | Chip::Esp32P4 => 64,
            _ => 32,
        }
    }

    fn has(&self, field: &str) -> bool {
        self.fresh.map().field(field).is_some()
    }

    fn has_hmac(&self) -> bool {
        cotter_formats::hmac_key::HmacKey::is_supported_by(self.chip)
    }

    /// espefuse's command line that burns the keys.
    pub(crate) fn key_burns(&self) -> String {
        let file = |name: &str| self.path(name);
        let [flash, owner, revoked] = ["flash.key", "owner.pem", "revoked.pem"].map(file);
        match (self.chip, self.scheme) {
            (Chip::Esp32, Scheme::V1) => format!(
                "burn-key flash_encryption {flash} secure_boot_v1 {} burn-efuse FLASH_CRYPT_CONFIG 0xf",
                file("boot.key")
            ),
            (Chip::Esp32, _) => {
                format!("burn-key flash_encryption {flash} burn-key-digest {owner} burn-efuse FLASH_CRYPT_CONFIG 0xf")
            }
            (Chip::Esp32C2, _) => format!(
                "burn-key-digest {owner} burn-key BLOCK_KEY0 {flash} XTS_AES_128_KEY_DERIVED_FROM_128_EFUSE_BITS"
            ),
            _ => {
                let wide = self.flash_key_len() == 64;
                let purpose = if wide { "XTS_AES_256_KEY" } else { "XTS_AES_128_KEY" };
                let mut keys = vec![format!("{flash} {purpose}")];
                if self.has_hmac() {
                    keys.push(format!("{} HMAC_UP", file("hmac.key")));
                    keys.push(format!("{} HMAC_DOWN_DIGITAL_SIGNATURE", file("ds.key")));
                    // A pair of flash keys takes the last block.
                    keys.extend((!wide).then(|| format!("{} HMAC_DOWN_JTAG", file("jtag.key"))));
                }
                if self.chip == Chip::Esp32C61 {
                    keys.push(format!("{} ECDSA_KEY", file("ecdsa.pem")));
                }
                let blocks = [0].into_iter().chain(if wide { 2.. } else { 1.. });
                let keys: Vec<_> = blocks.zip(&keys).map(|(block, key)| format!("BLOCK_KEY{block} {key}")).collect();
                // Digests go last: KEY5 holds no flash key on most chips, but it holds a digest.
                let (keys, [first, second]) = (keys.join(" "), [4, 5]);
                format!(
                    "burn-key {keys} burn-key-digest BLOCK_KEY{first} {owner} SECURE_BOOT_DIGEST0 \
                     BLOCK_KEY{second} {revoked} SECURE_BOOT_DIGEST1"
                )
            }
        }
    }

    /// espefuse's command line after which the chip is as its buyers get it.
    pub(crate) fn lock_burns(&self) -> String {
        let wanted: &[(&str, &str)] = match self.fresh.map().family {
            Family::Esp32 => &[
                ("DISABLE_DL_ENCRYPT", "1"),
                ("DISABLE_DL_DECRYPT", "1"),
                ("DISABLE_DL_CACHE", "1"),
                ("JTAG_DISABLE", "1"),
                ("CONSOLE_DEBUG_DISABLE", "1"),
                ("SECURE_VERSION", "1"),
                ("FLASH_CRYPT_CNT", "0x7f"),
                (if self.scheme == Scheme::V1 { "ABS_DONE_0" } else { "ABS_DONE_1" }, "1"),
            ],
            Family::Many | Family::Esp32C2 => &[
                ("DIS_DOWNLOAD_ICACHE", "1"),
                ("DIS_DOWNLOAD_DCACHE", "1"),
                ("SPI_DOWNLOAD_MSPI_DIS", "1"),
                ("DIS_DOWNLOAD_MANUAL_ENCRYPT", "1"),
                ("DIS_DIRECT_BOOT", "1"),
                ("DIS_LEGACY_SPI_BOOT", "1"),
                ("DIS_PAD_JTAG", "1"),
                ("HARD_DIS_JTAG", "1"),
                ("DIS_USB_JTAG", "1"),
                ("DIS_FORCE_DOWNLOAD", "1"),
                ("DIS_USB_OTG_DOWNLOAD_MODE", "1"),
                ("DIS_USB_SERIAL_JTAG_DOWNLOAD_MODE", "1"),
                ("SECURE_BOOT_KEY_REVOKE1", "1"),
                ("SECURE_BOOT_KEY_REVOKE2", "1"),
                ("SECURE_BOOT_AGGRESSIVE_REVOKE", "1"),
                ("SECURE_VERSION", "1"),
                ("SPI_BOOT_CRYPT_CNT", "7"),
                ("SECURE_BOOT_EN", "1"),
                ("ENABLE_SECURITY_DOWNLOAD", "1"),
            ],
        };
        // On the ESP32-C3 these two are names of one bit.
        let twice = self.has("DIS_DIRECT_BOOT");
        let fields = wanted.iter().filter(|(name, _)| self.has(name) && !(twice && *name == "DIS_LEGACY_SPI_BOOT"));
        let settings: Vec<_> = fields.map(|(name, value)| format!("{name} {value}")).collect();
        let cache = if self.has("DIS_ICACHE") { " DIS_ICACHE" } else { "" };
        let counter = if self.fresh.map().family == Family::Esp32 { "FLASH_CRYPT_CNT" } else { "SPI_BOOT_CRYPT_CNT" };
        format!("burn-efuse {} write-protect-efuse RD_DIS {counter}{cache}", settings.join(" "))
    }

    /// The eFuses after these lines on espefuse's own virtual chip.
    pub(crate) fn virtual_burns(&self, lines: &[String]) -> EfuseImage {
        let file = self.path("virtual.bin");
        std::fs::write(&file, &*self.fresh.to_virtual_file()).unwrap();
        for line in lines {
            let head = ["--chip", self.chip.name(), "--virt", "--do-not-confirm", "--path-efuse-file", &file];
            tools().espefuse(head.into_iter().chain(line.split(' '))).accepted();
        }
        EfuseImage::from_virtual_file(self.chip, &std::fs::read(&file).unwrap()).unwrap()
    }

    /// Second stage, table and application as they are delivered.
    pub(crate) fn pieces(&self) -> [Piece; 3] {
        let signed = self.signed(&[(&self.boot, Place::Boot, "owner"), (&self.app, Place::App, "owner")]);
        let contents = [(Place::Boot, signed[0].clone()), (Place::Table, table()), (Place::App, signed[1].clone())];
        let encrypted = self.encrypted(&contents.each_ref().map(|(place, content)| (*place, &content[..], "flash")));
        let mut encrypted = encrypted.into_iter();
        contents.map(|(place, plain)| {
            let name = |kind: &str| format!("{place:?}.{kind}").to_lowercase();
            let content = encrypted.next().unwrap();
            let files = [("plain", &plain), ("cipher", &content)].map(|(kind, bytes)| self.put(&name(kind), bytes));
            let [plain_file, cipher_file] = files;
            Piece { place, at: self.at(place), plain, content, plain_file, cipher_file }
        })
    }

    /// Where a part begins; that of the second stage includes what lies before it under Secure Boot V1.
    pub(crate) fn at(&self, place: Place) -> u32 {
        match place {
            Place::Boot if self.scheme == Scheme::V1 => 0,
            Place::Boot => self.chip.bootloader_offset().0,
            Place::Table => TABLE,
            Place::App => APP,
        }
    }

    /// Each signed by espsecure as the boot chain wants it.
    fn signed(&self, images: &[(&[u8], Place, &str)]) -> Vec<Vec<u8>> {
        let commands = images.iter().enumerate().map(|(index, (image, place, key))| {
            let (input, output) = (self.put(&format!("{index}.in"), image), self.path(&format!("{index}.out")));
            match (self.scheme, place) {
                (Scheme::V1, Place::Boot) => {
                    let key = self.path(if *key == "owner" { "boot.key" } else { "other.key" });
                    format!("digest-secure-bootloader --keyfile {key} --output {output} {input}")
                }
                (scheme, _) => {
                    let version = if scheme == Scheme::V1 { 1 } else { 2 };
                    let key = self.path(&format!("{key}.pem"));
                    format!("sign-data --version {version} --keyfile {key} --output {output} {input}")
                }
            }
        });
        self.espsecure(&commands.collect::<Vec<_>>())
    }

    /// Each encrypted by espsecure for its place, with the named key.
    fn encrypted(&self, contents: &[(Place, &[u8], &str)]) -> Vec<Vec<u8>> {
        let commands = contents.iter().enumerate().map(|(index, (place, content, key))| {
            let mut content = content.to_vec();
            content.resize(content.len().next_multiple_of(32), 0xff);
            let input = self.put(&format!("{index}.in"), &content);
            let (output, key) = (self.path(&format!("{index}.out")), self.path(&format!("{key}.key")));
            let mode = if self.chip == Chip::Esp32 { "" } else { "--aes-xts " };
            let at = self.at(*place);
            format!("encrypt-flash-data {mode}--keyfile {key} --address {at:#x} --output {output} {input}")
        });
        self.espsecure(&commands.collect::<Vec<_>>())
    }

    /// Runs the command lines; returns what each has put out.
    fn espsecure(&self, commands: &[String]) -> Vec<Vec<u8>> {
        let lists: Vec<Vec<String>> =
            commands.iter().map(|line| line.split(' ').map(str::to_owned).collect()).collect();
        for (outcome, command) in batch("espsecure", &lists).into_iter().zip(commands) {
            assert!(outcome.accepted, "{}: espsecure {command}: {}", self.chip, outcome.output);
        }
        (0..commands.len()).map(|index| std::fs::read(self.path(&format!("{index}.out"))).unwrap()).collect()
    }

    fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    pub(crate) fn put(&self, name: &str, content: &[u8]) -> String {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

fn table() -> Vec<u8> {
    let app = Partition {
        label: Label::new("factory").unwrap(),
        kind: PartitionType::APP,
        subtype: Subtype::APP_FACTORY,
        offset: FlashAddr(APP),
        size: FlashLen(0x4_0000),
        flags: PartitionFlags::NONE,
    };
    let mut table = build(&[app]).unwrap().to_vec();
    table.resize(SECTOR as usize, 0xff);
    table
}
