//! Why something failed: the bus, the part's status codes, or an answer that cannot be believed.

use cotter_formats::atecc::Status;

/// What stopped a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The address was not acknowledged, however often the part was woken. Nothing was executed.
    #[error("secure element: nothing answers at its address")]
    NoAnswer,
    /// The I2C controller reports errors other than a missing acknowledgement. Nothing was executed.
    #[error("secure element: the bus does not work")]
    Bus,
    /// The command was sent and its answer did not arrive whole; it must not be repeated blindly. It was executed or it
    /// was not: read back what it would have changed.
    #[error("secure element: the answer was lost, and with it whether the command was executed")]
    AnswerLost,
    /// The part's self-test after wake failed.
    #[error("secure element: its self-test failed when it woke up")]
    SelfTest,
    /// A digest, MAC or signature is not the right one.
    #[error("secure element: the comparison failed")]
    Miscompare,
    /// The part does not know the command, or its parameters are wrong in any state.
    #[error("secure element: it does not understand the command")]
    Parse,
    /// An ECC computation failed, for example with a point that is not on the curve.
    #[error("secure element: the computation on the curve failed")]
    EccFault,
    /// The random number generator is ill.
    #[error("secure element: its random number generator fails its health test")]
    RandomHealth,
    /// Not in this state: configuration, locks, `TempKey` or authorisation do not allow it.
    #[error("secure element: it refuses the command in its present state")]
    Execution,
    /// The command did not fit into the watchdog's period, not even a whole one. Nothing was executed.
    #[error("secure element: the command takes longer than its watchdog allows")]
    Watchdog,
    /// Each time that the command was sent it arrived damaged or not at all. Nothing was executed.
    #[error("secure element: commands arrive damaged")]
    Communication,
    /// A status code that no data sheet names.
    #[error("secure element: unknown status {0:#04x}")]
    Status(u8),
    /// The answer holds, but is not as long as answers to this command are.
    #[error("secure element: the answer has {got} bytes, expected {expected}")]
    Length {
        /// Bytes of the payload.
        got: usize,
        /// What they should be.
        expected: usize,
    },
    /// A command with these data is longer than any.
    #[error("secure element: the command would be too long")]
    TooLong,
    /// The parameters make no command; nothing was sent.
    #[error("secure element: no such command: {0}")]
    Parameter(&'static str),
    /// The part's MAC over its answer is not the right one: somebody else answered.
    #[error("secure element: the answer's MAC does not hold")]
    AnswerMac,
    /// The pattern that stands for random numbers until the configuration zone is locked.
    #[error("secure element: its random numbers are a fixed pattern until its configuration zone is locked")]
    NotRandom,
    /// The revision is that of no part that this driver knows.
    #[error("secure element: unknown revision {0:02x?}")]
    Revision([u8; 4]),
}

impl Error {
    /// The error that a status code stands for; `None` for success.
    #[must_use]
    pub const fn from_status(status: Status) -> Option<Self> {
        match status {
            Status::SUCCESS => None,
            Status::MISCOMPARE => Some(Self::Miscompare),
            Status::PARSE => Some(Self::Parse),
            Status::ECC_FAULT => Some(Self::EccFault),
            Status::SELF_TEST => Some(Self::SelfTest),
            Status::RANDOM_HEALTH => Some(Self::RandomHealth),
            Status::EXECUTION => Some(Self::Execution),
            Status::WATCHDOG => Some(Self::Watchdog),
            Status::AWAKE | Status::COMMUNICATION => Some(Self::Communication),
            Status(other) => Some(Self::Status(other)),
        }
    }
}
