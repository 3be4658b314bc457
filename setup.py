"""The study files of `sweeps/` go into the wheel, as `quorum/study_files`. All else is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithStudies(build_py):
    """Copies what lies outside the package. An editable installation finds it where it is."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            shutil.copytree("sweeps", Path(self.build_lib, "quorum", "study_files"), dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithStudies})
