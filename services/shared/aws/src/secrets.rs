//! Secrets in Secrets Manager.
//!
//! A reference is `secretsmanager:NAME`, or `secretsmanager:NAME#KEY` for one key of a JSON object. NAME is the secret's
//! name or ARN. During a rotation a secret has a second value in the stage AWSPENDING, and both are valid.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::Client;
use freshet_kit::ErrorKind;
use freshet_kit::secret::SecretResolver;
use secrecy::{ExposeSecret as _, SecretString};

/// What a reference to Secrets Manager begins with.
const SCHEME: &str = "secretsmanager:";

/// Reads secrets, and remembers them in memory: while Secrets Manager does not answer, what was read last stays valid.
pub struct SecretsManager {
    client: Client,
    known: Mutex<BTreeMap<String, Vec<SecretString>>>,
}

/// Secrets that were read, by name; everything else is asked of another resolver.
pub struct Fetched<R> {
    secrets: BTreeMap<String, Result<Vec<SecretString>, String>>,
    others: R,
    in_doubt: bool,
}

impl<R> Fetched<R> {
    /// True if it is not known of a secret whether it is there: the call failed in a way that may pass, and nothing was
    /// read before. Another program may have read it.
    pub fn is_in_doubt(&self) -> bool {
        self.in_doubt
    }
}

impl SecretsManager {
    /// Makes no call.
    pub fn new(config: &SdkConfig) -> Self {
        Self { client: Client::new(config), known: Mutex::default() }
    }

    /// Reads every secret that one of the texts refers to. One that cannot be read is told when it is resolved.
    pub async fn fetch<R: SecretResolver>(&self, references: &[&str], others: R) -> Fetched<R> {
        let names: BTreeSet<&str> =
            references.iter().filter_map(|reference| split(reference)).map(|(name, _)| name).collect();
        let (mut secrets, mut in_doubt) = (BTreeMap::new(), false);
        for name in names {
            let read = self.read(name).await;
            in_doubt |= matches!(read, Err((true, _)));
            secrets.insert(name.to_owned(), read.map_err(|(_, problem)| problem));
        }
        Fetched { secrets, others, in_doubt }
    }

    /// The error says whether the same again may help.
    async fn read(&self, name: &str) -> Result<Vec<SecretString>, (bool, String)> {
        let read = async {
            let current = self.stage(name, "AWSCURRENT").await?;
            let current = current
                .ok_or_else(|| (false, format!("the secret `{name}` is not in Secrets Manager, or is empty")))?;
            let mut all = vec![current];
            // Only there during a rotation.
            all.extend(self.stage(name, "AWSPENDING").await?);
            Ok(all)
        };
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match read.await {
            Ok(all) => {
                known().insert(name.to_owned(), all.clone());
                Ok(all)
            }
            Err((may_pass, problem)) => match known().get(name) {
                Some(last) => {
                    tracing::warn!(secret = name, problem, "a secret cannot be read, its last value stays in force");
                    Ok(last.clone())
                }
                None => Err((may_pass, problem)),
            },
        }
    }

    /// The value in a stage, if there is one. The error says whether the same again may help.
    async fn stage(&self, name: &str, stage: &str) -> Result<Option<SecretString>, (bool, String)> {
        let read = self.client.get_secret_value().secret_id(name).version_stage(stage).send().await;
        match read {
            Ok(value) => Ok(value.secret_string.filter(|text| !text.trim().is_empty()).map(SecretString::from)),
            Err(error) => match crate::kind(&error) {
                ErrorKind::Missing => Ok(None),
                kind => Err((
                    kind.is_transient(),
                    format!("the secret `{name}` cannot be read: {}", crate::error("GetSecretValue", error)),
                )),
            },
        }
    }
}

/// Name and key of a reference to Secrets Manager.
fn split(reference: &str) -> Option<(&str, Option<&str>)> {
    let rest = reference.strip_prefix(SCHEME)?;
    Some(rest.split_once('#').map_or((rest, None), |(name, key)| (name, Some(key))))
}

/// One key of a JSON object. The error never has the value in it.
fn pick(secret: &SecretString, name: &str, key: &str) -> Result<SecretString, String> {
    let object: serde_json::Value = serde_json::from_str(secret.expose_secret())
        .map_err(|_| format!("the secret `{name}` is not a JSON object, so it has no key `{key}`"))?;
    match object.get(key).and_then(serde_json::Value::as_str).filter(|text| !text.trim().is_empty()) {
        Some(text) => Ok(SecretString::from(text.to_owned())),
        None => Err(format!("the secret `{name}` has no text under the key `{key}`, or an empty one")),
    }
}

impl<R: SecretResolver> SecretResolver for Fetched<R> {
    fn resolve(&self, reference: &str) -> Result<SecretString, String> {
        let all = self.resolve_all(reference)?;
        all.into_iter().next().ok_or_else(|| format!("`{reference}` has no value"))
    }

    fn resolve_all(&self, reference: &str) -> Result<Vec<SecretString>, String> {
        let Some((name, key)) = split(reference) else { return self.others.resolve_all(reference) };
        let values =
            self.secrets.get(name).cloned().unwrap_or_else(|| Err(format!("the secret `{name}` was not read")))?;
        let Some(key) = key else { return Ok(values) };
        let picked: Vec<Result<SecretString, String>> = values.iter().map(|value| pick(value, name, key)).collect();
        // A pending value may be half made by whoever rotates; the present one must be right.
        let present = picked.first().cloned().unwrap_or_else(|| Err(format!("the secret `{name}` has no value")))?;
        Ok(std::iter::once(present).chain(picked.into_iter().skip(1).flatten()).collect())
    }
}

#[cfg(test)]
mod tests {
    use freshet_kit::secret::LocalSecrets;

    use super::*;
    use crate::testing;

    fn others() -> LocalSecrets {
        LocalSecrets::new(BTreeMap::from([("A".to_owned(), "alpha".to_owned())]), ".", None)
    }

    fn texts(secrets: &impl SecretResolver, reference: &str) -> Vec<String> {
        let all = secrets.resolve_all(reference).unwrap_or_else(|problem| panic!("{problem}"));
        all.iter().map(|secret| secret.expose_secret().to_owned()).collect()
    }

    #[tokio::test]
    async fn references_are_read_and_both_values_of_a_rotation_are_valid() {
        let Some(config) = testing::config() else { return };
        let client = Client::new(&config);
        let name = testing::name("freshet/shop");
        client.create_secret().name(&name).secret_string("{\"token\":\"old\"}").send().await.expect("made");
        let manager = SecretsManager::new(&config);
        let reference = format!("secretsmanager:{name}#token");
        let fetched = manager.fetch(&[&reference, "env:A"], others()).await;
        assert_eq!(texts(&fetched, &reference), ["old"]);
        assert_eq!(texts(&fetched, "env:A"), ["alpha"]);
        let put = client.put_secret_value().secret_id(&name).secret_string("{\"token\":\"new\"}");
        put.version_stages("AWSPENDING").send().await.expect("put");
        let fetched = manager.fetch(&[&reference], others()).await;
        assert_eq!(texts(&fetched, &reference), ["old", "new"]);
        client.delete_secret().secret_id(&name).force_delete_without_recovery(true).send().await.expect("gone");
        let fetched = manager.fetch(&[&reference], others()).await;
        assert_eq!(texts(&fetched, &reference), ["old", "new"], "what was read last stays in force");
    }

    #[tokio::test]
    async fn p8_what_is_wrong_is_told_without_the_value() {
        let Some(config) = testing::config() else { return };
        let client = Client::new(&config);
        let name = testing::name("freshet/plain");
        client.create_secret().name(&name).secret_string("hunter2").send().await.expect("made");
        let manager = SecretsManager::new(&config);
        let (keyed, missing) = (format!("secretsmanager:{name}#token"), "secretsmanager:freshet/none".to_owned());
        let fetched = manager.fetch(&[&keyed, &missing], others()).await;
        let problem = fetched.resolve(&keyed).expect_err("no JSON");
        assert!(problem.contains(&name) && !problem.contains("hunter2"), "{problem}");
        let problem = fetched.resolve(&missing).expect_err("missing");
        assert!(problem.contains("freshet/none"), "{problem}");
    }

    /// The contract, of whole secrets and of keys in one.
    struct Kept {
        config: SdkConfig,
        prefix: String,
        key: Option<&'static str>,
    }

    impl Kept {
        fn open(key: Option<&'static str>) -> Self {
            let config = testing::config().expect("the emulator is there");
            Self { config, prefix: testing::name("freshet/kept"), key }
        }
    }

    impl freshet_kit::secret::contract::Subject for Kept {
        async fn put(&self, name: &str, value: &str) -> String {
            let text = match self.key {
                Some(key) => serde_json::json!({ key: value, "other": "no" }).to_string(),
                None => value.to_owned(),
            };
            let name = format!("{}-{name}", self.prefix);
            Client::new(&self.config).create_secret().name(&name).secret_string(text).send().await.expect("made");
            self.missing(&name[self.prefix.len() + 1..])
        }

        fn missing(&self, name: &str) -> String {
            let key = self.key.map(|key| format!("#{key}")).unwrap_or_default();
            format!("{SCHEME}{}-{name}{key}", self.prefix)
        }

        async fn resolver(&self, references: &[&str]) -> Box<dyn SecretResolver> {
            Box::new(SecretsManager::new(&self.config).fetch(references, others()).await)
        }
    }

    mod whole {
        async fn open() -> super::Kept {
            super::Kept::open(None)
        }

        freshet_kit::secrets_contract!(open, if crate::testing::endpoint().is_some());
    }

    mod keys {
        async fn open() -> super::Kept {
            super::Kept::open(Some("webhook"))
        }

        freshet_kit::secrets_contract!(open, if crate::testing::endpoint().is_some());
    }
}
