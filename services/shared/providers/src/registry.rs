//! Every adapter, by name.

use std::collections::BTreeMap;

use freshet_domain::catalogue::{ProviderRules, SettingProblem, Source};

use crate::Adapter;

/// Every adapter, by name.
pub struct Registry {
    adapters: BTreeMap<&'static str, Box<dyn Adapter>>,
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl Registry {
    /// All adapters of this crate.
    pub fn new() -> Self {
        let adapters: Vec<Box<dyn Adapter>> = vec![
            Box::new(crate::decap::Decap),
            Box::new(crate::sanity::Sanity),
            Box::new(crate::shopify::ShopifyAdvanced),
            Box::new(crate::shopify::ShopifyBasic),
            Box::new(crate::standard_webhooks::StandardWebhooks),
            Box::new(crate::strapi::Strapi),
            Box::new(crate::tina::Tina),
            Box::new(crate::woocommerce::WooCommerce),
        ];
        Self { adapters: adapters.into_iter().map(|adapter| (adapter.descriptor().name, adapter)).collect() }
    }

    /// The adapter of that name.
    pub fn get(&self, name: &str) -> Option<&dyn Adapter> {
        self.adapters.get(name).map(AsRef::as_ref)
    }

    /// Every adapter, by name.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Adapter> {
        self.adapters.values().map(AsRef::as_ref)
    }
}

impl ProviderRules for Registry {
    fn providers(&self) -> Vec<&'static str> {
        self.adapters.keys().copied().collect()
    }

    fn setting_names(&self, provider: &str) -> &'static [&'static str] {
        self.get(provider).map_or(&[], |adapter| adapter.descriptor().settings)
    }

    fn check_source(&self, source: &Source) -> Vec<SettingProblem> {
        self.get(&source.provider).map_or_else(Vec::new, |adapter| adapter.check_source(source))
    }
}
