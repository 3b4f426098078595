//! The forms in which espefuse dumps eFuses: tokens, texts, joint files.

use cotter_formats::chip::Chip;
use cotter_formats::efuse::dump::{from_joint, from_text, to_hex, to_joint, to_text};
use cotter_formats::efuse::token::{EfuseToken, TokenKind, token};

/// What is read can be written, and that is read as the same.
pub fn efuse_dump(data: &[u8]) {
    if let Ok(text) = str::from_utf8(data) {
        if let Ok(opened) = EfuseToken::parse(text) {
            let again = EfuseToken::parse(&token(&opened.image, TokenKind::Read)).expect("our own token");
            assert_eq!(to_joint(&again.image), to_joint(&opened.image), "a token changed in a round trip");
        }
        for chip in Chip::ALL {
            let Ok(image) = from_text(chip, text) else { continue };
            for written in [to_text(&image), to_hex(&image)] {
                let again = from_text(chip, &written).expect("our own text");
                assert_eq!(to_joint(&again), to_joint(&image), "a text changed in a round trip");
            }
        }
    }
    for chip in Chip::ALL {
        let Ok(image) = from_joint(chip, data) else { continue };
        let written = to_joint(&image);
        let again = from_joint(chip, &written).expect("our own joint file");
        assert_eq!(to_joint(&again), written, "{chip}: a joint file changed in a round trip");
    }
}
