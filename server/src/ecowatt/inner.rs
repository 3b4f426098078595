//! The text inside an upload: arrays with what it takes to read them. Members that we have no use for are passed over.

use base64ct::{Base64, Encoding};
use cotter_wire::ecowatt::{BlobError, Layout, MAX_BLOB};
use serde::Deserialize;

/// What a device sends at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Who says that it sends this.
    pub device_id: String,
    /// Seconds between samples.
    pub sampling_interval: u32,
    /// At most [`MOST_PACKETS`].
    pub packets: Vec<Packet>,
}

/// One array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// When it was, by the device's clock, Unix seconds.
    pub at: u64,
    /// Registers of one sample.
    pub registers: Vec<u8>,
    /// How many samples.
    pub samples: usize,
    /// The compressed values.
    pub blob: Vec<u8>,
}

impl Packet {
    /// # Errors
    /// [`BlobError`]: not an array of this device.
    pub fn layout(&self) -> Result<Layout, BlobError> {
        Layout::new(&self.registers, self.samples)
    }
}

impl Batch {
    /// Reads the text. It is JSON and bounded already; a member that is there twice is refused.
    ///
    /// # Errors
    /// [`BatchError`].
    pub fn parse(text: &[u8]) -> Result<Self, BatchError> {
        let wire: Wire = serde_json::from_slice(text).map_err(|_| BatchError::Form)?;
        if wire.data_type != "compressed_sensor_batch" {
            return Err(BatchError::Form);
        }
        if wire.compressed_data.is_empty() || wire.compressed_data.len() > MOST_PACKETS {
            return Err(BatchError::Packets(wire.compressed_data.len()));
        }
        let packets = wire.compressed_data.into_iter().enumerate();
        let packets = packets.map(|(at, packet)| packet.read().ok_or(BatchError::Packet(at)));
        Ok(Self {
            device_id: wire.device_id,
            sampling_interval: wire.sampling_interval,
            packets: packets.collect::<Result<_, _>>()?,
        })
    }
}

impl WirePacket {
    /// `None` if what it says about itself does not agree: so a text that the device cut off is noticed.
    fn read(self) -> Option<Packet> {
        let Meta { register_count, sample_count, compressed_size_bytes, timestamp, register_layout } =
            self.decompression_metadata;
        let blob = Base64::decode_vec(&self.compressed_binary).ok()?;
        let agrees = blob.len() == compressed_size_bytes && register_layout.len() == register_count;
        let bounded = blob.len() <= MAX_BLOB && register_layout.len() <= 255 && timestamp <= LATEST;
        (agrees && bounded).then_some(Packet { at: timestamp, registers: register_layout, samples: sample_count, blob })
    }
}

#[derive(Deserialize)]
struct Wire {
    device_id: String,
    data_type: String,
    sampling_interval: u32,
    compressed_data: Vec<WirePacket>,
}

#[derive(Deserialize)]
struct WirePacket {
    compressed_binary: String,
    decompression_metadata: Meta,
}

#[derive(Deserialize)]
struct Meta {
    register_count: usize,
    sample_count: usize,
    compressed_size_bytes: usize,
    timestamp: u64,
    register_layout: Vec<u8>,
}

/// So many arrays the device sends at once.
pub const MOST_PACKETS: usize = 8;
/// The year 9999.
const LATEST: u64 = 253_402_300_799;

/// Why a signed text holds no arrays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Not the JSON of a batch.
    #[error("not a compressed_sensor_batch")]
    Form,
    /// None, or too many.
    #[error("{0} packets, 1 to 8 expected")]
    Packets(usize),
    /// What a packet says about itself does not agree.
    #[error("packet {0}: blob and metadata do not agree")]
    Packet(usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(blob: &str, len: usize, layout: &str) -> String {
        format!(
            "{{\"device_id\":\"ESP32_001\",\"timestamp\":1,\"data_type\":\"compressed_sensor_batch\",\
             \"sampling_interval\":5,\"compressed_data\":[{{\"compressed_binary\":\"{blob}\",\
             \"decompression_metadata\":{{\"method\":\"bitpack\",\"register_count\":3,\"sample_count\":1,\
             \"compressed_size_bytes\":{len},\"timestamp\":1700000000,\"register_layout\":{layout}}}}}]}}"
        )
    }

    #[test]
    fn reads_what_the_firmware_writes() {
        let batch = Batch::parse(text("AQwDj8Cq+gA=", 8, "[0,1,9]").as_bytes()).unwrap();
        assert_eq!((&*batch.device_id, batch.sampling_interval), ("ESP32_001", 5));
        let blob = vec![0x01, 0x0c, 0x03, 0x8f, 0xc0, 0xaa, 0xfa, 0x00];
        assert_eq!(batch.packets, [Packet { at: 1_700_000_000, registers: vec![0, 1, 9], samples: 1, blob }]);
    }

    #[test]
    fn what_was_cut_off_is_noticed() {
        let refused = |text: String| Batch::parse(text.as_bytes()).unwrap_err();
        assert_eq!(refused(text("AQwDj8Cq", 8, "[0,1,9]")), BatchError::Packet(0));
        assert_eq!(refused(text("AQwDj8Cq+gA=", 8, "[0,1]")), BatchError::Packet(0));
        assert_eq!(refused(text("AQwDj8Cq+gA", 8, "[0,1,9]")), BatchError::Packet(0), "without its padding");
        assert_eq!(refused(text("", 0, "[0,1,300]")), BatchError::Form);
        let honest = text("AQwDj8Cq+gA=", 8, "[0,1,9]");
        assert_eq!(refused(honest.replace("\"device_id\"", "\"device_id\":\"x\",\"device_id\"")), BatchError::Form);
        assert_eq!(refused(honest.replace("compressed_sensor_batch", "other")), BatchError::Form);
        let (head, tail) = honest.split_once('[').unwrap();
        assert_eq!(refused(format!("{head}[]}}")), BatchError::Packets(0));
        let packet = tail.strip_suffix("]}").unwrap();
        assert_eq!(refused(format!("{head}[{}]}}", [packet; 9].join(","))), BatchError::Packets(9));
        for len in 0..honest.len() {
            assert_eq!(Batch::parse(&honest.as_bytes()[..len]), Err(BatchError::Form));
        }
    }
}
