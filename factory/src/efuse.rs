//! Which eFuses a product burns, on any chip: planned from a policy, in the safe order, before anything is irreversible.
//!
//! | file | noun |
//! |---|---|
//! | `policy` | what is wanted, and whether the chip can do it |
//! | `placement` | which key goes into which block |
//! | `plan` | the burns in stages: keys, content, restrictions, enables, locks |
//! | `build` | from a policy to a plan |
//! | `outcome` | how a chip reads after a plan |
//! | `order` | what is wrong with the order of a plan |
//! | `espefuse` | the same plan as commands of espefuse |

mod build;
mod espefuse;
mod order;
mod outcome;
mod placement;
mod plan;
mod policy;

pub use build::{Refusal, build};
pub use espefuse::{command_file, commands};
pub use order::{ORDER_RULES, OrderFinding, OrderRule, order_findings};
pub use outcome::{Obstacle, outcome};
pub use plan::{Burn, EfusePlan, KeyInput, PlanFormatError, Stage, StageName};
pub use policy::{
    Curve, DownloadMode, EfusePolicy, FlashEncryptionMode, JtagMode, NvsMode, PolicyError, ProductProfile,
    SecureBootMode, SigningScheme, Wishes,
};
