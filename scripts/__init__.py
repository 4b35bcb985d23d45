"""Programs around the package's classes; those of `synvlp` are named in `command_line/words.py`."""
