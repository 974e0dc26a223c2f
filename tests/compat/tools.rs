//! Node and Python with what they need, installed once below the target folder.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A program that can be started in a folder.
#[derive(Debug)]
pub(crate) struct Tool {
    program: PathBuf,
    folder: PathBuf,
}

impl Tool {
    /// Runs a script, hands it text, and returns what it printed. Panics with its errors if it fails.
    pub(crate) fn run(&self, script: &str, input: String) -> String {
        let mut child = Command::new(&self.program)
            .arg(script)
            .current_dir(&self.folder)
            // Nothing is written beside the sources.
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", self.program.display()));
        let mut stdin = child.stdin.take().expect("was piped");
        // Beside the reading of its output: both pipes can be full at once.
        let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().expect("runs to its end");
        let _ = writer.join();
        assert!(output.status.success(), "{script} failed:\n{}", said(&output));
        String::from_utf8(output.stdout).expect("prints text")
    }
}

/// Node with the packages of `package.json`; `sign.mjs` is beside them. `None` if the test is skipped.
pub(crate) fn node() -> Option<Tool> {
    let manifest = read("package.json");
    let folder = installed("node", &manifest, |folder| {
        std::fs::write(folder.join("package.json"), &manifest).map_err(|error| error.to_string())?;
        // No lock file: it would name the registry. The versions are pinned, and they have few dependencies.
        let flags = ["install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"];
        succeed(Command::new("npm").args(flags).current_dir(folder))
    });
    let folder = installed_or_skipped(folder)?;
    // Modules are looked for beside the script.
    std::fs::copy(sources().join("sign.mjs"), folder.join("sign.mjs")).expect("copied");
    Some(Tool { program: "node".into(), folder })
}

/// Python with the wheels of `requirements.txt`. `None` if the test is skipped.
pub(crate) fn python() -> Option<Tool> {
    let folder = installed("python", &read("requirements.txt"), |folder| {
        succeed(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
        let flags = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"];
        let wanted = sources().join("requirements.txt");
        succeed(Command::new(folder.join("bin/python")).args(flags).arg("-r").arg(wanted))
    });
    let folder = installed_or_skipped(folder)?;
    Some(Tool { program: folder.join("bin/python"), folder: sources() })
}

/// The folder of an installation, made at the first call. A change of `pinned` makes another one.
fn installed(name: &str, pinned: &str, install: impl FnOnce(&Path) -> Result<(), String>) -> Result<PathBuf, String> {
    let mut hasher = DefaultHasher::new();
    pinned.hash(&mut hasher);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("compat-{name}-{:016x}", hasher.finish()));
    if folder.is_dir() {
        return Ok(folder);
    }
    // Made aside and renamed, so that neither a broken installation nor a test beside this one is ever seen half done.
    let aside = folder.with_extension(std::process::id().to_string());
    std::fs::create_dir_all(&aside).map_err(|error| error.to_string())?;
    let result = install(&aside).and_then(|()| match std::fs::rename(&aside, &folder) {
        Err(error) if !folder.is_dir() => Err(error.to_string()),
        _ => Ok(folder),
    });
    let _ = std::fs::remove_dir_all(&aside);
    result
}

/// A missing tool or registry is no defect of Freshet; but where everything must run, it may not be overlooked.
fn installed_or_skipped(folder: Result<PathBuf, String>) -> Option<PathBuf> {
    match folder {
        Ok(folder) => Some(folder),
        Err(why) => {
            assert!(
                std::env::var_os("FRESHET_REQUIRE_ALL").is_none_or(|value| value != "1"),
                "cannot be skipped: {why}"
            );
            // Past the capture of the test harness: a skipped test must not look like one that ran.
            let _ = writeln!(std::io::stderr(), "skipped: {why}");
            None
        }
    }
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{:?} does not start: {error}", command.get_program()))?;
    if output.status.success() { Ok(()) } else { Err(format!("{:?} failed: {}", command.get_program(), said(&output))) }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("compat")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(sources().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}
