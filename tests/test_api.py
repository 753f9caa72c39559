"""The five functions of the package, against the plain metrics and the command line's results."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import salbench
from salbench import metrics, results
from salbench.protocol import PROTOCOLS
from salbench.registry import MethodUnavailable
from salbench.runtime import Runtime
from salbench.sample import Sample


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    density = rng.random((20, 30))
    return rng.random((20, 30)), rng.uniform((0, 0), (30, 20), (12, 2)), density


class TestScore:
    def test_what_is_given_decides_which_metrics(self, case):
        prediction, fixations, density = case
        assert set(salbench.score(prediction, fixations=fixations)) == {"auc", "auc_judd", "auc_borji", "nss"}
        assert set(salbench.score(prediction, density=density)) == {"cc", "kl", "sim"}
        both = salbench.score(prediction, fixations=fixations, negatives=fixations[:3], baseline=density)
        assert set(both) == {"auc", "auc_judd", "auc_borji", "nss", "sauc", "ig"}

    def test_the_values_are_those_of_the_plain_metrics(self, case):
        prediction, fixations, density = case
        assert salbench.score(prediction, density=density)["sim"] == metrics.sim(prediction, density, floor=None)
        mit = salbench.score(prediction, fixations=fixations, protocol="mit")
        assert mit["nss"] == metrics.nss(prediction, fixations, ddof=1)

    @pytest.mark.parametrize("protocol", PROTOCOLS)
    def test_is_what_a_run_writes(self, make_samples, make_dataset, tmp_path, protocol):
        """On maps and densities of the image's size; fixations share pixels, which some protocols count once."""
        dataset = make_dataset(make_samples([(24, 32)] * 2))
        first = dataset.samples[0]
        salbench.evaluate("spectral_residual", dataset, protocol, tmp_path, Runtime(progress=False))
        run = results.load(tmp_path).scores.loc["tiny", "spectral_residual"].iloc[0]
        prediction = salbench.load_method("spectral_residual").predict(first.blind())
        prepared = PROTOCOLS[protocol].prepare(prediction, "map", first.size).point_map.array
        values = salbench.score(prepared, fixations=first.fixations, protocol=protocol)
        assert len(values) == 4
        for name, value in values.items():
            assert value == pytest.approx(run[name], rel=1e-12), name

    def test_no_ground_truth(self, case):
        with pytest.raises(ValueError, match="expected fixations or a density"):
            salbench.score(case[0])
        with pytest.raises(ValueError, match="got negatives"):
            salbench.score(case[0], negatives=case[1])


class TestPredict:
    @pytest.fixture
    def picture(self, tmp_path):
        array = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
        Image.fromarray(array).save(tmp_path / "x.png")
        return array

    def test_a_map_and_a_density_of_the_picture_s_size(self, picture):
        found = salbench.predict(picture, "spectral_residual")
        density = salbench.predict(picture, "spectral_residual", density=True)
        assert (found.shape, found.dtype, found.min() >= 0, found.max()) == ((30, 40), np.float32, True, 1)
        assert (density.shape, density.dtype) == ((30, 40), np.float64)
        assert density.sum() == pytest.approx(1, abs=1e-12)
        np.testing.assert_allclose(density / density.max(), found, atol=1e-6)

    def test_in_every_form(self, picture, tmp_path):
        expected = salbench.predict(picture, "spectral_residual")
        method = salbench.load_method("spectral_residual")
        for image in (tmp_path / "x.png", str(tmp_path / "x.png"), Image.fromarray(picture)):
            assert (salbench.predict(image, method) == expected).all()
        grey = salbench.predict(picture[..., 0], method)
        assert (grey == salbench.predict(picture[..., :1].repeat(3, 2), method)).all()

    def test_what_it_cannot_do(self, picture):
        with pytest.raises(ValueError, match=r"got float64 \(30, 40, 3\)"):
            salbench.predict(picture / 255, "uniform")
        with pytest.raises(MethodUnavailable, match="center_bias: needs fixations"):
            salbench.predict(picture, "center_bias")

    def test_a_network(self, picture):
        """`lite` predicts a log density, which is exponentiated here by hand."""
        method = salbench.load_method("lite", Runtime(progress=False))
        (log_density,) = method.predict_batch([Sample("x", (30, 40), lambda: picture)])
        plain = np.asarray(Image.fromarray(np.exp(log_density)).resize((40, 30), Image.Resampling.BILINEAR))
        np.testing.assert_allclose(salbench.predict(picture, method, density=True), plain / plain.sum(), rtol=1e-4)


class TestEvaluate:
    RUNTIME = Runtime(progress=False)

    def test_a_row_per_method_in_the_order_asked_for(self, tmp_path):
        means = salbench.evaluate(["uniform", "center_bias"], "popout", out=tmp_path, runtime=self.RUNTIME)
        assert means.index.get_level_values("method").tolist() == ["uniform", "center_bias"]
        assert means["nss", "mean"].iloc[0] == 0
        scores = results.load(tmp_path).scores.loc["popout", "center_bias"]
        assert scores["nss"].mean() == pytest.approx(means["nss", "mean"].iloc[1], rel=1e-12)

    def test_a_data_set_that_is_open_already(self, tiny, tmp_path):
        assert salbench.evaluate("uniform", tiny, out=tmp_path, runtime=self.RUNTIME).shape[0] == 1

    def test_keeps_no_file_unless_asked(self, tiny, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        kept = salbench.evaluate("uniform", tiny, out=tmp_path / "kept", runtime=self.RUNTIME)
        assert salbench.evaluate("uniform", tiny, runtime=self.RUNTIME).equals(kept)
        assert [path.name for path in tmp_path.iterdir()] == ["kept"]

    def test_an_unknown_method_is_named_once_and_nothing_runs(self, tiny, tmp_path):
        with pytest.raises(ValueError, match=r"^unknown method 'unifrom'\. Did you mean 'uniform'"):
            salbench.evaluate(["uniform", "unifrom"], tiny, out=tmp_path, runtime=self.RUNTIME)
        assert not list(tmp_path.iterdir())

    def test_a_method_that_does_not_run(self, tiny, tmp_path):
        with pytest.raises(ValueError, match="from_folder: needs a folder"):
            salbench.evaluate(["uniform", "from_folder"], tiny, out=tmp_path, runtime=self.RUNTIME)


def test_load():
    assert salbench.load_method("uniform").label == "uniform"
    assert len(salbench.load_dataset("popout").samples) == 30


def test_what_is_not_there():
    with pytest.raises(AttributeError, match="no attribute 'scoer'"):
        salbench.scoer  # noqa: B018


def test_waiting_threads_give_way():
    code = "import os; os.environ.pop('GOMP_SPINCOUNT', 0); import salbench; print(os.environ['GOMP_SPINCOUNT'])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "1000"
