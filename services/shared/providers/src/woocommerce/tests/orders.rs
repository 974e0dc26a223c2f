use super::*;

#[test]
fn nothing_personal_of_an_order_is_kept() {
    let normalised = normalised(&signed("order.updated", ORDER)).expect("understood");
    assert_eq!(normalised.retention, Retention::DigestOnly);
    let change = &normalised.changes[0];
    assert_eq!(
        (change.kind, change.build_relevant, change.key.to_string().as_str()),
        (Kind::Order, false, "main/order/75")
    );
    let content = change.content.as_ref().expect("content");
    assert_eq!(content.title, "Order 75-A");
    assert_eq!(
        String::from_utf8_lossy(&content.fields_json),
        r#"{"id":75,"number":"75-A","status":"pending","currency":"EUR","total":"38.05","date_modified_gmt":"2026-11-23T11:59:50","line_items":[{"product_id":68,"variation_id":71,"quantity":2,"total":"33.15"}]}"#
    );
    assert_eq!(
        content.references.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["main/product/68", "main/product_variation/71"]
    );
}

#[test]
fn objects_in_kept_members_are_left_out() {
    let body = r#"{"id":75,"number":{"name":"Ada"},"status":["Ada"],"line_items":[{"product_id":{"a":"Ada"}},7]}"#;
    let content = change("order.created", body).content.expect("content");
    assert_eq!(String::from_utf8_lossy(&content.fields_json), r#"{"id":75,"line_items":[{}]}"#);
}

#[test]
fn deletions_and_restorations_of_orders_start_no_build() {
    let gone = change("order.deleted", r#"{"id":75}"#);
    assert_eq!(
        (gone.op, gone.build_relevant, gone.key.to_string().as_str()),
        (ChangeOp::Delete, false, "main/order/75")
    );
    let back = normalised(&signed("order.restored", ORDER).at(NOON.plus(Duration::from_secs(1)))).expect("understood");
    assert!(!back.changes[0].build_relevant && back.changes[0].version > gone.version);
}
