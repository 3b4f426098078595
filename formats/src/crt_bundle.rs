//! The x509 certificate bundle: subject and public key of every trusted root, sorted for a binary search in flash.
//!
//! `u32` offsets, one per certificate, each from the start of the bundle; the first is therefore four times the count.
//! Then per certificate, without gaps: `u16` length of the subject, `u16` length of the key, the subject (DER of a Name),
//! the key (DER of SubjectPublicKeyInfo). All little-endian; ascending by the bytes of the subject.
//!
//! Source: ESP-IDF 6.2-dev `components/mbedtls/esp_crt_bundle/gen_crt_bundle.py`, `esp_crt_bundle.c`. Older releases of
//! ESP-IDF had a big-endian count instead of the offsets; such a bundle is told apart by name.

use crate::read::{ReadError, Reader};
#[cfg(feature = "alloc")]
use alloc::vec::Vec;

/// A bundle whose every offset and length fits.
#[doc(alias = "x509_crt_bundle")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrtBundle<'a> {
    bytes: &'a [u8],
    count: usize,
}

/// What a bundle keeps of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Root<'a> {
    /// Its subject, DER.
    pub subject: &'a [u8],
    /// SubjectPublicKeyInfo, DER.
    pub key: &'a [u8],
}

impl<'a> CrtBundle<'a> {
    /// Reads a bundle as strictly as the device does, and no bytes may follow. Ascending order is not asked for here,
    /// because the device does not either: see [`Self::disorder`].
    ///
    /// # Errors
    /// [`BundleError`] with the certificate, counted from 0.
    #[doc(alias = "esp_crt_check_bundle")]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BundleError> {
        let first = Reader::new(bytes).u32_le()?;
        if first == 0 || first % 4 != 0 || first as usize >= bytes.len() {
            return Err(if is_counted(bytes) { BundleError::Counted } else { BundleError::First(first) });
        }
        let count = (first / 4) as usize;
        let mut offsets = Reader::new(bytes);
        let mut reader = Reader::new(bytes);
        reader.take(first as usize)?;
        for index in 0..count {
            let offset = offsets.u32_le()?;
            if offset as usize != reader.offset() {
                return Err(BundleError::Offset { index, expected: reader.offset(), got: offset });
            }
            let (subject, key) = (reader.u16_le()?, reader.u16_le()?);
            if subject == 0 || key == 0 {
                return Err(BundleError::Empty(index));
            }
            reader.take(subject.into())?;
            reader.take(key.into())?;
        }
        reader.finish()?;
        Ok(Self { bytes, count })
    }

    /// How many certificates.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// All of them, in the order of the bundle.
    pub fn roots(&self) -> impl Iterator<Item = Root<'a>> + use<'a> {
        let mut reader = Reader::new(self.bytes);
        let start = reader.take(4 * self.count).is_ok();
        (0..if start { self.count } else { 0 }).map_while(move |_| {
            let (subject, key) = (reader.u16_le().ok()?, reader.u16_le().ok()?);
            Some(Root { subject: reader.take(subject.into()).ok()?, key: reader.take(key.into()).ok()? })
        })
    }

    fn root(&self, index: usize) -> Option<Root<'a>> {
        let mut reader = Reader::new(self.bytes);
        reader.take(index.checked_mul(4)?).ok()?;
        let offset = reader.u32_le().ok()?;
        let mut reader = Reader::new(self.bytes);
        reader.take(offset as usize).ok()?;
        let (subject, key) = (reader.u16_le().ok()?, reader.u16_le().ok()?);
        Some(Root { subject: reader.take(subject.into()).ok()?, key: reader.take(key.into()).ok()? })
    }

    /// The root that the device finds for this issuer: a binary search that compares as many bytes as the shorter name
    /// has, as ESP-IDF does. In a bundle that is not ascending it may miss what is there.
    #[doc(alias = "esp_crt_find_cert")]
    #[must_use]
    pub fn find(&self, issuer: &[u8]) -> Option<Root<'a>> {
        if issuer.is_empty() {
            return None;
        }
        let (mut low, mut high) = (0, self.count);
        while low < high {
            // Of an even number of candidates the lower middle one, as there.
            let middle = low + (high - low - 1) / 2;
            let root = self.root(middle)?;
            let length = issuer.len().min(root.subject.len());
            match issuer[..length].cmp(&root.subject[..length]) {
                core::cmp::Ordering::Equal => return Some(root),
                core::cmp::Ordering::Less => high = middle,
                core::cmp::Ordering::Greater => low = middle + 1,
            }
        }
        None
    }

    /// The first certificate whose subject is not above that of its predecessor; equal if the two are the same subject.
    #[must_use]
    pub fn disorder(&self) -> Option<usize> {
        let next = self.roots().skip(1);
        self.roots().zip(next).position(|(one, other)| one.subject >= other.subject).map(|index| index + 1)
    }
}

/// Builds a bundle: sorted by subject, in the given order where subjects are equal. Nothing is left out.
///
/// # Errors
/// [`BundleError::None`], [`BundleError::Empty`], or [`BundleError::TooLong`] for what 16 or 32 bits cannot count.
#[cfg(feature = "alloc")]
pub fn build(roots: &[Root<'_>]) -> Result<Vec<u8>, BundleError> {
    let mut sorted: Vec<(usize, Root<'_>)> = roots.iter().copied().enumerate().collect();
    sorted.sort_by(|(_, one), (_, other)| one.subject.cmp(other.subject));
    let table = 4 * sorted.len();
    let (mut offsets, mut body) = (Vec::with_capacity(table), Vec::new());
    for (index, root) in sorted {
        let too_long = BundleError::TooLong(index);
        let offset = table.checked_add(body.len()).and_then(|at| u32::try_from(at).ok()).ok_or(too_long)?;
        offsets.extend(offset.to_le_bytes());
        for part in [root.subject, root.key] {
            if part.is_empty() {
                return Err(BundleError::Empty(index));
            }
            body.extend(u16::try_from(part.len()).map_err(|_| too_long)?.to_le_bytes());
        }
        body.extend(root.subject);
        body.extend(root.key);
    }
    if offsets.is_empty() {
        return Err(BundleError::None);
    }
    offsets.extend(body);
    Ok(offsets)
}

/// The layout of older ESP-IDF: `u16` count, then the certificates, all big-endian, to the last byte.
fn is_counted(bytes: &[u8]) -> bool {
    let mut reader = Reader::new(bytes);
    let mut read = || reader.array().map(u16::from_be_bytes);
    let Ok(count) = read() else { return false };
    for _ in 0..count {
        let (Ok(subject), Ok(key)) = (reader.array().map(u16::from_be_bytes), reader.array().map(u16::from_be_bytes))
        else {
            return false;
        };
        if reader.take(subject.into()).and_then(|_| reader.take(key.into())).is_err() {
            return false;
        }
    }
    count > 0 && reader.remaining() == 0
}

/// Certificates that a device accepts unless its firmware is configured for more.
#[doc(alias = "CONFIG_MBEDTLS_CERTIFICATE_BUNDLE_MAX_CERTS")]
pub const DEFAULT_MOST: usize = 200;

/// Why bytes are no bundle, or roots make none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Too short, or too long.
    #[error("certificate bundle: {0}")]
    Read(#[from] ReadError),
    /// The first offset is no table's length.
    #[error("certificate bundle: the first offset is {0:#x}, expected a multiple of 4 inside of the bundle")]
    First(u32),
    /// What older releases read.
    #[error("certificate bundle: this one is of older ESP-IDF, with a count instead of offsets")]
    Counted,
    /// An offset that is not where its predecessor ends.
    #[error("certificate bundle: the offset of certificate {index} is {got:#x}, expected {expected:#x}")]
    #[allow(missing_docs)]
    Offset { index: usize, expected: usize, got: u32 },
    /// A certificate without subject or key.
    #[error("certificate bundle: certificate {0} has no subject or no key")]
    Empty(usize),
    /// A subject or key above 64 KiB, or a bundle above 4 GiB.
    #[error("certificate bundle: certificate {0} is too long for it")]
    TooLong(usize),
    /// Nothing to put into it.
    #[error("certificate bundle: a bundle without certificates is refused by the device")]
    None,
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    fn root<'a>(subject: &'a [u8], key: &'a [u8]) -> Root<'a> {
        Root { subject, key }
    }

    #[test]
    fn is_sorted_and_every_root_is_found_and_no_other() {
        let roots = [root(b"0\x02cc", b"key c"), root(b"0\x02aa", b"key a"), root(b"0\x02bb", b"key b")];
        let bytes = build(&roots).unwrap();
        let bundle = CrtBundle::parse(&bytes).unwrap();
        let found: Vec<_> = bundle.roots().collect();
        assert_eq!(found, [roots[1], roots[2], roots[0]]);
        assert_eq!((bundle.count(), bundle.disorder()), (3, None));
        for root in roots {
            assert_eq!(bundle.find(root.subject), Some(root));
        }
        for missing in [&b"0\x02ab"[..], b"0\x02zz", b"", b"/"] {
            assert_eq!(bundle.find(missing), None);
        }
    }

    #[test]
    fn what_is_no_bundle_is_refused_by_reason() {
        assert_eq!(build(&[]), Err(BundleError::None));
        assert_eq!(build(&[root(b"", b"k")]), Err(BundleError::Empty(0)));
        assert_eq!(build(&[root(&vec![0; 0x1_0000], b"k")]), Err(BundleError::TooLong(0)));
        assert_eq!(
            CrtBundle::parse(&[0, 0, 0]),
            Err(BundleError::Read(ReadError::Truncated { at: 0, needed: 4, remaining: 3 }))
        );
        assert_eq!(CrtBundle::parse(&[6, 0, 0, 0, 1, 1, 1]), Err(BundleError::First(6)));
        // One certificate of older ESP-IDF: count 1, lengths 2 and 1, "ab", "k".
        assert_eq!(CrtBundle::parse(&[0, 1, 0, 2, 0, 1, b'a', b'b', b'k']), Err(BundleError::Counted));
        let good = build(&[root(b"aa", b"kk"), root(b"bb", b"ll")]).unwrap();
        let mut bad = good.clone();
        bad[4] += 1;
        let refused = BundleError::Offset { index: 1, expected: 16, got: 17 };
        assert_eq!(CrtBundle::parse(&bad), Err(refused));
        let mut twice = good;
        twice[20..22].copy_from_slice(b"aa");
        assert_eq!(CrtBundle::parse(&twice).unwrap().disorder(), Some(1));
    }

    #[test]
    fn every_truncation_is_refused_and_every_bit_flip_is_refused_or_seen() {
        let roots = [root(b"0\x02aa", b"key a"), root(b"0\x02bb", b"key b"), root(b"0\x03ccc", b"key cc")];
        let good = build(&roots).unwrap();
        for length in 0..good.len() {
            assert!(CrtBundle::parse(&good[..length]).is_err(), "{length}");
        }
        let mut lengths = 0;
        for bit in 0..8 * good.len() {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            match CrtBundle::parse(&bad) {
                Err(_) => lengths += 1,
                Ok(read) => assert!(!read.roots().eq(roots), "bit {bit} changed nothing"),
            }
        }
        assert!(lengths >= 8 * (12 + 4), "offsets and lengths are refused: {lengths}");
    }

    proptest! {
        #[test]
        fn survives_a_round_trip_and_finds_each(names in prop::collection::btree_map(
            prop::collection::vec(any::<u8>(), 1..40), prop::collection::vec(any::<u8>(), 1..80), 1..40)) {
            // As in DER, no name is the beginning of another.
            let named: Vec<(Vec<u8>, Vec<u8>)> = names.into_iter().map(|(name, key)| {
                let mut subject = vec![0x30, u8::try_from(name.len()).unwrap()];
                subject.extend(name);
                (subject, key)
            }).collect();
            let roots: Vec<Root<'_>> = named.iter().rev().map(|(subject, key)| root(subject, key)).collect();
            let bytes = build(&roots).unwrap();
            let bundle = CrtBundle::parse(&bytes).unwrap();
            prop_assert_eq!(bundle.disorder(), None);
            prop_assert!(roots.iter().all(|root| bundle.find(root.subject) == Some(*root)));
            prop_assert_eq!(bundle.count(), roots.len());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), issuer in any::<[u8; 6]>()) {
            if let Ok(bundle) = CrtBundle::parse(&bytes) {
                let _ = (bundle.roots().count(), bundle.find(&issuer), bundle.disorder());
            }
        }
    }
}
