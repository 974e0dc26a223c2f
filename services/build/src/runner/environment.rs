//! The environment of a build: what is documented, and nothing else.
//!
//! | variable | value |
//! | --- | --- |
//! | `FRESHET_CLIENT`, `FRESHET_SITE` | the site |
//! | `FRESHET_BATCH_ID`, `FRESHET_BUILD_ID` | what is built |
//! | `FRESHET_ATTEMPT` | 1 for the first attempt |
//! | `FRESHET_CONTENT` | the snapshot: NDJSON, one published entry per line, zstd |
//! | `FRESHET_CHANGED_KEYS` | the keys that changed: NDJSON |
//! | `FRESHET_OUTPUT` | where the finished site is expected |
//! | `TRACEPARENT` | W3C trace context |
//! | `PATH` | this process's |
//! | `HOME` | a private folder of the site, kept between its builds for the caches of package managers |
//! | `LANG` | `C.UTF-8` |
//!
//! and the site's own `env`, which may replace `PATH`, `HOME` and `LANG`, but not the others.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use super::BuildJob;

const PATH_DEFAULT: &str = "/usr/local/bin:/usr/bin:/bin";

/// The whole environment of the command.
pub(super) fn environment(
    job: &BuildJob,
    output: &Path,
    home: &Path,
    path: Option<OsString>,
) -> BTreeMap<OsString, OsString> {
    let mut env: BTreeMap<OsString, OsString> = BTreeMap::new();
    let mut set = |name: &str, value: OsString| env.insert(OsString::from(name), value);
    set("PATH", path.unwrap_or_else(|| OsString::from(PATH_DEFAULT)));
    set("HOME", home.into());
    set("LANG", OsString::from("C.UTF-8"));
    for (name, value) in &job.site.build.env {
        set(name, OsString::from(value));
    }
    set("FRESHET_CLIENT", job.key.client.to_string().into());
    set("FRESHET_SITE", job.key.site.to_string().into());
    set("FRESHET_BATCH_ID", job.batch.to_string().into());
    set("FRESHET_BUILD_ID", job.build.to_string().into());
    set("FRESHET_ATTEMPT", job.attempt.to_string().into());
    set("FRESHET_CONTENT", job.content.clone().into());
    set("FRESHET_CHANGED_KEYS", job.changed_keys.clone().into());
    set("FRESHET_OUTPUT", output.into());
    set("TRACEPARENT", job.traceparent.clone().into());
    env
}
