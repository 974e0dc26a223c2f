//! The settings of a Sanity source.

use std::time::Duration;

use freshet_domain::catalogue::{Setting, SettingProblem, Settings};

/// Retries come for 30 minutes, and whether they are signed anew is not documented. A shorter window would answer a
/// late retry with 4xx, and Sanity drops such a message for ever.
pub(super) const REPLAY_WINDOW_DEFAULT: Duration = Duration::from_secs(35 * 60);
const REPLAY_WINDOW_MAX: Duration = Duration::from_secs(24 * 3600);

/// The settings of a Sanity source.
pub(super) struct SanitySettings {
    /// How old a signed time may be.
    pub(super) replay_window: Duration,
    /// The only project that is taken; also part of the pictures' addresses.
    pub(super) project: Option<String>,
    /// The only dataset that is taken; also part of the pictures' addresses.
    pub(super) dataset: Option<String>,
}

impl SanitySettings {
    /// Reads the settings; the first problem is the error.
    pub(super) fn read(settings: &Settings) -> Result<Self, SettingProblem> {
        let replay_window = match settings.0.get("replay_window") {
            None => REPLAY_WINDOW_DEFAULT,
            Some(Setting::Text(text)) => duration(text)
                .filter(|window| !window.is_zero() && *window <= REPLAY_WINDOW_MAX)
                .ok_or_else(|| window_problem("must be from `1s` to `24h`, for example `35m`"))?,
            Some(_) => return Err(window_problem("must be a text such as `35m`")),
        };
        Ok(Self { replay_window, project: name(settings, "project")?, dataset: name(settings, "dataset")? })
    }
}

fn window_problem(message: &str) -> SettingProblem {
    SettingProblem { setting: "replay_window", message: message.to_owned() }
}

fn name(settings: &Settings, setting: &'static str) -> Result<Option<String>, SettingProblem> {
    match settings.0.get(setting) {
        None => Ok(None),
        Some(Setting::Text(text)) if is_name(text) => Ok(Some(text.clone())),
        Some(_) => Err(SettingProblem { setting, message: "must be a name of letters, digits, - and _".to_owned() }),
    }
}

/// True for what can be the name of a project or dataset, and therefore part of a path.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 128
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// `90s`, `35m`, `2h`.
fn duration(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let digits = &text[..text.len() - unit.len_utf8()];
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        _ => return None,
    };
    Some(Duration::from_secs(amount.checked_mul(seconds)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_number_and_a_unit() {
        assert_eq!(duration("35m"), Some(Duration::from_secs(2100)));
        assert_eq!(duration("90s"), Some(Duration::from_secs(90)));
        assert_eq!(duration("2h"), Some(Duration::from_secs(7200)));
        for bad in ["", "m", "35", "35 m", "-1m", "1d", "35µ", "99999999999999999999h", "18446744073709551615h"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }
}
