//! The virtual chip's peripherals as the device code asks for them.

use cotter_chip::board::VirtualChip;
use cotter_chip::peripheral::PeripheralError;
use cotter_device::signer::digital_signature::DigitalSignature;
use cotter_device::signer::ecdsa_peripheral::EcdsaPeripheral;
use cotter_formats::ds::{DsData, EfuseKeyId};
use cotter_formats::efuse::EfuseBlock;

/// The peripherals of one chip.
#[derive(Clone, Copy)]
pub struct Peripherals<'c>(pub &'c VirtualChip);

impl DigitalSignature for Peripherals<'_> {
    type Error = PeripheralError;

    fn exponentiate(
        &mut self,
        key: EfuseKeyId,
        data: &DsData<'_>,
        message: &[u8],
        signature: &mut [u8],
    ) -> Result<(), PeripheralError> {
        let signed = self.0.sign(EfuseBlock(key.block()), data, message)?;
        signature.iter_mut().zip(signed).for_each(|(to, from)| *to = from);
        Ok(())
    }
}

impl EcdsaPeripheral for Peripherals<'_> {
    type Error = PeripheralError;

    fn public_key(&mut self, key: EfuseKeyId) -> Result<[[u8; 32]; 2], PeripheralError> {
        self.0.ecdsa_public_key(EfuseBlock(key.block()))
    }

    fn sign(&mut self, key: EfuseKeyId, digest: &[u8; 32]) -> Result<[[u8; 32]; 2], PeripheralError> {
        self.0.ecdsa_sign(EfuseBlock(key.block()), digest)
    }
}
