//! The suite that every hosting passes, turned into one test each by
//! [`hosting_contract!`](crate::hosting_contract).

use std::path::{Path, PathBuf};

use freshet_domain::{BuildId, ClientId, SiteId};
use freshet_kit::ErrorKind;

use super::Hosting;
use crate::machine::SiteKey;
use crate::runner::{Output, OutputFolder};

/// A hosting under test.
pub trait Subject {
    /// The hosting.
    fn hosting(&self) -> &dyn Hosting;
    /// What a visitor gets at a path of a site; `None` if there is nothing.
    fn visit(&self, site: &SiteKey, path: &str) -> impl Future<Output = Option<String>> + Send;
    /// How many releases a site keeps, the live one included.
    fn releases_kept(&self) -> usize;
}

/// Number of cases. An engine that runs fewer has lost some.
pub const CASES: usize = 4;

/// One test per case. `$open` is an async function that returns a fresh [`Subject`]; where `$enabled` is false, the
/// cases are skipped.
#[macro_export]
macro_rules! hosting_contract {
    ($open:path) => {
        $crate::hosting_contract!($open, if true);
    };
    ($open:path, if $enabled:expr) => {
        freshet_kit::contract_cases!([$crate::hosting::contract], $open, $enabled;
            the_last_releases_are_kept_and_can_be_live_again, bad_outputs_are_refused_and_leave_the_live_site,
            a_link_inside_the_output_becomes_a_copy, p7_sites_are_apart);
    };
}

/// A project whose output folder is written anew for each case.
struct Project(tempfile::TempDir);

impl Project {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn output(&self, text: &str) -> OutputFolder {
        let inside = self.0.path().join("project");
        let folder = inside.join("out");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(folder.join("deep/er")).expect("folders");
        std::fs::write(folder.join("index.html"), text).expect("a file");
        std::fs::write(folder.join("deep/er/a.txt"), text).expect("a file");
        OutputFolder { folder, inside, owned: false }
    }

    fn with_link(&self, to: &Path) -> OutputFolder {
        let output = self.output("x");
        std::os::unix::fs::symlink(to, output.folder.join("link")).expect("a link");
        output
    }

    fn outside(&self) -> PathBuf {
        let outside = self.0.path().join("secret");
        std::fs::write(&outside, "secret").expect("a file");
        outside
    }
}

fn site(client: &str, site: &str) -> SiteKey {
    SiteKey::new(ClientId::new(client).expect("a name"), SiteId::new(site).expect("a name"))
}

async fn publish(subject: &impl Subject, site: &SiteKey, output: &OutputFolder) -> BuildId {
    let build = BuildId::generate();
    subject.hosting().stage(site, build, &Output::Folder(output.clone())).await.expect("staged");
    subject.hosting().activate(site, build).await.expect("activated");
    build
}

/// A site keeps its last releases, and an earlier one can be made live again; one that is gone cannot.
pub async fn the_last_releases_are_kept_and_can_be_live_again(subject: &impl Subject) {
    let (project, shop) = (Project::new(), site("acme", "shop"));
    assert_eq!(subject.visit(&shop, "index.html").await, None);
    let kept = subject.releases_kept();
    let mut builds = Vec::new();
    for number in 0..kept + 3 {
        builds.push(publish(subject, &shop, &project.output(&number.to_string())).await);
        assert_eq!(subject.visit(&shop, "index.html").await, Some(number.to_string()));
        assert_eq!(subject.visit(&shop, "deep/er/a.txt").await, Some(number.to_string()));
    }
    let mut releases = subject.hosting().releases(&shop).await.expect("releases");
    releases.sort();
    assert_eq!(releases, builds[3..]);
    subject.hosting().activate(&shop, builds[3]).await.expect("kept");
    assert_eq!(subject.visit(&shop, "index.html").await.as_deref(), Some("3"));
    let gone = subject.hosting().activate(&shop, builds[0]).await.expect_err("gone");
    assert_eq!(gone.kind(), ErrorKind::Missing);
    subject.hosting().discard(&shop, builds[3]).await.expect("the live one stays");
    assert_eq!(subject.visit(&shop, "index.html").await.as_deref(), Some("3"));
}

/// Outputs that are missing, empty, or lead out of the project are refused, and visitors notice nothing.
pub async fn bad_outputs_are_refused_and_leave_the_live_site(subject: &impl Subject) {
    let (project, shop) = (Project::new(), site("acme", "shop"));
    publish(subject, &shop, &project.output("good")).await;
    let outside = project.outside();
    for (to, words) in [
        (outside.as_path(), "leaves it"),
        (Path::new("../../secret"), "leaves it"),
        (Path::new("nowhere"), "leads nowhere"),
        (Path::new("deep"), "link to a folder"),
    ] {
        refused(subject, &shop, &project.with_link(to), words).await;
    }
    let mut output = project.output("x");
    std::fs::remove_dir_all(&output.folder).expect("removed");
    refused(subject, &shop, &output, "no output folder").await;
    std::fs::create_dir_all(&output.folder).expect("a folder");
    refused(subject, &shop, &output, "empty").await;
    output.folder = project.0.path().to_owned();
    refused(subject, &shop, &output, "leaves").await;
    assert_eq!(subject.visit(&shop, "index.html").await.as_deref(), Some("good"));
    assert_eq!(subject.hosting().releases(&shop).await.expect("releases").len(), 1);
}

async fn refused(subject: &impl Subject, site: &SiteKey, output: &OutputFolder, words: &str) {
    let output = Output::Folder(output.clone());
    let error = subject.hosting().stage(site, BuildId::generate(), &output).await.expect_err(words);
    assert!(error.message().contains(words), "{error}");
}

/// What a link inside the output leads to is published; the link is not.
pub async fn a_link_inside_the_output_becomes_a_copy(subject: &impl Subject) {
    let (project, shop) = (Project::new(), site("acme", "shop"));
    let mut output = project.output("text");
    output.owned = true;
    std::os::unix::fs::symlink("index.html", output.folder.join("home.html")).expect("a link");
    publish(subject, &shop, &output).await;
    assert_eq!(subject.visit(&shop, "home.html").await.as_deref(), Some("text"));
}

/// Sites of the same name of two clients, and two sites of one client, do not touch each other.
pub async fn p7_sites_are_apart(subject: &impl Subject) {
    let project = Project::new();
    let sites = [site("acme", "www"), site("other", "www"), site("acme", "shop")];
    for (number, site) in sites.iter().enumerate() {
        publish(subject, site, &project.output(&number.to_string())).await;
    }
    for (number, site) in sites.iter().enumerate() {
        assert_eq!(subject.visit(site, "index.html").await, Some(number.to_string()));
        assert_eq!(subject.hosting().releases(site).await.expect("releases").len(), 1);
    }
}
