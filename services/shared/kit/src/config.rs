//! Settings of a process, in layers: compiled-in defaults, then a file, then the environment, then flags.
//!
//! The defaults file is the documentation and the value: a setting exists if it is there, and the comment above it says
//! what it means. Everything is checked before anything listens, and every problem is told at once.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Compiled in.
    Default,
    /// The settings file.
    File {
        /// As it was named.
        path: String,
        /// From 1.
        line: usize,
    },
    /// An environment variable.
    Environment(String),
    /// A flag.
    Flag(String),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line } => write!(f, "{path}:{line}"),
            Origin::Environment(name) => write!(f, "environment {name}"),
            Origin::Flag(name) => write!(f, "flag --{name}"),
        }
    }
}

/// One setting as it is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// `section.name`.
    pub key: String,
    /// The value as text.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
    /// What it means.
    pub meaning: String,
}

/// The layers, merged. Reads are typed; what is wrong is collected until [`Layers::finish`].
#[derive(Debug)]
pub struct Layers {
    values: BTreeMap<String, (String, Origin)>,
    meanings: BTreeMap<String, String>,
    problems: RefCell<Vec<String>>,
}

/// Variables that begin so are settings; the rest of the name is the key, `__` for each dot.
pub const ENVIRONMENT_PREFIX: &str = "FRESHET_";

impl Layers {
    /// Begins with the compiled-in defaults: `[section]` tables of scalars, each with a comment above it.
    pub fn new(defaults: &str) -> Self {
        Self::new_of(&[defaults])
    }

    /// The same for defaults in several parts, so that programs can share some of them. A section may be in several.
    pub fn new_of(parts: &[&str]) -> Self {
        let mut layers = Self { values: BTreeMap::new(), meanings: BTreeMap::new(), problems: RefCell::default() };
        for part in parts {
            layers.meanings.append(&mut meanings(part));
            let Flat { values, problems } = flatten(part);
            layers.values.extend(values.into_iter().map(|(key, (value, _))| (key, (value, Origin::Default))));
            for (line, problem) in problems {
                layers.problem(format!("the compiled-in defaults are broken at line {line}: {problem}"));
            }
        }
        layers
    }

    /// Puts a settings file over it.
    pub fn file(&mut self, path: &str, text: &str) {
        let Flat { values, problems } = flatten(text);
        for (key, (value, line)) in values {
            self.set(key, value, Origin::File { path: path.to_owned(), line });
        }
        for (line, problem) in problems {
            self.problem(format!("{path}:{line}: {problem}"));
        }
    }

    /// Puts environment variables over it: `FRESHET_INGRESS__HTTP_ADDRESS` is `ingress.http_address`. Names without `__`
    /// are none of ours: they may be secrets that the catalogue refers to.
    pub fn environment(&mut self, variables: &BTreeMap<String, String>) {
        for (name, value) in variables {
            if let Some(rest) = name.strip_prefix(ENVIRONMENT_PREFIX)
                && rest.contains("__")
            {
                let key = rest.to_ascii_lowercase().replace("__", ".");
                self.set(key, value.clone(), Origin::Environment(name.clone()));
            }
        }
    }

    /// Puts a flag over it.
    pub fn flag(&mut self, key: &str, flag: &str, value: Option<String>) {
        if let Some(value) = value {
            self.set(key.to_owned(), value, Origin::Flag(flag.to_owned()));
        }
    }

    fn set(&mut self, key: String, value: String, origin: Origin) {
        match self.values.get_mut(&key) {
            Some(known) => *known = (value, origin),
            None => self.problem(format!("{origin}: `{key}` is not a setting; see `freshet config explain`")),
        }
    }

    /// Notes a problem, of a rule between settings for example.
    pub fn problem(&self, problem: impl Into<String>) {
        self.problems.borrow_mut().push(problem.into());
    }

    fn get<T>(&self, key: &str, expected: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let Some((value, origin)) = self.values.get(key) else {
            self.problem(format!("`{key}` has no default"));
            return None;
        };
        let parsed = parse(value);
        if parsed.is_none() {
            self.problem(format!("{origin}: `{key}` must be {expected}"));
        }
        parsed
    }

    /// Text.
    pub fn text(&self, key: &str) -> String {
        self.get(key, "a text", |text| Some(text.to_owned())).unwrap_or_default()
    }

    /// Text that must not be empty.
    pub fn required(&self, key: &str) -> String {
        self.get(key, "set; it has no default", |text| (!text.trim().is_empty()).then(|| text.trim().to_owned()))
            .unwrap_or_default()
    }

    /// A path; a relative one starts at the working directory.
    pub fn path(&self, key: &str) -> PathBuf {
        self.get(key, "a path", |text| (!text.is_empty()).then(|| PathBuf::from(text))).unwrap_or_default()
    }

    /// `host:port`, where the host is an IP address. Port 0 lets the system choose.
    pub fn address(&self, key: &str) -> SocketAddr {
        self.get(key, "an address like 127.0.0.1:8080", |text| text.parse().ok())
            .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// A time like `500ms`, `5s` or `10m`.
    pub fn duration(&self, key: &str) -> Duration {
        self.get(key, "a time like 500ms, 5s or 10m", crate::catalogue::parse_duration).unwrap_or_default()
    }

    /// A whole number within bounds.
    pub fn number(&self, key: &str, min: u64, max: u64) -> u64 {
        let expected = format!("a whole number from {min} to {max}");
        self.get(key, &expected, |text| text.parse().ok().filter(|number| (min..=max).contains(number))).unwrap_or(min)
    }

    /// One of some words.
    pub fn word<'w>(&self, key: &str, words: &[&'w str]) -> &'w str {
        let expected = format!("one of {}", words.join(", "));
        self.get(key, &expected, |text| words.iter().copied().find(|word| *word == text))
            .unwrap_or_else(|| words.first().copied().unwrap_or_default())
    }

    /// Log directives; see [`logging::are_directives`](crate::logging::are_directives).
    pub fn log_directives(&self, key: &str) -> String {
        use crate::logging::{DIRECTIVES, are_directives};
        self.get(key, DIRECTIVES, |text| are_directives(text).then(|| text.to_owned())).unwrap_or_default()
    }

    /// A share from 0 to 1, such as `0.25`.
    pub fn ratio(&self, key: &str) -> f64 {
        let parse = |text: &str| text.parse::<f64>().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
        self.get(key, "a number from 0 to 1, such as 0.25", parse).unwrap_or_default()
    }

    /// The environment variable that sets a key.
    pub fn variable(key: &str) -> String {
        format!("{ENVIRONMENT_PREFIX}{}", key.replace('.', "__").to_ascii_uppercase())
    }

    /// Every setting as it is in force.
    pub fn explain(&self) -> Vec<Explained> {
        self.values
            .iter()
            .map(|(key, (value, origin))| Explained {
                key: key.clone(),
                value: value.clone(),
                origin: origin.clone(),
                meaning: self.meanings.get(key).cloned().unwrap_or_default(),
            })
            .collect()
    }

    /// Every problem, if there is any.
    pub fn finish(&self) -> Result<(), Vec<String>> {
        let problems = self.problems.take();
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

/// What a file says.
#[derive(Default)]
struct Flat {
    /// By `section.name`, with the line.
    values: BTreeMap<String, (String, usize)>,
    /// What is wrong with the others, by line.
    problems: Vec<(usize, String)>,
}

fn flatten(text: &str) -> Flat {
    let line_of = |span: std::ops::Range<usize>| {
        text.as_bytes().iter().take(span.start).filter(|byte| **byte == b'\n').count() + 1
    };
    let (root, errors) = DeTable::parse_recoverable(text);
    let Flat { mut values, mut problems } = Flat::default();
    for error in &errors {
        // The error's own text quotes the line, which can hold a secret.
        problems.push((error.span().map_or(1, line_of), format!("not valid TOML: {}", error.message())));
    }
    if !errors.is_empty() {
        return Flat { values, problems };
    }
    for (section, value) in root.get_ref() {
        let section = section.get_ref();
        let DeValue::Table(names) = value.get_ref() else {
            problems.push((line_of(value.span()), format!("`{section}` must be inside a [section]")));
            continue;
        };
        for (name, value) in names {
            let (name, line) = (name.get_ref(), line_of(value.span()));
            let text = match value.get_ref() {
                DeValue::String(text) => text.as_ref().to_owned(),
                DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
                DeValue::Boolean(value) => value.to_string(),
                _ => {
                    problems.push((line, format!("`{section}.{name}` must be a text, a whole number, true or false")));
                    continue;
                }
            };
            values.insert(format!("{section}.{name}"), (text, line));
        }
    }
    Flat { values, problems }
}

/// The comment above each setting.
fn meanings(text: &str) -> BTreeMap<String, String> {
    let (mut section, mut comment, mut found) = (String::new(), Vec::new(), BTreeMap::new());
    for line in text.lines().map(str::trim) {
        if let Some(words) = line.strip_prefix('#') {
            comment.push(words.trim().to_owned());
        } else if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name.to_owned();
            comment.clear();
        } else if let Some((name, _)) = line.split_once('=') {
            found.insert(format!("{section}.{}", name.trim()), std::mem::take(&mut comment).join(" "));
        } else {
            comment.clear();
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: &str = "
[http]
# Where it
# listens.
address = \"127.0.0.1:80\"
# How long.
wait = \"5s\"
[store]
# How many.
readers = 4
";

    #[test]
    fn later_layers_win_and_are_named() {
        let mut layers = Layers::new(DEFAULTS);
        layers.file("f.toml", "[store]\nreaders = 5\n[http]\nwait = \"1s\"");
        layers.environment(&BTreeMap::from([
            ("FRESHET_HTTP__WAIT".into(), "2s".into()),
            ("FRESHET_X".into(), "y".into()),
        ]));
        layers.flag("http.address", "http", Some("127.0.0.1:0".into()));
        assert_eq!(layers.number("store.readers", 1, 9), 5);
        assert_eq!(layers.duration("http.wait"), Duration::from_secs(2));
        assert_eq!(layers.address("http.address").port(), 0);
        let explained = layers.explain();
        assert_eq!(explained[0].origin.to_string(), "flag --http");
        assert_eq!(explained[0].meaning, "Where it listens.");
        assert_eq!(explained[1].origin.to_string(), "environment FRESHET_HTTP__WAIT");
        layers.finish().expect("no problem");
    }

    #[test]
    fn what_is_wrong_in_a_file_has_its_line_and_hides_nothing_else() {
        let mut layers = Layers::new(DEFAULTS);
        layers.file("f.toml", "loose = 1\n[http]\nwait = 1.5\n[store]\nreaders = 0x10\nreadrs = 1");
        let problems = layers.finish().expect_err("four");
        for begin in
            ["f.toml:1: `loose` must be inside", "f.toml:3: `http.wait`", "f.toml:5: `store.readers`", "f.toml:6: "]
        {
            assert!(problems.iter().any(|problem| problem.starts_with(begin)), "{begin} is not in {problems:?}");
        }
        let mut layers = Layers::new(DEFAULTS);
        layers.file("f.toml", "[http]\nwait = hunter2");
        let problems = layers.finish().expect_err("no TOML");
        assert!(
            problems[0].starts_with("f.toml:2: not valid TOML") && !problems[0].contains("hunter2"),
            "{problems:?}"
        );
    }

    #[test]
    fn every_problem_is_told_at_once_and_no_value() {
        let mut layers = Layers::new(DEFAULTS);
        layers.file("f.toml", "[store]\nreaders = 50\nwriters = 1");
        layers.environment(&BTreeMap::from([("FRESHET_HTTP__WAIT".into(), "hunter2".into())]));
        layers.flag("http.address", "http", Some("here".into()));
        layers.number("store.readers", 1, 9);
        layers.duration("http.wait");
        layers.address("http.address");
        let problems = layers.finish().expect_err("four");
        assert_eq!(problems.len(), 4, "{problems:?}");
        assert_eq!(problems[0], "f.toml:3: `store.writers` is not a setting; see `freshet config explain`");
        assert!(problems[1].starts_with("f.toml:2: `store.readers` must be a whole number"), "{problems:?}");
        assert!(!problems.join(" ").contains("hunter2"));
    }
}
