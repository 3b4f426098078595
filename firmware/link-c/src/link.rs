//! An end with a handshake, in storage of the caller's: psk, noise-nn and noise-kk behind one set of calls.
//!
//! Which handshake it is stands in a function pointer beside the end, so that a program that never creates one of them
//! does not link it.

#![allow(unsafe_code)]

use core::ffi::c_void;
use core::mem::{align_of, size_of};
use core::ptr;

use cotter_device::link::Millis;
use cotter_device::link::end::{Counts, End, Event, NoRoom, NotOpen, Received};
use cotter_device::platform::Random;
use cotter_formats::secret::Secret;
use cotter_wire::link::credentials::Credentials;
use cotter_wire::link::handshake::LinkPsk;
use cotter_wire::link::noise::{NoiseKeys, StaticKeys, public_key};
use cotter_wire::link::suite::Suite;
use zeroize::Zeroize;

use crate::code::*;
use crate::pointer::{Code, Out, Storage, bytes, bytes_mut, finish, placed, read};
use crate::settings::CotterLinkSettings;

/// What a psk end needs, with what is beside it.
#[cfg(target_pointer_width = "32")]
pub(crate) const COTTER_LINK_SIZE_PSK: usize = 2176;
#[cfg(target_pointer_width = "64")]
pub(crate) const COTTER_LINK_SIZE_PSK: usize = 2304;
/// The same of a noise end.
#[cfg(target_pointer_width = "32")]
pub(crate) const COTTER_LINK_SIZE_NOISE: usize = 2496;
#[cfg(target_pointer_width = "64")]
pub(crate) const COTTER_LINK_SIZE_NOISE: usize = 2560;

const _: () = assert!(size_of::<Slot<LinkPsk>>() <= COTTER_LINK_SIZE_PSK);
const _: () = assert!(size_of::<Slot<NoiseKeys>>() <= COTTER_LINK_SIZE_NOISE);
const _: () = assert!(align_of::<Slot<LinkPsk>>() <= 8 && align_of::<Slot<NoiseKeys>>() <= 8);

/// Fills `len` bytes at `out` and returns 0, or anything else if it cannot.
pub type CotterLinkRandom = Option<unsafe extern "C" fn(context: *mut c_void, out: *mut u8, len: usize) -> i32>;

/// A link: the beginning of what is in its storage.
#[repr(C)]
pub struct CotterLink {
    mark: u32,
    mode: u8,
    end: unsafe fn(*mut Self) -> *mut dyn AnyEnd,
    size: usize,
    source: Source,
}

/// Something that happened.
#[repr(C)]
pub struct CotterLinkEvent {
    pub data: *const u8,
    pub len: usize,
    pub reason: i32,
    pub kind: u8,
    pub suite: u8,
    pub continued: u8,
}

/// How it is.
#[repr(C)]
pub struct CotterLinkStatus {
    pub sent: u64,
    pub sent_again: u64,
    pub received: u64,
    pub refused: u64,
    pub sessions: u64,
    pub room: usize,
    pub mode: u8,
    pub suite: u8,
    pub is_open: u8,
    pub is_all_acknowledged: u8,
}

/// # Safety
/// As `cotter_link.h` says of its pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cotter_link_create_psk(
    storage: *mut c_void,
    size: usize,
    settings: *const CotterLinkSettings,
    psk: *const [u8; COTTER_LINK_KEY],
    random: CotterLinkRandom,
    context: *mut c_void,
    link: *mut *mut CotterLink,
) -> i32 {
    // Safety: the caller's word, as for this function.
    finish(unsafe {
        create(storage, size, settings, Source { random, context }, link, |examples| shared(psk, examples))
    })
}

/// # Safety
/// As `cotter_link.h` says of its pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cotter_link_create_noise_nn(
    storage: *mut c_void,
    size: usize,
    settings: *const CotterLinkSettings,
    psk: *const [u8; COTTER_LINK_KEY],
    random: CotterLinkRandom,
    context: *mut c_void,
    link: *mut *mut CotterLink,
) -> i32 {
    // Safety: the caller's word, as for this function.
    finish(unsafe {
        create(storage, size, settings, Source { random, context }, link, |examples| {
            Ok(NoiseKeys::nn(shared(psk, examples)?))
        })
    })
}

/// # Safety
/// As `cotter_link.h` says of its pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cotter_link_create_noise_kk(
    storage: *mut c_void,
    size: usize,
    settings: *const CotterLinkSettings,
    psk: *const [u8; COTTER_LINK_KEY],
    own: *const [u8; COTTER_LINK_KEY],
    peer: *const [u8; COTTER_LINK_KEY],
    random: CotterLinkRandom,
    context: *mut c_void,
    link: *mut *mut CotterLink,
) -> i32 {
    // Safety: the caller's word, as for this function.
    finish(unsafe {
        create(storage, size, settings, Source { random, context }, link, |examples| {
            let (own, peer) = (key(own)?, read(peer)?);
            Ok(NoiseKeys::kk(shared(psk, examples)?, StaticKeys::new(&own, peer)?))
        })
    })
}

/// # Safety
/// As `cotter_link.h` says of its pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cotter_link_public_key(
    private_key: *const [u8; COTTER_LINK_KEY],
    out: *mut [u8; COTTER_LINK_KEY],
) -> i32 {
    finish((|| {
        let out = Out::new(out, Storage::NONE)?;
        // Safety: the caller's word.
        unsafe { out.write(public_key(&key(private_key)?)) };
        Ok(())
    })())
}

/// # Safety
/// As `cotter_link.h` says of its pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cotter_link_receive(
    link: *mut CotterLink,
    wire: *const u8,
    len: usize,
    now: u64,
    used: *mut usize,
    event: *mut CotterLinkEvent,
) -> i32 {
    finish((|| {
        // Safety: the caller's word.
        let live = unsafe { Live::of(link) }?;
        let (used, event) = (Out::new(used, live.storage)?, Out::new(event, live.storage)?);
        // Safety: the caller's word, for all three.
        let wire = unsafe {
            used.write(0);
            event.write(CotterLinkEvent::NONE);
            bytes(wire, len, live.storage)
        }?;
        // Safety: the caller's word; nothing that was given lies in the storage.
        unsafe {
            live.during(|end, source| {
                let received = end.receive(wire, Millis(now), source);
                Ok((received.used, received.event.map_or(CotterLinkEvent::NONE, told)))
            })
            .map(|(took, happened)| {
                used.write(took);
                event.write(happened);
            })
        }
    })())
}

/// # Safety
/// As `cotter_link.h` says of its pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cotter_link_transmit(
    link: *mut CotterLink,
    now: u64,
    out: *mut u8,
    room: usize,
    len: *mut usize,
) -> i32 {
    finish((|| {
        // Safety: the caller's word.
        let live = unsafe { Live::of(link) }?;
        let len = Out::new(len, live.storage)?;
        // Safety: the caller's word, for both.
        let buffer = unsafe {
            len.write(0);
            bytes_mut(out, room, live.storage)
        }?;
        // Safety: the caller's word; nothing that was given lies in the storage.
        let said = unsafe {
            live.during(|end, source| {
                let said = end.transmit(Millis(now), source, buffer).map_err(|NoRoom| Code(COTTER_LINK_NO_ROOM));
                if source.failed {
                    // Made without random bytes: it must not go onto the wire.
                    buffer.zeroize();
                }
                said
            })
        }?;
        // Safety: as above.
        unsafe { len.write(said) };
        Ok(())
    })())
}

/// # Safety
/// As `cotter_link.h` says of its pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cotter_link_send(
    link: *mut CotterLink,
    plain: *const u8,
    len: usize,
    taken: *mut usize,
) -> i32 {
    finish((|| {
        // Safety: the caller's word.
        let live = unsafe { Live::of(link) }?;
        let taken = Out::new(taken, live.storage)?;
        // Safety: the caller's word; nothing that was given lies in the storage.
        unsafe {
            taken.write(0);
            let plain = bytes(plain, len, live.storage)?;
            taken.write(live.during(|end, _| end.send(plain).map_err(|NotOpen| Code(COTTER_LINK_NOT_OPEN)))?);
        }
        Ok(())
    })())
}

/// # Safety
/// As `cotter_link.h` says of its pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cotter_link_escape(link: *mut CotterLink) -> i32 {
    // Safety: the caller's word.
    finish(unsafe { Live::of(link) }.and_then(|live| {
        // Safety: as above.
        unsafe {
            live.during(|end, _| match end.escape() {
                Ok(true) => Ok(()),
                Ok(false) => Err(Code(COTTER_LINK_FULL)),
                Err(NotOpen) => Err(Code(COTTER_LINK_NOT_OPEN)),
            })
        }
    }))
}

/// # Safety
/// As `cotter_link.h` says of its pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cotter_link_reconnect(link: *mut CotterLink) -> i32 {
    // Safety: the caller's word.
    finish(unsafe { Live::of(link) }.and_then(|live| {
        // Safety: as above.
        unsafe {
            live.during(|end, _| {
                end.reconnect();
                Ok(())
            })
        }
    }))
}

/// # Safety
/// As `cotter_link.h` says of its pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cotter_link_wake_at(link: *const CotterLink, at: *mut u64) -> i32 {
    finish((|| {
        // Safety: the caller's word; the end is only read.
        unsafe {
            let live = Live::of(link.cast_mut())?;
            let at = Out::new(at, live.storage)?;
            at.write(live.end().wake_at().map_or(u64::MAX, |at| at.0));
        }
        Ok(())
    })())
}

/// # Safety
/// As `cotter_link.h` says of its pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cotter_link_status_of(link: *const CotterLink, status: *mut CotterLinkStatus) -> i32 {
    finish((|| {
        // Safety: the caller's word; the end is only read.
        unsafe {
            let live = Live::of(link.cast_mut())?;
            let out = Out::new(status, live.storage)?;
            let (end, mode) = (live.end(), (*link).mode);
            let Counts { sent, sent_again, received, refused, sessions } = end.counts();
            out.write(CotterLinkStatus {
                sent,
                sent_again,
                received,
                refused,
                sessions,
                room: end.room(),
                mode,
                suite: end.suite().map_or(0, |suite| suite as u8),
                is_open: u8::from(end.is_open()),
                is_all_acknowledged: u8::from(end.is_all_acknowledged()),
            });
        }
        Ok(())
    })())
}

/// # Safety
/// As `cotter_link.h` says of its pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cotter_link_wipe(link: *mut CotterLink) -> i32 {
    // Safety: the caller's word; `of` has seen that a link is there.
    finish(unsafe { Live::of(link).map(|live| live.wipe()) })
}

impl CotterLinkEvent {
    const NONE: Self =
        Self { data: ptr::null(), len: 0, reason: 0, kind: COTTER_LINK_EVENT_NONE, suite: 0, continued: 0 };
}

fn told(event: Event<'_>) -> CotterLinkEvent {
    let none = CotterLinkEvent::NONE;
    match event {
        Event::Opened { suite, continued } => CotterLinkEvent {
            kind: COTTER_LINK_EVENT_OPENED,
            suite: suite as u8,
            continued: u8::from(continued),
            ..none
        },
        Event::Data(data) => {
            CotterLinkEvent { kind: COTTER_LINK_EVENT_DATA, data: data.as_ptr(), len: data.len(), ..none }
        }
        Event::Escape => CotterLinkEvent { kind: COTTER_LINK_EVENT_ESCAPE, ..none },
        Event::Refused(refusal) => CotterLinkEvent { kind: COTTER_LINK_EVENT_REFUSED, reason: reason(refusal), ..none },
    }
}

/// The caller's random bytes.
#[derive(Clone, Copy)]
struct Source {
    random: CotterLinkRandom,
    context: *mut c_void,
}

/// The same during one call.
struct Callback {
    source: Source,
    failed: bool,
}

impl Random for Callback {
    fn fill(&mut self, out: &mut [u8]) {
        // Safety: the caller's function, with memory that is ours for as long as it runs.
        let filled =
            self.source.random.map(|random| unsafe { random(self.source.context, out.as_mut_ptr(), out.len()) });
        self.failed |= filled != Some(0);
    }
}

/// An end, whichever handshake it has.
trait AnyEnd {
    fn receive(&mut self, wire: &[u8], now: Millis, random: &mut Callback) -> Received<'_>;
    fn transmit(&mut self, now: Millis, random: &mut Callback, out: &mut [u8]) -> Result<usize, NoRoom>;
    fn send(&mut self, plain: &[u8]) -> Result<usize, NotOpen>;
    fn escape(&mut self) -> Result<bool, NotOpen>;
    fn reconnect(&mut self);
    fn wake_at(&self) -> Option<Millis>;
    fn counts(&self) -> Counts;
    fn room(&self) -> usize;
    fn suite(&self) -> Option<Suite>;
    fn is_open(&self) -> bool;
    fn is_all_acknowledged(&self) -> bool;
}

type Sized<C> = End<C, COTTER_LINK_FRAME, COTTER_LINK_WINDOW>;

impl<C: Credentials> AnyEnd for Sized<C> {
    fn receive(&mut self, wire: &[u8], now: Millis, random: &mut Callback) -> Received<'_> {
        Self::receive(self, wire, now, random)
    }

    fn transmit(&mut self, now: Millis, random: &mut Callback, out: &mut [u8]) -> Result<usize, NoRoom> {
        Ok(Self::transmit(self, now, random, out)?.map_or(0, <[u8]>::len))
    }

    fn send(&mut self, plain: &[u8]) -> Result<usize, NotOpen> {
        Self::send(self, plain)
    }

    fn escape(&mut self) -> Result<bool, NotOpen> {
        Self::escape(self)
    }

    fn reconnect(&mut self) {
        Self::reconnect(self);
    }

    fn wake_at(&self) -> Option<Millis> {
        Self::wake_at(self)
    }

    fn counts(&self) -> Counts {
        Self::counts(self)
    }

    fn room(&self) -> usize {
        Self::room(self)
    }

    fn suite(&self) -> Option<Suite> {
        Self::suite(self)
    }

    fn is_open(&self) -> bool {
        Self::is_open(self)
    }

    fn is_all_acknowledged(&self) -> bool {
        Self::is_all_acknowledged(self)
    }
}

/// What is in the storage.
#[repr(C)]
struct Slot<C: Credentials> {
    link: CotterLink,
    end: Sized<C>,
}

/// # Safety
/// `link` is the beginning of a `Slot<C>`.
unsafe fn end_of<C: Credentials + 'static>(link: *mut CotterLink) -> *mut dyn AnyEnd {
    // Safety: the caller's word; no reference is made.
    unsafe { &raw mut (*link.cast::<Slot<C>>()).end }
}

/// # Safety
/// As `cotter_link.h` says of its pointers.
unsafe fn create<C: Credentials + 'static>(
    storage: *mut c_void,
    size: usize,
    settings: *const CotterLinkSettings,
    source: Source,
    link: *mut *mut CotterLink,
    credentials: impl FnOnce(bool) -> Result<C, Code>,
) -> Result<(), Code> {
    let needed = size_of::<Slot<C>>();
    let slot = storage.cast::<Slot<C>>();
    let out = Out::new(link, Storage::new(storage, size))?;
    // Safety: the caller's word.
    unsafe { out.write(ptr::null_mut()) };
    placed(slot)?;
    if size < needed {
        return Err(Code(COTTER_LINK_SMALL));
    }
    if source.random.is_none() {
        return Err(Code(COTTER_LINK_NULL));
    }
    // Safety: the caller's word.
    let (side, settings, examples) = unsafe { read(settings) }?.checked()?;
    let credentials = credentials(examples)?;
    let mode = credentials.mode() as u8;
    // Safety: aligned, large enough, the caller's to give; whatever was there is overwritten whole.
    unsafe {
        core::slice::from_raw_parts_mut(storage.cast::<u8>(), needed).zeroize();
        slot.write(Slot {
            link: CotterLink { mark: LIVE, mode, end: end_of::<C>, size: needed, source },
            end: End::new(side, credentials, settings),
        });
        out.write(slot.cast());
    }
    Ok(())
}

/// # Safety
/// `psk` is NULL or has 32 bytes.
unsafe fn shared(psk: *const [u8; COTTER_LINK_KEY], examples: bool) -> Result<LinkPsk, Code> {
    let psk = key(psk)?;
    if examples { Ok(LinkPsk::allowing_example_keys(psk)) } else { Ok(LinkPsk::new(psk)?) }
}

/// Copies a key that is NULL or has 32 bytes.
pub(crate) fn key(at: *const [u8; COTTER_LINK_KEY]) -> Result<Secret<COTTER_LINK_KEY>, Code> {
    placed(at)?;
    // Safety: not NULL, and of 32 bytes by the word of whoever called the function that was given it.
    Ok(Secret::filled_by(|key| unsafe { key.copy_from_slice(&*at) }))
}

/// A link that was created, is not wiped, and is not at work further up the stack.
struct Live {
    link: *mut CotterLink,
    storage: Storage,
}

impl Live {
    /// # Safety
    /// `link` is NULL, or points to memory that was given to a `create`, or to anything that is all zeros there.
    unsafe fn of(link: *mut CotterLink) -> Result<Self, Code> {
        placed(link)?;
        // Safety: the caller's word. Only the mark is read before it is known what is there.
        match unsafe { (&raw const (*link).mark).read() } {
            LIVE => Ok(Self {
                link,
                // Safety: LIVE is written by `create` alone, with the rest.
                storage: Storage::new(link, unsafe { (*link).size }),
            }),
            BUSY => Err(Code(COTTER_LINK_BUSY)),
            _ => Err(Code(COTTER_LINK_NONE)),
        }
    }

    /// # Safety
    /// Nobody writes to the link meanwhile.
    unsafe fn end(&self) -> &dyn AnyEnd {
        // Safety: the function that `create` put there for what it put there.
        unsafe { &*((*self.link).end)(self.link) }
    }

    /// Lets `work` have the end, which nobody else gets meanwhile. Wipes the link if there were no random bytes.
    ///
    /// # Safety
    /// What `work` holds does not lie in the storage.
    unsafe fn during<T>(
        &self,
        work: impl FnOnce(&mut dyn AnyEnd, &mut Callback) -> Result<T, Code>,
    ) -> Result<T, Code> {
        // Safety: a live link. The end's place is apart from the mark's, and while the mark says so no other call makes
        // a reference to it.
        unsafe {
            let mut random = Callback { source: (*self.link).source, failed: false };
            let end = ((*self.link).end)(self.link);
            (&raw mut (*self.link).mark).write_volatile(BUSY);
            let result = work(&mut *end, &mut random);
            (&raw mut (*self.link).mark).write_volatile(LIVE);
            if random.failed {
                self.wipe();
                return Err(Code(COTTER_LINK_RANDOM));
            }
            result
        }
    }

    /// # Safety
    /// Nobody uses the link afterwards without creating it anew.
    unsafe fn wipe(&self) {
        // Safety: a live link, and no reference to it is left; then plain bytes.
        unsafe {
            let size = (*self.link).size;
            ptr::drop_in_place(((*self.link).end)(self.link));
            core::slice::from_raw_parts_mut(self.link.cast::<u8>(), size).zeroize();
        }
    }
}

/// What stands at the beginning of a link. Neither is likely in memory that holds something else.
const LIVE: u32 = 0xc077_e121;
const BUSY: u32 = 0xc077_e122;
