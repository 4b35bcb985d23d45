"""What a run leaves: its directory, summary, gallery and exports."""
