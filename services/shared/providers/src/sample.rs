//! Realistic deliveries, signed as the provider signs: for `freshet send`, `freshet demo`, tests and benches.

use freshet_domain::Timestamp;
use freshet_domain::catalogue::Settings;

/// What to make.
#[derive(Clone, Copy, Debug)]
pub struct SampleRequest<'a> {
    /// One of [`crate::Adapter::sample_events`].
    pub event: &'a str,
    /// The source's secret; `None` if it has none (then the delivery is unsigned).
    pub secret: Option<&'a str>,
    /// The source's settings: shop, branch, header name, and so on.
    pub settings: &'a Settings,
    /// The time that the sender's clock shows.
    pub now: Timestamp,
    /// Which entry: each number gives another id. 0 is the first.
    pub number: u64,
    /// Which state of the entry: each revision gives other content, and each of the first [`LATER_MAX`] a later update
    /// time than the one before.
    pub revision: u64,
    /// Address below which `mug.svg`, `chair.svg`, `lamp.svg` and `hero.svg` can be seen, without a final slash.
    pub asset_base: &'a str,
}

/// A revision is no more steps than this later than the first one: whoever makes another one each time, from the clock,
/// must not date it far ahead.
pub const LATER_MAX: u64 = 60;

impl SampleRequest<'_> {
    /// How many steps the revision is later than the first one.
    pub(crate) fn later(&self) -> u64 {
        self.revision.min(LATER_MAX)
    }

    /// The revision where it is a price or a quantity.
    pub(crate) fn amount(&self) -> u64 {
        self.revision % 100
    }
}

/// A delivery ready to be posted to the source's webhook address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleDelivery {
    /// HTTP method.
    pub method: &'static str,
    /// Headers in the provider's order and letter case, without `host` and `content-length`.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}
