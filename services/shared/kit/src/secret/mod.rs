//! References to secrets, and reading them.

#[cfg(any(test, feature = "testkit"))]
pub mod contract;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use secrecy::SecretString;

/// Reads the secret that a reference names. The error says what is wrong with the reference, never the secret.
pub trait SecretResolver: Send + Sync {
    /// Reads one secret.
    fn resolve(&self, reference: &str) -> Result<SecretString, String>;

    /// Reads every value that is valid now, the present one first; during a rotation there can be a second.
    fn resolve_all(&self, reference: &str) -> Result<Vec<SecretString>, String> {
        self.resolve(reference).map(|secret| vec![secret])
    }
}

/// The resolver of the embedded engine.
///
/// - `env:NAME`: the environment variable.
/// - `file:PATH`: the file's content without a final line break. Relative paths start at the catalogue's folder.
/// - `local:NAME`: made on first use and kept in the data folder; for trying things out on one machine.
pub struct LocalSecrets {
    environment: BTreeMap<String, String>,
    base: PathBuf,
    local: Option<PathBuf>,
    makes_local: bool,
}

/// Without the environment, which has secrets.
impl fmt::Debug for LocalSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSecrets").field("base", &self.base).field("local", &self.local).finish_non_exhaustive()
    }
}

impl LocalSecrets {
    /// `environment` is a copy of the process's environment; `base` is where relative `file:` paths start; `local` is
    /// the folder of `local:` secrets, or `None` where they are not allowed.
    pub fn new(environment: BTreeMap<String, String>, base: impl Into<PathBuf>, local: Option<PathBuf>) -> Self {
        Self { environment, base: base.into(), local, makes_local: true }
    }

    /// Keeps no new `local:` secret: one that is not there yet is another each time.
    #[must_use]
    pub fn looking_only(self) -> Self {
        Self { makes_local: false, ..self }
    }

    fn local(&self, name: &str) -> Result<String, String> {
        let Some(folder) = &self.local else {
            return Err("`local:` secrets are for `freshet dev` only; use `env:` or `file:`".into());
        };
        if freshet_domain::SourceId::new(name).is_err() {
            return Err("the name after `local:` must be 1 to 40 characters of a-z, 0-9 and -".into());
        }
        let path = folder.join(name);
        if let Ok(text) = std::fs::read_to_string(&path) {
            return Ok(text.trim_end().to_owned());
        }
        // Standard base64, because that is the form that Standard Webhooks secrets must have.
        let text = random_bytes().map_err(|error| format!("no random numbers: {error}"))?;
        let text = base64::engine::general_purpose::STANDARD.encode(text);
        if !self.makes_local {
            return Ok(text);
        }
        write_private(&path, &text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        Ok(text)
    }
}

impl SecretResolver for LocalSecrets {
    fn resolve(&self, reference: &str) -> Result<SecretString, String> {
        let text = match reference.split_once(':') {
            Some(("env", name)) => self
                .environment
                .get(name)
                .cloned()
                .ok_or_else(|| format!("the environment variable {name} is not set"))?,
            Some(("file", path)) => std::fs::read_to_string(self.base.join(path))
                .map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
                .map_err(|error| format!("the file {path} cannot be read: {error}"))?,
            Some(("local", name)) => self.local(name)?,
            // The text itself is not quoted: somebody may have written the secret here.
            _ => return Err("a secret is a reference: `env:NAME`, `file:path` or `local:name`".into()),
        };
        if text.trim().is_empty() {
            return Err(format!("`{reference}` is empty; an empty secret would let everybody in"));
        }
        Ok(SecretString::from(text))
    }
}

/// Every reference of a scheme, such as `file:`, that a catalogue has. Those of builds are the builds' own.
pub fn references(catalogue: &str, scheme: &str) -> Vec<String> {
    fn collect(value: &toml::Value, scheme: &str, into: &mut Vec<String>) {
        match value {
            toml::Value::String(text) if text.starts_with(scheme) => into.push(text.clone()),
            toml::Value::Array(list) => list.iter().for_each(|value| collect(value, scheme, into)),
            toml::Value::Table(table) => {
                let others = table.iter().filter(|(name, _)| *name != "secret_env");
                others.for_each(|(_, value)| collect(value, scheme, into));
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    if let Ok(table) = catalogue.parse::<toml::Table>() {
        collect(&toml::Value::Table(table), scheme, &mut found);
    }
    found
}

/// A new secret: 32 random bytes, as text, after a prefix.
pub fn generate(prefix: &str) -> std::io::Result<String> {
    Ok(format!("{prefix}{}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(random_bytes()?)))
}

fn random_bytes() -> std::io::Result<[u8; 32]> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(bytes)
}

/// Writes a file that only its owner can read.
pub fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn secrets(folder: &Path) -> LocalSecrets {
        let environment = BTreeMap::from([("A".to_owned(), "alpha".to_owned()), ("EMPTY".to_owned(), " ".to_owned())]);
        LocalSecrets::new(environment, folder, Some(folder.join("secrets")))
    }

    #[test]
    fn references_are_read() {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(folder.path().join("s"), "sigma\n").expect("written");
        let secrets = secrets(folder.path());
        assert_eq!(secrets.resolve("env:A").expect("set").expose_secret(), "alpha");
        assert_eq!(secrets.resolve("file:s").expect("there").expose_secret(), "sigma");
        let made = secrets.resolve("local:shop").expect("made");
        assert_eq!(secrets.resolve("local:shop").expect("kept").expose_secret(), made.expose_secret());
    }

    #[test]
    fn p8_a_secret_written_in_place_of_a_reference_is_not_repeated() {
        let folder = tempfile::tempdir().expect("folder");
        let error = secrets(folder.path()).resolve("hunter2").expect_err("no reference");
        assert!(!error.contains("hunter2"), "{error}");
        for bad in ["env:NOPE", "env:EMPTY", "file:nope", "local:../x"] {
            assert!(secrets(folder.path()).resolve(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn whoever_only_looks_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("folder");
        secrets(folder.path()).looking_only().resolve("local:shop").expect("one that would be made");
        assert!(!folder.path().join("secrets").exists());
        let made = secrets(folder.path()).resolve("local:shop").expect("made");
        let seen = secrets(folder.path()).looking_only().resolve("local:shop").expect("there");
        assert_eq!(seen.expose_secret(), made.expose_secret());
    }

    #[test]
    fn p8_secrets_do_not_print_themselves() {
        assert!(!format!("{:?}", secrets(Path::new("."))).contains("alpha"));
    }

    /// The contract, of variables and of files.
    struct Kept {
        folder: tempfile::TempDir,
        variables: std::sync::Mutex<BTreeMap<String, String>>,
        in_files: bool,
    }

    impl Kept {
        fn open(in_files: bool) -> Self {
            Self { folder: tempfile::tempdir().expect("folder"), variables: std::sync::Mutex::default(), in_files }
        }
    }

    impl contract::Subject for Kept {
        async fn put(&self, name: &str, value: &str) -> String {
            if self.in_files {
                std::fs::write(self.folder.path().join(name), format!("{value}\n")).expect("written");
            } else {
                self.variables.lock().expect("no panic").insert(name.to_owned(), value.to_owned());
            }
            self.missing(name)
        }

        fn missing(&self, name: &str) -> String {
            format!("{}:{name}", if self.in_files { "file" } else { "env" })
        }

        async fn resolver(&self, _: &[&str]) -> Box<dyn SecretResolver> {
            let variables = self.variables.lock().expect("no panic").clone();
            Box::new(LocalSecrets::new(variables, self.folder.path(), None))
        }
    }

    mod variables {
        async fn open() -> super::Kept {
            super::Kept::open(false)
        }

        crate::secrets_contract!(open, if true);
    }

    mod files {
        async fn open() -> super::Kept {
            super::Kept::open(true)
        }

        crate::secrets_contract!(open, if true);
    }
}
