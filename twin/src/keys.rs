//! What a device does about its root key before its application runs: it confirms a new one, and comes back to a server that
//! does not know the one it has.

use crate::firmware::{FirmwareError, Start, post};
use crate::net::{Client, NetError, Reply};
use crate::random::HostRandom;
use cotter_device::recovery::Recovery;
use cotter_device::rotation::Confirming;
use cotter_device::session::Opening;
use cotter_wire::{api, recovery, rotation, session};

/// Confirms the key that was offered, if there is one. If the server cannot be asked or refuses it, the present one counts on.
pub(crate) async fn confirm_pending(mut start: Start, client: &mut Client) -> Result<Start, FirmwareError> {
    match Confirming::pending(&start.identity, &mut start.store, &mut HostRandom::default())? {
        Some(pending) => confirm(start, client, pending).await,
        None => Ok(start),
    }
}

/// After the server has refused the keys: it may have been restored from a backup, and know only older ones. Then the present
/// key is confirmed again; if that does not help, the device recovers.
pub(crate) async fn reconcile(mut start: Start, client: &mut Client) -> Result<Start, FirmwareError> {
    let mut random = HostRandom::default();
    if let Some(present) = Confirming::present(&start.identity, &mut random) {
        start = confirm(start, client, present).await?;
    }
    let device = start.identity.device;
    let opening = Opening::new(&start.identity, &mut random);
    let hello = post(client, &api::session(&device), opening.hello(&mut [0; session::MAX_MESSAGE])).await?;
    if hello.status == 200 {
        return Ok(start);
    }
    let recovery = Recovery::begin(start.identity, &mut random);
    let ask = post(client, &api::recovery(&device), recovery.ask(&mut [0; recovery::MAX_MESSAGE])).await?;
    let claiming = recovery.challenged(&expected(ask)?)?;
    let claim = claiming.claim(&mut [0; recovery::MAX_MESSAGE]).to_vec();
    let grant = expected(post(client, &api::recovery_claim(&device), &claim).await?)?;
    start.identity = claiming.granted(&grant, &mut start.store)?;
    Ok(start)
}

async fn confirm(mut start: Start, client: &mut Client, confirming: Confirming) -> Result<Start, FirmwareError> {
    let message = confirming.message(&mut [0; rotation::MAX_MESSAGE]).to_vec();
    if let Ok(Reply { status: 200, body }) = post(client, &api::key(&start.identity.device), &message).await {
        start.identity = confirming.acknowledged(start.identity, &body, &mut start.store)?;
    }
    Ok(start)
}

fn expected(reply: Reply) -> Result<Vec<u8>, NetError> {
    match reply {
        Reply { status: 200, body } => Ok(body),
        Reply { status, .. } => Err(NetError::Status { status }),
    }
}
