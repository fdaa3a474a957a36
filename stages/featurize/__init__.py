"""Featurize: log-mel frames of each accepted clip."""
