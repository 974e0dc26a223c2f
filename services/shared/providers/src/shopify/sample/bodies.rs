//! Bodies of the other topics.

use super::{Story, money, quoted};

const COLLECTIONS: [(&str, &str, &str); 6] = [
    ("For the Kitchen", "for-the-kitchen", "Things that are used every day and look it, in the best sense."),
    ("Slow Evenings", "slow-evenings", "Chairs, lamps, and somewhere to put the cup."),
    ("Made in the Workshop", "made-in-the-workshop", "Everything that left our own kiln and our own bench."),
    ("Gifts under 50", "gifts-under-50", "Small parcels that arrive as if somebody had thought about them."),
    ("The Oak Room", "the-oak-room", "One tree, many joints, no veneer."),
    ("New with the Tide", "new-with-the-tide", "What the last weeks have brought in."),
];

const LOOKS: [(&str, &str); 6] = [
    ("A Kitchen by the Quay", "a-kitchen-by-the-quay"),
    ("Reading Corner, North Light", "reading-corner-north-light"),
    ("Breakfast for Two", "breakfast-for-two"),
    ("The Narrow Hallway", "the-narrow-hallway"),
    ("Guests until Sunday", "guests-until-sunday"),
    ("First Fire of Autumn", "first-fire-of-autumn"),
];

/// Item, its name with the number appended beyond the last item, and the appendix for a handle.
fn numbered<T: Copy>(items: &[T], number: u64) -> (T, String, String) {
    let count = items.len() as u64;
    let item = items[usize::try_from(number % count).unwrap_or_default()];
    if number < count {
        (item, String::new(), String::new())
    } else {
        (item, format!(" No. {}", number + 1), format!("-no-{}", number + 1))
    }
}

pub(super) fn collection(story: &Story<'_>) -> String {
    let ((title, handle, prose), suffix, appendix) = numbered(&COLLECTIONS, story.number);
    let id = story.id(408_372_660_915_000_001, 0);
    let (at, opened) = (&story.at, &story.opened);
    let more = if story.revision == 0 { String::new() } else { format!("<p>Edit {}.</p>", story.revision) };
    format!(
        r#"{{"id":{id},"handle":"{handle}{appendix}","title":{title},"updated_at":"{at}","body_html":{html},"published_at":"{opened}","sort_order":"best-selling","template_suffix":null,"published_scope":"global","admin_graphql_api_id":"gid://shopify/Collection/{id}","image":{{"created_at":"{opened}","alt":{title},"width":1600,"height":900,"src":{src}}}}}"#,
        title = quoted(&format!("{title}{suffix}")),
        html = quoted(&format!("<p>{prose}</p>{more}")),
        src = quoted(&format!("{}/hero.svg", story.asset_base)),
    )
}

pub(super) fn collection_deleted(story: &Story<'_>) -> String {
    let id = story.id(408_372_660_915_000_001, 0);
    format!(r#"{{"id":{id},"published_scope":"global","admin_graphql_api_id":"gid://shopify/Collection/{id}"}}"#)
}

pub(super) fn metaobject(story: &Story<'_>) -> String {
    let ((title, handle), suffix, appendix) = numbered(&LOOKS, story.number);
    let id = story.id(118_204_771_000_001, 0);
    let (at, opened) = (&story.at, &story.opened);
    format!(
        r#"{{"type":"lookbook","handle":"{handle}{appendix}","created_at":"{opened}","updated_at":"{at}","display_name":{title},"id":"gid://shopify/Metaobject/{id}","definition_id":"gid://shopify/MetaobjectDefinition/2277300231","fields":{{"title":{title},"issue":"{issue}","picture":{src}}},"created_by_staff_id":"gid://shopify/StaffMember/90417152","created_by_app_id":null,"capabilities":{{"publishable":{{"status":"active"}}}}}}"#,
        title = quoted(&format!("{title}{suffix}")),
        issue = story.revision + 1,
        src = quoted(&format!("{}/hero.svg", story.asset_base)),
    )
}

pub(super) fn inventory_level(story: &Story<'_>) -> String {
    let item = story.id(761_204_117_530_000_001, 0);
    let location = 866_550_311_766_439_020_u64;
    // Sold out in every other state, so that each differs from the one before even where only availability counts.
    let available = if story.revision.is_multiple_of(2) { 24 + story.amount } else { 0 };
    format!(
        r#"{{"inventory_item_id":{item},"location_id":{location},"available":{available},"updated_at":"{at}","admin_graphql_api_id":"gid://shopify/InventoryLevel/{location}?inventory_item_id={item}"}}"#,
        at = story.at,
    )
}

pub(super) fn variant(story: &Story<'_>, quantity: u64) -> String {
    let id = story.id(759_310_884_102_000_001, 0);
    let (at, opened) = (&story.at, &story.opened);
    let title = quoted(&format!("{} / Batch {}", story.article.values[0], story.number + 1));
    let price = money(story.article.cents + story.amount * 50);
    format!(
        r#"{{"id":{id},"product_id":{product},"title":{title},"price":"{price}","position":1,"inventory_policy":"deny","compare_at_price":null,"option1":{title},"option2":null,"option3":null,"created_at":"{opened}","updated_at":"{at}","taxable":true,"barcode":null,"sku":"TW-{sku:04}-1","inventory_quantity":{quantity},"old_inventory_quantity":{quantity},"admin_graphql_api_id":"gid://shopify/ProductVariant/{id}","image_id":null}}"#,
        product = story.product_id(),
        sku = story.number + 1,
    )
}

pub(super) fn order(story: &Story<'_>) -> String {
    let id = story.id(820_982_911_946_000_001, 0);
    let (at, opened) = (&story.at, &story.opened);
    let quantity = story.amount + 1;
    let (price, total) = (money(story.article.cents), money(story.article.cents * quantity));
    let number = 1001 + story.number;
    format!(
        r##"{{"id":{id},"admin_graphql_api_id":"gid://shopify/Order/{id}","browser_ip":"203.0.113.24","buyer_accepts_marketing":false,"cancelled_at":null,"confirmed":true,"contact_email":"ines.holm@example.com","created_at":"{opened}","currency":"EUR","customer_locale":"en","email":"ines.holm@example.com","financial_status":"paid","fulfillment_status":null,"name":"#{number}","note":"Please ring twice","number":{number},"order_number":{number},"phone":"+49 30 5550 0142","processed_at":"{at}","test":true,"total_price":"{total}","updated_at":"{at}","billing_address":{{"first_name":"Ines","last_name":"Holm","address1":"Hafenstrasse 7","city":"Flensburg","zip":"24937","country":"Germany","name":"Ines Holm"}},"customer":{{"id":115310627314723954,"email":"ines.holm@example.com","first_name":"Ines","last_name":"Holm"}},"line_items":[{{"id":866550311766439020,"name":{title},"price":"{price}","product_id":{product},"quantity":{quantity},"sku":"TW-{sku:04}-1","title":{title},"variant_id":{variant}}}],"shipping_address":{{"first_name":"Ines","last_name":"Holm","address1":"Hafenstrasse 7","city":"Flensburg","zip":"24937","country":"Germany","name":"Ines Holm"}},"shipping_lines":[]}}"##,
        title = quoted(&story.title()),
        product = story.product_id(),
        sku = story.number + 1,
        variant = story.id(759_310_884_102_000_001, 0),
    )
}

pub(super) fn location(story: &Story<'_>) -> String {
    let id = story.id(866_550_311_766_439_020, 0);
    let (at, opened) = (&story.at, &story.opened);
    let name = quoted(&format!("Tidewater, Pier {}", story.number + 1));
    format!(
        r#"{{"id":{id},"name":{name},"address1":"Pier {pier}","address2":"Shed {shed}","city":"Flensburg","zip":"24937","province":null,"country":"DE","phone":null,"created_at":"{opened}","updated_at":"{at}","country_code":"DE","country_name":"Germany","province_code":null,"legacy":false,"active":true,"admin_graphql_api_id":"gid://shopify/Location/{id}"}}"#,
        pier = story.number + 1,
        shed = story.amount + 1,
    )
}

pub(super) fn privacy(story: &Story<'_>, list: &str) -> String {
    let order = story.id(820_982_911_946_000_001, 0);
    let more = if list == "orders_requested" { r#","data_request":{"id":9121}"# } else { "" };
    format!(
        r#"{{"shop_id":548380009,"shop_domain":"{shop}","customer":{{"id":115310627314723954,"email":"ines.holm@example.com","phone":"+49 30 5550 0142"}},"{list}":[{order}]{more}}}"#,
        shop = story.shop,
    )
}
