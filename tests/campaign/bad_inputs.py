"""Damage small inputs in thousands of ways, give them to salbench, and count how it ends.

    python tests/campaign/bad_inputs.py --count 2000 --seed 0
    python tests/campaign/bad_inputs.py --seed 0 --case 17        # one case again, with all that was printed

Each case is one damaged file of one kind, one command, one process with 2 GB of memory and a minute of time. It must
end as a clear error with exit status 2, as a recorded failure with exit status 1, or with a right result. The table
counts these, and faults: anything else, an input that was changed, a file outside --out, or code that was executed.
"""

import argparse
import csv
import hashlib
import math
import os
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from forked import Ended
from inputs import KINDS, Kind, bounds
from mutations import CANARY, Mutation
from server import Server

OUTCOMES = ("refused clearly", "recorded", "right", "faults")
LINES = 2  # of an error
_REMEDY = re.compile(
    r"\b(expected|add|check|choose|convert|delete|download|edit|export|fetch|get|give|install|make|move|put|remove"
    r"|rename|replace|rerun|run|save|say|see|shrink|transpose|unpack|use|did you mean"
    r"|known|no such file|truncated or corrupt)\b",
    re.IGNORECASE,
)
_RECORDED = re.compile(r"^(failed|problem|broken|refused|skipped|not (edited|applied)|.*: .*fault|.*left out|\|)", re.M)
_SAFE_PARTS = ("out", "cache", "home", "tmp")  # of the sandbox, where a command may write


@dataclass(frozen=True)
class Case:
    """One damaged file. `number` and the seed of the campaign give it again."""

    number: int
    kind: Kind
    mutation: Mutation
    rng: np.random.Generator


@dataclass(frozen=True)
class Outcome:
    """How a case ended: one of `OUTCOMES`, and what is wrong if it is a fault."""

    case: Case
    target: str
    ended: Ended
    what: str
    fault: str = ""


class Base:
    """The valid inputs of a kind, and what the command gives for them.

    Args:
        folder: of the inputs.
        measure: executes the command on them and returns its scores.
    """

    def __init__(self, folder: Path, measure: Callable[[], Mapping[str, float]]) -> None:
        self.folder, self._measure = folder, measure

    @cached_property
    def scores(self) -> Mapping[str, float]:
        return self._measure()


def cases(count: int, seed: int, kinds: Sequence[Kind] = KINDS) -> Iterator[Case]:
    """The cases of a campaign: the kinds in turn, each with a mutation that is drawn."""
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        kind = kinds[number % len(kinds)]
        yield Case(number, kind, kind.every[rng.integers(len(kind.every))], rng)


class Campaign:
    """Runs cases in a folder.

    Args:
        server: that executes the commands.
        folder: for inputs and outputs.
    """

    def __init__(self, server: Server, folder: Path) -> None:
        self.server, self.folder = server, folder
        self._bases: dict[str, Base] = {}

    def run(self, case: Case) -> Outcome:
        """Damage one file, execute the command, and judge how it ended."""
        self.folder.mkdir(parents=True, exist_ok=True)
        base, sandbox = self._base(case.kind), self.folder / "case"
        shutil.copytree(base.folder, sandbox, symlinks=True)
        files = sorted(path for path in sandbox.glob(f"in/{case.kind.targets}") if path.is_file())
        target = files[case.rng.integers(len(files))]
        case.mutation.apply(target, case.rng)
        before = listing(sandbox)
        ended = self._executed(case.kind, sandbox)
        changes = changed(before, listing(sandbox))
        what, fault = (
            "faults",
            harm(changes, before, case.kind)
            or ("a file outside its folder" if (self.folder / "escaped").exists() else ""),
        )
        if not fault:
            what, fault = judged(ended, base, scores(sandbox, changes, ended), case, target)
        shutil.rmtree(sandbox)
        return Outcome(case, target.relative_to(sandbox).as_posix(), ended, "faults" if fault else what, fault)

    def _base(self, kind: Kind) -> Base:
        """The valid inputs of a kind, made at the first use."""
        if kind.name not in self._bases:
            folder = self.folder / f"base_{len(self._bases)}"
            for part in ("in", *_SAFE_PARTS):
                (folder / part).mkdir(parents=True)
            kind.build(folder / "in")
            self._bases[kind.name] = Base(folder, partial(self._measured, kind, folder))
        return self._bases[kind.name]

    def _measured(self, kind: Kind, folder: Path) -> Mapping[str, float]:
        """The scores of the valid inputs."""
        sandbox = self.folder / "whole"
        shutil.copytree(folder, sandbox)
        before, ended = listing(sandbox), self._executed(kind, sandbox)
        if ended.status != 0 or ended.crashed:
            raise RuntimeError(f"{kind.name}: expected a result of the valid input, got {ended}")
        found = scores(sandbox, changed(before, listing(sandbox)), ended)
        shutil.rmtree(sandbox)
        return found

    def _executed(self, kind: Kind, sandbox: Path) -> Ended:
        places = {"XDG_CACHE_HOME": "cache", "HOME": "home", "TMPDIR": "tmp"}
        environment = {name: str(sandbox / place) for name, place in places.items()}
        return self.server.run(kind.command, sandbox, seconds=60, environment=environment)


def listing(folder: Path) -> dict[str, str]:
    """{path: hash of its content, or what a link refers to} of all files below a folder."""
    found = {}
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(place) / name
            if path.is_symlink():
                content = os.readlink(path)
            else:
                content = "" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
            found[path.relative_to(folder).as_posix()] = content
    return found


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Names in two listings that differ."""
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def harm(changes: Sequence[str], before: Mapping[str, str], kind: Kind) -> str:
    """What a command did to files that are not its own; "" if nothing."""
    if any(CANARY in name for name in changes):
        return "code was executed"
    out = kind.command[kind.command.index("--out") + 1] if "--out" in kind.command else "out"
    for name in changes:
        if name.partition("/")[0] not in _SAFE_PARTS and not f"{name}/".startswith(f"{out}/"):
            return f"{'an input was changed' if name in before else 'a file outside --out'}: {name}"
    return ""


def scores(sandbox: Path, changes: Sequence[str], ended: Ended) -> dict[str, float]:
    """{file, row and column: number} of the numbers in the tables that were written, otherwise in what was printed."""
    found: dict[str, float] = {}
    for path in (sandbox / name for name in changes if name.endswith(".csv") and ended.status == 0):
        with open(path, newline="", encoding="utf-8") as file:
            for number, row in enumerate(csv.DictReader(file)):
                for column, cell in row.items():
                    if (value := _number(cell)) is not None:
                        found[f"{path.name}\n{number}\n{column}"] = value
    if not found:
        words = re.findall(r"[-+]?(?:\d+\.\d+|nan|inf)\b", ended.output)
        found = {f"printed\n{k}\n": float(word) for k, word in enumerate(words)}
    return found


def _number(cell: str | None) -> float | None:
    try:
        return float(cell) if cell else None
    except ValueError:
        return None


def judged(ended: Ended, base: Base, found: Mapping[str, float], case: Case, target: Path) -> tuple[str, str]:
    """One of `OUTCOMES`, and what is wrong; "" if nothing."""
    if ended.status is None:
        return "", "no end"
    if ended.status < 0:
        return "", f"killed by signal {-ended.status}"
    if ended.crashed:
        return "", "traceback"
    if ended.status == 0:
        return "right", wrong(found, base, case)
    if ended.status == 2:
        return "refused clearly", unclear(ended.errors, target)
    text = ended.output + ended.errors
    named = [target.name, target.stem, target.parent.name]
    is_recorded = _RECORDED.search(text.replace("\r", "\n")) and any(name in text for name in named)
    return "recorded", "" if is_recorded else "exit status 1 without a word on the file"


def wrong(found: Mapping[str, float], base: Base, case: Case) -> str:
    """What is wrong with the numbers of a result; "" if nothing."""
    for name, value in found.items():
        file, row, column = name.split("\n")
        low, high = bounds(file, column)
        if not (low - 1e-9 <= value <= high + 1e-9 and math.isfinite(value)) and value != base.scores.get(name):
            return f"a result of {value} for {column or file}, row {row}"
    exact = case.mutation.same or case.kind.exact
    if exact and found.keys() != base.scores.keys():
        return "other results than those of the whole file"
    other = [name for name in found if exact and not math.isclose(found[name], base.scores[name])]
    return f"another score than that of the whole file: {other[0]!r}" if other else ""


def unclear(errors: str, target: Path) -> str:
    """What is wrong with an error message; "" if nothing."""
    start = errors.rfind("error: ")
    if start < 0:
        return "exit status 2 without an error"
    message = errors[start:].rstrip("\n")
    lines = [line for line in message.split("\n") if not line.startswith("  ")]  # examples are indented
    if len(lines) > LINES:
        return f"an error of {len(lines)} lines"
    if not any(name in message for name in (target.name, target.parent.name, f"{target.parent.parent.name}/")):
        return "an error that does not name the file"
    return "" if _REMEDY.search(message) else "an error without a remedy"


def table(outcomes: Sequence[Outcome]) -> str:
    """A Markdown table of the outcomes by kind of file."""
    counts: dict[str, Counter[str]] = {}
    for outcome in outcomes:
        counts.setdefault(outcome.case.kind.name.partition(":")[0], Counter())[outcome.what] += 1
    counts["all"] = sum(counts.values(), Counter())
    lines = [f"| kind of file | tried | {' | '.join(OUTCOMES)} |", f"|---|{'---:|' * (1 + len(OUTCOMES))}"]
    for kind, number in counts.items():
        cells = [sum(number.values()), *(number[what] for what in OUTCOMES)]
        lines.append(f"| {kind} | {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def described(outcome: Outcome, whole: bool = False) -> str:
    """One line on an outcome, and if asked all that was printed."""
    case = outcome.case
    line = (
        f"case {case.number}: {case.kind.name}: {case.mutation.name}: {outcome.target}: {outcome.what} {outcome.fault}"
    )
    text = f"{outcome.ended.output}\n{outcome.ended.errors}"
    return f"{line}\nstatus {outcome.ended.status}\n{text}" if whole else f"{line}\n    {text[-600:].strip()!r}"


def main() -> int:
    """Run the campaign; returns 1 if there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000, metavar="N", help="number of cases (default: 2000)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="random seed (default: 0)")
    parser.add_argument("--kind", metavar="TEXT", help="only cases of kinds whose name holds this text")
    parser.add_argument("--case", type=int, metavar="N", help="only case N, with all that it prints")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="cases at the same time (default: 2)")
    options = parser.parse_args()
    count = options.count if options.case is None else options.case + 1
    chosen = [case for case in cases(count, options.seed) if options.case in (None, case.number)]
    chosen = [case for case in chosen if not options.kind or options.kind in case.kind.name]
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="campaign_") as folder, ExitStack() as stack:
        campaigns = [Campaign(stack.enter_context(Server()), Path(folder) / str(k)) for k in range(options.workers)]

        def work(k: int) -> None:
            for case in (case for case in chosen if KINDS.index(case.kind) % options.workers == k):
                outcomes.append(campaigns[k].run(case))
                if options.case is not None or outcomes[-1].fault:
                    print(f"\n{described(outcomes[-1], whole=options.case is not None)}", file=sys.stderr)
                print(f"\r{len(outcomes)} of {len(chosen)}", end="", file=sys.stderr, flush=True)

        with ThreadPoolExecutor(options.workers) as pool:
            try:
                list(pool.map(work, range(options.workers)))
            finally:  # also what was found before the campaign was stopped
                print(f"\n{table(sorted(outcomes, key=lambda outcome: outcome.case.number))}")
    return int(any(outcome.fault for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
