//! PEM files of private keys: which form is in them, decrypted.

use super::PrivateKeyError;
use der::Decode;
use pkcs8::EncryptedPrivateKeyInfoRef;
use zeroize::Zeroizing;

/// What a PEM file holds, decrypted.
pub(crate) enum PrivateDer {
    /// `PrivateKeyInfo`.
    Pkcs8(Zeroizing<Vec<u8>>),
    /// `RSAPrivateKey`.
    Pkcs1(Zeroizing<Vec<u8>>),
    /// `ECPrivateKey`.
    Sec1(Zeroizing<Vec<u8>>),
}

/// The first private key of a PEM file; blocks before it (EC PARAMETERS) are skipped.
pub(crate) fn private_der(pem: &[u8], password: Option<&[u8]>) -> Result<PrivateDer, PrivateKeyError> {
    let text = str::from_utf8(pem).map_err(|_| PrivateKeyError::NotPem)?;
    let key = text
        .match_indices("-----BEGIN ")
        .map(|(at, _)| &text[at..])
        .find(|block| block.lines().next().is_some_and(|line| line.ends_with("PRIVATE KEY-----")))
        .ok_or(PrivateKeyError::NotPem)?;
    if key.lines().nth(1).is_some_and(|line| line.starts_with("Proc-Type:")) {
        return Err(PrivateKeyError::LegacyEncryption);
    }
    let (label, der) = pem_rfc7468::decode_vec(key.as_bytes()).map_err(|_| PrivateKeyError::NotPem)?;
    let der = Zeroizing::new(der);
    match label {
        "PRIVATE KEY" => Ok(PrivateDer::Pkcs8(der)),
        "RSA PRIVATE KEY" => Ok(PrivateDer::Pkcs1(der)),
        "EC PRIVATE KEY" => Ok(PrivateDer::Sec1(der)),
        "ENCRYPTED PRIVATE KEY" => {
            let info = EncryptedPrivateKeyInfoRef::from_der(&der).map_err(|_| PrivateKeyError::Encryption)?;
            let password = password.ok_or(PrivateKeyError::PasswordNeeded)?;
            let plain = info.decrypt(password).map_err(|_| PrivateKeyError::Password)?;
            Ok(PrivateDer::Pkcs8(Zeroizing::new(plain.as_bytes().to_vec())))
        }
        _ => Err(PrivateKeyError::NotPem),
    }
}
