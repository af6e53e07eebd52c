"""Builds the smallest function as it is built for Lambda, and asks what a deployment of it would do: `cargo lambda
build` with its cross compiler, `cargo lambda deploy --dry-run`, which needs neither network nor credentials. In the
profile of the tests: what an optimised one weighs is measured by `rondo-bench coldstart`.
"""

import json
import os
import pathlib
import platform
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools" / "lambda" / "bin"
FUNCTION = "sweeper"
# Builds for both architectures would write to the same place.
PLACE = ROOT / "target" / "lambda-checked"
ENVIRONMENT = {
    **os.environ,
    # Zig is found as a module of this Python.
    "PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}",
    "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none",
}


def cargo_lambda(*arguments):
    run = subprocess.run(
        ["cargo", "lambda", *arguments], cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True, check=False,
    )
    if run.returncode:
        sys.exit(f"cargo lambda {' '.join(arguments)} fails")
    return run.stdout


if not (TOOLS / "cargo-lambda").is_file():
    sys.exit("cargo-lambda is not installed: python3 tests/tools.py lambda")
architecture = "--arm64" if platform.machine() in ("arm64", "aarch64") else "--x86-64"
cargo_lambda("build", "--package", FUNCTION, architecture, "--locked", "--lambda-dir", str(PLACE))
said = cargo_lambda(
    "deploy", "--dry-run", "--output-format", "json", "--lambda-dir", str(PLACE),
    "--binary-name", FUNCTION, f"rondo-{FUNCTION}",
)
planned = json.loads(said[said.index("{"):])
manifest = tomllib.loads((ROOT / "functions" / FUNCTION / "Cargo.toml").read_text())
settings = manifest["package"]["metadata"]["lambda"]["deploy"]
found = {name: planned["config"][name] for name in ("memory", "timeout", "env_var")}
expected = {"memory": settings["memory"], "timeout": settings["timeout"], "env_var": None}
if found != expected or planned["files"] != ["bootstrap"]:
    sys.exit(f"a deployment of {FUNCTION} would set {found} with {planned['files']}, not {expected}")
