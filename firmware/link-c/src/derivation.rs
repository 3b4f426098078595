//! Keys from what a chip and its host know: the example's `F(x, y, z)`.

#![allow(unsafe_code)]

use cotter_wire::link::derivation::{Derivation, Ingredients, LinkSecret};

use crate::code::COTTER_LINK_KEY;
use crate::link::key;
use crate::pointer::{Code, Out, Storage, bytes, finish, read};

/// What makes the keys of one link differ from those of others.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CotterLinkIngredients {
    pub mac: *const u8,
    pub mac_len: usize,
    pub unique_id: *const u8,
    pub unique_id_len: usize,
    pub own: *const u8,
    pub own_len: usize,
}

/// # Safety
/// Each pointer is NULL or has what `cotter_link.h` says.
pub(crate) unsafe fn derivation<'a>(
    secret: *const [u8; COTTER_LINK_KEY],
    ingredients: *const CotterLinkIngredients,
) -> Result<Derivation<'a>, Code> {
    // Safety: the caller's word, for all of them.
    let ingredients = unsafe {
        let given = read(ingredients)?;
        Ingredients {
            mac: bytes(given.mac, given.mac_len, Storage::NONE)?,
            unique_id: bytes(given.unique_id, given.unique_id_len, Storage::NONE)?,
            own: bytes(given.own, given.own_len, Storage::NONE)?,
        }
    };
    Ok(Derivation::new(&LinkSecret::new(key(secret)?), ingredients)?)
}

/// # Safety
/// As `cotter_link.h` says of its pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cotter_link_derive_psk(
    secret: *const [u8; COTTER_LINK_KEY],
    ingredients: *const CotterLinkIngredients,
    psk: *mut [u8; COTTER_LINK_KEY],
) -> i32 {
    finish((|| {
        let out = Out::new(psk, Storage::NONE)?;
        // Safety: the caller's word.
        unsafe {
            let derived = derivation(secret, ingredients)?.psk();
            out.write(*derived.expose());
        }
        Ok(())
    })())
}
