from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from salbench.datasets import DATASETS, Dataset, DatasetProblem, data_root, join, load
from salbench.sample import Sample


def sample(id="a", **changes):
    given = {
        "size": (4, 6),
        "read_image": lambda: np.zeros((4, 6, 3), np.uint8),
        "fixations": np.array([[1.0, 2.0], [5.5, 3.5]]),
        "observers": np.array([0, 1]),
        "sigma": 2.0,
    }
    return Sample(id, **(given | changes))


def dataset(*samples):
    return Dataset("tiny", samples, gaze="simulated", licence="none", citation="none")


class TestLoad:
    @pytest.mark.parametrize(("name", "near"), [("osie_tset", "osie_test"), ("salicon", "salicon_val|salicon_t")])
    def test_near_name(self, name, near):
        with pytest.raises(DatasetProblem, match=rf"unknown data set '{name}'\. Did you mean '({near})"):
            load(name)

    @pytest.mark.parametrize("name", ["", "xyzzy", "OSIE"])
    def test_unknown_name_lists_all(self, name):
        with pytest.raises(DatasetProblem, match=r"Known: popout, .*osie_test, .*folder"):
            load(name)

    def test_argument_where_none_is_taken(self):
        with pytest.raises(DatasetProblem, match=r"osie takes no argument, got '/data'; .*--data-root"):
            load("osie:/data")

    @pytest.mark.parametrize("name", [name for name in DATASETS if name not in ("popout", "folder")])
    def test_missing_files_name_the_place_and_the_set_that_needs_none(self, name, tmp_path):
        with pytest.raises(DatasetProblem, match="--dataset popout") as problem:
            load(name, tmp_path)
        assert str(tmp_path) in str(problem.value)
        assert "--data-root or $SALBENCH_DATA" in str(problem.value)

    def test_every_training_split_is_a_name(self):
        assert {row.train for row in DATASETS.values()} - {None} <= set(DATASETS)

    def test_a_training_split_names_a_test_split_that_names_it(self):
        pairs = {name: row.test for name, row in DATASETS.items() if row.test}
        assert pairs == {
            "eyecrowd_train": "eyecrowd_test",
            "nus_scene_train": "nus_scene_test",
            "osie_train": "osie_test",
            "salicon_train": "salicon_val",
        }
        assert all(DATASETS[test].train == train for train, test in pairs.items())

    def test_problem_is_a_value_error(self):
        assert issubclass(DatasetProblem, ValueError)


class TestDataRoot:
    def test_argument_first(self, monkeypatch):
        monkeypatch.setenv("SALBENCH_DATA", "/environment")
        assert data_root("/given") == Path("/given")

    def test_environment_next(self, monkeypatch):
        monkeypatch.setenv("SALBENCH_DATA", "~/environment")
        assert data_root() == Path.home() / "environment"

    def test_user_cache_last(self, monkeypatch, tmp_path):
        monkeypatch.setenv("SALBENCH_DATA", "")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert data_root() == tmp_path / "salbench" / "data"
        monkeypatch.setenv("XDG_CACHE_HOME", "")
        assert data_root() == Path.home() / ".cache" / "salbench" / "data"


def test_samples_name_their_data_set():
    assert {sample.dataset for sample in load("popout").samples} == {"popout"}


class TestJoin:
    def test_all_samples_under_a_name_that_tells_all(self):
        one, other = dataset(sample("a"), sample("b")), replace(dataset(sample("c")), name="more", licence="MIT")
        both = join([one, other])
        assert [s.id for s in both.samples] == ["a", "b", "c"]
        assert both.name == "tiny+more"
        assert both.licence == "none; MIT"
        assert both.fingerprint not in (one.fingerprint, other.fingerprint)
        assert both.fingerprint != join([other, one]).fingerprint

    def test_one_is_itself(self):
        one = dataset(sample())
        assert join([one]) is one

    def test_an_id_in_two_of_them(self):
        with pytest.raises(DatasetProblem, match=r"tiny\+tiny: expected unique ids, got 1 twice, such as 'b'"):
            join([dataset(sample("a"), sample("b")), dataset(sample("b"))])

    def test_an_id_may_be_that_of_another_data_set_too(self):
        of_both = [dataset(replace(sample("a"), dataset=name)) for name in ("eyecrowd", "nus_scene")]
        assert [(s.dataset, s.id) for s in join(of_both).samples] == [("eyecrowd", "a"), ("nus_scene", "a")]


class TestDataset:
    def test_no_samples(self):
        with pytest.raises(DatasetProblem, match="tiny: expected at least one image, found none"):
            dataset()

    def test_same_id_twice(self):
        with pytest.raises(DatasetProblem, match="tiny: expected unique ids, got 2 twice, such as 'a'"):
            dataset(*(sample(id) for id in "abaabc"))

    def test_first_has_its_own_name(self):
        whole = dataset(*(sample(id) for id in "abc"))
        part = whole.first(2)
        assert part.name == "tiny_first2"
        assert [s.id for s in part.samples] == ["a", "b"]
        assert part.fingerprint == whole.fingerprint  # the split, whose fixations are negatives, is the same
        assert [s.id for s in part.split] == ["a", "b", "c"]
        assert whole.first(3) is whole
        assert whole.first(9) is whole

    def test_has_fixations(self):
        assert dataset(sample(), sample("b", fixations=np.empty((0, 2)), observers=None)).has_fixations
        assert not dataset(sample(), sample("b", fixations=None, observers=None)).has_fixations

    def test_fingerprint_is_the_same_for_the_same_content(self):
        assert dataset(sample()).fingerprint == dataset(sample()).fingerprint
        assert dataset(sample(), sample("b")).fingerprint != dataset(sample("b"), sample()).fingerprint

    @pytest.mark.parametrize(
        "changes",
        [
            {"id": "b"},
            {"caption": "A red bus."},
            {"size": (5, 6)},
            {"sigma": 2.1},
            {"fixations": np.array([[1.0, 2.0], [5.5, 3.4]])},
            {"fixations": np.array([[5.5, 3.5], [1.0, 2.0]])},
            {"fixations": None, "observers": None},
            {"observers": np.array([0, 2])},
            {"observers": None},
        ],
    )
    def test_fingerprint_changes_with_the_content(self, changes):
        assert dataset(replace(sample(), **changes)).fingerprint != dataset(sample()).fingerprint
