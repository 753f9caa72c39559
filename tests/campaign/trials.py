"""What all parts of the campaign share: the folders of a campaign, undisturbed runs to compare with, and the table."""

import argparse
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from forked import Ended, Fork, warm_up
from tabulate import tabulate
from verbs import COMMANDS, cut_off, new_folder, outputs, write_inputs

STRAY = re.compile(r"Traceback|Exception ignored|Fatal Python error|terminate called|core dumped")


@dataclass(frozen=True)
class Undisturbed:
    """A command that ran to its end: its files without times, how many seconds it took, and how it ended."""

    files: dict[str, bytes]
    seconds: float
    ended: Ended


@dataclass
class Campaign:
    """Inputs, and the folders of trials beside them.

    Attributes:
        root: the folder that holds them.
        cluster: where commands do their work, as for --cluster; by default in their process.
    """

    root: Path
    cluster: str | None = None
    faults: list[str] = field(default_factory=list)
    count: int = 0

    def folder(self) -> Path:
        """A new folder for a trial."""
        self.count += 1
        return new_folder(self.root / f"trial{self.count}", self.root)

    def start(self, name: str, folder: Path) -> Fork:
        """Start a command in a folder."""
        return _start(name, folder, self.cluster)

    def undisturbed(self, name: str) -> Undisturbed:
        """Run a command to its end, twice: the second run's time counts, because the first one loads what is needed.

        The first one works in its process, so what a cluster writes is compared too.
        """
        found = []
        for cluster in (None, self.cluster):
            folder, start = self.folder(), time.perf_counter()
            ended = _start(name, folder, cluster).wait()
            found.append(Undisturbed(outputs(folder), time.perf_counter() - start, ended))
        if found[0].files != found[1].files or found[1].ended.status or not found[1].files:
            raise RuntimeError(f"{name}: expected two equal runs without trouble, got {found[1].ended}")
        return found[1]

    def fault(self, what: str, *lines: str) -> None:
        """Record, and print, a fault of salbench."""
        self.faults.append(what)
        print(f"\nFAULT {what}", *(line for text in lines for line in text.splitlines()[-12:]), sep="\n    ")

    @contextmanager
    def counting(self, count: Counter[str]) -> Iterator[None]:
        """Count a trial in which faults are found under "faults"."""
        before = len(self.faults)
        yield
        count["faults"] += len(self.faults) > before

    def check_stopped(self, what: str, folder: Path, ended: Ended) -> None:
        """Check what a disturbed command left: no traceback, and no file that is not whole."""
        if ended.status is None or STRAY.search(ended.output + ended.errors):
            self.fault(f"{what}: ended badly ({ended.status})", ended.errors)
        for line in cut_off(folder):
            self.fault(f"{what}: {line}")

    def check_again(self, what: str, name: str, folder: Path, expected: Undisturbed) -> None:
        """Give the same command again, and compare all files with those of the undisturbed one."""
        ended = self.start(name, folder).wait()
        if ended.status != 0 or STRAY.search(ended.output + ended.errors):
            self.fault(f"{what}: the same command again ended with {ended.status}", ended.errors)
        else:
            self.compare(what, folder, expected)

    def compare(self, what: str, folder: Path, expected: Undisturbed) -> None:
        """Check that a folder holds the files of the undisturbed command, and no others."""
        try:
            found = outputs(folder)
        except Exception as error:
            self.fault(f"{what}: a file cannot be read at the end: {error}")
            return
        for path in sorted(found.keys() ^ expected.files.keys()):
            self.fault(f"{what}: {'left behind' if path in found else 'missing'}: {path}")
        for path in sorted(found.keys() & expected.files.keys()):
            if found[path] != expected.files[path]:
                self.fault(f"{what}: differs: {path}")


def _start(name: str, folder: Path, cluster: str | None) -> Fork:
    words = COMMANDS[name].words
    return Fork(f"{words} --cluster {cluster}", folder, afresh=True) if cluster else Fork(words, folder)


@contextmanager
def campaign(cluster: str | None = None) -> Iterator[Campaign]:
    """A campaign in a temporary folder, with a user's cache of its own."""
    with tempfile.TemporaryDirectory(prefix="salbench_campaign_") as folder:
        os.environ["XDG_CACHE_HOME"] = f"{folder}/cache"
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        started = Campaign(Path(folder), cluster)
        stdout = os.dup(1)
        with open(os.devnull, "w") as null:  # the progress of the inputs
            os.dup2(null.fileno(), 1)
            write_inputs(started.root)
            sys.stdout.flush()
            os.dup2(stdout, 1)
        yield started


def parser(description: str) -> argparse.ArgumentParser:
    """A parser with the options of every part: --seed and --commands."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="random seed")
    parser.add_argument(
        "--commands", default=",".join(COMMANDS), help="which of these commands to disturb, separated by commas"
    )
    return parser


def chosen(options: argparse.Namespace) -> list[str]:
    """The commands that were asked for; imports what they need."""
    names = options.commands.split(",")
    if unknown := [name for name in names if name not in COMMANDS]:
        raise SystemExit(f"--commands: expected some of {', '.join(COMMANDS)}, got {unknown[0]}")
    warm_up(torch=any(COMMANDS[name].needs_torch for name in names))
    return names


def finish(header: Sequence[str], rows: Sequence[Sequence[object]], faults: Sequence[str]) -> int:
    """Print the Markdown table with a last row of sums; returns 1 if there were faults."""
    sums = [sum(column) for column in list(zip(*rows, strict=True))[1:]]
    print("\n" + tabulate([*rows, ["all", *sums]], header, tablefmt="github"))
    for fault in faults:
        print(f"- {fault}")
    return int(bool(faults))
