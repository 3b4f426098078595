//! What an end with a handshake is told once.

#![allow(unsafe_code)]

use cotter_device::link::Timing;
use cotter_device::link::end::Settings;
use cotter_wire::link::session::Side;
use cotter_wire::link::suite::SuiteSet;

use crate::code::{
    COTTER_LINK_ARGUMENT, COTTER_LINK_FRAME, COTTER_LINK_HOST, COTTER_LINK_MODULE, COTTER_LINK_SUITES_ALL,
};
use crate::pointer::{Code, Out, Storage, finish};

/// What an end is told once.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CotterLinkSettings {
    pub rekey_frames: u64,
    pub rekey_millis: u64,
    pub answer_millis: u32,
    pub answer_at_most_millis: u32,
    pub between_replies_millis: u32,
    pub side: u8,
    pub suites: u8,
    pub patience: u8,
    pub allow_example_keys: u8,
}

impl CotterLinkSettings {
    pub(crate) fn checked(&self) -> Result<(Side, Settings, bool), Code> {
        let refused = Err(Code(COTTER_LINK_ARGUMENT));
        if self.suites == 0 || self.suites & !COTTER_LINK_SUITES_ALL != 0 {
            return refused;
        }
        let counts = [self.rekey_frames, self.rekey_millis, self.answer_millis.into(), self.patience.into()];
        if counts.contains(&0) || self.answer_at_most_millis < self.answer_millis {
            return refused;
        }
        let timing = Timing {
            answer: self.answer_millis,
            answer_at_most: self.answer_at_most_millis,
            patience: self.patience,
            between_replies: self.between_replies_millis,
        };
        let settings = Settings {
            suites: SuiteSet(self.suites),
            timing,
            rekey_frames: self.rekey_frames,
            rekey_millis: self.rekey_millis,
        };
        Ok((side(self.side)?, settings, flag(self.allow_example_keys)?))
    }
}

/// Host or module.
pub(crate) fn side(side: u8) -> Result<Side, Code> {
    match side {
        COTTER_LINK_HOST => Ok(Side::Host),
        COTTER_LINK_MODULE => Ok(Side::Module),
        _ => Err(Code(COTTER_LINK_ARGUMENT)),
    }
}

/// 0 or 1.
pub(crate) fn flag(flag: u8) -> Result<bool, Code> {
    match flag {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Code(COTTER_LINK_ARGUMENT)),
    }
}

/// # Safety
/// As `cotter_link.h` says of its pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cotter_link_settings_default(settings: *mut CotterLinkSettings, side: u8, baud: u32) -> i32 {
    finish((|| {
        let out = Out::new(settings, Storage::NONE)?;
        self::side(side)?;
        if baud == 0 {
            return Err(Code(COTTER_LINK_ARGUMENT));
        }
        let longest = u32::try_from(COTTER_LINK_FRAME).unwrap_or(u32::MAX).saturating_add(20);
        let timing = Timing::of_baud(baud, longest);
        let Settings { suites, rekey_frames, rekey_millis, .. } = Settings::default();
        // Safety: the caller's word.
        unsafe {
            out.write(CotterLinkSettings {
                rekey_frames,
                rekey_millis,
                answer_millis: timing.answer,
                answer_at_most_millis: timing.answer_at_most,
                between_replies_millis: timing.between_replies,
                side,
                suites: suites.0,
                patience: timing.patience,
                allow_example_keys: 0,
            });
        }
        Ok(())
    })())
}
