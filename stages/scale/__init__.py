"""Scale: mean and standard deviation of each band, on the training folds."""
