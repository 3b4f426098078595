//! The Merkle tree over the log's lines: one root stands for all of them, in their order.
//!
//! Source: RFC 9162 section 2.1 (the tree of Certificate Transparency), with SHA-256.

use sha2::{Digest, Sha256};

/// SHA-256 of a leaf or of two nodes.
pub type Hash = [u8; 32];

/// The hash of one entry's bytes.
#[must_use]
pub fn leaf(data: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(data).finalize().into()
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The roots of the perfect trees that a log of this size is made of, largest first: all that appending needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// One for each set bit of `size`, the highest first.
    peaks: Vec<Hash>,
}

impl Frontier {
    /// The frontier of these leaves.
    pub fn of(leaves: impl IntoIterator<Item = Hash>) -> Self {
        let mut frontier = Self::default();
        leaves.into_iter().for_each(|leaf| frontier.push(leaf));
        frontier
    }

    /// From what [`Self::peaks`] gave: 32 bytes for each set bit of `size`; else `None`.
    #[must_use]
    pub fn from_parts(size: u64, peaks: &[u8]) -> Option<Self> {
        let (chunks, rest) = peaks.as_chunks::<32>();
        let is_whole = rest.is_empty() && chunks.len() == size.count_ones() as usize;
        is_whole.then(|| Self { size, peaks: chunks.to_vec() })
    }

    /// The peaks one after the other.
    #[must_use]
    pub fn peaks(&self) -> Vec<u8> {
        self.peaks.concat()
    }

    /// Number of leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends one leaf: as many hashes as `size` ends with one bits.
    pub fn push(&mut self, leaf: Hash) {
        let mut merged = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                merged = node(&left, &merged);
            }
        }
        self.peaks.push(merged);
        self.size += 1;
    }

    /// The root; of an empty log SHA-256 of nothing.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else { return Sha256::digest([]).into() };
        peaks.fold(*last, |right, left| node(left, &right))
    }
}

/// The siblings on the way from a leaf to the root, the leaf's own first; `None` if there is no such leaf.
#[must_use]
pub fn path(leaves: &[Hash], index: usize) -> Option<Vec<Hash>> {
    if index >= leaves.len() {
        return None;
    }
    let (mut rest, mut at, mut path) = (leaves, index, Vec::new());
    while rest.len() > 1 {
        // The left tree is the largest perfect one that leaves something to the right.
        let (left, right) = rest.split_at(1 << (rest.len() - 1).ilog2());
        let (inside, beside) = if at < left.len() { (left, right) } else { (right, left) };
        path.push(Frontier::of(beside.iter().copied()).root());
        at = if at < left.len() { at } else { at - left.len() };
        rest = inside;
    }
    path.reverse();
    Some(path)
}

/// The root that a leaf and its siblings lead to; `None` if a path in a tree of that size has another length.
///
/// RFC 9162 section 2.1.3.2.
#[must_use]
pub fn root_of_path(leaf: Hash, index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    let (mut at, mut last) = (index, size.checked_sub(1)?);
    if at > last {
        return None;
    }
    let mut root = leaf;
    for sibling in path {
        if last == 0 {
            return None;
        }
        if at & 1 == 1 || at == last {
            root = node(sibling, &root);
            // A right edge that stands alone goes up without a sibling.
            let alone = if at & 1 == 0 { at.trailing_zeros() } else { 0 };
            (at, last) = (at >> alone, last >> alone);
        } else {
            root = node(&root, sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    (last == 0).then_some(root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cotter_wire::hex;
    use proptest::prelude::*;

    /// The leaves and roots that the reference implementation of Certificate Transparency is tested with
    /// (`merkle/testonly/constants.go` of transparency-dev/merkle v0.0.2).
    const LEAVES: [&str; 8] =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    const ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    fn golden_leaves() -> [Hash; 8] {
        LEAVES.map(|text| {
            let mut data = vec![0; text.len() / 2];
            assert!(hex::decode_into(text.as_bytes(), &mut data));
            leaf(&data)
        })
    }

    #[test]
    fn roots_are_those_of_certificate_transparency() {
        let leaves = golden_leaves();
        let mut frontier = Frontier::default();
        assert_eq!(frontier.root()[..4], [0xe3, 0xb0, 0xc4, 0x42]);
        for (leaf, root) in leaves.iter().zip(ROOTS) {
            frontier.push(*leaf);
            assert_eq!(Some(frontier.root()), hex::decode(root.as_bytes()));
        }
    }

    proptest! {
        #[test]
        fn every_leaf_is_proven_and_no_other_proof_holds(size in 1_usize..70, at in 0_usize..70, bit in 0_usize..256) {
            let leaves: Vec<Hash> = (0..size).map(|i| leaf(&i.to_be_bytes())).collect();
            let (index, root) = (at % size, Frontier::of(leaves.clone()).root());
            let path = path(&leaves, index).unwrap();
            let proven = |leaf, index, size, path: &[Hash]| root_of_path(leaf, index as u64, size as u64, path) == Some(root);
            prop_assert!(proven(leaves[index], index, size, &path));
            for other in (0..size).filter(|other| *other != index) {
                prop_assert!(!proven(leaves[index], other, size, &path));
                prop_assert!(!proven(leaves[other], index, size, &path));
            }
            let mut longer = path.clone();
            longer.push([0; 32]);
            prop_assert!(!proven(leaves[index], index, size, &longer));
            if let Some(shorter) = path.len().checked_sub(1) {
                prop_assert!(!proven(leaves[index], index, size, &path[..shorter]));
                let mut flipped = path.clone();
                flipped[at % path.len()][bit / 8] ^= 1 << (bit % 8);
                prop_assert!(!proven(leaves[index], index, size, &flipped));
            }
        }

        #[test]
        fn a_frontier_goes_on_where_it_was_stored(size in 0_u64..200, more in 0_u64..9) {
            let mut whole = Frontier::of((0..size).map(|i| leaf(&i.to_be_bytes())));
            let mut stored = Frontier::from_parts(size, &whole.peaks()).unwrap();
            for i in 0..more {
                whole.push(leaf(&i.to_be_bytes()));
                stored.push(leaf(&i.to_be_bytes()));
            }
            prop_assert_eq!(stored, whole);
        }
    }

    #[test]
    fn a_frontier_of_the_wrong_length_is_none() {
        assert!(Frontier::from_parts(3, &[0; 32]).is_none());
        assert!(Frontier::from_parts(1, &[0; 31]).is_none());
        assert!(Frontier::from_parts(0, &[0; 1]).is_none());
    }
}
