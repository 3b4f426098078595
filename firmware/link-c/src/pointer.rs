//! What C gives us, checked before it is believed: NULL, alignment, length, and that it does not lie in the storage of a link.
//!
//! That a pointer which is not NULL points to as much memory as the header says is the caller's word.

#![allow(unsafe_code)]

use core::mem::size_of;

use crate::code::{COTTER_LINK_ALIGNMENT, COTTER_LINK_LENGTH, COTTER_LINK_NULL, COTTER_LINK_OK, COTTER_LINK_OVERLAP};

/// A result that is not OK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code(pub(crate) i32);

/// What goes back to C.
pub(crate) fn finish(result: Result<(), Code>) -> i32 {
    result.map_or_else(|code| code.0, |()| COTTER_LINK_OK)
}

/// Where a link is: nothing else that is given with it may lie there.
#[derive(Clone, Copy)]
pub(crate) struct Storage {
    start: usize,
    len: usize,
}

impl Storage {
    /// No link yet.
    pub(crate) const NONE: Self = Self { start: 0, len: 0 };

    pub(crate) fn new<T>(at: *const T, len: usize) -> Self {
        Self { start: at.addr(), len }
    }

    fn apart(self, start: usize, len: usize) -> Result<(), Code> {
        let (end, own_end) = (start.saturating_add(len), self.start.saturating_add(self.len));
        if len > 0 && self.len > 0 && start < own_end && self.start < end {
            return Err(Code(COTTER_LINK_OVERLAP));
        }
        Ok(())
    }
}

/// A value to be written: not NULL, aligned, apart from `storage`.
pub(crate) struct Out<T>(*mut T);

impl<T> Out<T> {
    pub(crate) fn new(at: *mut T, storage: Storage) -> Result<Self, Code> {
        placed(at)?;
        storage.apart(at.addr(), size_of::<T>())?;
        Ok(Self(at))
    }

    /// # Safety
    /// The pointer was good for a write of a `T`.
    pub(crate) unsafe fn write(&self, value: T) {
        // Safety: the caller's word; not NULL and aligned by `new`.
        unsafe { self.0.write(value) };
    }
}

/// # Safety
/// If `at` is not NULL, there is a `T` whose bytes are any.
pub(crate) unsafe fn read<T: Copy>(at: *const T) -> Result<T, Code> {
    placed(at)?;
    // Safety: the caller's word; not NULL and aligned.
    Ok(unsafe { at.read() })
}

/// # Safety
/// If `at` is not NULL, there are `len` bytes that nobody writes meanwhile.
pub(crate) unsafe fn bytes<'a>(at: *const u8, len: usize, storage: Storage) -> Result<&'a [u8], Code> {
    if len == 0 {
        return Ok(&[]);
    }
    in_memory(at, len, storage)?;
    // Safety: the caller's word; not NULL, no longer than memory can be.
    Ok(unsafe { core::slice::from_raw_parts(at, len) })
}

/// # Safety
/// If `at` is not NULL, there are `len` bytes that nobody else reads or writes meanwhile.
pub(crate) unsafe fn bytes_mut<'a>(at: *mut u8, len: usize, storage: Storage) -> Result<&'a mut [u8], Code> {
    if len == 0 {
        return Ok(&mut []);
    }
    in_memory(at, len, storage)?;
    // Safety: the caller's word; not NULL, no longer than memory can be, apart from what we hold.
    Ok(unsafe { core::slice::from_raw_parts_mut(at, len) })
}

/// Not NULL and aligned.
pub(crate) fn placed<T>(at: *const T) -> Result<(), Code> {
    if at.is_null() {
        return Err(Code(COTTER_LINK_NULL));
    }
    if !at.is_aligned() {
        return Err(Code(COTTER_LINK_ALIGNMENT));
    }
    Ok(())
}

fn in_memory(at: *const u8, len: usize, storage: Storage) -> Result<(), Code> {
    placed(at)?;
    if isize::try_from(len).is_err() || at.addr().checked_add(len).is_none() {
        return Err(Code(COTTER_LINK_LENGTH));
    }
    storage.apart(at.addr(), len)
}
