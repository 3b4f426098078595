//! Policies, one after the other: the configuration's, and what the statements since then made of it.

use super::operation::State;
use crate::firmware::Trust;
use crate::store::StoreError;
use crate::store::trust::{Signers, StatementRecord};
use cotter_wire::firmware_key::FirmwareKey;
use cotter_wire::manifest::{Envelope, ManifestError, Project, VerifiedManifest, VerifyPolicy};
use cotter_wire::trust::{SignedStatement, Statement, TrustError, TrustNumber};
use sha2::{Digest, Sha256};

/// Every policy that a device may be at, checked from the configuration on: whoever can write to the database cannot add a
/// key.
#[derive(Debug, Clone)]
pub struct Chain {
    /// By number, from 0.
    links: Vec<Link>,
    /// Where the latest statement stands, and its row.
    latest: Option<(u32, State)>,
}

#[derive(Debug, Clone)]
struct Link {
    policy: VerifyPolicy,
    secure_boot: Vec<[u8; 32]>,
}

impl Chain {
    /// Walks from the configuration's keys through `statements`, which are in order.
    ///
    /// # Errors
    /// [`ChainBroken`].
    pub fn walk(beginning: &Trust, statements: &[StatementRecord]) -> Result<Self, ChainBroken> {
        let link = Link { policy: beginning.manifest.clone(), secure_boot: beginning.secure_boot_digests.clone() };
        let mut chain = Self { links: vec![link], latest: None };
        if statements.iter().any(|record| record.beginning != chain.beginning()) {
            return Err(ChainBroken::Beginning);
        }
        for record in statements {
            let number = record.number;
            let broken = |source| ChainBroken::Statement { number, source };
            let project = Project::new(&beginning.project).ok_or(ChainBroken::Project)?;
            let signed = SignedStatement::parse(&record.statement).map_err(broken)?;
            let statement = signed.verify(&project, chain.latest(), chain.policy()).map_err(broken)?;
            chain = chain.followed_by(&statement);
            chain.latest = Some((record.row, record.state));
        }
        Ok(chain)
    }

    /// Digest of the policy of number 0, in whatever order its keys are named.
    #[must_use]
    pub fn beginning(&self) -> [u8; 32] {
        let mut digest = Sha256::new().chain_update(b"cotter/trust-beginning/v1\0");
        if let Some(Link { policy, .. }) = self.links.first() {
            let mut keys: Vec<_> =
                policy.keys().iter().map(|key| key.spki(&mut [0; FirmwareKey::MAX_SPKI]).to_vec()).collect();
            keys.sort_unstable();
            digest.update((policy.required() as u64).to_be_bytes());
            for key in keys {
                digest.update((key.len() as u64).to_be_bytes());
                digest.update(key);
            }
        }
        digest.finalize().into()
    }

    /// With one more policy.
    #[must_use]
    pub fn followed_by(&self, statement: &Statement) -> Self {
        let mut chain = self.clone();
        let secure_boot = match statement.secure_boot.as_slice() {
            [] => self.links.last().map(|link| link.secure_boot.clone()).unwrap_or_default(),
            digests => digests.to_vec(),
        };
        chain.links.push(Link { policy: statement.policy.clone(), secure_boot });
        chain
    }

    /// The latest number, planned or not.
    #[must_use]
    pub fn latest(&self) -> TrustNumber {
        TrustNumber(u32::try_from(self.links.len() - 1).unwrap_or(u32::MAX))
    }

    /// The policy of the latest number.
    #[must_use]
    pub fn policy(&self) -> &VerifyPolicy {
        &self.links[self.links.len() - 1].policy
    }

    /// The Secure Boot keys of the latest number.
    #[must_use]
    pub fn secure_boot(&self) -> &[[u8; 32]] {
        &self.links[self.links.len() - 1].secure_boot
    }

    /// See [`Signers::basis`].
    #[must_use]
    pub fn basis(&self) -> u32 {
        self.latest.map_or(0, |(row, _)| row)
    }

    /// The latest statement, if it is not finished.
    #[must_use]
    pub fn unfinished(&self) -> Option<(TrustNumber, State)> {
        self.latest.map(|(_, state)| (self.latest(), state)).filter(|(_, state)| *state != State::Retired)
    }

    /// Every Secure Boot key that any number knows.
    #[must_use]
    pub fn secure_boot_keys(&self) -> Vec<[u8; 32]> {
        let mut all: Vec<_> = self.links.iter().flat_map(|link| link.secure_boot.iter().copied()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Whether devices at `number` boot an image that these keys signed. If nobody knows who signed it, only where the keys
    /// never changed.
    #[must_use]
    pub fn takes_image(&self, number: TrustNumber, signers: &[[u8; 32]]) -> bool {
        let Some(link) = self.links.get(usize::try_from(number.0).unwrap_or(usize::MAX)) else { return false };
        if signers.is_empty() {
            return self.links.first().is_some_and(|first| first.secure_boot == link.secure_boot);
        }
        link.secure_boot.iter().any(|digest| signers.contains(digest))
    }

    /// At which numbers devices believe a manifest, if it may be taken in now: in a change of keys by the old ones, once
    /// devices have adopted the new ones by either, and afterwards by the new ones.
    ///
    /// # Errors
    /// Why the policy that counts refuses it.
    pub fn believe(&self, envelope: &Envelope) -> Result<(VerifiedManifest, Vec<TrustNumber>), ManifestError> {
        let mut believed = Err(ManifestError::Unsigned);
        let mut numbers = Vec::new();
        let mut refusal = None;
        for (number, link) in (0..).map(TrustNumber).zip(&self.links) {
            match envelope.verify(&link.policy) {
                Ok(verified) => {
                    believed = Ok(verified);
                    numbers.push(number);
                }
                Err(error) if self.counts(number) => refusal = Some(error),
                Err(_) => {}
            }
        }
        if !self.may_come_in(&numbers) {
            return Err(refusal.unwrap_or(ManifestError::Unsigned));
        }
        Ok((believed?, numbers))
    }

    /// Whether a release that devices at these numbers believe may be taken in.
    #[must_use]
    pub fn may_come_in(&self, numbers: &[TrustNumber]) -> bool {
        numbers.iter().any(|number| self.counts(*number))
    }

    fn counts(&self, number: TrustNumber) -> bool {
        let latest = self.latest();
        match self.latest.map(|(_, state)| state) {
            None | Some(State::Retired | State::Cancelled) => number == latest,
            Some(State::Planned | State::Bridging) => number.next() == Some(latest),
            Some(State::Adopted) => number == latest || number.next() == Some(latest),
        }
    }

    /// What the store is told about a release.
    #[must_use]
    pub fn signers(&self, numbers: Vec<TrustNumber>, secure_boot: Vec<[u8; 32]>) -> Signers {
        Signers { numbers, basis: self.basis(), secure_boot }
    }
}

/// Why the statements in the store are no chain.
#[derive(Debug, thiserror::Error)]
pub enum ChainBroken {
    /// Number 0 is what the first devices were made with.
    #[error(
        "trust: the manifest keys in the configuration are not those with which the first statement was planned: they are \
         number 0 and stay, whatever devices trust since then"
    )]
    Beginning,
    /// A statement does not follow from the keys before it.
    #[error("trust: number {number} does not follow from what is before it: {source}")]
    Statement {
        /// Which one.
        number: TrustNumber,
        /// Why not.
        source: TrustError,
    },
    /// The configured project cannot be one.
    #[error("trust: the project in the configuration is not 1 to 31 printable characters")]
    Project,
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls_pki_types::SubjectPublicKeyInfoDer;
    use rustls_pki_types::pem::PemObject;

    fn link(secure_boot: &[[u8; 32]]) -> Link {
        let pem = include_bytes!("../../../vectors/sbv2/pub-ecdsa_p256.pem");
        let key = FirmwareKey::from_spki(&SubjectPublicKeyInfoDer::from_pem_slice(pem).unwrap()).unwrap();
        Link { policy: VerifyPolicy::new([key], 1).unwrap(), secure_boot: secure_boot.to_vec() }
    }

    #[test]
    fn what_comes_in_is_what_old_devices_believe_then_either_then_new_ones() {
        let (none, old, new, both): (&[_], _, _, _) =
            (&[], &[TrustNumber(0)][..], &[TrustNumber(1)][..], &[TrustNumber(0), TrustNumber(1)][..]);
        let links = vec![link(&[]), link(&[])];
        for (state, expected) in [
            (State::Planned, [false, true, false, true]),
            (State::Bridging, [false, true, false, true]),
            (State::Adopted, [false, true, true, true]),
            (State::Retired, [false, false, true, true]),
        ] {
            let chain = Chain { links: links.clone(), latest: Some((1, state)) };
            assert_eq!([none, old, new, both].map(|numbers| chain.may_come_in(numbers)), expected, "{state:?}");
        }
        assert!(Chain { links: vec![link(&[])], latest: None }.may_come_in(old));
    }

    #[test]
    fn an_image_needs_a_key_of_each_number_that_is_to_boot_it() {
        let chain = |first: &[[u8; 32]], second: &[[u8; 32]]| Chain {
            links: vec![link(first), link(second)],
            latest: Some((1, State::Bridging)),
        };
        let takes = |chain: &Chain, signers: &[[u8; 32]]| {
            [0, 1, 2].map(|number| chain.takes_image(TrustNumber(number), signers))
        };
        let (old, new, other) = ([1; 32], [2; 32], [3; 32]);
        let changed = chain(&[old], &[new]);
        assert_eq!(takes(&changed, &[old]), [true, false, false]);
        assert_eq!(takes(&changed, &[new]), [false, true, false]);
        assert_eq!(takes(&changed, &[old, new]), [true, true, false], "a bridge");
        assert_eq!(takes(&changed, &[other]), [false; 3]);
        assert_eq!(takes(&changed, &[]), [true, false, false], "from before: nobody knows who signed it");
        assert_eq!(takes(&chain(&[old], &[old]), &[]), [true, true, false]);
        assert_eq!(changed.secure_boot_keys(), [old, new]);
    }
}
