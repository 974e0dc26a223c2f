//! Finding the suite that a command is meant for.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use freshet_kit::rpc::{Channel, MESSAGE_BYTES_MAX, connect};
use freshet_proto::build::v1::build_service_client::BuildServiceClient;
use freshet_proto::content::v1::content_service_client::ContentServiceClient;
use freshet_proto::control::v1::control_service_client::ControlServiceClient;
use freshet_proto::validation::v1::validation_service_client::ValidationServiceClient;

use super::Target;
use crate::data::{self, Running};

/// The data folder where nothing else is said.
pub(crate) const DATA_DEFAULT: &str = ".freshet";

/// Nobody waits longer for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(5);

impl Target {
    /// The data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(|| Path::new(DATA_DEFAULT).to_owned())
    }

    /// True if answers should be JSON.
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// The suite that runs on the data folder.
    pub(crate) fn running(&self) -> anyhow::Result<Running> {
        let data = self.data();
        data::running(&data).with_context(|| {
            format!(
                "no suite runs on {}; start one with `freshet dev`, or name one with --data or --server",
                data.display()
            )
        })
    }

    /// The suite elsewhere that was named. An empty variable names none.
    pub(crate) fn server(&self) -> Option<&str> {
        self.server.as_deref().filter(|server| !server.is_empty())
    }

    /// The client that was named.
    pub(crate) fn client(&self) -> Option<&str> {
        self.client.as_deref().filter(|client| !client.is_empty())
    }

    /// A connection.
    pub(crate) async fn connect(&self) -> anyhow::Result<Services> {
        let key = self.key.as_deref().filter(|key| !key.is_empty());
        let (address, key) = match (self.server(), key) {
            (Some(server), Some(key)) => (server.to_owned(), key.to_owned()),
            (Some(_), None) => anyhow::bail!("--server needs an API key: --key or FRESHET_API_KEY"),
            (None, Some(key)) => (self.running()?.grpc, key.to_owned()),
            (None, None) => (self.running()?.grpc, data::root_key(&self.data())?),
        };
        let channel = connect(&address, &key)?;
        reach(&address).await.with_context(|| match self.server() {
            Some(_) => format!("nothing answers at {address}; is that a suite's gRPC address?"),
            None => format!(
                "the suite that ran on {} does not run any more ({address}); start it with `freshet dev`",
                self.data().display()
            ),
        })?;
        Ok(Services { channel, client: self.client().map(str::to_owned) })
    }
}

/// Fails if nobody listens there: what a call says then names no address.
async fn reach(address: &str) -> anyhow::Result<()> {
    let uri: http::Uri = address.parse()?;
    let host = uri.host().context("no host")?.trim_matches(['[', ']']);
    let port = uri.port_u16().unwrap_or(if uri.scheme() == Some(&http::uri::Scheme::HTTPS) { 443 } else { 80 });
    let connecting = tokio::net::TcpStream::connect((host, port));
    tokio::time::timeout(CONNECT_MAX, connecting).await.context("no answer in time")??;
    Ok(())
}

/// The services of a suite.
pub(crate) struct Services {
    channel: Channel,
    client: Option<String>,
}

impl Services {
    pub(crate) fn validation(&self) -> ValidationServiceClient<Channel> {
        ValidationServiceClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub(crate) fn content(&self) -> ContentServiceClient<Channel> {
        ContentServiceClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub(crate) fn build(&self) -> BuildServiceClient<Channel> {
        BuildServiceClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub(crate) fn control(&self) -> ControlServiceClient<Channel> {
        ControlServiceClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// The client that was named, or the only one that there is.
    pub(crate) async fn client(&self) -> anyhow::Result<String> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let request = freshet_proto::control::v1::GetSystemStatusRequest::default();
        let status = self.control().get_system_status(request).await.map_err(|status| match status.code() {
            // A key for some clients may not see all of them, nor whether others are there.
            tonic::Code::PermissionDenied => anyhow::anyhow!("which client? name it with --client"),
            _ => explain(status),
        })?;
        let status = status.into_inner();
        let mut clients: Vec<String> = status.sites.into_iter().map(|site| site.client_id).collect();
        clients.dedup();
        match clients.as_slice() {
            [only] => Ok(only.clone()),
            [] => anyhow::bail!("which client? name it with --client"),
            several => anyhow::bail!("which client? name one with --client: {}", several.join(", ")),
        }
    }
}

/// A status as an error for people.
pub(crate) fn explain(status: tonic::Status) -> anyhow::Error {
    match status.code() {
        tonic::Code::Unavailable | tonic::Code::Unknown => {
            anyhow::anyhow!("the suite does not answer: {}", status.message())
        }
        _ => anyhow::anyhow!("{}", status.message()),
    }
}
