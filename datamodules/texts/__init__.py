"""What is read of a report: tokenizers, text views, claims, questions."""
