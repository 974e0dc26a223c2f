//! TLS between services. Optional: inside a private network the mesh (ECS Service Connect) can do it instead.

use tonic::transport::{Endpoint, Server};

use crate::Error;

/// Certificates as PEM texts. Read once at the start: a renewed certificate comes into force with a restart.
#[derive(Clone, Default)]
pub struct Tls {
    /// The authority that the other side's certificate must be of. A server with it turns away callers without one.
    pub ca: Option<String>,
    /// Our own certificate and its key.
    pub identity: Option<(String, secrecy::SecretString)>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("ca", &self.ca.is_some()).field("identity", &self.identity.is_some()).finish()
    }
}

#[cfg(feature = "tls")]
impl Tls {
    pub(super) fn of_server(&self, server: Server) -> Result<Server, tonic::transport::Error> {
        use tonic::transport::{Certificate, ServerTlsConfig};
        let Some(identity) = self.identity() else { return Ok(server) };
        let mut config = ServerTlsConfig::new().identity(identity);
        if let Some(ca) = &self.ca {
            config = config.client_ca_root(Certificate::from_pem(ca));
        }
        server.tls_config(config)
    }

    pub(super) fn of_endpoint(&self, endpoint: Endpoint) -> Result<Endpoint, Error> {
        use tonic::transport::{Certificate, ClientTlsConfig};
        if endpoint.uri().scheme() != Some(&http::uri::Scheme::HTTPS) {
            return Ok(endpoint);
        }
        let mut config = ClientTlsConfig::new();
        if let Some(ca) = &self.ca {
            config = config.ca_certificate(Certificate::from_pem(ca));
        }
        if let Some(identity) = self.identity() {
            config = config.identity(identity);
        }
        endpoint
            .tls_config(config)
            .map_err(|error| Error::invalid("tls", "the certificates cannot be used").with_source(error))
    }

    fn identity(&self) -> Option<tonic::transport::Identity> {
        use secrecy::ExposeSecret as _;
        let (certificate, key) = self.identity.as_ref()?;
        Some(tonic::transport::Identity::from_pem(certificate, key.expose_secret()))
    }
}

#[cfg(not(feature = "tls"))]
#[allow(clippy::unused_self)] // The same shape with and without the feature.
impl Tls {
    pub(super) fn of_server(&self, server: Server) -> Result<Server, tonic::transport::Error> {
        Ok(server)
    }

    pub(super) fn of_endpoint(&self, endpoint: Endpoint) -> Result<Endpoint, Error> {
        if endpoint.uri().scheme() == Some(&http::uri::Scheme::HTTPS) {
            return Err(Error::invalid("address", "must begin with http://: this program is built without TLS"));
        }
        Ok(endpoint)
    }
}
