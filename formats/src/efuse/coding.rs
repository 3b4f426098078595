//! RS(44, 32): the code in which every block but 0 is burned, and the reason why such a block is burned only once.
//!
//! GF(2^8) with the polynomial 0x11D, generator 2, first consecutive root 2^0; the 12 check bytes follow the 32 data
//! bytes in address order. Source: esptool 5.6.0 (`reedsolo.RSCodec(12)`), ESP32-C3 TRM 4.3.1.2.

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

    #[test]
    fn agrees_with_reedsolo() {
        // shared vectors/efuse/rs-parity.txt: reedsolo 1.7.0, RSCodec(12)
        let mut one = [0; DATA];
        one[0] = 1;
        assert_eq!(check_bytes(&one), hex!("e10f626eafecc5fbc6e0972f"));
        let sequence = core::array::from_fn(|index| u8::try_from(index).unwrap());
        assert_eq!(check_bytes(&sequence), hex!("a04c470d3ffcb203dae9f413"));
        assert_eq!(check_bytes(&[0xff; DATA]), hex!("13a36292597404257375e0aa"));
        let key = hex!("3a642bf2fe0e44cc2c17f7b337cfc45ef4a63b02fac4d7e2aca37c006741e469");
        assert_eq!(check_bytes(&key), hex!("7b0c26f6058f2e9a5633c86e"));
        assert_eq!(check_bytes(&[0; DATA]), [0; CHECK]);
    }
}
