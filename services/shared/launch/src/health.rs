//! The container's health check: asks the running program on this machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use freshet_kit::rpc::{Tls, connect_with};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// Longer than a healthy answer takes, shorter than the check's own time limit (ECS: 5 s).
const WITHIN: Duration = Duration::from_secs(3);

/// What a program is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// `GET /readyz` at the address in this setting.
    Http(&'static str),
    /// `grpc.health.v1.Health/Check` at the address in this setting.
    Grpc(&'static str),
}

impl Asked {
    /// The setting with the address.
    pub fn setting(self) -> &'static str {
        match self {
            Asked::Http(setting) | Asked::Grpc(setting) => setting,
        }
    }
}

/// Fails with the reason if the program is not ready.
pub(crate) async fn check(asked: Asked, address: SocketAddr, tls: &Tls) -> anyhow::Result<()> {
    let address = here(address);
    let asking = async {
        match asked {
            Asked::Http(_) => http(address).await,
            Asked::Grpc(_) => grpc(address, tls).await,
        }
    };
    tokio::time::timeout(WITHIN, asking).await.context("no answer in time")?
}

/// Where a program that listens on every address is reached from this machine.
fn here(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

async fn http(address: SocketAddr) -> anyhow::Result<()> {
    let stream = tokio::net::TcpStream::connect(address).await.context("cannot connect")?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = http::Request::get("/readyz").header("host", address.to_string()).body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    if !answer.status().is_success() {
        bail!("not ready: {}", answer.status());
    }
    Ok(())
}

async fn grpc(address: SocketAddr, tls: &Tls) -> anyhow::Result<()> {
    // The certificate must be valid for `localhost` too.
    let url = match tls.identity {
        Some(_) => format!("https://localhost:{}", address.port()),
        None => format!("http://{address}"),
    };
    let mut client = HealthClient::new(connect_with(&url, "", tls)?);
    let status = client.check(HealthCheckRequest { service: String::new() }).await?.into_inner().status();
    if status != ServingStatus::Serving {
        bail!("not ready: {status:?}");
    }
    Ok(())
}
