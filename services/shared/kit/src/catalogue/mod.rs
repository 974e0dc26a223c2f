//! The catalogue in force, and reading it from `freshet.toml`.

mod handle;
mod parse;
mod reader;

pub use handle::{Ask, CatalogueHandle, watch_file};
pub use parse::{Problem, parse, report};
pub use reader::{parse_duration, show_duration};
