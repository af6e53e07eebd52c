"""Installs what some tests need beside Rust, into the checkout's ignored `.tools` folder: one virtual environment
for each file `tests/requirements-NAME.txt`, so that no two tools have to agree on a library's version.

    python3 tests/tools.py            all of them
    python3 tests/tools.py emulator   only these

Quick where everything is there: an environment bears the digest of the list that it was made from. What cannot
be installed is named on stdout, one line each, beginning with `not run: `; the exit code is 0 all the same,
because it is `./test` that decides what that means.
"""

import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import venv

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
# In the order of how soon somebody waits for them; what does not run without them.
NEEDED_FOR = {
    "emulator": "tests against the emulator of AWS",
    "moto": "tests against the second emulator of AWS",
    "push": "tests of pushes against a push service, a gateway and the vendor's SDK",
    "lint": "lints of the template",
    "lambda": "builds with cargo-lambda",
}


def digest(requirements):
    """Of the list and of the Python that runs it: an environment does not survive the change of either."""
    return hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()


def install(name):
    requirements = ROOT / "tests" / f"requirements-{name}.txt"
    place, stamp, wanted = TOOLS / name, TOOLS / name / "made-from", digest(requirements)
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    print(f"installing {name} into .tools", file=sys.stderr, flush=True)
    shutil.rmtree(place, ignore_errors=True)
    venv.create(place, with_pip=True)
    # The lists are whole, so pip has nothing to resolve; what a source is built with is pinned by them too.
    pip = [place / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--no-input"]
    subprocess.run(
        [*pip, "install", "--quiet", "--no-deps", "--requirement", requirements],
        check=True, stdout=sys.stderr, env={**os.environ, "PIP_CONSTRAINT": str(requirements)},
    )
    subprocess.run([*pip, "--quiet", "check"], check=True, stdout=sys.stderr)
    stamp.write_text(wanted)


def main(names):
    unknown = [name for name in names if name not in NEEDED_FOR]
    if unknown:
        sys.exit(f"no such tool: {', '.join(unknown)}; there are {', '.join(NEEDED_FOR)}")
    TOOLS.mkdir(exist_ok=True)
    with open(TOOLS / "lock", "w") as lock:
        # Two runs at once would remove what the other is making.
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name in names or NEEDED_FOR:
            try:
                install(name)
            except (OSError, subprocess.CalledProcessError) as why:
                print(f"not run: {NEEDED_FOR[name]}: .tools/{name} cannot be installed: {why}", flush=True)


main(sys.argv[1:])
