"""Predictions as files: scores, embeddings, nearest reports and similarity maps."""
