"""Train: one network for each test fold."""
