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
        config = match &self.ca {
            Some(ca) => config.ca_certificate(Certificate::from_pem(ca)),
            // A public address has a certificate of a public authority.
            None => config.with_enabled_roots(),
        };
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

#[cfg(all(test, feature = "tls"))]
mod tests {
    use freshet_domain::Catalogue;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use tokio::net::TcpListener;
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_client::HealthClient;

    use super::*;
    use crate::rpc::{GrpcServer, connect_with};
    use crate::{CatalogueHandle, Readiness, Shutdown};

    type Issuer = CertifiedIssuer<'static, KeyPair>;

    fn authority() -> Issuer {
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("good");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
    }

    fn identity(of: &Issuer) -> (String, secrecy::SecretString) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("good");
        let certificate = params.signed_by(&key, of).expect("signed");
        (certificate.pem(), key.serialize_pem().into())
    }

    async fn serve(tls: Tls, shutdown: &Shutdown) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let server = GrpcServer::new(CatalogueHandle::new(Catalogue::default())).await.with_tls(tls);
        let serving = server.serve(listener, Readiness::new(), shutdown.clone());
        shutdown.spawn("grpc", async move { serving.await.expect("served") });
        port
    }

    async fn asks(url: &str, tls: &Tls) -> bool {
        let mut client = HealthClient::new(connect_with(url, "", tls).expect("a channel"));
        client.check(HealthCheckRequest { service: String::new() }).await.is_ok()
    }

    #[tokio::test]
    async fn both_sides_must_show_a_certificate_of_the_authority() {
        let (ours, theirs) = (authority(), authority());
        let ca = Some(ours.pem());
        let shutdown = Shutdown::new();
        let port = serve(Tls { ca: ca.clone(), identity: Some(identity(&ours)) }, &shutdown).await;
        let url = format!("https://localhost:{port}");
        assert!(asks(&url, &Tls { ca: ca.clone(), identity: Some(identity(&ours)) }).await);
        assert!(!asks(&url, &Tls { ca: ca.clone(), identity: None }).await, "no certificate");
        assert!(!asks(&url, &Tls { ca: ca.clone(), identity: Some(identity(&theirs)) }).await, "of another authority");
        assert!(!asks(&url, &Tls { ca: Some(theirs.pem()), identity: Some(identity(&ours)) }).await, "not our server");
        assert!(!asks(&format!("http://localhost:{port}"), &Tls::default()).await, "plain text");
        shutdown.drain(std::time::Duration::from_secs(5)).await;
    }
}
