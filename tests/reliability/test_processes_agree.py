"""The same run in new processes has the same bits: what TensorFlow decides once for a process must not matter."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
PROGRAM = """
import sys
sys.path[:0] = sys.argv[1:3]
import polyrl
import hashlib
from pathlib import Path
from exact_testing import Case, train

held = train(eval(sys.argv[3]), Path(sys.argv[4]), 60)
values = [value.tobytes() for name, value in held.items() if name.startswith(("weights", "memory"))]
print(hashlib.sha256(b"".join(values)).hexdigest())
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "processes"),
    [
        ("Case()", 10),
        ("Case('c51_double', 'prioritized', 3, 4)", 6),
        ("Case('naf', 'prioritized', 3, 4)", 6),
        ("Case('dqn', 'uniform', 1, 4, 'gymnasium')", 6),
        ("Case('c51', 'uniform', 1, 4, 'gymnasium', 'on')", 4),
        ("Case('ddqn', jit='on')", 6),
        ("Case('c51', env='compiled', num_envs=4)", 6),
        ("Case('c51', env='compiled', num_envs=4, jit='on')", 4),
    ],
)
def test_new_processes_come_to_the_same_bits(tmp_path, case, processes):
    """With TensorFlow's "remapping" one process in four did not, where no XLA was used; see `polyrl._quiet.compute_alike`."""
    found = []
    for number in range(processes):
        command = [sys.executable, "-c", PROGRAM, str(HERE), str(HERE.parent), case, str(tmp_path / str(number))]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        found.append(done.stdout.strip().splitlines()[-1])
    assert len(set(found)) == 1, found


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_busy_machine_changes_nothing(tmp_path):
    """With TensorFlow's "arithmetic_optimization" each of these processes came to other weights, if others were busy too."""
    burner = [sys.executable, "-c", "while True: pass"]
    burners = [subprocess.Popen(burner) for _ in range(os.cpu_count() or 1)]
    try:
        found = []
        for number in range(4):
            flags = ["--env=Acrobot-v1", "--model=iqn", "--mode=train", "--train_timesteps=1504", "--progress=false"]
            command = [sys.executable, "-m", "polyrl", *flags, f"--model_dir={tmp_path / str(number)}"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
            assert done.returncode == 0, done.stderr
            (weights,) = (tmp_path / str(number)).glob("checkpoints/ckpt-*/variables.data-00000-of-00001")
            found.append(hashlib.sha256(weights.read_bytes()).hexdigest())
    finally:
        for process in burners:
            process.kill()
            process.wait()
    assert len(set(found)) == 1, found
