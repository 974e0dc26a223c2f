"""Terraform without AWS: format, validation, tests with a mocked provider, checkov; with `apply` also the emulator."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TERRAFORM = ROOT / "terraform"
# A terraform process and its provider use a core and some 600 MB each.
AT_ONCE = 2
NO_PROVIDER = 3


def skip(what):
    """Ends with success and a visible line, or with a failure where nothing may be skipped."""
    print(f"SKIPPED: {what}; FRESHET_REQUIRE_ALL=1 makes this a failure", file=sys.stderr, flush=True)
    if os.environ.get("FRESHET_REQUIRE_ALL") == "1":
        sys.exit(1)


def run(*command, **more):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **more)


def folders():
    """Every module and every root."""
    found = sorted(path.parent for path in TERRAFORM.glob("*/*/versions.tf"))
    if len(found) < 2:
        sys.exit(f"no modules below {TERRAFORM}")
    return found


def check(folder):
    """The name, what went wrong ("" if nothing), and the seconds."""
    name, start = folder.relative_to(TERRAFORM), time.monotonic()
    made = run(ROOT / "scripts/terraform-init", folder, "-backend=false")
    if made.returncode != 0:
        return name, made.returncode, made.stdout + made.stderr, 0
    for command in (("validate",), ("test",)):
        if command == ("test",) and not list(folder.glob("tests/*.tftest.hcl")):
            return name, 1, "it has no tests", 0
        done = run("terraform", f"-chdir={folder}", *command, "-no-color")
        if done.returncode != 0:
            return name, 1, done.stdout + done.stderr, 0
    return name, 0, "", time.monotonic() - start


def checkov():
    """The program, installed once for each list of requirements. None if it could not be."""
    wanted = HERE / "requirements.txt"
    digest = hashlib.sha256(wanted.read_bytes()).hexdigest()[:12]
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
    folder = target / "terraform" / f"checkov-{digest}"
    if not (folder / "installed").exists():
        venv.create(folder, with_pip=True, clear=True)
        made = run(folder / "bin/pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", wanted)
        if made.returncode != 0:
            print(made.stderr, file=sys.stderr)
            return None
        (folder / "installed").touch()
    return folder / "bin/checkov"


def tables():
    """What the services call their keys and indexes must be what Terraform makes. Empty if it is."""
    problems = []
    for service, module in (("content", "client/main.tf"), ("content", "data/tables.tf"), ("build", "data/tables.tf")):
        keys = ROOT / f"services/{service}/src/store/dynamodb/keys.rs"
        if not keys.exists():
            continue
        text = (TERRAFORM / "modules" / module).read_text()
        ours = "RECEIVED" if module.startswith("data") else "NEWEST|SLUG"
        names = rf"PK|SK|(?:{ours if service == 'content' else '[A-Z_]+'})(?:_PK|_SK)?"
        found = re.findall(rf'const ({names}): &str = "([a-z_0-9]+)";', keys.read_text())
        for of_index in re.findall(r'name: "(\w+)", names: \("(\w+)", "(\w+)"\)', keys.read_text()):
            found += [("a name of an index", value) for value in of_index]
        problems += [f"{module}: there is no {value}, which {keys} has as {name}" for name, value in found
                     if not re.search(rf"\b{value}\b", text)]
    return problems


def main():
    if shutil.which("terraform") is None:
        skip("terraform is not installed, so nothing below terraform/ is checked")
        return
    print("== terraform fmt", flush=True)
    done = run("terraform", "fmt", "-check", "-recursive", TERRAFORM)
    if done.returncode != 0:
        sys.exit(f"not formatted; run `terraform fmt -recursive terraform`:\n{done.stdout}{done.stderr}")

    print("== READMEs of the modules", flush=True)
    done = run(sys.executable, HERE / "readme.py", "--check")
    if done.returncode != 0:
        sys.exit(done.stderr)

    print("== keys of the tables", flush=True)
    if problems := tables():
        sys.exit("\n".join(problems))

    print("== terraform validate and test", flush=True)
    failed = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for name, code, problem, seconds in pool.map(check, folders()):
            if code == NO_PROVIDER:
                skip("no provider registry can be reached and no mirror was found, so no module is tested")
                return
            print(f"{name}: {'ok' if code == 0 else 'FAILED'} {seconds:.0f} s", flush=True)
            if problem:
                failed += 1
                print(problem, file=sys.stderr, flush=True)
    if failed:
        sys.exit(f"{failed} of the modules and roots failed")

    print("== the function that finds index documents", flush=True)
    if shutil.which("node") is None:
        skip("node is not installed, so modules/environment/index.js is not run")
    else:
        done = run("node", HERE / "index.test.js", TERRAFORM / "modules/environment/index.js")
        if done.returncode != 0:
            sys.exit(done.stdout + done.stderr)

    print("== checkov", flush=True)
    program = checkov()
    if program is None:
        skip("checkov could not be installed")
    else:
        done = run(program, "--directory", TERRAFORM, "--framework", "terraform", "--compact", "--quiet",
                   "--skip-download", "--skip-path", ".terraform")
        if done.returncode != 0:
            sys.exit(done.stdout + done.stderr)

    if sys.argv[1:] == ["apply"]:
        print("== terraform apply, against the emulator", flush=True)
        sys.exit(subprocess.run([ROOT / "scripts/emulator", "--", HERE / "apply"], check=False).returncode)


if __name__ == "__main__":
    main()
