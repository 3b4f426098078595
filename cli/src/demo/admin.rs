//! The operator's requests to the server.

use anyhow::{Context, bail};
use cotter_factory::release::Release;
use cotter_formats::secret::Secret;
use cotter_server::firmware::upload::Upload;
use cotter_twin::net::{Ask, Client, Reply};
use cotter_wire::api;
use cotter_wire::content::ContentKey;
use cotter_wire::ids::{DeviceId, ReleaseId};
use hyper::Method;
use serde_json::Value;
use std::net::SocketAddr;
use zeroize::Zeroizing;

/// The administrator, with a token that the server made and showed once.
pub(crate) struct Admin {
    client: Client,
    token: Zeroizing<String>,
}

impl Admin {
    /// Trusts the product CA (DER), like the devices.
    pub(crate) fn new(ca: &[u8], host: &str, server: SocketAddr, token: Zeroizing<String>) -> anyhow::Result<Self> {
        Ok(Self { client: Client::new(ca, host, server)?, token })
    }

    /// Enrols a device by the factory's record.
    pub(crate) async fn enrol(&mut self, record: Vec<u8>) -> anyhow::Result<()> {
        self.post(api::ADMIN_DEVICES.to_owned(), "application/json", record).await?;
        Ok(())
    }

    /// Uploads a release without offering it.
    pub(crate) async fn upload(&mut self, release: &Release) -> anyhow::Result<Reply> {
        let content_key = Secret::filled_by(|key| key.copy_from_slice(release.content_key.expose()));
        let content_key = ContentKey::new(content_key);
        let body = Upload { envelope: &release.envelope, content_key, image: &release.image }.to_body();
        self.ask(Method::POST, api::ADMIN_RELEASES.to_owned(), Some(("application/octet-stream", body.to_vec()))).await
    }

    /// Uploads a release and offers it to the fleet.
    pub(crate) async fn release(&mut self, release: &Release) -> anyhow::Result<()> {
        let reply = self.upload(release).await?;
        if reply.status != 201 {
            bail!("the server refuses the release: {}", String::from_utf8_lossy(&reply.body));
        }
        self.publish(&release.id).await
    }

    async fn publish(&mut self, release: &ReleaseId) -> anyhow::Result<()> {
        let path = api::ADMIN_PUBLISH.replace("{release}", &release.to_string());
        self.post(path, "application/json", Vec::new()).await?;
        Ok(())
    }

    /// What the server has stored of a device, newest first.
    pub(crate) async fn readings(&mut self, device: &DeviceId) -> anyhow::Result<Vec<Value>> {
        self.list(api::ADMIN_READINGS.replace("{id}", device.as_str()), "readings").await
    }

    /// What a device has said about updates, newest first.
    pub(crate) async fn history(&mut self, device: &DeviceId) -> anyhow::Result<Vec<Value>> {
        self.list(format!("/admin/v1/devices/{device}/history"), "history").await
    }

    async fn list(&mut self, path: String, member: &str) -> anyhow::Result<Vec<Value>> {
        let reply = self.ask(Method::GET, path, None).await?;
        let document: Value = serde_json::from_slice(&reply.body)?;
        document[member].as_array().cloned().with_context(|| format!("the server's answer has no {member}"))
    }

    async fn post(&mut self, path: String, content_type: &'static str, body: Vec<u8>) -> anyhow::Result<Reply> {
        let reply = self.ask(Method::POST, path, Some((content_type, body))).await?;
        match reply.status {
            200 | 201 => Ok(reply),
            status => bail!("the server answers {status}: {}", String::from_utf8_lossy(&reply.body)),
        }
    }

    async fn ask(
        &mut self,
        method: Method,
        path: String,
        body: Option<(&'static str, Vec<u8>)>,
    ) -> anyhow::Result<Reply> {
        let headers = vec![("authorization", format!("Bearer {}", *self.token))];
        Ok(self.client.send(&Ask { method, path, headers, body }).await?)
    }
}
