"""The model file, its backend, segments and calibration."""
