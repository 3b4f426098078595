//! Montgomery's arithmetic with the constants as somebody stored them, so that a wrong one gives a wrong result, as it does
//! in the peripheral. R is 2^bits for any width of word; the words here have 64 bits, those of the peripheral 32.

use super::{DsError, MAX_NUMBER};
use zeroize::Zeroizing;

/// Words of the longest number.
const WORDS: usize = MAX_NUMBER / 8;
type Number = Zeroizing<[u64; WORDS]>;

/// Holds Rb and M' against the modulus. All of them are public.
pub(super) fn check_constants(m: &[u8], rb: &[u8], m_prime: u32) -> Result<(), DsError> {
    let modulus = Modulus::new(m, m_prime);
    let low = u32::from_le_bytes([m[0], m[1], m[2], m[3]]);
    if low.wrapping_mul(m_prime) != u32::MAX || !rb.iter().rev().lt(m.iter().rev()) {
        return Err(DsError::Constants);
    }
    // To divide by R is one-to-one, so Rb = R^2 mod m exactly if Rb / R = R mod m. As the top bit of m is set, that is R - m.
    let r = modulus.multiply(&load(rb), &one());
    if *r == *subtract(&zero(), &modulus.m, modulus.words).0 { Ok(()) } else { Err(DsError::Constants) }
}

/// `base ^ exponent mod m`, all little-endian and equally long. One square and one multiplication per bit, whatever it is.
pub(super) fn power(base: &[u8], exponent: &[u8], m: &[u8], rb: &[u8], m_prime: u32, out: &mut [u8]) {
    let (modulus, square) = (Modulus::new(m, m_prime), load(rb));
    let base = modulus.multiply(&load(base), &square);
    let mut result = modulus.multiply(&one(), &square);
    for byte in exponent.iter().rev() {
        for bit in (0..8).rev() {
            result = modulus.multiply(&result, &result);
            let product = modulus.multiply(&result, &base);
            select(&mut result, &product, u64::from(byte >> bit & 1));
        }
    }
    let result = modulus.multiply(&result, &one());
    for (bytes, word) in out.chunks_exact_mut(8).zip(result.iter()) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
}

/// An odd modulus of whole words.
struct Modulus {
    m: Number,
    /// -m^-1 mod 2^64.
    m_prime: u64,
    words: usize,
}

impl Modulus {
    /// `m_prime`: -m^-1 mod 2^32, as stored. One step of Newton's doubles the bits that are right, and keeps wrong ones wrong.
    fn new(m: &[u8], m_prime: u32) -> Self {
        let m_words = load(m);
        let inverse = u64::from(m_prime).wrapping_neg();
        let inverse = inverse.wrapping_mul(2_u64.wrapping_sub(m_words[0].wrapping_mul(inverse)));
        Self { m: m_words, m_prime: inverse.wrapping_neg(), words: m.len() / 8 }
    }

    /// `a * b / R mod m` for `a` and `b` below `m`.
    #[allow(clippy::cast_possible_truncation, reason = "words are the low halves of double words")]
    fn multiply(&self, a: &Number, b: &Number) -> Number {
        let words = self.words;
        let (a, m) = (&a[..words], &self.m[..words]);
        let mut sum = Zeroizing::new([0_u64; WORDS + 2]);
        for &digit in &b[..words] {
            let mut carry = 0;
            for (sum, &a) in sum.iter_mut().zip(a) {
                let wide = u128::from(*sum) + u128::from(a) * u128::from(digit) + u128::from(carry);
                (*sum, carry) = (wide as u64, (wide >> 64) as u64);
            }
            let (low, over) = sum[words].overflowing_add(carry);
            (sum[words], sum[words + 1]) = (low, u64::from(over));
            let quotient = sum[0].wrapping_mul(self.m_prime);
            let mut carry = ((u128::from(sum[0]) + u128::from(m[0]) * u128::from(quotient)) >> 64) as u64;
            for word in 1..words {
                let wide = u128::from(sum[word]) + u128::from(m[word]) * u128::from(quotient) + u128::from(carry);
                (sum[word - 1], carry) = (wide as u64, (wide >> 64) as u64);
            }
            let (low, over) = sum[words].overflowing_add(carry);
            sum[words - 1] = low;
            sum[words] = sum[words + 1].wrapping_add(u64::from(over));
        }
        let mut result = zero();
        result[..words].copy_from_slice(&sum[..words]);
        let (reduced, borrow) = subtract(&result, &self.m, words);
        select(&mut result, &reduced, sum[words] | (1 - borrow));
        result
    }
}

/// `a - b`, and 1 if that is below zero.
fn subtract(a: &Number, b: &Number, words: usize) -> (Number, u64) {
    let mut difference = zero();
    let mut borrow = false;
    for ((out, &a), &b) in difference.iter_mut().zip(a.iter()).zip(b.iter()).take(words) {
        let (first, under) = a.overflowing_sub(b);
        let (second, further) = first.overflowing_sub(u64::from(borrow));
        (*out, borrow) = (second, under | further);
    }
    (difference, u64::from(borrow))
}

/// `to = from` if `choice` is 1, without a branch.
fn select(to: &mut Number, from: &Number, choice: u64) {
    let mask = 0_u64.wrapping_sub(choice);
    to.iter_mut().zip(from.iter()).for_each(|(to, from)| *to ^= mask & (*to ^ from));
}

fn load(bytes: &[u8]) -> Number {
    let mut words = zero();
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        let mut whole = [0; 8];
        whole.copy_from_slice(bytes);
        *word = u64::from_le_bytes(whole);
    }
    words
}

fn one() -> Number {
    let mut one = zero();
    one[0] = 1;
    one
}

fn zero() -> Number {
    Zeroizing::new([0; WORDS])
}
