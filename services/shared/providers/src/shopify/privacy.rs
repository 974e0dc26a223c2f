//! The three topics about privacy that every app must obey.

use freshet_domain::{Change, EntryKey, Kind, Lane, SourceVersion};

use super::context::Context;
use super::order::ORDER;
use crate::Refusal;
use crate::json::Object;

/// What is answered to `customers/data_request`.
pub(super) const DATA_HELD: &str = "Freshet keeps orders only, without names, addresses, mail addresses or telephone \
                                    numbers, and nothing under the customer; there is nothing to hand out";

/// `customers/redact`: the customer's orders go for good, with every delivery that carried them.
pub(super) fn customer(context: &Context<'_>, object: &Object<'_>) -> Result<Vec<Change>, Refusal> {
    let version = SourceVersion::deleted_at(context.received_at);
    let redact = |entry_type, id| {
        Change::redact(context.key(entry_type, id), Kind::Order, version).without_build().in_lane(Lane::Urgent)
    };
    let mut changes = Vec::new();
    for order in object.array("orders_to_redact")? {
        changes.push(redact(ORDER, order.as_id()?.into_owned()));
    }
    if let Some(customer) = object.opt_object("customer")?
        && let Some(id) = customer.opt_id("id")?
    {
        changes.push(redact("customer", id.into_owned()));
    }
    if changes.is_empty() {
        return Err(object.error("orders_to_redact", "is empty and no customer is named").into());
    }
    Ok(changes)
}

/// `shop/redact`, 48 hours after the app was uninstalled: everything of the shop goes for good.
pub(super) fn shop(context: &Context<'_>, object: &Object<'_>) -> Result<Change, Refusal> {
    let named = object.str("shop_domain")?;
    if let Some(wanted) = &context.settings.shop
        && !named.eq_ignore_ascii_case(wanted)
    {
        // Everything would be removed on the word of a header that is not signed, so a person decides.
        return Err(Refusal::quarantined(
            "SHOP_MISMATCH",
            "shop_domain",
            "the body asks to remove another shop's data than that of the source's `shop`",
        ));
    }
    let key = context.key(EntryKey::ANY, EntryKey::ANY);
    let version = SourceVersion::deleted_at(context.received_at);
    Ok(Change::redact(key, Kind::Settings, version).in_lane(Lane::Urgent))
}
