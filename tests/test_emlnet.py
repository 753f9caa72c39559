"""emlnet: as its authors' code computes it, with seeded weights in the layout of its three files.

All pictures have one size before the network, so it sees only that of another shape.
"""

import warnings
from types import SimpleNamespace

import conformance
import numpy as np
import pytest
import torch
from torch.nn.functional import batch_norm, conv2d, interpolate

from salbench import registry, weights
from salbench.metrics import cc, kl, nss
from salbench.sample import Sample
from salbench.training import checkpoint

pytestmark = pytest.mark.slow
TOLERANCE = 2e-4  # the kit's, whose noise is 4.5e-5
CASES = {"native_480x640": (480, 640, 0), "odd_437x331": (437, 331, 1)}  # height, width and variant of the picture
CASE = "odd_437x331"
PARTS = "image_model", "place_model", "decoder"  # in the order of their files
TAPS = [f"{model}_out{i}" for model in ("image", "place") for i in range(5)]


@pytest.fixture(scope="module")
def kit():
    return conformance.load("emlnet")


@pytest.fixture(scope="module")
def contents(kit):
    """What the three files hold: the backbones also the classifier of ImageNet or Places."""
    states = [
        {name.removeprefix(f"{part}."): tensor for name, tensor in kit.state.items() if name.startswith(part)}
        for part in PARTS
    ]
    for state, classes in zip(states, (1000, 365), strict=False):
        state |= {"fc.weight": torch.ones(classes, 2048), "fc.bias": torch.ones(classes)}
    return [{"epoch": 10, "state_dict": state} for state in states]


@pytest.fixture(scope="module")
def method(contents):
    return conformance.with_weights("emlnet", *contents)


@pytest.fixture(scope="module")
def outputs(kit, method):
    """{what the kit calls it: what we get}, and the prediction."""
    modules = {"image": "image_model", "place": "place_model", "logits": ""}
    with conformance.traced(method.network, modules) as traced:
        (prediction,) = method.predict_batch([sample_of(kit, CASE).blind()])
    taps = dict(zip(TAPS, [*traced["image"], *traced["place"]], strict=True))
    return taps | {"map": traced["logits"].sigmoid()[0, 0], "prediction": prediction}


def sample_of(kit, case):
    picture = kit.picture(*CASES[case])[0].numpy()
    return Sample(case, picture.shape[:2], lambda: picture)


def close(ours, expected, tolerance=TOLERANCE):
    np.testing.assert_allclose(ours, expected, rtol=0, atol=tolerance)


class TestAsPublished:
    @pytest.mark.parametrize("case", CASES)
    def test_image_is_resized(self, kit, method, case):
        image = method.images_of(sample_of(kit, case))
        assert image.shape == (1, 480, 640, 3)
        np.testing.assert_array_equal(image[0, ::8, ::8], kit.expected[f"{case}/pre_u8_sub8"])

    @pytest.mark.parametrize("tap", TAPS)
    def test_channels_of_backbones(self, kit, outputs, tap):
        ours = outputs[tap]
        assert ours.shape[:2] == (1, 1)
        close(kit.summary(ours), kit.expected[f"{CASE}/stats/{tap}"])
        close(ours[0, 0, :8, :8], kit.expected[f"{CASE}/corner/{tap}"])

    def test_channels_of_the_image_model_everywhere(self, kit, outputs):
        """By the map that its authors make from it alone, with layers that the whole network does not use."""
        channels = [outputs[f"image_out{i}"] for i in range(5)]
        x = torch.cat([interpolate(channel, size=(240, 320), mode="nearest") for channel in channels], 1)
        own = {name: kit.state[f"image_model.combined.{name}"] for name in ("0.weight", "0.bias", "1.weight", "1.bias")}
        mean, variance = (kit.state[f"image_model.combined.1.running_{name}"] for name in ("mean", "var"))
        x = conv2d(x, own["0.weight"], own["0.bias"], padding=1)
        x = batch_norm(x, mean, variance, own["1.weight"], own["1.bias"]).sigmoid()
        alone = interpolate(x, size=(480, 640), mode="nearest")[0, 0]
        close(alone[::10, ::10], kit.expected[f"{CASE}/single_image_model_map_sub10"])
        close(kit.summary(alone), kit.expected[f"{CASE}/stats/single_image_model_map"])

    def test_map(self, kit, outputs):
        ours = outputs["map"]
        close(kit.summary(ours), kit.expected[f"{CASE}/stats/map"])
        close(ours[::5, ::5], kit.expected[f"{CASE}/map_sub5"])
        close(ours[224:256, 304:336], kit.expected[f"{CASE}/map_crop"])

    def test_prediction(self, kit, outputs):
        """Blurred and stretched, at the network's size; the authors also truncate it to 8 bits."""
        ours = outputs["prediction"]
        assert (ours.shape, ours.min(), ours.max()) == ((480, 640), 0, 1)
        close(ours[::5, ::5], kit.expected[f"{CASE}/post_float_sub5"])
        truncated = (ours * 255).astype(np.uint8)[::5, ::5].astype(int)
        differences = np.abs(truncated - kit.expected[f"{CASE}/post_u8_sub5"])
        assert differences.max() <= 1
        assert differences.mean() < 0.01  # TOLERANCE x 255 = 0.05 grey levels


class TestFiles:
    @pytest.mark.parametrize("prefix", ["", "module."])
    @pytest.mark.parametrize("is_bare", [False, True])
    def test_names_in_their_order(self, method, kit, contents, prefix, is_bare):
        states = [{prefix + name: t for name, t in content["state_dict"].items()} for content in contents]
        published = method.published(*(state if is_bare else {"state_dict": state} for state in states))
        assert list(published) == list(method.network.state_dict())
        used = [name for name in kit.names if "model.combined" not in name]
        assert all(tensor is kit.state[name] for name, tensor in zip(used, published.values(), strict=True))

    def _refused(self, method, contents, part, change, message):
        states = [dict(content["state_dict"]) for content in contents]
        change(states[PARTS.index(part)])
        with pytest.raises(checkpoint.CheckpointProblem, match=message):
            checkpoint.load_into(method.network, method.published(*states), "file.pth")

    @pytest.mark.parametrize(
        ("part", "name", "ours"),
        [
            ("image_model", "output3.0.bias", "image_model.outputs.3.0.bias"),
            ("place_model", "layer4.2.bn3.running_var", "place_model.resnet.layer4.2.bn3.running_var"),
            ("decoder", "pla_model.4.1.weight", "decoder.pla_model.4.1.weight"),
        ],
    )
    def test_what_is_missing_is_refused(self, method, contents, part, name, ours):
        self._refused(method, contents, part, lambda state: state.pop(name), f"1 missing, such as {ours} ")

    def test_more_than_the_decoder_has_is_refused(self, method, contents):
        more, message = {"fc.bias": torch.ones(1)}, "1 unexpected, such as decoder.fc.bias "
        self._refused(method, contents, "decoder", lambda state: state.update(more), message)

    def test_another_shape_is_refused(self, method, contents):
        other = {"combined.0.weight": torch.ones(1, 5, 3, 3)}
        self._refused(
            method, contents, "decoder", lambda s: s.update(other), r"combined.0.weight \(1, 5, 3, 3\) instead"
        )

    def test_a_file_without_names_is_refused(self, tmp_path):
        published = registry.get("emlnet").checkpoints
        paths = [tmp_path / official.file for official in published]
        assert [path.name for path in paths] == ["res_imagenet.pth", "res_places.pth", "res_decoder.pth"]
        for path, content in zip(paths, [{}, {}, torch.ones(3)], strict=True):
            torch.save(content, path)
        with pytest.raises(weights.WeightsProblem, match=r"expected what https://github\.com/SenJia/EML-NET-Saliency "):
            weights.arranged(registry.create("emlnet").published, paths, published)

    @pytest.mark.parametrize("counts", [False, True])
    def test_imagenet_weights_of_torchvision(self, method, contents, counts):
        """Old files do not count the batches that a norm has seen."""
        state = {
            name: tensor
            for name, tensor in contents[0]["state_dict"].items()
            if not name.startswith(("output", "combined")) and (counts or not name.endswith("num_batches_tracked"))
        }
        ours, encoder = method.encoder_state(state), method.network.get_submodule(*method.encoders)
        assert ours.keys() == encoder.state_dict().keys()
        assert all(ours[name] is tensor for name, tensor in state.items() if not name.startswith("fc."))
        assert ours["bn1.num_batches_tracked"] == 0


class TestMethod:
    @pytest.fixture
    def small(self, method, monkeypatch):
        monkeypatch.setattr(method, "recipe", method.recipe.at((64, 96)))
        return method

    @pytest.mark.parametrize(("size", "value"), [((1, 1), 0), ((1, 300), 255), ((2000, 3), 0)])
    def test_any_picture(self, small, size, value):
        picture = np.full((*size, 3), value, np.uint8)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            prediction = small.predict(Sample("picture", size, lambda: picture))
        assert prediction.shape == (64, 96)
        assert np.isfinite(prediction).all()

    def test_pictures_of_a_batch_do_not_mix(self, small, kit):
        pictures = [kit.picture(64, 96, variant)[0].numpy() for variant in (0, 1)]
        samples = [Sample("picture", (64, 96), lambda picture=picture: picture) for picture in pictures]
        together, alone = small.predict_batch(samples), [small.predict(sample) for sample in samples]
        close(together, alone, 1e-5)
        assert np.abs(together[0] - together[1]).max() > 0.01

    def test_loss_is_that_of_the_map(self, method):
        rng = np.random.default_rng(0)
        logits, density, counts = rng.normal(size=(8, 9)), rng.random((8, 9)), rng.integers(0, 2, (8, 9))
        batch = SimpleNamespace(
            images=torch.zeros(1, 8, 9, 3),
            samples=[SimpleNamespace(caption=None)],
            density=torch.from_numpy(density)[None],
            counts=torch.from_numpy(counts)[None],
            edits=None,
        )
        loss = method.loss(lambda images: torch.from_numpy(logits)[None, None], batch)
        saliency, fixations = 1 / (1 + np.exp(-logits)), np.argwhere(counts)[:, ::-1]
        expected = kl(saliency, density) - cc(saliency, density) - nss(saliency, fixations)
        assert loss.item() == pytest.approx(expected, abs=1e-5)


def test_all_of_it_learns():
    """At a small size, from random weights. A norm takes the bias before it away, so that learns nothing."""
    torch.manual_seed(0)
    method = registry.create("emlnet")
    network = method.build_network()
    images = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)
    (method.logits(network, images, [None]) * torch.randn(1, 64, 64)).sum().backward()
    still = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert [name for name in still if not name.endswith(".0.bias")] == []
