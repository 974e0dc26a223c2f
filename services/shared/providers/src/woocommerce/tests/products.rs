use super::*;

fn modified_at() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-23T11:59:50Z").expect("time")
}

#[test]
fn a_product_becomes_an_upsert_ordered_by_its_utc_date() {
    for topic in ["product.created", "product.updated", "product.published"] {
        let change = change(topic, &product(""));
        assert_eq!((change.op, change.kind, change.status), (ChangeOp::Upsert, Kind::Product, EntryStatus::Published));
        assert_eq!(change.key.to_string(), "main/product/68");
        assert_eq!(change.version, SourceVersion::at(modified_at()));
        let content = change.content.expect("content");
        assert_eq!((content.title.as_str(), content.slug.as_str()), ("Cup & Saucer", "cup"));
    }
}

#[test]
fn what_is_not_published_is_a_draft_and_what_is_hidden_is_not() {
    for status in ["draft", "pending", "private", "future", "trash"] {
        let body = product("").replace("\"publish\"", &format!("\"{status}\""));
        assert_eq!(change("product.updated", &body).status, EntryStatus::Draft, "{status}");
    }
    let hidden = product(r#","catalog_visibility":"hidden""#);
    assert_eq!(change("product.updated", &hidden).status, EntryStatus::Published);
}

#[test]
fn a_deletion_covers_the_product_and_the_variation_of_that_id() {
    let normalised = normalised(&signed("product.deleted", r#"{"id":68}"#)).expect("understood");
    let changes: Vec<String> =
        normalised.changes.iter().map(|change| format!("{} {}", change.op, change.key)).collect();
    assert_eq!(changes, ["delete main/product/68", "delete main/product_variation/68"]);
    assert!(normalised.changes.iter().all(|change| change.version == SourceVersion::deleted_at(NOON)));
}

#[test]
fn a_restored_product_is_later_than_its_deletion() {
    let gone = change("product.deleted", r#"{"id":68}"#);
    let back = normalised(&signed("product.restored", &product("")).at(NOON.plus(Duration::from_millis(1))))
        .expect("understood");
    assert!(back.changes[0].version > gone.version);
}

/// A forced deletion sends nothing at all, so the one that comes must not be lost.
#[test]
fn p3_a_shop_whose_clock_is_ahead_can_delete() {
    let ahead = product("").replace("2026-11-23T11:59:50", "2026-11-23T12:00:39");
    for event in ["product.created", "product.updated", "product.restored"] {
        assert!(change(event, &ahead).version < change("product.deleted", r#"{"id":68}"#).version, "{event}");
    }
    let behind = change("product.updated", &product(""));
    assert_eq!(behind.version, SourceVersion::at(Timestamp::parse_rfc3339("2026-11-23T11:59:50Z").expect("time")));
}

#[test]
fn variations_have_a_type_of_their_own_and_point_to_their_product() {
    let body = product("").replace("\"simple\"", "\"variation\"").replace("\"parent_id\":0", "\"parent_id\":70");
    let variation = change("product.updated", &body);
    assert_eq!((variation.key.to_string().as_str(), variation.kind), ("main/product_variation/68", Kind::Product));
    assert_eq!(variation.content.expect("content").references[0].to_string(), "main/product/70");
    let grouped = product("").replace("\"parent_id\":0", "\"parent_id\":70");
    assert_eq!(change("product.updated", &grouped).key.entry_type, "product");
}

#[test]
fn names_pictures_and_references_are_drawn_from_the_product() {
    let body = product(concat!(
        r#","categories":[{"id":20,"name":"Table &amp; Kitchen"}],"tags":[{"id":3,"name":"Stoneware"}],"brands":[],"#,
        r#""images":[{"id":9,"src":"https:\/\/shop.test\/a.jpg","alt":"A &quot;cup&quot;"},{"src":""},7],"#,
        r#""variations":[71,72],"upsell_ids":[5],"cross_sell_ids":["6"],"grouped_products":[],"related_ids":[8,0,{}]"#,
    ));
    let content = change("product.updated", &body).content.expect("content");
    assert_eq!(content.tags, ["Stoneware", "Table & Kitchen"]);
    assert_eq!(content.assets.len(), 1);
    assert_eq!(
        (content.assets[0].url.as_str(), content.assets[0].alt.as_str()),
        ("https://shop.test/a.jpg", "A \"cup\"")
    );
    let references: Vec<String> =
        content.references.iter().map(|key| format!("{}/{}", key.entry_type, key.id)).collect();
    assert_eq!(
        references,
        ["product_variation/71", "product_variation/72", "product/5", "product/6", "product_category/20", "product/8"]
    );
}

#[test]
fn sales_and_stock_figures_are_no_change_but_being_sold_out_is() {
    let hash = |more: &str| change("product.updated", &product(more)).content.expect("content").content_hash;
    let stock = |number: u32, sales: u32, status: &str, price: &str| {
        hash(&format!(
            r#","stock_quantity":{number},"total_sales":{sales},"related_ids":[{number}],"stock_status":"{status}","price":"{price}""#
        ))
    };
    let base = stock(10, 5, "instock", "9.00");
    assert_eq!(base, stock(9, 6, "instock", "9.00"));
    assert_ne!(base, stock(0, 6, "outofstock", "9.00"));
    assert_ne!(base, stock(10, 5, "instock", "8.00"));
}

#[test]
fn dates_and_the_scheme_of_addresses_are_no_change_but_another_picture_is() {
    let hash = |body: &str| change("product.updated", body).content.expect("content").content_hash;
    let body =
        product(r#","images":[{"src":"https:\/\/shop.test\/a.jpg"}],"_links":{"self":[{"href":"https:\/\/x"}]}"#);
    assert_eq!(hash(&body), hash(&body.replace("https:", "http:").replace("11:59:50", "11:59:59")));
    assert_ne!(hash(&body), hash(&body.replace("a.jpg", "b.jpg")));
}

#[test]
fn odd_types_of_optional_fields_are_no_error() {
    let body = r#"{"id":788032119674292922,"name":7,"status":null,"type":{},"date_modified_gmt":1,"images":{},"tags":"x","categories":[7],"parent_id":"p"}"#;
    let change = change("product.updated", body);
    assert_eq!((change.key.id.as_str(), change.status), ("788032119674292922", EntryStatus::Draft));
    assert_eq!(change.version, SourceVersion::at(NOON));
}
