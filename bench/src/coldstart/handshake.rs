//! What a TLS handshake takes, in instructions: the starts above are measured without TLS, and a function in AWS makes
//! one for each service that it reaches.

use super::start;
use anyhow::Context as _;
use clap::Args;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
};
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::Arc,
};

/// The outbound tests' own authority and server: ECDSA on P-256, for `rondo.test`.
macro_rules! certificate {
    ($name:literal) => {
        include_bytes!(concat!("../../../shared/outbound/tests/http_caller/certificates/", $name))
    };
}

#[derive(Args)]
pub struct Client {
    #[arg(long)]
    address: SocketAddr,
    /// Handshakes, one after the other.
    #[arg(long)]
    times: usize,
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Instructions of one handshake at the client's side; `None` without valgrind.
pub async fn instructions(folder: &Path) -> anyhow::Result<Option<u64>> {
    let certificate = CertificateDer::from(&certificate!("server.der")[..]);
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(&certificate!("server-key.der")[..]));
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let config = Arc::new(config);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = answer(stream, &config);
        }
    });
    let mut counts = Vec::new();
    for times in [1, 3] {
        let output = folder.join(format!("handshakes-{times}.callgrind"));
        let Some(mut command) = start::callgrind(&std::env::current_exe()?, &output) else {
            return Ok(None);
        };
        command.args(["handshake-child", "--address", &address.to_string(), "--times", &times.to_string()]);
        let status = command.status().await?;
        anyhow::ensure!(status.success(), "the handshakes ended with {status}");
        counts.push(start::counted(&output)?);
    }
    Ok(Some((counts[1] - counts[0]) / 2))
}

fn answer(mut stream: TcpStream, config: &Arc<ServerConfig>) -> anyhow::Result<()> {
    let mut connection = ServerConnection::new(Arc::clone(config))?;
    let mut tls = rustls::Stream::new(&mut connection, &mut stream);
    let mut byte = [0];
    tls.read_exact(&mut byte)?;
    tls.write_all(&byte)?;
    Ok(tls.flush()?)
}

/// The client that is counted. Nothing is resumed: each is a handshake with a server never met.
pub fn client(options: &Client) -> anyhow::Result<()> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(&certificate!("authority.der")[..]))?;
    for _ in 0..options.times {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        config.resumption = rustls::client::Resumption::disabled();
        let name = ServerName::try_from("rondo.test").context("a name")?;
        let mut connection = ClientConnection::new(Arc::new(config), name)?;
        let mut stream = TcpStream::connect(options.address)?;
        let mut tls = rustls::Stream::new(&mut connection, &mut stream);
        tls.write_all(&[1])?;
        let mut byte = [0];
        tls.read_exact(&mut byte)?;
    }
    Ok(())
}
