"""Which folds a model learns from, and the scaler of their bands."""
