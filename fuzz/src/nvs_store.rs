//! The device's live NVS store, mounted on flash that holds anything at all.

use cotter_chip::fault::Fault;
use cotter_chip::flash::Flash;
use cotter_device::nvs::{Nvs, NvsError};
use cotter_device::platform::Region;
use cotter_formats::addr::{FlashAddr, FlashLen};
use cotter_formats::nvs::entry::Key;
use cotter_formats::nvs::page::PAGE_SIZE;

/// The smallest partition that can be written.
const PAGES: usize = 3;

/// A mount repairs once and then finds nothing to do; what was set is there, also after the next mount.
pub fn nvs_store(data: &[u8]) {
    let mut content = data.to_vec();
    content.resize(PAGES * PAGE_SIZE, 0xFF);
    let flash = Flash::with_content(content, Fault::new(0)).expect("whole sectors");
    let Some(store) = mount(&flash) else { return };
    drop(store);
    let repaired = flash.content();
    let mut store = mount(&flash).expect("mounted a moment ago");
    assert!(flash.content() == repaired, "the second mount still changed something");

    let (namespace, key): (Key, Key) = ("fuzz".parse().expect("short"), "value".parse().expect("short"));
    for value in [1, 2] {
        match store.set_u32(&namespace, &key, value) {
            Ok(()) => {}
            Err(NvsError::NoSpace { .. } | NvsError::SequenceExhausted | NvsError::TooManyNamespaces) => return,
            Err(other) => unreachable!("on flash without a fault: {other}"),
        }
        assert_eq!(store.u32(&namespace, &key), Ok(Some(value)));
        drop(store);
        store = mount(&flash).expect("mounted a moment ago");
        assert_eq!(store.u32(&namespace, &key), Ok(Some(value)), "lost over a mount");
    }
}

fn mount(flash: &Flash) -> Option<Nvs<Flash>> {
    let length = u32::try_from(PAGES * PAGE_SIZE).expect("three pages");
    let region = Region::new(flash.clone(), FlashAddr(0), FlashLen(length)).expect("the whole part");
    match Nvs::mount(region, None) {
        Ok(store) => Some(store),
        Err(NvsError::Flash(error)) => unreachable!("on flash without a fault: {error}"),
        Err(_) => None,
    }
}
