"""The stages of the pipeline, one module each; what they compute is in `stages.lib`."""

import os

# NumPy's functions for AVX-512 give other last digits than those for AVX2, and with them another synthetic sample. This
# must be set before NumPy is imported, and whoever sets it has another reason.
os.environ.setdefault("NPY_DISABLE_CPU_FEATURES", "X86_V4")
