//! Topics, and which of them concern whom.

use super::Plan;

/// A topic, `products/update`, in two halves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Topic<'a> {
    /// `products`.
    pub(super) resource: &'a str,
    /// `update`; empty if there is none.
    pub(super) action: &'a str,
    /// True for the newer Events, whose bodies have the shape that their subscriber asked for.
    pub(super) is_event: bool,
}

/// What an adapter does with a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Concern {
    /// It is understood.
    Content,
    /// `shopify_advanced` would understand it.
    AdvancedOnly,
    /// It is known and never concerns a site.
    Nobody,
    /// It is not known.
    Unknown,
}

/// What both adapters understand.
const BASIC: [&str; 12] = [
    "app",
    "collection_listings",
    "collection_publications",
    "collections",
    "domains",
    "locales",
    "metaobjects",
    "product_listings",
    "product_publications",
    "products",
    "shop",
    "themes",
];

/// What only `shopify_advanced` understands.
const ADVANCED: [&str; 8] = [
    "bulk_operations",
    "inventory_items",
    "inventory_levels",
    "locations",
    "markets",
    "orders",
    "product_feeds",
    "variants",
];

/// Known topics without anything for a site. Most of them have personal fields, so they must not be kept as unknown
/// ones are.
const NOBODY: &[&str] = &[
    "app_purchases_one_time",
    "app_subscriptions",
    "audit_events",
    "carts",
    "channels",
    "checkouts",
    "companies",
    "company_contact_roles",
    "company_contacts",
    "company_locations",
    "customer.joined_segment",
    "customer.left_segment",
    "customer.tags_added",
    "customer.tags_removed",
    "customer_account_settings",
    "customer_groups",
    "customer_payment_methods",
    "customers",
    "customers_email_marketing_consent",
    "customers_marketing_consent",
    "customers_whats_app_marketing_consent",
    "delivery_promise_settings",
    "discounts",
    "disputes",
    "draft_orders",
    "finance_app_staff_member",
    "finance_kyc_information",
    "fulfillment_events",
    "fulfillment_holds",
    "fulfillment_orders",
    "fulfillments",
    "inventory_shipments",
    "inventory_transfers",
    "markets_backup_region",
    "metafield_definitions",
    "order_transactions",
    "payment_schedules",
    "payment_terms",
    "profiles",
    "refunds",
    "returns",
    "reverse_deliveries",
    "reverse_fulfillment_orders",
    "scheduled_product_listings",
    "segments",
    "selling_plan_groups",
    "shipping_addresses",
    "subscription_billing_attempts",
    "subscription_billing_cycle_edits",
    "subscription_billing_cycles",
    "subscription_contracts",
    "tax_services",
    "tender_transactions",
];

impl<'a> Topic<'a> {
    /// `products/update`.
    pub(super) fn of_webhook(name: &'a str) -> Self {
        let (resource, action) = name.split_once('/').unwrap_or((name, ""));
        Self { resource, action, is_event: false }
    }

    /// `Product` and `update`.
    pub(super) fn of_event(name: &'a str, action: &'a str) -> Self {
        let resource = match name {
            "Collection" => "collections",
            "Customer" => "customers",
            "InventoryItem" => "inventory_items",
            "InventoryLevel" => "inventory_levels",
            "Location" => "locations",
            "Market" => "markets",
            "Metaobject" => "metaobjects",
            "Order" => "orders",
            "Product" => "products",
            _ => return Self { is_event: true, ..Self::of_webhook(name) },
        };
        Self { resource, action, is_event: true }
    }

    /// The topic as it is written in subscriptions, at most 100 characters.
    pub(super) fn name(&self) -> String {
        let (slash, action) = if self.action.is_empty() { ("", "") } else { ("/", self.action) };
        let mut name = [self.resource, slash, action].concat();
        if let Some((end, _)) = name.char_indices().nth(100) {
            name.truncate(end);
        }
        name
    }

    /// What an adapter of the plan does with it.
    pub(super) fn concern(&self, plan: Plan) -> Concern {
        if BASIC.contains(&self.resource) {
            Concern::Content
        } else if ADVANCED.contains(&self.resource) {
            if plan == Plan::Advanced { Concern::Content } else { Concern::AdvancedOnly }
        } else if NOBODY.contains(&self.resource) {
            Concern::Nobody
        } else {
            Concern::Unknown
        }
    }
}
