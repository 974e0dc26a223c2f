//! Shopify: products, collections and settings (`shopify_basic`), and stock, orders, markets and feeds on top
//! (`shopify_advanced`).
//!
//! Only the body is signed. The topic, the shop and every time outside of the body are not, so the topic is checked
//! against the body's shape: whoever holds one genuine body must not be able to replay it under another topic.

mod assets;
mod context;
mod descriptor;
mod envelope;
mod feed;
mod inventory;
mod normalise;
mod order;
mod pick;
mod privacy;
mod product;
mod resource;
mod sample;
mod settings;
mod shop;
#[cfg(test)]
mod tests;
mod topic;
mod verify;

use std::sync::Arc;

use freshet_domain::catalogue::{SettingProblem, Source};
use secrecy::ExposeSecret;

use crate::signature::HmacKey;
use crate::{
    Adapter, Descriptor, Normalised, PreparedSource, Proof, RawDelivery, Refusal, SampleDelivery, SampleRequest,
};
use settings::ShopSettings;

/// How much of a shop an adapter understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    Basic,
    Advanced,
}

/// The adapter for a shop's content: products, collections, metaobjects, settings.
pub struct ShopifyBasic;

/// The adapter for content, stock, orders, markets and product feeds.
pub struct ShopifyAdvanced;

impl Adapter for ShopifyBasic {
    fn descriptor(&self) -> &'static Descriptor {
        &descriptor::BASIC
    }

    fn check_source(&self, source: &Source) -> Vec<SettingProblem> {
        settings::check(source)
    }

    fn prepare(&self, source: Arc<Source>) -> Box<dyn PreparedSource> {
        Box::new(Shop::new(source, Plan::Basic))
    }

    fn sample_events(&self) -> &'static [&'static str] {
        sample::BASIC_EVENTS
    }

    fn sample(&self, request: &SampleRequest<'_>) -> Option<SampleDelivery> {
        sample::sample(request, sample::BASIC_EVENTS)
    }
}

impl Adapter for ShopifyAdvanced {
    fn descriptor(&self) -> &'static Descriptor {
        &descriptor::ADVANCED
    }

    fn check_source(&self, source: &Source) -> Vec<SettingProblem> {
        settings::check(source)
    }

    fn prepare(&self, source: Arc<Source>) -> Box<dyn PreparedSource> {
        Box::new(Shop::new(source, Plan::Advanced))
    }

    fn sample_events(&self) -> &'static [&'static str] {
        sample::ADVANCED_EVENTS
    }

    fn sample(&self, request: &SampleRequest<'_>) -> Option<SampleDelivery> {
        sample::sample(request, sample::ADVANCED_EVENTS)
    }
}

/// A source that is a shop, ready for deliveries.
struct Shop {
    source: Arc<Source>,
    settings: ShopSettings,
    keys: Vec<HmacKey>,
    plan: Plan,
}

impl Shop {
    fn new(source: Arc<Source>, plan: Plan) -> Self {
        let keys = source.secrets.iter().map(|secret| HmacKey::new(secret.expose_secret().as_bytes())).collect();
        Self { settings: ShopSettings::read(&source.settings), keys, plan, source }
    }
}

impl PreparedSource for Shop {
    fn verify(&self, delivery: &RawDelivery<'_>) -> Result<Proof, Refusal> {
        verify::verify(delivery, &self.keys, self.settings.shop.as_deref())
    }

    fn normalise(&self, delivery: &RawDelivery<'_>) -> Result<Normalised, Refusal> {
        normalise::normalise(&self.source.id, &self.settings, self.plan, delivery)
    }
}
