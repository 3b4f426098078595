//! What the server says to a packet: stored, already stored, or refused, and never why.

use crate::canonical::{CanonicalError, OutputFull, Scanner, Writer};
use crate::ids::Sequence;

/// The body of the answer to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Durably stored: the device may forget the reading. Status 200. With the number of the packet, of either version.
    Accepted(Sequence),
    /// A replay of the packet that was stored last, byte for byte: an honest device that lost the first answer
    /// learns that nothing is lost, and an attacker learns what he knew. Status 409.
    AlreadyStored,
    /// Anything else. Status 401, or 409 for a replay.
    Refused,
}

impl Answer {
    /// Longest body, in bytes.
    pub const MAX_LEN: usize = 64;

    /// Writes the body into the beginning of `out`.
    ///
    /// # Errors
    /// [`OutputFull`]; [`Self::MAX_LEN`] bytes are always enough.
    pub fn write<'o>(&self, out: &'o mut [u8]) -> Result<&'o [u8], OutputFull> {
        let mut writer = Writer::new(out);
        match self {
            Self::Accepted(nonce) => writer.literal(ACCEPTED).number(nonce.get()).literal("}"),
            Self::AlreadyStored => writer.literal(ALREADY_STORED),
            Self::Refused => writer.literal(REFUSED),
        };
        writer.finish()
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`CanonicalError`]; a device treats that as no answer.
    pub fn parse(body: &[u8]) -> Result<Self, CanonicalError> {
        let mut scanner = Scanner::new(body, Self::MAX_LEN)?;
        let answer = if scanner.accepts(ACCEPTED) {
            let nonce = Sequence::new(scanner.u64()?).ok_or(CanonicalError::Overflow { at: ACCEPTED.len() })?;
            scanner.literal("}")?;
            Self::Accepted(nonce)
        } else if scanner.accepts(ALREADY_STORED) {
            Self::AlreadyStored
        } else {
            scanner.literal(REFUSED)?;
            Self::Refused
        };
        scanner.end()?;
        Ok(answer)
    }
}

const ACCEPTED: &str = "{\"result\":\"accepted\",\"nonce\":";
const ALREADY_STORED: &str = "{\"result\":\"replay\",\"stored\":true}";
const REFUSED: &str = "{\"result\":\"refused\"}";

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [(Answer, &str); 3] = [
        (Answer::Accepted(Sequence::MAX), "{\"result\":\"accepted\",\"nonce\":1099511627775}"),
        (Answer::AlreadyStored, "{\"result\":\"replay\",\"stored\":true}"),
        (Answer::Refused, "{\"result\":\"refused\"}"),
    ];

    #[test]
    fn each_answer_has_one_spelling() {
        for (answer, body) in ALL {
            assert_eq!(answer.write(&mut [0; Answer::MAX_LEN]), Ok(body.as_bytes()));
            assert_eq!(Answer::parse(body.as_bytes()), Ok(answer));
            assert_eq!(answer.write(&mut [0; Answer::MAX_LEN][..body.len() - 1]), Err(OutputFull));
        }
    }

    #[test]
    fn a_number_beyond_all_packets_is_no_answer() {
        let beyond = b"{\"result\":\"accepted\",\"nonce\":1099511627776}";
        assert_eq!(Answer::parse(beyond), Err(CanonicalError::Overflow { at: ACCEPTED.len() }));
    }

    #[test]
    fn refuses_what_is_cut_off_or_goes_on() {
        for (_, body) in ALL {
            for len in 0..body.len() {
                assert!(Answer::parse(&body.as_bytes()[..len]).is_err(), "{body} {len}");
            }
            let mut longer = [0; 64];
            longer[..body.len()].copy_from_slice(body.as_bytes());
            assert_eq!(
                Answer::parse(&longer[..=body.len()]),
                Err(CanonicalError::Trailing { at: body.len() }),
                "{body}"
            );
        }
    }
}
