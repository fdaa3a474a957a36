"""Processors: NumPy computes with the same functions on those with AVX-512 and those without."""

import os
import subprocess
import sys

from helpers.repository import ROOT

PROGRAM = """
import os
import sys
import stages
assert "numpy" not in sys.modules
assert os.environ["NPY_DISABLE_CPU_FEATURES"] == "X86_V4"  # where the processor has none, the test sees this alone
from numpy._core._multiarray_umath import __cpu_features__ as features
print(features.get("X86_V4", False))
"""


def test_functions_for_avx512_are_off():
    """With them the synthetic sample has other last digits, and all that follows from it."""
    environment = {name: value for name, value in os.environ.items() if name != "NPY_DISABLE_CPU_FEATURES"}
    command = [sys.executable, "-c", PROGRAM]
    assert (
        subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True).stdout.strip() == b"False"
    )
