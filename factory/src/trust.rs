//! Trust statements: who signs firmware from now on, written and signed offline, by one key after the other.

use crate::signing::{ManifestKey, SigningError};
use cotter_wire::canonical::OutputFull;
use cotter_wire::firmware_key::{FirmwareKey, KeyError};
use cotter_wire::ids::KeyId;
use cotter_wire::manifest::{MAX_SIGNATURES, ManifestSignature};
use cotter_wire::trust::{
    MAX_BODY, MAX_STATEMENT, SignedStatement, Statement, TrustError, encode_statement, signed_digest,
};

/// A statement that nobody has signed yet.
///
/// # Errors
/// [`TrustSigningError::Output`] if it is longer than any statement may be.
pub fn draft(statement: &Statement) -> Result<Vec<u8>, TrustSigningError> {
    let mut body = [0; MAX_BODY];
    let body = statement.encode(&mut body)?;
    Ok(encode_statement(body, &[], &mut [0; MAX_STATEMENT])?.to_vec())
}

/// The statement with the signatures of `keys` behind those that it has.
///
/// # Errors
/// [`TrustSigningError`].
pub fn sign(statement: &[u8], keys: &[&ManifestKey]) -> Result<Vec<u8>, TrustSigningError> {
    let signed = SignedStatement::parse(statement)?;
    // Nobody signs what no device could read.
    Statement::parse(signed.body())?;
    let digest = signed_digest(signed.body());
    let mut signatures = signed.signatures().to_vec();
    for key in keys {
        let public = FirmwareKey::from_spki(&key.public_spki()?)?;
        if signatures.iter().any(|signature| signature.key == public.id()) {
            return Err(TrustSigningError::SignedAlready(public.id()));
        }
        let bytes = heapless::Vec::from_slice(&key.sign_digest(&digest)?).map_err(|_| OutputFull)?;
        signatures.push(ManifestSignature { key: public.id(), algorithm: public.algorithm(), bytes });
    }
    if signatures.len() > MAX_SIGNATURES {
        return Err(TrustSigningError::TooMany);
    }
    Ok(encode_statement(signed.body(), &signatures, &mut [0; MAX_STATEMENT])?.to_vec())
}

/// Why there is no signed statement.
#[derive(Debug, thiserror::Error)]
pub enum TrustSigningError {
    /// Not a statement.
    #[error(transparent)]
    Statement(#[from] TrustError),
    /// No signature.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// A signing key that no device could trust.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A key signs once.
    #[error("key {0} has signed it already")]
    SignedAlready(KeyId),
    /// More than any statement carries.
    #[error("at most {MAX_SIGNATURES} keys sign a statement: change the keys in two steps, so that some stay in each")]
    TooMany,
    /// Longer than any statement may be.
    #[error(transparent)]
    Output(#[from] OutputFull),
}

#[cfg(test)]
mod tests {
    use super::*;
    use cotter_wire::manifest::{Project, VerifyPolicy};
    use cotter_wire::trust::TrustNumber;

    #[test]
    fn each_key_signs_once_and_at_most_four_do() {
        let keys: Vec<_> = (0..5).map(|_| ManifestKey::generate_p256().unwrap()).collect();
        let public = |key: &ManifestKey| FirmwareKey::from_spki(&key.public_spki().unwrap()).unwrap();
        let policy = VerifyPolicy::new([public(&keys[0])], 1).unwrap();
        let project = Project::new("cotter-app").unwrap();
        let statement = Statement {
            project: project.clone(),
            number: TrustNumber(1),
            policy: VerifyPolicy::new([public(&keys[1])], 1).unwrap(),
            secure_boot: heapless::Vec::new(),
        };
        let draft = draft(&statement).unwrap();
        let one = sign(&draft, &[&keys[0]]).unwrap();
        assert!(matches!(sign(&one, &[&keys[0]]), Err(TrustSigningError::SignedAlready(_))));
        let two = sign(&one, &[&keys[1]]).unwrap();
        let verified = SignedStatement::parse(&two).unwrap().verify(&project, TrustNumber::BEGINNING, &policy);
        assert_eq!(verified.unwrap().number, TrustNumber(1));
        assert!(matches!(sign(&two, &[&keys[2], &keys[3], &keys[4]]), Err(TrustSigningError::TooMany)));
        assert!(matches!(sign(b"{}", &[&keys[0]]), Err(TrustSigningError::Statement(_))));
    }
}
