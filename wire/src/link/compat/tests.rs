extern crate std;
use super::*;
use hex_literal::hex;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

fn example() -> CompatKey {
    CompatKey::new(Cipher::Aes128Ctr, &[b'A'; 16], &[b'T'; 16], ExampleKeys::Allow).unwrap()
}

fn key(cipher: Cipher, key: &[u8], iv: &[u8]) -> CompatKey {
    CompatKey::new(cipher, key, iv, ExampleKeys::Refuse).unwrap()
}

fn apply(stream: &mut Keystream, data: &[u8]) -> Vec<u8> {
    let mut data = data.to_vec();
    stream.apply(&mut data).unwrap();
    data
}

/// The README's three transcripts, and those that its host script made.
#[test]
fn reproduces_the_transcripts_of_the_example() {
    let (mut device, mut host) = (example().keystream(), example().keystream());
    assert_eq!(apply(&mut device, b"\r\nready\r\n"), hex!("a1 61 07 bf 80 39 c9 54 13"));
    assert_eq!(apply(&mut host, b"AT\r\n"), hex!("ed 3f 78 d0"));
    assert_eq!(apply(&mut device, b"AT\r\n\r\nOK\r\n"), hex!("74 bd 1b 0f c9 76 69 38 eb af"));
    assert_eq!(apply(&mut host, b"AT+GMR\r\n"), hex!("a0 09 9b 1e 54 67 e4 1c"));
    assert_eq!(apply(&mut host, b"AT+CWMODE=1\r\n"), hex!("44 90 57 65 24 ab ea 96 30 9e 60 2e d0"));
    assert_eq!(
        apply(&mut host, b"AT+CWJAP=\"688018\",\"\"\r\n"),
        hex!("09 b6 76 45 37 8d 4e 73 23 57 ed 93 b8 34 5c a8 7a 25 a9 9b 7a ed")
    );
}

/// NIST SP 800-38A, F.5.1, F.5.3 and F.5.5: `CTR-AES*.Encrypt`.
#[test]
fn aes_ctr_is_that_of_nist() {
    let iv = hex!("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff");
    let plain = hex!(
        "6bc1bee22e409f96e93d7e117393172a ae2d8a571e03ac9c9eb76fac45af8e51
         30c81c46a35ce411e5fbc1191a0a52ef f69f2445df4f9b17ad2b417be66c3710"
    );
    let cases: [(Cipher, &[u8], [u8; 64]); 3] = [
        (
            Cipher::Aes128Ctr,
            &hex!("2b7e151628aed2a6abf7158809cf4f3c"),
            hex!(
                "874d6191b620e3261bef6864990db6ce 9806f66b7970fdff8617187bb9fffdff
                 5ae4df3edbd5d35e5b4f09020db03eab 1e031dda2fbe03d1792170a0f3009cee"
            ),
        ),
        (
            Cipher::Aes192Ctr,
            &hex!("8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b"),
            hex!(
                "1abc932417521ca24f2b0459fe7e6e0b 090339ec0aa6faefd5ccc2c6f4ce8e94
                 1e36b26bd1ebc670d1bd1d665620abf7 4f78a7f6d29809585a97daec58c6b050"
            ),
        ),
        (
            Cipher::Aes256Ctr,
            &hex!("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4"),
            hex!(
                "601ec313775789a5b7a7f504bbf3d228 f443e3ca4d62b59aca84e990cacaf5c5
                 2b0930daa23de94ce87017ba2d84988d dfc9c58db67aada613c2dd08457941a6"
            ),
        ),
    ];
    for (cipher, bytes, sealed) in cases {
        assert_eq!(apply(&mut key(cipher, bytes, &iv).keystream(), &plain), sealed, "{cipher:?}");
    }
}

/// RFC 8439, 2.4.2, whose counter starts at 1: one block later.
#[test]
fn chacha20_is_that_of_rfc_8439() {
    let bytes: [u8; 32] = core::array::from_fn(|at| u8::try_from(at).unwrap());
    let mut stream = key(Cipher::ChaCha20, &bytes, &hex!("000000000000004a00000000")).keystream();
    apply(&mut stream, &[0; 64]);
    let plain = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
        sunscreen would be it.";
    let sealed = hex!(
        "6e2e359a2568f98041ba0728dd0d6981 e97e7aec1d4360c20a27afccfd9fae0b f91b65c5524733ab8f593dabcd62b357
         1639d624e65152ab8f530c359f0861d8 07ca0dbf500d6a6156a38e088a22b65e 52bc514d16ccf806818ce91ab7793736
         5af90bbf74a35be6b40b8eedf2785e42 874d"
    );
    assert_eq!(apply(&mut stream, plain), sealed);
}

/// eSTREAM's verified test vectors of Salsa20/20 with 256-bit keys: set 1, vector 0, bytes 0 to 63.
#[test]
fn salsa20_is_that_of_estream() {
    let mut bytes = [0; 32];
    bytes[0] = 0x80;
    assert_eq!(
        apply(&mut key(Cipher::Salsa20, &bytes, &[0; 8]).keystream(), &[0; 64]),
        hex!(
            "e3be8fdd8beca2e3ea8ef9475b29a6e7 003951e1097a5c38d23b7a5fad9f6844
             b22c97559e2723c7cbbd3fe4fc8d9a07 44652a83e72a9c461876af4d7ef1a117"
        )
    );
}

/// The whole block is one number: it carries over all 16 bytes, and from all ones to zero.
#[test]
fn the_counter_of_aes_is_128_bits_wide() {
    for (iv, next) in
        [([0xff; 16], [0; 16]), (hex!("000102ffffffffffffffffffffffffff"), hex!("00010300000000000000000000000000"))]
    {
        let carried = apply(&mut key(Cipher::Aes128Ctr, &[7; 16], &iv).keystream(), &[0; 32]);
        let fresh = apply(&mut key(Cipher::Aes128Ctr, &[7; 16], &next).keystream(), &[0; 16]);
        assert_eq!(carried[16..], fresh);
    }
}

#[test]
fn the_host_scripts_iv_is_the_firmwares_backwards() {
    let iv: [u8; 16] = *b"0123456789abcdef";
    let mut backwards = iv;
    backwards.reverse();
    let script = key(Cipher::Aes128Ctr, &[7; 16], &iv).with_iv_order(IvOrder::HostScript);
    let firmware = key(Cipher::Aes128Ctr, &[7; 16], &iv).with_iv_order(IvOrder::Firmware);
    let reversed = key(Cipher::Aes128Ctr, &[7; 16], &backwards);
    let [script, firmware, reversed] = [script, firmware, reversed].map(|key| apply(&mut key.keystream(), &[0; 40]));
    assert_eq!(script, reversed);
    assert_ne!(script, firmware);
}

#[test]
fn refuses_the_examples_key_and_iv_unless_allowed() {
    for cipher in Cipher::ALL {
        let (known_key, known_iv) = (vec![b'A'; cipher.key_len()], vec![b'T'; cipher.iv_len()]);
        let (own_key, own_iv) = (vec![1; cipher.key_len()], vec![2; cipher.iv_len()]);
        let new = |key: &[u8], iv: &[u8], examples| CompatKey::new(cipher, key, iv, examples).map(|_| ());
        assert_eq!(new(&known_key, &own_iv, ExampleKeys::Refuse), Err(CompatError::ExampleKey));
        assert_eq!(new(&own_key, &known_iv, ExampleKeys::Refuse), Err(CompatError::ExampleIv));
        assert_eq!(new(&known_key, &known_iv, ExampleKeys::Allow), Ok(()));
        assert_eq!(new(&own_key, &own_iv, ExampleKeys::default()), Ok(()));
    }
}

#[test]
fn refuses_keys_and_ivs_of_other_lengths() {
    for cipher in Cipher::ALL {
        let (key, iv) = (vec![1; 33], vec![2; 17]);
        for got in (0..=33).filter(|len| *len != cipher.key_len()) {
            let refused = CompatKey::new(cipher, &key[..got], &iv[..cipher.iv_len()], ExampleKeys::Refuse).err();
            assert_eq!(refused, Some(CompatError::KeyLength { cipher, got }));
        }
        for got in (0..=17).filter(|len| *len != cipher.iv_len()) {
            let refused = CompatKey::new(cipher, &key[..cipher.key_len()], &iv[..got], ExampleKeys::Refuse).err();
            assert_eq!(refused, Some(CompatError::IvLength { cipher, got }));
        }
        assert_eq!(Cipher::from_name(cipher.as_str()), Some(cipher));
    }
    assert_eq!((Cipher::from_name("aes-128-cbc"), Cipher::aes_ctr(20)), (None, None));
}

#[test]
fn prints_no_key() {
    let text = std::format!("{:?} {:?}", example(), example().keystream());
    assert!(text.contains("Secret<32>(..)") && text.ends_with("Keystream(..)"), "{text}");
}

proptest! {
    /// However the bytes come in pieces, the stream is one.
    #[test]
    fn pieces_make_no_difference(
        which in 0..5_usize,
        bytes in any::<[u8; 32]>(),
        data in proptest::collection::vec(any::<u8>(), 0..400),
        cuts in proptest::collection::vec(0..400_usize, 0..10),
    ) {
        let cipher = Cipher::ALL[which];
        let key = CompatKey::new(cipher, &bytes[..cipher.key_len()], &bytes[..cipher.iv_len()], ExampleKeys::Allow).unwrap();
        let whole = apply(&mut key.keystream(), &data);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(data.len())).chain([0, data.len()]).collect();
        cuts.sort_unstable();
        let mut stream = key.keystream();
        let pieces: Vec<u8> = cuts.windows(2).flat_map(|cut| apply(&mut stream, &data[cut[0]..cut[1]])).collect();
        prop_assert_eq!(&pieces, &whole);
        prop_assert_eq!(apply(&mut key.keystream(), &whole), data);
    }
}
