//! AWS IoT Core: names of things, and the user name for a custom authorizer.
//!
//! ```text
//! user name  [user]?x-amz-customauthorizer-name=N&<token key>=<token>&x-amz-customauthorizer-signature=percent(base64(S))
//! S          RSASSA-PKCS1-v1_5 with SHA-256 over the token, by the key whose public half the authorizer has
//! ```
//!
//! Source: AWS IoT Core Developer Guide, "Custom authentication and authorization", "Device communication protocols",
//! "CreateThing".

use super::{is_unreserved, percent_encoded, text};
use crate::canonical::{OutputFull, Writer};
use base64ct::{Base64, Encoding};

/// Characters of the longest token that is signed here.
pub const MAX_TOKEN: usize = 4096;
/// Characters of the longest thing name, and of the longest name of an authorizer and of its token.
pub const MAX_NAME: usize = 128;
/// Bytes of the longest signature.
pub const MAX_SIGNATURE: usize = 512;
/// Bytes that are enough for every user name.
pub const MAX_USER_NAME: usize = MAX_TOKEN + 4 * MAX_NAME + 3 * MAX_SIGNATURE.div_ceil(3) * 4;

/// What TLS must ask for on port 443, where a certificate says who the device is.
pub const ALPN_CERTIFICATE: &str = "x-amzn-mqtt-ca";
/// What TLS must ask for on port 443, where a custom authorizer decides.
pub const ALPN_AUTHORIZER: &str = "mqtt";

/// A thing, which is what AWS calls a device: 1 to 128 letters, digits and `:_-`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThingName<'a>(&'a str);

impl<'a> ThingName<'a> {
    /// Checks length and alphabet.
    ///
    /// # Errors
    /// [`AwsNameError::Thing`].
    pub fn new(text: &'a str) -> Result<Self, AwsNameError> {
        let allows = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_' | b'-');
        let is_one = (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(allows);
        if is_one { Ok(Self(text)) } else { Err(AwsNameError::Thing) }
    }

    /// The text.
    #[must_use]
    pub const fn as_str(&self) -> &'a str {
        self.0
    }
}

/// What a custom authorizer is shown, but for the signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthorizerToken<'a> {
    user: &'a str,
    authorizer: &'a str,
    token_key: &'a str,
    token: &'a str,
}

impl<'a> AuthorizerToken<'a> {
    /// `user` may be empty; `token_key` is the parameter that the authorizer takes its token from. A token is made of letters,
    /// digits and `-._~`, as base64url and JSON Web Tokens are, so that what is signed and what is sent are the same.
    ///
    /// # Errors
    /// [`AwsNameError`] names the part that is none.
    pub fn new(user: &'a str, authorizer: &'a str, token_key: &'a str, token: &'a str) -> Result<Self, AwsNameError> {
        let plain = |text: &str, lengths: core::ops::RangeInclusive<usize>| {
            lengths.contains(&text.len()) && text.bytes().all(is_unreserved)
        };
        if !plain(user, 0..=MAX_NAME) {
            return Err(AwsNameError::User);
        }
        let allows = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'=' | b',' | b'@' | b'-');
        if !(1..=MAX_NAME).contains(&authorizer.len()) || !authorizer.bytes().all(allows) {
            return Err(AwsNameError::Authorizer);
        }
        let is_reserved = token_key.len() >= RESERVED.len()
            && token_key.bytes().zip(RESERVED.bytes()).all(|(found, known)| found.eq_ignore_ascii_case(&known));
        let allows = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if !(1..=MAX_NAME).contains(&token_key.len()) || !token_key.bytes().all(allows) || is_reserved {
            return Err(AwsNameError::TokenKey);
        }
        if !plain(token, 1..=MAX_TOKEN) {
            return Err(AwsNameError::Token);
        }
        Ok(Self { user, authorizer, token_key, token })
    }

    /// What is to be signed.
    #[must_use]
    pub const fn signing_input(&self) -> &'a [u8] {
        self.token.as_bytes()
    }

    /// The MQTT user name; [`MAX_USER_NAME`] bytes are always enough.
    ///
    /// # Errors
    /// [`OutputFull`], also for a signature longer than [`MAX_SIGNATURE`].
    pub fn user_name<'o>(&self, signature: &[u8], out: &'o mut [u8]) -> Result<&'o str, OutputFull> {
        if signature.len() > MAX_SIGNATURE {
            return Err(OutputFull);
        }
        let mut encoded = [0; MAX_SIGNATURE.div_ceil(3) * 4];
        let encoded = Base64::encode(signature, &mut encoded).map_err(|_| OutputFull)?;
        let mut writer = Writer::new(out);
        writer.literal(self.user).literal("?x-amz-customauthorizer-name=");
        percent_encoded(&mut writer, self.authorizer);
        writer.literal("&").literal(self.token_key).literal("=").literal(self.token);
        writer.literal("&x-amz-customauthorizer-signature=");
        percent_encoded(&mut writer, encoded);
        writer.finish().map(text)
    }
}

/// Parameters that begin so are AWS's own.
const RESERVED: &str = "x-amz-";

/// Why a name is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AwsNameError {
    /// See [`ThingName`].
    #[error("a thing name is 1 to 128 letters, digits and :_-")]
    Thing,
    /// The user before the question mark.
    #[error("a user is at most 128 letters, digits and -._~")]
    User,
    /// Of the authorizer.
    #[error("the name of an authorizer is 1 to 128 letters, digits and _=,@-")]
    Authorizer,
    /// The parameter that holds the token.
    #[error("a token key is 1 to 128 letters, digits and _-, and does not begin with x-amz-")]
    TokenKey,
    /// The token. What it says is not in here.
    #[error("a token is 1 to 4096 letters, digits and -._~")]
    Token,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_name_has_the_signature_escaped() {
        let token = AuthorizerToken::new("device-1", "my-authorizer", "token", "aGVsbG8.x-y_z").unwrap();
        assert_eq!(token.signing_input(), b"aGVsbG8.x-y_z");
        assert_eq!(
            token.user_name(&[0xfb, 0xef, 0xff, 0x00], &mut [0; 256]).unwrap(),
            "device-1?x-amz-customauthorizer-name=my-authorizer&token=aGVsbG8.x-y_z\
             &x-amz-customauthorizer-signature=%2B%2B%2F%2FAA%3D%3D"
        );
    }

    #[test]
    fn what_would_change_the_meaning_of_the_query_is_refused() {
        let refused = |user, authorizer, key, token| AuthorizerToken::new(user, authorizer, key, token).unwrap_err();
        for text in ["a?b", "a&b", "a b", "a%", "a\n", "\u{e9}"] {
            assert_eq!(refused(text, "n", "k", "t"), AwsNameError::User, "{text}");
            assert_eq!(refused("u", text, "k", "t"), AwsNameError::Authorizer, "{text}");
            assert_eq!(refused("u", "n", text, "t"), AwsNameError::TokenKey, "{text}");
            assert_eq!(refused("u", "n", "k", text), AwsNameError::Token, "{text}");
        }
        for text in ["", core::str::from_utf8(&[b'a'; MAX_NAME + 1]).unwrap()] {
            assert_eq!(refused("u", text, "k", "t"), AwsNameError::Authorizer);
            assert_eq!(refused("u", "n", text, "t"), AwsNameError::TokenKey);
            assert_eq!(ThingName::new(text), Err(AwsNameError::Thing));
        }
        for key in ["x-amz-customauthorizer-name", "X-Amz-Customauthorizer-Signature", "x-amz-"] {
            assert_eq!(refused("u", "n", key, "t"), AwsNameError::TokenKey);
        }
        assert_eq!(refused("u", "n", "k", ""), AwsNameError::Token);
        assert_eq!(refused("u", "n", "k", core::str::from_utf8(&[b'a'; MAX_TOKEN + 1]).unwrap()), AwsNameError::Token);
        assert_eq!(ThingName::new("a.b"), Err(AwsNameError::Thing));
        assert_eq!(ThingName::new("a:b_c-9").map(|name| name.as_str()), Ok("a:b_c-9"));
    }

    #[test]
    fn the_longest_user_name_has_room_and_a_shorter_buffer_is_noticed() {
        let [name, long] = [[b'a'; MAX_TOKEN]; 2];
        let name = core::str::from_utf8(&name[..MAX_NAME]).unwrap();
        let token = AuthorizerToken::new(name, name, name, core::str::from_utf8(&long).unwrap()).unwrap();
        let len = token.user_name(&[0xff; MAX_SIGNATURE], &mut [0; MAX_USER_NAME]).unwrap().len();
        assert_eq!(token.user_name(&[0xff; MAX_SIGNATURE], &mut [0; MAX_USER_NAME][..len - 1]), Err(OutputFull));
        assert_eq!(token.user_name(&[0; MAX_SIGNATURE + 1], &mut [0; MAX_USER_NAME]), Err(OutputFull));
    }
}
