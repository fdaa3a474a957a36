"""Compare two results, with a paired test."""
