"""Check `coverage.json`: tests run at least 90 % of the lines of each module; pyproject.toml has the reasons for less.

pytest --cov --cov-report=term --cov-report=json && python .ci/check_coverage.py
"""

import json
import sys
from pathlib import Path

LEAST_PERCENT = 90


def main(report: Path) -> None:
    """Exit with the modules that fall short, if any does."""
    content = json.loads(report.read_text())
    percents = {name: file["summary"]["percent_covered"] for name, file in sorted(content["files"].items())}
    short = [f"{name}: {found:.1f} %" for name, found in percents.items() if found < LEAST_PERCENT]
    if short:
        sys.exit("\n".join([*short, f"expected at least {LEAST_PERCENT} % of the lines of each module; test the rest"]))
    print(f"{len(percents)} modules, {content['totals']['percent_covered']:.1f} % of all lines")


if __name__ == "__main__":
    main(Path("coverage.json"))
