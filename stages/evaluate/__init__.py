"""Evaluate: score each model on its test fold."""
