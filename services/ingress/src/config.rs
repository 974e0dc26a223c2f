//! Bounds of the edge, and the settings that move them.

use std::time::Duration;

use freshet_kit::config::Layers;

/// The compiled-in defaults, which are also the documentation.
pub const DEFAULTS: &str = include_str!("config.default.toml");

/// Bounds of the edge.
#[derive(Clone, Copy, Debug)]
pub struct IngressConfig {
    /// A request's head must be there within this time.
    pub header_timeout: Duration,
    /// Longest silence inside a body.
    pub body_idle_timeout: Duration,
    /// A body must be there within this time.
    pub body_timeout: Duration,
    /// Validation and content must answer within this time, or the spool takes over. The tightest provider gives up
    /// after 2 s.
    pub answer_budget: Duration,
    /// Webhook requests at once; more are answered 503 with Retry-After.
    pub requests_max: usize,
    /// Bytes of bodies in memory at once; more are answered 503 with Retry-After.
    pub body_bytes_in_flight_max: usize,
    /// Connections at once; more wait to be accepted.
    pub connections_max: usize,
}

impl Default for IngressConfig {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            body_idle_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(60),
            answer_budget: Duration::from_millis(1_500),
            requests_max: 4_096,
            body_bytes_in_flight_max: 512 << 20,
            connections_max: 10_000,
        }
    }
}

impl IngressConfig {
    /// Reads them; problems stay in the layers.
    pub fn read(layers: &Layers) -> Self {
        Self {
            header_timeout: layers.duration("ingress.header_timeout"),
            body_idle_timeout: layers.duration("ingress.body_idle_timeout"),
            body_timeout: layers.duration("ingress.body_timeout"),
            answer_budget: layers.duration("ingress.answer_budget"),
            requests_max: layers.number("ingress.requests_max", 1, 1_000_000) as usize,
            connections_max: layers.number("ingress.connections_max", 1, 1_000_000) as usize,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_type_and_documented() {
        let layers = Layers::new(DEFAULTS);
        let read = IngressConfig::read(&layers);
        layers.finish().expect("good");
        assert_eq!(format!("{read:?}"), format!("{:?}", IngressConfig::default()));
        for setting in layers.explain() {
            assert!(!setting.meaning.is_empty(), "{} has no comment", setting.key);
        }
    }
}
