//! A token by whatever key the device has.

use super::Signer;
use super::digital_signature::{DigitalSignature, DsSigner, DsSignerError, MAX_LEN};
use cotter_wire::token::{Algorithm, Claims, MAX_SIGNATURE, ToBeSigned, WriteError};

/// A key for tokens: every [`Signer`], and the Digital Signature peripheral.
pub trait TokenSigner {
    /// Why nothing was signed.
    type Error;

    /// How it signs, which goes into the header.
    fn algorithm(&self) -> Algorithm;

    /// The signature as a token has it, out of the beginning of `out`. `digest` is the signing input's SHA-256.
    ///
    /// # Errors
    /// Those of whoever has the key.
    fn sign_token<'o>(&mut self, digest: &[u8; 32], out: &'o mut [u8; MAX_SIGNATURE]) -> Result<&'o [u8], Self::Error>;
}

impl<S: Signer> TokenSigner for S {
    type Error = S::Error;

    fn algorithm(&self) -> Algorithm {
        Algorithm::Es256
    }

    fn sign_token<'o>(&mut self, digest: &[u8; 32], out: &'o mut [u8; MAX_SIGNATURE]) -> Result<&'o [u8], S::Error> {
        let (signature, _) = out.split_first_chunk_mut::<64>().expect("RSA signatures are longer");
        *signature = self.sign_digest(digest)?;
        Ok(signature)
    }
}

impl<P: DigitalSignature> TokenSigner for DsSigner<'_, P> {
    type Error = DsSignerError<P::Error>;

    fn algorithm(&self) -> Algorithm {
        Algorithm::Rs256
    }

    fn sign_token<'o>(&mut self, digest: &[u8; 32], out: &'o mut [u8; MAX_SIGNATURE]) -> Result<&'o [u8], Self::Error> {
        self.sign_digest(digest, out)
    }
}

const _: () = assert!(MAX_SIGNATURE == MAX_LEN);

/// Writes a token into the beginning of `out`; [`cotter_wire::token::MAX_TOKEN`] bytes are always enough.
///
/// # Errors
/// [`SignTokenError`]: claims that no server would accept are not signed.
pub fn token<'o, S: TokenSigner>(
    signer: &mut S,
    claims: &Claims<'_>,
    out: &'o mut [u8],
) -> Result<&'o str, SignTokenError<S::Error>> {
    let unsigned = ToBeSigned::new(signer.algorithm(), claims, out)?;
    let mut signature = [0; MAX_SIGNATURE];
    let signature = signer.sign_token(&unsigned.digest(), &mut signature).map_err(SignTokenError::Signer)?;
    Ok(unsigned.finish(signature)?)
}

/// Why there is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignTokenError<E> {
    /// The claims, or the room for it.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Whoever has the key.
    #[error("token: {0}")]
    Signer(E),
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::convert::Infallible;
    use cotter_wire::ids::UnixTime;
    use cotter_wire::token::{MAX_TOKEN, Unverified};

    struct Sevens;

    impl Signer for Sevens {
        type Error = Infallible;

        fn public_key(&mut self) -> Result<[u8; 64], Infallible> {
            Ok([0; 64])
        }

        fn sign_digest(&mut self, _: &[u8; 32]) -> Result<[u8; 64], Infallible> {
            Ok([7; 64])
        }
    }

    struct Silent;

    impl Signer for Silent {
        type Error = u8;

        fn public_key(&mut self) -> Result<[u8; 64], u8> {
            Err(1)
        }

        fn sign_digest(&mut self, _: &[u8; 32]) -> Result<[u8; 64], u8> {
            Err(2)
        }
    }

    const fn claims(lifetime: u64) -> Claims<'static> {
        let issued_at = 1_800_000_000;
        Claims { audience: "project", issued_at: UnixTime(issued_at), expires_at: UnixTime(issued_at + lifetime) }
    }

    #[test]
    fn the_signature_is_whole_and_the_claims_are_the_claims() {
        let mut out = [0; MAX_TOKEN];
        let token = token(&mut Sevens, &claims(60), &mut out).unwrap();
        let unverified = Unverified::parse(token.as_bytes()).unwrap();
        assert_eq!(unverified.algorithm(), Algorithm::Es256);
        let verified = unverified.verify(|_, signature| signature == [7; 64]).unwrap();
        assert_eq!(verified.claims(), claims(60));
    }

    #[test]
    fn refusals_are_those_of_the_claims_the_room_and_the_key() {
        let lifetime = token(&mut Sevens, &claims(86_401), &mut [0; MAX_TOKEN]).unwrap_err();
        assert_eq!(lifetime, SignTokenError::Write(WriteError::Lifetime { seconds: 86_401 }));
        let room = token(&mut Sevens, &claims(60), &mut [0; 64]).unwrap_err();
        assert_eq!(room, SignTokenError::Write(WriteError::OutputFull));
        assert_eq!(token(&mut Silent, &claims(60), &mut [0; MAX_TOKEN]).unwrap_err(), SignTokenError::Signer(2));
    }
}
