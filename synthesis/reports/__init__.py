"""Writing reports, and reading them back."""
