//! Pushes as each host sends them after an editor has saved in the CMS.

use freshet_domain::Timestamp;
use freshet_domain::catalogue::Settings;
use secrecy::SecretString;
use sha2::{Digest, Sha256};

use super::{Folders, Host, gitlab};
use crate::signature::HmacKey;
use crate::{SampleDelivery, SampleRequest};

/// The events: an editor saved an entry, and an editor deleted one.
pub(crate) const SAMPLE_EVENTS: &[&str] = &["push", "push-removed"];

const ITEMS: [(&str, &str); 8] = [
    ("products", "stoneware-mug"),
    ("products", "harbour-lounge-chair"),
    ("journal", "how-we-glaze"),
    ("products", "storm-lantern-lamp"),
    ("journal", "a-table-for-eight"),
    ("products", "linen-tea-towel"),
    ("products", "driftwood-shelf"),
    ("pages", "visit-the-workshop"),
];

type Headers = Vec<(String, String)>;

/// What one push says, in terms that every host shares.
struct Story<'a> {
    owner: &'a str,
    name: &'a str,
    repository: &'a str,
    branch: &'a str,
    path: String,
    message: String,
    before: String,
    after: String,
    tree: String,
    at: Timestamp,
    is_removal: bool,
    is_creation: bool,
    guid: String,
}

impl<'a> Story<'a> {
    fn new(request: &'a SampleRequest<'_>) -> Self {
        let settings: &Settings = request.settings;
        let repository = settings.text("repository").unwrap_or("tidewater/website");
        let (owner, name) = repository.rsplit_once('/').unwrap_or(("tidewater", repository));
        let count = ITEMS.len() as u64;
        let (collection, slug) = ITEMS[usize::try_from(request.number % count).unwrap_or_default()];
        let slug = if request.number < count { slug.to_owned() } else { format!("{slug}-{}", request.number + 1) };
        let folders = Folders::read(settings);
        let path = format!("{}/{collection}/{slug}.md", folders.first().unwrap_or("content"));
        let is_removal = request.event == "push-removed";
        let is_creation = !is_removal && request.revision == 0;
        let verb = match (is_removal, is_creation) {
            (true, _) => "Delete",
            (_, true) => "Create",
            _ => "Update",
        };
        // An hour back, so that the first revisions are in the past for whoever receives them.
        let seconds = i64::try_from(request.later()).unwrap_or(0) - 3600;
        let at = Timestamp::from_secs(request.now.as_secs().saturating_add(seconds));
        let id = |what: &str| digest(&[what, request.event, &path, &request.revision.to_string()]);
        Self {
            owner,
            name,
            repository,
            branch: settings.text("branch").unwrap_or("main"),
            message: format!("{verb} {collection} “{slug}”"),
            before: id("before")[..40].to_owned(),
            after: id("after")[..40].to_owned(),
            tree: id("tree")[..40].to_owned(),
            guid: guid(&digest(&["guid", request.event, &path, &at.as_micros().to_string()])),
            path,
            at,
            is_removal,
            is_creation,
        }
    }

    /// Whole seconds in UTC, as git hosts write times.
    fn time(&self) -> String {
        let text = self.at.to_string();
        format!("{}Z", text.split('.').next().unwrap_or(&text))
    }

    /// `added`, `removed` and `modified` of the commit.
    fn lists(&self) -> [String; 3] {
        let path = quoted(&self.path);
        [self.is_creation, self.is_removal, !self.is_creation && !self.is_removal]
            .map(|has| if has { format!("[{path}]") } else { "[]".to_owned() })
    }
}

/// A push of the host in the settings, GitHub if there is none, signed with the secret.
pub(crate) fn sample(request: &SampleRequest<'_>) -> Option<SampleDelivery> {
    if !SAMPLE_EVENTS.contains(&request.event) {
        return None;
    }
    let host = request.settings.text("host").and_then(Host::parse).unwrap_or(Host::GitHub);
    let story = Story::new(request);
    let (headers, body) = match host {
        Host::GitHub => github(&story, request.secret),
        Host::GitLab => gitlab(&story, request),
        Host::Bitbucket => bitbucket(&story, request.secret),
        Host::Gitea | Host::Forgejo => gitea(&story, host, request.secret),
    };
    Some(SampleDelivery { method: "POST", headers, body: body.into_bytes() })
}

fn github(story: &Story<'_>, secret: Option<&str>) -> (Headers, String) {
    let [added, removed, modified] = story.lists();
    let Story { owner, name, repository, branch, before, after, tree, .. } = story;
    let (message, time) = (quoted(&story.message), story.time());
    let pushed_at = story.at.as_secs();
    let person = r#"{"name":"Mara Lindqvist","email":"mara@tidewater.example","username":"mara-lindqvist"}"#;
    let url = format!("https://github.com/{repository}");
    let commit = format!(
        r#"{{"id":"{after}","tree_id":"{tree}","distinct":true,"message":{message},"timestamp":"{time}","url":"{url}/commit/{after}","author":{person},"committer":{person},"added":{added},"removed":{removed},"modified":{modified}}}"#
    );
    let range = format!("{}...{}", &before[..12], &after[..12]);
    let body = format!(
        r#"{{"ref":"refs/heads/{branch}","before":"{before}","after":"{after}","repository":{{"id":862947021,"node_id":"R_kgDOM29bzQ","name":"{name}","full_name":"{repository}","private":true,"owner":{{"name":"{owner}","login":"{owner}","id":174920417,"type":"Organization","site_admin":false}},"html_url":"{url}","description":"The website of Tidewater, things for the house","fork":false,"url":"{url}","created_at":1727258400,"updated_at":"{time}","pushed_at":{pushed_at},"git_url":"git://github.com/{repository}.git","clone_url":"{url}.git","default_branch":"{branch}","master_branch":"{branch}"}},"pusher":{{"name":"mara-lindqvist","email":"mara@tidewater.example"}},"sender":{{"login":"mara-lindqvist","id":60417822,"type":"User","site_admin":false}},"created":false,"deleted":false,"forced":false,"base_ref":null,"compare":"{url}/compare/{range}","commits":[{commit}],"head_commit":{commit}}}"#
    );
    let mut headers = owned([
        ("Accept", "*/*"),
        ("Content-Type", "application/json"),
        ("User-Agent", "GitHub-Hookshot/6fb1b5a"),
        ("X-GitHub-Delivery", &story.guid),
        ("X-GitHub-Event", "push"),
        ("X-GitHub-Hook-ID", "507318842"),
        ("X-GitHub-Hook-Installation-Target-ID", "862947021"),
        ("X-GitHub-Hook-Installation-Target-Type", "repository"),
    ]);
    if let Some(secret) = secret {
        headers.push(("X-Hub-Signature-256".to_owned(), format!("sha256={}", mac(secret, &body))));
    }
    (headers, body)
}

fn gitlab(story: &Story<'_>, request: &SampleRequest<'_>) -> (Headers, String) {
    let [added, removed, modified] = story.lists();
    let Story { owner, name, repository, branch, before, after, .. } = story;
    let (message, time) = (quoted(&story.message), story.time().replace('Z', "+00:00"));
    let url = format!("https://gitlab.com/{repository}");
    let body = format!(
        r#"{{"object_kind":"push","event_name":"push","before":"{before}","after":"{after}","ref":"refs/heads/{branch}","ref_protected":true,"checkout_sha":"{after}","message":null,"user_id":4182,"user_name":"Mara Lindqvist","user_username":"mara","user_email":"[REDACTED]","user_avatar":null,"project_id":58214907,"project":{{"id":58214907,"name":"{name}","description":"The website of Tidewater, things for the house","web_url":"{url}","avatar_url":null,"git_ssh_url":"git@gitlab.com:{repository}.git","git_http_url":"{url}.git","namespace":"{owner}","visibility_level":0,"path_with_namespace":"{repository}","default_branch":"{branch}","ci_config_path":null,"homepage":"{url}","url":"git@gitlab.com:{repository}.git","ssh_url":"git@gitlab.com:{repository}.git","http_url":"{url}.git"}},"commits":[{{"id":"{after}","message":{message},"title":{message},"timestamp":"{time}","url":"{url}/-/commit/{after}","author":{{"name":"Mara Lindqvist","email":"[REDACTED]"}},"added":{added},"modified":{modified},"removed":{removed}}}],"total_commits_count":1,"push_options":{{}},"repository":{{"name":"{name}","url":"git@gitlab.com:{repository}.git","description":"The website of Tidewater, things for the house","homepage":"{url}","git_http_url":"{url}.git","git_ssh_url":"git@gitlab.com:{repository}.git","visibility_level":0}}}}"#
    );
    let mut headers = owned([
        ("Content-Type", "application/json"),
        ("User-Agent", "GitLab/19.0.0"),
        ("Idempotency-Key", &story.guid),
        ("X-Gitlab-Event", "Push Hook"),
        ("X-Gitlab-Webhook-UUID", &guid(&digest(&["gitlab-hook", repository]))),
        ("X-Gitlab-Instance", "https://gitlab.com"),
        ("X-Gitlab-Event-UUID", &guid(&digest(&["gitlab-event", &story.guid]))),
    ]);
    if let Some(secret) = request.secret
        && let Ok(keys) = gitlab::Keys::from_secrets(&[SecretString::from(secret)])
    {
        headers.extend(keys.sign(&story.guid, request.now.as_secs(), body.as_bytes()));
    }
    (headers, body)
}

fn bitbucket(story: &Story<'_>, secret: Option<&str>) -> (Headers, String) {
    let Story { owner, name, repository, branch, before, after, .. } = story;
    let (message, time) = (quoted(&story.message), story.time().replace('Z', "+00:00"));
    let api = format!("https://api.bitbucket.org/2.0/repositories/{repository}");
    let url = format!("https://bitbucket.org/{repository}");
    let commit = |hash: &str, message: &str| {
        format!(
            r#"{{"type":"commit","hash":"{hash}","date":"{time}","author":{{"type":"author","raw":"Mara Lindqvist"}},"message":{message},"links":{{"self":{{"href":"{api}/commit/{hash}"}},"html":{{"href":"{url}/commits/{hash}"}}}}}}"#
        )
    };
    let state = |target: &str| {
        format!(
            r#"{{"name":"{branch}","type":"branch","target":{target},"links":{{"html":{{"href":"{url}/branch/{branch}"}}}}}}"#
        )
    };
    let newest = commit(after, &message);
    let (old, new) = (state(&commit(before, "\"Earlier work\"")), state(&newest));
    let body = format!(
        r#"{{"push":{{"changes":[{{"old":{old},"new":{new},"truncated":false,"created":false,"forced":false,"closed":false,"links":{{"commits":{{"href":"{api}/commits?include={after}&exclude={before}"}},"diff":{{"href":"{api}/diff/{after}..{before}"}},"html":{{"href":"{url}/branches/compare/{after}..{before}"}}}},"commits":[{newest}]}}]}},"repository":{{"type":"repository","full_name":"{repository}","name":"{name}","scm":"git","is_private":true,"links":{{"self":{{"href":"{api}"}},"html":{{"href":"{url}"}}}},"owner":{{"type":"team","username":"{owner}"}}}},"actor":{{"type":"user","display_name":"Mara Lindqvist","nickname":"mara"}}}}"#
    );
    let mut headers = owned([
        ("Content-Type", "application/json"),
        ("User-Agent", "Bitbucket-Webhooks/2.0"),
        ("X-Event-Key", "repo:push"),
        ("X-Hook-UUID", &guid(&digest(&["bitbucket-hook", repository]))),
        ("X-Request-UUID", &story.guid),
        ("X-Attempt-Number", "1"),
    ]);
    if let Some(secret) = secret {
        headers.push(("X-Hub-Signature".to_owned(), format!("sha256={}", mac(secret, &body))));
    }
    (headers, body)
}

fn gitea(story: &Story<'_>, host: Host, secret: Option<&str>) -> (Headers, String) {
    let [added, removed, modified] = story.lists();
    let Story { owner, name, repository, branch, before, after, .. } = story;
    let (message, time) = (quoted(&format!("{}\n", story.message)), story.time());
    let url = format!("https://git.tidewater.example/{repository}");
    let person = r#"{"name":"Mara Lindqvist","email":"mara@tidewater.example","username":"mara"}"#;
    let user = r#"{"id":7,"login":"mara","full_name":"Mara Lindqvist","email":"mara@tidewater.example"}"#;
    let commit = format!(
        r#"{{"id":"{after}","message":{message},"url":"{url}/commit/{after}","author":{person},"committer":{person},"verification":null,"timestamp":"{time}","added":{added},"removed":{removed},"modified":{modified}}}"#
    );
    let body = indented(&format!(
        r#"{{"ref":"refs/heads/{branch}","before":"{before}","after":"{after}","compare_url":"{url}/compare/{before}...{after}","commits":[{commit}],"total_commits":1,"head_commit":{commit},"repository":{{"id":12,"owner":{{"id":3,"login":"{owner}"}},"name":"{name}","full_name":"{repository}","private":true,"fork":false,"mirror":false,"html_url":"{url}","clone_url":"{url}.git","default_branch":"{branch}","updated_at":"{time}"}},"pusher":{user},"sender":{user}}}"#
    ));
    let signature = secret.map(|secret| mac(secret, &body)).unwrap_or_default();
    let mut headers = owned([("Content-Type", "application/json")]);
    let families = if host == Host::Forgejo { &["Forgejo", "Gitea", "Gogs"][..] } else { &["Gitea", "Gogs"] };
    for family in families {
        headers.push((format!("X-{family}-Delivery"), story.guid.clone()));
        headers.push((format!("X-{family}-Event"), "push".to_owned()));
        headers.push((format!("X-{family}-Event-Type"), "push".to_owned()));
        headers.push((format!("X-{family}-Signature"), signature.clone()));
    }
    headers.extend(owned([
        ("X-Hub-Signature-256", &*format!("sha256={signature}")),
        ("X-GitHub-Delivery", &story.guid),
        ("X-GitHub-Event", "push"),
        ("X-GitHub-Event-Type", "push"),
    ]));
    (headers, body)
}

fn owned<const N: usize>(headers: [(&str, &str); N]) -> Headers {
    headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

/// Indents compact JSON by two blanks, as Gitea does, keeping the order of members.
fn indented(compact: &str) -> String {
    let mut out = String::with_capacity(compact.len() * 2);
    let mut depth = 0usize;
    let mut is_in_text = false;
    let mut is_escaped = false;
    let mut rest = compact.chars().peekable();
    while let Some(character) = rest.next() {
        if is_in_text {
            out.push(character);
            is_in_text = is_escaped || character != '"';
            is_escaped = !is_escaped && character == '\\';
            continue;
        }
        match character {
            '[' if rest.peek() == Some(&']') => out.push('['),
            ']' if out.ends_with('[') => out.push(']'),
            '{' | '[' => {
                depth += 1;
                out.push(character);
                new_line(&mut out, depth);
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(character);
            }
            ',' => {
                out.push(',');
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            _ => {
                is_in_text = character == '"';
                out.push(character);
            }
        }
    }
    out
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

fn mac(secret: &str, body: &str) -> String {
    hex::encode(HmacKey::new(secret.as_bytes()).sign(&[body.as_bytes()]))
}

/// 64 hexadecimal digits that stand for the parts: the same for the same request, others for others.
fn digest(parts: &[&str]) -> String {
    hex::encode(Sha256::digest(parts.join("\n").as_bytes()))
}

fn guid(digits: &str) -> String {
    format!("{}-{}-{}-{}-{}", &digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..32])
}
