//! How blocks are coded in their cells. RS(44, 32) is the reason why most blocks are burned only once.
//!
//! GF(2^8) with the polynomial 0x11D, generator 2, first consecutive root 2^0; the 12 check bytes follow the 32 data
//! bytes in address order. Source: esptool 5.6.0 (`reedsolo.RSCodec(12)`), ESP32-C3 TRM 4.3.1.2.

/// How the cells of a block are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    /// Not at all: any bit can be burned at any time. (Block 0 of later chips is repeated in hardware.)
    None,
    /// ESP32: each 6 bytes carry 2 check bytes, and can be burned once.
    ThreeQuarters,
    /// ESP32: every bit twice, which espefuse does not support.
    Repeat,
    /// RS(44, 32): the whole block can be burned once.
    ReedSolomon,
}

impl Coding {
    /// What the field `CODING_SCHEME` of the ESP32 says about blocks 1 to 3. 3 is the recovery from a scheme of 1 or
    /// 2 that was burned by mistake, and means none.
    #[doc(alias = "EFUSE_CODING_SCHEME_VAL_NONE")]
    #[must_use]
    pub const fn of_esp32(scheme: u32) -> Self {
        match scheme & 3 {
            1 => Self::ThreeQuarters,
            2 => Self::Repeat,
            _ => Self::None,
        }
    }
}

/// The 3/4 coding of the ESP32.
pub mod three_quarters {
    /// Data bytes of a block.
    pub const DATA: usize = 24;
    /// Data bytes of a chunk, the unit that can be burned once.
    pub const CHUNK: usize = 6;

    /// What is burned for the data: 8 bytes for each 6, the 7th their XOR, the 8th the sum of their bit counts, each
    /// times its place from 1 on. Source: esptool 5.6.0 `espefuse/efuse/esp32/fields.py`, ESP32 TRM 20.3.1.3.
    #[must_use]
    pub fn encode(data: &[u8; DATA]) -> [u8; 32] {
        let mut coded = [0; 32];
        for (chunk, coded) in data.chunks_exact(CHUNK).zip(coded.chunks_exact_mut(8)) {
            let xor = chunk.iter().fold(0, |xor, byte| xor ^ byte);
            let sum = (1_u8..).zip(chunk).map(|(place, byte)| place * byte.count_ones().to_le_bytes()[0]).sum();
            coded.iter_mut().zip(chunk.iter().chain(&[xor, sum])).for_each(|(to, from)| *to = *from);
        }
        coded
    }
}

/// CRC-8 over a MAC in the order in which it is written, as the ESP32 keeps it in `MAC_CRC` and `CUSTOM_MAC_CRC`:
/// polynomial 0x31 reflected, initial value 0. Source: esptool 5.6.0 `espefuse/efuse/esp32/fields.py`.
#[doc(alias = "esp_crc8")]
#[must_use]
pub fn mac_crc(mac: &[u8; 6]) -> u8 {
    mac.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ byte, |crc: u8, _| if crc & 1 == 1 { crc >> 1 ^ 0x8c } else { crc >> 1 })
    })
}

/// Data bytes of a code word; a shorter block is extended with zeros.
pub const DATA: usize = 32;
/// Check bytes of a code word.
pub const CHECK: usize = 12;

/// The check bytes for the data of a block.
#[must_use]
pub const fn check_bytes(data: &[u8; DATA]) -> [u8; CHECK] {
    let mut register = [0; CHECK];
    let mut at = 0;
    while at < DATA {
        let feedback = data[at] ^ register[0];
        let mut index = 0;
        while index < CHECK {
            let next = if index + 1 < CHECK { register[index + 1] } else { 0 };
            register[index] = next ^ multiply(GENERATOR[index], feedback);
            index += 1;
        }
        at += 1;
    }
    register
}

/// The generator polynomial without its leading 1, highest coefficient first.
const GENERATOR: [u8; CHECK] = {
    // The product of (x - 2^i) for i in 0..12; `product[k]` is the coefficient of x^(degree - k).
    let mut product = [0; CHECK + 1];
    product[0] = 1;
    let mut root = 1;
    let mut degree = 0;
    while degree < CHECK {
        let mut k = degree + 1;
        while k > 0 {
            product[k] ^= multiply(product[k - 1], root);
            k -= 1;
        }
        root = multiply(root, 2);
        degree += 1;
    }
    let mut generator = [0; CHECK];
    let mut k = 0;
    while k < CHECK {
        generator[k] = product[k + 1];
        k += 1;
    }
    generator
};

const fn multiply(a: u8, b: u8) -> u8 {
    let (mut a, mut b, mut product) = (a, b, 0);
    while b != 0 {
        if b & 1 == 1 {
            product ^= a;
        }
        a = if a & 0x80 == 0 { a << 1 } else { (a << 1) ^ 0x1d };
        b >>= 1;
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;

    fn bytes<const N: usize>(digits: &str) -> [u8; N] {
        assert_eq!(digits.len(), 2 * N);
        core::array::from_fn(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap())
    }

    #[test]
    fn three_quarters_agrees_with_espefuse() {
        // espefuse 5.6.0, vectors/efuse/README.md
        for line in include_str!("../../../vectors/efuse/coding34.txt").lines() {
            let (data, coded) = line.split_once(' ').unwrap();
            assert_eq!(three_quarters::encode(&bytes(data)), bytes::<32>(coded));
        }
        assert_eq!(three_quarters::encode(&[0; 24]), [0; 32]);
        assert_eq!(three_quarters::encode(&[0xff; 24])[..8], hex!("ffffffffffff00a8"));
    }

    #[test]
    fn recovery_means_no_coding() {
        let codings = [0, 1, 2, 3].map(Coding::of_esp32);
        assert_eq!(codings, [Coding::None, Coding::ThreeQuarters, Coding::Repeat, Coding::None]);
    }

    #[test]
    fn agrees_with_reedsolo() {
        // reedsolo 1.7.0, vectors/efuse/README.md
        let lines = include_str!("../../../vectors/efuse/rs-parity.txt").lines();
        for line in lines.clone() {
            let mut words = line.split(' ').skip(1);
            let (data, check) = (words.next().unwrap(), words.next().unwrap());
            assert_eq!(check_bytes(&bytes(data)), bytes::<CHECK>(check), "{line}");
        }
        assert_eq!(lines.count(), 4);
        assert_eq!(check_bytes(&[0; DATA]), [0; CHECK]);
    }
}
