//! What is wrong with the order of a plan: a reset, or a fault, between two of its batches must leave a chip that boots
//! or that can be finished.

use super::outcome::{Locks, apply};
use super::plan::{Burn, EfusePlan};
use cotter_formats::efuse::EfuseImage;
use cotter_formats::efuse::lint::{Expectation, Rule, Severity, findings};
use std::fmt;

/// A rule about order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderRule {
    /// A batch asks for what an earlier one has made impossible.
    Impossible,
    /// Between two batches the chip would not boot.
    BrickBetween,
    /// A batch after the loader was closed.
    AfterLoader,
    /// Secure Boot or flash encryption comes on before the flash content is written.
    BeforeContent,
}

/// All of them.
pub const ORDER_RULES: [OrderRule; 4] =
    [OrderRule::Impossible, OrderRule::BrickBetween, OrderRule::AfterLoader, OrderRule::BeforeContent];

impl OrderRule {
    /// The stable name.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Impossible => "plan-impossible",
            Self::BrickBetween => "plan-brick-between",
            Self::AfterLoader => "plan-after-loader",
            Self::BeforeContent => "plan-before-content",
        }
    }

    /// Why it matters.
    #[must_use]
    pub const fn why(self) -> &'static str {
        match self {
            Self::Impossible => {
                "An earlier batch froze, hid or filled what this one burns: the chip is left half done."
            }
            Self::BrickBetween => "If power fails between these batches, the chip does not boot.",
            Self::AfterLoader => "The loader burns nothing any more once it is closed.",
            Self::BeforeContent => "A reset before the content is written leaves a chip that boots nothing.",
        }
    }

    /// How bad it is.
    #[must_use]
    pub const fn severity(self) -> Severity {
        Severity::Brick
    }
}

/// One thing that is wrong with the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderFinding {
    /// Which rule.
    pub rule: OrderRule,
    /// The number of the batch, from 1.
    pub batch: usize,
    /// Where.
    pub at: String,
    /// What.
    pub what: String,
}

impl fmt::Display for OrderFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, batch, at, what } = self;
        write!(f, "{} [{}] batch {batch}: {at} {what}. {}", rule.severity(), rule.code(), rule.why())
    }
}

/// Walks through the batches of a plan for a chip that reads like this.
#[must_use]
pub fn order_findings(plan: &EfusePlan, image: &EfuseImage) -> Vec<OrderFinding> {
    let mut found = Vec::new();
    let mut chip = image.clone();
    let before = bricks(&chip);
    let mut closed_by: Option<String> = None;
    let content = plan.stages.iter().position(|stage| !stage.instructions.is_empty());
    for (index, stage) in plan.stages.iter().enumerate() {
        let batch = index + 1;
        let mut push = |rule, at: &str, what: String| found.push(OrderFinding { rule, batch, at: at.to_owned(), what });
        if let (Some(by), Some(burn)) = (&closed_by, stage.burns.first()) {
            push(OrderRule::AfterLoader, burn.name(), format!("comes after {by}"));
        }
        let mut locks = Locks::default();
        for burn in &stage.burns {
            if let Err(obstacle) = apply(&mut chip, burn, &mut locks) {
                push(OrderRule::Impossible, &obstacle.at, obstacle.why);
            }
            if content.is_some_and(|content| index < content) && is_enable(burn) {
                push(OrderRule::BeforeContent, burn.name(), "comes before the content".to_owned());
            }
            closed_by = closes(burn).map(str::to_owned).or(closed_by);
        }
        if let Err(obstacle) = locks.close(&mut chip) {
            push(OrderRule::Impossible, &obstacle.at, obstacle.why);
        }
        for (rule, at, what) in bricks(&chip) {
            if !before.iter().any(|(known, ..)| *known == rule) {
                push(OrderRule::BrickBetween, &at, format!("{what} ({rule})"));
            }
        }
    }
    found
}

fn bricks(chip: &EfuseImage) -> Vec<(Rule, String, String)> {
    let found = findings(chip, &Expectation::DEVELOPMENT);
    let bricks = found.into_iter().filter(|finding| finding.severity == Severity::Brick);
    bricks.map(|finding| (finding.rule, finding.at, finding.what)).collect()
}

fn is_enable(burn: &Burn) -> bool {
    let names = ["SECURE_BOOT_EN", "ABS_DONE_0", "ABS_DONE_1", "SPI_BOOT_CRYPT_CNT", "FLASH_CRYPT_CNT"];
    matches!(burn, Burn::Field { field, .. } if names.contains(&field.as_str()))
}

fn closes(burn: &Burn) -> Option<&str> {
    let names = ["ENABLE_SECURITY_DOWNLOAD", "DIS_DOWNLOAD_MODE", "UART_DOWNLOAD_DIS"];
    match burn {
        Burn::Field { field, .. } if names.contains(&field.as_str()) => Some(field),
        _ => None,
    }
}
