"""pip-audit over the lock file: known vulnerabilities of what is installed with Jobsprint.

It asks PyPI and OSV. If neither can be reached, nothing is audited: the script says so and succeeds, since that is no
finding about the packages. It fails for a vulnerability, and for a single package that could not be looked up.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PIP_AUDIT = str(Path(sys.executable).with_name("pip-audit"))
COMMAND = [PIP_AUDIT, "--disable-pip", "--require-hashes", "--progress-spinner", "off", "--format", "json"]
TIMEOUT_SECONDS = 300


def main() -> int:
    """0 if no vulnerability is known in any package, or if no source could be reached."""
    done = subprocess.run(  # noqa: S603 - fixed parts
        [*COMMAND, "--requirement", str(ROOT / "requirements.lock")],
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except ValueError:
        packages = []
    audited = [each for each in packages if "skip_reason" not in each]
    if not audited:
        print("NOT AUDITED: no source of known vulnerabilities could be reached.")
        print(packages[0]["skip_reason"] if packages else done.stderr.strip())
        return 0
    for each in packages:
        if "skip_reason" in each:
            print(f"{each['name']}: {each['skip_reason']}")
        for found in each.get("vulns", ()):
            print(
                f"{each['name']} {each['version']}: {found['id']}, fixed in {', '.join(found['fix_versions']) or '-'}"
            )
    print(f"{len(audited)} of {len(packages)} packages audited.")
    return int(len(audited) < len(packages) or any(each.get("vulns") for each in audited))


if __name__ == "__main__":
    sys.exit(main())
