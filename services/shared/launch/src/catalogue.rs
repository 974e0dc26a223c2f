//! The catalogue and the secrets of a program.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use freshet_kit::catalogue::{parse, report};
use freshet_kit::rpc::Tls;
use freshet_kit::secret::{LocalSecrets, SecretResolver as _};
use freshet_kit::{CatalogueHandle, Readiness, Shutdown};
use freshet_providers::Registry;
use secrecy::{ExposeSecret as _, SecretString};

use crate::Common;

/// Certificates; their references are to files and the environment only.
pub(crate) fn tls(common: &Common, environment: &BTreeMap<String, String>) -> anyhow::Result<Tls> {
    let secrets = LocalSecrets::new(environment.clone(), ".", None);
    let read = |reference: &str| secrets.resolve(reference).map_err(|problem| anyhow!("`rpc`: {problem}"));
    let ca = common.ca.as_deref().map(read).transpose()?.map(|pem| pem.expose_secret().to_owned());
    let identity = match &common.identity {
        None => None,
        Some((certificate, key)) => Some((read(certificate)?.expose_secret().to_owned(), read(key)?)),
    };
    Ok(Tls { ca, identity })
}

/// The secret that a reference names.
pub(crate) async fn secret(
    reference: &str,
    environment: &BTreeMap<String, String>,
    _aws: &aws_config::SdkConfig,
) -> anyhow::Result<SecretString> {
    LocalSecrets::new(environment.clone(), ".", None).resolve(reference).map_err(|problem| anyhow!(problem))
}

pub(crate) async fn load(
    common: &Common,
    environment: BTreeMap<String, String>,
    _aws: &aws_config::SdkConfig,
    registry: Arc<Registry>,
    _readiness: &Readiness,
    _shutdown: &Shutdown,
) -> anyhow::Result<CatalogueHandle> {
    let text = std::fs::read_to_string(&common.catalogue).context("the catalogue")?;
    let secrets = LocalSecrets::new(environment, ".", None);
    let catalogue = parse(&text, std::path::Path::new("."), &*registry, &secrets)
        .map_err(|problems| anyhow!(report(&common.catalogue, &problems)))?;
    Ok(CatalogueHandle::new(catalogue))
}
