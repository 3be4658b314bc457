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
    set_up_worker(1, False, [str(tmp_path / "extra_of_a_worker.py")], "normal")
    assert torch.get_num_threads() == 1
    assert not tuning.used()
    assert any("extra_of_a_worker" in name for name in loaded_plugins())


@pytest.mark.slow
def test_what_workers_import_is_neither_mlflow_nor_optuna() -> None:
    code = f"import sys, {', '.join(WORK)}\nprint(sorted({{'mlflow', 'optuna'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


SPEAKING = """
import functools, sys, time
from quorum.console import say
from quorum.sweeps.executors.pool import WorkerPool
from quorum.sweeps.worker import WORK, set_up_worker

def speak(job, on_batch):
    say("a word")
    yield job

if __name__ == "__main__":
    pool = WorkerPool(speak, 1, functools.partial(set_up_worker, 1, False, (), sys.argv[1]), WORK)
    jobs = [1]
    assert [event for _, event in pool.run(lambda: jobs.pop() if jobs else None, print)] == [1]
    pool.close()
"""


@pytest.mark.slow
@pytest.mark.parametrize(("verbosity", "said"), [("normal", "a word\n"), ("quiet", "")])
def test_it_says_what_is_wanted_and_leaves_nothing_when_it_is_ended(tmp_path: Path, verbosity: str, said: str) -> None:
    (tmp_path / "speaking.py").write_text(SPEAKING)
    done = subprocess.run([sys.executable, "speaking.py", verbosity], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, said)
