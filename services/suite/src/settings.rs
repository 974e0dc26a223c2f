//! The settings of the suite, typed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use freshet_bus::sqlite::QueueOptions;
use freshet_ingress::IngressConfig;
use freshet_kit::config::Layers;
use freshet_kit::logging::LogFormat;

/// The compiled-in defaults, which are also the documentation.
pub const DEFAULTS: &[&str] = &[include_str!("config.default.toml"), freshet_ingress::DEFAULTS];

/// What `freshet dev` runs with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Folder of everything that is kept.
    pub data: PathBuf,
    /// The catalogue's file.
    pub catalogue: PathBuf,
    /// Log directives.
    pub log: String,
    /// How log lines look.
    pub log_format: LogFormat,
    /// How long a stop may take.
    pub drain_deadline: Duration,
    /// Where the edge listens.
    pub http_address: SocketAddr,
    /// Where gRPC listens.
    pub grpc_address: SocketAddr,
    /// Bounds of the edge.
    pub ingress: IngressConfig,
    /// How the build queue treats its messages.
    pub queue: QueueOptions,
}

impl Settings {
    /// Reads and checks everything; every problem at once.
    pub fn read(layers: &Layers) -> Result<Self, Vec<String>> {
        let settings = Self {
            data: layers.path("suite.data"),
            catalogue: layers.path("suite.catalogue"),
            log: layers.log_directives("suite.log"),
            log_format: match layers.word("suite.log_format", &["json", "text"]) {
                "text" => LogFormat::Text,
                _ => LogFormat::Json,
            },
            drain_deadline: layers.duration("suite.drain_deadline"),
            http_address: layers.address("ingress.http_address"),
            grpc_address: layers.address("grpc.address"),
            ingress: IngressConfig::read(layers),
            queue: QueueOptions {
                visibility: layers.duration("bus.visibility"),
                max_receives: layers.number("bus.max_receives", 1, 1_000) as u32,
            },
        };
        if settings.http_address == settings.grpc_address && settings.http_address.port() != 0 {
            layers.problem("`ingress.http_address` and `grpc.address` must differ");
        }
        // Handling a batch of events takes well under a second; less than this would hand it to two workers at once.
        if settings.queue.visibility < Duration::from_secs(5) {
            layers.problem("`bus.visibility` must be at least 5s, or an event could be handled twice at the same time");
        }
        layers.finish()?;
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_complete_and_documented() {
        let layers = Layers::new_of(DEFAULTS);
        Settings::read(&layers).expect("good");
        for setting in layers.explain() {
            assert!(!setting.meaning.is_empty(), "{} has no comment", setting.key);
        }
    }

    #[test]
    fn rules_between_settings_are_checked_before_anything_listens() {
        let mut layers = Layers::new_of(DEFAULTS);
        layers.file("f.toml", "[grpc]\naddress = \"127.0.0.1:8080\"\n[bus]\nvisibility = \"1s\"");
        let problems = Settings::read(&layers).expect_err("two");
        assert_eq!(problems.len(), 2, "{problems:?}");
    }
}
