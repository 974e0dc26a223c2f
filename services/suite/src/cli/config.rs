//! Checking and explaining the configuration.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::Target;
use super::dev::{SettingsArgs, environment};
use super::output::{line, note, table};

/// Checking and explaining the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check the settings and the catalogue; every problem is printed with its line
    Check {
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Show each setting with its value, where that came from, and what it means
    Explain {
        #[command(flatten)]
        settings: SettingsArgs,
    },
}

/// The exit code for a bad configuration (`EX_USAGE`).
const BAD_CONFIG: u8 = 64;

pub(crate) fn run(target: &Target, command: ConfigCommand) -> anyhow::Result<ExitCode> {
    match command {
        ConfigCommand::Check { settings } => check(target, &settings),
        ConfigCommand::Explain { settings } => {
            let layers = settings.layers(target, &environment())?;
            let rows = layers.explain();
            if target.json() {
                let rows: Vec<_> = rows
                    .iter()
                    .map(|row| {
                        serde_json::json!({
                            "key": row.key, "value": row.value, "from": row.origin.to_string(), "meaning": row.meaning
                        })
                    })
                    .collect();
                line(serde_json::to_string_pretty(&rows)?);
            } else {
                let rows = rows.into_iter().map(|row| vec![row.key, row.value, row.origin.to_string(), row.meaning]);
                table(&["SETTING", "VALUE", "FROM", "MEANING"], rows.collect());
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn check(target: &Target, args: &SettingsArgs) -> anyhow::Result<ExitCode> {
    let settings = match args.settings(target, &environment())? {
        Ok(settings) => settings,
        Err(problems) => {
            problems.iter().for_each(line);
            return Ok(ExitCode::from(BAD_CONFIG));
        }
    };
    let path: PathBuf = settings.catalogue.clone();
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => {
            line(format!("{}: cannot be read: {error}", path.display()));
            return Ok(ExitCode::from(BAD_CONFIG));
        }
    };
    let reader = crate::catalogue::CatalogueReader::new(
        &path,
        &settings.data,
        environment(),
        std::sync::Arc::new(freshet_providers::Registry::new()),
        "",
    );
    match reader.read(&text) {
        Ok(catalogue) => {
            let sources: usize = catalogue.clients.values().map(|client| client.sources.len()).sum();
            note(format!(
                "{}: good: {} clients, {sources} sources, {} sites, {} keys",
                path.display(),
                catalogue.clients.len(),
                catalogue.sites().count(),
                catalogue.keys.len() - 1,
            ));
            Ok(ExitCode::SUCCESS)
        }
        Err(problems) => {
            line(problems.trim_end());
            Ok(ExitCode::from(BAD_CONFIG))
        }
    }
}
