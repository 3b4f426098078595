//! Firmware over the air: a state machine without a network. The caller performs each [`Action`] and feeds the
//! [`Event`] that comes of it back in; flash and NVS are handed to every step.
//!
//! It follows steps 8 to 16 of the FOTA flow (the numbers in the comments). What is checked when:
//!
//! | when | what |
//! |---|---|
//! | before any download | signatures (k of n), expiry against authenticated time, project, chip, version newer, secure version not below the running one nor below the eFuses, sizes, content key |
//! | each chunk | its number and exact length |
//! | last chunk | PKCS#7 padding, byte for byte |
//! | after the last chunk | SHA-256 of what is in flash, read back; then all of the manifest's checks again, from the same bytes that the hash is then compared with; then the image's own label against the manifest |
//! | only then | the slot is marked bootable |
//! | after the boot | the self-test, against what the manifest promised |
//!
//! Every refusal happens before the change that it guards. A power cut at any flash operation leaves a device that
//! boots a verified image and, after its next poll, goes on where it was.
//!
//! Memory: [`Updater`] is 2.3 KB (on a 64-bit host), most of it the envelope. Taking an offer needs the most stack: two
//! more envelopes, 3.4 KB, and what the verification of a signature takes. Chunks are decrypted in the caller's receive
//! buffer; read back, a slot goes through 256 bytes.

mod download;
mod message;
mod record;
mod refusal;
#[cfg(test)]
mod tests;

pub use message::{Action, Event, Request};
pub use record::Reason;
pub use refusal::Refusal;

use crate::identity::{Identity, NAMESPACE};
use crate::label::{HEAD, ImageLabel, LabelError};
use crate::nvs::{Nvs, NvsError};
use crate::self_test::{self, Promise, SelfTestError};
use crate::session::AuthenticatedTime;
use crate::slots::{SlotError, SlotIndex, Slots, UnknownSlot, VerifiedSlot};
use cotter_formats::addr::SECTOR;
use cotter_formats::chip::Chip;
use cotter_formats::nvs::entry::Key;
use cotter_wire::content::{ContentKey, chunk_count};
use cotter_wire::ids::SecureVersion;
use cotter_wire::manifest::{Envelope, Situation, VerifiedManifest};
use cotter_wire::status::{Outcome, StatusReport};
use cotter_wire::version::Version;
use download::{Download, compare, slot_digest};
use embedded_storage::nor_flash::{ErrorType, NorFlash};
use record::{Phase, Record};
use subtle::ConstantTimeEq;

/// What the updater knows about the device it runs on.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// Who the device is, and whose firmware it takes.
    pub identity: &'a Identity,
    /// The chip it is.
    pub chip: Chip,
    /// The slot that this code runs from, as the platform knows it (the MMU's mapping, the boot report). Otadata alone
    /// does not tell: the second stage skips a slot whose image it refuses.
    pub running: SlotIndex,
    /// The anti-rollback floor in eFuses (the number of set `SECURE_VERSION` bits).
    pub fuse_floor: SecureVersion,
}

/// The flash behind one step.
#[derive(Debug)]
pub struct Storage<'a, F, N> {
    /// The transparent view of the whole flash: app slots and otadata.
    pub flash: &'a mut F,
    /// The mounted NVS partition.
    pub nvs: &'a mut Nvs<N>,
}

/// The updater.
#[derive(Debug)]
pub struct Updater<'a> {
    settings: Settings<'a>,
    slots: Slots,
    /// The label of the running image.
    running: Option<Promise>,
    state: State,
    /// The last offer, as it was verified first and will be again.
    envelope: Option<Envelope>,
    refusal: Option<Refusal>,
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one, and no allocator to box it")]
enum State {
    Off,
    Idle,
    Polling,
    Downloading(Download),
    Reporting,
    Rebooting,
}

type Step<F, N> = Result<Action, UpdateError<<F as ErrorType>::Error, <N as ErrorType>::Error>>;

impl<'a> Updater<'a> {
    /// An updater that has not been told [`Event::Booted`] yet.
    ///
    /// # Errors
    /// [`UnknownSlot`] if the table has no slot as [`Settings::running`].
    pub fn new(settings: Settings<'a>, slots: Slots) -> Result<Self, UnknownSlot> {
        let slots = slots.with_running(settings.running)?;
        Ok(Self { settings, slots, running: None, state: State::Off, envelope: None, refusal: None })
    }

    /// Why the last offer was refused, or the last trial failed, since the boot.
    #[must_use]
    pub const fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_ref()
    }

    /// The slots as they were at boot.
    #[must_use]
    pub const fn slots(&self) -> &Slots {
        &self.slots
    }

    /// Takes one event and says what to do next.
    ///
    /// # Errors
    /// [`UpdateError`]: flash or NVS failed (then nothing is known: reset), or the event does not belong here. What the
    /// server sends never leads to an error but to a [`Refusal`].
    pub fn step<F: NorFlash, N: NorFlash>(&mut self, storage: &mut Storage<'_, F, N>, event: Event<'_>) -> Step<F, N> {
        match (core::mem::replace(&mut self.state, State::Idle), event) {
            (State::Off, Event::Booted) => self.booted(storage),
            (state @ (State::Off | State::Rebooting), _) => {
                self.state = state;
                Err(UpdateError::OutOfOrder)
            }
            (_, Event::Booted) => Err(UpdateError::OutOfOrder),
            (_, Event::Wake) => self.wake(storage),
            (_, Event::ConnectionLost) | (State::Polling, Event::NoOffer) => Ok(Action::Sleep),
            (State::Polling, Event::Offer { envelope, now }) => self.offered(storage, envelope, now),
            (State::Downloading(download), Event::Chunk { index, bytes, now }) => {
                self.chunk(storage, download, index, bytes, now)
            }
            (_, Event::Chunk { index, .. }) => Ok(self.refuse(Refusal::UnexpectedChunk { index }, None)),
            (State::Reporting, Event::Reported) => self.reported(storage),
            (_, Event::Offer { .. } | Event::NoOffer | Event::Reported) => Err(UpdateError::OutOfOrder),
        }
    }

    /// Step 16: verify boot success; if it failed, roll back.
    fn booted<F: NorFlash, N: NorFlash>(&mut self, storage: &mut Storage<'_, F, N>) -> Step<F, N> {
        let record = load(storage)?;
        let running = self.slots.running();
        let Some(record) = record else {
            return self.booted_without_update(storage);
        };
        match record.phase {
            Phase::Trying if running.index == record.slot => self.trial(storage, Some(record)),
            Phase::Trying => self.came_back(storage, record),
            Phase::RolledBack if running.index == record.slot => self.roll_back(storage, record.reason),
            Phase::RolledBack | Phase::Installed => {
                self.read_running(storage)?;
                Ok(self.report_record(&record))
            }
            Phase::Downloading | Phase::Rejected => self.booted_without_update(storage),
        }
    }

    fn booted_without_update<F: NorFlash, N: NorFlash>(&mut self, storage: &mut Storage<'_, F, N>) -> Step<F, N> {
        // An image that no update brought may be on trial too: written by a cable, or the record is lost.
        if self.slots.on_trial(storage.flash)? {
            return self.trial(storage, None);
        }
        self.read_running(storage)?;
        Ok(Action::Sleep)
    }

    /// The new firmware judges itself.
    fn trial<F: NorFlash, N: NorFlash>(
        &mut self,
        storage: &mut Storage<'_, F, N>,
        record: Option<Record>,
    ) -> Step<F, N> {
        let promise = record.map(|record| Promise { version: record.version, secure_version: record.secure_version });
        match self_test::run(storage.flash, self.slots.running(), self.settings.chip, promise) {
            Ok(_) => {
                self.read_running(storage)?;
                // Otadata may have lost this slot's entry (a cut while it was being confirmed) and the second stage may
                // have come here because the other slot does not boot: then the entry is made anew.
                self.slots.anchor(storage.flash)?;
                self.slots.confirm(storage.flash)?;
                let Some(record) = record else { return Ok(Action::Sleep) };
                let record = Record { phase: Phase::Installed, ..record };
                store(storage, &record)?;
                Ok(self.report_record(&record))
            }
            Err(SelfTestError::Flash(error)) => Err(UpdateError::Flash(error)),
            Err(SelfTestError::Failed(failure)) => {
                let refusal = Refusal::SelfTest(failure);
                self.refusal = Some(refusal);
                if let Some(record) = record {
                    // Before otadata changes, so that the previous firmware knows why it is back.
                    store(storage, &Record { phase: Phase::RolledBack, reason: refusal.reason(), ..record })?;
                }
                self.roll_back(storage, refusal.reason())
            }
        }
    }

    fn roll_back<F: NorFlash, N: NorFlash>(&mut self, storage: &mut Storage<'_, F, N>, reason: Reason) -> Step<F, N> {
        match self.slots.invalidate(storage.flash) {
            Ok(()) => {
                self.state = State::Rebooting;
                Ok(Action::Reboot)
            }
            // There is nothing better to boot: stay reachable, and take the next release.
            Err(SlotError::NothingToFallBackOn | SlotError::NotSelected { .. }) => {
                self.read_running(storage)?;
                Ok(self.report(Outcome::Failed, None, reason))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The previous firmware is back although the slot was marked, or was about to be.
    fn came_back<F: NorFlash, N: NorFlash>(&mut self, storage: &mut Storage<'_, F, N>, record: Record) -> Step<F, N> {
        self.read_running(storage)?;
        let entry = self.slots.entry_of(storage.flash, record.slot)?;
        // Without an entry the cut came before it was written, or while it was being confirmed: not the image's fault.
        let tried = entry.is_some_and(|entry| entry.sequence == record.sequence);
        let attempts = record.attempts.saturating_add(u8::from(tried));
        if attempts >= MAX_ATTEMPTS {
            let refusal = Refusal::DidNotBoot { attempts };
            self.refusal = Some(refusal);
            let record = Record { phase: Phase::RolledBack, attempts, reason: refusal.reason(), ..record };
            store(storage, &record)?;
            return Ok(self.report_record(&record));
        }
        self.slots.anchor(storage.flash)?;
        // The slot is complete: the next poll fetches the manifest, verifies the slot again and marks it.
        store(storage, &Record { phase: Phase::Downloading, attempts, ..record })?;
        Ok(Action::Sleep)
    }

    /// Step 8: poll the manifest endpoint. A result that the server does not know yet goes first.
    fn wake<F: NorFlash, N: NorFlash>(&mut self, storage: &mut Storage<'_, F, N>) -> Step<F, N> {
        if let Some(record) = load(storage)?.filter(|record| record.phase.is_unreported()) {
            return Ok(self.report_record(&record));
        }
        let Promise { version, secure_version } = self.running();
        self.state = State::Polling;
        let trust = self.settings.identity.trust();
        Ok(Action::Request(Request::Poll { version, secure_version, trust }))
    }

    /// Step 9: compare versions, and everything else that the manifest can be refused for.
    fn offered<F: NorFlash, N: NorFlash>(
        &mut self,
        storage: &mut Storage<'_, F, N>,
        envelope: &[u8],
        now: AuthenticatedTime,
    ) -> Step<F, N> {
        let offered = Envelope::parse(envelope).map_err(Refusal::Manifest).and_then(|envelope| {
            let verified = self.verify(&envelope, now)?;
            let key = self.content_key(&envelope, &verified)?;
            Ok((envelope, verified, key))
        });
        let (envelope, verified, key) = match offered {
            Ok(offered) => offered,
            Err(refusal) => return Ok(self.refuse(refusal, None)),
        };
        self.envelope = Some(envelope);

        let slot = self.slots.inactive();
        let stored = load(storage)?.filter(|record| record.release == verified.release() && record.slot == slot.index);
        let chunks = chunk_count(verified.manifest().encrypted_size());
        let record = match stored {
            Some(Record { phase: Phase::Rejected | Phase::RolledBack, release, .. }) => {
                return Ok(self.refuse(Refusal::KnownBad { release }, Some(verified.manifest().version)));
            }
            Some(record) if record.next_chunk <= chunks => record,
            _ => {
                let record = Record::start(&verified, slot.index);
                store(storage, &record)?;
                record
            }
        };
        // From here on the other slot is overwritten, so nothing may select it.
        self.slots.anchor(storage.flash)?;
        let Record { next_chunk: next, last_block, .. } = record;
        self.next(storage, Download { verified, key, record, slot, next, last_block }, now)
    }

    /// All that the manifest can be refused for, in the order of trust.
    fn verify(&self, envelope: &Envelope, now: AuthenticatedTime) -> Result<VerifiedManifest, Refusal> {
        let Settings { identity, chip, fuse_floor, .. } = self.settings;
        let Promise { version, secure_version } = self.running();
        let verified = envelope.verify(identity.firmware_policy()).map_err(Refusal::Manifest)?;
        let manifest = verified.manifest();
        let project = identity.project().as_str();
        let secure_version = secure_version.max(fuse_floor);
        let situation = Situation { now: now.unix(), project, chip, version, secure_version };
        manifest.check(&situation).map_err(Refusal::Unsuitable)?;
        // What is shorter than a label would be judged by bytes that no hash covers.
        let (size, capacity) = (manifest.size, self.slots.inactive().len.0);
        if size > capacity || usize::try_from(size).is_ok_and(|size| size < HEAD) {
            return Err(Refusal::ImageSize { size, capacity });
        }
        Ok(verified)
    }

    fn content_key(&self, envelope: &Envelope, verified: &VerifiedManifest) -> Result<ContentKey, Refusal> {
        let identity = self.settings.identity;
        let wrapped = envelope.content_key().ok_or(Refusal::ContentKey)?;
        let key = identity.keys().firmware_unwrap;
        wrapped.unwrap(&key, &identity.device, &verified.release()).map_err(|_| Refusal::ContentKey)
    }

    /// The next chunk, or what comes after the last one.
    fn next<F: NorFlash, N: NorFlash>(
        &mut self,
        storage: &mut Storage<'_, F, N>,
        download: Download,
        now: AuthenticatedTime,
    ) -> Step<F, N> {
        match download.chunk_len(download.next) {
            Some(len) => {
                let (release, index) = (download.verified.release(), download.next);
                self.state = State::Downloading(download);
                Ok(Action::Request(Request::Chunk { release, index, len }))
            }
            None => self.finish(storage, &download, now),
        }
    }

    /// Step 10: download chunks sequentially; for each 2 KB chunk: decrypt, write to the flash partition.
    fn chunk<F: NorFlash, N: NorFlash>(
        &mut self,
        storage: &mut Storage<'_, F, N>,
        mut download: Download,
        index: u32,
        bytes: &mut [u8],
        now: AuthenticatedTime,
    ) -> Step<F, N> {
        let version = Some(download.manifest().version);
        if index != download.next {
            return Ok(self.refuse(Refusal::ChunkOrder { expected: download.next, found: index }, version));
        }
        let found = bytes.len();
        let expected = download.chunk_len(index).unwrap_or_default();
        if found != expected {
            return Ok(self.refuse(Refusal::ChunkLength { index, expected, found }, version));
        }
        let Ok(plain) = download.decrypt(bytes) else {
            return self.discard(storage, &download, Refusal::Padding);
        };
        let offset = index * CHUNK;
        let at = download.slot.start.0 + offset;
        if offset.is_multiple_of(SECTOR) && !plain.is_empty() {
            storage.flash.erase(at, at + SECTOR).map_err(UpdateError::Flash)?;
        }
        storage.flash.write(at, plain).map_err(UpdateError::Flash)?;
        // Progress is kept per sector, because a half-written sector is erased again anyway.
        if (download.next * CHUNK).is_multiple_of(SECTOR) || download.chunk_len(download.next).is_none() {
            let Download { next: next_chunk, last_block, .. } = download;
            download.record = Record { next_chunk, last_block, ..download.record };
            store(storage, &download.record)?;
        }
        self.next(storage, download, now)
    }

    /// Steps 11 to 15.
    fn finish<F: NorFlash, N: NorFlash>(
        &mut self,
        storage: &mut Storage<'_, F, N>,
        download: &Download,
        now: AuthenticatedTime,
    ) -> Step<F, N> {
        // 11. SHA-256 of the decrypted firmware, read back from where it will boot.
        let digest = slot_digest(storage.flash, download.slot, download.manifest().size).map_err(UpdateError::Flash)?;
        // 13. before 12.: the signature over the manifest that 12. compares with, from the same bytes, with nothing in
        // between. Off-spec: the seed signs the image's hash alone; ours signs all that the device acts on.
        let envelope = self.envelope.as_ref().expect("a download begins with one");
        let verified = match self.verify(envelope, now) {
            Ok(verified) if verified == download.verified => verified,
            Ok(_) => return Ok(self.refuse(Refusal::ManifestChanged, None)),
            Err(refusal) => return Ok(self.refuse(refusal, Some(download.manifest().version))),
        };
        let manifest = verified.manifest();
        // 12. Compare with the manifest's hash; if it does not match, abort. (There is nothing to roll back yet.)
        if !bool::from(digest.ct_eq(&manifest.sha256)) {
            return self.discard(storage, download, Refusal::Hash);
        }
        // The image is the signed one; does it say of itself what was signed about it?
        match ImageLabel::read(storage.flash, download.slot) {
            Err(LabelError::Flash(error)) => return Err(UpdateError::Flash(error)),
            Err(LabelError::Label(malformed)) => {
                return self.reject(storage, download, Refusal::ImageLabel(malformed));
            }
            Ok(label) => {
                if let Err(refusal) = compare(&label, manifest) {
                    return self.reject(storage, download, refusal);
                }
            }
        }
        // 14. Mark the partition as bootable, and remember what it promised before it can boot.
        let sequence = self.slots.next_sequence(storage.flash, download.slot.index)?;
        store(storage, &Record { phase: Phase::Trying, sequence, ..download.record })?;
        self.slots.mark_bootable(storage.flash, VerifiedSlot::new(download.slot.index))?;
        // 15. Reboot into the new firmware.
        self.state = State::Rebooting;
        Ok(Action::Reboot)
    }

    /// The bytes in the slot are worth nothing: start over at the next poll, a bounded number of times.
    fn discard<F: NorFlash, N: NorFlash>(
        &mut self,
        storage: &mut Storage<'_, F, N>,
        download: &Download,
        refusal: Refusal,
    ) -> Step<F, N> {
        let attempts = download.record.attempts.saturating_add(1);
        if attempts >= MAX_ATTEMPTS {
            return self.reject(storage, download, refusal);
        }
        let start = Record::start(&download.verified, download.slot.index);
        store(storage, &Record { attempts, ..start })?;
        Ok(self.refuse(refusal, Some(download.manifest().version)))
    }

    /// This release can never be installed: do not download it again.
    fn reject<F: NorFlash, N: NorFlash>(
        &mut self,
        storage: &mut Storage<'_, F, N>,
        download: &Download,
        refusal: Refusal,
    ) -> Step<F, N> {
        store(storage, &Record { phase: Phase::Rejected, reason: refusal.reason(), ..download.record })?;
        Ok(self.refuse(refusal, Some(download.manifest().version)))
    }

    fn refuse(&mut self, refusal: Refusal, offered: Option<Version>) -> Action {
        self.refusal = Some(refusal);
        self.report(Outcome::Failed, offered, refusal.reason())
    }

    fn report_record(&mut self, record: &Record) -> Action {
        let outcome = if record.phase == Phase::Installed { Outcome::Installed } else { Outcome::RolledBack };
        self.report(outcome, Some(record.version), record.reason)
    }

    /// A report names the version that was offered; if no offer could be believed, the running one.
    fn report(&mut self, outcome: Outcome, offered: Option<Version>, reason: Reason) -> Action {
        self.state = State::Reporting;
        let version = offered.unwrap_or(self.running().version);
        Action::Request(Request::Status(StatusReport::new(version, outcome, reason.as_str())))
    }

    /// The server knows: what was kept only to be told can go.
    fn reported<F: NorFlash, N: NorFlash>(&mut self, storage: &mut Storage<'_, F, N>) -> Step<F, N> {
        match load(storage)? {
            Some(Record { phase: Phase::Installed, .. }) => {
                storage.nvs.erase_key(&NAMESPACE, &RECORD).map_err(UpdateError::Nvs)?;
            }
            Some(record @ Record { phase: Phase::RolledBack, .. }) => {
                store(storage, &Record { phase: Phase::Rejected, ..record })?;
            }
            _ => {}
        }
        Ok(Action::Sleep)
    }

    fn read_running<F: NorFlash, N: NorFlash>(
        &mut self,
        storage: &mut Storage<'_, F, N>,
    ) -> Result<(), UpdateError<F::Error, N::Error>> {
        let label = ImageLabel::read(storage.flash, self.slots.running()).map_err(UpdateError::Running)?;
        self.running = Some(Promise { version: label.version, secure_version: label.secure_version });
        Ok(())
    }

    fn running(&self) -> Promise {
        self.running.expect("every way out of State::Off reads it or ends in State::Rebooting")
    }
}

fn load<F, N: NorFlash, E>(storage: &mut Storage<'_, F, N>) -> Result<Option<Record>, UpdateError<E, N::Error>> {
    let mut bytes = [0; Record::LEN];
    let len = storage.nvs.blob(&NAMESPACE, &RECORD, &mut bytes).map_err(UpdateError::Nvs)?;
    // What cannot be read was written by another firmware: it counts for nothing.
    Ok(len.and_then(|len| Record::parse(bytes.get(..len)?).ok()))
}

fn store<F, N: NorFlash, E>(storage: &mut Storage<'_, F, N>, record: &Record) -> Result<(), UpdateError<E, N::Error>> {
    storage.nvs.set_blob(&NAMESPACE, &RECORD, &record.encode()).map_err(UpdateError::Nvs)
}

/// Why a step could not be taken. Never the server's doing.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError<F, N> {
    /// The flash failed.
    #[error("update: flash: {0}")]
    Flash(F),
    /// NVS failed.
    #[error("update: {0}")]
    Nvs(NvsError<N>),
    /// Otadata could not be changed.
    #[error("update: {0}")]
    Slots(#[from] SlotError<F>),
    /// The running image has no label.
    #[error("update: running image: {0}")]
    Running(LabelError<F>),
    /// The event is not one that the last action could lead to.
    #[error("update: the event does not belong here")]
    OutOfOrder,
}

/// How often a release that was downloaded in full may fail without a verdict on the image itself (its bytes did not
/// hash, the device did not come up with it) before it is given up. It bounds flash wear and boot loops.
pub const MAX_ATTEMPTS: u8 = 5;

const RECORD: Key = Key::literal("update");
const CHUNK: u32 = 2048;
const _: () = assert!(CHUNK as usize == cotter_wire::content::CHUNK && SECTOR.is_multiple_of(CHUNK));
