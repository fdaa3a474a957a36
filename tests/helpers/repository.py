"""Where this repository is, and who commits in tests."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
GIT_IDENTITY = {f"GIT_{role}_{key}": "test@test.test" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
