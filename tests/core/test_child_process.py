"""Child processes: what they are asked for, and that none of them is left behind."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import nullcontext
from itertools import chain
from pathlib import Path

import pytest

from vision_app.batch.sinks import OutputError
from vision_app.core.child_process import ChildError, ChildKilledError, ChildProcess
from vision_app.core.errors import ImageError
from vision_app.core.flags import command_line, flag

PARENTS = {  # how a process starts a child, which prints its number and then has nothing or much to do
    "waiting": "with ChildProcess() as child: print(child.call(os.getpid), flush=True); time.sleep(60)",
    "busy": "with ChildProcess() as child: print(child.call(os.getpid), flush=True); child.call(time.sleep, 60)",
    "loader": "for number in DataLoader(Numbers(), num_workers=1, worker_init_fn=end_with_parent): "
    "print(int(number), flush=True); time.sleep(60)",
}
PROGRAM = """
    import os, time
    from vision_app.core.child_process import ChildProcess, end_with_parent
    if {loader}:
        from torch.utils.data import DataLoader
    class Numbers:
        def __len__(self):
            return 9
        def __getitem__(self, index):
            return os.getpid()
    if __name__ == "__main__":
        {parent}
"""


def ends_within(process, seconds):
    """Return whether a process that is not ours to wait for ends."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            with open(f"/proc/{process}/stat") as file:  # noqa: PTH123
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks at the processes of Linux")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "signals"),
    [
        ("waiting", [signal.SIGKILL]), ("busy", [signal.SIGKILL]), ("loader", [signal.SIGKILL]),
        ("busy", [signal.SIGTERM]), ("busy", [signal.SIGINT]), ("waiting", [signal.SIGINT, signal.SIGINT]),
    ],
)  # fmt: skip
def test_a_child_ends_when_its_parent_does(tmp_path, kind, signals):
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(PROGRAM).format(parent=PARENTS[kind], loader=kind == "loader"))
    parent = subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    child = int(parent.stdout.readline())
    assert not ends_within(child, 0.1)
    for each in signals:
        parent.send_signal(each)
    parent.wait(10)
    assert ends_within(child, 2)
    assert parent.stdout.read() == b""  # nobody holds it open


def test_pools_of_processes_end_with_their_parent():
    root, calls = Path(__file__).parents[2], []
    for file in chain.from_iterable((root / name).rglob("*.py") for name in ("vision_app", "benchmarks", "tools")):
        calls += [line for line in file.read_text().splitlines() if "ProcessPoolExecutor(" in line]
    assert calls and all("end_with_parent" in line for line in calls)


class OwnError(Exception):
    """One that cannot be read back: its arguments are not those of its constructor."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def fail(kind):
    errors = {"own": OwnError(1, 2), "lock": ValueError("held"), "output": OutputError("x", OSError(28, "No space"))}
    errors["lock"].lock = threading.Lock()
    raise errors[kind]


def refuse(name):
    raise ImageError(name, "no such file")


@pytest.mark.slow
def test_a_child_answers_raises_and_tells_that_it_was_killed():
    with ChildProcess() as child:
        assert child.call(divmod, 17, 5) == (3, 2)
        with pytest.raises(ImageError) as raised:
            child.call(refuse, "a.png")
        assert str(raised.value) == "a.png: no such file"
        assert "in refuse" in raised.value.__notes__[0]  # where it was raised
        assert child.call(os.getpid) != os.getpid()
        for kind, type, told in (
            ("output", OutputError, "cannot write x: No space"),
            ("own", ChildError, "OwnError: 1 and 2"),
            ("lock", ChildError, "ValueError: held"),
        ):
            with pytest.raises(type) as raised:
                child.call(fail, kind)
            assert str(raised.value) == told and "in fail" in raised.value.__notes__[0]
        with pytest.raises(ChildError, match="cannot send the answer, lock: "):
            child.call(threading.Lock)
        for _ in range(2):
            with pytest.raises(ChildKilledError):
                child.call(os._exit, 9)


@pytest.mark.slow
@pytest.mark.parametrize(("surrounding", "name"), [(nullcontext, "batch_size"), (command_line, "--batch-size")])
def test_a_child_names_options_as_its_parent_does(surrounding, name):
    with surrounding(), ChildProcess() as child:
        assert child.call(flag, "batch_size") == name
