//! What a call returned, and why something was refused, in words.

#![allow(unsafe_code)]

use core::ffi::{CStr, c_char};

use crate::code::*;

/// The caller of this one gets a string that is never freed.
#[unsafe(no_mangle)]
pub extern "C" fn cotter_link_text(code: i32) -> *const c_char {
    text(code).as_ptr()
}

fn text(code: i32) -> &'static CStr {
    match code {
        COTTER_LINK_OK => c"ok",
        COTTER_LINK_NULL => c"a pointer is NULL",
        COTTER_LINK_ALIGNMENT => c"a pointer is not aligned",
        COTTER_LINK_SMALL => c"the storage is too small",
        COTTER_LINK_LENGTH => c"more bytes than may be given at once",
        COTTER_LINK_OVERLAP => c"a pointer into the storage of the link",
        COTTER_LINK_NONE => c"there is no link: not created, or wiped",
        COTTER_LINK_BUSY => c"called from the link's own random callback",
        COTTER_LINK_ARGUMENT => c"a number or flag has no meaning",
        COTTER_LINK_RANDOM => c"no random bytes; the link is wiped",
        COTTER_LINK_EXAMPLE_KEY => c"a key that everybody knows",
        COTTER_LINK_EXAMPLE_IV => c"an IV that everybody knows",
        COTTER_LINK_KEY_LENGTH => c"a key of another length than the cipher's",
        COTTER_LINK_IV_LENGTH => c"an IV of another length than the cipher's",
        COTTER_LINK_LOW_ORDER => c"an X25519 key of low order",
        COTTER_LINK_OWN_KEY => c"the other end's static key is this end's own",
        COTTER_LINK_NOT_OPEN => c"the other end has not proven itself yet",
        COTTER_LINK_NO_ROOM => c"the output buffer holds no frame",
        COTTER_LINK_FULL => c"no room now; what was sent has to be acknowledged first",
        COTTER_LINK_EXHAUSTED => c"the keystream is used up",
        COTTER_LINK_MAC_LENGTH => c"a MAC address has 6 or 8 bytes",
        COTTER_LINK_UNIQUE_ID_LENGTH => c"a unique id has 16 bytes",
        COTTER_LINK_OWN_LENGTH => c"own data has at most 255 bytes",
        COTTER_LINK_REFUSED_TOO_LONG => c"refused: no end of frame",
        COTTER_LINK_REFUSED_CUT_SHORT => c"refused: a frame ends early",
        COTTER_LINK_REFUSED_EMPTY => c"refused: an empty frame",
        COTTER_LINK_REFUSED_TOO_SHORT => c"refused: a frame too short",
        COTTER_LINK_REFUSED_REFLECTED => c"refused: a frame of this end, sent back to it",
        COTTER_LINK_REFUSED_UNKNOWN_KIND => c"refused: no kind of frame",
        COTTER_LINK_REFUSED_REPLAYED => c"refused: a replayed frame",
        COTTER_LINK_REFUSED_FRAME => c"refused: the tag of a frame does not hold",
        COTTER_LINK_REFUSED_PAYLOAD => c"refused: an authentic frame that this version does not know",
        COTTER_LINK_REFUSED_EXHAUSTED => c"refused: the session has used up its frames",
        COTTER_LINK_REFUSED_LENGTH => c"refused: a handshake message of another length",
        COTTER_LINK_REFUSED_VERSION => c"refused: a handshake of unknown version",
        COTTER_LINK_REFUSED_OTHER_MODE => c"refused: the other end speaks another mode",
        COTTER_LINK_REFUSED_SUITE => c"refused: a suite that was not offered",
        COTTER_LINK_REFUSED_NO_COMMON_SUITE => c"refused: no common suite",
        COTTER_LINK_REFUSED_LONGEST_FRAME => c"refused: the other end takes no frames",
        COTTER_LINK_REFUSED_LOW_ORDER => c"refused: an X25519 key of low order",
        COTTER_LINK_REFUSED_HANDSHAKE => c"refused: a handshake message is not authentic: another key?",
        COTTER_LINK_REFUSED_NO_SESSION => c"refused: a frame without a session",
        COTTER_LINK_REFUSED_REPLAYED_HELLO => c"refused: the hello of the present session, again",
        COTTER_LINK_REFUSED_TOO_SOON => c"refused: another hello too soon",
        COTTER_LINK_REFUSED_UNEXPECTED_REPLY => c"refused: a reply to no hello",
        COTTER_LINK_REFUSED_UNEXPECTED_FINISH => c"refused: a finish of no handshake",
        _ => c"no such code",
    }
}
