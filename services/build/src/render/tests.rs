use std::path::PathBuf;

use serde_json::json;

use super::*;

fn info() -> SiteInfo {
    SiteInfo {
        title: "Tidewater".into(),
        base_path: "/sites/acme/shop/".into(),
        site_url: "https://tidewater.example".into(),
        build_id: "bld_1".into(),
        batch_id: "bat_1".into(),
        built_at: "2026-03-12T10:00:00.000Z".into(),
    }
}

fn entry(kind: &str, entry_type: &str, id: &str, title: &str, slug: &str, fields: serde_json::Value) -> SnapshotEntry {
    let value = json!({
        "source": "cms", "type": entry_type, "id": id, "kind": kind, "title": title, "slug": slug, "fields": fields,
        "created_at": "2026-03-11T10:00:00.000Z", "updated_at": "2026-03-12T10:00:00.000Z",
    });
    serde_json::from_str(&value.to_string()).expect("an entry")
}

struct Site {
    folder: tempfile::TempDir,
    summary: Summary,
}

impl Site {
    fn render(entries: Vec<SnapshotEntry>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let summary = render(&info(), entries.into_iter().map(Ok), folder.path(), &|| true).expect("rendered");
        Self { folder, summary }
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() { folders.push(path) } else { files.push(path) }
            }
        }
        files
    }
}

#[test]
fn nothing_that_a_provider_sent_becomes_markup() {
    const EVIL: &str = "<script>alert(1)</script>\"><img src=x onerror=alert(2)>'";
    let mut evil = entry(
        "document",
        "article",
        EVIL,
        EVIL,
        EVIL,
        json!({
            "body": format!("<p onclick=\"alert(3)\">text {EVIL}</p><a href=\"javascript:alert(4)\">link</a>"),
            "excerpt": EVIL,
        }),
    );
    evil.tags = vec![EVIL.into()];
    evil.assets = ["javascript:alert(5)", "https://x/a.png\" onload=\"alert(6)", "data:text/html,<script>"]
        .map(|url| crate::snapshot::SnapshotAsset {
            url: url.into(),
            mime: String::new(),
            width: 0,
            height: 0,
            alt: EVIL.into(),
        })
        .into();
    let product = entry(
        "product",
        "product",
        "1",
        EVIL,
        "",
        json!({"variants":[{"title": EVIL, "price": "1.00"}, {"title": "b", "price": EVIL}], "body_html": EVIL}),
    );
    let file = entry("file", "file", EVIL, "", "", json!({}));
    let other = entry("document", "author", "9", EVIL, "", json!({"bio_link": EVIL, "city": "a&b"}));
    let site = Site::render(vec![evil, product, file, other]);
    for path in site.files() {
        let text = std::fs::read_to_string(&path).expect("text");
        let lower = text.to_lowercase();
        let shown = path.display();
        assert!(!lower.contains("<script"), "{shown}");
        assert!(!lower.contains("src=\"javascript") && !lower.contains("href=\"javascript"), "{shown}");
        assert!(!lower.contains("src=\"data:"), "{shown}");
        for handler in ["onerror=", "onclick=", "onload="] {
            for (at, _) in lower.match_indices(handler) {
                // Only as text: the `<` before it was escaped, and no quote before it was left open.
                let before = &lower[..at];
                let tag = before.rfind('<').map_or("", |from| &before[from..]);
                assert!(tag.contains('>') || tag.matches('"').count() % 2 == 1, "{shown}: {tag}");
            }
        }
    }
}

#[test]
fn slugs_never_leave_the_folder_and_never_collide() {
    let slugs = ["../../../etc/passwd", "..", ".", "", "/", "page", "a", "A", "a", "con\\..\\x", "a\0b"];
    let entries = slugs
        .iter()
        .enumerate()
        .map(|(number, slug)| entry("document", "article", &number.to_string(), "T", slug, json!({"body": "text"})))
        .collect();
    let site = Site::render(entries);
    let pages = site.files().into_iter().filter(|path| path.ends_with("index.html")).count();
    // The front page, the section, and one page per entry.
    assert_eq!(pages, 2 + slugs.len());
    assert!(site.files().iter().all(|path| path.starts_with(site.folder.path())));
    assert!(site.folder.path().join("articles/a-2/index.html").is_file());
    assert!(site.folder.path().join("articles/page-2/index.html").is_file());
}

#[test]
fn missing_and_strange_fields_are_no_reason_to_fail() {
    let strange =
        [json!(null), json!({}), json!({"body": {"a": [1, null]}, "price": {}, "variants": 5}), json!([1]), json!("x")];
    let mut entries = Vec::new();
    for (number, fields) in strange.into_iter().enumerate() {
        for kind in
            ["document", "product", "collection", "media", "file", "inventory", "taxonomy", "order", "settings", "new"]
        {
            entries.push(entry(kind, "", &format!("{kind}{number}"), "", "", fields.clone()));
        }
    }
    let site = Site::render(entries);
    assert_eq!(site.summary.entries, 50);
    assert!(site.read("index.html").contains("Tidewater"));
    let empty = Site::render(Vec::new());
    assert!(empty.read("index.html").contains("Nothing is published yet"));
    assert_eq!(empty.summary.pages, 1);
}

#[test]
fn everything_that_the_docs_promise_is_there() {
    let mut product = entry(
        "product",
        "product",
        "1",
        "Low Tide Mug",
        "low-tide-mug",
        json!({"body_html": "<p>Wide &amp; low.</p>", "variants": [
            {"title": "Grey", "price": "24.00", "compare_at_price": "30.00"}, {"title": "Blue", "price": "26.00"}]}),
    );
    product.assets = vec![crate::snapshot::SnapshotAsset {
        url: "https://cdn.example/mug.png".into(),
        mime: "image/png".into(),
        width: 1,
        height: 1,
        alt: "A mug".into(),
    }];
    let site = Site::render(vec![
        product,
        entry("settings", "shop", "1", "Shop", "", json!({"currency": "EUR"})),
        entry("document", "api::article.article", "2", "The potter", "the-potter", json!({"body": "# Clay\n\nText"})),
        entry("document", "page", "3", "About us", "about", json!({"content": "We."})),
        entry("file", "file", "content/posts/a.md", "", "", json!(null)),
    ]);
    let sheet = site.read("products/low-tide-mug/index.html");
    for expected in ["from €24.00", "€30.00", "Blue", "€26.00", "Wide &amp; low.", "A mug"] {
        assert!(sheet.contains(expected), "{expected}");
    }
    assert!(site.read("articles/the-potter/index.html").contains("<h2>Clay</h2>"));
    assert!(site.read("pages/about/index.html").contains("<p>We.</p>"));
    let files = site.read("files/index.html");
    assert!(files.contains("content&#x2f;posts&#x2f;a.md") && files.contains("changed"));
    let index = site.read("index.html");
    assert!(index.contains("products/low-tide-mug/") || index.contains("products&#x2f;low-tide-mug&#x2f;"));
    let map = site.read("sitemap.xml");
    assert!(map.contains("tidewater.example") && map.contains("the-potter"), "{map}");
    assert!(site.read("404.html").contains("Not found"));
    let marker: serde_json::Value = serde_json::from_str(&site.read("_freshet.json")).expect("json");
    assert_eq!((&marker["entries"], &marker["build_id"]), (&json!(5), &json!("bld_1")));
}

#[test]
fn ten_thousand_entries_are_paged() {
    let entries = (0..10_000)
        .map(|number| {
            let kind = if number % 2 == 0 { "product" } else { "document" };
            let fields = json!({"body": "One.\n\nTwo.", "price": "19.90"});
            entry(kind, "article", &number.to_string(), &format!("Entry {number}"), "", fields)
        })
        .collect();
    let site = Site::render(entries);
    // The front page, 84 pages in each of two sections, and one page per entry.
    assert_eq!(site.summary.pages, 1 + 2 * 84 + 10_000);
    assert!(site.read("articles/page/84/index.html").contains("page 84 of 84"));
    assert!(site.read("index.html").len() < 200_000);
}

#[test]
fn a_stop_is_heard() {
    let folder = tempfile::tempdir().expect("a folder");
    let left = std::cell::Cell::new(3);
    let keep_going = || {
        left.set(left.get() - 1);
        left.get() > 0
    };
    let entries = (0..10).map(|number| Ok(entry("document", "article", &number.to_string(), "T", "", json!({}))));
    assert!(matches!(render(&info(), entries, folder.path(), &keep_going), Err(RenderError::Stopped)));
}
