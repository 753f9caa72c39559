"""The matrix from result files: marks, ranks, paired tests, explained information."""

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

from salbench import matrix, results, tables
from salbench.identity import Identity
from salbench.metrics import METRICS
from salbench.registry import SaliencyMethod
from salbench.training.method import LearnedMethod

N = 12
FACTS = {"fingerprint": "f", "protocol": "tuebingen", "protocol_version": 2, "fitted_on": None, "seed": 0}


def scores(seed, mean):
    values = np.random.default_rng(seed).normal(0, 0.1, N)
    return values - values.mean() + mean


def save(out, dataset, label, values, *, facts=(), **changes):
    """Write a result whose every metric has these scores, and an interval of the mean +- 0.01."""
    mean = float(np.mean(values))
    cell = {"mean": mean, "low": mean - 0.01, "high": mean + 0.01, "n": N}
    identity = Identity(FACTS | {"dataset": dataset, "method": label} | dict(facts))
    result = results.Result(
        identity=identity, metrics=dict.fromkeys(METRICS, cell), output="density", ceiling=False, gaze="eye tracker",
        n_images=N, n_failed=0, n_without_fixations=0, n_resized=0, zero_share=0.0, failures={}, seconds=1.0,
    )  # fmt: skip
    rows = [{"id": f"i{k}", **dict.fromkeys(METRICS, float(value))} for k, value in enumerate(values)]
    results.write(replace(result, **changes), rows, out)


def line(text, name, number=0):
    found = [row for row in text.splitlines() if row.startswith(f"| {name} ")]
    return [cell.strip() for cell in found[number].strip("|").split("|")][1:]


@pytest.fixture
def out(tmp_path):
    """Two data sets, one with a ceiling. `net` was trained on the first and is best on both."""
    save(tmp_path, "home_test", "net", scores(1, 0.9), notes=["trained on 8 images of home_train."])
    save(tmp_path, "home_test", "good", scores(2, 0.6))
    save(tmp_path, "home_test", "near", scores(3, 0.55))
    save(tmp_path, "home_test", "bad", scores(4, 0.2))
    save(tmp_path, "home_test", "top", scores(5, 1.2), ceiling=True)
    save(tmp_path, "away", "net", scores(6, 0.8), notes=["trained on 8 images of home_train."])
    save(tmp_path, "away", "bad", scores(7, 0.1), facts={"fitted_on": "away (leave one image out)"})
    return tmp_path


def test_a_row_per_method_a_column_per_data_set(out):
    text = matrix.table(out, ["home_test", "away"])
    assert text.startswith("Generalisation: auc, protocol tuebingen v2\n")
    assert "| method        | home_test ↑      | away ↑           |" in text
    names = [row.split(" ")[1] for row in text.splitlines() if row.startswith("| ")]
    assert names == ["method", "net", "good", "near", "bad", "top", "method", "net", "good", "near", "bad"]
    assert line(text, "good") == ["**0.600** ±0.010", "–"]


def test_values_on_a_data_set_that_a_method_learned_from_are_marked_and_not_ranked(out):
    text = matrix.table(out, ["home_test", "away"])
    assert line(text, "net") == ["0.900 ±0.010†", "**0.800** ±0.010"]
    assert line(text, "bad")[1] == "0.100 ±0.010†"
    assert "†: the method has learned from this data set" in text
    assert "- bad: fitted to other images of each data set." in text
    assert "- net: trained on 8 images of home_train." in text


def test_images_that_were_trained_on_are_marked(out):
    save(out, "away", "spy", scores(8, 0.9), n_seen=3)
    text = matrix.table(out, ["away"])
    assert line(text, "spy") == ["0.900 ±0.010†"]
    assert "- spy on away: trained on 3 of these images." in text


@pytest.mark.parametrize(
    ("dataset", "note", "marked"),
    [
        ("salicon_val", "published weights (a.pth), trained on DHF1K, Hollywood-2, UCF Sports, SALICON.", True),
        ("salicon2015_examples", "published weights (a.pth), trained on SALICON.", True),
        ("osie_test", "published weights (a.pth), trained on SALICON.", False),
        ("mit300", "published weights (a.pth), trained on ImageNet (backbones), SALICON, MIT1003.", False),
        ("mit1003", "published weights (a.pth), trained on ImageNet (backbones), SALICON, MIT1003.", True),
        ("osie_test", "trained from random weights on 9 images of osie_train+augsal_contrast100.", True),
        ("augsal_contrast100", "trained from random weights on 9 images of osie_train+augsal_contrast100.", True),
        ("osie_test", "backbone: trained on osie, elsewhere", False),
    ],
)
def test_which_data_sets_a_note_names(dataset, note, marked, tmp_path):
    save(tmp_path, dataset, "net", scores(1, 0.5), notes=[note])
    assert ("†" in matrix.table(tmp_path, [dataset])) == marked


def test_notes_are_as_methods_write_them():
    """The notes that the mark depends on, from where they are written."""
    from salbench.training.checkpoint import Counts
    from salbench.weights import Checkpoint

    class Net(LearnedMethod):
        checkpoints = (Checkpoint("a.pth", source="", licence="", trained_on="SALICON, MIT1003"),)

    class Own(LearnedMethod):
        pass

    def learned(notes):
        fields = dict.fromkeys(results.Result.__dataclass_fields__, 0) | {"notes": notes}
        return matrix.learned(results.Result(**fields))

    assert learned(Net().notes()) == ["SALICON", "MIT1003"]
    for method in (Net(), Own()):
        assert learned(method.notes_on(Counts(dataset="osie_train", images=448))) == ["osie_train"]
    assert learned(SaliencyMethod().notes()) == []
    for start, also in (("ImageNet weights", []), ("the published weights (trained on SALICON)", ["SALICON"])):
        counts = Counts(dataset="osie_train+eyecrowd_train", images=448, start=start)
        assert learned(Own().notes_on(counts)) == [*also, "osie_train", "eyecrowd_train"]


def test_stars_are_paired_t_tests_against_the_best_with_holms_correction(out):
    text = matrix.table(out, ["home_test"])
    best = scores(2, 0.6)
    p = {
        name: scipy.stats.ttest_rel(values, best).pvalue
        for name, values in (("near", scores(3, 0.55)), ("bad", scores(4, 0.2)))
    }
    assert p["near"] > 0.05 > 2 * p["bad"]
    assert line(text, "near") == ["0.550 ±0.010"]
    assert line(text, "bad") == ["0.200 ±0.010*"]
    rows = {row["method"]: row for row in csv.DictReader(io.StringIO(matrix.table(out, ["home_test"], style="csv")))}
    assert float(rows["bad"]["home_test_p"]) == pytest.approx(2 * p["bad"])
    assert float(rows["near"]["home_test_p"]) == pytest.approx(p["near"])
    assert rows["good"]["home_test_p"] == rows["net"]["home_test_p"] == rows["top (ceiling)"]["home_test_p"] == ""


def test_lower_is_better_for_some(out):
    text = matrix.table(out, ["home_test"], "kl")
    assert "home_test ↓" in text
    assert line(text, "bad") == ["**0.200** ±0.010"]
    assert text.index("| bad ") < text.index("| good ")


def test_explained_information_is_ig_divided_by_that_of_the_ceiling(out):
    text = matrix.table(out, ["home_test", "away"])
    block = text[text.index("Explained information") :]
    assert [cell.partition(" ")[0] for cell in line(block, "good")] == ["0.500"]
    assert line(block, "net")[0].startswith("0.750 ±")
    assert line(block, "net")[0].endswith("†")
    assert "**" not in block
    assert "- ig divided by that of top: 1 is the ceiling" in block
    assert "- Without a ceiling: away." in block
    assert "Explained" not in matrix.table(out, ["away"])


def test_methods_can_be_chosen(out):
    text = matrix.table(out, ["home_test"], methods={"good"})
    assert [row.split(" ")[1] for row in text.splitlines() if row.startswith("| ")][1:3] == ["good", "top"]


def test_incomplete_and_random_results_are_in_no_column(out):
    save(out, "away", "broken", scores(8, 0.9), n_failed=2, failures={"i1": "x", "i2": "y"})
    save(out, "away", "noise", scores(9, 0.9), untrained=True)
    text = matrix.table(out, ["home_test", "away"])
    assert "- broken on away: incomplete, 2 of 12 images failed." in text
    assert not [row for row in text.splitlines() if row.startswith(("| broken", "| noise"))]


def test_latex(out):
    text = matrix.table(out, ["home_test", "away"], style="latex")
    assert r"0.900 {\scriptsize $\pm$0.010}$^\dagger$ & \textbf{0.800}" in text
    assert text.count(r"\toprule") == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"datasets": ["nowhere"]},
            "nowhere: expected results by protocol tuebingen, found none",
        ),
        ({"protocol": "mit"}, "salbench run --dataset home_test --protocol mit"),
        ({"metric": "auk"}, "--metric: expected one of auc, "),
    ],
)
def test_errors(out, changes, message):
    with pytest.raises(tables.TableProblem, match=message):
        matrix.table(**{"out": out, "datasets": ["home_test"]} | changes)


def test_results_on_other_images_are_not_in_one_column(out):
    save(out, "away", "old", scores(8, 0.9), facts={"fingerprint": "other"})
    with pytest.raises(tables.TableProblem, match=r"found several kinds \(bad, net; old\).*--overwrite"):
        matrix.table(out, ["away"])
