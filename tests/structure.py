"""Rules of the house that no compiler checks: what may depend on what, and what no file may hold.

Run by ./test with nothing but Python 3.
"""

import pathlib
import re
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
FAULTS = []

# Dependencies point inwards: a crate may use these of the project's own, and no others.
MAY_USE = {
    "shared/domain": set(),
    "shared/system": {"rondo-domain"},
    "shared/outbound": {"rondo-domain"},
    "shared/local": {"rondo-domain", "rondo-system"},
    "shared/aws": {"rondo-domain"},
    "shared/http-api": {"rondo-domain"},
    "shared/lambda": {"rondo-domain", "rondo-outbound", "rondo-aws", "rondo-http-api", "rondo-system"},
    "cli": {"rondo-domain", "rondo-outbound", "rondo-local", "rondo-http-api"},
    # A function is a main: what it does stands in `shared/lambda`.
    "functions/admin": {"rondo-lambda"},
    "functions/dispatcher": {"rondo-lambda"},
    "functions/pushes": {"rondo-lambda"},
    "functions/requests": {"rondo-lambda"},
    "functions/schedules": {"rondo-lambda"},
    "functions/sweeper": {"rondo-lambda"},
}
# What the domain must not know: no I/O, no HTTP, no database, no clock, no randomness.
FORBIDDEN_IN_DOMAIN = {"tokio", "reqwest", "hyper", "axum", "rusqlite", "http", "getrandom", "rand", "aws-sdk-dynamodb"}
# What docs/push.md calls its folders of tests.
RULES = {
    "rules": "shared/domain/src/push/rules/tests",
    "push": "shared/domain/src/push",
    "trigger": "shared/domain/src/trigger",
    "domain": "shared/domain/tests",
    "outbound": "shared/outbound/tests/push",
    "vapid": "shared/outbound/src/push",
    "http": "shared/http-api/src/pushes",
    "api": "tests/tests/api_pushes",
    "suite": "tests/src/port_suite",
    "real": "tests/tests/push_real",
    "sdk": "tests/tests",
    "sim": "tests/tests",
}
LONGEST_FILE = 600  # lines; a file has one subject


def tracked():
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True,
    ).stdout.decode().split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def check_dependencies():
    for folder, allowed in MAY_USE.items():
        manifest = tomllib.loads((ROOT / folder / "Cargo.toml").read_text())
        used = set(manifest.get("dependencies", {}))
        own = {name for name in used if name.startswith("rondo")}
        for name in sorted(own - allowed):
            FAULTS.append(f"{folder}: must not depend on {name}")
        if folder == "shared/domain":
            for name in sorted(used & FORBIDDEN_IN_DOMAIN):
                FAULTS.append(f"{folder}: must not depend on {name}")
        if folder == "cli":
            for name in sorted(name for name in used if name.startswith("aws-")):
                FAULTS.append(f"{folder}: must not depend on {name}")


def check_files():
    machine_path = re.compile(r"(^|[^A-Za-z0-9_.])/(work|root|home/[a-z]+)/")
    ignored_test = re.compile(r"#\[ignore")
    left_open = re.compile(r"\b(todo|unimplemented)!\(|\bFIXME\b")
    for path in tracked():
        name = path.relative_to(ROOT).as_posix()
        if path.suffix in {".der", ".jsonl", ".lock", ".png"}:
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            FAULTS.append(f"{name}: not UTF-8")
            continue
        lines = text.splitlines()
        if path.suffix == ".rs" and len(lines) > LONGEST_FILE:
            FAULTS.append(f"{name}: {len(lines)} lines; split it by subject (at most {LONGEST_FILE})")
        for number, line in enumerate(lines, 1):
            where = f"{name}:{number}"
            if machine_path.search(line) and name != "tests/structure.py":
                FAULTS.append(f"{where}: an absolute path of a machine")
            if path.suffix == ".rs" and ignored_test.search(line):
                FAULTS.append(f"{where}: an ignored test")
            if path.suffix == ".rs" and left_open.search(line):
                FAULTS.append(f"{where}: something left open")


def check_links():
    """Every relative link of a page leads to a file of the project."""
    for path in tracked():
        if path.suffix != ".md":
            continue
        for target in re.findall(r"\]\(([^)#\s]+)", path.read_text()):
            if not re.match(r"[a-z]+:", target) and not (path.parent / target).exists():
                FAULTS.append(f"{path.relative_to(ROOT)}: links to {target}, which is not there")


def check_rules():
    """Every test that docs/push.md names beside a rule of the contract is there."""
    text = (ROOT / "docs/push.md").read_text()
    for name, short, test in re.findall(r"`(([a-z]+)/[\w/]+\.rs)::(\w+)`", text):
        path = ROOT / RULES[short] / name.removeprefix(f"{short}/") if short in RULES else None
        if path is None or not path.is_file() or not re.search(rf"\bfn\s+{test}\b|^\s+{test}\(", path.read_text(), re.M):
            FAULTS.append(f"docs/push.md: there is no test {name}::{test}")


check_dependencies()
check_files()
check_links()
check_rules()
for fault in FAULTS:
    print(fault, file=sys.stderr)
sys.exit(1 if FAULTS else 0)
