//! Pre-encrypted OTA images.

use cotter_factory::encrypted_image::decrypt;
use cotter_factory::private_key::PrivateKey;
use cotter_formats::encrypted_image::{ContentKey, EncryptedImage, HEADER_LEN, Header, MAGIC, WrappedKey};
use cotter_formats::secret::Secret;
use std::sync::OnceLock;

/// What is accepted encodes to the same bytes; what opens with the body's key (32 times 0x42) is sealed to the same bytes.
pub fn encrypted_image(data: &[u8]) {
    accepted(data);
    if data.len() >= HEADER_LEN {
        let mut mended = data.to_vec();
        mended[..4].copy_from_slice(&MAGIC.to_le_bytes());
        let length = u32::try_from(data.len() - HEADER_LEN).expect("no fuzzer makes 4 GiB");
        mended[404..408].copy_from_slice(&length.to_le_bytes());
        mended[424..HEADER_LEN].fill(0);
        assert!(accepted(&mended), "the header's fixed fields hold");
    }
}

fn accepted(data: &[u8]) -> bool {
    let Ok(image) = EncryptedImage::parse(data) else { return false };
    let EncryptedImage { header, ciphertext } = image;
    assert_eq!([&header.encode()[..], ciphertext].concat(), data, "a file changed in a round trip");
    assert_eq!(Header::parse(&header.encode()), Ok(header));
    let reader = READER.get_or_init(|| PrivateKey::from_pem(READER_PEM, None).expect("the golden key"));
    if let Ok(opened) = decrypt(data, reader) {
        assert_eq!(opened.len(), ciphertext.len(), "opened to another length");
    }
    let key = ContentKey::new(Secret::filled_by(|key| key.fill(0x42)));
    if let Ok(ecies) = header.wrapped.ecies() {
        assert_eq!(WrappedKey::from(ecies), header.wrapped, "key material changed in a round trip");
        let agreed = ContentKey::agreed(&Secret::filled_by(|shared| shared.fill(0x42)), &ecies);
        assert!(agreed.open(&header, &mut ciphertext.to_vec()).is_err(), "opens with a key that made nothing");
    }
    let mut content = ciphertext.to_vec();
    match key.open(&header, &mut content) {
        Ok(()) => {
            let again = key.seal(header.wrapped, header.iv, &mut content).expect("as short as before");
            assert_eq!((again, &content[..]), (header, ciphertext), "sealed otherwise than opened");
        }
        Err(_) => assert_eq!(content, ciphertext, "decrypted although the tag does not hold"),
    }
    true
}

/// The key to which the golden file was encrypted.
const READER_PEM: &[u8] = include_bytes!("../../vectors/keys/ecdsa_p256.pem");
static READER: OnceLock<PrivateKey> = OnceLock::new();
