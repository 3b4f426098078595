//! eFuses: the token, whose CRC covers everything; the register file, which has no checksum and is held against its plan.

use crate::tally::{Tally, Verdict};
use crate::vector;
use cotter_factory::efuse::{EfusePolicy, Wishes, build, outcome};
use cotter_formats::chip::Chip;
use cotter_formats::efuse::lint::{Expectation, findings};
use cotter_formats::efuse::reach::obstacles;
use cotter_formats::efuse::token::EfuseToken;
use cotter_formats::efuse::{EfuseImage, Field};

/// espefuse's token of a chip in production.
pub(crate) fn token() -> Vec<Tally> {
    let text = String::from_utf8(vector("efuse/esp32c3-prod.token.txt")).unwrap();
    let token = text.lines().rfind(|line| line.starts_with("EFSR:")).unwrap();
    EfuseToken::parse(token).unwrap();
    vec![Tally::of("eFuse token, ESP32-C3", token.as_bytes(), |flipped, at| match str::from_utf8(flipped) {
        Err(_) => Verdict::Refused("not UTF-8".into()),
        Ok(text) => match EfuseToken::parse(text) {
            Err(refusal) => Verdict::refused(&refusal),
            Ok(_) => unreachable!("character {at} changed and the CRC holds"),
        },
    })]
}

/// espefuse's file of a chip that a release plan has burned: what lint says of one bit more or less, and what the
/// comparison with the plan (`cotter efuse diff`) says where lint is content.
pub(crate) fn files() -> Vec<Tally> {
    [Chip::Esp32, Chip::Esp32C2, Chip::Esp32C3].map(file).into()
}

fn file(chip: Chip) -> Tally {
    let policy = EfusePolicy::of(chip, &Wishes::default()).unwrap();
    let plan = build(&policy, &EfuseImage::blank(chip)).unwrap();
    let before = outcome(&plan, &EfuseImage::blank(chip)).unwrap();
    assert_eq!(findings(&before, &Expectation::RELEASE), []);
    let file = before.to_virtual_file();
    Tally::of(&format!("eFuse file after its release plan, {chip}"), &file, |flipped, at| {
        let after = EfuseImage::from_virtual_file(chip, flipped).unwrap();
        if let Some(found) = findings(&after, &Expectation::RELEASE).first() {
            return Verdict::Refused(format!("lint {}", found.rule));
        }
        if !obstacles(&before, &after).is_empty() || !obstacles(&after, &before).is_empty() {
            return Verdict::Refused("comparison with the plan".into());
        }
        let same = before.map().block_numbers().all(|number| before.block(number) == after.block(number));
        let field = |field: &Field| before.bytes(field)[..] != after.bytes(field)[..];
        assert!(
            !before.map().fields.iter().any(field),
            "byte {at}: a field changed, and the comparison does not say so"
        );
        Verdict::Harmless(if same { "a register that is no eFuse" } else { "a bit of block 0 that is no field" })
    })
}
