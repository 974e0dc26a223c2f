//! What every program is held to, from outside: its settings, and how it refuses bad ones.

use std::process::{Command, Output};

fn run(binary: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(binary);
    command.args(arguments).env_clear().envs(environment.iter().copied());
    command.output().unwrap_or_else(|error| panic!("{binary} does not run: {error}"))
}

/// `settings` prints what the program reads, each with the variable that sets it and what it means.
///
/// # Panics
///
/// If it does not.
pub fn prints_its_settings(binary: &str) {
    let output = run(binary, &["settings"], &[]);
    assert!(output.status.success(), "{output:?}");
    let settings: Vec<serde_json::Value> =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}"));
    assert!(settings.iter().any(|setting| setting["variable"] == "FRESHET_CATALOGUE__LOCATION"));
    for setting in &settings {
        assert!(setting["meaning"].as_str().is_some_and(|meaning| !meaning.is_empty()), "{setting} has no comment");
    }
}

/// Bad settings are all told at once, and nothing listens.
///
/// # Panics
///
/// If they are not.
pub fn refuses_bad_settings(binary: &str) {
    let environment = [("FRESHET_SERVICE__DRAIN_DELAY", "soon"), ("FRESHET_SERVICE__NOPE", "hunter2")];
    let output = run(binary, &[], &environment);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{told}");
    for wanted in ["`service.drain_delay`", "`service.nope`", "`catalogue.location`"] {
        assert!(told.contains(wanted), "{wanted} is not told: {told}");
    }
    assert!(!told.contains("hunter2"), "a value is repeated: {told}");
}

/// The tests of one program.
#[macro_export]
macro_rules! program_tests {
    ($name:literal, $binary:expr) => {
        #[test]
        fn the_program_prints_its_settings() {
            $crate::testing::prints_its_settings($binary);
        }

        #[test]
        fn the_program_refuses_bad_settings_all_at_once() {
            $crate::testing::refuses_bad_settings($binary);
        }
    };
}
