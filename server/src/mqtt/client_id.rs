//! What a client calls itself: `projects/P/locations/L/registries/R/devices/D`.

use cotter_wire::ids::DeviceId;

/// The four names in a client id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientId<'a> {
    /// Also the audience of its tokens.
    pub project: &'a str,
    /// Where the project runs, in the words of its owner.
    pub location: &'a str,
    /// Which devices of the project.
    pub registry: &'a str,
    /// Which of them.
    pub device: DeviceId,
}

/// Why a text is no client id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClientIdError {
    /// Not the words projects, locations, registries and devices, each with a name after it.
    #[error("client id: not projects/P/locations/L/registries/R/devices/D")]
    Form,
    /// The last name is none that a device can have.
    #[error("client id: no device can have that name")]
    Device,
}

impl<'a> ClientId<'a> {
    /// Reads the one spelling.
    ///
    /// # Errors
    /// [`ClientIdError`].
    pub fn parse(text: &'a str) -> Result<Self, ClientIdError> {
        let mut words = text.split('/');
        let mut name = |noun| {
            let is_noun = words.next() == Some(noun);
            words.next().filter(|name| is_noun && !name.is_empty()).ok_or(ClientIdError::Form)
        };
        let (project, location) = (name("projects")?, name("locations")?);
        let (registry, device) = (name("registries")?, name("devices")?);
        if words.next().is_some() {
            return Err(ClientIdError::Form);
        }
        let device = device.parse().map_err(|_| ClientIdError::Device)?;
        Ok(Self { project, location, registry, device })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_id_has_one_spelling() {
        let text = "projects/stoked-axle-258910/locations/asia-east1/registries/esp32/devices/atecc608a-1";
        let id = ClientId::parse(text).unwrap();
        assert_eq!((id.project, id.location, id.registry), ("stoked-axle-258910", "asia-east1", "esp32"));
        assert_eq!(id.device.as_str(), "atecc608a-1");
        for length in 0..text.len() - "atecc608a-1".len() + 1 {
            assert!(ClientId::parse(&text[..length]).is_err(), "{length}");
        }
        for other in [
            "/projects/p/locations/l/registries/r/devices/d",
            "projects/p/locations/l/registries/r/devices/d/",
            "projects//locations/l/registries/r/devices/d",
            "Projects/p/locations/l/registries/r/devices/d",
            "projects/p/locations/l/devices/d",
            "d",
            "",
        ] {
            assert_eq!(ClientId::parse(other), Err(ClientIdError::Form), "{other}");
        }
        assert_eq!(
            ClientId::parse("projects/p/locations/l/registries/r/devices/D"),
            Err(ClientIdError::Device),
            "a device's name has no capitals"
        );
    }
}
