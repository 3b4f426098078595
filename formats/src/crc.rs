//! The two CRC-32 flavours of the on-device formats (both reflected polynomial 0xEDB88320).

use crc::{CRC_32_ISO_HDLC, Crc};

static TABLE: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);
static TABLE_A: Crc<u32> = Crc::<u32>::new(&crc::Algorithm { init: 0, ..CRC_32_ISO_HDLC });

/// CRC-A: the ROM's `crc32_le(0xFFFFFFFF, data)`; the register starts at 0, the result is inverted.
/// Used by NVS, otadata, nvs_keys, esp_secure_cert.
#[doc(alias = "crc32_le(UINT32_MAX)")]
#[must_use]
pub fn crc_a(data: &[u8]) -> u32 {
    TABLE_A.checksum(data)
}

/// CRC-B: the ROM's `crc32_le(0, data)`, ordinary CRC-32 (IEEE). Used by the Secure Boot V2 block.
#[doc(alias = "crc32_le(0)")]
#[must_use]
pub fn crc_b(data: &[u8]) -> u32 {
    TABLE.checksum(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_a_of_sequence_one_is_what_otatool_writes() {
        // facts: seq 1 -> 0x4743989A (otatool.py, vectors/otadata)
        assert_eq!(crc_a(&1u32.to_le_bytes()), 0x4743_989a);
    }

    #[test]
    fn crc_b_is_ieee() {
        assert_eq!(crc_b(b"123456789"), 0xcbf4_3926);
    }
}
