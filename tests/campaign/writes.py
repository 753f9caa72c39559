"""Let every call that changes the disk fail, then give the same command again and compare with an undisturbed one.

Calls below the folder of a command are counted by a small library that is compiled with gcc and loaded before all
others (faults.c). Each call fails once, in turn as on a full disk, beyond a quota, on a read-only or a broken disk; or
the process is killed there, in the middle of a write. Commands also run with writes that take half of the bytes, on a
slow disk, on a real disk that is too small (if this user may mount one), and while their folder is moved away for a
while.
"""

import errno
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from forked import Ended, Fork
from tqdm import tqdm
from trials import Campaign, Undisturbed, campaign, chosen, finish, parser
from verbs import COMMANDS

WAYS: dict[str, dict[str, int]] = {  # what happens at a call: the settings of faults.c
    "full": {"FAULT_ERRNO": errno.ENOSPC, "FAULT_STAYS": 1},
    "quota": {"FAULT_ERRNO": errno.EDQUOT, "FAULT_STAYS": 1},
    "read-only": {"FAULT_ERRNO": errno.EROFS, "FAULT_STAYS": 1},
    "broken": {"FAULT_ERRNO": errno.EIO},
    "killed": {"FAULT_SIGNAL": signal.SIGKILL},
}
SLOW = {"FAULT_SLEEP": 3000}  # microseconds for each call
WHOLE = {"half writes": {"FAULT_SHORT": 1}, "slow": SLOW}
VANISHING = 3  # times that the folder of each command is moved away
ENOUGH = 2**26  # bytes of disk, for every command
# An error names a path or a folder below --out, and what to do.
_SAYS_WHAT = re.compile(r"\b(out|maps)\b.*(free some space|choose another --out|rerun the same command)", re.I | re.S)


def main() -> int:
    """Run the campaign; returns 1 if it found a fault."""
    options = parser(__doc__)
    options.add_argument("--calls", type=int, default=100, help="number of calls of each command, drawn if it has more")
    options.add_argument("--ways", default=",".join(WAYS), help="in which of these ways calls fail")
    options.add_argument("--all-ways", action="store_true", help="let each call fail in each way, not in one of them")
    options = options.parse_args()
    load_library()
    names, rng = chosen(options), random.Random(options.seed)
    ways = options.ways.split(",")
    columns = ["calls", *ways, *WHOLE, "small disk", "vanished", "had ended", "faults"]
    counts: dict[str, Counter[str]] = {name: Counter() for name in names}
    with campaign() as started:
        for name in names:
            _disturb(started, name, ways, options, rng, counts[name])
    rows = [[name, *(counts[name][column] for column in columns)] for name in names]
    return finish(["command", *columns], rows, started.faults)


def load_library() -> None:
    """Start this program again with the library, unless it is loaded."""
    if "FAULTS_LIBRARY" in os.environ:
        return
    if shutil.which("gcc") is None:
        raise SystemExit("writes.py needs gcc, to let calls of the operating system fail")
    library = Path(tempfile.mkdtemp(prefix="salbench_faults_")) / "faults.so"
    source = Path(__file__).with_name("faults.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl", "-lpthread"], check=True)
    os.environ |= {"FAULTS_LIBRARY": str(library), "LD_PRELOAD": str(library)}
    os.execv(sys.executable, [sys.executable, *sys.argv])


def _disturb(started: Campaign, name: str, ways: list[str], options, rng: random.Random, count: Counter[str]) -> None:
    """All trials of one command."""
    expected = started.undisturbed(name)
    calls = _calls(started, name)
    count["calls"] = len(calls)
    trials = [(number, ways[number % len(ways)]) for number in range(1, len(calls) + 1)]
    if options.all_ways:
        trials = [(number, way) for number, _ in trials for way in ways]
    if len(trials) > options.calls:
        trials = sorted(rng.sample(trials, options.calls))
    before = len(started.faults)
    for number, way in tqdm(trials, desc=name, unit="call"):
        count[_fail(started, name, number, way, calls[number - 1], expected)] += 1
    for way, settings in WHOLE.items():
        folder = started.folder()
        ended = Fork(COMMANDS[name].words, folder, _settings(folder, settings)).wait()
        _finished(started, f"{name}, {way}", folder, ended, expected)
        count[way] += 1
    for _ in range(VANISHING):
        count[_vanish(started, name, rng.random(), expected)] += 1
    count["small disk"] += _fill(started, name, expected)
    count["faults"] = len(started.faults) - before


def _settings(folder: Path, settings: dict[str, int]) -> dict[str, str]:
    return {"FAULT_BELOW": f"{folder}/"} | {key: str(int(value)) for key, value in settings.items()}


def _calls(started: Campaign, name: str) -> list[str]:
    """The calls of a command that change its folder, such as "write /.../out/a.png".

    Raises:
        RuntimeError: the command did not end well, so there may be more.
    """
    folder = started.folder()
    log = folder.with_name("calls.txt")
    ended = Fork(COMMANDS[name].words, folder, _settings(folder, {}) | {"FAULT_LOG": str(log)}).wait()
    if ended.status != 0:
        raise RuntimeError(f"{name}: expected exit status 0 while its calls are counted, got {ended}")
    calls = log.read_text().splitlines()
    log.unlink()
    return [line.replace(str(folder), "") for line in calls]


def _fail(started: Campaign, name: str, number: int, way: str, call: str, expected: Undisturbed) -> str:
    """Let one call fail, and run the command again; returns how it ended."""
    folder, what = started.folder(), f"{name}, {way} at call {number}: {call}"
    ended = Fork(COMMANDS[name].words, folder, _settings(folder, WAYS[way] | {"FAULT_AT": number})).wait()
    started.check_stopped(what, folder, ended)
    if ended.status == 0:
        started.compare(f"{what}: status 0", folder, expected)
        return "had ended"
    if way == "killed":
        if ended.status != -signal.SIGKILL:
            started.fault(f"{what}: exit status {ended.status}", ended.errors)
    else:
        _check_message(started, what, ended)
    started.check_again(what, name, folder, expected)
    return way


def _check_message(started: Campaign, what: str, ended: Ended) -> None:
    last = "\n".join(ended.errors.splitlines()[-2:])
    if ended.status not in (1, 2):
        started.fault(f"{what}: exit status {ended.status}", ended.errors)
    elif not _SAYS_WHAT.search(last):
        started.fault(f"{what}: names no path or no remedy", last)


def _finished(started: Campaign, what: str, folder: Path, ended: Ended, expected: Undisturbed) -> None:
    started.check_stopped(what, folder, ended)
    if ended.status:
        started.fault(f"{what}: exit status {ended.status}", ended.errors)
    else:
        started.compare(what, folder, expected)


def _vanish(started: Campaign, name: str, moment: float, expected: Undisturbed) -> str:
    """Move the output folder away while a command writes to a slow disk, back, and run it again."""
    folder, what = started.folder(), f"{name}, vanished after {moment:.3f}"
    gone = folder.with_name(f"{folder.name}_gone")
    fork = Fork(COMMANDS[name].words, folder, _settings(folder, SLOW))
    start = time.monotonic()
    while not (folder / "out").exists() and time.monotonic() < start + 2 * expected.seconds:
        time.sleep(0.001)
    time.sleep(moment * expected.seconds / 2)
    if (folder / "out").exists():
        (folder / "out").rename(gone)
    ended = fork.wait()
    started.check_stopped(what, folder, ended)
    if ended.status not in (0, 1, 2):
        started.fault(f"{what}: exit status {ended.status}", ended.errors)
    if gone.exists():  # it comes back, without what was written meanwhile
        shutil.rmtree(folder / "out", ignore_errors=True)
        gone.rename(folder / "out")
    started.check_again(what, name, folder, expected)
    return "vanished"


def _fill(started: Campaign, name: str, expected: Undisturbed) -> int:
    """Run a command on a real disk with half of the space that it needs, then with enough; returns 1 if it could."""
    folder = started.folder()
    need = sum(-len(content) // 4096 * -4096 for content in expected.files.values())
    with _mounted(folder, max(need // 2, 8192) + 65536) as is_mounted:
        if not is_mounted:
            return 0
        (folder / "ballast").write_bytes(bytes(_free(folder) - need // 2 // 4096 * 4096))
        ended = Fork(COMMANDS[name].words, folder).wait()
        what = f"{name}, small disk"
        started.check_stopped(what, folder, ended)
        _check_message(started, what, ended)
        (folder / "ballast").unlink()
        subprocess.run(["mount", "-o", f"remount,size={ENOUGH}", folder], check=True)
        started.check_again(what, name, folder, expected)
    return 1


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free


@contextmanager
def _mounted(folder: Path, size: int) -> Iterator[bool]:
    """Mount a disk of some bytes at a folder that holds a link; whether it could be done."""
    target = os.readlink(folder / "inputs")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
    if shutil.which("mount") is None or subprocess.run(mount, stderr=subprocess.DEVNULL).returncode:
        yield False
        return
    try:
        os.symlink(target, folder / "inputs")
        yield True
    finally:
        subprocess.run(["umount", folder], check=True)


if __name__ == "__main__":
    sys.exit(main())
