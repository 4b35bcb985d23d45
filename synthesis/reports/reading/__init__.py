"""Reading reports: which entities a text asserts, denies or doubts."""
