"""dsclrcn: as its authors' code computes it, with seeded weights; with a scene, from files of Caffe.

The network sees every picture at one size, so it sees only the kit's odd picture.
"""

import sys
import warnings

import caffemodel_writer
import conformance
import numpy as np
import pytest
import torch
from blank_networks import blank_networks
from small_networks import small_networks
from torch.nn.functional import relu

from salbench import registry, weights
from salbench.registry import MethodUnavailable
from salbench.runtime import Runtime
from salbench.sample import Sample
from salbench.training import checkpoint
from salbench.weights import WeightsProblem

pytestmark = pytest.mark.slow
ODD = "odd_333x517"
SIZE = (333, 517)  # of the odd picture
RESNET = {"pool1": "resnet.maxpool", "relu4_g": "conv4_g", "relu5_d": "conv5_d", "relu_fm": "conv_fm"}
RESNET |= {
    name: f"resnet.layer{i}" for i, name in enumerate(("res2c_relu", "res3d_relu", "res4f_relu", "res5c_relu"), 1)
}
NORMALISED = {"conv4_g_norm": "conv4_g_norm", "conv5_d_norm": "conv5_d_norm", "NormalizedFm": "conv_fm_norm"}
SCENE = {"pool5_s": "scene.pool", "norm1": "scene.norm1", "norm2": "scene.norm2"}
SCENE |= {"global_feature_actv": "scene.global_feature_ip", "global_feature": "scene.global_feature"}
CONTEXT = {"context_row_raw": "row_context", "context_col_raw": "column_context"}
LSTMS = {"NormalizedFm1_row_birnn": "rows1", "NormalizedFm1_srnn1": "columns1"}
LSTMS |= {"NormalizedFm1_srnn1_row_birnn": "rows2", "NormalizedFm1_srnn2": "columns2"}
TOLERANCES = dict.fromkeys((*RESNET, *SCENE, *CONTEXT), 1e-4) | dict.fromkeys(NORMALISED, 1e-6)  # the kit's
TOLERANCES |= dict.fromkeys((*LSTMS, "FCN7", "upsampled_sigmoid"), 5e-4) | dict.fromkeys(("sm", "upsampled_sm"), 5e-7)
INPUT, FINAL = 1e-5, 1e-4


def close(ours, expected, tolerance):
    np.testing.assert_allclose(ours, expected, rtol=0, atol=tolerance)


def bgr(picture):
    """float32 (1, 3, H, W) from uint8 (1, H, W, 3) RGB."""
    return picture.flip(3).permute(0, 3, 1, 2).float()


@pytest.fixture(scope="module")
def kit():
    return conformance.load("dsclrcn")


@pytest.fixture(scope="module")
def root(kit, tmp_path_factory):
    """A weights root with the official files."""
    root = tmp_path_factory.mktemp("weights")
    folder = weights.folder("dsclrcn", root)
    folder.mkdir()
    published, mean = registry.create("dsclrcn:scene").checkpoints
    caffemodel_writer.write(folder / published.file, kit.state)
    (folder / mean.file).write_bytes(caffemodel_writer.message(bgr(kit.picture(256, 256, 2))))
    return root


@pytest.fixture(scope="module")
def scene(root):
    scene = registry.create("dsclrcn:scene", Runtime(weights_root=root))
    with blank_networks():
        assert scene.network.training is False
    return scene


@pytest.fixture(scope="module")
def method(kit):
    return conformance.with_weights("dsclrcn", kit.state)


@pytest.fixture(scope="module")
def module(method):
    return sys.modules[type(method).__module__]


class Trace:
    """What goes through a network: its inputs, {name in the kit: output of a part}, and its logits."""

    def __init__(self, network):
        self.network, self.parts = network, {}

    def __enter__(self):
        self._modules = conformance.traced(self.network, RESNET | NORMALISED | SCENE | CONTEXT | LSTMS)
        self._outputs = self._modules.__enter__()
        self._hook = self.network.register_forward_hook(self._keep)
        return self

    def _keep(self, network, inputs, logits):
        self.images, self.scenes = inputs
        self.logits = logits

    def __exit__(self, *error):
        self._hook.remove()
        self._modules.__exit__(*error)
        for name, output in self._outputs.items():
            self.parts[name] = relu(output) if "relu" in name or name == "global_feature_actv" else output
        self.parts |= {name: self.parts[name].mT[..., None] for name in CONTEXT}  # (B, channels, streams, 1) in Caffe


@pytest.fixture(scope="module")
def odd(kit, scene):
    """The odd picture from the official files to the final map, with its scene."""
    picture = kit.picture(*SIZE, 1)[0].numpy()
    with Trace(scene.network) as trace:
        trace.final = scene.predict(Sample("odd", SIZE, lambda: picture).blind())
    trace.difference = trace.scenes - scene.network.places_mean
    return trace


class TestOddPicture:
    def test_inputs(self, kit, odd):
        for array, ours in (("img", odd.images), ("227img", odd.difference)):
            close(kit.summary(ours), kit.expected[f"{ODD}/stats/{array}"], INPUT)
        close(odd.images[0, :, :6, :6], kit.expected[f"{ODD}/img_corner"], INPUT)
        close(odd.images[0, :, ::40, ::40], kit.expected[f"{ODD}/img_sub40"], INPUT)
        close(odd.difference[0, :, ::9, ::9], kit.expected[f"{ODD}/227img_sub9"], INPUT)

    def test_inputs_of_the_native_size(self, kit, scene):
        images, _ = scene.inputs(kit.picture(480, 640, 0))
        close(kit.summary(images), kit.expected["native_480x640/stats/img"], INPUT)
        close(images[0, :, :6, :6], kit.expected["native_480x640/img_corner"], INPUT)
        close(images[0, :, ::40, ::40], kit.expected["native_480x640/img_sub40"], INPUT)

    @pytest.mark.parametrize("part", [*RESNET, *NORMALISED, *SCENE, *CONTEXT, *LSTMS])
    def test_parts(self, kit, odd, part):
        ours, tolerance = odd.parts[part], TOLERANCES[part]
        close(kit.summary(ours), kit.expected[f"{ODD}/stats/{part}"], tolerance)
        if f"{ODD}/crop/{part}" in kit.expected:
            crop = ours[0, :8, :8, 0] if part in CONTEXT else ours[0, :4, :4, :4]
            close(crop, kit.expected[f"{ODD}/crop/{part}"], tolerance)

    @pytest.mark.parametrize("part", LSTMS)
    @pytest.mark.parametrize("channel", [0, 64, 128, 192])
    def test_hidden_states(self, kit, odd, part, channel):
        ours = odd.parts[part][0, channel, ::4, ::4]
        close(ours, kit.expected[f"{ODD}/map_sub4/{part}_ch{channel}"], TOLERANCES[part])

    def test_features_of_the_scene(self, kit, odd):
        close(odd.parts["global_feature"][0], kit.expected[f"{ODD}/global_feature"], TOLERANCES["global_feature"])

    def test_map(self, kit, odd, module):
        density = odd.logits.flatten(1).softmax(1).view_as(odd.logits)
        for array, ours in (("FCN7", odd.logits), ("sm", density)):
            close(kit.summary(ours), kit.expected[f"{ODD}/stats/{array}"], TOLERANCES[array])
            close(ours[0], kit.expected[f"{ODD}/{array}"], TOLERANCES[array])
        for array, ours in (("upsampled_sm", density), ("upsampled_sigmoid", odd.logits.sigmoid())):
            close(module.upsampled(ours)[0, 3::8, 3::8], kit.expected[f"{ODD}/{array}_sub8"], TOLERANCES[array])
        corner = module.upsampled(density)[0, :12, :12]
        close(corner, kit.expected[f"{ODD}/upsampled_sm_corner"], TOLERANCES["upsampled_sm"])


class TestPrediction:
    def test_final_map(self, kit, odd):
        assert odd.final.shape == SIZE
        close(odd.final[::4, ::4], kit.expected[f"{ODD}/final_sub4"], FINAL)
        close(odd.final[:12, :12], kit.expected[f"{ODD}/final_corner"], FINAL)
        close(kit.summary(torch.from_numpy(odd.final)), kit.expected[f"{ODD}/stats/final"], FINAL)

    def test_resized_density(self, kit, odd, method):
        """The map before it is stretched has its lowest and highest value; the kit has the values in between."""
        resized = kit.expected[f"{ODD}/resized_sm_sub4"]
        final = method.finished(
            torch.log_softmax(odd.logits.flatten(), 0).view(60, 80).numpy(), Sample("a", SIZE, None)
        )
        slope, offset = np.polyfit(final[::4, ::4].ravel(), resized.ravel(), 1)
        close(slope * final[::4, ::4] + offset, resized, TOLERANCES["sm"])

    def test_zeros_in_place_of_the_scene(self, kit, method, odd):
        """The default. The features of the odd picture are the same."""
        images, scenes = method.inputs(kit.picture(*SIZE, 1))
        assert torch.equal(images, odd.images)
        assert scenes is None
        with torch.inference_mode():
            features = method.network.scene(torch.zeros(1, 3, 227, 227))
            logits = method.network.read_out(odd.parts["NormalizedFm"], features)
        close(features[0], kit.expected[f"{ODD}_zero227/global_feature"], TOLERANCES["global_feature"])
        close(logits[0], kit.expected[f"{ODD}_zero227/FCN7"], TOLERANCES["FCN7"])
        log_density = torch.log_softmax(logits.flatten(), 0).view(60, 80).numpy()
        final = method.finished(log_density, Sample("odd", SIZE, lambda: None))
        close(final[::4, ::4], kit.expected[f"{ODD}_zero227/final_sub4"], FINAL)

    def test_published_factors_of_the_context(self, kit, method, odd):
        """They are one. Then both copies of the columns are the same, as both are read upwards."""
        with torch.inference_mode():
            trained = method.build_network()  # factors are one in a new network
            state = method.network.state_dict() | {
                f"{name}.weight": getattr(trained, name).weight for name in CONTEXT.values()
            }
            trained.load_state_dict(state)
            with conformance.traced(trained, LSTMS) as parts:
                logits = trained.read_out(odd.parts["NormalizedFm"], odd.parts["global_feature"])
        close(
            parts["NormalizedFm1_srnn1"][0, :4, :4, :4], kit.expected["ones_context_odd/crop/NormalizedFm1_srnn1"], 5e-4
        )
        close(*parts["NormalizedFm1_srnn1"].chunk(2, 1), 1e-6)
        close(logits[0], kit.expected["ones_context_odd/FCN7"], TOLERANCES["FCN7"])
        close(kit.summary(logits.flatten().softmax(0)), kit.expected["ones_context_odd/stats/sm"], TOLERANCES["sm"])


class TestOfficialFile:
    def test_its_names_are_those_of_the_kit(self, kit, method):
        """Every number but the factors of the norms, the bias that is folded and our second biases is used as it is."""
        ours = sum(tensor.numel() for name, tensor in method.network.state_dict().items() if "num_batches" not in name)
        assert ours == sum(blob.numel() for blob in kit.state.values()) - 53 - 64 + 4 * 512

    def test_both_options_have_the_same_weights(self, method, scene):
        state = scene.network.state_dict()
        assert state.pop("places_mean").shape == (3, 227, 227)
        assert all(torch.equal(tensor, method.network.state_dict()[name]) for name, tensor in state.items())

    def test_a_file_of_the_training_network(self, kit, method):
        """It also has a bilinear kernel; and some files have a list of one number in place of a number."""
        more = kit.state | {
            "upsample.0": torch.ones(1, 1, 16, 16),
            "conv4_g_norm.0": kit.state["conv4_g_norm.0"].view(1),
        }
        found, expected = method.published(more), method.published(kit.state)
        assert found.keys() == expected.keys()
        assert all(torch.equal(tensor, expected[name]) for name, tensor in found.items())

    def test_a_norm_without_statistics(self, kit, method):
        state = method.published(kit.state | {"bn2a_branch1.2": torch.zeros(1)})
        assert not state["resnet.layer1.0.downsample.1.running_mean"].any()
        assert not state["resnet.layer1.0.downsample.1.running_var"].any()

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"conv_fm.0": None, "conv_fm.1": None}, r"2 missing, such as conv_fm\.bias"),
            ({"more.0": torch.ones(2)}, r"1 unexpected, such as more\.weight"),
            ({"rnn_FCN7.0": torch.ones(2, 256, 1, 1)}, r"1 of another shape, such as rnn_FCN7\.weight"),
        ],
    )
    def test_other_layers_are_refused(self, kit, method, changes, message):
        blobs = {name: blob for name, blob in (kit.state | changes).items() if blob is not None}
        with pytest.raises(WeightsProblem, match=message):
            checkpoint.load_into(method.network, method.published(blobs), "file")

    @pytest.mark.parametrize("factor", [{}, {"bn2a_branch1.2": torch.ones(3)}])
    def test_another_file_is_refused(self, factor, tmp_path):
        """One whose layers cannot be converted."""
        folder = weights.folder("dsclrcn", tmp_path)
        folder.mkdir()
        blobs = {"bn2a_branch1.0": torch.ones(64), "bn2a_branch1.1": torch.ones(64)}
        caffemodel_writer.write(folder / registry.get("dsclrcn").checkpoints[0].file, blobs | factor)
        with pytest.raises(WeightsProblem, match=r"best\.caffemodel: expected what .*/DSCLRCN publishes"):
            registry.create("dsclrcn", Runtime(weights_root=tmp_path)).weights_hash()


class TestMeanImage:
    def test_the_scene_requires_it(self, root, tmp_path):
        """The weights alone, and the weights that were converted without it."""
        folder, (published,) = weights.folder("dsclrcn", tmp_path), registry.get("dsclrcn").checkpoints
        folder.mkdir()
        (folder / published.file).symlink_to(weights.folder("dsclrcn", root) / published.file)
        runtime = Runtime(weights_root=tmp_path)
        with pytest.raises(MethodUnavailable, match=r"download places205CNN_mean\.binaryproto from"):
            registry.create("dsclrcn:scene", runtime).weights_hash()
        message = r"1 missing, such as places_mean .*convert the published files again"
        with blank_networks():
            registry.create("dsclrcn", runtime).convert()
            with pytest.raises(WeightsProblem, match=message):
                registry.create("dsclrcn:scene", runtime).weights_hash()

    def test_another_shape_is_refused(self, scene, kit):
        with pytest.raises(LookupError, match=r"expected shape \(3, 256, 256\), got \(1, 3, 227, 227\)"):
            scene.published(kit.state, torch.ones(1, 3, 227, 227))


def noise(size, seed=0):
    picture = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    return Sample(f"noise {seed}", size, lambda: picture)


@pytest.fixture(scope="module", params=["dsclrcn", "dsclrcn:scene"])
def small(request):
    """With fewer channels and random weights, at a small size."""
    with small_networks():
        method = registry.create(request.param, Runtime(init="random"))
        method.recipe = method.recipe.at((64, 96))
        assert method.network.training is False
    return method


class TestProperties:
    def test_pictures_of_a_batch_do_not_mix(self, small):
        samples = noise((50, 40)), noise((50, 40), 1)
        first, second = small.predict_batch(samples)
        close(first, small.predict(samples[0]), 1e-3)
        assert np.abs(first - second).max() > 0.01

    @pytest.mark.parametrize("size", [(1, 1), (1, 300), (2000, 3)])
    def test_any_size(self, small, size):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            prediction = small.predict(noise(size))
        assert prediction.shape == size
        assert np.isfinite(prediction).all()

    def test_without_a_scene_it_is_zeros(self, small):
        """A network with its mean image gets zeros for a scene that is this image."""
        network, images = small.network, torch.rand(2, 3, 64, 96)
        with torch.inference_mode():
            zeros = network.read_out(network.features(images), network.scene(torch.zeros(2, 3, 227, 227)))
            close(network(images, None), zeros, 1e-5)
            if small.option == "scene":
                network.places_mean.fill_(7)
                close(network(images, torch.full((2, 3, 227, 227), 7.0)), zeros, 1e-5)

    def test_all_parameters_learn(self, small):
        """But no weight of a layer whose input is zero."""
        torch.manual_seed(0)
        images = torch.randint(0, 256, (2, 64, 96, 3), dtype=torch.uint8)
        logits = small.logits(small.network, images, [None, None])
        assert logits.shape == (2, 64, 96)
        (logits * torch.randn(2, 64, 96)).sum().backward()
        still = [name for name, parameter in small.network.named_parameters() if not parameter.grad.any()]
        assert still == ([] if small.option == "scene" else ["scene.conv1_s.weight"])


def test_sizes_that_do_not_fit_the_context_are_refused():
    method = registry.create("dsclrcn")
    method.recipe = method.recipe.at((60, 96))
    with pytest.raises(ValueError, match=r"multiples of 8, got \(60, 96\); resize"):
        method.build_network()
