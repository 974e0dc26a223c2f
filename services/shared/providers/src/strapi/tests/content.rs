use super::*;

#[test]
fn pictures_are_found_anywhere_and_the_cover_is_first() {
    let more = concat!(
        r#","gallery":[{"id":2,"documentId":"g","url":"/g.png","mime":"image/png","width":640,"height":480,"alternativeText":null,"#,
        r#""formats":{"small":{"url":"/small.png","mime":"image/png"}}}],"#,
        r#""blocks":[{"__component":"a.b","id":1,"image":{"documentId":"i","url":"/i.png","mime":"image/png"}}],"#,
        r#""cover":{"id":1,"documentId":"c","url":"https://cdn.test/c.jpg","mime":"image/jpeg","alternativeText":"A cup"},"#,
        r#""link":{"url":"/not-a-file"}"#,
    );
    let content = change(&v5("entry.publish", &set(PUBLISHED), more)).content.expect("content");
    let urls: Vec<&str> = content.assets.iter().map(|asset| asset.url.as_str()).collect();
    assert_eq!(urls, ["/i.png", "https://cdn.test/c.jpg", "/g.png"]);
    assert_eq!((content.assets[1].alt.as_str(), content.assets[2].width), ("A cup", 640));
    assert_eq!(content.references.len(), 3);
    assert_eq!(content.references[0].to_string(), "main/plugin::upload.file/g");
}

#[test]
fn tags_come_from_relations_and_lists() {
    let more = r#","tags":[{"documentId":"t","name":"Sea","publishedAt":"2026-01-01T00:00:00Z"},"Clay"],"category":{"documentId":"c","title":"Craft"}"#;
    let content = change(&v5("entry.publish", &set(PUBLISHED), more)).content.expect("content");
    assert_eq!(content.tags, ["Sea", "Clay", "Craft"]);
}

#[test]
fn odd_types_of_optional_fields_are_no_error() {
    let body = v5("entry.publish", &set(PUBLISHED), r#","tags":{"count":2},"cover":7,"localizations":"x""#)
        .replace("\"title\":\"Low tide\"", "\"title\":1984")
        .replace("\"slug\":\"low-tide\"", "\"slug\":{}");
    let content = change(&body).content.expect("content");
    assert_eq!((content.title.as_str(), content.slug.as_str()), ("1984", ""));
    assert!(String::from_utf8_lossy(&content.fields_json).contains("\"title\":1984"));
}

#[test]
fn numbers_stay_as_they_came() {
    let more = r#","price":4.10,"views":"9007199254740993","big":9007199254740993,"rate":1e+21"#;
    let content = change(&v5("entry.publish", &set(PUBLISHED), more)).content.expect("content");
    let fields = String::from_utf8_lossy(&content.fields_json).into_owned();
    for exact in ["\"price\":4.10", "\"views\":\"9007199254740993\"", "\"big\":9007199254740993", "\"rate\":1e+21"] {
        assert!(fields.contains(exact), "{fields}");
    }
}

#[test]
fn media_are_entries_of_their_own() {
    let body = |event: &str| {
        format!(
            r#"{{"event":"{event}","createdAt":"{CREATED}","media":{{"id":1,"documentId":"m1","name":"cup.png","alternativeText":"A cup","url":"/cup.png","mime":"image/png","width":9,"height":6,"updatedAt":"{UPDATED}","publishedAt":"{UPDATED}"}}}}"#
        )
    };
    let created = change(&body("media.create"));
    assert_eq!((created.kind, created.key.to_string().as_str()), (Kind::Media, "main/plugin::upload.file/m1"));
    assert_eq!(created.version, SourceVersion::at(at(UPDATED)));
    let content = created.content.expect("content");
    assert_eq!((content.title.as_str(), content.assets.len(), content.references.len()), ("cup.png", 1, 0));
    let gone = change(&body("media.delete"));
    assert_eq!((gone.op, gone.version), (ChangeOp::Delete, SourceVersion::deleted_at(at(CREATED))));
    let v4 = change(&body("media.update").replace("\"documentId\":\"m1\",", ""));
    assert_eq!(v4.key.id, "1");
}

#[test]
fn pictures_on_strapi_itself_become_absolute_where_its_address_is_known() {
    let more = r#","cover":{"documentId":"c","url":"/uploads/c.png","mime":"image/png"},"logo":{"documentId":"l","url":"https://cdn.test/l.png","mime":"image/png"}"#;
    let known = prepared(&Strapi, &[SECRET], &[("url", "https://cms.test/")]);
    let delivery = TestDelivery::new(&[("authorization", SECRET)], v5("entry.publish", &set(PUBLISHED), more));
    let mut changes = delivery.normalise(&*known).expect("understood").changes;
    let assets = changes.remove(0).content.expect("content").assets;
    let urls: Vec<&str> = assets.iter().map(|asset| asset.url.as_str()).collect();
    assert_eq!(urls, ["https://cms.test/uploads/c.png", "https://cdn.test/l.png"]);
    let wrong = source(&Strapi, &[SECRET], &[("url", "cms.test")]);
    assert_eq!(Strapi.check_source(&wrong)[0].setting, "url");
}
