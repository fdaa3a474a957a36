"""Fetch: bring one dataset into one layout."""
