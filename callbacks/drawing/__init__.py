"""Pictures that several evaluations share."""
