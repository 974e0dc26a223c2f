//! Making API keys. The key is shown once; the catalogue keeps its digest.

use std::process::ExitCode;

use clap::Subcommand;
use freshet_domain::catalogue::Scope;
use freshet_kit::secret;
use sha2::{Digest, Sha256};

use super::Target;
use super::output::{line, note};

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
    for scope in &scopes {
        if Scope::parse(scope).is_none() {
            let all: Vec<&str> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
            anyhow::bail!("`{scope}` is not a scope; there are: {}", all.join(", "));
        }
    }
    let key = secret::generate("fk_")?;
    let list = |items: &[String]| items.iter().map(|item| format!("{item:?}")).collect::<Vec<_>>().join(", ");
    let clients = if clients == ["*"] { "\"*\"".to_owned() } else { format!("[{}]", list(&clients)) };
    let mut lines = format!(
        "[[key]]\nname = {name:?}\nsha256 = \"{}\"\nclients = {clients}\nscopes = [{}]\n",
        hex::encode(Sha256::digest(key.as_bytes())),
        list(&scopes)
    );
    if let Some(source) = source {
        lines.push_str(&format!("source = {source:?}\n"));
    }
    if target.json() {
        line(serde_json::json!({ "key": key, "catalogue": lines }).to_string());
    } else {
        line(&key);
    }
    match write {
        Some(path) => {
            let old = std::fs::read_to_string(&path)?;
            std::fs::write(&path, format!("{}\n\n{lines}", old.trim_end()))?;
            note(format!("added to {}; a running suite takes it within a second or two", path.display()));
        }
        None if !target.json() => note(format!("\nThe key is not shown again. Add to the catalogue:\n\n{lines}")),
        None => {}
    }
    Ok(ExitCode::SUCCESS)
}
