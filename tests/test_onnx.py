"""Networks in ONNX files: what they get, what they give, and what is refused."""

from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from numpy.testing import assert_allclose
from onnx import TensorProto
from onnx_networks import write_network
from PIL import Image

from salbench import registry
from salbench.evaluation import Evaluation
from salbench.files import FileProblem
from salbench.protocol import PROTOCOLS
from salbench.registry import MethodUnavailable
from salbench.runtime import Runtime

MEAN, STD = np.array([0.5, 0.4, 0.3]), np.array([0.2, 0.3, 0.5])


@pytest.fixture
def sample(make_samples):
    return make_samples([(24, 32)])[0].blind()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.onnx"


def made(path):
    return registry.create(f"onnx:{path}")


class TestInput:
    @pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE])
    def test_mean_and_std(self, path, sample, kind):
        expected = ((sample.image / 255 - MEAN) / STD).mean(axis=2)
        found = made(write_network(path, kind=kind)).predict(sample)
        assert_allclose(found, expected, atol=5e-3 if kind == TensorProto.FLOAT16 else 1e-6)

    def test_white_is_255(self, path, sample):
        write_network(path, kind=TensorProto.UINT8, white="255", mean="[0, 0, 0]", std="[1, 1, 1]")
        assert_allclose(made(path).predict(sample), sample.image.mean(axis=2), atol=1e-4)

    def test_bgr(self, path, sample):
        write_network(path, channels='"BGR"')
        assert_allclose(
            made(path).predict(sample), ((sample.image[..., ::-1] / 255 - MEAN) / STD).mean(axis=2), atol=1e-6
        )

    def test_channels_last(self, path, sample):
        write_network(path, shape=(1, "h", "w", 3), layout='"NHWC"')
        assert_allclose(made(path).predict(sample), ((sample.image / 255 - MEAN) / STD).mean(axis=2), atol=1e-6)

    @pytest.mark.parametrize(("shape", "size"), [((1, 3, 12, 20), None), (("n", 3, "h", "w"), "[12, 20]")])
    def test_size(self, path, sample, shape, size):
        write_network(path, shape=shape, **({"size": size} if size else {}))
        resized = np.asarray(Image.fromarray(sample.image).resize((20, 12), Image.Resampling.BILINEAR))
        assert_allclose(made(path).predict(sample), ((resized / 255 - MEAN) / STD).mean(axis=2), atol=1e-6)


class TestOutput:
    def test_by_name(self, path, sample):
        first = made(write_network(path)).predict(sample)
        assert_allclose(made(write_network(path, output_name='"dark"')).predict(sample), -first)

    @pytest.mark.parametrize("output", ["map", "density", "log_density"])
    def test_kind(self, path, output):
        method = made(write_network(path, output=f'"{output}"'))
        assert (method.output, method.label) == (output, "onnx+net")
        assert registry.create(f"onnx:mine={path}").label == "onnx+mine"

    def test_a_run(self, path, tiny, tmp_path):
        write_network(path, output='"log_density"')
        result = Evaluation(tiny, PROTOCOLS["tuebingen"], tmp_path / "out", Runtime(progress=False)).run(f"onnx:{path}")
        assert (result.n_failed, result.n_resized) == (0, 0)
        assert np.isfinite(result.metrics["ig"]["mean"])
        assert "not known to salbench" in result.notes[0]


def test_the_hash_is_that_of_the_file_its_settings_and_its_weights(path, tmp_path):
    hashes = [made(write_network(path)).weights_hash(), made(write_network(path, white="255")).weights_hash()]
    (tmp_path / "net.onnx.data").write_bytes(b"weights")
    hashes.append(made(path).weights_hash())
    (tmp_path / "net2.onnx").write_bytes(b"another network")
    assert made(path).weights_hash() == hashes[-1]
    assert len(set(hashes)) == 3


class TestProblems:
    SETTINGS = (
        ({"output": '"heat"'}, "output: expected one of map, density, log_density, got 'heat'"),
        ({"layout": '"CHWN"'}, "layout: expected one of NCHW, NHWC"),
        ({"channels": '"GBR"'}, "channels: expected one of RGB, BGR"),
        ({"mean": "[1, 2]"}, "mean: expected a list of 3 numbers"),
        ({"std": "[1, 0, 1]"}, "std: expected a list of 3 numbers, not 0"),
        ({"size": "[0, 2]"}, "size: expected a list of 2 numbers, not 0"),
        ({"size": "[30000, 30000]"}, r"size: expected height and width of at most \d+ pixels, got \(30000, 30000\)"),
        ({"size": "[1.5, 2]"}, r"size: expected height and width of at most \d+ pixels, got \(1.5, 2\)"),
        ({"means": "[1, 1, 1]"}, "expected no 'means'; a complete example"),
        ({"white": "255 255"}, "a complete example"),
    )

    @pytest.mark.parametrize(("settings", "message"), SETTINGS)
    def test_settings(self, path, settings, message):
        write_network(path, **settings)
        with pytest.raises(FileProblem, match=rf"net\.onnx\.toml: .*{message}"):
            made(path)

    def test_missing_lines(self, path):
        write_network(path).with_name("net.onnx.toml").write_text('output = "map"\n')
        with pytest.raises(FileProblem, match=r"missing 2 required .* 'mean' and 'std'; a complete example"):
            made(path)

    def test_missing_files(self, path):
        with pytest.raises(FileProblem, match=r"net\.onnx: expected an ONNX file, found none"):
            made(path)
        path.write_bytes(b"")
        with pytest.raises(FileProblem, match=r"net\.onnx\.toml: no such file; expected how .* output = \"map\""):
            made(path)
        with pytest.raises(MethodUnavailable, match="needs a file: --methods onnx:FILE"):
            registry.create("onnx")

    NETWORKS = (
        ({"shape": (1, 1, "h", "w")}, "expected an input NCHW of one RGB image, got"),
        ({"shape": (1, 24, 32, 3)}, "expected an input NCHW of one RGB image, got"),
        ({"shape": (8, 3, "h", "w")}, "expected an input NCHW of one RGB image, got"),
        ({"inputs": ("image", "prior")}, "expected a network with one input, the image, got image, prior"),
        ({"kind": TensorProto.INT64}, "expected an input of type float, float16, double, uint8, got int64"),
        ({"shape": (1, 3, 12, 20), "size": "[20, 12]"}, r"size: the network takes \[12, 20\], got \[20, 12\]"),
        ({"output_name": '"map"'}, "output_name: expected one of mean, dark, got 'map'"),
    )

    @pytest.mark.parametrize(("network", "message"), NETWORKS)
    def test_networks(self, path, tiny, tmp_path, network, message):
        method = made(write_network(path, **network))
        with pytest.raises(FileProblem, match=message):
            method.notes()
        broken = Evaluation(tiny, PROTOCOLS["mit"], tmp_path / "out", Runtime(progress=False)).run(f"onnx:{path}")
        assert "net.onnx" in broken.reason, "told once, not for every image"

    def test_a_damaged_file(self, path):
        write_network(path).write_bytes(path.read_bytes()[:-40])
        with pytest.raises(FileProblem, match=r"net\.onnx: onnxruntime cannot load it"):
            made(path).notes()

    def test_a_vector_is_no_map(self, path, sample):
        write_network(path)
        model = onnx.load(path)
        model.graph.node[1].attribute[0].ints[:] = [1, 2, 3]
        model.graph.node[1].attribute.append(onnx.helper.make_attribute("keepdims", 0))
        onnx.save(model, path)
        with pytest.raises(FileProblem, match=r"output mean: expected a map of shape .*, got shape \(1,\)"):
            made(path).predict(sample)

    def test_a_device_that_onnxruntime_has_not(self, path):
        write_network(path)
        method = made(path)
        method.runtime = SimpleNamespace(device="cuda")
        with pytest.raises(MethodUnavailable, match="needs onnxruntime-gpu for --device cuda"):
            method.notes()
