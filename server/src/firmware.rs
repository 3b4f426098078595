//! Firmware: which releases are accepted, and what a device is offered. The server checks signatures and makes none.

pub mod artifact;
pub mod fuses;
pub mod image;
pub mod upload;

use crate::administrator::Administrator;
use crate::at_rest::{AtRestError, Use};
use crate::audit::Audit;
use crate::clock::Clock;
use crate::keyring::{Keyring, KnownDevice};
use crate::lru::Lru;
use crate::store::rollouts::Poll;
use crate::store::trust::Signers;
use crate::store::{Published, ReleaseAdded, ReleaseRecord, Store, StoreError};
use crate::trust::chain::{Chain, ChainBroken};
use artifact::Artifacts;
use cotter_formats::chip::Chip;
use cotter_formats::secure_boot::v2::SignatureError;
use cotter_wire::content::{self, CHUNK, ContentKey, WrappedKey};
use cotter_wire::ids::{DeviceId, ReleaseId, SecureVersion};
use cotter_wire::manifest::{
    CLOCK_SKEW, Envelope, MAX_ENVELOPE, Manifest, ManifestError, Project, VerifyPolicy, encode_envelope,
};
use cotter_wire::trust::TrustNumber;
use cotter_wire::version::Version;
use image::{ImageFacts, ImageRefusal};
use sha2::{Digest, Sha256};
use std::sync::{Arc, Mutex, PoisonError};
use upload::{Upload, UploadMalformed};

/// Accepts releases and hands them out.
pub struct Firmware {
    trust: Trust,
    store: Arc<dyn Store>,
    keyring: Arc<Keyring>,
    audit: Arc<Audit>,
    clock: Arc<dyn Clock>,
    artifacts: Artifacts,
    // Who may fetch what, and how long it is. Forgotten whenever a rollout changes.
    offered: Mutex<Lru<(DeviceId, ReleaseId), u32>>,
    // How many tenths of an artifact a device has fetched, as noted in the store.
    fetched: Mutex<Lru<(DeviceId, ReleaseId), u32>>,
    // One upload at a time: each holds an image in memory.
    uploading: tokio::sync::Semaphore,
}

/// What a release must satisfy in the beginning, before any trust statement.
#[derive(Debug, Clone)]
pub struct Trust {
    /// Project name in the application descriptor.
    pub project: String,
    /// Who signs manifests, and how many must.
    pub manifest: VerifyPolicy,
    /// Digests of the Secure Boot keys of the fleet.
    pub secure_boot_digests: Vec<[u8; 32]>,
}

/// A release that has passed all checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// SHA-256 of its manifest.
    pub release: ReleaseId,
    /// Its version.
    pub version: Version,
    /// Whether it was there before.
    pub already_there: bool,
}

/// What a device is told when it asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The envelope of what it is offered; `None` if there is nothing newer for it.
    pub envelope: Option<Vec<u8>>,
    /// It runs an older version than this one, which it had confirmed.
    pub came_back_from: Option<Version>,
}

impl Firmware {
    /// Hands out what `artifacts` and `store` hold.
    #[must_use]
    pub fn new(
        trust: Trust,
        store: Arc<dyn Store>,
        keyring: Arc<Keyring>,
        audit: Arc<Audit>,
        clock: Arc<dyn Clock>,
        artifacts: Artifacts,
    ) -> Self {
        let (offered, fetched) = (Mutex::new(Lru::new(MOST_OFFERED)), Mutex::new(Lru::new(MOST_OFFERED)));
        let uploading = tokio::sync::Semaphore::new(1);
        Self { trust, store, keyring, audit, clock, artifacts, offered, fetched, uploading }
    }

    /// A place for one upload; `None` while another is under way. Take it before reading the body.
    pub fn begin_upload(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        self.uploading.try_acquire().ok()
    }

    /// Every policy that a device may be at.
    ///
    /// # Errors
    /// [`ChainBroken`].
    pub async fn chain(&self) -> Result<Chain, ChainBroken> {
        Chain::walk(&self.trust, &self.store.statements().await?)
    }

    /// The project of the fleet.
    ///
    /// # Errors
    /// [`ChainBroken::Project`].
    pub fn project(&self) -> Result<Project, ChainBroken> {
        Project::new(&self.trust.project).ok_or(ChainBroken::Project)
    }

    /// Takes a release in:
    /// 1. enough trusted keys have signed the manifest: in a change of keys see [`Chain::believe`];
    /// 2. it is of this project and not expired;
    /// 3. length and SHA-256 are those of the image, and a trusted Secure Boot key has signed that;
    /// 4. image and manifest agree about project, version and `secure_version`, and the chip's eFuses can count so far;
    /// 5. it is newer than what is published;
    /// 6. then it is encrypted once, with the IV of the manifest, and stored, unpublished.
    ///
    /// # Errors
    /// [`ReleaseRefusal`] names the first that does not hold.
    pub async fn accept(
        self: &Arc<Self>,
        body: axum::body::Bytes,
        by: &Administrator,
    ) -> Result<Accepted, ReleaseRefusal> {
        let (this, chain) = (Arc::clone(self), self.chain().await?);
        let checked = tokio::task::spawn_blocking(move || {
            let upload = Upload::parse(&body)?;
            let (record, signers, iv) = this.check(&upload, &chain)?;
            let artifact = content::encrypt(&upload.content_key, &iv, upload.image);
            Ok::<_, ReleaseRefusal>((record, signers, artifact))
        });
        let (record, signers, artifact) = checked.await.map_err(|_| ReleaseRefusal::Interrupted)??;

        let (release, version) = (record.id, record.version);
        if self.store.release(release).await?.is_some() {
            // Its artifact stays as it is: the key stored with it is the one that opens it.
            return Ok(Accepted { release, version, already_there: true });
        }
        let this = Arc::clone(self);
        tokio::task::spawn_blocking(move || this.artifacts.write(release, &artifact))
            .await
            .map_err(|_| ReleaseRefusal::Interrupted)??;
        let note = self.audit.note(&by.name, "release-accepted", release.to_string(), format!("version {version}"));
        match self.store.add_release(record, signers, note).await? {
            ReleaseAdded::Added => Ok(Accepted { release, version, already_there: false }),
            ReleaseAdded::AlreadyThere => Ok(Accepted { release, version, already_there: true }),
            ReleaseAdded::VersionTaken => {
                self.artifacts.remove(release)?;
                Err(ReleaseRefusal::VersionTaken { version })
            }
            ReleaseAdded::TrustChanged => {
                self.artifacts.remove(release)?;
                Err(ReleaseRefusal::TrustChanged)
            }
            ReleaseAdded::NotNewer { newest, secure_version } => {
                self.artifacts.remove(release)?;
                Err(ReleaseRefusal::NotNewer { newest, secure_version })
            }
        }
    }

    /// Offers a release to the fleet.
    ///
    /// # Errors
    /// [`ReleaseRefusal::NotNewer`], [`ReleaseRefusal::UnknownRelease`] or the store's.
    pub async fn publish(&self, release: ReleaseId, by: &Administrator) -> Result<(), ReleaseRefusal> {
        let note = self.audit.note(&by.name, "release-published", release.to_string(), String::new());
        match self.store.publish_release(release, self.clock.unix(), note).await? {
            Published::Published | Published::AlreadyPublished => Ok(()),
            Published::NotNewer { newest, secure_version } => Err(ReleaseRefusal::NotNewer { newest, secure_version }),
            Published::RefusedAt(number) => Err(ReleaseRefusal::RefusedAt { number }),
            Published::UnknownRelease => Err(ReleaseRefusal::UnknownRelease),
        }
    }

    /// Whoever may fetch what is looked up anew: a rollout has changed.
    pub fn forget_offers(&self) {
        *self.offered.lock().unwrap_or_else(PoisonError::into_inner) = Lru::new(MOST_OFFERED);
    }

    /// The envelope of what a rollout offers a device that runs `version` and believes the policy of number `trust`, with the content key wrapped for it.
    ///
    /// # Errors
    /// [`ReleaseRefusal`], all of them the server's own trouble.
    pub async fn offer(
        &self,
        device: &KnownDevice,
        version: Version,
        secure_version: SecureVersion,
        trust: TrustNumber,
    ) -> Result<Offer, ReleaseRefusal> {
        let (project, at) = (self.trust.project.clone(), self.clock.unix());
        let poll = Poll { device: device.id, project, version, secure_version, trust, at };
        let polled = self.store.poll(poll).await?;
        if polled.reported.decided {
            self.forget_offers();
        }
        let came_back_from = polled.reported.came_back_from;
        let Some(newest) = polled.offer else { return Ok(Offer { envelope: None, came_back_from }) };
        let sealed = self.keyring.master().open(Use::ReleaseContentKey, &newest.id.0, &newest.sealed_content_key)?;
        let mut nonce = [0; 12];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| AtRestError::NoRandomness)?;
        let wrapped = WrappedKey::wrap(
            &device.keys.firmware_unwrap,
            &device.id,
            device.epoch,
            &newest.id,
            nonce,
            &ContentKey::new(sealed),
        );
        let stored = Envelope::parse(&newest.envelope)?;
        let mut out = [0; MAX_ENVELOPE];
        let envelope = encode_envelope(stored.body(), stored.signatures(), Some(&wrapped), &mut out)
            .map_err(|_| ReleaseRefusal::EnvelopeTooLong)?;
        Ok(Offer { envelope: Some(envelope.to_vec()), came_back_from })
    }

    /// The length of the artifact of a release that this device is offered; `None` if it is offered no such release.
    ///
    /// # Errors
    /// The store's.
    pub async fn size_for(&self, device: &DeviceId, release: ReleaseId) -> Result<Option<u32>, ReleaseRefusal> {
        let known = self.offered.lock().unwrap_or_else(PoisonError::into_inner).touch(&(*device, release)).copied();
        if known.is_some() {
            return Ok(known);
        }
        let size = self.store.may_download(*device, release).await?;
        if let Some(size) = size {
            self.offered.lock().unwrap_or_else(PoisonError::into_inner).insert((*device, release), size);
        }
        Ok(size)
    }

    /// A piece of an artifact; blocks.
    ///
    /// # Errors
    /// What the file system says.
    pub fn piece(&self, release: ReleaseId, start: u64, length: u64) -> std::io::Result<Vec<u8>> {
        self.artifacts.piece(release, start, length)
    }

    /// SHA-256 of the ciphertext of a release, 64 digits: what a download that goes on must still be of.
    ///
    /// # Errors
    /// [`ReleaseRefusal::Artifact`].
    pub async fn etag(self: &Arc<Self>, release: ReleaseId) -> Result<String, ReleaseRefusal> {
        let this = Arc::clone(self);
        let digest = tokio::task::spawn_blocking(move || this.artifacts.digest(release)).await;
        // Its digits are those of any 32 bytes.
        Ok(ReleaseId(digest.map_err(|_| ReleaseRefusal::Interrupted)??).to_string())
    }

    /// Notes, a tenth at a time, how far a device has come: not every piece is worth a transaction.
    pub fn fetched(&self, device: &DeviceId, release: ReleaseId, bytes: u32, total: u32) {
        let tenth = u64::from(bytes) * 10 / u64::from(total.max(1));
        let tenth = u32::try_from(tenth).unwrap_or(10) + 1;
        let mut fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        if fetched.touch(&(*device, release)).is_none_or(|before| *before < tenth) {
            fetched.insert((*device, release), tenth);
            drop(fetched);
            // Queued by the call; see `Store` about dropping the future. The device does not wait for our notes.
            drop(self.store.record_progress(*device, release, bytes, self.clock.unix()));
        }
    }

    /// Chunk number `index` of a release that this device is offered; `None` if there is no such chunk or offer.
    ///
    /// # Errors
    /// [`ReleaseRefusal`], all of them the server's own trouble.
    pub async fn chunk(
        self: &Arc<Self>,
        device: &KnownDevice,
        release: ReleaseId,
        index: u32,
    ) -> Result<Option<Vec<u8>>, ReleaseRefusal> {
        let Some(total) = self.size_for(&device.id, release).await? else { return Ok(None) };
        let this = Arc::clone(self);
        let chunk = tokio::task::spawn_blocking(move || this.artifacts.chunk(release, index, CHUNK, total)).await;
        let chunk = chunk.map_err(|_| ReleaseRefusal::Interrupted)??;
        if let Some(chunk) = &chunk {
            let bytes = u64::from(index) * CHUNK as u64 + chunk.len() as u64;
            self.fetched(&device.id, release, u32::try_from(bytes).unwrap_or(total), total);
        }
        Ok(chunk)
    }

    /// Steps 1 to 4 of [`Self::accept`].
    fn check(&self, upload: &Upload<'_>, chain: &Chain) -> Result<(ReleaseRecord, Signers, [u8; 16]), ReleaseRefusal> {
        let envelope = Envelope::parse(upload.envelope)?;
        if envelope.content_key().is_some() {
            return Err(ReleaseRefusal::ContentKeyInEnvelope);
        }
        let (verified, mut numbers) = chain.believe(&envelope)?;
        let manifest = verified.manifest();

        let now = self.clock.unix();
        if manifest.project.as_str() != self.trust.project {
            return Err(ReleaseRefusal::WrongProject);
        }
        if manifest.expires.0 <= now {
            return Err(ReleaseRefusal::Expired);
        }
        if manifest.issued.0 > now.saturating_add(CLOCK_SKEW) {
            return Err(ReleaseRefusal::FromTheFuture);
        }

        if u32::try_from(upload.image.len()) != Ok(manifest.size) {
            return Err(ReleaseRefusal::Size { manifest: manifest.size, image: upload.image.len() });
        }
        if <[u8; 32]>::from(Sha256::digest(upload.image)) != manifest.sha256 {
            return Err(ReleaseRefusal::Sha256);
        }
        let facts = image::check(upload.image, manifest.chip, &chain.secure_boot_keys())?;
        numbers.retain(|number| chain.takes_image(*number, &facts.signers));
        if !chain.may_come_in(&numbers) {
            return Err(ImageRefusal::Signature(SignatureError::Untrusted).into());
        }
        agree(manifest, &facts)?;
        let steps = fuses::steps(manifest.chip);
        if manifest.secure_version.0 > steps {
            return Err(ReleaseRefusal::BeyondFuses {
                secure_version: manifest.secure_version,
                chip: manifest.chip,
                steps,
            });
        }

        let id = verified.release();
        let key = upload.content_key.expose();
        let record = ReleaseRecord {
            id,
            project: facts.project.clone(),
            chip: manifest.chip,
            version: manifest.version,
            secure_version: manifest.secure_version,
            expires: manifest.expires.0,
            encrypted_size: manifest.encrypted_size(),
            envelope: upload.envelope.to_vec(),
            sealed_content_key: self.keyring.master().seal(Use::ReleaseContentKey, &id.0, key)?,
            published_at: None,
        };
        Ok((record, chain.signers(numbers, facts.signers), manifest.iv))
    }
}

/// Downloads that are remembered; about 150 bytes each.
const MOST_OFFERED: usize = 1 << 14;

fn agree(manifest: &Manifest, facts: &ImageFacts) -> Result<(), ReleaseRefusal> {
    let field = if manifest.project.as_str() != facts.project {
        "project"
    } else if manifest.version != facts.version {
        "version"
    } else if manifest.secure_version != facts.secure_version {
        "secure_version"
    } else {
        return Ok(());
    };
    Err(ReleaseRefusal::Disagree { field })
}

/// Why a release is not accepted, published or handed out.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseRefusal {
    /// The request is no upload.
    #[error(transparent)]
    Upload(#[from] UploadMalformed),
    /// The manifest is malformed, or not signed by enough trusted keys.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The content key belongs to the upload's second line.
    #[error("release: the envelope already holds a content key")]
    ContentKeyInEnvelope,
    /// Another product's.
    #[error("release: of another project")]
    WrongProject,
    /// Past its expiry.
    #[error("release: expired")]
    Expired,
    /// Issued ahead of our clock.
    #[error("release: issued in the future")]
    FromTheFuture,
    /// Lengths differ.
    #[error("release: the manifest says {manifest} bytes, the image has {image}")]
    Size {
        /// By the manifest.
        manifest: u32,
        /// Of the image.
        image: usize,
    },
    /// Digests differ.
    #[error("release: the image is not the one that the manifest names (SHA-256)")]
    Sha256,
    /// The image itself.
    #[error(transparent)]
    Image(#[from] ImageRefusal),
    /// Manifest and application descriptor say different things.
    #[error("release: manifest and application descriptor disagree about {field}")]
    Disagree {
        /// About what.
        field: &'static str,
    },
    /// The chip can never burn that.
    #[error("release: secure_version {secure_version}, but the eFuses of the {chip} count to {steps}", chip = chip.name())]
    BeyondFuses {
        /// Of the release.
        secure_version: SecureVersion,
        /// Which chip.
        chip: Chip,
        /// Steps that it has.
        steps: u32,
    },
    /// Same version, other content.
    #[error("release: version {version} exists with other content")]
    VersionTaken {
        /// Which version.
        version: Version,
    },
    /// A downgrade.
    #[error("release: not newer than the published {newest} with secure_version {secure_version}")]
    NotNewer {
        /// The newest published version.
        newest: Version,
        /// Its anti-rollback counter.
        secure_version: SecureVersion,
    },
    /// Devices would refuse it.
    #[error("release: devices at trust number {number} would refuse it: in a change of keys, both sides must sign")]
    RefusedAt {
        /// Which devices.
        number: TrustNumber,
    },
    /// The keys have changed while it was checked.
    #[error("release: the keys have changed meanwhile")]
    TrustChanged,
    /// The statements about the keys.
    #[error(transparent)]
    Chain(#[from] ChainBroken),
    /// No such release.
    #[error("release: unknown")]
    UnknownRelease,
    /// The stored signatures leave no room for the content key.
    #[error("release: the envelope is too long")]
    EnvelopeTooLong,
    /// Keys at rest.
    #[error(transparent)]
    AtRest(#[from] AtRestError),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The artifact could not be read or written.
    #[error("release: artifact: {0}")]
    Artifact(#[from] std::io::Error),
    /// The server is stopping.
    #[error("release: interrupted")]
    Interrupted,
}

impl ReleaseRefusal {
    /// A stable name; `None` if the server itself is at fault.
    #[must_use]
    pub const fn code(&self) -> Option<&'static str> {
        Some(match self {
            Self::Upload(_) => "upload-malformed",
            Self::Manifest(error) => error.code(),
            Self::ContentKeyInEnvelope => "release-content-key-in-envelope",
            Self::WrongProject => "release-wrong-project",
            Self::Expired => "release-expired",
            Self::FromTheFuture => "release-from-the-future",
            Self::Size { .. } => "release-size",
            Self::Sha256 => "release-sha256",
            Self::Image(ImageRefusal::Unsigned(_)) => "image-unsigned",
            Self::Image(ImageRefusal::Signature(_) | ImageRefusal::SignaturePlace { .. }) => "image-signature",
            Self::Image(_) => "image-malformed",
            Self::Disagree { .. } => "release-disagrees-with-image",
            Self::BeyondFuses { .. } => "release-secure-version-beyond-fuses",
            Self::VersionTaken { .. } => "release-version-taken",
            Self::NotNewer { .. } => "release-not-newer",
            Self::RefusedAt { .. } => "release-refused-by-devices",
            Self::TrustChanged => "trust-changed-meanwhile",
            Self::Chain(ChainBroken::Beginning | ChainBroken::Statement { .. } | ChainBroken::Project) => {
                "trust-chain-broken"
            }
            Self::UnknownRelease => "release-unknown",
            Self::Chain(ChainBroken::Store(_))
            | Self::EnvelopeTooLong
            | Self::AtRest(_)
            | Self::Store(_)
            | Self::Artifact(_)
            | Self::Interrupted => {
                return None;
            }
        })
    }
}
