//! Enough Markdown to be read: headings, lists, quotes, code, paragraphs. Inline marks are taken away.

use super::body::{Block, BlockKind};

/// The blocks of a Markdown or plain text.
pub(super) fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut paragraph = String::new();
    let mut code: Option<String> = None;
    for line in text.lines() {
        let trimmed = line.trim();
        let is_fence = trimmed.starts_with("```") || trimmed.starts_with("~~~");
        if let Some(mut lines) = code.take() {
            if is_fence {
                blocks.push(Block::text(BlockKind::Code, lines));
            } else {
                if !lines.is_empty() {
                    lines.push('\n');
                }
                lines.push_str(line);
                code = Some(lines);
            }
            continue;
        }
        if is_fence {
            flush(&mut paragraph, &mut blocks);
            code = Some(String::new());
            continue;
        }
        let found = marked(trimmed);
        if trimmed.is_empty() || found.is_some() {
            flush(&mut paragraph, &mut blocks);
        }
        match found {
            Some((kind, rest)) => blocks.push(Block::text(kind, plain(rest))),
            None if trimmed.is_empty() => {}
            None => {
                if !paragraph.is_empty() {
                    // Two spaces at the end of a line are a break.
                    paragraph.push(if paragraph.ends_with('\u{0}') { '\n' } else { ' ' });
                }
                paragraph.push_str(trimmed);
                if line.ends_with("  ") {
                    paragraph.push('\u{0}');
                }
            }
        }
    }
    if let Some(lines) = code {
        blocks.push(Block::text(BlockKind::Code, lines));
    }
    flush(&mut paragraph, &mut blocks);
    blocks.retain(|block| !block.text.trim().is_empty());
    blocks
}

fn flush(paragraph: &mut String, blocks: &mut Vec<Block>) {
    if !paragraph.is_empty() {
        let text = std::mem::take(paragraph).replace('\u{0}', "");
        blocks.push(Block::text(BlockKind::Paragraph, plain(&text)));
    }
}

fn marked(line: &str) -> Option<(BlockKind, &str)> {
    let hashes = line.bytes().take_while(|byte| *byte == b'#').count();
    if (1..=6).contains(&hashes)
        && let Some(rest) = line.get(hashes..).and_then(|rest| rest.strip_prefix(' '))
    {
        let kind = if hashes <= 2 { BlockKind::Heading } else { BlockKind::Subheading };
        return Some((kind, rest.trim_end_matches('#').trim()));
    }
    for mark in ["- ", "* ", "+ "] {
        if let Some(rest) = line.strip_prefix(mark) {
            return Some((BlockKind::Item, rest));
        }
    }
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    if (1..=3).contains(&digits)
        && let Some(rest) = line.get(digits..).and_then(|rest| rest.strip_prefix(". "))
    {
        return Some((BlockKind::Item, rest));
    }
    line.strip_prefix("> ").map(|rest| (BlockKind::Quote, rest))
}

/// Without inline marks: `**bold**`, `_emphasis_` at word edges, `` `code` ``, `[text](address)`, `![alt](address)`.
fn plain(text: &str) -> String {
    let text = text.replace("**", "").replace("__", "").replace('`', "");
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find('[') {
        let (before, link) = rest.split_at(at);
        let shown = link
            .get(1..)
            .and_then(|inner| inner.split_once("]("))
            .and_then(|(shown, after)| Some((shown, after.split_once(')')?.1)))
            .filter(|(shown, _)| !shown.contains('['));
        match shown {
            Some((shown, after)) => {
                out.push_str(before.strip_suffix('!').unwrap_or(before));
                out.push_str(shown);
                rest = after;
            }
            None => {
                out.push_str(before);
                out.push('[');
                rest = link.get(1..).unwrap_or_default();
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_marks_are_understood() {
        let found =
            blocks("# One\ntext **bold**\nmore [link](https://x)\n\n- a\n- b\n\n> said\n```\nlet x;\n\n  y\n```\n1. n");
        let seen: Vec<(BlockKind, &str)> = found.iter().map(|block| (block.kind, block.text.as_str())).collect();
        assert_eq!(
            seen,
            [
                (BlockKind::Heading, "One"),
                (BlockKind::Paragraph, "text bold more link"),
                (BlockKind::Item, "a"),
                (BlockKind::Item, "b"),
                (BlockKind::Quote, "said"),
                (BlockKind::Code, "let x;\n\n  y"),
                (BlockKind::Item, "n"),
            ]
        );
    }

    #[test]
    fn odd_text_stays_text() {
        assert_eq!(blocks("a [b c")[0].text, "a [b c");
        assert_eq!(blocks("#hashtag")[0].text, "#hashtag");
        assert!(blocks("\n \n").is_empty());
    }
}
