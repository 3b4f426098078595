//! The compatibility profile: uploads of devices that speak EcoWatt's packet as its firmware builds it.
//!
//! Off unless the configuration has a section `[ecowatt]`, and then per device, each with a key of its own. What it
//! lacks, whatever we do: the device's name, method and path are under no MAC (so the key stands for the name), values
//! travel in the clear, and the device believes any answer. See docs/ecowatt.md.
//!
//! | file | noun |
//! |---|---|
//! | here | an upload's way in |
//! | `name`, `key` | what a device is called, and which keys are nobody's |
//! | `inner` | the text that is signed |
//! | `values` | decoded values as they are stored |

pub mod inner;
pub mod key;
mod name;
pub mod values;

pub use name::{EcowattName, NameError};

use crate::at_rest::{MasterKey, Use};
use crate::audit::Audit;
use crate::clock::Clock;
use crate::keyring::Keyring;
use crate::store::Store;
use crate::store::ecowatt::{EcowattAcceptance, EcowattArray, EcowattDevice, EcowattState, EcowattVerdict};
use cotter_wire::ecowatt::upload::{MAX_INNER, Upload};
use cotter_wire::ecowatt::{self, BlobError};
use cotter_wire::ids::Nonce;
use cotter_wire::keys::EcowattKey;
use inner::{Batch, Packet};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// The way in.
pub struct Ecowatt {
    /// Where arrays go.
    pub store: Arc<dyn Store>,
    /// Opens keys at rest.
    pub keyring: Arc<Keyring>,
    /// Who hears why.
    pub audit: Arc<Audit>,
    /// When an upload arrived.
    pub clock: Arc<dyn Clock>,
    /// How far a nonce may jump ahead.
    pub nonce_window: u32,
}

/// What became of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipt {
    /// Durably stored.
    Accepted {
        /// How many values were read.
        values: usize,
        /// How many blobs were looked at, among them those that came before.
        packets: usize,
    },
    /// Not from a device that is switched on, or forged, or replayed.
    Refused,
    /// Not an upload, or signed nonsense.
    Malformed,
    /// The server cannot store now.
    Unavailable,
}

impl Ecowatt {
    /// Receives a body that was posted for `path_name`.
    pub async fn receive(&self, path_name: &str, body: &[u8]) -> Receipt {
        // 1. The one spelling of an upload: never without nonce, payload and MAC.
        let upload = match Upload::parse(body) {
            Ok(upload) => upload,
            Err(why) => {
                self.audit.stranger("ecowatt-malformed", &path_name, &why);
                return Receipt::Malformed;
            }
        };
        let Ok(name) = path_name.parse::<EcowattName>() else { return Receipt::Refused };
        // Somebody else's upload may come between looking and storing; then look again.
        for _ in 0..MOST_ATTEMPTS {
            if let Some(receipt) = self.attempt(&name, &upload).await {
                return receipt;
            }
        }
        Receipt::Unavailable
    }

    async fn attempt(&self, name: &EcowattName, upload: &Upload<'_>) -> Option<Receipt> {
        // 2. The device, switched on by an administrator, and its own key.
        let device = match self.store.ecowatt_device(name.clone()).await {
            Ok(Some(device)) => device,
            Ok(None) => {
                self.audit.stranger("ecowatt-unknown-device", name, &"not switched on");
                return Some(Receipt::Refused);
            }
            Err(error) => return Some(unavailable(&error)),
        };
        let key = match open_key(self.keyring.master(), &device) {
            Ok(key) => key,
            Err(error) => return Some(unavailable(&error)),
        };

        // 3. The MAC, in constant time, before anything that it covers is looked at.
        let mut buffer = [0; MAX_INNER + 2];
        let inner = match upload.open(&key, &mut buffer) {
            Ok(inner) => inner,
            Err(why) => {
                self.audit.stranger("ecowatt-forged", name, &why);
                return Some(Receipt::Refused);
            }
        };

        // 4. The nonce: what it says is told only to who knows the key.
        let (nonce, last) = (upload.nonce(), device.last_nonce);
        if nonce <= last {
            self.audit.device("ecowatt-replay", name, &format!("nonce {nonce} is not above {last}"));
            return Some(Receipt::Refused);
        }
        if nonce.0 - last.0 > self.nonce_window {
            let why = format!("nonce {nonce} is more than {} beyond {last}", self.nonce_window);
            self.audit.device("ecowatt-nonce-jump", name, &why);
            return Some(Receipt::Refused);
        }

        // 5. The text must be this device's. The nonce is not consumed if not.
        let batch = match Batch::parse(inner) {
            Ok(batch) if batch.device_id == name.as_str() => batch,
            Ok(batch) => {
                let other = EcowattName::shown(&batch.device_id);
                self.audit.device("ecowatt-other-device", name, &format!("the signed text is of {other}"));
                return Some(Receipt::Malformed);
            }
            Err(why) => {
                self.audit.device("ecowatt-without-batch", name, &why);
                return Some(Receipt::Malformed);
            }
        };
        let received_at = self.clock.unix();
        let (state, arrays) = self.read(name, &device.state, &batch, nonce, received_at);
        let values = arrays.iter().map(|array| array.values.as_ref().map_or(0, |values| values::count(values))).sum();

        // 6. Nonce and all arrays in one transaction, or nothing; the answer comes after the commit.
        let acceptance = EcowattAcceptance {
            name: name.clone(),
            fingerprint: device.record.fingerprint,
            after: last,
            nonce,
            received_at,
            state,
            arrays,
            inner: inner.to_vec(),
        };
        match self.store.accept_ecowatt(acceptance).await {
            Ok(EcowattVerdict::Accepted) => Some(Receipt::Accepted { values, packets: batch.packets.len() }),
            Ok(EcowattVerdict::Changed) => None,
            Err(error) => Some(unavailable(&error)),
        }
    }

    /// Reads the blobs. One that does not read is kept as it came, with the reason.
    fn read(
        &self,
        name: &EcowattName,
        before: &EcowattState,
        batch: &Batch,
        nonce: Nonce,
        received_at: u64,
    ) -> (EcowattState, Vec<EcowattArray>) {
        let (mut state, mut arrays) = (before.clone(), Vec::new());
        for packet in &batch.packets {
            // Sent again, because the answer was lost: stored already, and not to be reckoned with twice.
            let digest = digest(packet);
            if state.recent.contains(&digest) {
                continue;
            }
            state.recent.push(digest);
            let surplus = state.recent.len().saturating_sub(RECENT);
            state.recent.drain(..surplus);
            // In another order than it was made, or with a hole before it: nobody knows what differences are from.
            let length = u64::from(batch.sampling_interval) * packet.samples as u64;
            let latest = state.last_at.saturating_add(length + length / 2 + 1);
            if packet.at <= state.last_at || packet.at > latest {
                state.history.forget();
            }
            state.last_at = packet.at;
            let values = packet.layout().and_then(|layout| {
                let values = ecowatt::decode(&packet.blob, &layout, &mut state.history)?;
                Ok(values::encode(&values))
            });
            let values = values.map_err(|why: BlobError| {
                self.audit.device("ecowatt-blob", name, &why);
                why.to_string()
            });
            arrays.push(EcowattArray {
                nonce,
                received_at,
                at: packet.at,
                interval: batch.sampling_interval,
                registers: packet.registers.clone(),
                blob: packet.blob.clone(),
                values,
            });
        }
        (state, arrays)
    }
}

fn open_key(master: &MasterKey, device: &EcowattDevice) -> Result<EcowattKey, crate::at_rest::AtRestError> {
    let record = &device.record;
    master.open(Use::EcowattKey, record.name.as_str().as_bytes(), &record.sealed_key).map(EcowattKey::new)
}

/// What tells one array of a device from another: when it was, and what was in it.
fn digest(packet: &Packet) -> [u8; 16] {
    let hash = Sha256::new()
        .chain_update(packet.at.to_be_bytes())
        .chain_update(packet.samples.to_be_bytes())
        .chain_update(packet.registers.len().to_be_bytes())
        .chain_update(&packet.registers)
        .chain_update(&packet.blob)
        .finalize();
    let mut digest = [0; 16];
    digest.copy_from_slice(&hash[..16]);
    digest
}

fn unavailable(error: &dyn std::error::Error) -> Receipt {
    tracing::error!(%error, "EcoWatt upload not stored");
    Receipt::Unavailable
}

/// The device holds back twenty arrays, so more cannot come again.
const RECENT: usize = 32;
const MOST_ATTEMPTS: usize = 100;
