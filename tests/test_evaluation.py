import re
import textwrap
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from PIL import Image
from runs import MIT, PLAIN, evaluation_of, files_of, rows_of, summary_of
from scipy.ndimage import gaussian_filter

from salbench import registry, results, runtime
from salbench.evaluation import Broken, Refused, Skipped
from salbench.journal import Journal
from salbench.maps import resize
from salbench.metrics import METRICS
from salbench.protocol import PROTOCOLS
from salbench.training_plan import Plan


class _ByHand:
    """What a protocol scores, from the plain metrics and loops over all images; nothing from `protocol.py`."""

    MATLAB = (("auc_judd", {"jitter": True}), ("nss", {"ddof": 1}), ("sauc", {"step": 0.1}))
    OPTIONS = (
        ("tuebingen", (("sim", {"floor": None}), ("ig", {"floor": None}))),
        ("mit", MATLAB),
        ("lsun17", MATLAB),
        ("augsal", MATLAB),
    )

    def __init__(self, dataset, name):
        self.samples, self.name = dataset.samples, name
        self.options = dict(dict(self.OPTIONS)[name])

    def points(self, sample):
        return sample.fixations if self.name == "tuebingen" else np.unique(np.floor(sample.fixations), axis=0)

    def counts(self, points, size):
        counts = np.zeros(size)
        for x, y in points:
            counts[int(y), int(x)] += 1
        return counts

    def single(self, sample):
        """The density of each observer's fixations."""
        parts = [replace(sample, fixations=sample.fixations[sample.observers == o], observers=None) for o in range(6)]
        return [gaussian_filter(self.counts(self.points(part), sample.size), sample.sigma) for part in parts]

    def others(self, sample):
        height, width = sample.size
        points = [self.points(s) * (width / s.size[1], height / s.size[0]) for s in self.samples if s.id != sample.id]
        return self.counts(np.concatenate(points), sample.size)

    def baseline(self, others, sigma):
        density = gaussian_filter(others, sigma)
        return 0.99 * density / density.sum() + 0.01 / density.size if self.name == "tuebingen" else density

    def scores(self, sample, prediction, points=None, has_density=True):
        filter_ = "bicubic" if self.name in ("mit", "lsun17") else "bilinear"
        own = self.points(sample) if points is None else points
        point_map = resize(prediction, sample.size, filter_)
        if self.name == "lsun17":
            point_map = np.floor(point_map / point_map.max() * 255)
        density_map, density = point_map, gaussian_filter(self.counts(self.points(sample), sample.size), sample.sigma)
        if self.name == "augsal":
            small = resize(prediction, (256, 256), filter_)
            density_map, density = gaussian_filter(small, 2, mode="mirror", radius=5), resize(density, (256, 256))
        others = self.others(sample)
        truth = {
            "fixations": self.counts(own, sample.size),
            "density": density if has_density else np.zeros_like(density),
            "negatives": others,
            "baseline": self.baseline(others, sample.sigma),
        }
        values = {}
        for name, metric in METRICS.items():
            first, *rest = metric.needs
            further = {need: truth[need] for need in rest} | self.options.get(name, {})
            values[name] = metric.fn(density_map if first == "density" else point_map, truth[first], **further)
        return values


class TestScores:
    @pytest.mark.parametrize("protocol", PROTOCOLS)
    @pytest.mark.parametrize("name", ["uniform", "center_bias", "spectral_residual"])
    def test_equal_the_plain_metrics(self, mixed, protocol, name, tmp_path):
        """On images of four sizes, two of which share one."""
        result = evaluation_of(mixed, tmp_path, PROTOCOLS[protocol]).run(name)
        by_hand = _ByHand(mixed, protocol)
        method = registry.create(name)
        if method.fits_at_run:
            method.fit(mixed.samples, Plan())
        expected = [by_hand.scores(s, method.predict(s.blind())) for s in mixed.samples]
        if protocol == "tuebingen" and method.output == "map":
            expected = [scores | {"ig": np.nan} for scores in expected]
        rows = rows_of(tmp_path, name, "mixed")
        assert [row.pop("id") for row in rows] == [s.id for s in mixed.samples]
        for row, scores in zip(rows, expected, strict=True):
            assert row == pytest.approx(scores, rel=1e-6, abs=1e-7, nan_ok=True)
        for metric in METRICS:
            values = [row[metric] for row in rows]
            if np.isnan(values).all():
                assert result.metrics[metric] is None
            else:
                assert result.metrics[metric]["mean"] == pytest.approx(np.mean(values), rel=1e-12)
                assert result.metrics[metric]["n"] == len(values)
        assert result.n_resized == sum(method.predict(s.blind()).shape != s.size for s in mixed.samples)

    @pytest.mark.parametrize("protocol", ["tuebingen", "mit"])
    def test_of_a_ceiling(self, tiny, tmp_path, protocol):
        """Each observer's fixations against the map of the others; the parts weigh as their fixations do."""
        tiny = replace(tiny, samples=[replace(s, observers=np.arange(len(s.fixations)) % 6) for s in tiny.samples])
        result = evaluation_of(tiny, tmp_path, PROTOCOLS[protocol]).run("inter_observer")
        assert result.ceiling
        assert result.identity["fitted_on"] == f"tiny {tiny.fingerprint} (leave one observer out)"
        assert result.metrics["kl"] is result.metrics["sim"] is None
        by_hand, method = _ByHand(tiny, protocol), registry.create("inter_observer").fit(tiny.samples, Plan())
        for sample, row in zip(tiny.samples, rows_of(tmp_path, "inter_observer"), strict=True):
            parts, weights = [], []
            for prediction, own in method.predict_held_out(sample):
                points = by_hand.points(replace(sample, fixations=sample.fixations[own], observers=None))
                parts.append(by_hand.scores(sample, prediction, points=points, has_density=False))
                weights.append(len(points))
            for name in ("auc", "auc_judd", "auc_borji", "sauc", "nss", "ig"):
                expected = np.average([part[name] for part in parts], weights=weights)
                assert row[name] == pytest.approx(expected, rel=1e-6)
            assert row["cc"] == pytest.approx(METRICS["cc"].noise_ceiling(by_hand.single(sample)), abs=1e-6)

    def test_averaging_over_fixations(self, tiny, tmp_path):
        by_fixation = replace(PROTOCOLS["tuebingen"], name="own", averaging="fixation")
        result = evaluation_of(tiny, tmp_path, by_fixation).run("spectral_residual")
        values = [row["nss"] for row in rows_of(tmp_path, "spectral_residual")]
        weights = [len(s.fixations) for s in tiny.samples]
        assert result.metrics["nss"]["mean"] == pytest.approx(np.average(values, weights=weights), rel=1e-12)
        assert abs(np.average(values, weights=weights) - np.mean(values)) > 1e-3

    def test_intervals_hold_the_mean_and_depend_on_the_seed(self, tiny, tmp_path):
        first, second = (
            evaluation_of(tiny, tmp_path / str(s), seed=s).run("spectral_residual").metrics for s in (0, 1)
        )
        for name in METRICS:
            assert first[name]["low"] < first[name]["mean"] < first[name]["high"]
            assert first[name]["mean"] == second[name]["mean"]
        assert first != second

    def test_intervals_end_at_the_bounds_of_a_metric(self, tiny, tmp_path, run_made):
        """AUCs of 0.5 and about 1: the interval by Student's t would reach from -2 to 4."""
        first, second = tiny.samples[:2]
        maps = {first.id: np.ones(first.size), second.id: MIT.density(second)}
        method = registry.create("uniform")
        method.predict = lambda sample: maps[sample.id]
        found = run_made(evaluation_of(tiny.first(2), tmp_path), method).metrics
        assert (found["auc"]["low"], found["auc"]["high"]) == (0, 1)
        assert found["kl"]["low"] == 0
        for name, metric in METRICS.items():
            assert metric.bounds[0] <= found[name]["low"] < found[name]["high"] <= metric.bounds[1]

    def test_what_is_said_of_the_run(self, tiny, tmp_path):
        result = evaluation_of(tiny, tmp_path, seed=3).run("uniform")
        assert result == results.read(tmp_path / "tiny" / "uniform.json")
        assert result.identity["protocol"] == "mit"
        assert result.dataset == "tiny"
        assert result.identity["fingerprint"] == tiny.fingerprint
        assert result.identity["code"] == registry.code_hash("uniform")
        assert tuple(result.identity[name] for name in ("seed", "weights", "fitted_on")) == (3, None, None)
        assert (result.n_images, result.n_failed, result.n_without_fixations, result.n_resized) == (6, 0, 0, 0)
        assert (result.output, result.ceiling, result.gaze, result.failures) == ("density", False, "simulated", {})
        assert result.zero_share == 0
        assert files_of(tmp_path) == ["uniform.csv", "uniform.json"]

    def test_zero_share_is_the_mean_over_images(self, tiny, tmp_path, add_method):
        add_method(
            "half",
            "def predict(self, sample):\n    return np.eye(24, 32) if sample.id > 'image_2' else np.ones((24, 32))",
        )
        assert evaluation_of(tiny, tmp_path).run("half").zero_share == pytest.approx((1 - 24 / 768) / 2, rel=1e-12)

    @pytest.mark.parametrize("name", ["center_bias", "spectral_residual", "inter_observer"])
    def test_four_workers_give_the_same_bytes_as_one(self, mixed, tmp_path, name):
        dataset = replace(mixed, samples=[replace(s, id=f"{s.id}_{k}") for k in range(6) for s in mixed.samples])
        for workers in (1, 4):
            evaluation_of(dataset, tmp_path / str(workers), workers=workers).run(name)
        assert summary_of(tmp_path / "1", name, "mixed") == summary_of(tmp_path / "4", name, "mixed")
        one, four = ((tmp_path / workers / "mixed" / f"{name}.csv").read_bytes() for workers in "14")
        assert one == four
        assert [row["id"] for row in rows_of(tmp_path / "4", name, "mixed")] == [s.id for s in dataset.samples]


class TestWhatAMethodSees:
    def test_no_ground_truth(self, tiny, make_dataset, tmp_path, add_method):
        body = """
            def predict(self, sample):
                hidden = sample.fixations, sample.observers, sample.read_density, sample.sigma, sample.boxes
                assert hidden == (None,) * 5, hidden
                assert (sample.size, sample.caption, sample.image.shape) == ((24, 32), "noise", (24, 32, 3))
                return sample.image.mean(2)
        """
        add_method("curious", textwrap.dedent(body))
        extra = {"read_density": lambda: np.ones((24, 32)), "boxes": np.ones((1, 4)), "caption": "noise"}
        result = evaluation_of(make_dataset([replace(s, **extra) for s in tiny.samples]), tmp_path).run("curious")
        assert result.failures == {}

    def test_the_runtime(self, tiny, tmp_path, add_method):
        add_method(
            "own", "def predict(self, sample):\n    assert self.runtime.backbone == 'B'\n    return np.ones((2, 2))"
        )
        assert evaluation_of(tiny, tmp_path, backbone="B").run("own").n_failed == 0


class TestTrouble:
    FAILS = (
        "def predict(self, sample):\n    if sample.id in ('image_1', 'image_4'):\n        {fault}\n"
        "    return sample.image.mean(2)"
    )

    @pytest.mark.parametrize(
        ("fault", "message"),
        [
            ("raise RuntimeError('broken here')", "RuntimeError: broken here"),
            ("return np.full((24, 32), np.nan)", "ValueError: prediction: expected finite values, got NaN"),
            ("return np.ones((24, 32, 3))", "ValueError: prediction: expected a non-empty 2-D map"),
            ("return None", "ValueError: prediction: expected a non-empty 2-D map"),
            ("return [['a']]", "ValueError: prediction: expected real numbers"),
            ("open('/no/such/file')", "FileNotFoundError: "),
        ],
    )
    @pytest.mark.parametrize("workers", [1, 3])
    def test_failed_images_are_recorded_and_the_others_scored(
        self, tiny, tmp_path, add_method, fault, message, workers
    ):
        add_method("shaky", self.FAILS.format(fault=fault))
        result = evaluation_of(tiny, tmp_path, workers=workers).run("shaky")
        assert list(result.failures) == ["image_1", "image_4"]
        assert all(said.startswith(message) for said in result.failures.values())
        assert (result.n_images, result.n_failed) == (6, 2)
        assert result.metrics == dict.fromkeys(METRICS)  # no mean over what happened to work
        rows = {row.pop("id"): row for row in rows_of(tmp_path, "shaky")}
        assert list(rows) == [f"image_{i}" for i in range(6)]
        assert {id for id, row in rows.items() if np.isnan(list(row.values())).all()} == {"image_1", "image_4"}
        assert np.isfinite([list(row.values()) for id, row in rows.items() if id not in result.failures]).all()

    def test_only_failed_images_are_tried_again(self, tiny, tmp_path, add_method):
        log = tmp_path / "calls"
        add_method(
            "flaky",
            f"def predict(self, sample):\n    calls = {str(log)!r}\n"
            "    with open(calls, 'a') as file:\n        file.write(sample.id + ' ')\n"
            "    if sample.id == 'image_2' and open(calls).read().count('image_2') == 1:\n"
            "        raise RuntimeError('once')\n    return sample.image.mean(2)",
        )
        assert evaluation_of(tiny, tmp_path).run("flaky").n_failed == 1
        log.write_text("image_2 ")
        result = evaluation_of(tiny, tmp_path).run("flaky")
        assert log.read_text() == "image_2 image_2 "
        assert (result.n_failed, result.failures) == (0, {})
        assert result.metrics["nss"]["n"] == 6
        assert files_of(tmp_path) == ["flaky.csv", "flaky.json"]

    def test_every_image_fails(self, tiny, tmp_path, add_method):
        add_method("never", "def predict(self, sample):\n    raise RuntimeError('no')")
        result = evaluation_of(tiny, tmp_path).run("never")
        assert (result.n_failed, result.zero_share) == (6, 0)
        assert result.metrics == dict.fromkeys(METRICS)

    def test_a_picture_that_cannot_be_read(self, tiny, make_dataset, tmp_path):
        def broken():
            raise OSError("cannot read")

        samples = [replace(tiny.samples[0], read_image=broken), *tiny.samples[1:]]
        result = evaluation_of(make_dataset(samples), tmp_path).run("spectral_residual")
        assert list(result.failures) == ["image_0"]
        assert re.fullmatch(r"OSError: cannot read \(spectral_residual\.py, line \d+\)", result.failures["image_0"])

    def test_a_density_of_another_size(self, tiny, make_dataset, tmp_path):
        samples = [replace(tiny.samples[0], read_density=lambda: np.ones((3, 3))), *tiny.samples[1:]]
        result = evaluation_of(make_dataset(samples), tmp_path).run("uniform")
        assert list(result.failures) == ["image_0"]
        assert "expected a ground-truth map of (24, 32), got (3, 3)" in result.failures["image_0"]

    def test_one_observer_fails_the_image(self, tiny, make_dataset, tmp_path):
        alone = replace(tiny.samples[0], observers=np.zeros(len(tiny.samples[0].fixations), int))
        result = evaluation_of(make_dataset([alone, *tiny.samples[1:]]), tmp_path).run("inter_observer")
        assert list(result.failures) == ["image_0"]
        assert result.failures["image_0"].startswith("ValueError: image_0: expected at least two observers, got one")

    @pytest.mark.parametrize("name", ["uniform", "center_bias", "spectral_residual", "inter_observer"])
    def test_images_without_fixations_are_counted_apart(self, tiny, make_dataset, tmp_path, name):
        blank = replace(tiny.samples[3], fixations=np.empty((0, 2)), observers=np.empty(0, int))
        dataset = make_dataset([*tiny.samples[:3], blank, *tiny.samples[4:]])
        result = evaluation_of(dataset, tmp_path).run(name)
        assert (result.n_images, result.n_failed, result.n_without_fixations) == (6, 0, 1)
        rows = rows_of(tmp_path, name)
        blank_row = rows.pop(3)
        assert blank_row.pop("id") == blank.id
        assert np.isnan(list(blank_row.values())).all()
        for metric in ("auc", "nss", "sauc", "ig"):
            assert result.metrics[metric]["n"] == 5
            assert result.metrics[metric]["mean"] == pytest.approx(np.mean([row[metric] for row in rows]), rel=1e-12)

    def test_no_fixations_anywhere(self, tiny, make_dataset, tmp_path):
        samples = [replace(s, fixations=np.empty((0, 2)), observers=None) for s in tiny.samples]
        result = evaluation_of(make_dataset(samples), tmp_path).run("uniform")
        assert (result.n_failed, result.n_without_fixations) == (0, 6)
        assert result.metrics == dict.fromkeys(METRICS)

    @pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
    def test_densities_alone(self, tiny, make_dataset, tmp_path, protocol):
        """CC, KL and SIM are those against the same densities with fixations; what needs fixations has no value."""
        densities = [np.random.default_rng(i).random(s.size) for i, s in enumerate(tiny.samples)]
        given = [replace(s, read_density=partial(np.copy, d)) for s, d in zip(tiny.samples, densities, strict=True)]
        alone = [replace(s, fixations=None, observers=None, sigma=None) for s in given]
        full = evaluation_of(make_dataset(given), tmp_path / "full", PROTOCOLS[protocol]).run("spectral_residual")
        result = evaluation_of(make_dataset(alone), tmp_path / "alone", PROTOCOLS[protocol]).run("spectral_residual")
        assert (result.n_failed, result.n_without_fixations) == (0, 6)
        for name, metric in METRICS.items():
            expected = None if "fixations" in metric.needs else pytest.approx(full.metrics[name], rel=1e-12)
            assert result.metrics[name] == expected
        assert result.metrics["cc"]["n"] == 6
        center = evaluation_of(make_dataset(alone), tmp_path / "alone", PROTOCOLS[protocol]).run("center_bias")
        assert "needs fixations to fit on" in center.reason

    def test_some_images_with_densities_alone(self, tiny, make_dataset, tmp_path):
        first, *rest = tiny.samples
        first = replace(first, fixations=None, observers=None, read_density=lambda: np.eye(*first.size))
        result = evaluation_of(make_dataset([first, *rest]), tmp_path).run("spectral_residual")
        assert (result.metrics["cc"]["n"], result.metrics["nss"]["n"], result.n_without_fixations) == (6, 5, 1)

    def test_what_the_data_set_notes_is_in_the_result(self, tiny, tmp_path):
        noted = replace(tiny, notes=["Fixations were left out."], left_out={"off_image": 2, "lost": 1})
        result = evaluation_of(noted, tmp_path).run("uniform")
        assert result.dataset_notes == ["Fixations were left out."]
        assert result.left_out == {"off_image": 2, "lost": 1}
        assert results.read(tmp_path / "tiny" / "uniform.json") == result

    def test_a_split_without_public_fixations(self, tiny, make_dataset, tmp_path):
        blind = make_dataset([*tiny.samples[:5], tiny.samples[5].blind()])
        with pytest.raises(ValueError, match="tiny: has no fixations, so nothing can be scored on it"):
            evaluation_of(blind, tmp_path)

    @pytest.mark.parametrize(
        "body", ["def __init__(self):\n    1 / 0", "fits_at_run = True\ndef fit(self, *_, **__):\n    1 / 0"]
    )
    def test_a_method_that_cannot_be_made_or_fitted_stops_no_other(self, tiny, tmp_path, add_method, body):
        add_method("bad", body)
        evaluation = evaluation_of(tiny, tmp_path)
        assert evaluation.run("bad") == Broken("bad", "ZeroDivisionError: division by zero")
        assert evaluation.run("uniform").n_failed == 0

    def test_maps_that_cannot_be_saved_stop_the_run_and_leave_a_finished_result(self, tiny, tmp_path):
        finished = evaluation_of(tiny, tmp_path).run("uniform")
        (tmp_path / "file").write_text("")
        with pytest.raises(OSError, match="cannot save maps"):
            evaluation_of(tiny, tmp_path, save_maps=tmp_path / "file").run("uniform")
        assert evaluation_of(tiny, tmp_path).run("uniform") == finished

    def test_a_result_without_a_mean_is_in_nobodys_way(self, tiny, tmp_path):
        (tmp_path / "maps").mkdir()
        for sample in tiny.samples:
            np.save(tmp_path / "maps" / f"{sample.id}.npy", np.eye(4))
        (tmp_path / "maps" / "image_2.npy").write_bytes(b"")
        spec = f"from_folder:{tmp_path / 'maps'}"
        assert evaluation_of(tiny, tmp_path / "out").run(spec).n_failed == 1
        np.save(tmp_path / "maps" / "image_2.npy", np.eye(4))  # mended: other maps than before
        assert evaluation_of(tiny, tmp_path / "out").run(spec).n_failed == 0

    def test_the_rest_of_the_split_counts_when_only_the_first_images_are_scored(self, tiny, tmp_path):
        evaluation_of(tiny, tmp_path).run("center_bias")
        evaluation_of(tiny.first(2), tmp_path).run("center_bias")
        whole, part = ((tmp_path / name / "center_bias.csv").read_text() for name in ("tiny", "tiny_first2"))
        assert whole.startswith(part)

    def test_the_bar_says_what_takes_long_before_the_first_image(self, tiny, tmp_path, capsys):
        evaluation_of(tiny, tmp_path, progress=True).run("uniform")
        states = capsys.readouterr().err.split("\r")
        waiting = [state for state in states if "the first run compiles the metrics" in state]
        assert waiting
        assert all(" 0/6 " in state for state in waiting)
        assert " 6/6 " in states[-1]

    def test_unknown_method(self, tiny, tmp_path):
        broken = evaluation_of(tiny, tmp_path).run("unifrom")
        assert isinstance(broken, Broken)
        assert "unknown method 'unifrom'. Did you mean 'uniform'" in broken.reason


class TestSkipped:
    @pytest.mark.parametrize(
        "body",
        [
            "def __init__(self):\n    raise MethodUnavailable('weights.pt: get it from X')",
            "def predict(self, sample):\n    raise MethodUnavailable('weights.pt: get it from X')",
            "fits_at_run = True\ndef fit(self, *_, **__):\n    raise MethodUnavailable('weights.pt: get it from X')",
        ],
    )
    @pytest.mark.parametrize("workers", [1, 3])
    def test_says_what_is_missing(self, tiny, tmp_path, add_method, body, workers):
        add_method("heavy", body)
        assert evaluation_of(tiny, tmp_path, workers=workers).run("heavy") == Skipped(
            "heavy", "weights.pt: get it from X"
        )
        assert not list(tmp_path.glob("tiny/*"))

    def test_no_observers(self, tiny, make_dataset, tmp_path):
        dataset = make_dataset([replace(s, observers=None) for s in tiny.samples])
        skipped = evaluation_of(dataset, tmp_path).run("inter_observer")
        assert skipped.method == "inter_observer"
        assert "which observer made each fixation" in skipped.reason

    def test_leaves_nothing_that_a_later_run_stumbles_over(self, tiny, tmp_path, make_dataset):
        dataset = make_dataset([replace(s, observers=None) for s in tiny.samples])
        for protocol in PROTOCOLS.values():
            assert isinstance(evaluation_of(dataset, tmp_path, protocol).run("inter_observer"), Skipped)


class TestOtherSettings:
    """Results made under other settings are refused, or replaced where that is asked for."""

    @pytest.fixture
    def finished(self, tiny, tmp_path, add_method):
        add_method("own", PLAIN)
        evaluation_of(tiny, tmp_path).run("own")
        return tmp_path

    def _changed(self, what, tiny, make_dataset, out, add_method, **options):
        if what == "code":
            add_method("own", PLAIN + " + 1")
            del registry._METHODS[registry.get("own").__module__]
        samples = list(tiny.samples)
        if what == "fingerprint":
            samples[0] = replace(samples[0], fixations=samples[0].fixations / 2)
        protocol = (
            PROTOCOLS["lsun17"] if what == "protocol" else replace(MIT, version=MIT.version + (what == "version"))
        )
        return evaluation_of(make_dataset(samples), out, protocol, seed=int(what == "seed"), **options)

    CHANGES = pytest.mark.parametrize(
        ("what", "said"),
        [
            ("protocol", "protocol lsun17 instead of mit"),
            ("version", f"protocol_version {MIT.version + 1} instead of {MIT.version}"),
            ("seed", "seed 1 instead of 0"),
            ("code", "the code has changed"),
            ("fingerprint", "the content of the data set differs"),
        ],
    )

    @CHANGES
    def test_refused(self, finished, tiny, make_dataset, add_method, what, said):
        before = {path: path.read_bytes() for path in (finished / "tiny").iterdir()}
        refused = self._changed(what, tiny, make_dataset, finished, add_method).run("own")
        assert isinstance(refused, Refused)
        pattern = rf"own\.json: made with other settings \({said}(; the choices .*)?\)\. .*--overwrite"
        assert re.search(pattern, refused.reason)
        assert {path: path.read_bytes() for path in (finished / "tiny").iterdir()} == before

    @CHANGES
    def test_replaced(self, finished, tiny, make_dataset, add_method, what, said):
        self._changed(what, tiny, make_dataset, finished, add_method, overwrite=True).run("own")
        fresh = self._changed(what, tiny, make_dataset, finished / "fresh", add_method)
        fresh.run("own")
        assert summary_of(finished, "own") == summary_of(finished / "fresh", "own")
        assert rows_of(finished, "own") == rows_of(finished / "fresh", "own")

    @CHANGES
    def test_an_unfinished_run_is_refused_or_given_up(self, finished, tiny, make_dataset, add_method, what, said):
        json_path, csv_path, journal = results.paths(finished, "tiny", "own")
        Journal(journal, results.read(json_path).identity).close()
        journal_before = journal.read_bytes()
        json_path.unlink()
        csv_path.unlink()
        refused = self._changed(what, tiny, make_dataset, finished, add_method).run("own")
        assert isinstance(refused, Refused)
        pattern = rf"partial\.jsonl \(an unfinished run\): .* \({said}(; the choices .*)?\)"
        assert re.search(pattern, refused.reason)
        assert journal.read_bytes() == journal_before
        self._changed(what, tiny, make_dataset, finished, add_method, overwrite=True).run("own")
        assert files_of(finished) == ["own.csv", "own.json"]

    def test_another_place_on_disk_of_the_maps_but_the_same_label(self, tiny, tmp_path):
        for parent, value in (("a", 1), ("b", 2)):
            (tmp_path / parent / "maps").mkdir(parents=True)
            for sample in tiny.samples:
                np.save(tmp_path / parent / "maps" / f"{sample.id}.npy", np.eye(4) * value)
        evaluation_of(tiny, tmp_path / "out").run(f"from_folder:{tmp_path / 'a' / 'maps'}")
        refused = evaluation_of(tiny, tmp_path / "out").run(f"from_folder:{tmp_path / 'b' / 'maps'}")
        assert isinstance(refused, Refused)
        assert "the weights or maps differ" in refused.reason

    def test_a_file_that_is_no_result(self, finished, tiny):
        path = finished / "tiny" / "own.json"
        path.write_text("[]")
        refused = evaluation_of(tiny, finished).run("own")
        assert isinstance(refused, Refused)
        assert "own.json: expected a salbench result, got something else" in refused.reason
        assert evaluation_of(tiny, finished, overwrite=True).run("own") == results.read(path)

    def test_a_complete_run_is_not_repeated(self, finished, tiny, monkeypatch):
        before = {path: path.read_bytes() for path in (finished / "tiny").iterdir()}
        monkeypatch.setattr(registry.get("own"), "predict", None)  # calling it would fail every image
        result = evaluation_of(tiny, finished).run("own")
        assert result == results.read(finished / "tiny" / "own.json")
        assert {path: path.read_bytes() for path in (finished / "tiny").iterdir()} == before


class TestSaveMaps:
    def test_one_grey_picture_for_each_image(self, mixed, tmp_path):
        evaluation_of(mixed, tmp_path, save_maps=tmp_path / "maps").run("spectral_residual")
        folder = tmp_path / "maps" / "mixed" / "spectral_residual"
        assert sorted(p.name for p in folder.iterdir()) == sorted(f"{s.id}.png" for s in mixed.samples)
        method = registry.create("spectral_residual")
        for sample in mixed.samples:
            scored = MIT.prepare(method.predict(sample.blind()), "map", sample.size).point_map.array.astype(np.float64)
            with Image.open(folder / f"{sample.id}.png") as image:
                assert image.mode == "L"
                np.testing.assert_array_equal(np.asarray(image), np.floor(scored / scored.max() * 255))

    def test_saved_maps_score_as_the_quantised_protocol_did(self, tiny, tmp_path):
        lsun17 = PROTOCOLS["lsun17"]
        evaluation_of(tiny, tmp_path, lsun17, save_maps=tmp_path / "maps").run("spectral_residual")
        evaluation_of(tiny, tmp_path, lsun17).run(f"from_folder:{tmp_path / 'maps' / 'tiny' / 'spectral_residual'}")
        assert rows_of(tmp_path, "spectral_residual") == rows_of(tmp_path, "from_folder+spectral_residual")

    def test_after_a_run_without(self, tiny, tmp_path):
        evaluation_of(tiny, tmp_path).run("spectral_residual")
        before = (tmp_path / "tiny" / "spectral_residual.csv").read_bytes()
        evaluation_of(tiny, tmp_path, save_maps=tmp_path / "maps").run("spectral_residual")
        assert len(list((tmp_path / "maps").rglob("*.png"))) == 6
        assert (tmp_path / "tiny" / "spectral_residual.csv").read_bytes() == before
        assert files_of(tmp_path) == ["spectral_residual.csv", "spectral_residual.json"]

    def test_after_a_run_that_was_not_finished(self, tiny, tmp_path):
        complete = evaluation_of(tiny, tmp_path / "whole").run("spectral_residual")
        journal = Journal(results.paths(tmp_path, "tiny", "spectral_residual").journal, complete.identity)
        journal.add({"id": "image_0", "scores": None, "fixations": 0, "resized": False, "zero_share": 0.0})
        journal.close()
        result = evaluation_of(tiny, tmp_path, save_maps=tmp_path / "maps").run("spectral_residual")
        assert len(list((tmp_path / "maps").rglob("*.png"))) == 6
        assert result.metrics == complete.metrics

    def test_not_for_ceilings(self, tiny, tmp_path):
        evaluation_of(tiny, tmp_path, save_maps=tmp_path / "maps").run("inter_observer")
        assert not (tmp_path / "maps").exists()


IN_BATCHES = """
sizes = []
def predict(self, sample):
    return sample.image.mean(2)
def predict_batch(self, samples):
    self.sizes.append([sample.size for sample in samples])
    return [self.predict(sample) for sample in samples]
"""


class TestBatches:
    @pytest.mark.parametrize("workers", [1, 3])
    @pytest.mark.parametrize("batch_size", [2, 4, 5, 100])
    def test_give_the_same_bytes_as_one_at_a_time(self, mixed, tmp_path, add_method, workers, batch_size):
        add_method("own", IN_BATCHES)
        evaluation_of(mixed, tmp_path / "one").run("own")
        evaluation_of(mixed, tmp_path / "more", workers=workers, batch_size=batch_size).run("own")
        one, more = ((tmp_path / out / "mixed" / "own.csv").read_bytes() for out in ("one", "more"))
        assert one == more
        assert summary_of(tmp_path / "one", "own", "mixed") == summary_of(tmp_path / "more", "own", "mixed")

    def test_hold_images_of_one_size_first(self, mixed, tmp_path, add_method):
        add_method("own", IN_BATCHES)
        evaluation_of(mixed, tmp_path, batch_size=2).run("own")
        assert registry.get("own").sizes == [[(17, 41), (24, 32)], [(24, 32), (30, 20)], [(48, 64)]]

    @pytest.mark.parametrize(("device", "number"), [("cpu", [1] * 9), ("cuda", [8, 1]), ("cuda:1", [8, 1])])
    def test_by_default_on_other_devices_than_the_cpu(
        self, make_samples, make_dataset, tmp_path, add_method, monkeypatch, device, number
    ):
        monkeypatch.setattr(runtime, "check_device", lambda device: device)
        add_method("own", IN_BATCHES)
        evaluation_of(make_dataset(make_samples([(24, 32)] * 9)), tmp_path, device=device).run("own")
        assert list(map(len, registry.get("own").sizes)) == number

    @pytest.mark.parametrize(
        ("fault", "message"),
        [
            ("raise RuntimeError('broken here')", "RuntimeError: broken here"),
            ("return np.full((24, 32), np.nan)", "ValueError: prediction: expected finite values, got NaN"),
        ],
    )
    @pytest.mark.parametrize("workers", [1, 3])
    def test_a_bad_image_does_not_take_the_others_with_it(self, tiny, tmp_path, add_method, fault, message, workers):
        body = IN_BATCHES.replace("return sample", f"if sample.id == 'image_1':\n        {fault}\n    return sample")
        add_method("shaky", body)
        result = evaluation_of(tiny, tmp_path, workers=workers, batch_size=4).run("shaky")
        assert list(result.failures) == ["image_1"]
        assert result.failures["image_1"].startswith(message)
        add_method("sound", IN_BATCHES)
        evaluation_of(tiny, tmp_path).run("sound")
        rows, expected = rows_of(tmp_path, "shaky"), rows_of(tmp_path, "sound")
        assert rows[:1] + rows[2:] == expected[:1] + expected[2:]

    def test_a_batch_too_large_for_the_memory(self, tiny, tmp_path, add_method):
        body = IN_BATCHES.replace(
            "    self.sizes", "    if len(samples) > 2:\n        raise MemoryError\n    self.sizes"
        )
        add_method("own", body)
        assert evaluation_of(tiny, tmp_path, batch_size=3).run("own").n_failed == 0

    def test_too_few_predictions_are_no_result(self, tiny, tmp_path, add_method):
        add_method("own", "def predict_batch(self, samples):\n    return [np.eye(4)] * (len(samples) - 1)")
        result = evaluation_of(tiny, tmp_path, batch_size=4).run("own")
        assert result.n_failed == 6

    def test_of_a_ceiling(self, tiny, tmp_path):
        for batch_size in (1, 4):
            evaluation_of(tiny, tmp_path / str(batch_size), batch_size=batch_size).run("inter_observer")
        one, four = ((tmp_path / out / "tiny" / "inter_observer.csv").read_bytes() for out in "14")
        assert one == four

    def test_a_method_that_is_missing_something_is_skipped(self, tiny, tmp_path, add_method):
        add_method("heavy", "def predict(self, sample):\n    raise MethodUnavailable('get it from X')")
        assert evaluation_of(tiny, tmp_path, batch_size=4).run("heavy") == Skipped("heavy", "get it from X")
