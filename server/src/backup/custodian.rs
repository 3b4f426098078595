//! The key of a backup in the hands of custodians: Shamir's secret sharing over GF(256), one printable line each.
//!
//! ```text
//! cotter-share-1:<backup 32 hex>:<threshold>:<custodians>:<number>:<share 64 hex>:<check 8 hex>
//! check = first four bytes of SHA-256 over everything before the last colon: finds typing errors, proves nothing
//! ```
//!
//! Fewer shares than the threshold tell nothing about the key. With a threshold of one, each share is the key. Shares
//! carry no authentication: whether they yield the right key is told by the backup, which does not open otherwise.

use super::BackupError;
use crate::key_file;
use cotter_formats::secret::Secret;
use cotter_wire::hex;
use rand::SeedableRng;
use rand::rngs::StdRng;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use vsss_rs::Gf256;
use zeroize::{Zeroize, Zeroizing};

/// Which backup; random.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupId(pub [u8; 16]);

impl std::fmt::Display for BackupId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(hex::encode(&self.0, &mut [0; 32]).unwrap_or_default())
    }
}

/// Among how many custodians a key is split, and how many of them restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Custodians {
    threshold: u8,
    count: u8,
}

impl Custodians {
    /// One file that restores alone.
    pub const ALONE: Self = Self { threshold: 1, count: 1 };

    /// Any `threshold` of `count` restore. `None` unless 1 <= threshold <= count.
    #[must_use]
    pub const fn new(threshold: u8, count: u8) -> Option<Self> {
        if threshold == 0 || threshold > count { None } else { Some(Self { threshold, count }) }
    }

    /// How many restore.
    #[must_use]
    pub const fn threshold(self) -> u8 {
        self.threshold
    }

    /// How many there are.
    #[must_use]
    pub const fn count(self) -> u8 {
        self.count
    }
}

/// What one custodian keeps.
pub struct Share {
    backup: BackupId,
    custodians: Custodians,
    /// 1 to the number of custodians.
    number: u8,
    value: Secret<32>,
}

impl Share {
    /// Which custodian's it is, from 1.
    #[must_use]
    pub const fn number(&self) -> u8 {
        self.number
    }

    /// The line that the custodian keeps. Whoever has enough of them has every secret of the server.
    #[must_use]
    pub fn reveal(&self) -> Zeroizing<String> {
        let mut line = Zeroizing::new(String::with_capacity(LONGEST));
        let Custodians { threshold, count } = self.custodians;
        let mut digits = Zeroizing::new([0; 64]);
        let value = hex::encode(self.value.expose(), &mut digits[..]).unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = write!(line, "{PREFIX}:{}:{threshold}:{count}:{}:{value}", self.backup, self.number);
        let check = check(&line);
        let _ = write!(line, ":{check}");
        line
    }

    /// Reads a line back.
    ///
    /// # Errors
    /// [`BackupError::Share`] names what is wrong.
    pub fn parse(line: &str) -> Result<Self, BackupError> {
        let refuse = |why| BackupError::Share { why };
        let line = line.trim_ascii();
        let (body, said) = line.rsplit_once(':').ok_or_else(|| refuse("it is no share"))?;
        let mut fields = body.split(':');
        if fields.next() != Some(PREFIX) {
            return Err(refuse("it is no share"));
        }
        if said != check(body) {
            return Err(refuse("its check digits differ: it was not copied faithfully"));
        }
        let mut next = || fields.next().ok_or_else(|| refuse("it is no share"));
        let backup =
            hex::decode(next()?.as_bytes()).ok_or_else(|| refuse("the backup is not 32 hexadecimal digits"))?;
        let mut number = || next()?.parse::<u8>().map_err(|_| refuse("a number is not one from 0 to 255"));
        let (threshold, count, number) = (number()?, number()?, number()?);
        let custodians = Custodians::new(threshold, count)
            .filter(|_| (1..=count).contains(&number))
            .ok_or_else(|| refuse("its numbers contradict each other"))?;
        let digits = fields.next().ok_or_else(|| refuse("it is no share"))?.as_bytes();
        if fields.next().is_some() {
            return Err(refuse("it is no share"));
        }
        let value = Secret::try_filled_by(|value: &mut [u8; 32]| {
            if hex::decode_into(digits, value) { Ok(()) } else { Err(refuse("the share is not 64 hexadecimal digits")) }
        })?;
        let share = Self { backup: BackupId(backup), custodians, number, value };
        // One spelling: no `+3`, no upper case.
        if *share.reveal() == line { Ok(share) } else { Err(refuse("it is not spelled as shares are")) }
    }
}

/// Splits the key of a backup.
///
/// # Errors
/// [`BackupError::KeyFile`] if there is no randomness.
pub(super) fn split(key: &Secret<32>, backup: BackupId, custodians: Custodians) -> Result<Vec<Share>, BackupError> {
    let share = |number, value| Share { backup, custodians, number, value };
    let Custodians { threshold, count } = custodians;
    if threshold == 1 {
        let copy = || Secret::filled_by(|copy| copy.copy_from_slice(key.expose()));
        return Ok((1..=count).map(|number| share(number, copy())).collect());
    }
    let random = StdRng::from_seed(*key_file::random_key()?.expose());
    let mut values = Gf256::split_bytes(threshold.into(), count.into(), key.expose(), random)
        .map_err(|_| BackupError::Split { custodians })?;
    // The library writes the number before the value.
    let shares = values.iter().map(|value| match value.split_first() {
        Some((number, value)) => Secret::from_slice(value).map(|value| share(*number, value)),
        None => None,
    });
    let shares = shares.collect::<Option<Vec<_>>>().ok_or(BackupError::Split { custodians });
    values.iter_mut().for_each(Zeroize::zeroize);
    shares
}

/// The key of `backup`, if these shares are its own and enough. Whether it is the right one is seen when it opens.
///
/// # Errors
/// [`BackupError::OtherBackup`], [`BackupError::ShareTwice`], [`BackupError::TooFewShares`].
pub(super) fn combine(shares: &[Share], backup: BackupId, custodians: Custodians) -> Result<Secret<32>, BackupError> {
    if let Some(other) = shares.iter().find(|share| share.backup != backup || share.custodians != custodians) {
        return Err(BackupError::OtherBackup { number: other.number, backup: other.backup });
    }
    let mut numbers: Vec<_> = shares.iter().map(Share::number).collect();
    numbers.sort_unstable();
    if let Some(pair) = numbers.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(BackupError::ShareTwice { number: pair[0] });
    }
    let threshold = usize::from(custodians.threshold);
    let Some(enough) = shares.get(..threshold) else {
        return Err(BackupError::TooFewShares { needed: custodians.threshold, given: shares.len() });
    };
    if let [alone] = enough {
        return Ok(Secret::filled_by(|key| key.copy_from_slice(alone.value.expose())));
    }
    let mut points: Vec<Vec<u8>> =
        enough.iter().map(|share| [&[share.number], &share.value.expose()[..]].concat()).collect();
    let combined = Gf256::combine_bytes(&points).map(Zeroizing::new);
    points.iter_mut().for_each(Zeroize::zeroize);
    combined.ok().and_then(|key| Secret::from_slice(&key)).ok_or(BackupError::WrongKey)
}

fn check(body: &str) -> String {
    let digest = Sha256::digest(body);
    hex::encode(&digest[..4], &mut [0; 8]).unwrap_or_default().to_owned()
}

const PREFIX: &str = "cotter-share-1";
/// Of a line.
const LONGEST: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;

    const BACKUP: BackupId = BackupId([7; 16]);

    fn key() -> Secret<32> {
        Secret::filled_by(|key| (1..).zip(key).for_each(|(value, byte)| *byte = value))
    }

    fn copy(share: &Share) -> Share {
        Share::parse(&share.reveal()).unwrap()
    }

    #[test]
    fn any_three_of_five_restore_and_no_two_do() {
        let custodians = Custodians::new(3, 5).unwrap();
        let shares = split(&key(), BACKUP, custodians).unwrap();
        let mut restored = 0;
        for chosen in 0_u8..32 {
            let some: Vec<_> = shares.iter().filter(|share| chosen >> (share.number - 1) & 1 == 1).map(copy).collect();
            let combined = combine(&some, BACKUP, custodians);
            if some.len() < 3 {
                let given = some.len();
                assert!(matches!(combined, Err(BackupError::TooFewShares { needed: 3, given: g }) if g == given));
            } else {
                assert!(combined.unwrap().ct_eq(&key()));
                restored += 1;
            }
        }
        assert_eq!(restored, 16);
    }

    #[test]
    fn two_shares_fit_every_key() {
        // With two points of a polynomial of degree two, any value at zero is possible: a third share can always be
        // found that leads to it. Here: two custodians and a made-up third one get a key, and it is another one.
        let custodians = Custodians::new(3, 5).unwrap();
        let shares = split(&key(), BACKUP, custodians).unwrap();
        let mut forged = copy(&shares[2]);
        forged.value = Secret::filled_by(|value| value.fill(0x5a));
        let combined = combine(&[copy(&shares[0]), copy(&shares[1]), forged], BACKUP, custodians).unwrap();
        assert!(!combined.ct_eq(&key()));
    }

    #[test]
    fn with_a_threshold_of_one_each_share_is_the_key() {
        let custodians = Custodians::new(1, 2).unwrap();
        for share in split(&key(), BACKUP, custodians).unwrap() {
            assert!(combine(&[share], BACKUP, custodians).unwrap().ct_eq(&key()));
        }
    }

    #[test]
    fn shares_that_do_not_belong_together_are_named() {
        let custodians = Custodians::new(2, 3).unwrap();
        let shares = split(&key(), BACKUP, custodians).unwrap();
        let others = split(&key(), BackupId([8; 16]), custodians).unwrap();
        let twice = combine(&[copy(&shares[1]), copy(&shares[1])], BACKUP, custodians);
        assert!(matches!(twice, Err(BackupError::ShareTwice { number: 2 })));
        let mixed = combine(&[copy(&shares[0]), copy(&others[1])], BACKUP, custodians);
        assert!(matches!(mixed, Err(BackupError::OtherBackup { number: 2, .. })));
    }

    #[test]
    fn a_share_that_was_copied_wrongly_is_refused() {
        let line = split(&key(), BACKUP, Custodians::new(2, 3).unwrap()).unwrap()[0].reveal();
        assert_eq!(Share::parse(&format!(" {}\n", *line)).unwrap().number(), 1);
        for place in 0..line.len() {
            let mut changed = line.to_string().into_bytes();
            changed[place] ^= 1;
            let text = String::from_utf8(changed).unwrap();
            assert!(matches!(Share::parse(&text), Err(BackupError::Share { .. })), "{place}");
            assert!(matches!(Share::parse(&line[..place]), Err(BackupError::Share { .. })), "{place}");
        }
    }
}
