//! Checking and explaining the configuration.

use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;

use super::Target;
use super::dev::{SettingsArgs, environment};
use super::output::{line, note, table};
use crate::catalogue::CatalogueReader;
use crate::settings::Settings;

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
            let is_good = match Settings::read(&layers) {
                Ok(_) => true,
                Err(problems) => {
                    problems.iter().for_each(note);
                    false
                }
            };
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
            Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::from(BAD_CONFIG) })
        }
    }
}

/// What a check found.
#[derive(Default)]
struct Findings {
    /// For programs.
    problems: Vec<String>,
    /// What there is, if all is good.
    counts: Option<Counts>,
}

/// How much a catalogue has.
#[derive(Clone, Copy, serde::Serialize)]
struct Counts {
    clients: usize,
    sources: usize,
    sites: usize,
    keys: usize,
}

fn check(target: &Target, args: &SettingsArgs) -> anyhow::Result<ExitCode> {
    let layers = args.layers(target, &environment())?;
    // Where the catalogue is can be known while other settings are wrong.
    let (path, data) = (layers.path("suite.catalogue"), layers.path("suite.data"));
    let mut found = Findings::default();
    if let Err(problems) = Settings::read(&layers) {
        found.problems = problems;
    }
    match std::fs::read_to_string(&path) {
        Ok(text) => check_catalogue(&path, &data, &text, &mut found),
        Err(error) => found.problems.push(format!("{}: cannot be read: {error}", path.display())),
    }
    let is_good = found.problems.is_empty();
    if target.json() {
        let answer = serde_json::json!({
            "catalogue": path.display().to_string(), "good": is_good, "problems": found.problems, "has": found.counts
        });
        line(serde_json::to_string_pretty(&answer)?);
    } else if let (true, Some(Counts { clients, sources, sites, keys })) = (is_good, found.counts) {
        let path = path.display();
        note(format!("{path}: good: {clients} clients, {sources} sources, {sites} sites, {keys} keys"));
    } else {
        found.problems.iter().for_each(line);
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::from(BAD_CONFIG) })
}

fn check_catalogue(path: &Path, data: &Path, text: &str, found: &mut Findings) {
    let registry = std::sync::Arc::new(freshet_providers::Registry::new());
    let reader = CatalogueReader::new(path, data, environment(), registry, "").looking_only();
    match reader.read(text) {
        Ok(catalogue) => {
            found.counts = Some(Counts {
                clients: catalogue.clients.len(),
                sources: catalogue.clients.values().map(|client| client.sources.len()).sum(),
                sites: catalogue.sites().count(),
                // One is the data folder's own.
                keys: catalogue.keys.len() - 1,
            });
        }
        Err(problems) => found.problems.extend(problems.lines().map(str::to_owned)),
    }
}
