//! The settings of a shop.

use freshet_domain::catalogue::{SettingProblem, Settings, Source};

use crate::git::text_problem;

/// Their names.
pub(super) const SETTINGS: &[&str] = &["shop", "inventory"];

/// The settings, read.
pub(super) struct ShopSettings {
    /// `<name>.myshopify.com`; deliveries of other shops are refused.
    pub(super) shop: Option<String>,
    pub(super) inventory: Inventory,
}

/// What about stock is content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inventory {
    /// Whether something can be bought: a sale that leaves some in stock starts no build.
    Availability,
    /// The number in stock: every sale starts a build.
    Exact,
}

impl ShopSettings {
    /// Reads the settings.
    pub(super) fn read(settings: &Settings) -> Self {
        let inventory =
            if settings.text("inventory") == Some("exact") { Inventory::Exact } else { Inventory::Availability };
        Self { shop: settings.text("shop").map(str::to_ascii_lowercase), inventory }
    }
}

/// What is wrong with the source.
pub(super) fn check(source: &Source) -> Vec<SettingProblem> {
    let settings = &source.settings;
    let mut problems = Vec::new();
    let mut problem = |setting, message: &str| problems.push(SettingProblem { setting, message: message.to_owned() });
    if let Some(message) = text_problem(settings, "shop") {
        problem("shop", message);
    } else if let Some(shop) = settings.text("shop") {
        let is_name = shop.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.');
        // Deliveries name the shop by this domain only, also when it has a domain of its own.
        if !is_name || !shop.to_ascii_lowercase().contains(".myshopify.") || shop.starts_with('.') {
            problem("shop", "must be the shop's permanent domain, `<name>.myshopify.com`, without https://");
        }
    }
    if let Some(message) = text_problem(settings, "inventory") {
        problem("inventory", message);
    } else if settings.text("inventory").is_some_and(|text| !matches!(text, "availability" | "exact")) {
        problem("inventory", "must be `availability` (whether it can be bought) or `exact` (the number in stock)");
    }
    if source.secrets.is_empty() {
        problem(
            "secrets",
            "needs at least one: the app's client secret, or for webhooks made in the shop's admin the key shown at \
             Settings > Notifications > Webhooks",
        );
    }
    problems
}
