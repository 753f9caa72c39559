"""Kill commands at random moments, give the same command again, and compare with a command that nobody disturbed.

With --cluster, the commands that can do so work on a cluster. Half of the signals go to their client alone, half to all
processes of the command. No process may stay behind.
"""

import random
import signal
import sys
import time
from collections import Counter
from dataclasses import replace

from forked import Ended
from tqdm import tqdm
from trials import Campaign, Undisturbed, campaign, chosen, finish, parser
from verbs import COMMANDS

SIGNALS = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}  # the exit status that each leads to
SECONDS = 10  # in which the workers of a client that ended must end
STOPPED = "Stopped. Finished work is kept; rerun the same command to resume."


def main() -> int:
    """Run the campaign; returns 1 if it found a fault."""
    options = parser(__doc__)
    options.add_argument("--kills", type=int, default=200, help="number of kills, the same for each command")
    options.add_argument("--cluster", metavar="PLACE", help="kill clients of such a cluster, for example local:2")
    options = options.parse_args()
    names, moments = chosen(options), random.Random(options.seed)
    if options.cluster:
        names = [name for name in names if COMMANDS[name].clusters]
    counts: dict[str, Counter[str]] = {name: Counter() for name in names}
    with campaign(options.cluster) as started, tqdm(total=options.kills, desc="kills", unit="kill") as bar:
        undisturbed = {name: started.undisturbed(name) for name in names}
        while bar.n < options.kills:
            name, signal_ = names[bar.n % len(names)], moments.choice(list(SIGNALS))
            moment, alone = moments.random(), bool(options.cluster) and moments.random() < 0.5
            with started.counting(counts[name]):
                if (took := _kill(started, name, signal_, moment, alone, undisturbed[name])) is None:
                    counts[name][signal_.name] += 1
                    bar.update()
                else:
                    undisturbed[name] = replace(undisturbed[name], seconds=took)  # the machine is less busy now
    columns = [signal_.name for signal_ in SIGNALS] + ["faults"]
    rows = [[name, *(counts[name][column] for column in columns)] for name in names]
    return finish(["command", *columns], rows, started.faults)


def _kill(
    started: Campaign, name: str, number: signal.Signals, moment: float, alone: bool, expected: Undisturbed
) -> float | None:
    """Kill a command at a moment, 0 to 1, of its time, and run it again; returns its time if it had ended before."""
    folder, start = started.folder(), time.perf_counter()
    what = f"{name}, {number.name}{' alone' * alone} after {moment * expected.seconds:.3f} of {expected.seconds:.3f} s"
    fork = started.start(name, folder)
    time.sleep(moment * expected.seconds)
    fork.kill(number, alone=alone)
    ended = fork.wait()
    if not fork.has_gone(SECONDS):
        started.fault(f"{what}: processes were there {SECONDS} seconds later")
        fork.kill(signal.SIGKILL)
    answered = ended.status == -number != -signal.SIGKILL  # by Python: salbench had not begun, or had ended
    if answered and not (folder / "out").exists():
        return expected.seconds
    if ended.status == 0 or answered:
        started.compare(what, folder, expected)
        return time.perf_counter() - start
    started.check_stopped(what, folder, ended)
    _check_answer(started, what, number, ended)
    started.check_again(what, name, folder, expected)
    return None


def _check_answer(started: Campaign, what: str, number: signal.Signals, ended: Ended) -> None:
    """Check the exit status and the last line that the user sees."""
    if ended.status != SIGNALS[number]:
        started.fault(f"{what}: exit status {ended.status}", ended.errors)
    elif number != signal.SIGKILL and ended.errors.splitlines()[-1:] != [STOPPED]:
        started.fault(f"{what}: another last line", ended.errors)


if __name__ == "__main__":
    sys.exit(main())
