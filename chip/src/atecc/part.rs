//! The part without its bus: commands go in, payloads or status codes come out.

use super::command;
use super::memory::Memory;
use super::sram::Sram;
use crate::entropy::Entropy;
use cotter_formats::atecc::counter::Count;
use cotter_formats::atecc::{Command, KeyConfig, Opcode, Slot, SlotConfig, Status};

/// Memory, volatile memory, randomness.
pub(super) struct Part {
    pub(super) memory: Memory,
    pub(super) sram: Sram,
    pub(super) entropy: Entropy,
    pub(super) latches: Latches,
}

/// What a sleep leaves as it is and only a loss of power resets.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Latches {
    /// Keys with bit 12 of `KeyConfig` are of no use while it is not set.
    pub(super) persistent: bool,
    /// `SecureBoot` is refused.
    pub(super) no_secure_boot: bool,
}

/// What a command answers: a payload, or the one byte that says why not.
pub(super) type Answer = Result<Vec<u8>, Status>;

/// How a command uses a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// It counts, and `ReqRandom` applies.
    Fresh,
    /// It counts.
    Plain,
    /// It does not count: the target of `DeriveKey`.
    Uncounted,
    /// Nor does the persistent latch matter: `GenKey`.
    Generate,
}

impl Part {
    pub(super) fn execute(&mut self, command: &Command<'_>) -> Answer {
        let answer = match command.opcode {
            Opcode::AES => command::aes::aes(self, command),
            Opcode::CHECK_MAC => command::mac::check_mac(self, command),
            Opcode::COUNTER => command::counter::counter(self, command),
            Opcode::DERIVE_KEY => command::derive_key::derive_key(self, command),
            Opcode::ECDH => command::ecdh::ecdh(self, command),
            Opcode::GEN_DIG => command::gen_dig::gen_dig(self, command),
            Opcode::GEN_KEY => command::gen_key::gen_key(self, command),
            Opcode::INFO => command::info::info(self, command),
            Opcode::KDF => command::kdf::kdf(self, command),
            Opcode::LOCK => command::lock::lock(self, command),
            Opcode::MAC => command::mac::mac(self, command),
            Opcode::NONCE => command::nonce::nonce(self, command),
            Opcode::PRIV_WRITE => command::gen_key::priv_write(self, command),
            Opcode::RANDOM => command::nonce::random(self, command),
            Opcode::READ => command::zone::read(self, command),
            Opcode::SECURE_BOOT => command::secure_boot::secure_boot(self, command),
            Opcode::SELF_TEST => command::info::self_test(command),
            Opcode::SHA => command::sha::sha(self, command),
            Opcode::SIGN => command::sign::sign(self, command),
            Opcode::UPDATE_EXTRA => command::counter::update_extra(self, command),
            Opcode::VERIFY => command::verify::verify(self, command),
            Opcode::WRITE => command::zone::write(self, command),
            _ => Err(Status::PARSE),
        };
        self.settle(command.opcode, answer.as_ref().err());
        answer
    }

    /// `TempKey` is used up by the command that uses it, and by one that would have replaced it and failed.
    ///
    /// Source: DS20005927A section 2.5.1, where all but a few commands clear it. The ATECC608 clears less: cryptoauthlib's
    /// tests read counters and the configuration zone, and sign out of the digest buffer, between a nonce and its use
    /// (`gendig_counter`, `gendig_keyconfig`, `verify_stored_on_reqrandom_set`), and use it more than once for AES and KDF.
    fn settle(&mut self, opcode: Opcode, refused: Option<&Status>) {
        let is_used = self.sram.temp_key.take_used();
        let is_kept = match opcode {
            Opcode::INFO | Opcode::AES | Opcode::SHA => true,
            // Those that succeed have left in it what belongs there.
            Opcode::NONCE | Opcode::GEN_KEY | Opcode::GEN_DIG | Opcode::KDF | Opcode::ECDH | Opcode::CHECK_MAC => {
                refused.is_none_or(|status| *status == Status::ECC_FAULT)
            }
            _ => !is_used || refused == Some(&Status::ECC_FAULT),
        };
        if !is_kept {
            self.sram.temp_key.clear();
        }
    }

    pub(super) const fn is_config_locked(&self) -> bool {
        self.memory.config().is_config_locked()
    }

    pub(super) const fn is_data_locked(&self) -> bool {
        self.memory.config().is_data_locked()
    }

    pub(super) const fn slot_config(&self, slot: Slot) -> SlotConfig {
        self.memory.config().slot_config(slot)
    }

    pub(super) const fn key_config(&self, slot: Slot) -> KeyConfig {
        self.memory.config().key_config(slot)
    }

    /// SN<8>, SN<0:1>, which are in every message that the part hashes.
    pub(super) fn serial(&self) -> [u8; 3] {
        let serial = self.memory.config().serial_number();
        [serial[8], serial[0], serial[1]]
    }

    /// Random bytes; until the configuration zone is locked, the pattern that says so.
    pub(super) fn random(&mut self) -> [u8; 32] {
        let mut out = [0; 32];
        if self.is_config_locked() {
            self.entropy.fill(&mut out);
        } else {
            out.chunks_exact_mut(4).for_each(|word| word.copy_from_slice(&[0xff, 0xff, 0, 0]));
        }
        out
    }

    /// Whether a key may be used now; if so, its use is counted and its authorisation is gone.
    pub(super) fn use_key(&mut self, slot: Slot, purpose: Use) -> Result<(), Status> {
        if !self.is_data_locked() {
            return Ok(());
        }
        let (key, rules) = (self.key_config(slot), self.slot_config(slot));
        if key.is_latched() && !self.latches.persistent && purpose != Use::Generate {
            return Err(Status::EXECUTION);
        }
        if key.requires_authorization() && self.sram.authorized.take() != Some(key.authorizing_key()) {
            return Err(Status::EXECUTION);
        }
        if key.requires_random() && purpose == Use::Fresh && !self.sram.temp_key.is_random() {
            return Err(Status::EXECUTION);
        }
        if rules.is_limited() && matches!(purpose, Use::Fresh | Use::Plain) {
            self.count_use()?;
        }
        Ok(())
    }

    /// One more on counter 0, unless it has reached its limit.
    pub(super) fn count_use(&mut self) -> Result<(), Status> {
        let count = self.memory.counter(0);
        let limit = match self.memory.config().count_match() {
            Some(slot) => self.count_limit(slot).ok_or(Status::EXECUTION)?,
            None => Count::MAX.value(),
        };
        let next = count.next().filter(|_| count.value() < limit).ok_or(Status::EXECUTION)?;
        self.memory.set_counter(0, next);
        Ok(())
    }

    /// The limit in a slot, where it is twice. That a key is refused where the two differ is not documented.
    fn count_limit(&self, slot: Slot) -> Option<u32> {
        let [first, second] = self.memory.slot(slot).first_chunk::<8>()?.as_chunks::<4>().0 else { return None };
        (first == second).then(|| u32::from_le_bytes(*first))
    }

    /// A secret key, for hashes and MACs.
    pub(super) fn secret(&mut self, slot: Slot, purpose: Use) -> Result<[u8; 32], Status> {
        if !self.is_config_locked() || self.key_config(slot).is_private() {
            return Err(Status::EXECUTION);
        }
        self.use_key(slot, purpose)?;
        Ok(self.memory.key(slot))
    }

    /// The key that protects what goes over the bus. Not documented: that there is none until the configuration is locked,
    /// as with every other key.
    pub(super) fn io_key(&self) -> Result<[u8; 32], Status> {
        if !self.is_config_locked() {
            return Err(Status::EXECUTION);
        }
        self.memory.config().chip_options().io_key().map(|slot| self.memory.key(slot)).ok_or(Status::EXECUTION)
    }

    /// Encrypts blocks of 32 bytes under the I/O protection key: block after block, and then the nonce that it took.
    pub(super) fn protect_output(&mut self, secret: &[u8]) -> Answer {
        let key = self.io_key()?;
        let nonce = self.random();
        let mut out = secret.to_vec();
        for (block, half) in out.chunks_mut(32).zip(nonce.chunks_exact(16)) {
            let pad = super::sha::digest(&[&key, half]);
            block.iter_mut().zip(pad).for_each(|(byte, pad)| *byte ^= pad);
        }
        out.extend(nonce);
        Ok(out)
    }
}

/// The payload of what only succeeds.
pub(super) fn done() -> Answer {
    Ok(vec![Status::SUCCESS.0])
}

/// The payload of a comparison.
pub(super) fn compared(is_equal: bool) -> Answer {
    Ok(vec![if is_equal { Status::SUCCESS.0 } else { Status::MISCOMPARE.0 }])
}

/// The slot that a parameter names, if it is one.
pub(super) fn slot(param: u16) -> Result<Slot, Status> {
    Slot::new(param).ok_or(Status::PARSE)
}

/// An array out of data whose length was checked, or a parse error.
pub(super) fn array<const N: usize>(data: &[u8]) -> Result<[u8; N], Status> {
    data.try_into().map_err(|_| Status::PARSE)
}
