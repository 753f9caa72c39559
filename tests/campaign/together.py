"""Give a command twice at once, in one folder, and compare with one that ran alone. Also the cache and a download.

Each of the two ends as if it were alone, or is refused with one line. If one was refused, it is given again.
"""

import http.server
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from forked import Ended, Fork
from tqdm import tqdm
from trials import STRAY, Campaign, Undisturbed, campaign, chosen, finish, parser
from verbs import COMMANDS, cut_off

from salbench.datasets import osie
from salbench.files import user_cache

REFUSED = ("another process is", "is there already")  # what the line says


def main() -> int:
    """Run the campaign; returns 1 if it found a fault."""
    options = parser(__doc__)
    options.add_argument("--pairs", type=int, default=12, help="how often each command is given twice")
    options = options.parse_args()
    names, rng = chosen(options), random.Random(options.seed)
    others = {"the same cache": _cache, "data get": _download}
    counts: dict[str, Counter[str]] = {name: Counter() for name in (*names, *others)}
    with campaign() as started:
        undisturbed = {name: started.undisturbed(name) for name in names}
        for name in tqdm(names * options.pairs, desc="pairs", unit="pair"):
            with started.counting(counts[name]):
                counts[name][_pair(started, name, rng.random() ** 2, undisturbed[name])] += 1
        for name, pair in others.items():
            for _ in range(options.pairs):
                with started.counting(counts[name]):
                    counts[name][pair(started, rng.random())] += 1
    columns = ["both did it", "one was refused", "faults"]
    rows = [[name, *(counts[name][column] for column in columns)] for name in counts]
    return finish(["command", *columns], rows, started.faults)


def _pair(started: Campaign, name: str, delay: float, expected: Undisturbed) -> str:
    """Give a command twice, the second time after a part (0 to 1) of the time it takes; returns how that ended."""
    folder, words = started.folder(), COMMANDS[name].words
    forks = [Fork(words, folder)]
    time.sleep(delay * expected.seconds)
    forks.append(Fork(words, folder))
    ended = [fork.wait() for fork in forks]
    what = f"{name}, the second after {delay * expected.seconds:.3f} of {expected.seconds:.3f} s"
    for one in ended:
        if STRAY.search(one.output + one.errors) or (one.status and not _is_refused(one)):
            started.fault(f"{what}: ended with {one.status}", one.errors)
    for line in cut_off(folder):
        started.fault(f"{what}: {line}")
    started.compare(what, folder, expected)
    started.check_again(what, name, folder, expected)
    return "one was refused" if any(map(_is_refused, ended)) else "both did it"


def _is_refused(ended: Ended) -> bool:
    return ended.status in (1, 2) and any(line in ended.errors for line in REFUSED)


def _cache(started: Campaign, delay: float) -> str:
    """Let two processes parse one data set at once, and a third one read what they kept."""
    cache, folder = user_cache() / "parsed", started.folder()
    shutil.rmtree(cache, ignore_errors=True)
    words = "list images --dataset salicon_val --partial --data-root inputs/data"
    forks = [Fork(words, folder)]
    time.sleep(delay / 10)
    forks.append(Fork(words, folder))
    ended = [fork.wait() for fork in forks] + [Fork(words, folder).wait()]
    kept = sorted(path.name for path in cache.iterdir()) if cache.is_dir() else []
    if any(one.status or one.output != ended[0].output for one in ended) or len(kept) != 1:
        started.fault(f"the same cache: {[one.status for one in ended]}, kept {kept}", *(one.errors for one in ended))
    return "both did it"


def _download(started: Campaign, delay: float) -> str:
    """Download a data set twice at once, from a server in this process."""
    folder = started.folder()
    root = folder / "root"
    with _served(started.root / "inputs" / "data"):
        forks = [Fork("data get osie --data-root root", folder)]
        time.sleep(delay / 10)
        forks.append(Fork("data get osie --data-root root", folder))
        ended = [fork.wait() for fork in forks]
    for one in ended:
        if STRAY.search(one.output + one.errors) or not ("downloaded to" in one.output or _is_refused(one)):
            started.fault(f"data get: ended with {one.status}", one.errors)
    found = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    if found != {f"OSIE/SALICON/images/test/COCO_test2014_{i:012d}.jpg" for i in range(3)}:
        started.fault(f"data get: found {sorted(found)}")
    return "one was refused" if any(map(_is_refused, ended)) else "both did it"


@contextmanager
def _served(content: Path) -> Iterator[None]:
    """Serve a folder as the ZIP file of OSIE."""
    with tempfile.TemporaryDirectory() as site:
        shutil.make_archive(f"{site}/osie", "zip", content.parent, f"{content.name}/SALICON/images/test")
        handler = partial(_Quiet, directory=site)
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            before = osie.SOURCE
            osie.SOURCE = replace(before, archive=f"http://127.0.0.1:{server.server_port}/osie.zip", hash=None, sums={})
            try:
                yield
            finally:
                osie.SOURCE = before
                server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    sys.exit(main())
