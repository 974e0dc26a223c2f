//! Lists: as many pages as the limit asks for.

use clap::Args;
use tonic::Status;

use super::connect::explain;
use super::output::note;

/// How much of a list.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Limit {
    /// How many at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i32).range(1..=100_000))]
    limit: i32,
}

/// The items that were asked for, and the token of what follows them.
pub(crate) struct Listed<T> {
    pub(crate) items: Vec<T>,
    pub(crate) next_page_token: String,
}

impl<T> Listed<T> {
    /// Says beside the table what it does not show.
    pub(crate) fn note_the_rest(&self) {
        if self.items.is_empty() {
            note("there is none");
        } else if !self.next_page_token.is_empty() {
            note(format!("the first {}; more with --limit", self.items.len()));
        }
    }
}

/// Asks for page after page, with the size and the token of each, until the limit or the end.
pub(crate) async fn list<T, F>(limit: Limit, mut ask: impl FnMut(i32, String) -> F) -> anyhow::Result<Listed<T>>
where
    F: Future<Output = Result<(Vec<T>, String), Status>>,
{
    let limit = usize::try_from(limit.limit).unwrap_or_default();
    let mut listed = Listed { items: Vec::new(), next_page_token: String::new() };
    loop {
        let size = i32::try_from(limit - listed.items.len()).unwrap_or(i32::MAX);
        let (items, token) = ask(size, std::mem::take(&mut listed.next_page_token)).await.map_err(explain)?;
        listed.items.extend(items);
        listed.next_page_token = token;
        if listed.items.len() >= limit || listed.next_page_token.is_empty() {
            return Ok(listed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers from 0 to 249 in pages of at most 100; each third page is empty, as pages may be.
    async fn page(size: i32, token: String) -> Result<(Vec<u32>, String), Status> {
        let (calls, from) = token.split_once(' ').unwrap_or(("0", "0"));
        let (calls, from): (u32, u32) = (calls.parse().expect("a number"), from.parse().expect("a number"));
        let end = if calls % 3 == 1 { from } else { (from + u32::try_from(size).expect("positive").min(100)).min(250) };
        let token = if end == 250 { String::new() } else { format!("{} {end}", calls + 1) };
        Ok(((from..end).collect(), token))
    }

    #[tokio::test]
    async fn a_list_is_as_long_as_it_was_asked_for() {
        for (limit, length, more) in
            [(1, 1, true), (100, 100, true), (249, 249, true), (250, 250, false), (999, 250, false)]
        {
            let listed = list(Limit { limit }, page).await.expect("answers");
            assert_eq!(listed.items, (0..length).collect::<Vec<_>>(), "limit {limit}");
            assert_eq!(!listed.next_page_token.is_empty(), more, "limit {limit}");
        }
    }
}
