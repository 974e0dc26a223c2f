//! The settings that say where an event keeps what: the specification fixes the envelope, not the content.

use freshet_domain::Kind;
use freshet_domain::catalogue::{Setting, SettingProblem, Settings};

/// How events of one source are read.
pub(super) struct Mapping {
    /// Member of `data` that holds the entry's id.
    pub(super) id_field: String,
    /// Member of `data` that holds the title; `None`: the first usual one.
    pub(super) title_field: Option<String>,
    /// Member of `data` that holds the slug.
    pub(super) slug_field: String,
    /// The entries' type; `None`: the event's type up to its last dot.
    entry_type: Option<String>,
    /// Last parts of event types that say that an entry is gone.
    delete_events: Vec<String>,
    /// What the entries are.
    pub(super) kind: Kind,
}

impl Mapping {
    /// Reads the settings; the first problem is the error.
    pub(super) fn read(settings: &Settings) -> Result<Self, SettingProblem> {
        let kind = match text(settings, "kind")? {
            None => Kind::Document,
            Some(word) => Kind::ALL.iter().copied().find(|kind| kind.as_str() == word).ok_or_else(|| {
                let words: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
                SettingProblem { setting: "kind", message: format!("must be one of {}", words.join(", ")) }
            })?,
        };
        Ok(Self {
            id_field: text(settings, "id_field")?.unwrap_or("id").to_owned(),
            title_field: text(settings, "title_field")?.map(str::to_owned),
            slug_field: text(settings, "slug_field")?.unwrap_or("slug").to_owned(),
            entry_type: text(settings, "entry_type")?.map(str::to_owned),
            delete_events: delete_events(settings)?,
            kind,
        })
    }

    /// The type of the entry that an event of this type is about.
    pub(super) fn entry_type<'a>(&'a self, event: &'a str) -> &'a str {
        match &self.entry_type {
            Some(fixed) => fixed,
            None => event.rsplit_once('.').map_or(event, |(start, _)| if start.is_empty() { event } else { start }),
        }
    }

    /// True if an event of this type says that the entry is gone.
    pub(super) fn is_delete(&self, event: &str) -> bool {
        let last = event.rsplit('.').next().unwrap_or(event);
        self.delete_events.iter().any(|word| word == last)
    }
}

fn text<'a>(settings: &'a Settings, name: &'static str) -> Result<Option<&'a str>, SettingProblem> {
    match settings.0.get(name) {
        None => Ok(None),
        Some(Setting::Text(text)) if !text.trim().is_empty() => Ok(Some(text)),
        Some(_) => Err(SettingProblem { setting: name, message: "must be a text that is not empty".to_owned() }),
    }
}

fn delete_events(settings: &Settings) -> Result<Vec<String>, SettingProblem> {
    const NAME: &str = "delete_events";
    match settings.0.get(NAME) {
        None => Ok(["deleted", "removed", "unpublished"].map(str::to_owned).to_vec()),
        Some(Setting::List(_) | Setting::Text(_)) => {
            // `article.deleted` and `.deleted` mean `deleted`: only the last part is compared.
            let words = settings.list(NAME).unwrap_or_default().iter();
            let words: Vec<String> = words.map(|word| word.rsplit('.').next().unwrap_or(word).to_owned()).collect();
            if words.iter().any(String::is_empty) {
                return Err(SettingProblem { setting: NAME, message: "has an empty word".to_owned() });
            }
            Ok(words)
        }
        Some(_) => Err(SettingProblem {
            setting: NAME,
            message: "must be a list of the last parts of event types, for example [\"deleted\"]".to_owned(),
        }),
    }
}
