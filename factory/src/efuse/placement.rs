//! Which key goes into which block of a chip, blank or not.

use super::outcome::Obstacle;
use super::plan::{Burn, KeyInput};
use super::policy::{Curve, EfusePolicy, FlashEncryptionMode, JtagMode, NvsMode, SecureBootMode};
use cotter_formats::chip::Chip;
use cotter_formats::efuse::{EfuseBlock, EfuseImage, EfuseMap, Family, KeyPurpose, PurposeValue};

/// What becomes of the keys.
#[derive(Default)]
pub(super) struct Placement {
    pub(super) inputs: Vec<KeyInput>,
    pub(super) burns: Vec<Burn>,
    pub(super) already: Vec<String>,
    pub(super) obstacles: Vec<Obstacle>,
    /// Digest slots that are used afterwards.
    pub(super) slots: Vec<u8>,
}

/// A key that is wanted.
struct Wanted {
    key: String,
    bytes: usize,
    half: Option<u8>,
    purpose: &'static str,
    meaning: &'static str,
    secret: bool,
    /// A secret that software may read all the same.
    readable: bool,
}

pub(super) fn place(policy: &EfusePolicy, image: &EfuseImage) -> Placement {
    match image.map().family {
        Family::Esp32 => esp32(policy, image),
        Family::Esp32C2 => esp32c2(policy, image),
        Family::Many => many(policy, image),
    }
}

const DIGEST: &str = "the ROM trusts what this key signs; it must stay readable";
const FLASH: &str = "the key of the flash content";

fn many(policy: &EfusePolicy, image: &EfuseImage) -> Placement {
    let map = image.map();
    let mut placement = Placement::default();
    let wanted = wanted(policy, image, &mut placement);
    let mut free: Vec<EfuseBlock> = map.key_blocks().filter(|block| is_free(image, *block)).collect();
    let mut claimed: Vec<EfuseBlock> = Vec::new();
    // Those that cannot go everywhere choose first if there is no room to spare.
    let picky = |wanted: &Wanted| is_picky(map, wanted.purpose);
    let mut order: Vec<&Wanted> = wanted.iter().collect();
    let tight = wanted.len() >= free.len();
    order.sort_by_key(|wanted| tight && !picky(wanted));
    for wanted in order {
        let Some(purpose) = value_of(map, wanted.purpose) else { continue };
        let present =
            map.key_blocks().find(|block| image.key_purpose(*block) == Some(purpose) && !claimed.contains(block));
        if let Some(block) = present {
            claimed.push(block);
            protect_present(image, block, wanted, &mut placement);
            continue;
        }
        let suits = |block: &&EfuseBlock| !(picky(wanted) && map.key_index(**block) == Some(5));
        let Some(block) = free.iter().find(suits).copied() else {
            placement.obstacles.push(Obstacle::new(wanted.purpose, "no key block is free for it"));
            continue;
        };
        free.retain(|other| *other != block);
        claimed.push(block);
        if wanted.secret && is_frozen(image, "RD_DIS") {
            let why = "RD_DIS is write-protected: a key that is burned now can never be hidden";
            placement.obstacles.push(Obstacle::new(wanted.purpose, why));
        }
        placement.burn(map, block, wanted);
    }
    let name = |burn: &Burn| burn.name().to_owned();
    placement.burns.sort_by_key(name);
    placement
}

impl Placement {
    fn burn(&mut self, map: &EfuseMap, block: EfuseBlock, wanted: &Wanted) {
        if !self.inputs.iter().any(|input| input.name == wanted.key) {
            self.inputs.push(KeyInput {
                name: wanted.key.clone(),
                bytes: wanted.bytes,
                secret: wanted.secret,
                per_device: wanted.secret,
            });
        }
        self.burns.push(Burn::Key {
            block: map.block(block).map_or_else(|| block.to_string(), |layout| layout.name.to_owned()),
            purpose: wanted.purpose.to_owned(),
            key: wanted.key.clone(),
            half: wanted.half,
            read_protect: wanted.secret && !wanted.readable,
            write_protect: true,
            meaning: wanted.meaning.to_owned(),
        });
    }
}

fn wanted(policy: &EfusePolicy, image: &EfuseImage, placement: &mut Placement) -> Vec<Wanted> {
    let map = image.map();
    let mut wanted = Vec::new();
    let one = |key: &str, bytes, half, purpose, meaning, secret| Wanted {
        key: key.to_owned(),
        bytes,
        half,
        purpose,
        meaning,
        secret,
        readable: false,
    };
    if policy.secure_boot == SecureBootMode::V2 {
        let names = ["SECURE_BOOT_DIGEST0", "SECURE_BOOT_DIGEST1", "SECURE_BOOT_DIGEST2"];
        let usable = (0u8..).zip(map.key_revokes).filter(|(_, field)| image.value(field) == 0).map(|(slot, _)| slot);
        let slots: Vec<u8> = usable.take(policy.digests.into()).collect();
        if slots.len() < usize::from(policy.digests) {
            let why = format!("{} digests are wanted, and only {} slots are not revoked", policy.digests, slots.len());
            placement.obstacles.push(Obstacle::new("SECURE_BOOT_DIGEST", &why));
        }
        for slot in &slots {
            wanted.push(one(&format!("digest{slot}"), 32, None, names[usize::from(*slot)], DIGEST, false));
        }
        placement.slots = slots;
    }
    if policy.flash_encryption != FlashEncryptionMode::Off {
        if policy.key_size == 256 {
            wanted.push(one("flash", 64, Some(1), "XTS_AES_256_KEY_1", FLASH, true));
            wanted.push(one("flash", 64, Some(2), "XTS_AES_256_KEY_2", FLASH, true));
        } else {
            wanted.push(one("flash", 32, None, "XTS_AES_128_KEY", FLASH, true));
        }
        other_size(policy, image, placement);
    }
    for (index, curve) in policy.ecdsa.iter().enumerate() {
        let Some(purpose) = curve.purpose(map) else { continue };
        let meaning = "the device signs with it; only the ECDSA peripheral can use it";
        let key = format!("ecdsa{index}");
        match curve {
            Curve::P384 => {
                wanted.push(one(&key, 48, Some(1), "ECDSA_KEY_P384_H", meaning, true));
                wanted.push(one(&key, 48, Some(2), "ECDSA_KEY_P384_L", meaning, true));
            }
            Curve::P192 => wanted.push(one(&key, 24, None, purpose, meaning, true)),
            Curve::P256 => wanted.push(one(&key, 32, None, purpose, meaning, true)),
        }
    }
    if policy.nvs == NvsMode::Hmac {
        wanted.push(one("nvs-hmac", 32, None, "HMAC_UP", "the NVS keys are derived from it", true));
    }
    for index in 0..policy.ds {
        let meaning = if policy.ds_readable {
            "decrypts the parameters of a Digital Signature key; software can read it, for development only"
        } else {
            "decrypts the parameters of a Digital Signature key; software cannot use it otherwise"
        };
        let key = one(&format!("ds{index}"), 32, None, "HMAC_DOWN_DIGITAL_SIGNATURE", meaning, true);
        wanted.push(Wanted { readable: policy.ds_readable, ..key });
    }
    if policy.jtag == JtagMode::Soft {
        let meaning = "whoever has it can open JTAG until the next reset";
        wanted.push(one("jtag-hmac", 32, None, "HMAC_DOWN_JTAG", meaning, true));
    }
    wanted
}

/// A key of the other size is burned already.
fn other_size(policy: &EfusePolicy, image: &EfuseImage, placement: &mut Placement) {
    let other: &[KeyPurpose] = if policy.key_size == 256 {
        &[KeyPurpose::XTS_AES_128_KEY]
    } else {
        &[KeyPurpose::XTS_AES_256_KEY_1, KeyPurpose::XTS_AES_256_KEY_2]
    };
    let map = image.map();
    let taken =
        map.key_blocks().find(|block| image.key_purpose(*block).is_some_and(|purpose| other.contains(&purpose)));
    if let Some(layout) = taken.and_then(|block| map.block(block)) {
        let why = "it holds a flash key of the other size; with both the hardware takes the wrong one";
        placement.obstacles.push(Obstacle::new(layout.name, why));
    }
}

/// A key with the wanted purpose is there: what is missing is its protection.
fn protect_present(image: &EfuseImage, block: EfuseBlock, wanted: &Wanted, placement: &mut Placement) {
    let map = image.map();
    let Some(layout) = map.block(block) else { return };
    placement.already.push(format!("{} holds {}", layout.name, wanted.purpose));
    let hidden = !image.is_block_readable(block);
    if wanted.secret && !wanted.readable && !hidden {
        if is_frozen(image, "RD_DIS") {
            let why = "it is readable, and RD_DIS is write-protected: it can never be hidden";
            placement.obstacles.push(Obstacle::new(layout.name, why));
        } else {
            let meaning = format!("software can never read {} again", wanted.purpose);
            placement.burns.push(Burn::ReadProtect { block: layout.name.to_owned(), meaning });
        }
    }
    if !wanted.secret && hidden {
        placement.obstacles.push(Obstacle::new(layout.name, "the digest is read-protected: the ROM cannot use it"));
    }
    let blank = image.block(block).is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0));
    if blank && !hidden {
        placement.obstacles.push(Obstacle::new(layout.name, "it has the purpose, but its key is all zeros"));
    }
    let frozen_block = (!image.is_block_writable(block)).then_some(());
    if let (None, Some(bit)) = (frozen_block, layout.write_protect_bit) {
        let meaning = "nobody can burn more bits into the key".to_owned();
        placement.burns.push(Burn::WriteProtect { name: layout.name.to_owned(), bit, freezes: Vec::new(), meaning });
    }
    if let Some((field, _)) = map.key_purpose_fields(block).filter(|(field, _)| image.is_writable(field))
        && let Some(bit) = field.write_protect_bit
    {
        let meaning = "nobody can change what the key is for".to_owned();
        placement.burns.push(Burn::WriteProtect { name: field.name.to_owned(), bit, freezes: Vec::new(), meaning });
    }
}

/// BLOCK1 and BLOCK2 are what they are.
fn esp32(policy: &EfusePolicy, image: &EfuseImage) -> Placement {
    let mut placement = Placement::default();
    let coded = image.data_len(EfuseBlock(1)).unwrap_or(32);
    if policy.flash_encryption != FlashEncryptionMode::Off {
        let wanted = Wanted {
            key: "flash".into(),
            bytes: coded,
            half: None,
            purpose: "flash_encryption",
            meaning: FLASH,
            secret: true,
            readable: false,
        };
        fixed(image, EfuseBlock(1), &wanted, &mut placement);
    }
    let (key, purpose, meaning, secret) = match policy.secure_boot {
        SecureBootMode::Off => return placement,
        SecureBootMode::V1 => ("boot", "secure_boot_v1", "the ROM checks the digest of the bootloader with it", true),
        SecureBootMode::V2 => ("digest0", "secure_boot_v2", DIGEST, false),
    };
    if policy.secure_boot == SecureBootMode::V2 && coded != 32 {
        placement.obstacles.push(Obstacle::new("CODING_SCHEME", "Secure Boot V2 needs 256 bits in BLOCK2"));
    }
    placement.slots.push(0);
    let wanted = Wanted { key: key.into(), bytes: coded, half: None, purpose, meaning, secret, readable: false };
    fixed(image, EfuseBlock(2), &wanted, &mut placement);
    placement
}

/// One block for both keys, burned once: 32 bytes of flash key, or 16 of it and 16 of the digest.
fn esp32c2(policy: &EfusePolicy, image: &EfuseImage) -> Placement {
    let mut placement = Placement::default();
    let map = image.map();
    let block = EfuseBlock(3);
    let boot = policy.secure_boot == SecureBootMode::V2;
    let flash = policy.flash_encryption != FlashEncryptionMode::Off;
    if !boot && !flash {
        return placement;
    }
    if !is_free(image, block) {
        let low = image.value(map.rd_dis()) & 1 == 1;
        let matches = low == flash && (!boot || image.block(block).is_some_and(|bytes| bytes[16..] != [0; 16]));
        if matches && !image.is_block_writable(block) {
            placement.already.push("BLOCK_KEY0 holds the keys".to_owned());
        } else {
            let why = "it is burned already, and its coding allows one burn";
            placement.obstacles.push(Obstacle::new("BLOCK_KEY0", why));
        }
    } else {
        if flash && is_frozen(image, "RD_DIS") {
            placement
                .obstacles
                .push(Obstacle::new("BLOCK_KEY0", "RD_DIS is write-protected: the flash key can never be hidden"));
        }
        let (bytes, purpose) =
            if boot { (16, "XTS_AES_128_KEY_DERIVED_FROM_128_EFUSE_BITS") } else { (32, "XTS_AES_128_KEY") };
        if flash {
            let key = "flash".into();
            placement.burn(
                map,
                block,
                &Wanted { key, bytes, half: None, purpose, meaning: FLASH, secret: true, readable: false },
            );
        }
        if boot {
            let (key, meaning) = ("digest0".into(), DIGEST);
            let purpose = "SECURE_BOOT_DIGEST";
            placement.burn(
                map,
                block,
                &Wanted { key, bytes: 32, half: None, purpose, meaning, secret: false, readable: false },
            );
        }
    }
    if boot {
        placement.slots.push(0);
    }
    placement
}

/// A block that has one use.
fn fixed(image: &EfuseImage, block: EfuseBlock, wanted: &Wanted, placement: &mut Placement) {
    let map = image.map();
    let Some(layout) = map.block(block) else { return };
    if is_free(image, block) {
        if wanted.secret && is_frozen(image, "RD_DIS") {
            let why = "RD_DIS is write-protected: a key that is burned now can never be hidden";
            placement.obstacles.push(Obstacle::new(layout.name, why));
        }
        placement.burn(map, block, wanted);
    } else {
        protect_present(image, block, wanted, placement);
    }
}

fn is_free(image: &EfuseImage, block: EfuseBlock) -> bool {
    let blank = image.block(block).is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0));
    let unused = image.key_purpose(block).is_none_or(|purpose| purpose == KeyPurpose::USER);
    let fields = image.map().key_purpose_fields(block);
    let open = fields.is_none_or(|(field, _)| image.is_writable(field));
    blank && unused && open && image.is_block_readable(block) && image.is_block_writable(block)
}

/// True if BLOCK_KEY5 does not deliver it.
fn is_picky(map: &EfuseMap, purpose: &str) -> bool {
    let ecdsa = map.chip == Chip::Esp32H2 && purpose.starts_with("ECDSA");
    map.has_key5_quirk() && (purpose.starts_with("XTS_AES") || ecdsa)
}

fn value_of(map: &EfuseMap, purpose: &str) -> Option<KeyPurpose> {
    match map.purpose_named(purpose)?.value {
        PurposeValue::Burned(value) => Some(value),
        _ => None,
    }
}

pub(super) fn is_frozen(image: &EfuseImage, name: &str) -> bool {
    image.map().field(name).is_some_and(|field| !image.is_writable(field))
}
