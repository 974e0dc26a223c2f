//! The result.

use std::io::Write as _;

/// Everything that was measured.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<[String; 4]>,
}

impl Table {
    /// A measure with its target and whether it was met.
    pub(crate) fn judged(&mut self, what: impl Into<String>, measured: String, target: &str, met: bool) {
        let verdict = if met { "PASS" } else { "short of target" };
        self.row(what.into(), measured, target.to_owned(), verdict.to_owned());
    }

    /// A measure without a target.
    pub(crate) fn told(&mut self, what: impl Into<String>, measured: String) {
        self.row(what.into(), measured, String::new(), String::new());
    }

    fn row(&mut self, what: String, measured: String, target: String, verdict: String) {
        crate::numbers::note(format!("  {what}: {measured}"));
        self.rows.push([what, measured, target, verdict]);
    }

    pub(crate) fn print(&self) {
        let heads = ["measure", "measured", "target", ""].map(str::to_owned);
        let mut widths = [0; 4];
        for row in self.rows.iter().chain([&heads]) {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut out = std::io::stdout().lock();
        for row in [&heads].into_iter().chain(&self.rows) {
            let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            let _ = writeln!(out, "{}", cells.join("  ").trim_end());
        }
    }
}
