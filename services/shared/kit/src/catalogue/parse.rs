//! `freshet.toml` to a checked catalogue, or to the list of everything that is wrong with it.

mod aws;
mod key;
mod variable;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use freshet_domain::catalogue::{
    BuildPolicy, Catalogue, Client, Preset, ProviderRules, RateLimit, Setting, Settings, Site, SiteBuild, Source,
    Supersede,
};
use freshet_domain::{ClientId, SiteId, SourceId};
use toml::de::{DeTable, DeValue};

use super::reader::{Notes, Table, distance, show_duration};
use crate::secret::SecretResolver;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line in the file, from 1.
    pub line: usize,
    /// What is wrong and what to do.
    pub message: String,
}

/// Every problem on a line of its own: `freshet.toml:12: source "blog": ...`.
pub fn report(file: &str, problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{file}:{}: {}\n", problem.line, problem.message)).collect()
}

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

/// Reads a catalogue. Relative directories of sites start at `base`.
pub fn parse(
    text: &str,
    base: &Path,
    rules: &dyn ProviderRules,
    secrets: &dyn SecretResolver,
) -> Result<Catalogue, Vec<Problem>> {
    let notes = Notes::new(text);
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        notes.at(error.span().map_or(0, |span| span.start), format!("not valid TOML: {}", error.message()));
    }
    if !errors.is_empty() {
        // What could be recovered is not what was meant; reporting more would only confuse.
        return Err(notes.into_problems());
    }
    let reader = Reader { base, rules, secrets };
    let catalogue = reader.catalogue(Table::new(&notes, root.get_ref(), 0, "catalogue"));
    let problems = notes.into_problems();
    if problems.is_empty() { Ok(catalogue) } else { Err(problems) }
}

struct Reader<'r> {
    base: &'r Path,
    rules: &'r dyn ProviderRules,
    secrets: &'r dyn SecretResolver,
}

impl Reader<'_> {
    fn catalogue(&self, table: Table<'_>) -> Catalogue {
        let mut catalogue = Catalogue {
            max_running_builds: table.number("max_running_builds", 1, 1_000).unwrap_or(4) as u32,
            ..Catalogue::default()
        };
        for client in table.tables("client", "client") {
            self.client(client, &mut catalogue.clients);
        }
        for key in table.tables("key", "key") {
            key::read(key, &catalogue.clients, &mut catalogue.keys);
        }
        if !table.has("client") {
            table.wrong_here("there is no [[client]]");
        }
        table.finish();
        catalogue
    }

    fn client(&self, mut table: Table<'_>, clients: &mut BTreeMap<ClientId, Arc<Client>>) {
        let id = name::<ClientId>(&mut table, "client");
        let title = table.text("title").map(str::to_owned);
        let content_ttl = table.duration("content_ttl", DAY, 30 * DAY).unwrap_or(2 * DAY);
        let max_running_builds = table.number("max_running_builds", 1, 1_000).unwrap_or(2) as u32;
        let rate = rate_limit(&table, RateLimit { per_second: 2_000, burst: 10_000 });
        let owner = id.clone().unwrap_or_else(|| placeholder("unnamed"));
        let mut sources = BTreeMap::new();
        for source in table.tables("source", "source") {
            self.source(source, &owner, &mut sources);
        }
        let mut sites = BTreeMap::new();
        for site in table.tables("site", "site") {
            self.site(site, &owner, &sources, &mut sites);
        }
        if let Some(id) = id {
            let title = title.unwrap_or_else(|| id.to_string());
            let client = Client { id: id.clone(), title, content_ttl, max_running_builds, rate, sources, sites };
            if clients.insert(id.clone(), Arc::new(client)).is_some() {
                table.wrong("id", "is used by two clients");
            }
        }
        table.finish();
    }

    fn source(&self, mut table: Table<'_>, client: &ClientId, sources: &mut BTreeMap<SourceId, Arc<Source>>) {
        let id = name::<SourceId>(&mut table, "source");
        let provider = table.required_text("provider").unwrap_or_default();
        let known = self.rules.providers();
        if !provider.is_empty() && !known.contains(&provider) {
            let near =
                known.iter().filter(|name| distance(name, provider) <= 3).min_by_key(|name| distance(name, provider));
            let hint = near.map(|name| format!("did you mean `{name}`? ")).unwrap_or_default();
            table.wrong("provider", format!("is not a provider; {hint}there are: {}", known.join(", ")));
        }
        let (mut secrets, mut unreadable) = (Vec::new(), false);
        for reference in table.texts("secrets").unwrap_or_default() {
            match self.secrets.resolve_all(reference) {
                Ok(all) => secrets.extend(all),
                Err(problem) => {
                    unreadable = true;
                    table.wrong("secrets", format!("cannot be used: {problem}"));
                }
            }
        }
        let require_key = table.bool("require_key").unwrap_or(false);
        let rate = rate_limit(&table, RateLimit { per_second: 1_000, burst: 5_000 });
        let mut settings = Settings::default();
        for name in self.rules.setting_names(provider) {
            // Marks it as known, so that `finish` can hint at it.
            if !table.has(name) {
                continue;
            }
            if let Some(setting) = setting(&table, name) {
                settings.0.insert((*name).to_owned(), setting);
            }
        }
        let source = Source {
            client: client.clone(),
            id: id.clone().unwrap_or_else(|| placeholder("unnamed")),
            provider: provider.to_owned(),
            secrets,
            require_key,
            rate,
            settings,
        };
        for problem in self.rules.check_source(&source) {
            // That a secret is missing was said, if it is one that cannot be read.
            if !(unreadable && problem.setting == "secrets") {
                table.wrong(problem.setting, problem.message);
            }
        }
        if known.contains(&provider) {
            if let Some(id) = id
                && sources.insert(id, Arc::new(source)).is_some()
            {
                table.wrong("id", "is used by two sources of this client");
            }
            table.finish();
        } else if let Some(id) = id {
            // Its sites should not be blamed for it, and which settings it may have is unknown.
            sources.insert(id, Arc::new(source));
        }
    }

    fn site(
        &self,
        mut table: Table<'_>,
        client: &ClientId,
        sources: &BTreeMap<SourceId, Arc<Source>>,
        sites: &mut BTreeMap<SiteId, Arc<Site>>,
    ) {
        let id = name::<SiteId>(&mut table, "site");
        let title = table.text("title").map(str::to_owned);
        let mut used = Vec::new();
        for name in table.texts("sources").unwrap_or_default() {
            match sources.get(name) {
                Some(source) if used.contains(&source.id) => table.wrong("sources", format!("has `{name}` twice")),
                Some(source) => used.push(source.id.clone()),
                None => table.wrong("sources", format!("names `{name}`, which is not a source of this client")),
            }
        }
        if table.texts("sources").is_none_or(|names| names.is_empty()) {
            table.wrong_here("`sources` is missing; a site shows at least one source");
        }
        let build = self.build(&table);
        let aws = aws::site(&table, &build);
        let policy = policy(&table);
        if let Some(id) = id {
            let title = title.unwrap_or_else(|| id.to_string());
            let site = Site { client: client.clone(), id: id.clone(), title, sources: used, build, policy, aws };
            if sites.insert(id, Arc::new(site)).is_some() {
                table.wrong("id", "is used by two sites of this client");
            }
        }
        table.finish();
    }

    fn build(&self, table: &Table<'_>) -> SiteBuild {
        let preset = match table.text("preset") {
            None => Preset::Builtin,
            Some(text) => Preset::ALL.iter().copied().find(|preset| preset.as_str() == text).unwrap_or_else(|| {
                let all: Vec<&str> = Preset::ALL.iter().map(|preset| preset.as_str()).collect();
                table.wrong("preset", format!("must be one of {}", all.join(", ")));
                Preset::Builtin
            }),
        };
        let command: Vec<String> = table.texts("command").unwrap_or_default().into_iter().map(str::to_owned).collect();
        if let [text] = command.as_slice()
            && text.contains(' ')
            && !Path::new(text).exists()
        {
            let words: Vec<String> = text.split_whitespace().map(|word| format!("{word:?}")).collect();
            table.wrong("command", format!("must be a list of the program and its arguments: [{}]", words.join(", ")));
        }
        let directory = table.text("directory").map(|path| self.base.join(path));
        let output = PathBuf::from(table.text("output").unwrap_or_default());
        if output.is_absolute() || output.components().any(|part| part.as_os_str() == "..") {
            table.wrong("output", "must be a path below `directory`");
        }
        if preset == Preset::Builtin {
            for key in ["command", "directory", "output"] {
                if table.has(key) {
                    table.wrong(key, "needs a `preset` other than \"builtin\" (\"custom\" takes any command)");
                }
            }
        } else if !table.has("aws") {
            match &directory {
                None => table.wrong_here("`directory` is missing: where the site's own files are"),
                Some(path) if !path.is_dir() => table.wrong("directory", "is not a folder"),
                Some(_) => {}
            }
            if preset == Preset::Custom && command.is_empty() {
                table.wrong_here("`command` is missing: what the preset \"custom\" runs");
            }
            if preset == Preset::Custom && output.as_os_str().is_empty() {
                table.wrong_here("`output` is missing: where the command leaves the site");
            }
        }
        let mut env = BTreeMap::new();
        if let Some(variables) = table.table("env") {
            for (key, value) in variables.others() {
                variable::check(&variables, key);
                match value.get_ref() {
                    DeValue::String(value) => {
                        env.insert(key.to_owned(), value.as_ref().to_owned());
                    }
                    _ => variables.wrong(key, "must be a text in quotes"),
                }
            }
        }
        let timeout = table.duration("timeout", SECOND, DAY).unwrap_or(Duration::from_secs(900));
        SiteBuild { preset, command, directory, output, env, timeout }
    }
}

fn policy(table: &Table<'_>) -> BuildPolicy {
    let default = BuildPolicy::default();
    let zero = Duration::ZERO;
    let policy = BuildPolicy {
        quiet_period: table.duration("quiet_period", zero, DAY).unwrap_or(default.quiet_period),
        max_wait: table.duration("max_wait", zero, DAY).unwrap_or(default.max_wait),
        max_changes: table.number("max_changes", 0, 1_000_000).unwrap_or(default.max_changes),
        supersede: match table.text("supersede") {
            None => default.supersede,
            Some(text) => Supersede::ALL.iter().copied().find(|way| way.as_str() == text).unwrap_or_else(|| {
                table.wrong("supersede", "must be \"finish\" or \"cancel\"");
                default.supersede
            }),
        },
        max_attempts: table.number("max_attempts", 1, 20).map_or(default.max_attempts, |number| number as u32),
        retry_backoff: table.duration("retry_backoff", zero, DAY).unwrap_or(default.retry_backoff),
        retry_backoff_max: table.duration("retry_backoff_max", zero, DAY).unwrap_or(default.retry_backoff_max),
    };
    if policy.max_wait < policy.quiet_period {
        table.wrong(
            if table.has("max_wait") { "max_wait" } else { "quiet_period" },
            format!(
                "makes `max_wait` ({}) shorter than `quiet_period` ({}), which would never count",
                show_duration(policy.max_wait),
                show_duration(policy.quiet_period)
            ),
        );
    }
    if policy.retry_backoff > policy.retry_backoff_max {
        table.wrong(
            if table.has("retry_backoff_max") { "retry_backoff_max" } else { "retry_backoff" },
            format!(
                "makes `retry_backoff_max` ({}) shorter than `retry_backoff` ({})",
                show_duration(policy.retry_backoff_max),
                show_duration(policy.retry_backoff)
            ),
        );
    }
    policy
}

fn rate_limit(table: &Table<'_>, default: RateLimit) -> RateLimit {
    let Some(limit) = table.table("rate_limit") else { return default };
    let per_second = limit.number("per_second", 1, 1_000_000).unwrap_or(u64::from(default.per_second)) as u32;
    let burst = limit.number("burst", 1, 10_000_000).unwrap_or(u64::from(per_second.saturating_mul(5))) as u32;
    limit.finish();
    RateLimit { per_second, burst }
}

fn setting(table: &Table<'_>, name: &'static str) -> Option<Setting> {
    // Tried in turn rather than by type, so that a wrong type is reported by the reader that knows the words.
    let (_, value) = table.peek(name)?;
    match value {
        DeValue::String(text) => Some(Setting::Text(text.as_ref().to_owned())),
        DeValue::Boolean(value) => Some(Setting::Bool(*value)),
        DeValue::Integer(_) => table.number(name, 0, i64::MAX as u64).map(|number| Setting::Integer(number as i64)),
        DeValue::Array(_) => {
            table.texts(name).map(|texts| Setting::List(texts.into_iter().map(str::to_owned).collect()))
        }
        _ => {
            table.wrong(name, "must be a text, a whole number, true, false, or a list of texts");
            None
        }
    }
}

fn name<T: std::str::FromStr<Err = freshet_domain::IdError>>(table: &mut Table<'_>, what: &str) -> Option<T> {
    let text = table.required_text("id")?;
    table.rename(format!("{what} \"{text}\""));
    match text.parse() {
        Ok(id) => Some(id),
        Err(error) => {
            table.wrong("id", error);
            None
        }
    }
}

/// Stands for a name that is missing or wrong, while the rest of its table is still checked.
fn placeholder<T: std::str::FromStr<Err = freshet_domain::IdError>>(text: &str) -> T {
    match text.parse() {
        Ok(id) => id,
        Err(error) => unreachable!("a constant name is valid: {error}"),
    }
}

#[cfg(test)]
mod tests;
