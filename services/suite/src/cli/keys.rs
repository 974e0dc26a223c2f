//! Making API keys. The key is shown once; the catalogue keeps its digest.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;
use freshet_domain::catalogue::Scope;
use freshet_domain::{ClientId, SourceId};
use freshet_kit::secret;
use sha2::{Digest, Sha256};

use super::Target;
use super::dev::environment;
use super::output::{line, note};
use crate::catalogue::CatalogueReader;

/// Making API keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a key and print it once, with the lines for the catalogue
    New {
        /// Name that receipts and logs show in place of the key
        name: String,
        /// Clients that it may act for, or `*`
        #[arg(long = "for", value_delimiter = ',', required = true, value_name = "CLIENT")]
        clients: Vec<String>,
        /// What it may do
        #[arg(long, value_delimiter = ',', default_value = "webhook")]
        scopes: Vec<String>,
        /// The only source that it may deliver for
        #[arg(long)]
        source: Option<String>,
        /// Add the lines to this catalogue
        #[arg(long, value_name = "FILE")]
        write: Option<std::path::PathBuf>,
    },
}

pub(crate) fn run(target: &Target, command: KeysCommand) -> anyhow::Result<ExitCode> {
    let KeysCommand::New { name, clients, scopes, source, write } = command;
    anyhow::ensure!(
        !name.trim().is_empty() && !name.chars().any(char::is_control),
        "a key's name must not be empty and has no control characters"
    );
    for client in clients.iter().filter(|client| *client != "*") {
        ClientId::new(client).map_err(|error| anyhow::anyhow!("--for: `{client}` {error}"))?;
    }
    anyhow::ensure!(clients == ["*"] || !clients.iter().any(|client| client == "*"), "--for: `*` stands alone");
    for scope in &scopes {
        if Scope::parse(scope).is_none() {
            let all: Vec<&str> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
            anyhow::bail!("`{scope}` is not a scope; there are: {}", all.join(", "));
        }
    }
    if let Some(source) = &source {
        SourceId::new(source).map_err(|error| anyhow::anyhow!("--source: `{source}` {error}"))?;
    }
    let key = secret::generate("fk_")?;
    let lines = lines(&key, &name, &clients, &scopes, source.as_deref());
    // First, so that no key is shown that the catalogue does not have.
    if let Some(path) = &write {
        add(target, path, &lines)?;
    }
    if target.json() {
        line(serde_json::json!({ "key": key, "catalogue": lines }).to_string());
    } else {
        line(&key);
    }
    match write {
        Some(path) => note(format!("added to {}; a running suite takes it within a second or two", path.display())),
        None if !target.json() => note(format!("\nThe key is not shown again. Add to the catalogue:\n\n{lines}")),
        None => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// What the catalogue needs.
fn lines(key: &str, name: &str, clients: &[String], scopes: &[String], source: Option<&str>) -> String {
    // Without control characters, a text in JSON is one in TOML.
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let list = |items: &[String]| items.iter().map(|item| text(item)).collect::<Vec<_>>().join(", ");
    let clients = if clients == ["*"] { text("*") } else { format!("[{}]", list(clients)) };
    let digest = hex::encode(Sha256::digest(key.as_bytes()));
    let mut lines = format!(
        "[[key]]\nname = {}\nsha256 = \"{digest}\"\nclients = {clients}\nscopes = [{}]\n",
        text(name),
        list(scopes)
    );
    if let Some(source) = source {
        lines.push_str(&format!("source = {}\n", text(source)));
    }
    lines
}

/// Adds the key to a catalogue, unless that would be a mistake there that was not there before.
fn add(target: &Target, path: &Path, lines: &str) -> anyhow::Result<()> {
    let path = std::fs::canonicalize(path).with_context(|| format!("cannot find the catalogue {}", path.display()))?;
    let old =
        std::fs::read_to_string(&path).with_context(|| format!("cannot read the catalogue {}", path.display()))?;
    let new = format!("{}\n\n{lines}", old.trim_end());
    let registry = std::sync::Arc::new(freshet_providers::Registry::new());
    let reader = CatalogueReader::new(&path, &target.data(), environment(), registry, "").looking_only();
    let known = reader.read(&old).err().unwrap_or_default();
    let problems = reader.read(&new).err().unwrap_or_default();
    let added: Vec<&str> = problems.lines().filter(|problem| !known.lines().any(|known| known == *problem)).collect();
    anyhow::ensure!(added.is_empty(), "the key was not added, because of:\n{}", added.join("\n"));
    replace(&path, &new).with_context(|| format!("cannot write the catalogue {}", path.display()))
}

/// Replaces a file at once: a suite that reads it sees the old text or the new one.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().set_permissions(std::fs::metadata(path)?.permissions())?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}
