//! Text out of HTML. Nothing of the markup survives but the kinds of blocks; what comes out is plain text that the
//! templates escape.

use super::body::{Block, BlockKind};
use super::url;

/// Elements whose text is not for readers.
const SKIPPED: [&str; 12] = [
    "script", "style", "template", "noscript", "iframe", "object", "svg", "math", "head", "title", "textarea", "select",
];

/// True if the text is HTML rather than plain text or Markdown.
pub(super) fn looks_like_html(text: &str) -> bool {
    let known = |name: &str| block_of(name).is_some() || SKIPPED.contains(&name) || INLINE.contains(&name);
    text.match_indices('<').any(|(at, _)| {
        let rest = text.get(at + 1..).unwrap_or_default();
        rest.starts_with("!--") || known(&tag_name(rest.strip_prefix('/').unwrap_or(rest)))
    })
}

const INLINE: [&str; 16] =
    ["a", "b", "i", "u", "em", "strong", "span", "br", "img", "code", "small", "sub", "sup", "mark", "button", "input"];

/// The kind of block that an element makes; `None` for elements inside of text.
fn block_of(name: &str) -> Option<BlockKind> {
    Some(match name {
        "h1" | "h2" => BlockKind::Heading,
        "h3" | "h4" | "h5" | "h6" => BlockKind::Subheading,
        "li" => BlockKind::Item,
        "blockquote" => BlockKind::Quote,
        "pre" => BlockKind::Code,
        "p" | "div" | "section" | "article" | "main" | "header" | "footer" | "aside" | "nav" | "ul" | "ol" | "dl"
        | "dt" | "dd" | "table" | "thead" | "tbody" | "tr" | "figure" | "figcaption" | "hr" | "form" | "fieldset"
        | "details" | "summary" | "body" | "html" | "video" | "audio" => BlockKind::Paragraph,
        _ => return None,
    })
}

fn tag_name(text: &str) -> String {
    text.chars().take_while(char::is_ascii_alphanumeric).take(20).collect::<String>().to_ascii_lowercase()
}

/// The blocks of an HTML text.
pub(super) fn blocks(html: &str) -> Vec<Block> {
    let mut reader = Reader { blocks: Vec::new(), text: String::new(), kind: BlockKind::Paragraph };
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        let (text, markup) = rest.split_at(at);
        reader.text.push_str(text);
        rest = reader.markup(markup);
    }
    reader.text.push_str(rest);
    reader.flush();
    reader.blocks
}

struct Reader {
    blocks: Vec<Block>,
    text: String,
    kind: BlockKind,
}

impl Reader {
    /// Takes the markup at the beginning of `markup` and returns what follows it.
    fn markup<'a>(&mut self, markup: &'a str) -> &'a str {
        let after = markup.get(1..).unwrap_or_default();
        if after.starts_with("!--") {
            return after.find("-->").and_then(|end| after.get(end + 3..)).unwrap_or_default();
        }
        let is_end = after.starts_with('/');
        let named = after.strip_prefix('/').unwrap_or(after);
        let is_tag = named.starts_with(|c: char| c.is_ascii_alphabetic()) || after.starts_with(['!', '?']);
        if !is_tag {
            self.text.push('<');
            return after;
        }
        let (tag, rest) = split_tag(named);
        let name = tag_name(named);
        if !is_end && SKIPPED.contains(&name.as_str()) {
            self.text.push(' ');
            return if tag.ends_with('/') { rest } else { after_end_of(rest, &name) };
        }
        match name.as_str() {
            "br" => self.text.push('\n'),
            "td" | "th" => self.text.push(' '),
            "img" if !is_end => self.image(tag),
            _ => {
                if let Some(kind) = block_of(&name) {
                    self.flush();
                    self.kind = if is_end { BlockKind::Paragraph } else { kind };
                }
            }
        }
        rest
    }

    fn image(&mut self, tag: &str) {
        if let Some(address) = attribute(tag, "src").and_then(|address| url::safe(&address)) {
            self.flush();
            self.blocks.push(Block::image(address, attribute(tag, "alt").unwrap_or_default()));
        }
    }

    fn flush(&mut self) {
        let raw = decode_entities(&std::mem::take(&mut self.text));
        let text = if self.kind == BlockKind::Code { raw.trim_matches('\n').to_owned() } else { collapse(&raw) };
        if !text.trim().is_empty() {
            self.blocks.push(Block::text(self.kind, text));
        }
        // Text between a block's children still belongs to a paragraph, never to the block before it.
        if self.kind != BlockKind::Item && self.kind != BlockKind::Quote {
            self.kind = BlockKind::Paragraph;
        }
    }
}

/// The inside of a tag up to its `>`, which does not count inside of quotes; and what follows.
fn split_tag(text: &str) -> (&str, &str) {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '>') => return (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default()),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    // A tag without an end: a quote that was never closed hides a `>`, so look again without quotes.
    match text.find('>') {
        Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default()),
        None => (text, ""),
    }
}

fn after_end_of<'a>(text: &'a str, name: &str) -> &'a str {
    let mut rest = text;
    while let Some(at) = rest.find("</") {
        let after = rest.get(at + 2..).unwrap_or_default();
        if tag_name(after) == name {
            return split_tag(after).1;
        }
        rest = after;
    }
    ""
}

fn attribute(tag: &str, wanted: &str) -> Option<String> {
    let mut rest = tag.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '/');
        let end = rest.find(|c: char| c.is_whitespace() || c == '=' || c == '/')?;
        let (name, after) = rest.split_at(end);
        let Some(value) = after.trim_start().strip_prefix('=') else {
            rest = after;
            if name.is_empty() && after.is_empty() {
                return None;
            }
            continue;
        };
        let value = value.trim_start();
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
        let (text, after) = match quote {
            Some(quote) => value.get(1..)?.split_once(quote)?,
            None => value.split_at(value.find(char::is_whitespace).unwrap_or(value.len())),
        };
        if name.eq_ignore_ascii_case(wanted) {
            return Some(decode_entities(text));
        }
        rest = after;
    }
}

/// Runs of white space become one space; line breaks that `<br>` made stay.
fn collapse(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in text.split('\n') {
        lines.push(line.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    lines.retain(|line| !line.is_empty());
    lines.join("\n")
}

/// The entities that providers use; others stay as they are.
pub(super) fn decode_entities(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        let (before, entity) = rest.split_at(at);
        out.push_str(before);
        let name = entity.get(1..).and_then(|name| name.split_once(';')).filter(|(name, _)| name.len() <= 10);
        match name.and_then(|(name, after)| Some((character(name)?, after))) {
            Some((c, after)) => {
                out.push(c);
                rest = after;
            }
            None => {
                out.push('&');
                rest = entity.get(1..).unwrap_or_default();
            }
        }
    }
    out.push_str(rest);
    out
}

fn character(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(code).filter(|c| !c.is_control() || *c == '\n');
    }
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{a0}',
        "ndash" => '–',
        "mdash" => '—',
        "hellip" => '…',
        "lsquo" => '‘',
        "rsquo" => '’',
        "ldquo" => '“',
        "rdquo" => '”',
        "laquo" => '«',
        "raquo" => '»',
        "bull" => '•',
        "middot" => '·',
        "copy" => '©',
        "reg" => '®',
        "trade" => '™',
        "euro" => '€',
        "pound" => '£',
        "deg" => '°',
        "times" => '×',
        "auml" => 'ä',
        "ouml" => 'ö',
        "uuml" => 'ü',
        "Auml" => 'Ä',
        "Ouml" => 'Ö',
        "Uuml" => 'Ü',
        "szlig" => 'ß',
        "eacute" => 'é',
        "egrave" => 'è',
        "agrave" => 'à',
        "ccedil" => 'ç',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(html: &str) -> Vec<String> {
        blocks(html).into_iter().map(|block| block.text).collect()
    }

    #[test]
    fn blocks_keep_their_kind_and_lose_their_markup() {
        let found =
            blocks("<h2 class=x>Title</h2><p>One <b>two</b>&nbsp;&amp; three<br>four</p><ul><li>a<li>b</ul>tail");
        let kinds: Vec<BlockKind> = found.iter().map(|block| block.kind).collect();
        assert_eq!(
            kinds,
            [BlockKind::Heading, BlockKind::Paragraph, BlockKind::Item, BlockKind::Item, BlockKind::Paragraph]
        );
        assert_eq!(found[1].text, "One two & three\nfour");
    }

    #[test]
    fn scripts_and_their_like_vanish_however_they_are_written() {
        for html in [
            "a<script>alert(1)</script>b",
            "a<SCRIPT src='x>y'>alert(1)</SCRIPT >b",
            "a<style>p{}</style><!-- <b>x</b> -->b",
            "a<iframe srcdoc=\"<script>\">x</iframe>b",
            "a<svg onload=alert(1)><script>1</script></svg>b",
        ] {
            let text = texts(html).join("");
            assert_eq!(text.replace(' ', ""), "ab", "{html}");
        }
        assert_eq!(texts("a<script>never closed").join(""), "a");
        assert_eq!(texts("1 < 2 and 3 > 2"), ["1 < 2 and 3 > 2"]);
        // Decoded once: what was escaped twice stays text, and the template escapes it again.
        assert_eq!(texts("<p>&lt;script&gt;</p>"), ["<script>"]);
    }

    #[test]
    fn pictures_are_kept_with_safe_addresses_only() {
        let found =
            blocks("<p>x</p><img alt='A &amp; B' src=\"https://a.example/1.png\"><img src=javascript:alert(1)>");
        assert_eq!(found.len(), 2);
        assert_eq!((found[1].url.as_str(), found[1].text.as_str()), ("https://a.example/1.png", "A & B"));
    }

    #[test]
    fn plain_text_and_markdown_are_not_html() {
        assert!(!looks_like_html("if a < b then c > d"));
        assert!(!looks_like_html("# Title\n\ntext"));
        assert!(looks_like_html("some <em>text</em>"));
        assert!(looks_like_html("x<script>"));
    }

    #[test]
    fn broken_markup_neither_hangs_nor_panics() {
        for html in
            ["<", "</", "<p", "<p class='", "<img src", "<img src=", "<!--", "<a b=c", "&#xfffffff;", "&#0;", "<é>"]
        {
            let _ = blocks(html);
        }
    }
}
