//! What CodeBuild says about a build, in our words.

use std::fmt::Write as _;

use aws_sdk_codebuild::types::{Build, BuildPhase, StatusType};

use super::super::log::TAIL_BYTES_MAX;
use super::super::{Output, RunOutcome};

/// The longest sentence about a failure.
const ERROR_BYTES_MAX: usize = 1024;

/// How the build ended, or `None` while it runs.
pub(super) fn outcome(build: &Build) -> Option<RunOutcome> {
    let failed = |what: &str| {
        let text = match reason(build) {
            Some(reason) => format!("the CodeBuild build {what}: {reason}"),
            None => format!("the CodeBuild build {what}"),
        };
        RunOutcome::Failed(cut(text, ERROR_BYTES_MAX))
    };
    match build.build_status()? {
        StatusType::InProgress => None,
        StatusType::Succeeded => Some(RunOutcome::Succeeded(Output::Uploaded)),
        StatusType::TimedOut => Some(failed("was not done within its time limit")),
        StatusType::Stopped => Some(failed("was stopped by somebody")),
        StatusType::Fault => Some(failed("failed because of a fault of CodeBuild")),
        _ => Some(failed("failed")),
    }
}

/// The first phase that did not succeed, and why.
fn reason(build: &Build) -> Option<String> {
    let phase = build.phases().iter().find(|phase| {
        phase.phase_status().is_some_and(|status| !matches!(status, StatusType::Succeeded | StatusType::InProgress))
    })?;
    let name = phase.phase_type().map_or("a phase", |kind| kind.as_str());
    let said = said(phase);
    Some(if said.is_empty() { format!("in {name}") } else { format!("in {name}: {said}") })
}

fn said(phase: &BuildPhase) -> String {
    let mut text = String::new();
    for context in phase.contexts() {
        let code = context.status_code().filter(|code| !code.is_empty());
        let message = context.message().filter(|message| !message.is_empty());
        for part in [code, message].into_iter().flatten() {
            let _ = write!(text, "{}{part}", if text.is_empty() { "" } else { " " });
        }
    }
    text.trim().to_owned()
}

/// In place of the log's end, which is in CloudWatch: where the log is, and how each phase went.
pub(super) fn tail(build: &Build) -> String {
    let mut text = String::new();
    if let Some(id) = build.id() {
        let _ = writeln!(text, "freshet: CodeBuild {id}");
    }
    if let Some(link) = log_link(build) {
        let _ = writeln!(text, "freshet: the log is at {link}");
    }
    for phase in build.phases() {
        let name = phase.phase_type().map_or("", |kind| kind.as_str());
        let status = phase.phase_status().map_or("", |status| status.as_str());
        let _ = write!(text, "{name} {status}");
        if let Some(seconds) = phase.duration_in_seconds() {
            let _ = write!(text, " {seconds}s");
        }
        let _ = writeln!(text, " {}", said(phase));
    }
    cut(text, TAIL_BYTES_MAX)
}

/// Where the log is seen.
pub(super) fn log_link(build: &Build) -> Option<&str> {
    build.logs()?.deep_link().filter(|link| !link.is_empty())
}

fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        let mut at = bytes_max;
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        text.truncate(at);
    }
    text
}

#[cfg(test)]
mod tests {
    use aws_sdk_codebuild::types::{BuildPhaseType, LogsLocation, PhaseContext};

    use super::*;

    fn build(status: StatusType) -> Build {
        let context =
            PhaseContext::builder().status_code("COMMAND_EXECUTION_ERROR").message("npm run build: exit status 1");
        let phase = |kind, status, context| {
            BuildPhase::builder().phase_type(kind).phase_status(status).duration_in_seconds(7).set_contexts(context)
        };
        Build::builder()
            .id("www:1")
            .build_status(status)
            .logs(LogsLocation::builder().deep_link("https://logs").build())
            .phases(phase(BuildPhaseType::Install, StatusType::Succeeded, None).build())
            .phases(phase(BuildPhaseType::Build, StatusType::Failed, Some(vec![context.build()])).build())
            .build()
    }

    #[test]
    fn a_failure_says_which_phase_and_why() {
        let Some(RunOutcome::Failed(error)) = outcome(&build(StatusType::Failed)) else { panic!("not failed") };
        let why = "in BUILD: COMMAND_EXECUTION_ERROR npm run build: exit status 1";
        assert_eq!(error, format!("the CodeBuild build failed: {why}"));
        let tail = tail(&build(StatusType::Failed));
        assert!(tail.contains("the log is at https://logs\nINSTALL SUCCEEDED 7s"), "{tail}");
        assert!(tail.contains("BUILD FAILED 7s COMMAND_EXECUTION_ERROR npm"), "{tail}");
        for (status, words) in [
            (StatusType::TimedOut, "time limit"),
            (StatusType::Stopped, "stopped by somebody"),
            (StatusType::Fault, "fault of CodeBuild"),
        ] {
            let Some(RunOutcome::Failed(error)) = outcome(&build(status)) else { panic!("not failed") };
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_build_that_runs_has_not_ended() {
        assert_eq!(outcome(&build(StatusType::InProgress)), None);
        assert_eq!(outcome(&build(StatusType::Succeeded)), Some(RunOutcome::Succeeded(Output::Uploaded)));
        assert_eq!(outcome(&Build::builder().build()), None);
    }
}
