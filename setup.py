"""What pyproject.toml cannot say: a wheel holds the configuration, beside the code that reads it.

`synthesis/configuration.py` looks for it there. An editable install takes the checkout's own.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SHIPPED = ("configs", "results/supervised", "results/encoders")  # pretrain.yaml names the second


class BuildWithConfiguration(build_py):
    """Copies what is shipped into the package `synthesis`."""

    def run(self) -> None:
        """Build, then copy."""
        if self.editable_mode:
            super().run()
            return
        shutil.rmtree(self.build_lib, ignore_errors=True)  # else modules deleted since would be shipped too
        super().run()
        own = shutil.ignore_patterns("local", "*.local.*")  # a user's, ignored by git
        for folder in SHIPPED:
            shutil.copytree(folder, Path(self.build_lib, "synthesis", "shipped", folder), ignore=own)


setup(cmdclass={"build_py": BuildWithConfiguration})
