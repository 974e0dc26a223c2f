use super::*;

#[test]
fn a_publication_is_an_upsert_keyed_by_document_and_locale() {
    let change = change(&v5("entry.publish", &set(PUBLISHED), ""));
    assert_eq!((change.op, change.status, change.kind), (ChangeOp::Upsert, EntryStatus::Published, Kind::Document));
    assert_eq!(change.key.to_string(), "main/api::article.article/doc1@en");
    assert_eq!(change.version, SourceVersion::at(at(PUBLISHED)), "publishing does not move updatedAt");
    let content = change.content.expect("content");
    assert_eq!((content.title.as_str(), content.slug.as_str()), ("Low tide", "low-tide"));
    assert_eq!(content.provider_updated_at, Some(at(UPDATED)));
}

#[test]
fn draft_rows_are_ignored() {
    for event in ["entry.create", "entry.update", "entry.draft-discard"] {
        assert_eq!(ignored(&v5(event, "null", "")).0, "DRAFT", "{event}");
    }
    assert_eq!(change(&v5("entry.publish", "null", "")).op, ChangeOp::Touch);
}

#[test]
fn types_without_drafts_are_upserted_by_create_and_update() {
    for event in ["entry.create", "entry.update"] {
        assert_eq!(change(&v5(event, &set(PUBLISHED), "")).op, ChangeOp::Upsert);
    }
}

#[test]
fn an_unpublication_undoes_its_publication_and_no_later_one() {
    let published = change(&v5("entry.publish", &set(PUBLISHED), ""));
    let gone = change(&v5("entry.unpublish", &set(PUBLISHED), r#","category":{"count":1}"#));
    assert_eq!((gone.op, &gone.key), (ChangeOp::Delete, &published.key));
    assert!(gone.version > published.version);
    let again = change(&v5("entry.publish", &set("2026-11-24T11:59:52.000Z"), ""));
    assert!(again.version > gone.version, "although the delivery of the unpublication may be later");
}

#[test]
fn a_delete_of_either_row_is_later_than_everything_before_it() {
    for published_at in [set(PUBLISHED), "null".to_owned()] {
        let gone = change(&v5("entry.delete", &published_at, ""));
        assert_eq!(gone.op, ChangeOp::Delete);
        assert_eq!(gone.version, SourceVersion::deleted_at(at(CREATED)));
    }
    let skewed = v5("entry.delete", &set("2027-01-01T00:00:00.000Z"), "");
    assert_eq!(change(&skewed).version, SourceVersion::deleted_at(at("2027-01-01T00:00:00.000Z")));
}

#[test]
fn an_entry_that_strapi_lost_is_to_be_fetched() {
    for entry in ["null", "\"null\""] {
        let body = format!(
            r#"{{"event":"entry.publish","createdAt":"{CREATED}","model":"a","uid":"api::a.a","entry":{entry}}}"#
        );
        let change = change(&body);
        assert_eq!((change.op, change.key.to_string().as_str()), (ChangeOp::Touch, "main/api::a.a/*"));
        assert_eq!(change.version, SourceVersion::at(at(CREATED)));
    }
}

#[test]
fn a_publication_without_a_change_has_the_same_hash() {
    let hash = |body: &str| change(body).content.expect("content").content_hash;
    let component = |id: u32, title: &str| format!(r#","seo":{{"id":{id},"metaTitle":"{title}"}}"#);
    let first = v5("entry.publish", &set(PUBLISHED), &component(1, "x"));
    let again = first
        .replace("\"id\":7", "\"id\":9")
        .replace(UPDATED, "2026-11-24T11:59:51.000Z")
        .replace(PUBLISHED, "2026-11-24T12:30:00.000Z")
        .replace("{\"id\":1,", "{\"id\":2,");
    assert_eq!(hash(&first), hash(&again));
    assert_ne!(hash(&first), hash(&v5("entry.publish", &set(PUBLISHED), &component(1, "y"))));
    let film = |id: &str| v5("entry.publish", &set(PUBLISHED), &format!(r#","film":{{"id":"{id}"}}"#));
    assert_ne!(hash(&film("dQw4")), hash(&film("x7Yz")), "an id that is text is content");
}

#[test]
fn drafts_of_related_entries_leak_into_neither_fields_nor_hash_nor_assets() {
    let row = |id: &str, published_at: &str| {
        format!(
            r#"{{"id":1,"documentId":"{id}","title":"{id} title","publishedAt":{published_at},"cover":{{"url":"/{id}.png","mime":"image/png"}}}}"#
        )
    };
    let with = |articles: &str| change(&v5("entry.publish", &set(PUBLISHED), &format!(r#","articles":[{articles}]"#)));
    let clean = with(&row("public", &set(PUBLISHED))).content.expect("content");
    let leaky =
        with(&format!("{},{}", row("secret", "null"), row("public", &set(PUBLISHED)))).content.expect("content");
    assert_eq!(clean, leaky);
    assert!(!String::from_utf8_lossy(&leaky.fields_json).contains("secret"));
}

#[test]
fn other_locales_become_references_if_they_are_public() {
    let localizations = concat!(
        r#","localizations":[{"documentId":"doc1","locale":"fr","publishedAt":"2026-11-24T11:00:00.000Z"},"#,
        r#"{"documentId":"doc1","locale":"fr","publishedAt":null},{"documentId":"doc1","locale":"ar","publishedAt":null},"#,
        r#"{"documentId":"doc1","locale":"en","publishedAt":null}]"#,
    );
    let content = change(&v5("entry.publish", &set(PUBLISHED), localizations)).content.expect("content");
    assert_eq!(
        content.references.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["main/api::article.article/doc1@fr"]
    );
    assert!(!String::from_utf8_lossy(&content.fields_json).contains("localizations"));
}
