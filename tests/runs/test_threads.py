from __future__ import annotations

import os
import subprocess
import sys

from threadpoolctl import threadpool_info

from glassbox_bt.runs.engine import run_tasks
from glassbox_bt.runs.threads import one_thread


def _threads(_job: int, _progress: object) -> int:
    import numpy as np

    np.ones((2, 2)) @ np.ones((2, 2))
    return max(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")


def test_the_command_pins_threads_whatever_the_environment_says() -> None:
    code = (
        "import sys, os; sys.argv = ['glassbox', '--help']\n"
        "import glassbox_bt.cli as cli\n"
        "try:\n    cli.main()\nexcept SystemExit:\n    pass\n"
        "import numpy, threadpoolctl\n"
        "print('threads', {p['num_threads'] for p in threadpoolctl.threadpool_info()})"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.splitlines()[-1] == "threads {1}"


def test_a_task_in_this_process_runs_on_one_thread() -> None:
    assert run_tasks(_threads, [0], workers=1, progress=lambda _what, _share: None) == [1]


def test_one_thread_holds_for_loaded_libraries() -> None:
    with one_thread():
        assert _threads(0, None) == 1
