//! Several index ranges read as one, largest first.

use freshet_sqlite::DbError;
use rusqlite::{Row, Rows};

/// Merges ranges that are each sorted from large to small. Reads no further than it is asked to.
pub(super) struct Merge<'r, T, F> {
    ranges: Vec<(Rows<'r>, Option<T>)>,
    read: F,
}

impl<'r, T: Ord, F: Fn(usize, &Row<'_>) -> Result<T, DbError>> Merge<'r, T, F> {
    /// `read` makes a value of a row of the range with that number.
    pub(super) fn new(ranges: Vec<Rows<'r>>, read: F) -> Result<Self, DbError> {
        let ranges = ranges.into_iter().map(|rows| (rows, None)).collect();
        let mut merge = Self { ranges, read };
        for number in 0..merge.ranges.len() {
            merge.advance(number)?;
        }
        Ok(merge)
    }

    fn advance(&mut self, number: usize) -> Result<Option<T>, DbError> {
        let (rows, head) = &mut self.ranges[number];
        let next = match rows.next()? {
            Some(row) => Some((self.read)(number, row)?),
            None => None,
        };
        Ok(std::mem::replace(head, next))
    }

    /// The next value of all.
    pub(super) fn next(&mut self) -> Result<Option<T>, DbError> {
        let heads = self.ranges.iter().enumerate().filter_map(|(number, (_, head))| Some((head.as_ref()?, number)));
        match heads.max_by(|left, right| left.0.cmp(right.0)).map(|(_, number)| number) {
            Some(number) => self.advance(number),
            None => Ok(None),
        }
    }

    /// True if there is a next value.
    pub(super) fn has_next(&self) -> bool {
        self.ranges.iter().any(|(_, head)| head.is_some())
    }
}
