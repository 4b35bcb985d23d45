"""Made pairs as training data."""
