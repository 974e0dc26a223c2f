"""Writes the tables of inputs and outputs into the READMEs of the modules: `python3 tests/terraform/readme.py [--check]`."""

import re
import sys
from pathlib import Path

MODULES = Path(__file__).resolve().parent.parent.parent / "terraform/modules"
BEGIN = "<!-- written by tests/terraform/readme.py -->"


def blocks(text, kind):
    """Name and body of each block at the top level."""
    return re.findall(rf'^{kind} "([a-z0-9_]+)" {{\n(.*?)^}}', text, re.DOTALL | re.MULTILINE)


def description(body):
    found = re.search(r'^  description = "(.*)"$', body, re.MULTILINE)
    return found.group(1).replace('\\"', '"') if found else sys.exit(f"no description in\n{body}")


def tables(module):
    """The part of the README that is written."""
    lines = [BEGIN, "", "| input | | default |", "| --- | --- | --- |"]
    for name, body in blocks((module / "variables.tf").read_text(), "variable"):
        default = re.search(r"^  default\s*= (.*)$", body, re.MULTILINE)
        value = "required" if default is None else f"`{default.group(1)}`"
        lines.append(f"| `{name}` | {description(body)} | {value if not value.endswith('{`') else 'see variables.tf'} |")
    lines += ["", "| output | |", "| --- | --- |"]
    lines += [f"| `{name}` | {description(body)} |" for name, body in blocks((module / "outputs.tf").read_text(), "output")]
    return "\n".join(lines) + "\n"


def main():
    for module in sorted(path.parent for path in MODULES.glob("*/versions.tf")):
        readme = module / "README.md"
        text = readme.read_text() if readme.exists() else f"# {module.name}\n\n"
        wanted = text.split(BEGIN)[0].rstrip("\n") + "\n\n" + tables(module)
        if text != wanted:
            if "--check" in sys.argv:
                sys.exit(f"{readme} is not up to date; run python3 tests/terraform/readme.py")
            readme.write_text(wanted)


if __name__ == "__main__":
    main()
