//! What a release tool uploads: `<envelope JSON>\n<content key, 64 hex>\n<signed image>`.

use cotter_formats::secret::Secret;
use cotter_wire::content::ContentKey;
use cotter_wire::hex;
use cotter_wire::manifest::MAX_ENVELOPE;
use zeroize::Zeroizing;

/// The three parts; nothing in them is trusted yet.
#[derive(Debug)]
pub struct Upload<'a> {
    /// The signed manifest in its envelope, without a content key.
    pub envelope: &'a [u8],
    /// What the image is to be encrypted with. It travels inside TLS only.
    pub content_key: ContentKey,
    /// The image with its Secure Boot signature, in the clear.
    pub image: &'a [u8],
}

impl<'a> Upload<'a> {
    /// Splits a request body.
    ///
    /// # Errors
    /// [`UploadMalformed`].
    pub fn parse(body: &'a [u8]) -> Result<Self, UploadMalformed> {
        let head = &body[..body.len().min(MAX_ENVELOPE + 1)];
        let end = head.iter().position(|byte| *byte == b'\n').ok_or(UploadMalformed::Envelope)?;
        let (envelope, rest) = (&body[..end], &body[end + 1..]);
        let (digits, rest) = rest.split_at_checked(64).ok_or(UploadMalformed::ContentKey)?;
        let image = rest.strip_prefix(b"\n").ok_or(UploadMalformed::ContentKey)?;
        let content_key = Secret::try_filled_by(|key| match hex::decode_into(digits, key) {
            true => Ok(()),
            false => Err(UploadMalformed::ContentKey),
        })?;
        Ok(Self { envelope, content_key: ContentKey::new(content_key), image })
    }

    /// The request body, for the tool that uploads. It is wiped when dropped: it holds the content key.
    #[must_use]
    pub fn to_body(&self) -> Zeroizing<Vec<u8>> {
        let mut digits = Zeroizing::new([0; 64]);
        let key = hex::encode(self.content_key.expose(), &mut digits[..]).unwrap_or_default();
        // Reserved whole, so that no outgrown copy of the key stays behind.
        let mut body = Zeroizing::new(Vec::with_capacity(self.envelope.len() + self.image.len() + 66));
        for part in [self.envelope, b"\n", key.as_bytes(), b"\n", self.image] {
            body.extend_from_slice(part);
        }
        body
    }
}

/// Why a body is no upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UploadMalformed {
    /// No line end within the length of an envelope.
    #[error("upload: the first line is no envelope")]
    Envelope,
    /// The second line is not 64 digits.
    #[error("upload: the second line is no content key of 64 lower-case hexadecimal digits")]
    ContentKey,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_even_with_line_ends_in_the_image() {
        let key = ContentKey::new(Secret::filled_by(|key| key.fill(0xab)));
        let body = Upload { envelope: b"{}", content_key: key, image: b"\n\xe9\n" }.to_body();
        let parsed = Upload::parse(&body).unwrap();
        assert_eq!((parsed.envelope, parsed.image), (&b"{}"[..], &b"\n\xe9\n"[..]));
        assert_eq!(parsed.content_key.expose(), &[0xab; 32]);
    }

    #[test]
    fn refuses_missing_lines() {
        let refused = |body: &[u8]| Upload::parse(body).unwrap_err();
        assert_eq!(refused(b""), UploadMalformed::Envelope);
        assert_eq!(refused(&[b'{'; 9_000]), UploadMalformed::Envelope);
        assert_eq!(refused(b"{}\n"), UploadMalformed::ContentKey);
        assert_eq!(refused(&[b"{}\n", &[b'A'; 64][..], b"\n"].concat()), UploadMalformed::ContentKey);
        assert_eq!(refused(&[b"{}\n", &[b'a'; 65][..], b"\n"].concat()), UploadMalformed::ContentKey);
    }
}
