//! Compressed blobs of EcoWatt devices, one after the other as one device sends them.

use cotter_wire::ecowatt::{History, Layout, MAX_BLOB, Method, Quality, decode, encode};

/// `data`: samples u8, number of registers u8, registers, then blobs, each behind its length u8. A blob decodes to as
/// many values as its layout says, and they encode to the same bytes; a history survives being kept.
pub fn ecowatt_blob(data: &[u8]) {
    assert!(History::from_bytes(data).is_none_or(|history| history.to_bytes() == data));
    let [samples, registers, rest @ ..] = data else { return };
    let Some((registers, mut rest)) = rest.split_at_checked(usize::from(*registers)) else { return };
    let Ok(layout) = Layout::new(registers, usize::from(*samples)) else { return };
    let mut history = History::new();
    while let Some((blob, more)) = rest.split_first().and_then(|(len, rest)| rest.split_at_checked(usize::from(*len))) {
        rest = more;
        let before = history.clone();
        let Ok(values) = decode(blob, &layout, &mut history) else {
            assert_eq!(history, History::new(), "a refused blob left something behind");
            continue;
        };
        assert_eq!(values.len(), layout.len(), "another number of values than the layout says");
        assert_eq!(History::from_bytes(&history.to_bytes()).as_ref(), Some(&history));
        let method = match blob[0] {
            0x01 => Method::BitPacked,
            0xd0 => Method::Dictionary,
            0x50 => Method::Semantic,
            _ => Method::Temporal,
        };
        // Of values that lost a byte it cannot be told which of them were alike. Without eight arrays before it our
        // encoder sends no difference, nor a base after them.
        let lossy = values.iter().any(|value| matches!(value.quality, Quality::LowByte(_)));
        let raw: Vec<u16> = values.iter().map(|value| value.raw).collect();
        let mut out = [0; MAX_BLOB];
        let again = encode(method, &raw, &layout, &before, &mut out).expect("MAX_BLOB bytes are enough");
        if !lossy && again[0] == blob[0] {
            assert_eq!(again, blob, "a second spelling was accepted");
        }
    }
}
