//! The catalogue and the secrets of a program.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use freshet_aws::{Objects, SecretsManager};
use freshet_domain::Catalogue;
use freshet_kit::catalogue::{parse, report};
use freshet_kit::rpc::Tls;
use freshet_kit::secret::{LocalSecrets, SecretResolver, references};
use freshet_kit::{CatalogueHandle, Readiness, Shutdown};
use freshet_providers::Registry;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;

use crate::Common;

/// The part of readiness that waits for the first edition of the catalogue.
pub const CATALOGUE: &str = "catalogue";

/// Certificates.
pub(crate) async fn tls(
    common: &Common,
    environment: &BTreeMap<String, String>,
    aws: &aws_config::SdkConfig,
) -> anyhow::Result<Tls> {
    let read = async |reference: &String| secret(reference, environment, aws).await.context("`rpc`");
    let ca = match &common.ca {
        None => None,
        Some(reference) => Some(read(reference).await?.expose_secret().to_owned()),
    };
    let identity = match &common.identity {
        None => None,
        Some((certificate, key)) => Some((read(certificate).await?.expose_secret().to_owned(), read(key).await?)),
    };
    Ok(Tls { ca, identity })
}

/// The secret that a reference names.
pub(crate) async fn secret(
    reference: &str,
    environment: &BTreeMap<String, String>,
    aws: &aws_config::SdkConfig,
) -> anyhow::Result<SecretString> {
    let local = LocalSecrets::new(environment.clone(), ".", None);
    let fetched = SecretsManager::new(aws).fetch(&[reference], local).await;
    fetched.resolve(reference).map_err(|problem| anyhow!(problem))
}

/// Where the catalogue is.
enum Place {
    File(PathBuf),
    Object(Objects, String),
}

/// The text, if it is another one than before.
enum Look {
    Text(String),
    Same,
}

impl Place {
    fn of(location: &str, aws: &aws_config::SdkConfig) -> anyhow::Result<Self> {
        let Some(rest) = location.strip_prefix("s3://") else { return Ok(Place::File(location.into())) };
        match rest.split_once('/') {
            Some((bucket, key)) if !bucket.is_empty() && !key.is_empty() => {
                Ok(Place::Object(Objects::new(aws, bucket), key.to_owned()))
            }
            _ => bail!("`catalogue.location` must be a file or `s3://bucket/key`"),
        }
    }

    /// `etag` is what the object had last; a file is always read.
    async fn look(&self, etag: &mut Option<String>) -> Result<Look, String> {
        match self {
            Place::File(path) => {
                let read = tokio::fs::read_to_string(path).await;
                read.map(Look::Text).map_err(|error| format!("{} cannot be read: {error}", path.display()))
            }
            Place::Object(objects, key) => match objects.get_if_changed(key, etag.as_deref()).await {
                Ok(freshet_aws::Fetched::Changed(object)) => {
                    *etag = Some(object.etag);
                    String::from_utf8(object.body.to_vec()).map(Look::Text).map_err(|_| "is not UTF-8".to_owned())
                }
                Ok(freshet_aws::Fetched::Unchanged) => Ok(Look::Same),
                Ok(freshet_aws::Fetched::Missing) => Err(format!("s3://{}/{key} is not there", objects.bucket())),
                Err(error) => Err(freshet_kit::error::chain(&error)),
            },
        }
    }

    fn base(&self) -> &Path {
        match self {
            Place::File(path) => {
                path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
            }
            Place::Object(..) => Path::new("."),
        }
    }
}

/// Why an edition is not in force.
struct Refused {
    problem: String,
    /// Any other program would refuse it now, too.
    is_certain: bool,
}

/// Reads the catalogue again and again: when its text has changed, and now and then because a secret may have.
struct Reader {
    place: Place,
    name: String,
    secrets: SecretsManager,
    environment: BTreeMap<String, String>,
    registry: Arc<Registry>,
}

impl Reader {
    /// The edition, and the values of its secrets by which it is known to be the same.
    async fn read(&self, text: &str) -> Result<(Catalogue, Vec<String>), Refused> {
        let references = [references(text, "secretsmanager:"), references(text, "file:")].concat();
        let references: Vec<&str> = references.iter().map(String::as_str).collect();
        let local = LocalSecrets::new(self.environment.clone(), self.place.base(), None);
        let secrets = self.secrets.fetch(&references, local).await;
        let mut values = Vec::new();
        for reference in &references {
            let all = secrets.resolve_all(reference).unwrap_or_default();
            values.extend(all.iter().map(|secret| secret.expose_secret().to_owned()));
        }
        let catalogue = parse(text, self.place.base(), &*self.registry, &secrets).map_err(|problems| Refused {
            problem: report(&self.name, &problems),
            is_certain: !secrets.is_in_doubt(),
        })?;
        Ok((catalogue, values))
    }
}

/// Starts reading the catalogue. The handle is empty until the first edition was read, which readiness waits for.
pub(crate) fn load(
    common: &Common,
    environment: BTreeMap<String, String>,
    aws: &aws_config::SdkConfig,
    registry: Arc<Registry>,
    readiness: &Readiness,
    shutdown: &Shutdown,
) -> anyhow::Result<CatalogueHandle> {
    let reader = Reader {
        place: Place::of(&common.catalogue, aws)?,
        name: common.catalogue.clone(),
        secrets: SecretsManager::new(aws),
        environment,
        registry,
    };
    let (handle, mut asks) = CatalogueHandle::followed();
    let (poll, refresh) = (common.catalogue_poll, common.secrets_refresh);
    let (latch, stop, edition) = (readiness.latch(CATALOGUE), shutdown.clone(), handle.clone());
    shutdown.spawn(CATALOGUE, async move {
        let mut latch = Some(latch);
        let (mut text, mut values, mut etag, mut told) = (String::new(), Vec::new(), None, String::new());
        let mut read_at = Instant::now();
        let (mut pending, mut asked) = (false, Vec::new());
        loop {
            // Whoever asks from now on may know what this look does not see any more.
            while let Ok(ask) = asks.try_recv() {
                asked.push(ask);
            }
            let looked = reader.place.look(&mut etag).await;
            let mut is_seen = looked.is_ok();
            let problem = match looked {
                Ok(Look::Text(now)) if now != text || latch.is_some() => {
                    text = now;
                    pending = true;
                    None
                }
                Ok(Look::Text(_) | Look::Same) => None,
                Err(problem) => Some(problem),
            };
            let problem = match problem {
                None if pending || read_at.elapsed() >= refresh => {
                    read_at = Instant::now();
                    match reader.read(&text).await {
                        Ok((catalogue, now)) => {
                            if pending || now != values {
                                edition.replace(catalogue);
                                tracing::info!(catalogue = reader.name, "an edition of the catalogue is in force");
                            }
                            (values, pending, latch) = (now, false, None);
                            None
                        }
                        // Read again with the next look: its secrets may be there then, and other programs have
                        // perhaps found them a moment ago.
                        Err(refused) => {
                            is_seen = refused.is_certain;
                            Some(refused.problem)
                        }
                    }
                }
                problem => problem,
            };
            let problem = problem.unwrap_or_default();
            if !problem.is_empty() && problem != told {
                let kept = if latch.is_some() { "not ready" } else { "the old edition stays in force" };
                tracing::error!(catalogue = reader.name, problem, "the catalogue is refused: {kept}");
            }
            told = problem;
            // What is refused for certain at this moment, text and secrets, no other program has in force either.
            for ask in asked.drain(..) {
                // Whoever does not wait any more needs no answer.
                let _ = ask.send(is_seen);
            }
            // At the start, what is missing may be there in a moment.
            let pause = if latch.is_some() { poll.min(std::time::Duration::from_secs(2)) } else { poll };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                Some(ask) = asks.recv() => asked.push(ask),
                () = stop.stopping() => return,
            }
        }
    });
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use freshet_aws::Headers;
    use freshet_aws::testing;
    use serde_json::json;
    use tempfile::TempDir;

    use super::*;
    use freshet_kit::config::Layers;

    fn text(title: &str) -> String {
        format!(
            "[[client]]\nid = \"tidewater\"\ntitle = \"{title}\"\n[[client.source]]\nid = \"shop\"\n\
             provider = \"shopify_basic\"\nsecrets = [\"env:SHOP\"]\n"
        )
    }

    struct Running {
        handle: CatalogueHandle,
        readiness: Readiness,
        shutdown: Shutdown,
    }

    fn start(location: &str, config: &aws_config::SdkConfig) -> Running {
        let mut layers = Layers::new(crate::DEFAULTS);
        layers.flag("catalogue.location", "x", Some(location.to_owned()));
        layers.flag("catalogue.poll", "x", Some("1s".to_owned()));
        let common = Common::read(&layers);
        let environment = BTreeMap::from([("SHOP".to_owned(), "s3cret".to_owned())]);
        let (readiness, shutdown) = (Readiness::new(), Shutdown::new());
        let registry = Arc::new(Registry::new());
        let handle = load(&common, environment, config, registry, &readiness, &shutdown).expect("a place");
        Running { handle, readiness, shutdown }
    }

    async fn wait_title(running: &Running, wanted: &str) {
        for _ in 0..200 {
            if running.handle.get().client("tidewater").is_some_and(|client| client.title == wanted) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{wanted} is not in force");
    }

    /// What every place of a catalogue must do. `write` puts a text there, `None` takes it away.
    async fn contract<F: Future<Output = ()>>(
        location: &str,
        config: &aws_config::SdkConfig,
        write: impl Fn(Option<String>) -> F,
    ) {
        let running = start(location, config);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(running.readiness.pending(), [CATALOGUE], "not there yet");
        write(Some(text("First"))).await;
        wait_title(&running, "First").await;
        running.readiness.ready().await;
        write(Some(text("Second"))).await;
        wait_title(&running, "Second").await;
        write(Some("[[client]]\nid = 7\n".to_owned())).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        wait_title(&running, "Second").await;
        write(None).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        wait_title(&running, "Second").await;
        write(Some(text("Third"))).await;
        wait_title(&running, "Third").await;
        for title in ["Fourth", "Fifth"] {
            write(Some(text(title))).await;
            assert!(running.handle.look_now().await, "it can be looked at");
            let now = running.handle.get().client("tidewater").map(|client| client.title.clone());
            assert_eq!(now.as_deref(), Some(title), "in force as soon as it was asked for");
        }
        write(None).await;
        assert!(!running.handle.look_now().await, "it is not there");
        assert_eq!(running.shutdown.drain(Duration::from_secs(5)).await, Vec::<&str>::new());
    }

    #[tokio::test]
    async fn a_file_is_followed() {
        let folder = TempDir::new().expect("folder");
        let path = folder.path().join("freshet.toml");
        let location = path.display().to_string();
        let config = testing::config_for("http://127.0.0.1:1");
        contract(&location, &config, |text| {
            match text {
                Some(text) => std::fs::write(&path, text).expect("written"),
                None => std::fs::remove_file(&path).expect("removed"),
            }
            async {}
        })
        .await;
    }

    #[tokio::test]
    async fn an_object_is_followed() {
        let Some(config) = testing::config() else { return };
        let objects = testing::bucket(&config, "catalogue").await;
        let bucket = objects.bucket().to_owned();
        contract(&format!("s3://{bucket}/catalogue.toml"), &config, |text| {
            let objects = objects.clone();
            async move {
                match text {
                    Some(text) => {
                        let put = objects.put("catalogue.toml", text.into(), &Headers::default()).await;
                        put.expect("written");
                    }
                    None => objects.delete("catalogue.toml").await.expect("removed"),
                }
            }
        })
        .await;
    }

    /// An edition whose secret comes a moment after it is in force with the next look, not with the next refresh.
    #[tokio::test]
    async fn a_late_secret_is_not_waited_for_until_secrets_are_refreshed() {
        let Some(config) = testing::config() else { return };
        let (folder, name) = (TempDir::new().expect("folder"), testing::name("late"));
        let path = folder.path().join("freshet.toml");
        std::fs::write(&path, text("First")).expect("written");
        let running = start(&path.display().to_string(), &config);
        wait_title(&running, "First").await;
        let late = text("Second").replace("env:SHOP", &format!("secretsmanager:{name}"));
        std::fs::write(&path, late).expect("written");
        assert!(running.handle.look_now().await, "it can be looked at");
        wait_title(&running, "First").await;
        let client = aws_sdk_secretsmanager::Client::new(&config);
        client.create_secret().name(&name).secret_string("s3cret").send().await.expect("a secret");
        // Other programs may have read it while this one cannot: nothing is certain before it is in force here.
        let rule = json!({
            "name": name, "service": "secretsmanager", "action": "GetSecretValue", "kind": "error", "times": 9,
        });
        testing::tell("/_faults", &rule.to_string()).await;
        let mut looks = 0;
        while !running.handle.look_now().await {
            looks += 1;
            assert!(looks < 100, "it can be looked at in the end");
        }
        assert!(running.handle.get().client("tidewater").is_some_and(|client| client.title == "Second"));
    }

    #[test]
    fn references_of_builds_are_not_read() {
        let text = "[[client]]\nid = \"a\"\n[[client.source]]\nsecrets = [\"secretsmanager:x#y\"]\n\
                    [[client.site]]\n[client.site.secret_env]\nT = \"secretsmanager:z\"\n";
        assert_eq!(references(text, "secretsmanager:"), ["secretsmanager:x#y"]);
    }
}
