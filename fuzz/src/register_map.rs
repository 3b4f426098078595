//! The register map in the custom descriptor of an application image.

use cotter_formats::crc::crc_b;
use cotter_wire::registers::RegisterMap;

/// There is one spelling of every accepted map, and a map that passes the self-test can be worked with.
pub fn register_map(data: &[u8]) {
    accepted(data);
    if let Some(body) = data.first_chunk::<{ RegisterMap::LEN }>() {
        let mut mended = *body;
        mended[..4].copy_from_slice(&RegisterMap::MAGIC.to_le_bytes());
        let crc = crc_b(&mended[..RegisterMap::LEN - 4]);
        mended[RegisterMap::LEN - 4..].copy_from_slice(&crc.to_le_bytes());
        accepted(&mended);
    }
}

fn accepted(bytes: &[u8]) {
    let Ok(map) = RegisterMap::parse(bytes) else { return };
    assert_eq!(map.encode(), bytes[..RegisterMap::LEN], "a map changed in a round trip");
    if map.check().is_ok() {
        assert!(!map.registers().is_empty());
        for register in map.registers() {
            assert_ne!(register.gain, 0, "the self-test let a gain of 0 pass");
            assert_eq!(map.find(register.id), Some(register), "the self-test let a double id pass");
        }
    }
}
