extern crate std;
use super::*;
use std::string::String;
use std::vec::Vec;

fn unhex(text: &str) -> Vec<u8> {
    let text = if text == "-" { "" } else { text };
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

fn way(name: &str) -> Way {
    [Way::Both, Way::ToHost, Way::ToModule].into_iter().find(|way| way.as_bytes() == name.as_bytes()).unwrap()
}

/// The keystream that a key and an IV of Python's would give.
fn stream(key: &CompatKey) -> Vec<u8> {
    let mut data = std::vec![0; 80];
    key.keystream().apply(&mut data).unwrap();
    data
}

#[test]
fn derives_what_python_derives() {
    let (mut compared, mut key) = (0, Vec::new());
    for line in include_str!("../../../../vectors/link/derivation.txt").lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [secret, mac, unique_id, own, usage, value] = words[..] else { panic!("{line}") };
        let (mac, unique_id, own, value) = (unhex(mac), unhex(unique_id), unhex(own), unhex(value));
        let secret = LinkSecret::new(Secret::from_slice(&unhex(secret)).unwrap());
        let ingredients = Ingredients { mac: &mac, unique_id: &unique_id, own: &own };
        let derivation = Derivation::new(&secret, ingredients).unwrap();
        match usage.split('/').collect::<Vec<_>>()[..] {
            ["psk"] => assert_eq!(derivation.psk().into_public()[..], value, "{line}"),
            ["compat-key", _, _] => key = value,
            ["compat-iv", cipher, ways] => {
                let cipher = Cipher::from_name(cipher).unwrap();
                let python = CompatKey::new(cipher, &key, &value, ExampleKeys::Refuse).unwrap();
                assert_eq!(stream(&derivation.compat(cipher, way(ways))), stream(&python), "{line}");
            }
            _ => panic!("{line}"),
        }
        compared += 1;
    }
    assert_eq!(compared, 248);
}

#[test]
fn the_hmac_peripherals_answer_is_the_secret() {
    let efuse: [u8; 32] = core::array::from_fn(|at| u8::try_from(at + 32).unwrap());
    let secret = LinkSecret::of_hmac_key(&Secret::from_slice(&efuse).unwrap());
    let line = include_str!("../../../../vectors/link/derivation.txt").lines().nth(124).unwrap();
    assert_eq!(secret.0.expose()[..], unhex(line.split(' ').next().unwrap()));
}

/// Lengths are part of what is derived from, so no byte can move from one ingredient to another.
#[test]
fn no_two_links_share_a_key() {
    let secret = || LinkSecret::new(Secret::filled_by(|bytes| bytes.fill(7)));
    let ingredients = [
        Ingredients::default(),
        Ingredients { mac: &[1; 6], ..Ingredients::default() },
        Ingredients { mac: &[1; 8], ..Ingredients::default() },
        Ingredients { unique_id: &[1; 16], ..Ingredients::default() },
        Ingredients { own: &[1; 6], ..Ingredients::default() },
        Ingredients { own: &[1; 16], ..Ingredients::default() },
        Ingredients { mac: &[1; 6], own: &[1; 2], ..Ingredients::default() },
        Ingredients { own: &[3, 2, 1, 1], ..Ingredients::default() },
    ];
    let mut seen = std::collections::BTreeSet::new();
    for ingredients in ingredients {
        let derivation = Derivation::new(&secret(), ingredients).unwrap();
        assert!(seen.insert(derivation.psk().into_public().to_vec()));
        for cipher in Cipher::ALL {
            for way in [Way::Both, Way::ToHost, Way::ToModule] {
                assert!(seen.insert(stream(&derivation.compat(cipher, way))));
            }
        }
    }
    assert_eq!(seen.len(), 8 * 16);
}

#[test]
fn refuses_ingredients_of_other_lengths() {
    let refused = |ingredients| Derivation::new(&LinkSecret::new(Secret::filled_by(|_| ())), ingredients).map(|_| ());
    let bytes = [0; 256];
    let mac = |len| Ingredients { mac: &bytes[..len], ..Ingredients::default() };
    let unique_id = |len| Ingredients { unique_id: &bytes[..len], ..Ingredients::default() };
    let own = |len| Ingredients { own: &bytes[..len], ..Ingredients::default() };
    assert_eq!([0, 5, 6, 7, 8].map(|len| refused(mac(len)).is_ok()), [true, false, true, false, true]);
    assert_eq!(refused(mac(7)), Err(DerivationError::MacLength(7)));
    assert_eq!(refused(unique_id(15)), Err(DerivationError::UniqueIdLength(15)));
    assert_eq!((refused(own(255)), refused(own(256))), (Ok(()), Err(DerivationError::OwnLength(256))));
}

#[test]
fn prints_no_key() {
    let secret = LinkSecret::new(Secret::filled_by(|bytes| bytes.fill(7)));
    let text: String = std::format!("{secret:?} {:?}", Derivation::new(&secret, Ingredients::default()).unwrap());
    assert_eq!(text, "LinkSecret(Secret<32>(..)) Derivation(..)");
}
