//! Whose firmware this device takes, after the factory: it follows the statements of `wire::trust` one by one.
//!
//! In its session it asks for the statement after its own number ([`path`]) before it asks for a release, and [`follow`]s
//! what it gets until there is no more. The number in these requests is how the server learns where it stands.
//!
//! | key | type | content |
//! |---|---|---|
//! | `trust` | blob | body of the statement that counts; without it, what the factory wrote is number 0 |
//!
//! One item holds all of it, so that a power cut leaves the old policy or the new one. The number only rises, one by one:
//! an earlier statement is not taken again, and none can be skipped.

use crate::identity::{Identity, NAMESPACE};
use crate::nvs::{Nvs, NvsError};
use cotter_formats::nvs::entry::Key;
use cotter_wire::api;
use cotter_wire::manifest::Project;
use cotter_wire::trust::{MAX_BODY, MAX_STATEMENT, SignedStatement, Statement, TrustError, TrustNumber};
use embedded_storage::nor_flash::NorFlash;

/// See the table above.
pub const TRUST: Key = Key::literal("trust");

/// How many bytes of an answer to read at most; one more than a good one can have.
pub const READ_LIMIT: usize = MAX_STATEMENT + 1;

/// Where to ask, with GET: 200 is a statement to [`follow`], 204 the end of the chain.
#[must_use]
pub fn path(identity: &Identity) -> api::Path {
    api::trust(&identity.device, identity.trust())
}

/// Takes a statement that follows what `identity` trusts, and stores it. Load the identity anew afterwards (a reset does):
/// this one goes on as it is, and follows nothing more.
///
/// # Errors
/// [`FollowError`]. Nothing has changed unless the store failed; then the device trusts as before or as stated.
pub fn follow<F: NorFlash>(
    identity: &Identity,
    statement: &[u8],
    store: &mut Nvs<F>,
) -> Result<TrustNumber, FollowError<F::Error>> {
    let signed = SignedStatement::parse(statement)?;
    let followed = signed.verify(identity.project(), identity.trust(), identity.firmware_policy())?;
    let stored = stored(store, identity.project())?.map_or(TrustNumber::BEGINNING, |stored| stored.number);
    if stored != identity.trust() {
        return Err(FollowError::Stale { stored });
    }
    store.set_blob(&NAMESPACE, &TRUST, signed.body())?;
    Ok(followed.number)
}

/// The statement that counts. What does not read as one of this project was written by another firmware, and counts for
/// nothing.
pub(crate) fn stored<F: NorFlash>(
    store: &mut Nvs<F>,
    project: &Project,
) -> Result<Option<Statement>, NvsError<F::Error>> {
    let mut body = [0; MAX_BODY];
    let len = store.blob(&NAMESPACE, &TRUST, &mut body)?;
    let statement = len.and_then(|len| Statement::parse(body.get(..len)?).ok());
    Ok(statement.filter(|statement| statement.project == *project && statement.number > TrustNumber::BEGINNING))
}

/// Why a statement is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FollowError<E> {
    /// Not signed by enough of those who are trusted and those who are to be, or not the next one.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The store.
    #[error("trust: {0}")]
    Store(#[from] NvsError<E>),
    /// The identity was loaded before another statement was followed.
    #[error("trust: number {stored} is followed already, and the identity is older")]
    Stale {
        /// What counts.
        stored: TrustNumber,
    },
}

#[cfg(test)]
mod tests;
