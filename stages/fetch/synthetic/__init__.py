"""The synthetic sample of city sounds, rendered by code."""
