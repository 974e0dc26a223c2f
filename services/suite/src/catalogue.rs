//! The suite's catalogue: the file, and the root key of the data folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use freshet_domain::Catalogue;
use freshet_domain::catalogue::{ApiKey, KeyClients, Scope};
use freshet_kit::catalogue::{parse, report, watch_file};
use freshet_kit::secret::LocalSecrets;
use freshet_kit::{CatalogueHandle, Shutdown};
use freshet_providers::Registry;
use sha2::{Digest, Sha256};

/// Reads catalogues with everything that they may refer to.
pub struct CatalogueReader {
    registry: Arc<Registry>,
    secrets: LocalSecrets,
    base: PathBuf,
    file: String,
    root_key: String,
}

impl CatalogueReader {
    /// For the catalogue in `file`. Relative paths in it start at its folder; `local:` secrets are kept in `data`.
    pub fn new(
        file: &Path,
        data: &Path,
        environment: BTreeMap<String, String>,
        registry: Arc<Registry>,
        root_key: &str,
    ) -> Self {
        let base = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Self {
            registry,
            secrets: LocalSecrets::new(environment, base, Some(data.join("secrets"))),
            base: base.to_owned(),
            file: file.display().to_string(),
            root_key: root_key.to_owned(),
        }
    }

    /// Makes no `local:` secret that is not there yet.
    #[must_use]
    pub fn looking_only(self) -> Self {
        Self { secrets: self.secrets.looking_only(), ..self }
    }

    /// Puts each new edition of the file in force, until the soft stop.
    pub fn watch(self, handle: CatalogueHandle, path: PathBuf, shutdown: Shutdown) -> impl Future<Output = ()> + Send {
        let reader = Arc::new(self);
        let files = {
            let reader = reader.clone();
            move |text: &str| reader.secret_files(text)
        };
        watch_file(handle, path, shutdown, files, move |text| reader.read(text))
    }

    /// The files of secrets that an edition refers to.
    fn secret_files(&self, text: &str) -> Vec<PathBuf> {
        let references = freshet_kit::secret::references(text, "file:");
        references.iter().filter_map(|reference| Some(self.base.join(reference.strip_prefix("file:")?))).collect()
    }

    /// Reads one edition. The error has a line for each mistake.
    pub fn read(&self, text: &str) -> Result<Catalogue, String> {
        let mut catalogue = parse(text, &self.base, &*self.registry, &self.secrets)
            .map_err(|problems| report(&self.file, &problems))?;
        let root =
            ApiKey { name: "root".to_owned(), clients: KeyClients::All, scopes: Scope::ALL.to_vec(), source: None };
        catalogue.keys.insert(Sha256::digest(self.root_key.as_bytes()).into(), Arc::new(root));
        Ok(catalogue)
    }
}
