//! Names of a build's variables.

use super::Table;

/// Notes a name that a shell cannot have, or that means something to Freshet or CodeBuild.
pub(super) fn check(variables: &Table<'_>, name: &str) {
    let is_ours = name == "TRACEPARENT" || name.starts_with("FRESHET_") || name.starts_with("CODEBUILD_");
    let is_word = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_word || !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        variables
            .wrong(name, "is not a name that a variable of a build may have: use A-Z, a-z, 0-9 and _, no digit first");
    } else if is_ours {
        variables.wrong(
            name,
            "is not a name that a variable of a build may have: the build is given variables of such names",
        );
    }
}
