//! Reading a TOML table whose every mistake is noted with its line.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Problem;

/// Where mistakes are noted.
pub(super) struct Notes<'t> {
    text: &'t str,
    problems: RefCell<Vec<Problem>>,
}

impl<'t> Notes<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, problems: RefCell::default() }
    }

    /// Notes a mistake at a byte position.
    pub(super) fn at(&self, position: usize, message: impl Into<String>) {
        let before = self.text.as_bytes().get(..position).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        self.problems.borrow_mut().push(Problem { line, message: message.into() });
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| problem.line);
        problems
    }
}

/// One table. Every read marks the key as known; [`Table::finish`] notes the others.
pub(super) struct Table<'a> {
    notes: &'a Notes<'a>,
    table: &'a DeTable<'a>,
    start: usize,
    what: String,
    known: RefCell<BTreeSet<&'static str>>,
}

impl<'a> Table<'a> {
    pub(super) fn new(notes: &'a Notes<'a>, table: &'a DeTable<'a>, start: usize, what: impl Into<String>) -> Self {
        Self { notes, table, start, what: what.into(), known: RefCell::default() }
    }

    /// For messages: `source "blog"`.
    pub(super) fn rename(&mut self, what: String) {
        self.what = what;
    }

    fn get(&self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known.borrow_mut().insert(key);
        self.table.get(key)
    }

    /// Notes a mistake about a key, at its line or at the table's.
    pub(super) fn wrong(&self, key: &str, message: impl std::fmt::Display) {
        let position = self.table.get(key).map_or(self.start, |value| value.span().start);
        self.notes.at(position, format!("{}: `{key}` {message}", self.what));
    }

    /// Notes a mistake about the table.
    pub(super) fn wrong_here(&self, message: impl std::fmt::Display) {
        self.notes.at(self.start, format!("{}: {message}", self.what));
    }

    /// The raw value of a key, and where it stands.
    pub(super) fn peek(&self, key: &'static str) -> Option<(usize, &'a DeValue<'a>)> {
        self.get(key).map(|value| (value.span().start, value.get_ref()))
    }

    pub(super) fn has(&self, key: &'static str) -> bool {
        self.get(key).is_some()
    }

    pub(super) fn text(&self, key: &'static str) -> Option<&'a str> {
        match self.get(key)?.get_ref() {
            DeValue::String(text) => Some(text.as_ref()),
            _ => {
                self.wrong(key, "must be a text in quotes");
                None
            }
        }
    }

    pub(super) fn required_text(&self, key: &'static str) -> Option<&'a str> {
        if !self.has(key) {
            self.wrong_here(format!("`{key}` is missing"));
        }
        self.text(key)
    }

    pub(super) fn bool(&self, key: &'static str) -> Option<bool> {
        match self.get(key)?.get_ref() {
            DeValue::Boolean(value) => Some(*value),
            _ => {
                self.wrong(key, "must be true or false");
                None
            }
        }
    }

    /// A whole number within bounds.
    pub(super) fn number(&self, key: &'static str, min: u64, max: u64) -> Option<u64> {
        let value = match self.get(key)?.get_ref() {
            DeValue::Integer(number) => number.as_str().parse::<u64>().ok().filter(|_| number.radix() == 10),
            _ => None,
        };
        match value {
            Some(number) if (min..=max).contains(&number) => Some(number),
            _ => {
                self.wrong(key, format!("must be a whole number from {min} to {max}"));
                None
            }
        }
    }

    /// A time like "500ms", "5s", "10m", "48h" or "30d", within bounds.
    pub(super) fn duration(&self, key: &'static str, min: Duration, max: Duration) -> Option<Duration> {
        let text = self.text(key)?;
        match parse_duration(text) {
            Some(duration) if (min..=max).contains(&duration) => Some(duration),
            Some(_) => {
                self.wrong(key, format!("must be from {} to {}", show_duration(min), show_duration(max)));
                None
            }
            None => {
                self.wrong(key, "must be a time like \"500ms\", \"5s\", \"10m\", \"48h\" or \"30d\"");
                None
            }
        }
    }

    /// A list of texts; one text counts as a list of one.
    pub(super) fn texts(&self, key: &'static str) -> Option<Vec<&'a str>> {
        match self.get(key)?.get_ref() {
            DeValue::String(text) => Some(vec![text.as_ref()]),
            DeValue::Array(items) => {
                let mut texts = Vec::new();
                for item in items.iter() {
                    match item.get_ref() {
                        DeValue::String(text) => texts.push(text.as_ref()),
                        _ => {
                            self.wrong(key, "must be a list of texts in quotes");
                            return None;
                        }
                    }
                }
                Some(texts)
            }
            _ => {
                self.wrong(key, "must be a list of texts in quotes");
                None
            }
        }
    }

    pub(super) fn table(&self, key: &'static str) -> Option<Table<'a>> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::Table(table) => {
                Some(Table::new(self.notes, table, value.span().start, format!("{}: {key}", self.what)))
            }
            _ => {
                self.wrong(key, "must be a table");
                None
            }
        }
    }

    /// The tables of `[[key]]`.
    pub(super) fn tables(&self, key: &'static str, what: &str) -> Vec<Table<'a>> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong(key, format!("must be written as [[{key}]]"));
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in items.iter() {
            match item.get_ref() {
                DeValue::Table(table) => {
                    tables.push(Table::new(self.notes, table, item.span().start, what.to_owned()));
                }
                _ => self.wrong(key, format!("must be written as [[{key}]]")),
            }
        }
        tables
    }

    /// Keys that nobody has read so far, with their values; they count as read now.
    pub(super) fn others(&self) -> Vec<(&'a str, &'a Spanned<DeValue<'a>>)> {
        let known = self.known.borrow();
        self.table
            .iter()
            .filter(|(key, _)| !known.contains(key.get_ref().as_ref()))
            .map(|(key, value)| (key.get_ref().as_ref(), value))
            .collect()
    }

    /// Notes every key that nobody has read, with the nearest known one.
    pub(super) fn finish(self) {
        for (key, value) in self.others() {
            let hint = self
                .known
                .borrow()
                .iter()
                .filter(|known| distance(known, key) <= 2)
                .min_by_key(|known| distance(known, key))
                .map(|known| format!("; did you mean `{known}`?"))
                .unwrap_or_default();
            self.notes.at(value.span().start, format!("{}: `{key}` is not a setting{hint}", self.what));
        }
    }
}

/// Edit distance, for hints.
pub(super) fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut previous = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let substitute = previous + usize::from(a != *b);
            previous = row[j + 1];
            row[j + 1] = substitute.min(row[j] + 1).min(previous + 1);
        }
    }
    row[right.len()]
}

/// Reads a time like `500ms`, `5s`, `10m`, `48h` or `30d`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (amount, unit) = text.split_at(digits);
    let amount: u64 = amount.parse().ok()?;
    match unit {
        "ms" => Some(Duration::from_millis(amount)),
        "s" => Some(Duration::from_secs(amount)),
        "m" => amount.checked_mul(60).map(Duration::from_secs),
        "h" => amount.checked_mul(3_600).map(Duration::from_secs),
        "d" => amount.checked_mul(86_400).map(Duration::from_secs),
        _ => None,
    }
}

/// Writes a time as [`parse_duration`] reads it.
pub fn show_duration(duration: Duration) -> String {
    match (duration.as_secs(), duration.subsec_millis()) {
        (0, millis) => format!("{millis}ms"),
        (secs, _) if secs % 86_400 == 0 => format!("{}d", secs / 86_400),
        (secs, _) if secs % 3_600 == 0 => format!("{}h", secs / 3_600),
        (secs, _) if secs % 60 == 0 => format!("{}m", secs / 60),
        (secs, _) => format!("{secs}s"),
    }
}
