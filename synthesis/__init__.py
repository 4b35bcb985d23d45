"""Making pairs of a chest radiograph and its report. Knows nothing of training; imports nothing local."""
