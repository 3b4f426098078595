//! Bytes that must not leak: filled in place, zeroized on drop, never printed, compared in constant time.

use core::fmt;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// `N` secret bytes. No `Clone`, no `PartialEq`, no serde; wrap it in a type that names its use.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Secret<const N: usize>([u8; N]);

impl<const N: usize> Secret<N> {
    /// Lets `fill` write the bytes in place, so that no copy is left on the stack.
    pub fn filled_by(fill: impl FnOnce(&mut [u8; N])) -> Self {
        let mut secret = Self([0; N]);
        fill(&mut secret.0);
        secret
    }

    /// As [`Self::filled_by`], for a source that can fail; what was written is wiped on the error path.
    ///
    /// # Errors
    /// Whatever `fill` returns.
    pub fn try_filled_by<E>(fill: impl FnOnce(&mut [u8; N]) -> Result<(), E>) -> Result<Self, E> {
        let mut secret = Self([0; N]);
        fill(&mut secret.0)?;
        Ok(secret)
    }

    /// Copies `bytes`; `None` unless there are exactly `N`.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == N).then(|| Self::filled_by(|secret| secret.copy_from_slice(bytes)))
    }

    /// The only way to read the bytes.
    #[must_use]
    pub const fn expose(&self) -> &[u8; N] {
        &self.0
    }

    /// Compares in constant time.
    #[must_use]
    pub fn ct_eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// Gives the bytes up as public. Say at the call why they no longer need protection.
    #[must_use]
    pub fn into_public(self) -> [u8; N] {
        self.0
    }
}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret<{N}>(..)")
    }
}

#[cfg(test)]
mod tests {
    extern crate alloc;
    use super::*;
    use alloc::format;

    #[test]
    fn debug_prints_no_content() {
        assert_eq!(format!("{:?}", Secret::<4>::filled_by(|s| s.fill(0x41))), "Secret<4>(..)");
    }

    #[test]
    fn compares_by_content() {
        let (a, b) = (Secret::<4>::from_slice(b"abcd").unwrap(), Secret::<4>::from_slice(b"abce").unwrap());
        assert!(a.ct_eq(&Secret::from_slice(b"abcd").unwrap()));
        assert!(!a.ct_eq(&b));
        assert!(Secret::<4>::from_slice(b"abc").is_none());
    }
}
