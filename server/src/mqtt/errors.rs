//! What a gateway is told about its devices, on `/devices/GATEWAY/errors`: JSON with the fields of Cloud IoT Core. It says
//! which device and which message, and not why: a gateway is no place to try tokens.

use cotter_wire::ids::DeviceId;
use serde::Serialize;

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GatewayError {
    /// The device may not be brought by this gateway, or not with this token.
    Attachment,
    /// The device was not there.
    Detachment,
}

#[derive(Serialize)]
struct Document<'a> {
    error_type: &'static str,
    device_id: &'a str,
    description: &'static str,
    mqtt_message_info: MessageInfo<'a>,
}

#[derive(Serialize)]
struct MessageInfo<'a> {
    message_type: &'static str,
    topic: &'a str,
    packet_id: Option<u16>,
}

impl GatewayError {
    /// The message.
    pub(super) fn document(self, device: DeviceId, topic: &str, number: Option<u16>) -> Vec<u8> {
        let (error_type, description) = match self {
            Self::Attachment => ("GATEWAY_ATTACHMENT_ERROR", "The device is not attached to this gateway."),
            Self::Detachment => ("GATEWAY_DETACHMENT_DEVICE_ERROR", "The device was not attached to this gateway."),
        };
        let mqtt_message_info = MessageInfo { message_type: "PUBLISH", topic, packet_id: number };
        let document = Document { error_type, device_id: device.as_str(), description, mqtt_message_info };
        serde_json::to_vec(&document).unwrap_or_default()
    }
}
