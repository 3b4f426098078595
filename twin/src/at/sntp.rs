//! SNTP, the client's part. Source: RFC 4330, sections 4 and 5; packets of 48 bytes, numbers big endian.
//!
//! The transmit timestamp of a question is a random token, so that the answer to it cannot be guessed from elsewhere: a
//! server only gives it back, and this client keeps no time to compute a delay with.

use super::dial::{DialError, Network};
use crate::random::HostRandom;
use cotter_device::platform::Random;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// A packet without extensions.
const PACKET: usize = 48;
/// Version 4, from a client.
const QUESTION: u8 = 4 << 3 | 3;
/// From a server, in the bits below the version.
const SERVER: u8 = 4;
/// From 1900 to 1970, in seconds.
const TO_UNIX: u64 = 2_208_988_800;
/// Seconds after which the 32 bits begin anew, in 2036.
const ERA: u64 = 1 << 32;
/// How long one server has for its answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// A question, until it is answered.
#[derive(Debug)]
struct Question {
    token: [u8; 8],
}

/// Why an answer tells no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum AnswerError {
    #[error("{0} bytes are no SNTP packet")]
    Length(usize),
    #[error("it is no answer of a server")]
    Mode,
    /// Somebody else's, or a guess.
    #[error("it answers another question")]
    Origin,
    #[error("the server does not want to be asked: {}", .0.escape_ascii())]
    KissOfDeath([u8; 4]),
    #[error("the server knows no time")]
    Unsynchronized,
}

/// What asking came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Unix seconds, by a server.
    Time(u64, String),
    /// The first server is not on this machine, and the network reaches no further.
    OutOfReach(String),
    /// The last server's failure.
    Nothing(String),
}

impl Question {
    fn new(mut random: impl Random) -> Self {
        let mut token = [0; 8];
        random.fill(&mut token);
        Self { token }
    }

    fn packet(&self) -> [u8; PACKET] {
        let mut packet = [0; PACKET];
        packet[0] = QUESTION;
        packet[PACKET - 8..].copy_from_slice(&self.token);
        packet
    }

    /// Unix seconds. What comes behind the packet, an authenticator, is not looked at.
    fn answer(&self, packet: &[u8]) -> Result<u64, AnswerError> {
        let packet: &[u8; PACKET] = packet.first_chunk().ok_or(AnswerError::Length(packet.len()))?;
        let [flags, stratum, ..] = *packet;
        if flags & 7 != SERVER || !(1..=4).contains(&(flags >> 3 & 7)) {
            return Err(AnswerError::Mode);
        }
        if packet[24..32] != self.token {
            return Err(AnswerError::Origin);
        }
        let word = |at: usize| packet.get(at..at + 4).and_then(|word| word.first_chunk()).copied().unwrap_or_default();
        if stratum == 0 {
            return Err(AnswerError::KissOfDeath(word(12)));
        }
        let (seconds, fraction) = (u32::from_be_bytes(word(40)), u32::from_be_bytes(word(44)));
        if flags >> 6 == 3 || stratum > 15 || (seconds, fraction) == (0, 0) {
            return Err(AnswerError::Unsynchronized);
        }
        // Section 3: with the first bit set it is before February 2036, without it after.
        let era = if seconds >> 31 == 1 { 0 } else { ERA };
        // Before 1970 nobody had this packet.
        (u64::from(seconds) + era).checked_sub(TO_UNIX).ok_or(AnswerError::Unsynchronized)
    }
}

/// Asks the servers in their order, until one tells the time, on a thread of its own.
pub(super) fn ask(network: &Network, servers: &[String]) -> Receiver<Told> {
    let (sender, receiver) = channel();
    let (network, servers) = (network.clone(), servers.to_vec());
    std::thread::spawn(move || {
        // Nobody waits any more if the module was reset.
        let _told = sender.send(ask_all(&network, &servers));
    });
    receiver
}

fn ask_all(network: &Network, servers: &[String]) -> Told {
    let mut told = Told::Nothing("there is no server".to_owned());
    for server in servers {
        told = match ask_one(network, server) {
            Ok(seconds) => return Told::Time(seconds, server.clone()),
            Err(DialError::OutOfReach(host)) => return Told::OutOfReach(host),
            Err(error) => Told::Nothing(format!("{server}: {error}")),
        };
    }
    told
}

fn ask_one(network: &Network, server: &str) -> Result<u64, DialError> {
    let remote = network.resolve(server, network.time_port)?;
    let remote = *remote.first().ok_or_else(|| DialError::Unknown(server.to_owned()))?;
    let socket = network.udp_socket(remote, 0)?;
    // Whoever else sends something is not heard.
    socket.connect(remote)?;
    let question = Question::new(HostRandom::default());
    socket.send(&question.packet())?;
    hear(&socket, &question, Instant::now() + PATIENCE)
}

fn hear(socket: &UdpSocket, question: &Question, end: Instant) -> Result<u64, DialError> {
    let mut buffer = [0; 512];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(DialError::Timeout);
        }
        socket.set_read_timeout(Some(left))?;
        let count = match socket.recv(&mut buffer) {
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Err(DialError::Timeout);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        match question.answer(buffer.get(..count).unwrap_or_default()) {
            Ok(seconds) => return Ok(seconds),
            // The server has answered, and there is no time in it.
            Err(why @ (AnswerError::KissOfDeath(_) | AnswerError::Unsynchronized)) => {
                return Err(DialError::Time(why.to_string()));
            }
            // Anybody can send these: the answer may still come.
            Err(AnswerError::Length(_) | AnswerError::Mode | AnswerError::Origin) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test panics where it fails")]
    use super::super::dial::Reach;
    use super::*;
    use std::net::Ipv4Addr;

    const TOKEN: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

    fn answer(change: impl FnOnce(&mut [u8; PACKET])) -> Result<u64, AnswerError> {
        let mut packet = [0; PACKET];
        (packet[0], packet[1]) = (4 << 3 | SERVER, 2);
        packet[24..32].copy_from_slice(&TOKEN);
        packet[40..44].copy_from_slice(&3_843_625_676_u32.to_be_bytes());
        change(&mut packet);
        Question { token: TOKEN }.answer(&packet)
    }

    #[test]
    fn an_answer_tells_unix_seconds_in_both_eras() {
        assert_eq!(answer(|_| {}), Ok(1_634_636_876));
        // RFC 4330, section 3: 06:28:16 UTC on 7 February 2036.
        assert_eq!(answer(|packet| packet[40..48].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 1])), Ok(2_085_978_496));
        let before_unix = |packet: &mut [u8; PACKET]| packet[40..44].copy_from_slice(&[0x80, 0, 0, 0]);
        assert_eq!(answer(before_unix), Err(AnswerError::Unsynchronized));
    }

    #[test]
    fn what_is_no_answer_to_the_question_is_refused() {
        let question = Question { token: TOKEN };
        assert_eq!(question.answer(&question.packet()), Err(AnswerError::Mode));
        assert_eq!(question.answer(&[0x24; PACKET - 1]), Err(AnswerError::Length(47)));
        assert_eq!(question.answer(&[]), Err(AnswerError::Length(0)));
        assert_eq!(answer(|packet| packet[0] = SERVER), Err(AnswerError::Mode));
        assert_eq!(answer(|packet| packet[0] = 4 << 3 | 5), Err(AnswerError::Mode));
        for bit in 0..64 {
            assert_eq!(answer(|packet| packet[24 + bit / 8] ^= 1 << (bit % 8)), Err(AnswerError::Origin));
        }
        assert_eq!(answer(|packet| packet[0] |= 3 << 6), Err(AnswerError::Unsynchronized));
        assert_eq!(answer(|packet| packet[1] = 16), Err(AnswerError::Unsynchronized));
        assert_eq!(answer(|packet| packet[40..48].fill(0)), Err(AnswerError::Unsynchronized));
        let rate = |packet: &mut [u8; PACKET]| {
            packet[1] = 0;
            packet[12..16].copy_from_slice(b"RATE");
        };
        assert_eq!(answer(rate), Err(AnswerError::KissOfDeath(*b"RATE")));
    }

    #[test]
    fn a_server_out_of_reach_is_not_asked() {
        let network = Network { reach: Reach::Loopback, hosts: Vec::new(), time_port: 1 };
        let told = ask_all(&network, &["192.0.2.1".to_owned()]);
        assert_eq!(told, Told::OutOfReach("192.0.2.1".to_owned()));
    }

    #[test]
    fn the_next_server_is_asked_after_one_that_refuses() {
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let network =
            Network { reach: Reach::Loopback, hosts: Vec::new(), time_port: server.local_addr().unwrap().port() };
        let serving = std::thread::spawn(move || {
            for stratum in [0, 1] {
                let mut packet = [0; PACKET];
                let (count, client) = server.recv_from(&mut packet).unwrap();
                assert_eq!((count, packet[0]), (PACKET, 0x23));
                packet.copy_within(40..48, 24);
                (packet[0], packet[1]) = (0x24, stratum);
                // A guess comes first.
                let mut guess = packet;
                guess[24..32].fill(0);
                server.send_to(&guess, client).unwrap();
                server.send_to(&packet, client).unwrap();
            }
        });
        // The same server by two names.
        let told = ask_all(&network, &["localhost".to_owned(), "127.0.0.1".to_owned()]);
        assert!(matches!(&told, Told::Time(_, server) if server == "127.0.0.1"), "{told:?}");
        serving.join().unwrap();
    }
}
