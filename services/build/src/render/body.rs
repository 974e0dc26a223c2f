//! The readable body of an entry, whatever its provider calls it and however it is structured.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{html, markdown, url};

/// A block of text or a picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Block {
    pub(super) kind: BlockKind,
    /// The text; of a picture its text alternative.
    pub(super) text: String,
    /// The address of a picture.
    pub(super) url: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum BlockKind {
    Paragraph,
    Heading,
    Subheading,
    Item,
    Quote,
    Code,
    Image,
}

impl Block {
    pub(super) fn text(kind: BlockKind, text: String) -> Self {
        Self { kind, text, url: String::new() }
    }

    pub(super) fn image(url: String, alt: String) -> Self {
        Self { kind: BlockKind::Image, text: alt, url }
    }
}

/// Where providers put the body, best first. The first one that has text is the body.
const BODIES: [&str; 16] = [
    "body",
    "content",
    "body_html",
    "bodyHtml",
    "descriptionHtml",
    "text",
    "html",
    "markdown",
    "blocks",
    "sections",
    "pageBuilder",
    "description",
    "short_description",
    "lead",
    "excerpt",
    "summary",
];

/// Where they put a short form.
const EXCERPTS: [&str; 8] =
    ["excerpt", "lead", "summary", "short_description", "shortDescription", "teaser", "subtitle", "description"];

const BLOCKS_MAX: usize = 2_000;
const DEPTH_MAX: usize = 12;

/// The body.
pub(super) fn blocks(fields: &Map<String, Value>) -> Vec<Block> {
    for name in BODIES {
        let Some(value) = fields.get(name) else { continue };
        let mut found = Vec::new();
        collect(value, 0, &mut found);
        found.truncate(BLOCKS_MAX);
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

/// A short text without markup: the provider's, or the beginning of the body.
pub(super) fn excerpt(fields: &Map<String, Value>, body: &[Block]) -> String {
    let given = EXCERPTS.iter().find_map(|name| {
        let mut found = Vec::new();
        collect(fields.get(*name)?, 0, &mut found);
        first_text(&found)
    });
    shorten(&given.or_else(|| first_text(body)).unwrap_or_default(), 200)
}

fn first_text(blocks: &[Block]) -> Option<String> {
    let is_text = |block: &&Block| matches!(block.kind, BlockKind::Paragraph | BlockKind::Quote | BlockKind::Item);
    blocks.iter().find(is_text).map(|block| block.text.replace('\n', " "))
}

/// Cut at a word.
pub(super) fn shorten(text: &str, chars_max: usize) -> String {
    let Some((cut, _)) = text.char_indices().nth(chars_max) else { return text.to_owned() };
    let head = text.get(..cut).unwrap_or(text);
    let head = head.rsplit_once(' ').map_or(head, |(words, _)| words);
    format!("{}…", head.trim_end_matches([',', ';', ':', '.', ' ']))
}

fn collect(value: &Value, depth: usize, out: &mut Vec<Block>) {
    if depth > DEPTH_MAX || out.len() > BLOCKS_MAX {
        return;
    }
    match value {
        Value::String(text) if html::looks_like_html(text) => out.extend(html::blocks(text)),
        Value::String(text) => out.extend(markdown::blocks(text)),
        Value::Array(items) => items.iter().for_each(|item| collect(item, depth + 1, out)),
        Value::Object(object) => collect_object(object, depth, out),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Rich text of Sanity (`_type: block`), Strapi (`type: paragraph`), editors like Lexical (`root`), or a component with
/// texts in it.
fn collect_object(object: &Map<String, Value>, depth: usize, out: &mut Vec<Block>) {
    let word = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
    let kind = if object.contains_key("_type") { word("_type") } else { word("type") };
    if let Some(children) = object.get("children").and_then(Value::as_array) {
        let block = match kind {
            "block" => portable_kind(word("style"), object.contains_key("listItem")),
            "heading" => heading_kind(object.get("level").and_then(Value::as_u64), word("tag")),
            "list-item" | "listitem" => BlockKind::Item,
            "quote" | "blockquote" => BlockKind::Quote,
            "code" => BlockKind::Code,
            "list" | "root" | "ul" | "ol" => {
                children.iter().for_each(|child| collect(child, depth + 1, out));
                return;
            }
            _ => BlockKind::Paragraph,
        };
        let text = inline_text(children, 0);
        if !text.trim().is_empty() {
            out.push(Block::text(block, text.trim().to_owned()));
        }
        return;
    }
    if let Some(root) = object.get("root") {
        collect(root, depth + 1, out);
        return;
    }
    if let Some(address) = picture(object).and_then(url::safe) {
        let alt = [word("alt"), word("alternativeText"), word("caption")].into_iter().find(|text| !text.is_empty());
        out.push(Block::image(address, alt.unwrap_or_default().to_owned()));
        return;
    }
    for heading in ["title", "heading"] {
        if !word(heading).is_empty() {
            out.push(Block::text(BlockKind::Heading, word(heading).to_owned()));
        }
    }
    for name in ["body", "content", "text", "description", "quote", "blocks", "items", "rendered"] {
        if let Some(value) = object.get(name) {
            collect(value, depth + 1, out);
        }
    }
}

fn portable_kind(style: &str, is_item: bool) -> BlockKind {
    match style {
        _ if is_item => BlockKind::Item,
        "h1" | "h2" => BlockKind::Heading,
        "h3" | "h4" | "h5" | "h6" => BlockKind::Subheading,
        "blockquote" => BlockKind::Quote,
        _ => BlockKind::Paragraph,
    }
}

fn heading_kind(level: Option<u64>, tag: &str) -> BlockKind {
    let is_large = level.map_or(matches!(tag, "" | "h1" | "h2"), |level| level <= 2);
    if is_large { BlockKind::Heading } else { BlockKind::Subheading }
}

fn inline_text(children: &[Value], depth: usize) -> String {
    let mut text = String::new();
    for child in children {
        let Some(object) = child.as_object() else { continue };
        if let Some(own) = object.get("text").and_then(Value::as_str) {
            text.push_str(own);
        }
        if let Some(inner) = object.get("children").and_then(Value::as_array).filter(|_| depth < DEPTH_MAX) {
            text.push_str(&inline_text(inner, depth + 1));
        }
    }
    text
}

fn picture(object: &Map<String, Value>) -> Option<&str> {
    let inner = object.get("image").or_else(|| object.get("asset")).and_then(Value::as_object).unwrap_or(object);
    let address = inner.get("url").or_else(|| inner.get("src"))?.as_str()?;
    let mime = inner.get("mime").or_else(|| inner.get("mimeType")).and_then(Value::as_str).unwrap_or_default();
    let path = address.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    let by_name = [".png", ".jpg", ".jpeg", ".webp", ".gif", ".avif", ".svg"].iter().any(|end| path.ends_with(end));
    (mime.starts_with("image/") || by_name).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(json: &str) -> Map<String, Value> {
        serde_json::from_str(json).expect("an object")
    }

    #[test]
    fn every_providers_rich_text_becomes_blocks() {
        let cases = [
            r#"{"body":[{"_type":"block","style":"h2","children":[{"text":"T"}]},{"_type":"block","children":[{"text":"a"},{"text":"b"}]},{"_type":"image","asset":{"url":"https://x/a.png"}}]}"#,
            r#"{"content":[{"type":"heading","level":2,"children":[{"type":"text","text":"T"}]},{"type":"paragraph","children":[{"text":"a"},{"type":"link","children":[{"text":"b"}]}]},{"type":"image","image":{"url":"/a.png"}}]}"#,
            r#"{"body_html":"<h2>T</h2><p>ab</p><img src='/a.png'>"}"#,
            r#"{"blocks":[{"__component":"x.y","title":"T","body":"ab"},{"__component":"x.z","file":1,"url":"/a.webp?x=1"}]}"#,
        ];
        for case in cases {
            let found = blocks(&fields(case));
            let seen: Vec<(BlockKind, &str)> = found.iter().map(|block| (block.kind, block.text.as_str())).collect();
            let wanted = [(BlockKind::Heading, "T"), (BlockKind::Paragraph, "ab"), (BlockKind::Image, "")];
            assert_eq!(seen, wanted, "{case}");
        }
    }

    #[test]
    fn nonsense_has_no_body() {
        for case in [r#"{}"#, r#"{"body":null,"content":5,"text":[]}"#, r#"{"body":{"children":"x"}}"#] {
            assert_eq!(blocks(&fields(case)), [], "{case}");
        }
        let deep = format!(r#"{{"body":{}1{}}}"#, "[".repeat(100), "]".repeat(100));
        assert_eq!(blocks(&fields(&deep)), []);
    }

    #[test]
    fn excerpts_are_cut_at_words() {
        let text = format!(r#"{{"body":"{}"}}"#, "word ".repeat(100));
        let fields = fields(&text);
        let short = excerpt(&fields, &blocks(&fields));
        assert!(short.ends_with("word…") && short.chars().count() <= 201);
    }
}
