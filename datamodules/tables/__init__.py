"""A user's own images: tables, files, labels, regions, splits."""
