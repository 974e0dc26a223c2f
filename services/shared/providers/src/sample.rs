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
    /// Which state of the entry: each revision gives other content and a later update time.
    pub revision: u64,
    /// Address below which `mug.svg`, `chair.svg`, `lamp.svg` and `hero.svg` can be seen, without a final slash.
    pub asset_base: &'a str,
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
