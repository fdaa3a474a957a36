"""Report on a pull request what it changes."""
