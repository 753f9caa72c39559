"""lite: small, indifferent to exposure, repeatable; and trained from the command line."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from salbench import registry
from salbench.cli import main
from salbench.training import checkpoint
from salbench.training.checkpoint import Record


@pytest.fixture(scope="module")
def method():
    return registry.create("lite")


@pytest.fixture(scope="module")
def network(method):
    """Untrained, but for a step of the norms, and with a prior that is not zero."""
    torch.manual_seed(0)
    network = method.build_network()
    network(torch.randn(4, 3, 48, 64))
    torch.nn.init.normal_(network.prior)
    return network.eval()


@pytest.fixture(scope="module")
def untrained(network, tmp_path_factory):
    """The method with the weights of `network`."""
    path = tmp_path_factory.mktemp("lite") / "untrained.safetensors"
    checkpoint.save(path, network.state_dict(), Record())
    return registry.create(f"lite:{path}")


class TestNetwork:
    def test_is_small(self, network):
        parameters = sum(p.numel() for p in network.parameters())
        assert 100_000 < parameters <= 600_000

    def test_says_its_size(self, network, method):
        parameters = sum(p.numel() for p in network.parameters())
        assert f"{parameters / 1e6:.2f} M parameters" in type(method).__doc__

    @pytest.mark.parametrize("size", [(144, 192), (145, 191), (33, 17), (16, 16), (7, 50), (1, 1)])
    def test_logits_have_the_size_of_the_image(self, network, size):
        with torch.no_grad():
            logits = network(torch.randn(2, 3, *size))
        assert logits.shape == (2, *size)
        assert logits.isfinite().all()

    def test_images_of_a_batch_do_not_see_each_other(self, network):
        images = torch.randn(3, 3, 48, 64)
        with torch.no_grad():
            together = network(images)
            alone = torch.cat([network(image[None]) for image in images])
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)
        assert (together[0] - together[1]).abs().max() > 1e-3

    def test_every_parameter_learns(self, method):
        network = method.build_network()
        (network(torch.randn(2, 3, 48, 64)) * torch.randn(2, 48, 64)).sum().backward()
        assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


class TestPreprocessing:
    @pytest.fixture
    def image(self):
        """Of low contrast, so that it can be made brighter without reaching 255."""
        return np.random.default_rng(0).integers(20, 100, (40, 50, 3), dtype=np.uint8)

    def prepared(self, method, *images):
        return method.preprocess(torch.from_numpy(np.stack(images)))

    def test_layout(self, method, image):
        given = self.prepared(method, image, image)
        assert given.shape == (2, 3, 40, 50)
        assert given.dtype == torch.float32
        top_left = image[:, :, 0].astype(float)
        correlation = np.corrcoef(given[0, 0].numpy().ravel(), top_left.ravel())[0, 1]
        assert correlation == pytest.approx(1)

    def test_is_standardised(self, method, image):
        given = self.prepared(method, image)
        assert given.mean((2, 3)).abs().max() < 1e-5
        assert given.std() == pytest.approx(1, abs=0.02)

    @pytest.mark.parametrize(("gain", "offset"), [(1, 60), (2, 0), (2, 50), (1, -20)])
    def test_gain_and_offset_do_not_matter(self, method, image, gain, offset):
        """But for the 1e-3 that is added to the deviation: 1 % of what these images have."""
        changed = (image.astype(int) * gain + offset).astype(np.uint8)
        assert (changed.astype(int) == image.astype(int) * gain + offset).all()
        one, other = self.prepared(method, image, changed)
        assert (one - other).abs().max() < 0.01 * one.abs().max()

    def test_each_image_by_itself(self, method, image):
        together = self.prepared(method, image, image // 2)
        torch.testing.assert_close(together[:1], self.prepared(method, image))

    @pytest.mark.parametrize("level", [0, 128, 255])
    def test_a_constant_image_gives_numbers(self, method, level):
        given = self.prepared(method, np.full((40, 50, 3), level, np.uint8))
        assert given.abs().max() < 1e-2


class TestPrediction:
    @pytest.mark.parametrize("size", [(600, 800), (41, 17), (1, 1)])
    def test_is_a_normalised_log_density(self, untrained, make_samples, size):
        (sample,) = make_samples([size])
        log_density = untrained.predict(sample.blind())
        assert log_density.shape == untrained.recipe.size
        assert np.isfinite(log_density).all()
        assert np.exp(log_density.astype(float)).sum() == pytest.approx(1, abs=1e-4)
        assert log_density.std() > 1e-3

    def test_repeats(self, untrained, make_samples):
        (sample,) = make_samples([(90, 120)])
        again = registry.create(f"lite:{untrained.weights}")
        first = untrained.predict(sample.blind())
        torch.rand(3)
        for method in (untrained, again):
            np.testing.assert_array_equal(method.predict(sample.blind()), first)

    def test_in_batches(self, untrained, make_samples):
        samples = make_samples([(90, 120), (90, 120), (41, 17)])
        together = untrained.predict_batch([sample.blind() for sample in samples])
        for sample, prediction in zip(samples, together, strict=True):
            np.testing.assert_allclose(prediction, untrained.predict(sample.blind()), rtol=0, atol=1e-5)

    def test_weights_of_another_network_are_refused(self, tmp_path, network, make_samples):
        path = tmp_path / "other.safetensors"
        save_file({"stem.0.weight": torch.zeros(1)}, path, {"record": "{}"})
        with pytest.raises(checkpoint.CheckpointProblem, match=r"missing.*1 of another shape, such as stem\.0\.weight"):
            registry.create(f"lite:{path}").predict(make_samples([(24, 32)])[0])


class TestShippedWeights:
    def test_are_small(self, method):
        assert method.weights.stat().st_size < 3e6

    def test_load(self, method):
        read = checkpoint.read(method.weights)
        checkpoint.load_into(method.build_network(), read.tensors, method.weights)
        assert all(t.isfinite().all() for t in read.tensors.values() if t.is_floating_point())
        assert read.record.identity["recipe"]["size"] == list(method.recipe.size)

    def test_know_where_people_look_in_popout(self, method):
        """Untrained weights are at 0.5; these have never seen a search display, and it takes no more than this."""
        from salbench.datasets import load
        from salbench.metrics import auc
        from salbench.protocol import PROTOCOLS

        scores = []
        for sample in load("popout").samples[::5]:
            prepared = PROTOCOLS["tuebingen"].prepare(method.predict(sample.blind()), "log_density", sample.size)
            scores.append(auc(prepared.point_map.array, sample.fixations))
        assert np.mean(scores) > 0.6


class TestCommandLine:
    @pytest.fixture(autouse=True)
    def _only_our_methods(self, monkeypatch):
        monkeypatch.setattr(registry, "_FOLDERS", list(registry._FOLDERS))

    def run(self, *arguments):
        return main([str(a) for a in arguments])

    def test_fit_then_score(self, tmp_path, capsys):
        out = tmp_path / "checkpoints"
        fit = "fit", "--methods", "lite", "--dataset", "popout", "--limit", 8, "--epochs", 1, "--out", out
        assert self.run(*fit) == 0
        printed = capsys.readouterr()
        folder = out / "lite" / "popout_first8" / "seed0"
        assert f"--methods lite:{folder}" in printed.out
        assert "loss=" in printed.err
        files = {"README.md", "best.json", "best.safetensors", "last.json", "last.safetensors", "log.csv"}
        assert {p.name for p in folder.iterdir()} == files
        assert len((folder / "log.csv").read_text().splitlines()) == 2

        before = (folder / "last.safetensors").read_bytes()
        assert self.run(*fit) == 0  # nothing is left to do
        assert (folder / "last.safetensors").read_bytes() == before
        capsys.readouterr()

        run = "run", "--methods", f"lite:{folder}", "--dataset", "popout", "--limit", 3, "--out", tmp_path / "results"
        assert self.run(*run) == 0
        result = json.loads((tmp_path / "results/popout_first3/lite+popout_first8-seed0.json").read_text())
        assert result["n_failed"] == 0
        assert result["identity"]["weights"] == registry.create(f"lite:{folder}").weights_hash()
        assert "| lite+popout_first8-seed0 " in capsys.readouterr().out

        assert self.run(*fit[:-4], "--epochs", 2, "--out", out) == 2
        assert "recipe.epochs 2 instead of 1" in capsys.readouterr().err

    def test_too_few_images_are_told(self, tmp_path, capsys):
        assert self.run("fit", "--methods", "lite", "--dataset", "popout", "--limit", 1, "--out", tmp_path) == 2
        assert "error: expected at least two images with fixations to train on, got 1" in capsys.readouterr().err
        assert not list(tmp_path.iterdir())

    def test_an_unknown_augmentation_is_told(self, tmp_path, capsys):
        fit = "fit", "--methods", "lite", "--dataset", "popout", "--limit", 4, "--out", tmp_path
        assert self.run(*fit, "--augment", "hflap") == 2
        assert "hflip" in capsys.readouterr().err
        assert not list(tmp_path.iterdir())
