//! What Espressif's generator writes beside Wi-Fi credentials, so that the driver need not compute it at first boot.
//!
//! With the first `sta.ssid` or `sta.pswd`: empty `sta.apinfo`, `sta.pmk`, `sta.apsw` behind it. With each `ap.*` key
//! once SSID, password and mode are known: `ap.pmk_info` before it, the WPA2 PMK (PBKDF2-HMAC-SHA1, 4096 rounds) at its
//! end. Source: `esp_idf_nvs_partition_gen` 0.3.0, `write_entry`.

use aws_lc_rs::pbkdf2;
use std::num::NonZeroU32;
use zeroize::Zeroizing;

/// What has been seen of the credentials.
#[derive(Debug, Default)]
pub struct Wifi {
    station_written: bool,
    ssid: Option<Zeroizing<String>>,
    password: Option<Zeroizing<String>>,
    mode_seen: bool,
}

/// Written behind the first key of the station.
pub const STATION_EXTRAS: [(&str, &[u8]); 3] =
    [("sta.apinfo", &[0xFF; 140]), ("sta.pmk", &[0; 32]), ("sta.apsw", &[0; 2])];
/// The key of the access point's derived secret.
pub const ACCESS_POINT_EXTRA: &str = "ap.pmk_info";

const PMK_ROUNDS: NonZeroU32 = NonZeroU32::new(4096).expect("not 0");

/// Is this a key that something is added to?
#[must_use]
pub fn has_extras(key: &str) -> bool {
    matches!(key, "sta.ssid" | "sta.pswd" | "ap.ssid" | "ap.passwd" | "ap.authmode")
}

impl Wifi {
    /// What goes before the row: the content of `ap.pmk_info`.
    pub fn before(&mut self, key: &str, text: &str) -> Option<Zeroizing<[u8; 132]>> {
        let filled = || (!text.is_empty()).then(|| Zeroizing::new(text.to_owned()));
        match key {
            "ap.ssid" => self.ssid = filled(),
            "ap.passwd" => self.password = filled(),
            "ap.authmode" if text != "0" => self.mode_seen = !text.is_empty(),
            "ap.authmode" => {}
            _ => return None,
        }
        let (Some(ssid), Some(password), true) = (&self.ssid, &self.password, self.mode_seen) else { return None };
        let mut info = Zeroizing::new([0; 132]);
        let (_, pmk) = info.split_at_mut(100);
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA1, PMK_ROUNDS, ssid.as_bytes(), password.as_bytes(), pmk);
        Some(info)
    }

    /// Do the station's extras go behind the row?
    pub fn station(&mut self, key: &str) -> bool {
        matches!(key, "sta.ssid" | "sta.pswd") && !std::mem::replace(&mut self.station_written, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derives_the_pmk_of_ieee_802_11() {
        // IEEE 802.11-2020, J.4.2: passphrase "password", SSID "IEEE".
        let expected = "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e";
        let mut wifi = Wifi::default();
        assert!(wifi.before("ap.ssid", "IEEE").is_none());
        assert!(wifi.before("ap.authmode", "0").is_none(), "an open network has no PMK");
        assert!(wifi.before("ap.passwd", "password").is_none());
        let info = wifi.before("ap.authmode", "3").unwrap();
        assert_eq!(info[..100], [0; 100]);
        assert_eq!(info[100..].iter().map(|byte| format!("{byte:02x}")).collect::<String>(), expected);
    }
}
