//! One private key on a token, with its public half.

use super::uri::{Attribute as UriAttribute, Pkcs11Uri};
use super::{Names, Token, TokenError};
use crate::public_key::{KeyKind, PublicKey, RsaNumbers, curve_of_oid};
use cotter_formats::secure_boot::v1::{Signature, SignedFile};
use cotter_formats::secure_boot::v2::{BLOCK_LEN, ContentDigests, Curve, EcdsaPublicKey};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use pkcs8::ObjectIdentifier;
use pkcs8::der::Decode;
use sha2::{Digest, Sha256};

/// A private key that a token uses for us.
pub struct TokenKey {
    token: Token,
    handle: ObjectHandle,
    public: PublicKey,
}

/// A key as a list shows it.
#[derive(Debug)]
pub struct Listed {
    /// Its name.
    pub label: String,
    /// `CKA_ID`.
    pub id: Vec<u8>,
    /// Its public half, or why it cannot be used here.
    pub public: Result<PublicKey, TokenError>,
    /// What names it.
    pub uri: Pkcs11Uri,
}

impl Token {
    /// The private key that the URI matches. Log in before, if the token wants it.
    ///
    /// # Errors
    /// [`TokenError`]: none, several, or one that cannot sign.
    pub fn key(self, uri: &Pkcs11Uri) -> Result<TokenKey, TokenError> {
        if uri.text(UriAttribute::Type).is_some_and(|kind| kind != "private") {
            return Err(TokenError::NotPrivate);
        }
        let mut template = vec![Attribute::Class(ObjectClass::PRIVATE_KEY)];
        template.extend(uri.text(UriAttribute::Object).map(|label| Attribute::Label(label.into())));
        template.extend(uri.id().map(|id| Attribute::Id(id.to_vec())));
        let found = self.session.find_objects(&template)?;
        let handle = match found.as_slice() {
            &[handle] => handle,
            [] => return Err(TokenError::NoKey { present: self.names(&self.private_keys()?)? }),
            many => return Err(TokenError::ManyKeys { found: self.names(many)? }),
        };
        let public = self.usable(handle)?;
        Ok(TokenKey { token: self, handle, public })
    }

    /// All private keys that are to be seen.
    ///
    /// # Errors
    /// [`TokenError::Library`].
    pub fn keys(&self) -> Result<Vec<Listed>, TokenError> {
        let list = |handle| {
            let (label, id) = self.name(handle)?;
            let mut uri = self.uri().with(UriAttribute::Object, label.as_bytes());
            if !id.is_empty() {
                uri = uri.with(UriAttribute::Id, &id);
            }
            Ok(Listed { label, id, public: self.usable(handle), uri })
        };
        self.private_keys()?.into_iter().map(list).collect()
    }

    fn private_keys(&self) -> Result<Vec<ObjectHandle>, TokenError> {
        Ok(self.session.find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY)])?)
    }

    /// Label and id.
    fn name(&self, object: ObjectHandle) -> Result<(String, Vec<u8>), TokenError> {
        let (mut label, mut id) = (String::new(), Vec::new());
        for attribute in self.session.get_attributes(object, &[AttributeType::Label, AttributeType::Id])? {
            match attribute {
                Attribute::Label(bytes) => label = String::from_utf8_lossy(&bytes).into_owned(),
                Attribute::Id(bytes) => id = bytes,
                _ => {}
            }
        }
        Ok((label, id))
    }

    fn names(&self, objects: &[ObjectHandle]) -> Result<Names, TokenError> {
        let name = |&object: &ObjectHandle| {
            let (label, id) = self.name(object)?;
            let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
            Ok(format!("{label} (id {})", if id.is_empty() { "none" } else { &id }))
        };
        objects.iter().map(name).collect::<Result<_, TokenError>>().map(Names)
    }

    /// The public half of a key that can sign here.
    fn usable(&self, key: ObjectHandle) -> Result<PublicKey, TokenError> {
        let asked = [AttributeType::KeyType, AttributeType::Sign, AttributeType::AlwaysAuthenticate];
        let mut kind = None;
        for attribute in self.session.get_attributes(key, &asked)? {
            match attribute {
                Attribute::KeyType(found) => kind = Some(found),
                Attribute::Sign(false) => return Err(TokenError::MayNotSign),
                Attribute::AlwaysAuthenticate(true) => return Err(TokenError::AlwaysAuthenticate),
                _ => {}
            }
        }
        match kind.ok_or(TokenError::NoPublic)? {
            KeyType::RSA => self.rsa(key),
            KeyType::EC => self.ecdsa(key),
            found => Err(TokenError::KeyType { found }),
        }
    }

    /// The numbers stand in the private object too, on most tokens.
    fn rsa(&self, key: ObjectHandle) -> Result<PublicKey, TokenError> {
        for object in self.halves(key)? {
            let (mut n, mut e) = (None, None);
            let asked = [AttributeType::Modulus, AttributeType::PublicExponent];
            for attribute in self.session.get_attributes(object, &asked)? {
                match attribute {
                    Attribute::Modulus(bytes) => n = Some(without_zeros(&bytes)),
                    Attribute::PublicExponent(bytes) => e = Some(without_zeros(&bytes)),
                    _ => {}
                }
            }
            if let (Some(n), Some(e)) = (n, e)
                && !n.is_empty()
                && !e.is_empty()
            {
                return Ok(PublicKey::Rsa(RsaNumbers { n, e }));
            }
        }
        Err(TokenError::NoPublic)
    }

    fn ecdsa(&self, key: ObjectHandle) -> Result<PublicKey, TokenError> {
        let mut curve = None;
        for object in self.halves(key)? {
            let mut point = None;
            let asked = [AttributeType::EcParams, AttributeType::EcPoint];
            for attribute in self.session.get_attributes(object, &asked)? {
                match attribute {
                    Attribute::EcParams(der) => {
                        let oid = ObjectIdentifier::from_der(&der).map_err(|_| TokenError::Curve)?;
                        curve = Some(curve_of_oid(oid).map_err(|_| TokenError::Curve)?);
                    }
                    Attribute::EcPoint(bytes) => point = Some(bytes),
                    _ => {}
                }
            }
            if let (Some(curve), Some(point)) = (curve, point.filter(|point| !point.is_empty())) {
                let point = EcdsaPublicKey::from_sec1(curve, sec1_of(&point, curve));
                return Ok(PublicKey::Ecdsa(point.map_err(|_| TokenError::NoPublic)?));
            }
        }
        Err(TokenError::NoPublic)
    }

    /// The private object, and the public objects with its id or, if it has none, its label.
    fn halves(&self, key: ObjectHandle) -> Result<Vec<ObjectHandle>, TokenError> {
        let (label, id) = self.name(key)?;
        let same = if id.is_empty() { Attribute::Label(label.into_bytes()) } else { Attribute::Id(id) };
        let mut objects = vec![key];
        objects.extend(self.session.find_objects(&[Attribute::Class(ObjectClass::PUBLIC_KEY), same])?);
        Ok(objects)
    }
}

impl TokenKey {
    /// Its public half, as the token holds it.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// A Secure Boot V2 block over content with these digests. The signature is verified before it is returned.
    ///
    /// # Errors
    /// [`TokenError::Public`] if no ROM verifies keys of this kind; what [`Self::sign_digest`] refuses;
    /// [`TokenError::Answer`] if the token returned something else than a signature.
    pub fn sign_block(&self, digests: &ContentDigests) -> Result<[u8; BLOCK_LEN], TokenError> {
        let public = self.public.secure_boot()?;
        let signature = self.sign_digest(digests.of_scheme(public.scheme()))?;
        Ok(public.block(digests, &signature)?)
    }

    /// A Secure Boot V1 signature over content, verified before it is returned. The token draws its own random number, so
    /// no two are alike.
    ///
    /// # Errors
    /// [`TokenError::Public`] unless the key is ECDSA P-256; what [`Self::sign_digest`] refuses; [`TokenError::Wrong`] if the
    /// token returned something else than a signature.
    pub fn sign_v1(&self, content: &[u8]) -> Result<Signature, TokenError> {
        let public = self.public.secure_boot_v1()?;
        let signature = Signature { numbers: self.sign_p256(&Sha256::digest(content).into())? };
        public.verify(&SignedFile { content, signature }).map_err(|_| TokenError::Wrong)?;
        Ok(signature)
    }

    /// r and s over a digest, for the caller to verify.
    pub(crate) fn sign_p256(&self, digest: &[u8; 32]) -> Result<[u8; 64], TokenError> {
        self.sign_digest(digest)?.try_into().map_err(|_| TokenError::Wrong)
    }

    /// Signs a digest: RSASSA-PSS with SHA-256 and a 32-byte salt, big-endian, or r and s.
    /// `digest`: SHA-256, or SHA-384 for P-384.
    ///
    /// # Errors
    /// [`TokenError::Digest`] for another digest, [`TokenError::Mechanism`] if the token cannot, [`TokenError::Library`].
    pub fn sign_digest(&self, digest: &[u8]) -> Result<Vec<u8>, TokenError> {
        let kind = self.public.kind();
        let expected = if kind == KeyKind::Ecdsa(Curve::P384) { 48 } else { 32 };
        if digest.len() != expected {
            return Err(TokenError::Digest { kind, len: digest.len() });
        }
        let (mechanism, name) = match kind {
            KeyKind::Rsa(_) => {
                let parameters =
                    PkcsPssParams { hash_alg: MechanismType::SHA256, mgf: PkcsMgfType::MGF1_SHA256, s_len: 32.into() };
                (Mechanism::RsaPkcsPss(parameters), MechanismType::RSA_PKCS_PSS)
            }
            KeyKind::Ecdsa(_) => (Mechanism::Ecdsa, MechanismType::ECDSA),
        };
        if !self.token.offers(name)? {
            return Err(TokenError::Mechanism(name));
        }
        Ok(self.token.session.sign(&mechanism, self.handle, digest)?)
    }
}

/// The point itself: PKCS#11 wraps it in an OCTET STRING, some tokens do not.
fn sec1_of(bytes: &[u8], curve: Curve) -> &[u8] {
    let uncompressed = 1 + 2 * curve.coordinate_len();
    match bytes {
        [4, len, point @ ..] if bytes.len() != uncompressed && usize::from(*len) == point.len() => point,
        other => other,
    }
}

fn without_zeros(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
    bytes[zeros..].to_vec()
}
