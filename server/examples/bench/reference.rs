//! The same work in the obvious shape, that of the public EcoWatt server: a lock, and for each upload a transaction of
//! its own with SQLite's defaults (rollback journal, `synchronous=FULL`). TLS, HTTP and cryptography are ours.

use crate::crowd;
use anyhow::{Context, Result};
use cotter_wire::codec::MAX_READING;
use cotter_wire::packet::{MAX_PACKET, Packet};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rusqlite::{Connection, OptionalExtension};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Of a crowd, for its certificate
    directory: PathBuf,
}

/// Serves until it is killed; prints the address as the server does.
///
/// # Errors
/// It cannot start.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(&arguments.directory))
}

async fn serve(directory: &Path) -> Result<()> {
    let database = Arc::new(Mutex::new(open(&directory.join("reference.db"))?));
    let tls = acceptor(directory)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{{\"listening\":\"{}\"}}", listener.local_addr()?);
    std::io::stdout().flush()?;
    loop {
        let (stream, _) = listener.accept().await?;
        let (tls, database) = (tls.clone(), Arc::clone(&database));
        tokio::spawn(async move {
            stream.set_nodelay(true)?;
            let stream = tls.accept(stream).await?;
            let service = service_fn(move |request| answer(Arc::clone(&database), request));
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await?;
            anyhow::Ok(())
        });
    }
}

async fn answer(database: Arc<Mutex<Connection>>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
    let body = Limited::new(request.into_body(), MAX_PACKET).collect().await.map_err(anyhow::Error::from_boxed)?;
    let body = body.to_bytes();
    let accepted = tokio::task::spawn_blocking(move || accept(&database, &body)).await??;
    let status = if accepted { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
    Ok(Response::builder().status(status).body(Full::from("{}"))?)
}

fn accept(database: &Mutex<Connection>, body: &[u8]) -> Result<bool> {
    let packet = Packet::parse(body)?;
    let (device, nonce) = (*packet.device(), packet.nonce());
    let keys = crowd::keys(crowd::number(&device).context("a device of the crowd")?);
    let Ok(verified) = packet.verify(&keys.telemetry_mac) else { return Ok(false) };
    let mut buffer = [0; MAX_READING];
    let reading = verified.open(&keys.telemetry_cipher, &mut buffer)?;
    let mut database = database.lock().unwrap_or_else(PoisonError::into_inner);
    let transaction = database.transaction()?;
    let last: Option<u32> = transaction
        .prepare_cached("SELECT nonce FROM last WHERE device = ?1")?
        .query_row([device.as_str()], |row| row.get(0))
        .optional()?;
    if last.is_some_and(|last| nonce.0 <= last) {
        return Ok(false);
    }
    transaction.prepare_cached("INSERT INTO reading (device, nonce, content) VALUES (?1, ?2, ?3)")?.execute((
        device.as_str(),
        nonce.0,
        reading,
    ))?;
    transaction
        .prepare_cached("INSERT INTO last VALUES (?1, ?2) ON CONFLICT (device) DO UPDATE SET nonce = ?2")?
        .execute((device.as_str(), nonce.0))?;
    transaction.commit()?;
    Ok(true)
}

fn open(path: &Path) -> Result<Connection> {
    let connection = Connection::open(path)?;
    connection.execute_batch(
        "PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL;
         CREATE TABLE IF NOT EXISTS last (device TEXT PRIMARY KEY, nonce INTEGER NOT NULL);
         CREATE TABLE IF NOT EXISTS reading (row INTEGER PRIMARY KEY, device TEXT, nonce INTEGER, content BLOB);",
    )?;
    Ok(connection)
}

/// TLS as the server speaks it, with the certificate of a crowd.
///
/// # Errors
/// A file.
pub(crate) fn acceptor(directory: &Path) -> Result<TlsAcceptor> {
    let chain = vec![CertificateDer::from_pem_file(directory.join("server.pem"))?];
    let key = PrivateKeyDer::from_pem_file(directory.join("server.key"))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
