"""What a worker process is made ready with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from quorum import tuning
from quorum.plugins import loaded_plugins
from quorum.sweeps.worker import WORK, set_up_worker


def test_it_has_the_threads_the_tuning_and_the_plugins_of_the_process_it_works_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "extra_of_a_worker.py").write_text("")
    monkeypatch.setattr(tuning, "_used", True)
    set_up_worker(1, False, [str(tmp_path / "extra_of_a_worker.py")])
    assert torch.get_num_threads() == 1
    assert not tuning.used()
    assert any("extra_of_a_worker" in name for name in loaded_plugins())


@pytest.mark.slow
def test_what_workers_import_is_neither_mlflow_nor_optuna() -> None:
    code = f"import sys, {', '.join(WORK)}\nprint(sorted({{'mlflow', 'optuna'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
