//! A site whose build is a script that waits or fails when it is told to, by files in its folder.

use std::path::{Path, PathBuf};

use freshet_proto::build::v1::BuildState;
use freshet_tests::catalogues::client;
use freshet_tests::{TestSuite, wait_for};

const SCRIPT: &str = r#"set -eu
while [ -e hold ]; do sleep 0.05; done
if [ -e fail ]; then echo "the generator is broken" >&2; exit 3; fi
rm -rf out
mkdir -p out
cp state out/index.html
echo "attempt $FRESHET_ATTEMPT" >> out/index.html
"#;

/// The site's lines in the catalogue.
pub(crate) const SITE: &str = r#"preset = "custom"
command = ["sh", "build.sh"]
directory = "site"
output = "out"
quiet_period = "50ms"
max_wait = "1s"
retry_backoff = "10ms"
retry_backoff_max = "20ms"
"#;

/// A catalogue with one source and this site.
pub(crate) fn catalogue(more: &str) -> String {
    client("tidewater", &["journal"], &format!("{SITE}{more}"))
}

/// Puts the site's folder there.
pub(crate) fn prepare(folder: &Path) {
    let site = folder.join("site");
    std::fs::create_dir_all(&site).expect("a folder");
    std::fs::write(site.join("build.sh"), SCRIPT).expect("a script");
    std::fs::write(site.join("state"), "first").expect("a state");
}

fn file(suite: &TestSuite, name: &str) -> PathBuf {
    suite.folder().join("site").join(name)
}

/// What the next build makes.
pub(crate) fn set(suite: &TestSuite, state: &str) {
    std::fs::write(file(suite, "state"), state).expect("written");
}

/// From now on builds wait (`hold`) or fail (`fail`).
pub(crate) fn put(suite: &TestSuite, name: &str) {
    std::fs::write(file(suite, name), "").expect("written");
}

/// No longer.
pub(crate) fn remove(suite: &TestSuite, name: &str) {
    std::fs::remove_file(file(suite, name)).expect("removed");
}

/// Waits until a build runs, and returns its id.
pub(crate) async fn running(suite: &TestSuite) -> String {
    wait_for("a build to run", || async {
        let site = suite.clients.site("tidewater", "www").await;
        match site.running_build {
            Some(build) if build.state() == BuildState::Running => Ok(build.build_id),
            other => Err(format!("{:?}", other.map(|build| build.state()))),
        }
    })
    .await
}
