"""What all verbs share: finding them, help, exit status, errors in one line."""

import argparse
import json
import re
import shlex
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import pytest

from salbench import cli
from salbench.cli import _main

ROOT = Path(__file__).resolve().parents[2]
VERBS = cli.verbs()


@cache
def parser() -> argparse.ArgumentParser:
    return cli.parser()


def pages() -> dict[str, argparse.ArgumentParser]:
    """The parser of each verb."""
    (action,) = [action for action in parser()._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(action.choices)


class TestVerbs:
    def test_a_verb_is_one_file(self, add_verb, salbench, capsys):
        add_verb("print('playing in', options.out); return 0")
        assert salbench("toy", "--out", "here") == 0
        assert capsys.readouterr().out == "playing in here\n"
        with pytest.raises(SystemExit):
            salbench("--help")
        assert re.search(r"^ +toy +Do what a toy does\.$", capsys.readouterr().out, re.MULTILINE)
        with pytest.raises(SystemExit):
            salbench("toy", "--help")
        page = capsys.readouterr().out
        assert "It has a description." in page
        assert "salbench toy --out DIR" in page

    def test_shared_modules_are_not_verbs(self):
        files = {path.stem for path in Path(cli.__file__).parent.glob("[!_]*.py")}
        assert set(VERBS) == files
        assert {"run", "list", "table"} < files

    @pytest.mark.parametrize("words", [[], ["--limit", "3"], ["--out=x"]])
    def test_run_is_the_default(self, words, salbench, monkeypatch):
        seen = []
        monkeypatch.setattr(VERBS["run"], "execute", lambda options: seen.append(options) or 0)
        assert salbench(*words) == 0
        assert seen[0].verb == "run"

    def test_a_wrong_verb_suggests_the_right_one(self, salbench, capsys):
        assert salbench("tabel", "--dataset", "osie") == 2
        error = capsys.readouterr().err
        assert error.startswith("error: unknown verb 'tabel'. Did you mean 'table'? Known: ablate, adapt, ")
        assert salbench("xyz") == 2
        assert "unknown verb 'xyz'. Known: ablate" in capsys.readouterr().err

    @pytest.mark.parametrize("verb", VERBS)
    def test_a_wrong_option_suggests_the_right_one(self, verb, salbench, capsys):
        """Even if a required option is missing because it was mistyped."""
        options = [name for action in pages()[verb]._actions for name in action.option_strings if len(name) > 6]
        for right in options:
            wrong = right[:3] + right[4:]
            with pytest.raises(SystemExit) as stop:
                salbench(verb, f"{wrong}=x")
            assert stop.value.code == 2
            error = capsys.readouterr().err.splitlines()[-1]
            assert error.startswith(
                f"salbench {verb}: error: unknown option '{wrong}'. Did you mean '{right}'? Known: --"
            )

    def test_the_default_verb_suggests_an_option_too(self, salbench, capsys):
        with pytest.raises(SystemExit):
            salbench("--datset", "osie_test")
        assert "unknown option '--datset'. Did you mean '--dataset'?" in capsys.readouterr().err

    def test_version(self, salbench, capsys):
        from salbench import __version__

        with pytest.raises(SystemExit) as stop:
            salbench("--version")
        assert stop.value.code == 0
        assert capsys.readouterr().out == f"salbench {__version__}\n"


class TestExitStatus:
    def test_of_the_verb(self, add_verb, salbench):
        add_verb("return 1")
        assert salbench("toy") == 1

    @pytest.mark.parametrize(
        ("error", "status", "message"),
        [
            ("KeyboardInterrupt", 130, "\nStopped. Finished work is kept; rerun the same command to resume.\n"),
            ("ValueError('expected x, got y')", 2, "error: expected x, got y\n"),
            ("__import__('salbench.registry').registry.MethodUnavailable('needs x')", 2, "error: needs x\n"),
            (
                "OSError(5, 'Input/output error')",
                2,
                "error: [Errno 5] Input/output error (writing under toys). Check this disk and its free space, or "
                "choose another --out. Finished work is kept; rerun the same command to resume.\n",
            ),
            (
                "OSError(30, 'Read-only file system', 'a.csv')",
                2,
                "error: [Errno 30] Read-only file system: 'a.csv'. Choose another --out, where you may write\n",
            ),
            (
                "MemoryError()",
                2,
                "error: not enough memory. Use smaller images, or fewer --workers and a smaller --batch-size\n",
            ),
            (
                "IsADirectoryError(21, 'Is a directory', 'a.csv')",
                2,
                "error: [Errno 21] Is a directory: 'a.csv'. Expected a file there, found a folder; move it away\n",
            ),
            (
                "OSError(40, 'Too many levels', 'a.csv')",
                2,
                "error: [Errno 40] Too many levels: 'a.csv'. Expected a file "
                "there, found a link that refers to itself; remove it\n",
            ),
            (
                "OSError(28, 'No space left on device')",
                2,
                "error: [Errno 28] No space left on device (writing under toys). Free some space, or choose another "
                "--out. Finished work is kept; rerun the same command to resume.\n",
            ),
            (
                "OSError(2, 'No such file or directory', 'a')",
                2,
                "error: [Errno 2] No such file or directory: 'a'. Expected a file there, found none; put it back, or "
                "remove a link to it\n",
            ),
        ],
    )
    def test_of_an_error(self, error, status, message, add_verb, salbench, capsys):
        add_verb(f"raise {error}")
        assert salbench("toy") == status
        assert capsys.readouterr().err == message

    def test_of_a_batch_system_that_stops_the_process(self, add_verb, salbench, capsys):
        add_verb("import os, signal, time; os.kill(os.getpid(), signal.SIGTERM); time.sleep(5)")
        before = signal.getsignal(signal.SIGTERM)
        assert salbench("toy") == 143
        assert capsys.readouterr().err == "\nStopped. Finished work is kept; rerun the same command to resume.\n"
        assert signal.getsignal(signal.SIGTERM) is before

    def test_of_ctrl_c_before_the_verb_is_executed(self, salbench, capsys, monkeypatch):
        def interrupted(names):
            raise KeyboardInterrupt

        monkeypatch.setattr(_main, "parser", interrupted)
        assert salbench("run") == 130
        assert capsys.readouterr().err.startswith("\nStopped.")

    def test_the_last_line_comes_after_those_of_progress_bars(self, add_verb, salbench, capsys):
        add_verb("from tqdm import tqdm; [(_ for _ in ()).throw(KeyboardInterrupt) for _ in tqdm(range(3))]")
        assert salbench("toy") == 130
        assert capsys.readouterr().err.splitlines()[-1].startswith("Stopped.")

    def test_outside_the_main_thread(self, add_verb, salbench):
        add_verb("return 0")
        with ThreadPoolExecutor() as pool:
            assert pool.submit(salbench, "toy").result() == 0

    def test_of_a_missing_package(self, add_verb, salbench, capsys):
        add_verb("import a_package_that_nobody_has")
        assert salbench("toy") == 2
        assert capsys.readouterr().err == (
            "error: needs a_package_that_nobody_has: python -m pip install a_package_that_nobody_has\n"
        )

    @pytest.mark.parametrize("lines", [1, 100_000])
    def test_of_a_reader_that_stops(self, lines, add_verb):
        """Both when the output waits in a buffer until the end, and when it is written on the way."""
        add_verb(f"print('a line\\n' * {lines}); return 0")
        code = f"import sys; from salbench import cli; cli.__path__ += {cli.__path__!r}; sys.exit(cli.main(['toy']))"
        with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=-1, stderr=-1, text=True) as process:
            process.stdout.close()
            error = process.stderr.read()
        assert (process.returncode, error) == (141, "")


def test_it_starts_from_a_file_in_another_folder():
    words = [sys.executable, "../benchmark.py", "list", "protocols"]
    finished = subprocess.run(words, cwd=ROOT / "docs", capture_output=True, text=True, check=True)
    assert "tuebingen" in finished.stdout


def test_it_starts_as_a_module():
    finished = subprocess.run([sys.executable, "-m", "salbench", "lst"], cwd=ROOT, capture_output=True, text=True)
    assert (finished.returncode, "Did you mean 'list'" in finished.stderr) == (2, True)


WITHOUT_TORCH = """
import contextlib, io, json, sys
sys.modules["torch"] = None
from salbench import cli

ended = []
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        ended.append([cli.main(words), out.getvalue(), err.getvalue()])
print(json.dumps(ended))
"""


def test_without_torch_networks_say_how_to_install_it(tmp_path, picture):
    """Commands in one process that cannot import torch."""
    predict = "predict", str(picture), "--out", str(tmp_path / "out"), "--method"
    commands = (
        ["fit", "--methods", "lite", "--dataset", "popout", "--out", str(tmp_path)],
        ["run", "--methods", "lite,uniform", "--limit", "1", "--out", str(tmp_path)],
        ["list", "methods", "--json"],
        [*predict, "lite"],
        [*predict, "spectral_residual"],
    )
    command = [sys.executable, "-c", WITHOUT_TORCH, json.dumps(commands)]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    (fit, _, fit_error), (run, run_printed, _), (_, listed, _), *predictions = json.loads(finished.stdout)
    needs = "needs torch: python -m pip install "
    assert (fit, run) == (2, 0)
    assert fit_error.startswith(f"error: {needs}")
    assert [status for status, _, _ in predictions] == [2, 0]
    assert needs in predictions[0][2]
    assert (tmp_path / "out" / "cat.png").exists()
    assert f"skipped lite: {needs}" in run_printed
    rows = {row["name"]: row for row in json.loads(listed)}
    assert rows["lite"]["skipped"] == f"{needs}'salbench[networks]'"
    for name in ("diffusion_readout", "diffusion_readout_fast"):  # also needs diffusers, which is imported later
        assert rows[name]["skipped"] == f"{needs}'salbench[diffusion]'"


def test_help_is_light():
    heavy = ("numpy", "torch", "pandas", "scipy", "numba", "PIL", "matplotlib")
    code = (
        f"import sys, salbench.cli as cli; cli.parser().format_help(); print([m for m in {heavy} if m in sys.modules])"
    )
    finished = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "[]"


class TestHelp:
    def test_of_salbench(self, salbench, monkeypatch, capsys):
        monkeypatch.setenv("COLUMNS", "100")
        with pytest.raises(SystemExit) as stop:
            salbench("--help")
        assert stop.value.code == 0
        page = capsys.readouterr().out
        for name, verb in VERBS.items():
            assert f"{name} " in page
            assert verb.__doc__.partition("\n")[0] in page
        assert len(examples(parser())) == 3

    @pytest.mark.parametrize("columns", ["60", "100", "250"])
    @pytest.mark.parametrize("verb", ["", *VERBS])
    def test_no_line_is_too_wide(self, verb, columns, monkeypatch):
        monkeypatch.setenv("COLUMNS", columns)
        page = (pages()[verb] if verb else parser()).format_help()
        text = page.partition("examples:")[0] if columns == "60" else page  # a command is not broken
        too_wide = [line for line in text.splitlines() if len(line) > min(int(columns), 100)]
        assert not [line for line in too_wide if not line.startswith("usage:")]

    @pytest.mark.parametrize("verb", VERBS)
    def test_a_page_says_what_the_verb_does_and_shows_it(self, verb):
        summary, blank, *description = VERBS[verb].__doc__.splitlines()
        assert summary.endswith((".", ")."))
        assert blank == ""
        assert description
        assert 2 <= len(examples(pages()[verb])) <= 4

    @pytest.mark.parametrize("verb", VERBS)
    def test_every_option_is_explained_with_its_default(self, verb):
        for action in pages()[verb]._actions:
            assert action.help, action.dest
            if action.default not in (None, False, "", 0, argparse.SUPPRESS):
                default = action.default[0] if action.default == [0] else action.default
                assert f"(default: {default}" in action.help, action.dest

    @pytest.mark.parametrize("verb", ["", *VERBS])
    def test_examples_can_be_parsed(self, verb):
        for example in examples(pages()[verb] if verb else parser()):
            name, *words = shlex.split(example, comments=True)
            assert name == "salbench"
            if words[0].startswith("-"):
                words.insert(0, "run")
            options = parser().parse_args(words)
            assert options.verb == (verb or options.verb)


def examples(parser: argparse.ArgumentParser) -> list[str]:
    """The commands at the end of a help page."""
    return parser.format_help().partition("\nexamples:\n")[2].splitlines()


class TestChoices:
    """Options repeat names from the library, because help may not import it. Here they are compared."""

    def choices(self, verb, name):
        return next(action.choices for action in pages()[verb]._actions if action.dest == name)

    def test_lists(self):
        from salbench import listing

        assert self.choices("list", "what") == tuple(listing.ROWS)

    @pytest.mark.parametrize("verb", ["show", "ablate"])
    def test_labels(self, verb):
        from salbench import augment

        assert self.choices(verb, "labels") == augment.LABELS

    @pytest.mark.parametrize("verb", ["fit", "ablate"])
    def test_losses(self, verb):
        from salbench.training.losses import EDIT_LOSSES

        (text,) = [action.help for action in pages()[verb]._actions if action.dest == "edit_losses"]
        named = text.partition(": ")[2].partition(" (")[0].split(", ")
        assert set(named) == set(EDIT_LOSSES)
