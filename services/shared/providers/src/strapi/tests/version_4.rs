use super::*;

#[test]
fn all_events_of_an_entry_agree_on_its_key() {
    let keys: Vec<String> = [
        v4("entry.create", V4_UID, V4_DRAFT),
        v4("entry.update", V4_UID, V4_PUBLIC),
        v4("entry.publish", "", V4_PUBLIC),
        v4("entry.unpublish", "", V4_DRAFT),
        v4("entry.delete", V4_UID, V4_DRAFT),
        v4("entry.update", r#","uid":"api::magazine.article""#, V4_PUBLIC),
    ]
    .iter()
    .map(|body| change(body).key.to_string())
    .collect();
    assert!(keys.iter().all(|key| key == "main/api::article.article/3"), "{keys:?}");
    let plugin = change(&v4("entry.update", r#","uid":"plugin::reviews.article""#, V4_PUBLIC));
    assert_eq!(plugin.key.entry_type, "plugin::reviews.article");
}

#[test]
fn rows_without_publication_are_drafts_and_types_without_drafts_are_public() {
    for event in ["entry.create", "entry.update"] {
        assert_eq!(change(&v4(event, V4_UID, V4_DRAFT)).status, EntryStatus::Draft);
        assert_eq!(change(&v4(event, V4_UID, V4_PUBLIC)).status, EntryStatus::Published);
        assert_eq!(change(&v4(event, V4_UID, "")).status, EntryStatus::Published, "the type has no drafts");
    }
    assert_eq!(change(&v4("entry.unpublish", "", V4_DRAFT)).status, EntryStatus::Draft);
}

#[test]
fn a_bulk_unpublication_is_later_than_the_publication_although_the_row_keeps_its_times() {
    let published = change(&v4("entry.publish", "", V4_PUBLIC));
    assert_eq!(published.version, SourceVersion::at(at(PUBLISHED)));
    let gone = change(&v4("entry.unpublish", "", V4_DRAFT));
    assert!(gone.version > published.version);
    assert_eq!(gone.version, SourceVersion::at(at(CREATED)));
}

#[test]
fn publishing_in_two_events_is_one_change() {
    let update = change(&v4("entry.update", V4_UID, V4_PUBLIC));
    let publish = change(&v4("entry.publish", "", V4_PUBLIC));
    assert_eq!(update.version, publish.version);
    assert_eq!(update.content.expect("content").content_hash, publish.content.expect("content").content_hash);
}

#[test]
fn entries_of_the_upload_plugin_make_no_second_entry() {
    for uid in ["plugin::upload.file", "plugin::upload.folder"] {
        let body = v4("entry.update", &format!(r#","uid":"{uid}""#), "");
        assert_eq!(ignored(&body).0, "IRRELEVANT_EVENT");
    }
}
