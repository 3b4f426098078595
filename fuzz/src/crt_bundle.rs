//! Certificate bundles: what is read can be built again, and a search never leaves the bundle.

use cotter_formats::crt_bundle::{CrtBundle, build};

/// The input as a bundle, and with its offsets mended.
pub fn crt_bundle(data: &[u8]) {
    check(data);
    let mut mended = data.to_vec();
    mend(&mut mended);
    check(&mended);
}

fn check(data: &[u8]) {
    let Ok(bundle) = CrtBundle::parse(data) else { return };
    let roots: Vec<_> = bundle.roots().collect();
    assert_eq!(roots.len(), bundle.count(), "roots were lost");
    let again = build(&roots).expect("what was read can be built");
    if bundle.disorder().is_none() {
        assert_eq!(again, data, "a bundle changed in a round trip");
    }
    for root in &roots {
        let _ = bundle.find(root.subject);
        let _ = bundle.find(root.key);
    }
}

/// As many certificates as the first offset says, each where its predecessor ends.
fn mend(data: &mut [u8]) {
    let Some(count) = data.first().map(|&byte| usize::from(byte) / 4) else { return };
    let mut at = 4 * count;
    for index in 0..count {
        let Some(place) = data.get_mut(4 * index..4 * index + 4) else { return };
        place.copy_from_slice(&u32::try_from(at).unwrap_or(u32::MAX).to_le_bytes());
        let Some(&[a, b, c, d]) = data.get(at..at + 4) else { return };
        at += 4 + usize::from(u16::from_le_bytes([a, b])) + usize::from(u16::from_le_bytes([c, d]));
    }
}
