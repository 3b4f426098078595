//! An end that speaks as Espressif's `at_interface_security` example does, in storage of the caller's.

#![allow(unsafe_code)]

use core::ffi::c_void;
use core::mem::{align_of, size_of};
use core::ptr;

use cotter_device::link::compat::CompatEnd;
use cotter_wire::link::compat::{Cipher, CompatKey, ExampleKeys};
use cotter_wire::link::derivation::Way;
use cotter_wire::link::session::Side;
use zeroize::Zeroize;

use crate::code::*;
use crate::derivation::{CotterLinkIngredients, derivation};
use crate::pointer::{Code, Out, Storage, bytes, bytes_mut, finish, placed, read};
use crate::settings::{flag, side};

/// What a compat end needs, with what is beside it.
#[cfg(target_pointer_width = "32")]
pub(crate) const COTTER_COMPAT_SIZE: usize = 640;
#[cfg(target_pointer_width = "64")]
pub(crate) const COTTER_COMPAT_SIZE: usize = 1152;

const _: () = assert!(size_of::<CotterCompat>() <= COTTER_COMPAT_SIZE && align_of::<CotterCompat>() <= 16);

/// An end, in its storage.
#[repr(C)]
pub struct CotterCompat {
    mark: u32,
    end: CompatEnd,
}

/// Key and IV of one direction, as long as the cipher has them.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CotterCompatKey {
    pub key: *const u8,
    pub key_len: usize,
    pub iv: *const u8,
    pub iv_len: usize,
}

/// # Safety
/// As `cotter_link.h` says of its pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cotter_compat_create(
    storage: *mut c_void,
    size: usize,
    cipher: u8,
    sending: *const CotterCompatKey,
    receiving: *const CotterCompatKey,
    allow_example_keys: u8,
    compat: *mut *mut CotterCompat,
) -> i32 {
    // Safety: the caller's word, as for this function.
    finish(unsafe {
        create(storage, size, compat, || {
            let cipher = self::cipher(cipher)?;
            let examples = if flag(allow_example_keys)? { ExampleKeys::Allow } else { ExampleKeys::Refuse };
            let key = |at| {
                let given: CotterCompatKey = read(at)?;
                let key = bytes(given.key, given.key_len, Storage::NONE)?;
                let iv = bytes(given.iv, given.iv_len, Storage::NONE)?;
                Ok::<_, Code>(CompatKey::new(cipher, key, iv, examples)?)
            };
            Ok(CompatEnd::new(&key(sending)?, &key(receiving)?))
        })
    })
}

/// # Safety
/// As `cotter_link.h` says of its pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cotter_compat_create_derived(
    storage: *mut c_void,
    size: usize,
    cipher: u8,
    side: u8,
    one_key_for_both: u8,
    secret: *const [u8; COTTER_LINK_KEY],
    ingredients: *const CotterLinkIngredients,
    compat: *mut *mut CotterCompat,
) -> i32 {
    // Safety: the caller's word, as for this function.
    finish(unsafe {
        create(storage, size, compat, || {
            let (cipher, side) = (self::cipher(cipher)?, self::side(side)?);
            let (sending, receiving) = match (flag(one_key_for_both)?, side) {
                (true, _) => (Way::Both, Way::Both),
                (false, Side::Host) => (Way::ToModule, Way::ToHost),
                (false, Side::Module) => (Way::ToHost, Way::ToModule),
            };
            let derivation = derivation(secret, ingredients)?;
            Ok(CompatEnd::new(&derivation.compat(cipher, sending), &derivation.compat(cipher, receiving)))
        })
    })
}

/// # Safety
/// As `cotter_link.h` says of its pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cotter_compat_send(compat: *mut CotterCompat, data: *mut u8, len: usize) -> i32 {
    // Safety: the caller's word, as for this function.
    finish(unsafe { apply(compat, data, len, |end, data| end.send(data)) })
}

/// # Safety
/// As `cotter_link.h` says of its pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cotter_compat_receive(compat: *mut CotterCompat, data: *mut u8, len: usize) -> i32 {
    // Safety: the caller's word, as for this function.
    finish(unsafe { apply(compat, data, len, |end, data| end.receive(data)) })
}

/// # Safety
/// As `cotter_link.h` says of its pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cotter_compat_wipe(compat: *mut CotterCompat) -> i32 {
    // Safety: the caller's word; then plain bytes.
    finish(unsafe {
        live(compat).map(|_| {
            ptr::drop_in_place(&raw mut (*compat).end);
            core::slice::from_raw_parts_mut(compat.cast::<u8>(), size_of::<CotterCompat>()).zeroize();
        })
    })
}

fn cipher(cipher: u8) -> Result<Cipher, Code> {
    match cipher {
        COTTER_COMPAT_AES_128_CTR => Ok(Cipher::Aes128Ctr),
        COTTER_COMPAT_AES_192_CTR => Ok(Cipher::Aes192Ctr),
        COTTER_COMPAT_AES_256_CTR => Ok(Cipher::Aes256Ctr),
        COTTER_COMPAT_CHACHA20 => Ok(Cipher::ChaCha20),
        COTTER_COMPAT_SALSA20 => Ok(Cipher::Salsa20),
        _ => Err(Code(COTTER_LINK_ARGUMENT)),
    }
}

/// # Safety
/// As `cotter_link.h` says of its pointers.
unsafe fn create(
    storage: *mut c_void,
    size: usize,
    compat: *mut *mut CotterCompat,
    end: impl FnOnce() -> Result<CompatEnd, Code>,
) -> Result<(), Code> {
    let slot = storage.cast::<CotterCompat>();
    let out = Out::new(compat, Storage::new(storage, size))?;
    // Safety: the caller's word.
    unsafe { out.write(ptr::null_mut()) };
    placed(slot)?;
    if size < size_of::<CotterCompat>() {
        return Err(Code(COTTER_LINK_SMALL));
    }
    let end = end()?;
    // Safety: aligned, large enough, the caller's to give; whatever was there is overwritten whole.
    unsafe {
        core::slice::from_raw_parts_mut(storage.cast::<u8>(), size_of::<CotterCompat>()).zeroize();
        slot.write(CotterCompat { mark: LIVE, end });
        out.write(slot);
    }
    Ok(())
}

/// # Safety
/// `compat` is NULL, or points to memory that was given to a `create`, or to anything that is all zeros there.
unsafe fn live(compat: *mut CotterCompat) -> Result<Storage, Code> {
    placed(compat)?;
    // Safety: the caller's word. Only the mark is read.
    match unsafe { (&raw const (*compat).mark).read() } {
        LIVE => Ok(Storage::new(compat, size_of::<CotterCompat>())),
        _ => Err(Code(COTTER_LINK_NONE)),
    }
}

/// # Safety
/// As `cotter_link.h` says of its pointers.
unsafe fn apply(
    compat: *mut CotterCompat,
    data: *mut u8,
    len: usize,
    work: impl FnOnce(&mut CompatEnd, &mut [u8]) -> Result<(), cotter_wire::link::compat::CompatError>,
) -> Result<(), Code> {
    // Safety: the caller's word; the bytes do not lie in the storage.
    unsafe {
        let storage = live(compat)?;
        let data = bytes_mut(data, len, storage)?;
        Ok(work(&mut (*compat).end, data)?)
    }
}

/// What stands at the beginning of an end.
const LIVE: u32 = 0xc077_ec01;
