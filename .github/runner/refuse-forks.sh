#!/usr/bin/env bash
# For a runner of your own: refuses every job that is not of this repository's own branches. A pull request from a fork
# brings its own workflow files, which may ask for any runner, so no line in ours can keep it away; the runner can.
# Copy this file to the runner and name it in ACTIONS_RUNNER_HOOK_JOB_STARTED: see docs/pull-requests.md.
set -euo pipefail
python3 - <<'PYTHON'
import json
import os
import sys

name, repository = os.environ["GITHUB_EVENT_NAME"], os.environ["GITHUB_REPOSITORY"]
with open(os.environ["GITHUB_EVENT_PATH"], encoding="utf-8") as file:
    event = json.load(file)
source = repository if name in ("push", "schedule", "workflow_dispatch") else None
if name == "pull_request":
    source = ((event["pull_request"]["head"] or {}).get("repo") or {}).get("full_name")
if source != repository:
    sys.exit(f"refused: {name} of {source or 'an unknown source'}; this runner works for branches of {repository} alone")
PYTHON
