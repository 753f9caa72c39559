import subprocess
import sys

import numpy as np
import pytest

from salbench import plugins, registry
from salbench.registry import MethodProblem, MethodUnavailable, SaliencyMethod, register
from salbench.runtime import Runtime
from salbench.training_plan import Plan

HEAD = "from salbench.registry import MethodUnavailable, SaliencyMethod, register\n"
METHOD = HEAD + '@register\nclass Own(SaliencyMethod):\n    """One line."""\n    marker = {marker!r}\n'


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch):
    """Folders and methods that a test adds are forgotten after it."""
    monkeypatch.setattr(registry, "_FOLDERS", list(registry._FOLDERS))
    monkeypatch.setattr(registry, "_METHODS", dict(registry._METHODS))


@pytest.fixture
def folder(tmp_path):
    """An empty folder of methods, not yet added."""
    path = tmp_path / "own methods"
    path.mkdir()
    return path


def _method(path, marker=""):
    path.parent.mkdir(exist_ok=True)
    path.write_text(METHOD.format(marker=marker))


class TestAvailable:
    def test_methods_of_the_repository(self):
        names = registry.available()
        assert {"uniform", "center_bias", "spectral_residual", "from_folder", "inter_observer"} <= set(names)
        assert names == sorted(names)

    def test_listing_imports_nothing(self):
        program = (
            "import sys; from salbench import registry; names = registry.available(); "
            "unwanted = '_salbench_methods', 'methods', 'torch', 'pysaliency'; "
            "loaded = [m for m in sys.modules if m.startswith(unwanted)]; "
            "assert 'uniform' in names and not loaded, (names, loaded); "
            "registry.get('uniform'); "
            "loaded = [m for m in sys.modules if m.startswith('_salbench_methods') and '.' in m]; "
            "assert len(loaded) == 1 and loaded[0].endswith('.uniform'), loaded"
        )
        run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
        assert run.returncode == 0, run.stderr

    def test_a_file_that_cannot_be_imported_is_listed(self, folder):
        (folder / "broken.py").write_text("raise RuntimeError")
        registry.add_folder(folder)
        assert "broken" in registry.available()

    def test_underscored_and_other_files_are_not_methods(self, folder):
        for name in ("_helper.py", "notes.txt", "__init__.py"):
            (folder / name).write_text("raise RuntimeError")
        (folder / "empty").mkdir()
        _method(folder / "_hidden" / "__init__.py")
        before = registry.available()
        registry.add_folder(folder)
        assert registry.available() == before

    def test_without_the_default_folder(self, folder, monkeypatch):
        """As when only the package is installed."""
        monkeypatch.setattr(registry, "_FOLDERS", [folder / "nowhere"])
        assert registry.available() == []
        with pytest.raises(MethodProblem, match=r"unknown method 'uniform'\. Known: none$"):
            registry.get("uniform")
        _method(folder / "mine.py")
        registry.add_folder(folder)
        assert registry.available() == ["mine"]
        assert registry.create("mine").name == "mine"


class TestGet:
    def test_class_and_name(self, folder):
        _method(folder / "mine.py", marker="here")
        registry.add_folder(folder)
        cls = registry.get("mine")
        assert (cls.name, cls.marker, cls.__doc__) == ("mine", "here", "One line.")
        assert registry.get("mine") is cls

    @pytest.mark.parametrize(
        ("typed", "hint"),
        [("unifrom", "Did you mean 'uniform'"), ("centre_bias", "Did you mean 'center_bias'"), ("xyzzy", "Known: ")],
    )
    def test_unknown_name(self, typed, hint):
        with pytest.raises(MethodProblem, match=rf"unknown method '{typed}'\. {hint}.*spectral_residual"):
            registry.get(typed)

    @pytest.mark.parametrize("typed", ["all", "classical", "classical:lab"])
    def test_a_word_for_several_methods(self, typed):
        with pytest.raises(MethodProblem, match=r"expected the name of one method, got '(all|classical)', which"):
            registry.create(typed)

    @pytest.mark.parametrize("typed", ["", "../uniform", "uniform.py", "Uniform"])
    def test_nothing_but_a_name(self, typed):
        with pytest.raises(MethodProblem, match=f"unknown method '{typed}'"):
            registry.get(typed)

    def test_folder_with_a_submodule(self, folder):
        package = folder / "parts"
        _method(package / "__init__.py")
        with open(package / "__init__.py", "a") as file:
            file.write(
                "    def predict(self, sample):\n        from .deep import two\n        return two.TWO + three()\n"
            )
            file.write("from .helper import three\n")
        (package / "helper.py").write_text("from .deep.two import TWO\ndef three():\n    return TWO + 1\n")
        (package / "deep").mkdir()
        (package / "deep" / "__init__.py").write_text("")
        (package / "deep" / "two.py").write_text("TWO = 2\n")
        registry.add_folder(folder)
        assert registry.create("parts").predict(None) == 5

    def test_two_folders_with_submodules_of_the_same_name(self, folder):
        for name in ("one", "two"):
            _method(folder / name / "__init__.py")
            with open(folder / name / "__init__.py", "a") as file:
                file.write("    from .helper import VALUE\n")
            (folder / name / "helper.py").write_text(f"VALUE = {name!r}\n")
        registry.add_folder(folder)
        assert [registry.get(name).VALUE for name in ("one", "two")] == ["one", "two"]

    def test_two_methods_share_a_private_module(self, folder):
        (folder / "_shared.py").write_text("from ._deep.part import VALUE\n")
        (folder / "_deep").mkdir()
        (folder / "_deep" / "__init__.py").write_text("")
        (folder / "_deep" / "part.py").write_text("VALUE = object()\n")
        _method(folder / "one.py")
        with open(folder / "one.py", "a") as file:
            file.write("    from ._shared import VALUE\n")
        _method(folder / "two" / "__init__.py")
        with open(folder / "two" / "__init__.py", "a") as file:
            file.write("    from .._shared import VALUE\n")
        before = registry.available()
        registry.add_folder(folder)
        assert registry.get("one").VALUE is registry.get("two").VALUE
        assert set(registry.available()) - set(before) == {"one", "two"}

    def test_private_modules_of_the_same_name_in_two_folders(self, folder, tmp_path):
        for place, name in ((folder, "one"), (tmp_path / "other", "two")):
            _method(place / f"{name}.py")
            (place / "_shared.py").write_text(f"VALUE = {name!r}\n")
            with open(place / f"{name}.py", "a") as file:
                file.write("    from ._shared import VALUE\n")
            registry.add_folder(place)
        assert [registry.get(name).VALUE for name in ("one", "two")] == ["one", "two"]

    def test_a_broken_private_module_is_told_and_can_be_repaired(self, folder):
        _method(folder / "mine.py")
        with open(folder / "mine.py", "a") as file:
            file.write("    from . import _shared\n")
        registry.add_folder(folder)
        for source in (None, "1 / 0"):
            if source:
                (folder / "_shared.py").write_text(source)
            with pytest.raises(MethodProblem, match=r"mine\.py: cannot be imported: (ImportError|ZeroDivisionError)"):
                registry.get("mine")
        (folder / "_shared.py").write_text("VALUE = 3\n")
        assert registry.get("mine")._shared.VALUE == 3

    def test_a_missing_package_is_told_with_its_remedy(self, folder):
        (folder / "needy.py").write_text("import no_such_module.part")
        registry.add_folder(folder)
        with pytest.raises(MethodUnavailable, match="needs no_such_module: python -m pip install no_such_module"):
            registry.get("needy")

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ("def broken(:", "SyntaxError: "),
            ("1 / 0", "ZeroDivisionError: division by zero"),
            (METHOD.format(marker="") + "1 / 0", "ZeroDivisionError: division by zero"),
            (HEAD + "@register\nclass Own:\n    pass", "MethodProblem: Own: expected a subclass of SaliencyMethod"),
            ("from .sibling import x", "ImportError|ModuleNotFoundError"),
        ],
    )
    def test_broken_file(self, folder, source, message):
        (folder / "broken.py").write_text(source)
        registry.add_folder(folder)
        for _ in range(2):  # half an import must not count as one the second time
            with pytest.raises(MethodProblem, match=rf"broken\.py: cannot be imported: ({message})"):
                registry.get("broken")
        assert not [name for name in sys.modules if name.endswith(".broken")]

    def test_a_repaired_file_can_be_imported(self, folder):
        (folder / "mine.py").write_text("1 / 0")
        registry.add_folder(folder)
        with pytest.raises(MethodProblem, match="division by zero"):
            registry.get("mine")
        _method(folder / "mine.py", marker="repaired")
        assert registry.get("mine").marker == "repaired"

    def test_nothing_registered(self, folder):
        (folder / "mine.py").write_text(METHOD.format(marker="").replace("@register", ""))
        registry.add_folder(folder)
        with pytest.raises(MethodProblem, match=r"mine\.py: expected one class with @register, found none"):
            registry.get("mine")

    def test_two_registered(self, folder):
        second = "@register\nclass Second(SaliencyMethod):\n    pass\n"
        (folder / "mine.py").write_text(METHOD.format(marker="") + second)
        registry.add_folder(folder)
        for _ in range(2):
            with pytest.raises(MethodProblem, match="expected one registered method per file, got a second, Second"):
                registry.get("mine")


class TestCreate:
    def test_without_and_with_argument(self, folder):
        (folder / "mine.py").write_text(
            METHOD.format(marker="") + "    def __init__(self, argument='none'):\n        self.variant = argument\n"
        )
        registry.add_folder(folder)
        assert registry.create("mine").label == "mine+none"
        assert registry.create("mine:a:b").label == "mine+a:b"

    def test_which_need_an_argument(self, folder):
        (folder / "needs.py").write_text(
            METHOD.format(marker="") + "    def __init__(self, place):\n        self.place = place\n"
        )
        (folder / "may.py").write_text(METHOD.format(marker="") + "    def __init__(self, *given):\n        pass\n")
        (folder / "broken.py").write_text("raise RuntimeError")
        registry.add_folder(folder)
        needing = {name for name in registry.available() if registry.needs_argument(name)}
        assert needing == {"command", "from_folder", "needs", "onnx", "pysaliency"}
        assert registry.create("needs").place == ""

    def test_label_without_variant(self):
        assert registry.create("uniform").label == "uniform"

    @pytest.mark.parametrize("spec", ["uniform:3", "uniform:"])
    def test_argument_where_none_is_taken(self, spec):
        with pytest.raises(MethodProblem, match=f"uniform takes no argument, got '{spec[8:]}'"):
            registry.create(spec)

    def test_what_is_missing_comes_through(self, folder):
        body = "    def __init__(self):\n        raise MethodUnavailable('weights of mine: get them from X')\n"
        (folder / "mine.py").write_text(METHOD.format(marker="") + body)
        registry.add_folder(folder)
        with pytest.raises(MethodUnavailable, match="weights of mine: get them from X"):
            registry.create("mine")


class TestAddFolder:
    def test_twice_is_once(self, folder):
        _method(folder / "mine.py")
        registry.add_folder(folder)
        registry.add_folder(str(folder / ".." / folder.name))
        assert registry._FOLDERS.count(folder.resolve()) == 1
        assert registry.available().count("mine") == 1

    def test_no_such_folder(self, folder):
        with pytest.raises(MethodProblem, match="nowhere: expected a folder of method files"):
            registry.add_folder(folder / "nowhere")

    def test_a_file(self, folder):
        _method(folder / "mine.py")
        with pytest.raises(MethodProblem, match=r"mine\.py: expected a folder of method files"):
            registry.add_folder(folder / "mine.py")

    def test_a_name_that_is_taken(self, folder):
        _method(folder / "mine.py")
        _method(folder / "uniform" / "__init__.py")
        with pytest.raises(MethodProblem, match=r"own methods: the name 'uniform' is taken by .*uniform\.py; rename"):
            registry.add_folder(folder)
        assert "mine" not in registry.available()

    def test_a_name_taken_by_another_added_folder(self, folder, tmp_path):
        for path in (folder, tmp_path / "other"):
            _method(path / "mine.py")
        registry.add_folder(folder)
        with pytest.raises(MethodProblem, match=r"other: the name 'mine' is taken by .*own methods/mine\.py"):
            registry.add_folder(tmp_path / "other")


class TestCodeHash:
    def test_changes_with_the_file_only(self, folder):
        _method(folder / "mine.py", marker="a")
        _method(folder / "other.py")
        registry.add_folder(folder)
        first = registry.code_hash("mine")
        assert len(first) == 16
        _method(folder / "other.py", marker="changed")
        assert registry.code_hash("mine") == first
        _method(folder / "mine.py", marker="b")
        assert registry.code_hash("mine") != first
        _method(folder / "mine.py", marker="a")
        assert registry.code_hash("mine") == first

    def test_does_not_depend_on_the_place(self, folder, tmp_path):
        for path in (folder, tmp_path / "copy"):
            _method(path / "mine.py")
        registry.add_folder(folder)
        first = registry.code_hash("mine")
        registry._FOLDERS[-1] = tmp_path / "copy"
        assert registry.code_hash("mine") == first

    def test_of_a_folder_changes_with_every_python_file(self, folder):
        _method(folder / "parts" / "__init__.py")
        (folder / "parts" / "deep").mkdir()
        helper = folder / "parts" / "deep" / "helper.py"
        registry.add_folder(folder)
        hashes = [registry.code_hash("parts")]
        for content in ("A = 1\n", "A = 2\n"):
            helper.write_text(content)
            hashes.append(registry.code_hash("parts"))
        helper.rename(helper.with_name("renamed.py"))
        hashes.append(registry.code_hash("parts"))
        assert len(set(hashes)) == 4

    @pytest.mark.parametrize(
        ("method", "statement"),
        [
            ("mine.py", "from ._a import A"),
            ("mine.py", "from . import _a"),
            ("mine.py", "def f():\n    from ._a import *"),
            ("mine/__init__.py", "from .._a import A"),
            ("mine/__init__.py", "from .deep import other"),
        ],
    )
    def test_changes_with_what_is_imported_and_with_what_that_imports(self, folder, method, statement):
        (folder / method).parent.mkdir(exist_ok=True)
        (folder / method).write_text(f"{statement}\n")
        if method != "mine.py":
            (folder / "mine" / "deep.py").write_text("from .._a import A as other\n")
        (folder / "_b").mkdir()
        files = {"_a.py": "from ._b.part import A\n", "_b/__init__.py": "B = 1\n", "_b/part.py": "from .. import _c\n"}
        files |= {"_c.py": "from ._a import A\n", "_unused.py": "A = 1\n"}  # a circle ends
        for name, content in files.items():
            (folder / name).write_text(content)
        registry.add_folder(folder)
        first = registry.code_hash("mine")
        for name, content in files.items():
            (folder / name).write_text(content + "changed = 1\n")
            assert (registry.code_hash("mine") == first) == (name == "_unused.py"), name
            (folder / name).write_text(content)
        assert registry.code_hash("mine") == first

    def test_does_not_import(self, folder):
        (folder / "broken.py").write_text("1 / 0")
        registry.add_folder(folder)
        assert len(registry.code_hash("broken")) == 16


class TestFitAtRun:
    """`fit_at_run` of a method that remembers what it was fitted on."""

    class Fitted(SaliencyMethod):
        fits_at_run = True

        def fit(self, samples, plan):
            self.saw = [s.id for s in samples], plan.dataset

    def test_on_the_training_split(self, tiny, mixed):
        method = self.Fitted()
        said = registry.fit_at_run(method, tiny, lambda: mixed)
        assert method.saw == ([s.id for s in mixed.samples], "mixed")
        assert said == f"mixed {mixed.fingerprint}"

    def test_on_the_scored_split_where_there_is_no_other(self, tiny):
        method = self.Fitted()
        said = registry.fit_at_run(method, tiny, lambda: None)
        assert method.saw == ([s.id for s in tiny.samples], "tiny")
        assert said == f"tiny {tiny.fingerprint} (leave one image out)"

    def test_a_ceiling_on_the_scored_split(self, tiny, mixed):
        method = self.Fitted()
        method.sees_fixations = True
        said = registry.fit_at_run(method, tiny, lambda: mixed)
        assert method.saw == ([s.id for s in tiny.samples], "tiny")
        assert said == f"tiny {tiny.fingerprint} (leave one observer out)"

    def test_nothing_to_fit_on(self, tiny, make_dataset):
        blind = make_dataset([s.blind() for s in tiny.samples])
        with pytest.raises(MethodUnavailable, match="needs fixations to fit on: a training split is not on disk"):
            registry.fit_at_run(self.Fitted(), blind, lambda: None)

    def test_another_method_is_left_alone(self, tiny):
        def train():
            raise AssertionError("opened for nothing")

        assert registry.fit_at_run(registry.create("uniform"), tiny, train) is None


class TestSaliencyMethod:
    def test_what_a_subclass_need_not_say(self):
        method = SaliencyMethod()
        assert (method.output, method.sees_fixations, method.fits_at_run) == ("map", False, False)
        assert method.weights_hash() is None
        assert (method.checkpoints, method.runtime, method.untrained) == ((), Runtime(), False)

    def test_no_random_weights(self):
        with pytest.raises(MethodUnavailable, match="is not a network"):
            registry.create("uniform", Runtime(init="random"))

    def test_nothing_to_fit(self):
        with pytest.raises(MethodProblem, match="uniform cannot be trained"):
            registry.create("uniform").fit([], Plan())

    @pytest.mark.parametrize("method", ["predict", "predict_held_out"])
    def test_not_written(self, method):
        with pytest.raises(NotImplementedError):
            getattr(SaliencyMethod(), method)(None)

    def test_register_outside_a_method_file(self):
        cls = type("Own", (SaliencyMethod,), {"__module__": "a.b.my_name", "predict": lambda self, s: np.ones((2, 2))})
        assert register(cls) is cls
        assert cls.name == "my_name"


BRIGHT = METHOD.format(marker="bright")


class TestEntryPoints:
    """Methods of installed packages: a package is a folder on the path with its metadata beside it."""

    @pytest.fixture
    def install(self, tmp_path, monkeypatch):
        site = tmp_path / "site"
        monkeypatch.syspath_prepend(str(site))

        def add(package, entries, files):
            for name, content in files.items():
                path = site / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content)
            info = site / f"{package}-1.0.dist-info"
            info.mkdir(parents=True)
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
            (info / "entry_points.txt").write_text("[salbench.methods]\n" + "\n".join(entries) + "\n")
            plugins.declared.cache_clear()

        yield add
        plugins.declared.cache_clear()

    def test_a_method_of_a_package_is_listed_and_made(self, install):
        install("nice-maps", ["nice_bright = nice_maps.nice_bright"], {"nice_maps/nice_bright.py": BRIGHT})
        assert "nice_bright" in registry.available()
        assert "nice_maps.nice_bright" not in sys.modules, "listing imports nothing"
        assert registry.create("nice_bright").label == "nice_bright"
        assert len(registry.code_hash("nice_bright")) == 16

    def test_a_name_that_salbench_has(self, install):
        install("rude", ["uniform = rude.uniform"], {"rude/uniform.py": BRIGHT})
        with pytest.raises(MethodProblem, match="'uniform' is defined by salbench and by rude"):
            registry.get("uniform")
        assert registry.create("center_bias").label == "center_bias"

    def test_a_name_that_two_packages_have(self, install):
        install("one", ["twin = one.twin"], {"one/twin.py": BRIGHT})
        install("two", ["twin = two.twin"], {"two/twin.py": BRIGHT})
        with pytest.raises(MethodProblem, match=r"'twin' is defined by (one and by two|two and by one)"):
            registry.get("twin")

    def test_a_module_of_another_name(self, install):
        install("odd", ["short = odd.longer"], {"odd/longer.py": BRIGHT})
        with pytest.raises(MethodProblem, match=r"package odd, .*odd\.longer: expected a module whose last part"):
            registry.get("short")

    def test_a_module_that_is_not_there_breaks_no_other(self, install):
        install("hollow", ["nothing_there = hollow_maps.nothing_there"], {})
        assert registry.create("uniform").label == "uniform"
        with pytest.raises(MethodProblem, match=r"package hollow, .* cannot be imported"):
            registry.get("nothing_there")


class TestGroups:
    def test_members_of_a_group(self):
        assert "spectral_residual" in registry.members("classical")
        assert not {"center_bias", "lite", "from_folder"} & set(registry.members("classical"))

    def test_all_are_the_methods_that_need_no_argument(self):
        others = set(registry.available()) - set(registry.members("all"))
        assert others == {"command", "from_folder", "onnx", "pysaliency"}

    def test_an_unknown_group_is_refused(self, folder):
        (folder / "own.py").write_text(METHOD.format(marker=1) + '    group = "classic"\n')
        registry.add_folder(folder)
        with pytest.raises(MethodProblem, match=r"Own\.group: expected one of all, classical, got 'classic'"):
            registry.get("own")
