extern crate std;
use super::*;
use crate::nonces::{self, NonceCounter};
use crate::recovery::Recovery;
use crate::sequences::SequenceCounter;
use crate::test_store::{Counting, FIRST_NONCE, ROOT, TestStore, mount, root_key};
use cotter_chip::fault::{CutPoint, Fault, Phase};
use cotter_chip::flash::{Flash, FlashError};
use cotter_formats::addr::FlashAddr;
use cotter_formats::nvs::value::Value;
use cotter_formats::secret::Secret;
use cotter_wire::ids::Nonce;
use cotter_wire::keys::{RecoveryKey, RootKey};
use cotter_wire::recovery::{Ask, ClaimMessage};
use cotter_wire::rotation::{Asked, ConfirmMessage, Offered, Ticket};
use std::collections::BTreeSet;
use std::println;
use std::vec::Vec;

const V1: NonceCounter = NonceCounter::new(Nonce(0));
const NEW: [u8; 32] = [0x77; 32];

fn key(bytes: [u8; 32]) -> RootKey {
    RootKey::new(Secret::filled_by(|key| *key = bytes))
}

/// What a server has in its database: the present key, and the one that it has offered. Tickets are what they hold, in clear.
#[derive(Clone)]
struct Server {
    root: [u8; 32],
    epoch: u32,
    offered: Option<([u8; 32], u32)>,
}

impl Server {
    fn factory() -> Self {
        Self { root: ROOT, epoch: 3, offered: None }
    }

    /// `None`: 401, because the device does not have the key that this server knows.
    fn ask(&mut self, identity: &Identity, rotation: &Rotation, fresh: [u8; 32]) -> Option<Vec<u8>> {
        let same = OfferKey::derive(&key(self.root), &identity.device).expose() == identity.offer_key().expose();
        if !same || identity.epoch.0 != self.epoch {
            return None;
        }
        let (root, epoch) = *self.offered.get_or_insert((fresh, self.epoch + 1));
        let path = rotation.path();
        let digits = path.rsplit('=').next().unwrap();
        let nonce = cotter_wire::hex::decode(digits.as_bytes()).unwrap();
        let asked = Asked { device: &identity.device, epoch: identity.epoch, device_nonce: &nonce };
        let mut ticket = [0; Ticket::LEN];
        ticket[..32].copy_from_slice(&root);
        let offered = Offered { epoch: KeyEpoch(epoch), root: key(root), ticket: Ticket(ticket) };
        let offer_key = OfferKey::derive(&key(self.root), &identity.device);
        Some(asked.offer(&offer_key, &offered, [1; 12], &mut [0; MAX_MESSAGE]).unwrap().to_vec())
    }

    fn confirm(&mut self, body: &[u8]) -> Option<Vec<u8>> {
        let message = ConfirmMessage::parse(body).unwrap();
        let present = ConfirmationKey::derive(&key(self.root), message.device());
        if let Ok(confirmed) = message.verify(&present) {
            return Some(confirmed.acknowledge(&present, &mut [0; MAX_MESSAGE]).unwrap().to_vec());
        }
        let root = *message.ticket().0.first_chunk().unwrap();
        let new = ConfirmationKey::derive(&key(root), message.device());
        let confirmed = message.verify(&new).ok().filter(|_| message.epoch().0 > self.epoch)?;
        *self = Self { root, epoch: message.epoch().0, offered: None };
        Some(confirmed.acknowledge(&new, &mut [0; MAX_MESSAGE]).unwrap().to_vec())
    }

    fn recover(&mut self, identity: Identity, store: &mut Nvs<Flash>) -> Identity {
        let recovery = RecoveryKey::derive(&key(self.root), &identity.device);
        let begun = Recovery::begin(identity, &mut Counting::default());
        let ask = Ask::parse(begun.ask(&mut [0; 320])).unwrap().verify(&recovery).expect("this server's key");
        let challenge = ask.challenge(&recovery, &[7; 16], &mut [0; 320]).unwrap().to_vec();
        let claiming = begun.challenged(&challenge).unwrap();
        let claim = ClaimMessage::parse(claiming.claim(&mut [0; 320])).unwrap().verify(&recovery).unwrap();
        self.epoch = self.epoch.max(claim.epoch().0) + 1;
        let floor = Nonce(FIRST_NONCE);
        let grant = claim.grant(&recovery, KeyEpoch(self.epoch), floor, &mut [0; 320]).unwrap().to_vec();
        claiming.granted(&grant, store).unwrap()
    }
}

fn fetch(server: &mut Server, identity: &Identity, store: &mut Nvs<Flash>) -> Result<(), OfferError<FlashError>> {
    let rotation = Rotation::begin(identity, &mut Counting::default());
    let offer = server.ask(identity, &rotation, NEW).expect("this server's key");
    rotation.offered(&offer, store)
}

fn confirm(
    server: &mut Server,
    confirming: Confirming,
    identity: Identity,
    store: &mut Nvs<Flash>,
) -> Result<Identity, SwitchError<FlashError>> {
    let ack = server.confirm(confirming.message(&mut [0; MAX_MESSAGE])).expect("it opens its ticket");
    confirming.acknowledged(identity, &ack, store)
}

/// What a device does after a reset: what is pending first, then an ask.
fn rotate(server: &mut Server, flash: &Flash) -> Result<Identity, SwitchError<FlashError>> {
    let mut store = mount(flash.clone(), FlashAddr(0));
    let mut identity = Identity::load(&mut store)?;
    if let Some(confirming) = Confirming::pending(&identity, &mut store, &mut Counting::default())? {
        identity = confirm(server, confirming, identity, &mut store)?;
    }
    if identity.offer_key().expose() != OfferKey::derive(&key(NEW), &identity.device).expose() {
        match fetch(server, &identity, &mut store) {
            Ok(()) => {}
            Err(OfferError::Store(error)) => return Err(SwitchError::Store(error)),
            Err(OfferError::Rotation(error)) => return Err(SwitchError::Rotation(error)),
        }
        let confirming = Confirming::pending(&identity, &mut store, &mut Counting::default())?.expect("just stored");
        identity = confirm(server, confirming, identity, &mut store)?;
    }
    Ok(identity)
}

fn erased(store: &mut Nvs<Flash>, key: &Key) -> bool {
    store.blob(&identity::NAMESPACE, key, &mut [0; 128]) == Ok(None)
}

fn has(identity: &Identity, root: [u8; 32], epoch: u32) -> bool {
    let same = identity.offer_key().expose() == OfferKey::derive(&key(root), &identity.device).expose();
    same && identity.epoch == KeyEpoch(epoch)
}

#[test]
fn a_rotation_leaves_the_new_key_only_and_counters_go_on() {
    let flash = Flash::with_content(TestStore::factory().build(), Fault::default()).unwrap();
    let mut server = Server::factory();
    let mut store = mount(flash.clone(), FlashAddr(0));
    assert_eq!(V1.next(&mut store), Ok(Nonce(FIRST_NONCE + 1)));
    let identity = rotate(&mut server, &flash).unwrap();
    assert!(has(&identity, NEW, 4));
    let mut store = mount(flash, FlashAddr(0));
    assert!(has(&Identity::load(&mut store).unwrap(), NEW, 4));
    assert!(erased(&mut store, &PENDING) && erased(&mut store, &identity::ROOT_KEY));
    assert_eq!(V1.next(&mut store), Ok(Nonce(FIRST_NONCE + 2)));
    assert!(SequenceCounter::start(&mut store).unwrap().next(&mut store).unwrap().get() > u64::from(FIRST_NONCE) + 2);
}

#[test]
fn nothing_switches_before_the_servers_own_acknowledgement() {
    let mut store = TestStore::factory().mount();
    let mut server = Server::factory();
    let identity = Identity::load(&mut store).unwrap();
    assert!(Confirming::pending(&identity, &mut store, &mut Counting::default()).unwrap().is_none());
    fetch(&mut server, &identity, &mut store).unwrap();
    let confirming = |nonce, store: &mut _| {
        let identity = Identity::load(store).unwrap();
        Confirming::pending(&identity, store, &mut Counting(nonce)).unwrap().unwrap()
    };
    let earlier = server.confirm(confirming(0, &mut store).message(&mut [0; MAX_MESSAGE])).unwrap();
    let refused = confirming(100, &mut store).acknowledged(identity, &earlier, &mut store).err();
    assert_eq!(refused, Some(SwitchError::Rotation(RotationError::Mac)));
    let identity = Identity::load(&mut store).unwrap();
    assert!(has(&identity, ROOT, 3), "the acknowledgement of an earlier confirmation");
    assert!(has(&confirm(&mut server, confirming(7, &mut store), identity, &mut store).unwrap(), NEW, 4));
}

#[test]
fn a_server_that_does_not_know_the_pending_key_offers_another() {
    let mut store = TestStore::factory().mount();
    let identity = Identity::load(&mut store).unwrap();
    fetch(&mut Server::factory(), &identity, &mut store).unwrap();
    // Nobody confirms it: the present key counts, and what is offered next takes the pending place.
    let mut server = Server::factory();
    let rotation = Rotation::begin(&identity, &mut Counting(5));
    let offer = server.ask(&identity, &rotation, [0x99; 32]).unwrap();
    rotation.offered(&offer, &mut store).unwrap();
    let confirming = Confirming::pending(&identity, &mut store, &mut Counting::default()).unwrap().unwrap();
    assert!(has(&confirm(&mut server, confirming, identity, &mut store).unwrap(), [0x99; 32], 4));
}

#[test]
fn a_recovery_overtakes_what_is_pending_and_raises_the_epoch_of_a_rotated_key() {
    let flash = Flash::with_content(TestStore::factory().build(), Fault::default()).unwrap();
    let mut server = Server::factory();
    let mut store = mount(flash.clone(), FlashAddr(0));
    let identity = Identity::load(&mut store).unwrap();
    fetch(&mut server, &identity, &mut store).unwrap();
    let identity = server.recover(identity, &mut store);
    server.offered = None;
    assert!(has(&identity, ROOT, 4));
    assert!(Confirming::pending(&identity, &mut store, &mut Counting::default()).unwrap().is_none());
    assert!(erased(&mut store, &PENDING));

    let identity = rotate(&mut server, &flash).unwrap();
    assert!(has(&identity, NEW, 5));
    let mut store = mount(flash.clone(), FlashAddr(0));
    let identity = server.recover(identity, &mut store);
    assert!(has(&identity, NEW, 6));
    let mut store = mount(flash, FlashAddr(0));
    let identity = Identity::load(&mut store).unwrap();
    assert!(has(&identity, NEW, 6), "over a reset");
    assert_eq!(identity.rotated().unwrap().0, KeyEpoch(5), "the ticket's epoch stays");
}

#[test]
fn a_server_restored_from_before_the_rotation_learns_the_key_again() {
    let flash = Flash::with_content(TestStore::factory().build(), Fault::default()).unwrap();
    let mut server = Server::factory();
    let backup = server.clone();
    let identity = rotate(&mut server, &flash).unwrap();
    let mut store = mount(flash.clone(), FlashAddr(0));
    // Also after a recovery, whose epoch no ticket has.
    for recovered in [false, true] {
        let mut identity = Identity::load(&mut store).unwrap();
        if recovered {
            identity = server.recover(identity, &mut store);
        }
        server = backup.clone();
        let ask = Rotation::begin(&identity, &mut Counting::default());
        assert!(server.ask(&identity, &ask, NEW).is_none(), "refused");
        let confirming = Confirming::present(&identity, &mut Counting::default()).unwrap();
        let identity = confirm(&mut server, confirming, identity, &mut store).unwrap();
        assert!(has(&identity, server.root, if recovered { 5 } else { server.epoch }));
        if recovered {
            assert!(has(&server.recover(identity, &mut store), NEW, 6));
        }
    }
    let factory = Identity::load(&mut TestStore::factory().mount()).unwrap();
    assert!(Confirming::present(&factory, &mut Counting::default()).is_none(), "nothing to bring back");
    drop(identity);
}

#[test]
fn what_the_factory_writes_later_counts() {
    let flash = Flash::with_content(TestStore::factory().build(), Fault::default()).unwrap();
    rotate(&mut Server::factory(), &flash).unwrap();
    let mut store = mount(flash, FlashAddr(0));
    store.set_blob(&identity::NAMESPACE, &identity::ROOT_KEY, &[0x44; 32]).unwrap();
    store.set_u32(&identity::NAMESPACE, &identity::EPOCH, 5).unwrap();
    assert!(has(&Identity::load(&mut store).unwrap(), [0x44; 32], 5));
    let mut odd = TestStore::factory().set(ROTATED, Value::Blob([1; 99].to_vec().into())).mount();
    assert!(has(&Identity::load(&mut odd).unwrap(), ROOT, 3), "not an item of ours");
}

/// Cut at every operation of a whole rotation, with and without a key that was rotated before: afterwards the device has a
/// key that the server knows or learns, it finishes, and no number serves twice under one key.
#[test]
fn every_power_cut_leaves_a_key_that_counts() {
    let mut cuts = 0;
    for before in [false, true] {
        for compact in [false, true] {
            let flash = Flash::with_content(TestStore::factory().build(), Fault::default()).unwrap();
            let mut server = Server::factory();
            if before {
                let mut store = mount(flash.clone(), FlashAddr(0));
                let identity = Identity::load(&mut store).unwrap();
                let rotation = Rotation::begin(&identity, &mut Counting::default());
                let offer = server.ask(&identity, &rotation, [0x55; 32]).unwrap();
                rotation.offered(&offer, &mut store).unwrap();
                let confirming = Confirming::pending(&identity, &mut store, &mut Counting::default()).unwrap().unwrap();
                confirm(&mut server, confirming, identity, &mut store).unwrap();
            }
            let mut used = BTreeSet::new();
            give(&flash, compact, &mut used);
            let content = flash.content().to_vec();
            let operations = {
                let flash = Flash::with_content(content.clone(), Fault::default()).unwrap();
                rotate(&mut server.clone(), &flash).unwrap();
                flash.fault().operations()
            };
            assert!(operations > 0);
            for op in 0..operations {
                for phase in Phase::ALL {
                    let what = std::format!("before {before}, compact {compact}, op {op} {phase:?}");
                    let (mut server, mut used) = (server.clone(), used.clone());
                    let flash = Flash::with_content(content.clone(), Fault::new(op)).unwrap();
                    flash.fault().cut_at(CutPoint { op, phase });
                    rotate(&mut server, &flash).expect_err("the power was cut");
                    flash.fault().restore_power();
                    give(&flash, compact, &mut used);
                    let identity = rotate(&mut server, &flash).unwrap_or_else(|error| panic!("{what}: {error}"));
                    assert!(has(&identity, NEW, server.epoch) && server.root == NEW, "{what}");
                    let mut store = mount(flash.clone(), FlashAddr(0));
                    let identity = Identity::load(&mut store).unwrap();
                    let pending = Confirming::pending(&identity, &mut store, &mut Counting::default());
                    assert!(pending.unwrap().is_none(), "{what}");
                    assert!(erased(&mut store, &PENDING) && erased(&mut store, &identity::ROOT_KEY), "{what}");
                    give(&flash, compact, &mut used);
                    cuts += 1;
                }
            }
        }
    }
    println!("rotation: {cuts} power cuts");
}

/// Gives out three numbers after a boot; panics if one was used before under the same key.
fn give(flash: &Flash, compact: bool, used: &mut BTreeSet<([u8; 32], u32, u64)>) {
    let mut store = mount(flash.clone(), FlashAddr(0));
    let identity = Identity::load(&mut store).unwrap();
    let mut counter = compact.then(|| SequenceCounter::start(&mut store).unwrap());
    for _ in 0..3 {
        let number = match &mut counter {
            Some(counter) => counter.next(&mut store).unwrap().get(),
            None => V1.next(&mut store).unwrap().0.into(),
        };
        let under = (*identity.offer_key().expose(), identity.epoch.0, number);
        assert!(used.insert(under), "{number} twice in epoch {}", identity.epoch);
    }
    assert_ne!(store.u32(&nonces::NAMESPACE, &nonces::KEY).unwrap(), None);
    assert_eq!(root_key().expose(), &ROOT);
}
