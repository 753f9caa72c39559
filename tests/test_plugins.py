"""Data sets and augmentations of other installed packages, which are fake distributions on disk here."""

import sys
import tomllib

import numpy as np
import pytest

from salbench import augment, datasets, plugins
from salbench.augment import AugmentationProblem
from salbench.augment.catalog import GROUP as AUGMENTATIONS
from salbench.datasets import GROUP as DATASETS
from salbench.datasets import DatasetProblem
from salbench.registry import GROUP as METHODS

SET = """
import numpy as np
from salbench.datasets import Dataset, Row
from salbench.sample import Sample

ROW = Row("{module}", "small", "Two grey images.", train="popout")
FOLDER_ROW = Row("{module}", "small", "Two grey images.", takes_folder=True)
NO_LOADER = Row("{module}.nowhere", "small", "No module.")
NUMBER = 3

def load(split, root):
    read = lambda: np.zeros((4, 6, 3), np.uint8)
    samples = [Sample(f"{{split}}_{{i}}", (4, 6), read, np.ones((3, 2)), sigma=1.0) for i in range(2)]
    return Dataset("a name of its own", samples, gaze="none", licence="CC0", citation=str(root))
"""
FOG = """
import numpy as np
from salbench.augment import photometric

@photometric
def fog(image, rng, *, grey=200):
    '''Half fog.'''
    return ((image.astype(int) + grey) // 2).astype(np.uint8)
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """A function that installs, for one test, a package of one module `text` with one entry point."""
    installed = []

    def install(package, text, group, name, value):
        site = tmp_path / f"site_{package}"
        info = site / f"{package}-1.0.dist-info"
        info.mkdir(parents=True)
        (site / f"{package}.py").write_text(text)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {package}:{value}\n")
        monkeypatch.syspath_prepend(site)
        installed.append(package)
        plugins.declared.cache_clear()

    yield install
    for package in installed:
        sys.modules.pop(package, None)
    plugins.declared.cache_clear()


def install_set(install, package, name, value="ROW"):
    install(package, SET.format(module=package), DATASETS, name, value)


def test_the_example_declares_the_groups_that_are_read():
    block = plugins.__doc__.split("::\n", 1)[1].split("\nNames", 1)[0]
    declared = tomllib.loads("\n".join(line.strip() for line in block.splitlines()))
    assert set(declared["project"]["entry-points"]) == {METHODS, DATASETS, AUGMENTATIONS}


class TestDatasets:
    def test_names_come_without_an_import(self, install):
        install_set(install, "fake_sets", "geneva")
        assert datasets.names() == [*datasets.DATASETS, "geneva"]
        assert "fake_sets" not in sys.modules

    def test_row_and_samples(self, install, tmp_path):
        install_set(install, "fake_sets", "geneva")
        assert datasets.get("geneva").summary == "Two grey images."
        dataset = datasets.load("geneva", tmp_path)
        assert [s.id for s in dataset.samples] == ["small_0", "small_1"]
        assert dataset.citation == str(tmp_path)
        assert (dataset.name, dataset.train) == ("geneva", "popout")
        assert datasets.training_split(dataset).name == "popout"

    def test_a_set_that_takes_a_folder(self, install, tmp_path):
        install_set(install, "fake_sets", "bids", "FOLDER_ROW")
        dataset = datasets.load(f"bids:mine={tmp_path}")
        assert dataset.name == datasets.results_name(f"bids:mine={tmp_path}") == "bids+mine"
        assert dataset.citation == str(tmp_path)
        with pytest.raises(DatasetProblem, match="expected bids:DIR"):
            datasets.load("bids")

    def test_the_suggestion_knows_them(self, install):
        install_set(install, "fake_sets", "geneva")
        with pytest.raises(DatasetProblem, match=r"Did you mean 'geneva'.*Known: popout, .*, geneva"):
            datasets.load("geneve")

    def test_one_name_in_two_packages(self, install):
        install_set(install, "fake_sets", "geneva")
        install_set(install, "more_sets", "geneva")
        with pytest.raises(DatasetProblem, match=r"'geneva' .*(fake_sets and by more_sets|more_sets and by fake_sets)"):
            datasets.get("geneva")
        assert "fake_sets" not in sys.modules
        assert len(datasets.load("popout").samples) == 30

    def test_a_name_of_salbench(self, install):
        install_set(install, "fake_sets", "popout")
        with pytest.raises(DatasetProblem, match=r"'popout' .*salbench and by fake_sets"):
            datasets.load("popout")
        assert datasets.names() == list(datasets.DATASETS)
        assert datasets.get("osie").module == "salbench.datasets.osie"

    @pytest.mark.parametrize(
        ("text", "value", "message"),
        [
            ("import no_such_package", "ROW", "cannot be imported: ModuleNotFoundError: .*no_such_package"),
            ("raise RuntimeError('boom')", "ROW", "cannot be imported: RuntimeError: boom"),
            ("", "ROW", "cannot be imported: AttributeError"),
            (SET.format(module="broken_sets"), "NUMBER", "class Row, got int"),
        ],
    )
    def test_a_broken_package_is_named_and_hides_no_other(self, install, text, value, message):
        install("broken_sets", text, DATASETS, "broken", value)
        install_set(install, "fake_sets", "geneva")
        assert datasets.names() == [*datasets.DATASETS, "broken", "geneva"]
        with pytest.raises(DatasetProblem, match=rf"'broken' of package broken_sets .*{message}"):
            datasets.load("broken")
        assert len(datasets.load("geneva").samples) == 2

    def test_a_loader_that_cannot_be_imported(self, install):
        install_set(install, "fake_sets", "geneva", "NO_LOADER")
        with pytest.raises(DatasetProblem, match=r"geneva: .*fake_sets\.nowhere"):
            datasets.load("geneva")

    def test_a_loader_that_returns_something_else(self, install):
        text = SET.format(module="fake_sets").replace("return Dataset", "return dict")
        install("fake_sets", text.replace('dict("a name of its own", ', "dict(samples="), DATASETS, "a", "ROW")
        with pytest.raises(DatasetProblem, match=r"a: expected fake_sets\.load to return a Dataset, got dict"):
            datasets.load("a")


class TestAugmentations:
    def test_names_come_without_an_import(self, install):
        before = augment.names()
        install("fake_fog", FOG, AUGMENTATIONS, "fog", "fog")
        assert augment.names() == sorted([*before, "fog"])
        assert augment.select("fog,hflip") == ["fog", "hflip"]
        assert "fake_fog" not in sys.modules

    def test_it_augments(self, install, tiny):
        install("fake_fog", FOG, AUGMENTATIONS, "fog", "fog")
        sample = tiny.samples[0]
        fogged = augment.augment(sample, "fog").sample
        assert fogged.id == "image_0@fog"
        np.testing.assert_array_equal(fogged.image, (sample.image.astype(int) + 200) // 2)
        found = augment.get("fog")
        assert (found.summary, found.parameters) == ("Half fog.", {"grey": 200})
        assert "fake_fog.py" in found.source
        assert len(found.code_hash()) == 16

    def test_one_name_in_two_packages(self, install):
        install("fake_fog", FOG, AUGMENTATIONS, "fog", "fog")
        install("more_fog", FOG, AUGMENTATIONS, "fog", "fog")
        with pytest.raises(AugmentationProblem, match=r"'fog' .*(fake_fog and by more_fog|more_fog and by fake_fog)"):
            augment.get("fog")
        assert augment.get("hflip").kind == "geometric"

    @pytest.mark.parametrize("name", ["hflip", "paper12"])
    def test_a_name_of_salbench(self, install, name):
        install("fake_fog", FOG, AUGMENTATIONS, name, "fog")
        with pytest.raises(AugmentationProblem, match=f"'{name}' .*salbench and by fake_fog"):
            augment.get(name)

    def test_a_name_that_a_file_of_your_own_has_too(self, install, tmp_path):
        install("fake_fog", FOG, AUGMENTATIONS, "fog", "fog")
        (tmp_path / "own").mkdir()
        (tmp_path / "own" / "mine.py").write_text(FOG)
        with pytest.raises(AugmentationProblem, match=r"mine\.py: the name 'fog' is in use.*"):
            augment.add_folder(tmp_path / "own")

    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            ("fog", "rain", "of package fake_fog .*cannot be imported: AttributeError"),
            ("fog", "np", "of package fake_fog .*class Augmentation, got module"),
            ("mist", "fog", "'mist': expected .*entry point, got 'fog' .*fake_fog"),
        ],
    )
    def test_a_broken_package_is_named_and_hides_no_other(self, install, name, value, message):
        install("fake_fog", FOG, AUGMENTATIONS, name, value)
        with pytest.raises(AugmentationProblem, match=message):
            augment.get(name)
        assert augment.get("hflip").kind == "geometric"
