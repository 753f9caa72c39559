"""Any program that reads a picture and writes a map: scripts, MATLAB, Docker."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

import numpy as np
from PIL import Image

from salbench.files import MAP_SUFFIXES, hash_bytes, hash_file, read_map
from salbench.registry import OUTPUTS, MethodProblem, MethodUnavailable, SaliencyMethod, register
from salbench.sample import Sample

USE = 'command:"PROGRAM {image} {map}"'
SECONDS = 600  # that a program may take for one image
LAST = 2000  # bytes at the end of what a program printed, of which errors show the last lines
LINES = 5
_NAME = re.compile(r"(?P<name>[\w.+-]+)=(?P<rest>.*)", re.DOTALL)
_MAP = re.compile(r"\{map(?P<suffix>\.\w+)?\}")


@register
class Command(SaliencyMethod):
    """Any program: command:"PROGRAM {image} {map}" reads a PNG and writes a map."""

    output = "map"

    def __init__(self, argument: str) -> None:
        """Split the command into its words, as a shell does. No shell runs it.

        Args:
            argument: the command, after NAME= and OUTPUT: if wanted, perhaps in double quotes. {image} stands for the
                path of a PNG, {map} for that of the PNG to write, {map.npy} for an NPY file, and so on. NAME labels the
                row in tables, by default the program's name does. OUTPUT is "map" (the default), "density" or
                "log_density".

        Raises:
            MethodUnavailable: no command is given, or there is no such program.
            MethodProblem: {image} or {map} is missing, or quotes do not match.
        """
        if not argument:
            raise MethodUnavailable(f"needs a command: --methods '{USE}'")
        named = _NAME.fullmatch(argument)
        name, rest = (named["name"], named["rest"]) if named else ("", argument)
        output, _, command = rest.partition(":")
        self.output, rest = (output, command) if output in OUTPUTS else ("map", rest)
        self._words = _words(rest)
        program = shutil.which(self._words[0])
        if program is None:
            raise MethodUnavailable(f"needs the program {self._words[0]}, which is not on the PATH")
        self._program = Path(program)
        self.variant = name or self._program.stem

    def weights_hash(self) -> str:
        """16 hex digits of the command, and of the files that it names, such as a script, wherever they are."""
        files = [path for path in (self._program, *map(Path, self._words[1:])) if path.is_file()]
        return hash_bytes(self.output, *self._words, *map(hash_file, files))

    def predict(self, sample: Sample) -> np.ndarray:
        """The map that the program writes.

        Raises:
            RuntimeError: the program fails, takes too long, or writes no map. The message holds its last lines.
            FileProblem: what it writes is no map.
        """
        with TemporaryDirectory(prefix="salbench_") as folder, open(Path(folder) / "printed.txt", "w+b") as printed:
            image, (words, map_) = Path(folder) / "image.png", self._filled(Path(folder))
            Image.fromarray(sample.image).save(image)
            self._run(words, printed)
            if not map_.exists():
                raise RuntimeError(f"{self._program.name}: expected a map in {{map}}, found none{_end(printed)}")
            return read_map(map_, f"{{map}} of {self._program.name}, {map_.name}")

    def _filled(self, folder: Path) -> tuple[list[str], Path]:
        """The words of the command for one image, and the path of its map."""
        suffixes = [match["suffix"] or ".png" for word in self._words for match in _MAP.finditer(word)]
        map_ = folder / f"map{suffixes[0]}"
        words = [word.replace("{image}", str(folder / "image.png")) for word in self._words]
        return [_MAP.sub(lambda _: str(map_), word) for word in words], map_

    def _run(self, words: list[str], printed: IO[bytes]) -> None:
        try:
            done = subprocess.run(
                words, stdin=subprocess.DEVNULL, stdout=printed, stderr=subprocess.STDOUT, timeout=SECONDS
            )
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"{self._program.name}: stopped after {SECONDS} s{_end(printed)}") from error
        if done.returncode:
            raise RuntimeError(f"{self._program.name}: exit status {done.returncode}{_end(printed)}")


def _words(text: str) -> list[str]:
    """The words of a command, perhaps in double quotes as a whole."""
    whole = re.fullmatch(r'"([^"]*)"', text.strip())
    try:
        words = shlex.split(whole[1] if whole else text)
    except ValueError as error:
        raise MethodProblem(f"command:{text}: expected quotes in pairs: {error}") from error
    suffixes = {match["suffix"] or ".png" for word in words for match in _MAP.finditer(word)}
    if not any("{image}" in word for word in words) or len(suffixes) != 1 or not suffixes <= set(MAP_SUFFIXES):
        raise MethodProblem(
            f"command:{text}: expected {{image}} and {{map}}, or {{map.npy}} with one of {', '.join(MAP_SUFFIXES)}, as "
            f"in {USE}"
        )
    return words


def _end(printed: IO[bytes]) -> str:
    """The last lines that a program printed, after a colon."""
    size = printed.seek(0, 2)
    printed.seek(max(0, size - LAST))
    lines = printed.read().decode(errors="replace").strip().splitlines()
    return f"; it printed: {' | '.join(lines[-LINES:])}" if lines else "; it printed nothing"
