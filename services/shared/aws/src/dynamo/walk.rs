//! Several ranges read as one, in the order of their sort keys.

use std::collections::VecDeque;

use freshet_kit::Error;
use futures::{StreamExt as _, TryStreamExt as _};

use super::{Db, Item, Range};

struct Part {
    range: Range,
    waiting: VecDeque<(String, Item)>,
    next: Option<Item>,
    ended: bool,
}

/// Merges ranges that are all ascending or all descending. Reads no further than it must.
pub struct Walk<'d, F> {
    db: &'d Db,
    parts: Vec<Part>,
    order: F,
}

impl<'d, F: Fn(&Item) -> Result<String, Error>> Walk<'d, F> {
    /// `order` gives what an item is ordered by.
    pub fn new(db: &'d Db, ranges: Vec<Range>, order: F) -> Self {
        let part = |range| Part { range, waiting: VecDeque::new(), next: None, ended: false };
        Self { db, parts: ranges.into_iter().map(part).collect(), order }
    }

    /// Fetches a page of every part that has run empty, side by side.
    async fn fill(&mut self) -> Result<(), Error> {
        let db = self.db;
        let empty = self.parts.iter_mut().enumerate().filter(|(_, part)| part.waiting.is_empty() && !part.ended);
        let calls: Vec<_> = empty.map(|(number, part)| (number, part.range.clone(), part.next.take())).collect();
        if calls.is_empty() {
            return Ok(());
        }
        let pages = futures::stream::iter(calls).map(|(number, range, mut from)| async move {
            // A page may be empty although more follow.
            loop {
                let page = db.page(&range, from).await?;
                if !page.items.is_empty() || page.next.is_none() {
                    return Ok::<_, Error>((number, page));
                }
                from = page.next;
            }
        });
        let pages: Vec<_> = pages.buffer_unordered(8).try_collect().await?;
        for (number, page) in pages {
            let items = page.items.into_iter().map(|item| Ok(((self.order)(&item)?, item)));
            let items = items.collect::<Result<VecDeque<_>, Error>>()?;
            let part = &mut self.parts[number];
            // Whoever asks for more after the first page looks at many.
            part.range.limit = (part.range.limit * 4).min(500);
            part.waiting = items;
            part.ended = page.next.is_none();
            part.next = page.next;
        }
        Ok(())
    }

    /// The next items, at most `count`; none at the end.
    pub async fn take(&mut self, count: usize) -> Result<Vec<(String, Item)>, Error> {
        let mut taken = Vec::new();
        while taken.len() < count {
            self.fill().await?;
            let heads = self.parts.iter().enumerate();
            let heads = heads.filter_map(|(number, part)| Some((number, &part.waiting.front()?.0)));
            let descending = self.parts.first().is_some_and(|part| part.range.descending);
            let first = if descending {
                heads.max_by(|left, right| left.1.cmp(right.1))
            } else {
                heads.min_by(|left, right| left.1.cmp(right.1))
            };
            let Some((number, _)) = first else { break };
            taken.extend(self.parts[number].waiting.pop_front());
        }
        Ok(taken)
    }
}
