"""Everything that fills memory at once, in its short form; `bench/soak.sh` is the full one.

Row 16 of the threat table: every part is legal and bounded alone, and a process dies of their sum.
"""

import subprocess

import pytest

from harness.processes import BINARY, PLAYER

SOAK = PLAYER.with_name("soak")


@pytest.mark.timeout(150)
def test_the_sum_of_all_that_fills_memory_stays_under_the_ceiling_and_good_clients_are_served(tmp_path):
    assert SOAK.exists(), "cargo build --package bench --bin soak"
    command = [SOAK, "--short", "--gatehouse", BINARY, "--player", PLAYER, "--folder", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=140)
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
