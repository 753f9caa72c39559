"""Find the verbs, parse the command, execute one verb, and turn its errors into one line and an exit status."""

import argparse
import errno
import importlib
import logging
import os
import pkgutil
import shutil
import signal
import sys
import textwrap
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NoReturn

from salbench import __version__, cli
from salbench.cli import _options
from salbench.suggestions import suggestion

DEFAULT_VERB = "run"
WIDTH = 100  # columns of a help page on a wide terminal
_DESCRIPTION = """\
Score models that predict where people look.

Without a verb, salbench executes `run`. To see the options of a verb: salbench VERB --help
"""
_EXAMPLES = (
    "salbench --limit 5                               # every method on five images that come with it",
    "salbench list datasets                           # what can be scored, and what must be downloaded",
    "salbench run --methods lite --dataset osie_test --data-root DIR",
)
_RESUME = "Finished work is kept; rerun the same command to resume."
_REMEDIES = {  # by the error number of the operating system, for files that are written
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), f"Free some space, or choose another --out. {_RESUME}"),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), "Choose another --out, where you may write"),
    errno.EIO: f"Check this disk and its free space, or choose another --out. {_RESUME}",
}
_OTHER_FILES = {  # for files that are not what they should be
    errno.EISDIR: "Expected a file there, found a folder; move it away",
    errno.ENOENT: "Expected a file there, found none; put it back, or remove a link to it",
    errno.ENOTDIR: "Expected a folder there, found a file; move it away",
    errno.ELOOP: "Expected a file there, found a link that refers to itself; remove it",
    errno.ENAMETOOLONG: "Give it a shorter name",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Execute one command.

    Args:
        arguments: the words after `salbench`; by default those of this process.

    Returns:
        Exit status: 0 for success, 1 if something failed or nothing ran, 2 for an error, 130 after Ctrl-C, 141 if
        the reader of the output stopped reading, 143 after SIGTERM, with which batch systems stop a process.

    Raises:
        SystemExit: help was printed (status 0), or the options cannot be parsed (status 2).
    """
    try:
        with _terminable():
            return _main(arguments)
    except KeyboardInterrupt as stop:
        status = 143 if isinstance(stop, _Terminated) else 130
    # Here and not above: with the exception go the frames that it holds, whose progress bars print a last line.
    print(f"\nStopped. {_RESUME}", file=sys.stderr)
    return status


class _Terminated(KeyboardInterrupt):
    """SIGTERM came. What cleans up after Ctrl-C then cleans up here too."""


@contextmanager
def _terminable() -> Iterator[None]:
    """Raise an exception on SIGTERM. Only the main thread of a process can ask for that."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(*_: object) -> NoReturn:
    raise _Terminated


def _main(arguments: Sequence[str] | None) -> int:
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help", "--version")):
        words.insert(0, DEFAULT_VERB)
    known = verbs()
    if not words[0].startswith("-") and words[0] not in known:
        return _failed(suggestion("verb", words[0], known))
    options = parser(words[:1] if words[0] in known else None).parse_args(words)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # it logs every glyph of a figure
    return _execute(known[options.verb], options)


def parser(names: Sequence[str] | None = None) -> argparse.ArgumentParser:
    """The parser of some verbs, by default all. What it parses has `verb` and the options of that verb."""
    parser = argparse.ArgumentParser(
        "salbench", description=_DESCRIPTION, epilog=_examples(_EXAMPLES), formatter_class=_Formatter
    )
    parser.add_argument("--version", action="version", version=f"salbench {__version__}")
    subparsers = parser.add_subparsers(
        title="verbs", dest="verb", metavar="VERB", required=True, parser_class=_VerbParser
    )
    known = verbs()
    for name in known if names is None else names:
        verb = known[name]
        summary, _, description = (verb.__doc__ or "").partition("\n")
        subparser = subparsers.add_parser(
            name,
            help=summary,
            usage=f"salbench {name} {verb.USAGE}",
            description=f"{summary}\n{description}",
            epilog=_examples(verb.EXAMPLES),
            formatter_class=_Formatter,
        )
        verb.add_options(subparser)
    return parser


def verbs() -> dict[str, ModuleType]:
    """The module of each verb, by its name, sorted."""
    names = sorted(module.name for module in pkgutil.iter_modules(cli.__path__) if not module.name.startswith("_"))
    return {name: importlib.import_module(f"{cli.__name__}.{name}") for name in names}


class _VerbParser(argparse.ArgumentParser):
    """Takes whole option names only, and suggests one in place of an unknown one before any other complaint."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """See `argparse.ArgumentParser`."""
        known = [option for option in self._option_string_actions if option.startswith("--")]
        for word in args or ():
            option = word.partition("=")[0]
            if option.startswith("--") and option != "--" and option not in known:
                self.error(suggestion("option", option, known))
        return super().parse_known_args(args, namespace)


class _Formatter(argparse.HelpFormatter):
    """Fills paragraphs, keeps the line breaks of those with indented lines, and stays within `WIDTH` columns."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26, width=min(WIDTH, shutil.get_terminal_size().columns - 2))

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = text.strip().split("\n\n")
        return "\n\n".join(p if "\n  " in p else textwrap.fill(p, width) for p in paragraphs)


def _examples(lines: Iterable[str]) -> str:
    return "\n  ".join(("examples:", *lines))


def _execute(verb: ModuleType, options: argparse.Namespace) -> int:
    from tqdm.contrib.logging import logging_redirect_tqdm

    from salbench import optional_packages
    from salbench.registry import MethodUnavailable

    try:
        # log lines are printed between progress bars instead of into them
        with logging_redirect_tqdm(), _options.off_image(options), _options.partial(options), _options.cluster(options):
            status = verb.execute(options)
            sys.stdout.flush()  # a broken pipe shows here, not when Python exits
            return status
    except BrokenPipeError:  # such as `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except ConnectionError as error:  # to the workers of a cluster
        return _failed(str(error))
    except OSError as error:
        return _failed(_disk_trouble(error, options))
    except ModuleNotFoundError as error:
        return _failed(optional_packages.needs(error))
    except MemoryError:
        return _failed("not enough memory. Use smaller images, or fewer --workers and a smaller --batch-size")
    except (ValueError, MethodUnavailable) as error:
        return _failed(str(error))


def _disk_trouble(error: OSError, options: argparse.Namespace) -> str:
    place = f" (writing under {options.out})" if "out" in options and not error.filename else ""
    known = _OTHER_FILES | (_REMEDIES if "out" in options else {})
    remedy = known.get(error.errno or 0)
    return f"{error}{place}" + (f". {remedy}" if remedy else "")


def _failed(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2
