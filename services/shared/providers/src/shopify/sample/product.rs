//! A product as `products/create` and `products/update` carry it: about 7 KiB.

use super::{Story, money, quoted};

const VARIANTS: u64 = 759_310_884_102_000_001;
const ITEMS: u64 = 761_204_117_530_000_001;
const IMAGES: u64 = 768_015_330_927_000_001;
const MEDIA: u64 = 770_442_619_008_000_001;
const OPTIONS: u64 = 775_808_264_391_000_001;

/// The body.
pub(super) fn product(story: &Story<'_>) -> String {
    let article = story.article;
    let id = story.product_id();
    let (at, opened) = (&story.at, &story.opened);
    let title = quoted(&story.title());
    let handle = story.handle();
    let mut html: String =
        article.prose.iter().map(|text| format!("<p>{}</p>\n", text.replace('&', "&amp;"))).collect();
    if story.revision > 0 {
        html.push_str(&format!("<p>Batch {} is out of the kiln.</p>\n", story.revision + 1));
    }
    let each = |write: &dyn Fn(u64, &str) -> String| {
        let items: Vec<String> = (0..).zip(article.values).map(|(place, value)| write(place, value)).collect();
        items.join(",")
    };
    let variants = each(&|place, value| variant(story, place, value));
    let variant_gids = each(&|place, _| {
        let variant = story.id(VARIANTS, place);
        format!(r#"{{"admin_graphql_api_id":"gid://shopify/ProductVariant/{variant}","updated_at":"{at}"}}"#)
    });
    let values = each(&|_, value| quoted(value));
    let images: Vec<String> = (0..).zip(article.values).map(|(place, value)| image(story, place, value)).collect();
    let media: Vec<String> = (0..2).map(|place| medium(story, place)).collect();
    let option = story.id(OPTIONS, 0);
    format!(
        r#"{{"admin_graphql_api_id":"gid://shopify/Product/{id}","body_html":{html},"created_at":"{opened}","handle":"{handle}","id":{id},"product_type":"{product_type}","published_at":"{opened}","template_suffix":null,"title":{title},"updated_at":"{at}","vendor":"Tidewater","status":"active","published_scope":"global","tags":"{tags}","variants":[{variants}],"options":[{{"name":"{option_name}","id":{option},"product_id":{id},"position":1,"values":[{values}]}}],"images":[{images}],"image":{first_image},"media":[{media}],"variant_gids":[{variant_gids}],"has_variants_that_requires_components":false,"category":{{"admin_graphql_api_id":"gid://shopify/TaxonomyCategory/hg","name":"Home \u0026 Garden","full_name":"Home \u0026 Garden"}}}}"#,
        html = quoted(&html),
        product_type = article.product_type,
        tags = article.tags,
        option_name = article.option,
        first_image = images[0],
        images = images.join(","),
        media = media.join(","),
    )
}

fn variant(story: &Story<'_>, place: u64, value: &str) -> String {
    let (at, opened) = (&story.at, &story.opened);
    let id = story.id(VARIANTS, place);
    let product = story.product_id();
    let value = quoted(value);
    // Every revision is a little dearer, as things are.
    let cents = story.article.cents + place * 200 + story.amount * 50;
    let (price, before) = (money(cents), money(cents + 600));
    let sku = format!("TW-{:04}-{}", story.number + 1, place + 1);
    let barcode = 4_006_381_000_000 + (story.number % 100_000) * 10 + place;
    let quantity = 9 + (story.number * 7 + place * 5 + story.revision) % 40;
    format!(
        r#"{{"admin_graphql_api_id":"gid://shopify/ProductVariant/{id}","barcode":"{barcode}","compare_at_price":"{before}","created_at":"{opened}","id":{id},"inventory_policy":"deny","position":{position},"price":"{price}","product_id":{product},"sku":"{sku}","taxable":true,"title":{value},"updated_at":"{at}","option1":{value},"option2":null,"option3":null,"image_id":{image},"inventory_item_id":{item},"inventory_quantity":{quantity},"old_inventory_quantity":{quantity}}}"#,
        position = place + 1,
        image = story.id(IMAGES, place),
        item = story.id(ITEMS, place),
    )
}

fn image(story: &Story<'_>, place: u64, value: &str) -> String {
    let (at, opened) = (&story.at, &story.opened);
    let id = story.id(IMAGES, place);
    format!(
        r#"{{"id":{id},"alt":{alt},"position":{position},"product_id":{product},"created_at":"{opened}","updated_at":"{at}","admin_graphql_api_id":"gid://shopify/ProductImage/{id}","width":1200,"height":900,"src":{src},"variant_ids":[{variant}]}}"#,
        alt = quoted(&format!("{}, {value}", story.article.alt)),
        position = place + 1,
        product = story.product_id(),
        src = quoted(&picture(story, place)),
        variant = story.id(VARIANTS, place),
    )
}

fn medium(story: &Story<'_>, place: u64) -> String {
    let (at, opened) = (&story.at, &story.opened);
    let id = story.id(MEDIA, place);
    format!(
        r#"{{"id":{id},"product_id":{product},"position":{position},"created_at":"{opened}","updated_at":"{at}","alt":{alt},"status":"READY","media_content_type":"IMAGE","preview_image":{{"width":1200,"height":900,"src":{src},"status":"READY"}},"variant_ids":[{variant}],"admin_graphql_api_id":"gid://shopify/MediaImage/{id}"}}"#,
        product = story.product_id(),
        position = place + 1,
        alt = quoted(story.article.alt),
        src = quoted(&picture(story, place)),
        variant = story.id(VARIANTS, place),
    )
}

/// The article and the room it stands in, by turns.
fn picture(story: &Story<'_>, place: u64) -> String {
    let file = if place.is_multiple_of(2) { story.article.picture } else { "hero.svg" };
    format!("{}/{file}", story.asset_base)
}
