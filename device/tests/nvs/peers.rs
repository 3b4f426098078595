//! Other people's readers and writers: the `esp-nvs` crate (another implementation of the same format, without
//! encryption), Espressif's generator (images in `vectors/nvs`), and our own whole-partition reader.

use crate::bench::{Bench, NAMESPACE, get, key, set};
use cotter_device::nvs::{Nvs, NvsError};
use cotter_device::platform::Region;
use cotter_formats::addr::{FlashAddr, FlashLen};
use cotter_formats::nvs::entry::ItemType;
use cotter_formats::nvs::{NvsKeys, Value, read_partition};
use esp_nvs::Key as PeerKey;
use esp_nvs::mem_flash::MemFlash;

fn peer(content: &[u8]) -> esp_nvs::Nvs<MemFlash> {
    esp_nvs::Nvs::new(0, content.len(), MemFlash::from_bytes(content.to_vec())).unwrap()
}

fn peer_key(text: &str) -> PeerKey {
    PeerKey::from_str(text)
}

#[test]
fn esp_nvs_reads_what_the_store_wrote() {
    let mut bench = Bench::erased(4, false);
    let blob: Vec<u8> = (0..=255).cycle().take(1500).collect();
    bench.change(|store| {
        // Enough changes that pages were freed on the way.
        for round in 0..800 {
            set(store, "number", &Value::U32(round)).unwrap();
            set(store, "long", &Value::U64(u64::from(round) << 32)).unwrap();
        }
        for round in 0..9 {
            set(store, "blob", &Value::blob(blob[round..].to_vec())).unwrap();
            set(store, "text", &Value::string(format!("round {round}"))).unwrap();
        }
        set(store, "gone", &Value::U32(1)).unwrap();
        store.erase_key(&NAMESPACE, &key("gone")).unwrap();
    });
    let mut peer = peer(&bench.content);
    let namespace = peer_key("bench");
    assert_eq!(peer.get::<u32>(&namespace, &peer_key("number")), Ok(799));
    assert_eq!(peer.get::<u64>(&namespace, &peer_key("long")), Ok(799 << 32));
    assert_eq!(peer.get::<Vec<u8>>(&namespace, &peer_key("blob")).as_deref(), Ok(&blob[8..]));
    assert_eq!(peer.get::<String>(&namespace, &peer_key("text")).as_deref(), Ok("round 8"));
    assert_eq!(peer.get::<u32>(&namespace, &peer_key("gone")), Err(esp_nvs::error::Error::KeyNotFound));
}

#[test]
fn the_store_reads_what_esp_nvs_wrote_and_goes_on() {
    let mut flash = MemFlash::new(6);
    let big: Vec<u8> = (0..=250).cycle().take(7000).collect();
    {
        let mut peer = esp_nvs::Nvs::new(0, 6 * 4096, &mut flash).unwrap();
        let namespace = peer_key("bench");
        for round in 0..500_u32 {
            peer.set(&namespace, &peer_key("number"), round).unwrap();
        }
        peer.set(&namespace, &peer_key("long"), u64::MAX).unwrap();
        peer.set(&namespace, &peer_key("text"), "from the peer").unwrap();
        peer.set(&namespace, &peer_key("blob"), big.as_slice()).unwrap();
        peer.set(&namespace, &peer_key("blob"), &big[1..]).unwrap();
    }
    let mut bench = Bench { content: flash.into_inner(), encrypted: false };
    assert_eq!(bench.mount_operations(), 0, "the peer left nothing to repair");
    bench.change(|store| {
        assert_eq!(get(store, "number"), Ok(Some(Value::U32(499))));
        assert_eq!(get(store, "long"), Ok(Some(Value::U64(u64::MAX))));
        assert_eq!(get(store, "text"), Ok(Some(Value::string("from the peer"))));
        assert_eq!(get(store, "blob"), Ok(Some(Value::blob(big[1..].to_vec()))));
        set(store, "blob", &Value::blob(vec![1; 64])).unwrap();
    });
    let blob = peer(&bench.content).get::<Vec<u8>>(&peer_key("bench"), &peer_key("blob"));
    assert_eq!(blob.as_deref(), Ok(&[1; 64][..]));
}

/// After any power cut, `esp-nvs` recovers to the same values as we do.
#[test]
fn esp_nvs_recovers_what_the_power_cut_left() {
    let mut bench = Bench::erased(4, false);
    bench.change(|store| {
        set(store, "number", &Value::U32(1)).unwrap();
        set(store, "blob", &Value::blob(vec![1; 100])).unwrap();
    });
    for (name, new) in [("number", Value::U32(2)), ("blob", Value::blob(vec![2; 100]))] {
        let run = |store: &mut crate::bench::Store| set(store, name, &new);
        for cut in crate::bench::cuts(bench.operations(run), 4) {
            let broken = bench.cut(cut, run);
            let mut peer = peer(&broken.content);
            let namespace = peer_key("bench");
            let number = peer.get::<u32>(&namespace, &peer_key("number")).unwrap();
            let blob = peer.get::<Vec<u8>>(&namespace, &peer_key("blob")).unwrap();
            assert!(number == 1 || number == 2 && name == "number", "{cut:?}");
            assert!(blob == [1; 100] || blob == [2; 100] && name == "blob", "{cut:?}");
        }
    }
}

#[test]
fn the_store_mounts_the_generators_images() {
    let keys = || NvsKeys::parse(include_bytes!("../../../vectors/nvs/nvs_keys_fixed.bin")).unwrap();
    let images: [(&str, &[u8], bool); 9] = [
        ("basic-v1", include_bytes!("../../../vectors/nvs/basic-v1.bin"), false),
        ("basic-v2", include_bytes!("../../../vectors/nvs/basic-v2.bin"), false),
        ("basic-v2-enc", include_bytes!("../../../vectors/nvs/basic-v2-enc.bin"), true),
        ("edge_blob_tail-v2", include_bytes!("../../../vectors/nvs/edge_blob_tail-v2.bin"), false),
        ("edge_blob_tail-v2-enc", include_bytes!("../../../vectors/nvs/edge_blob_tail-v2-enc.bin"), true),
        ("edge_string_fill-v2", include_bytes!("../../../vectors/nvs/edge_string_fill-v2.bin"), false),
        ("fill-v1-enc", include_bytes!("../../../vectors/nvs/fill-v1-enc.bin"), true),
        ("multipage-v2", include_bytes!("../../../vectors/nvs/multipage-v2.bin"), false),
        ("multipage-v2-enc", include_bytes!("../../../vectors/nvs/multipage-v2-enc.bin"), true),
    ];
    for (name, content, encrypted) in images {
        let bench = Bench { content: content.to_vec(), encrypted };
        let flash = bench.flash(0);
        let len = FlashLen(u32::try_from(content.len()).unwrap());
        let region = Region::new(flash.clone(), FlashAddr(0), len).unwrap();
        let mut store = Nvs::mount(region, encrypted.then(keys)).unwrap();
        assert_eq!(flash.fault().operations(), 0, "{name}: there is nothing to repair");
        let mut seen = 0;
        let mut buffer = vec![0; 16 * 1024];
        for item in read_partition(content, encrypted.then(keys).as_ref()).unwrap() {
            let (namespace, key) = (&item.namespace, &item.key);
            match &item.value {
                Value::U32(value) => assert_eq!(store.u32(namespace, key), Ok(Some(*value))),
                Value::U64(value) => assert_eq!(store.u64(namespace, key), Ok(Some(*value))),
                Value::String(text) => assert_eq!(store.string(namespace, key, &mut buffer), Ok(Some(&**text))),
                Value::Blob(bytes) => {
                    assert_eq!(store.blob(namespace, key, &mut buffer), Ok(Some(bytes.len())));
                    assert_eq!(buffer[..bytes.len()], **bytes);
                }
                Value::U8(_) => assert_eq!(store.u32(namespace, key), Err(NvsError::Type { stored: ItemType::U8 })),
                _ => continue,
            }
            seen += 1;
        }
        assert!(seen > 1, "{name}: {seen} values");
        store.set_u32(&NAMESPACE, &key("new"), 5).unwrap();
        store.set_blob(&NAMESPACE, &key("blob"), &[7; 300]).unwrap();
        let items = read_partition(&flash.content(), encrypted.then(keys).as_ref()).unwrap();
        assert!(items.iter().any(|item| item.key == key("blob") && item.value == Value::blob(vec![7; 300])), "{name}");
    }
}
