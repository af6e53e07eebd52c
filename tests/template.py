"""What the linters of AWS's templates say of template.yaml and samconfig.toml: nothing, or this fails. They come from
`python3 tests/tools.py lint`; what the template promises is held by tests/tests/template.
"""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools" / "lint" / "bin"
# Neither asks AWS anything here; SAM wants a region all the same, and would report its use.
ENVIRONMENT = {**os.environ, "AWS_DEFAULT_REGION": "us-east-1", "SAM_CLI_TELEMETRY": "0"}
CHECKS = [
    ["cfn-lint", "--non-zero-exit-code", "informational", "template.yaml"],
    ["sam", "validate", "--lint", "--template", "template.yaml"],
    ["sam", "validate", "--config-env", "production", "--template", "template.yaml"],
]

if not (TOOLS / "sam").is_file():
    sys.exit("the linters are not installed: python3 tests/tools.py lint")
failed = False
for tool, *arguments in CHECKS:
    run = subprocess.run([TOOLS / tool, *arguments], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    if run.returncode:
        failed = True
        print(f"{tool} {' '.join(arguments)}:\n{run.stdout}{run.stderr}", file=sys.stderr)
sys.exit(1 if failed else 0)
