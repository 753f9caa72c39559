"""Any program as a method."""

import os
import shlex
import sys
import time

import pytest
from numpy.testing import assert_array_equal

from salbench import registry
from salbench.evaluation import Evaluation
from salbench.files import FileProblem
from salbench.protocol import PROTOCOLS
from salbench.registry import MethodProblem, MethodUnavailable
from salbench.runtime import Runtime

PYTHON = shlex.quote(sys.executable)
HEAD = "import sys\nimport numpy as np\nfrom PIL import Image\nimage = np.asarray(Image.open(sys.argv[1]))\n"
GREY = HEAD + "Image.fromarray(image[..., 0]).save(sys.argv[2])\n"
ARRAY = HEAD + "np.save(sys.argv[2], image.mean(axis=2) - 3)\n"


@pytest.fixture
def sample(make_samples):
    return make_samples([(24, 32)])[0].blind()


@pytest.fixture
def script(tmp_path):
    """A function of Python code: the start of a command that runs it."""

    def write(code, name="prog.py"):
        (tmp_path / name).write_text(code)
        return f"{PYTHON} {shlex.quote(str(tmp_path / name))}"

    return write


class TestPredict:
    @pytest.mark.parametrize("typed", ["{}", '"{}"', "mine={}", 'mine="{}"', 'mine=map:"{}"'])
    def test_a_picture(self, script, sample, typed):
        method = registry.create("command:" + typed.format(script(GREY) + " {image} {map}"))
        assert_array_equal(method.predict(sample), sample.image[..., 0])
        assert method.label == ("command+mine" if "mine" in typed else f"command+{os.path.basename(sys.executable)}")

    @pytest.mark.parametrize("output", ["", "density:", "log_density:"])
    def test_an_array(self, script, sample, output):
        method = registry.create(f"command:{output}{script(ARRAY)} {{image}} {{map.npy}}")
        assert_array_equal(method.predict(sample), sample.image.mean(axis=2) - 3)
        assert method.output == (output.rstrip(":") or "map")

    def test_words_are_not_for_a_shell(self, script, sample, tmp_path):
        code = HEAD + "assert sys.argv[3:] == ['a  b', '$HOME', ';', 'x,y'], sys.argv\n" + GREY
        method = registry.create(f"command:{script(code)} {{image}} {{map}} 'a  b' $HOME ';' x,y")
        assert method.predict(sample).shape == (24, 32)

    def test_the_folder_goes_away(self, script, sample, tmp_path):
        seen = tmp_path / "seen.txt"
        code = f"{GREY}open({str(seen)!r}, 'w').write(sys.argv[1])\n"
        registry.create(f"command:{script(code)} {{image}} {{map}}").predict(sample)
        assert not os.path.exists(os.path.dirname(seen.read_text()))


class TestFailures:
    def test_status_and_last_lines(self, script, sample):
        code = "import sys\nfor i in range(20): print('line', i, flush=True)\nsys.exit('no licence')"
        method = registry.create(f"command:{script(code)} {{image}} {{map}}")
        with pytest.raises(RuntimeError, match=r"exit status 1; it printed: line 16 \| line 17 \| .* \| no licence$"):
            method.predict(sample)

    def test_no_map(self, script, sample):
        method = registry.create(f"command:{script('pass')} {{image}} {{map}}")
        with pytest.raises(RuntimeError, match=r"expected a map in \{map\}, found none; it printed nothing"):
            method.predict(sample)

    def test_no_picture(self, script, sample):
        code = "import sys; open(sys.argv[2], 'w').write('text')"
        method = registry.create(f"command:{script(code)} {{image}} {{map}}")
        with pytest.raises(FileProblem, match=r"\{map\} of .*map\.png: not a readable picture"):
            method.predict(sample)

    def test_a_time_limit(self, script, sample, monkeypatch):
        method = registry.create(f"command:{script('import time; time.sleep(60)')} {{image}} {{map}}")
        monkeypatch.setattr(sys.modules[type(method).__module__], "SECONDS", 0.5)
        start = time.perf_counter()
        with pytest.raises(RuntimeError, match=r"stopped after 0\.5 s; it printed nothing"):
            method.predict(sample)
        assert time.perf_counter() - start < 20

    def test_one_image_fails(self, script, tiny, tmp_path):
        code = HEAD + f"assert image[0, 0, 0] != {tiny.samples[1].image[0, 0, 0]}, 'no such colour'\n" + GREY
        spec = f"command:mine={script(code)} {{image}} {{map}}"
        result = Evaluation(tiny, PROTOCOLS["mit"], tmp_path / "out", Runtime(progress=False)).run(spec)
        assert "image_1" in result.failures
        assert "exit status 1; it printed: " in result.failures["image_1"]
        assert "AssertionError: no such colour" in result.failures["image_1"]


class TestSpec:
    def test_through_the_command_line(self, script, tmp_path, monkeypatch):
        from salbench import cli

        code = HEAD + "assert sys.argv[3] == 'x,y'\n" + GREY
        spec = f'uniform,command:mine="{script(code)} {{image}} {{map}} x,y"'
        assert cli.main(["run", "--methods", spec, "--limit", "2", "--out", str(tmp_path / "out")]) == 0
        assert (tmp_path / "out" / "popout_first2" / "command+mine.json").exists()

    @pytest.mark.parametrize(
        ("argument", "message"),
        [
            ("prog {image}", "expected {image} and {map}"),
            ("prog {map}", "expected {image} and {map}"),
            ("prog {image} {map.txt}", "with one of .png, "),
            ("prog {image} {map.npy} {map.png}", "expected {image} and {map}"),
            ("prog 'a {image} {map}", "expected quotes in pairs"),
        ],
    )
    def test_what_is_no_command(self, argument, message):
        with pytest.raises(MethodProblem, match=message):
            registry.create(f"command:{argument}")

    def test_what_is_not_there(self):
        with pytest.raises(MethodUnavailable, match="needs the program no_such_program, which is not on the PATH"):
            registry.create("command:no_such_program {image} {map}")
        with pytest.raises(MethodUnavailable, match="needs a command: --methods 'command:\"PROGRAM"):
            registry.create("command")

    def test_the_hash_is_that_of_the_command_and_its_files(self, script):
        def hash_of(code, more=""):
            return registry.create(f"command:{script(code)} {{image}} {{map}} {more}").weights_hash()

        assert hash_of(GREY) == hash_of(GREY)
        assert len({hash_of(GREY), hash_of(GREY, "-v"), hash_of(ARRAY)}) == 3
