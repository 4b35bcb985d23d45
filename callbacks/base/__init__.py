"""What every evaluation shares: one pass over the data, and when figures are due."""
