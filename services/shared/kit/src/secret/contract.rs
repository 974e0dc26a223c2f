//! The suite that every resolver of secrets passes, turned into one test each by
//! [`secrets_contract!`](crate::secrets_contract).

use secrecy::ExposeSecret as _;

use super::SecretResolver;

/// Secrets under test.
pub trait Subject {
    /// Keeps a secret and says how it is referred to.
    fn put(&self, name: &str, value: &str) -> impl Future<Output = String> + Send;
    /// The reference to a secret of that name that nobody has put there.
    fn missing(&self, name: &str) -> String;
    /// A resolver that may be asked for these references.
    fn resolver(&self, references: &[&str]) -> impl Future<Output = Box<dyn SecretResolver>> + Send;
}

/// Number of cases. An engine that runs fewer has lost some.
pub const CASES: usize = 4;

/// One test per case. `$open` is an async function that returns a fresh [`Subject`]; where `$enabled` is false, the
/// cases are skipped.
#[macro_export]
macro_rules! secrets_contract {
    ($open:path, if $enabled:expr) => {
        $crate::contract_cases!([$crate::secret::contract], $open, $enabled;
            a_secret_is_read_as_it_was_put, the_present_value_comes_first, p8_an_empty_secret_is_refused,
            p8_what_is_wrong_is_told_without_a_value);
    };
}

/// With every character that a signature's key can have.
pub async fn a_secret_is_read_as_it_was_put(subject: &impl Subject) {
    for (name, value) in [("plain", "hunter2"), ("odd", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw+/= \u{e4}\"'#:{}")] {
        let reference = subject.put(name, value).await;
        let resolver = subject.resolver(&[&reference]).await;
        assert_eq!(resolver.resolve(&reference).expect("there").expose_secret(), value);
    }
}

/// Whoever signs uses the first, whoever checks accepts all.
pub async fn the_present_value_comes_first(subject: &impl Subject) {
    let reference = subject.put("present", "value").await;
    let resolver = subject.resolver(&[&reference]).await;
    let all = resolver.resolve_all(&reference).expect("there");
    let one = resolver.resolve(&reference).expect("there");
    assert_eq!(all.first().map(|secret| secret.expose_secret()), Some(one.expose_secret()));
}

/// A signature with an empty key is one that everybody can make.
pub async fn p8_an_empty_secret_is_refused(subject: &impl Subject) {
    let reference = subject.put("empty", " ").await;
    let resolver = subject.resolver(&[&reference]).await;
    for problem in [resolver.resolve(&reference).err(), resolver.resolve_all(&reference).err()] {
        assert!(problem.expect("refused").contains("empty"), "{reference}");
    }
}

/// By the reference's name; and what is no reference may be a secret in the wrong place.
pub async fn p8_what_is_wrong_is_told_without_a_value(subject: &impl Subject) {
    let kept = subject.put("kept", "hunter2").await;
    let missing = subject.missing("nowhere");
    let resolver = subject.resolver(&[&kept, &missing, "hunter2"]).await;
    let problem = resolver.resolve(&missing).expect_err("not there");
    assert!(problem.contains("nowhere") && !problem.contains("hunter2"), "{problem}");
    let problem = resolver.resolve("hunter2").expect_err("no reference");
    assert!(!problem.contains("hunter2"), "{problem}");
}
