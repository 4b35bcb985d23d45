"""What stands behind `synvlp` and `main.py`: the parser, the run, and further programs by name."""
