//! What all five programs read.

use std::time::Duration;

use freshet_kit::config::Layers;
use freshet_kit::logging::LogFormat;

/// The compiled-in defaults, which are also the documentation.
pub const DEFAULTS: &str = include_str!("config.default.toml");

/// The settings that all programs have.
#[derive(Clone, Debug)]
pub struct Common {
    /// Log directives.
    pub log: String,
    /// How log lines look.
    pub log_format: LogFormat,
    /// How long it goes on serving after SIGTERM while it is not ready.
    pub drain_delay: Duration,
    /// How long the stop after that may take.
    pub drain_deadline: Duration,
    /// File or `s3://bucket/key`.
    pub catalogue: String,
    /// How often the catalogue is looked at.
    pub catalogue_poll: Duration,
    /// How often secrets are read again.
    pub secrets_refresh: Duration,
    /// Reference to the authority's certificate.
    pub ca: Option<String>,
    /// References to our certificate and its key.
    pub identity: Option<(String, String)>,
    /// Where traces and metrics go; `None`: nowhere.
    pub otlp_endpoint: Option<String>,
    /// The environment's name in traces and metrics.
    pub environment: String,
    /// The share of traces that are exported.
    pub sample_ratio: f64,
}

impl Common {
    /// Reads them; problems stay in the layers.
    pub fn read(layers: &Layers) -> Self {
        let (cert, key) = (some(layers.text("rpc.cert")), some(layers.text("rpc.cert_key")));
        if cert.is_some() != key.is_some() {
            layers.problem("`rpc.cert` and `rpc.cert_key` must be set together");
        }
        let settings = Self {
            log: layers.log_directives("service.log"),
            log_format: match layers.word("service.log_format", &["json", "text"]) {
                "text" => LogFormat::Text,
                _ => LogFormat::Json,
            },
            drain_delay: layers.duration("service.drain_delay"),
            drain_deadline: layers.duration("service.drain_deadline"),
            catalogue: layers.required("catalogue.location"),
            catalogue_poll: layers.duration("catalogue.poll"),
            secrets_refresh: layers.duration("secrets.refresh"),
            ca: some(layers.text("rpc.ca")),
            identity: cert.zip(key),
            otlp_endpoint: some(layers.text("telemetry.otlp_endpoint")),
            environment: layers.text("telemetry.environment"),
            sample_ratio: layers.ratio("telemetry.sample_ratio"),
        };
        let is_address = |text: &String| text.starts_with("http://") || text.starts_with("https://");
        if settings.otlp_endpoint.as_ref().is_some_and(|endpoint| !is_address(endpoint)) {
            layers.problem("`telemetry.otlp_endpoint` must look like http://host:4317");
        }
        for (key, value) in [("catalogue.poll", settings.catalogue_poll), ("secrets.refresh", settings.secrets_refresh)]
        {
            if value < Duration::from_secs(1) {
                layers.problem(format!("`{key}` must be at least 1s"));
            }
        }
        settings
    }
}

/// `None` for an empty text.
pub fn some(text: String) -> Option<String> {
    (!text.trim().is_empty()).then(|| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_has_a_meaning_and_what_has_no_default_is_named() {
        let layers = Layers::new(DEFAULTS);
        for setting in layers.explain() {
            assert!(!setting.meaning.is_empty(), "{} has no comment", setting.key);
        }
        Common::read(&layers);
        let problems = layers.finish().expect_err("no catalogue");
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains("`catalogue.location`"), "{problems:?}");
    }

    #[test]
    fn a_certificate_needs_its_key() {
        let mut layers = Layers::new(DEFAULTS);
        layers.file("f.toml", "[catalogue]\nlocation = \"c.toml\"\npoll = \"1ms\"\n[rpc]\ncert = \"file:c.pem\"");
        Common::read(&layers);
        assert_eq!(layers.finish().expect_err("two").len(), 2);
    }
}
