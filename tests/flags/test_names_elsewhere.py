"""What other libraries call flags, models and modes is told with names that exist here."""

from __future__ import annotations

import subprocess
import sys

NAMES = """
import re
from polyrl.flags import FLAGS, command, other_names
for table in (other_names.FLAGS, other_names.MODELS, other_names.MODES):
    for name, use in table.items():
        if name in FLAGS and table is other_names.FLAGS:
            print(name, "is a flag here")
        for flag in re.findall(r"--([a-z_0-9]+)", use):
            if flag not in FLAGS:
                print(use, "names no flag")
"""


def test_what_is_said_of_other_libraries_names_flags_that_exist():
    done = subprocess.run([sys.executable, "-c", NAMES], capture_output=True, text=True, timeout=100)
    assert (done.stdout, done.stderr) == ("", "")
