"""Files of weights from Caffe, Keras, Lasagne and TensorFlow: read without those programs, by name or by order."""

import re
import runpy

import conformance
import numpy as np
import pytest
import torch

from salbench import weights
from salbench.weights import WeightsProblem, matched
from salbench.weights._protobuf import parts

KIT = conformance.KITS / "caffemodel_reader"


@pytest.fixture(scope="module")
def blobs():
    """What the files of the kit hold, which Caffe's own classes wrote."""
    space = runpy.run_path(str(conformance.KITS / "weights.py"))
    spec = space["load_spec"](KIT / "state_dict.json")
    state = space["seeded_state_dict"](spec, 1.0, [])
    return {key: state[key].reshape(shape) for key, shape, _ in spec}


class TestCaffemodel:
    @pytest.mark.parametrize(("version", "lacks"), [("v0", 1), ("v1", 1), ("v2", 0), ("v2_mixed", 0)])
    def test_blobs_are_those_that_caffe_wrote(self, version, lacks, blobs):
        found = weights.read(KIT / f"tiny_{version}.caffemodel")
        assert len(found) == len(blobs) - lacks  # old files have no blob without axes
        shapes = {name: tensor.shape for name, tensor in blobs.items() if name in found}
        for name, tensor in matched(found, shapes).items():
            assert torch.equal(tensor.float(), blobs[name])

    @pytest.mark.parametrize("version", ["v1", "v2"])
    def test_a_file_of_one_blob(self, version, blobs, tmp_path):
        """A kernel, as Caffe wrote it in a file of a whole network."""
        network = memoryview((KIT / f"tiny_{version}.caffemodel").read_bytes())
        layers, own = {"v1": (2, 6), "v2": (100, 7)}[version]
        written = [blob for layer in parts(network, layers) for blob in parts(layer, own)]
        (tmp_path / "mean.binaryproto").write_bytes(written[0])
        found = weights.read(tmp_path / "mean.binaryproto")
        assert torch.equal(found, blobs["conv1.0"])

    @pytest.mark.parametrize("at", [50, 400, 900, 1060])
    def test_truncated(self, at, tmp_path):
        path = tmp_path / "a.caffemodel"
        path.write_bytes((KIT / "tiny_v2.caffemodel").read_bytes()[:at])
        with pytest.raises(WeightsProblem, match=r"a\.caffemodel: damaged, or not a file of weights"):
            weights.read(path)

    def test_a_blob_with_too_few_numbers(self, tmp_path):
        path = tmp_path / "a.caffemodel"
        content = bytearray((KIT / "tiny_v1.caffemodel").read_bytes())
        at = content.index(bytes([8, 4, 16, 3, 24, 3, 32, 3]))  # num 4, channels 3, height 3, width 3
        content[at + 1] = 5
        path.write_bytes(content)
        with pytest.raises(WeightsProblem, match=r"expected 135 numbers in a blob of shape \(5, 3, 3, 3\), got 108"):
            weights.read(path)

    def test_any_bytes_are_read_or_refused(self, tmp_path):
        rng, path = np.random.default_rng(0), tmp_path / "a.caffemodel"
        whole = (KIT / "tiny_v2_mixed.caffemodel").read_bytes()
        refused = 0
        for _ in range(300):
            content = bytearray(whole)
            for at in rng.integers(0, len(whole), 3):
                content[at] = rng.integers(256)
            path.write_bytes(content)
            try:
                assert all(isinstance(tensor, torch.Tensor) for tensor in weights.read(path).values())
            except WeightsProblem:
                refused += 1
        assert 20 < refused < 280


LAYERS = {"conv": {"conv/kernel:0": (3, 3, 2, 4), "conv/bias:0": (4,)}, "relu": {}, "model": {"dense/kernel:0": (4, 1)}}


def save_keras(path, group=None, cut=False):
    """A file as Keras lays it out; `cut`: the names of layers are in numbered parts."""
    import h5py

    with h5py.File(path, "w") as file:
        root = file.create_group(group) if group else file
        names = [name.encode() for name in LAYERS]
        if cut:
            root.attrs["layer_names0"], root.attrs["layer_names1"] = names[:2], names[2:]
        else:
            root.attrs["layer_names"] = names
        for layer, tensors in LAYERS.items():
            folder = root.create_group(layer)
            folder.attrs["weight_names"] = [name.encode() for name in tensors]
            for name, shape in tensors.items():
                folder[name] = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


class TestKeras:
    @pytest.mark.parametrize("options", [{}, {"group": "model_weights"}, {"cut": True}])
    @pytest.mark.parametrize("ending", ["h5", "hdf5", "pkl"])
    def test_weights_in_the_order_of_the_layers(self, options, ending, tmp_path):
        save_keras(tmp_path / f"a.{ending}", **options)
        found = weights.read(tmp_path / f"a.{ending}")
        assert list(found) == ["conv/conv/kernel:0", "conv/conv/bias:0", "model/dense/kernel:0"]
        assert torch.equal(found["model/dense/kernel:0"], torch.arange(4.0)[:, None])

    def test_another_hdf5_file(self, tmp_path):
        import h5py

        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["weights"] = np.ones(3)
        with pytest.raises(WeightsProblem, match=r"a\.h5: damaged, or not a file of weights.*layer_names"):
            weights.read(tmp_path / "a.h5")

    def test_a_pickle_is_not_unpickled(self, tmp_path):
        (tmp_path / "a.pkl").write_bytes(b"\x80\x04N.")
        with pytest.raises(WeightsProblem, match=r"a\.pkl: damaged, or not a file of weights"):
            weights.read(tmp_path / "a.pkl")


GRAPH = conformance.KITS / "frozen_graph"


class TestFrozenGraph:
    def test_float32_constants_are_those_that_tensorflow_reads(self):
        """Also those that are not written out: one number for all, none for zeros, the last one for what follows."""
        found = weights.read(GRAPH / "tiny.pb")
        with np.load(GRAPH / "expected.npz") as file:
            expected = {name.replace("|", "/"): array for name, array in file.items()}
        assert list(found) == list(expected)
        for name, array in expected.items():
            assert found[name].dtype == torch.float32
            np.testing.assert_array_equal(found[name].numpy(), array)
        assert {"conv1/conv1_1/kernel", "decoder/conv4/bias", "splat", "zeros", "repeated", "empty"} <= set(found)

    @pytest.mark.parametrize("at", [50, 400, 3000])
    def test_truncated(self, at, tmp_path):
        path = tmp_path / "a.pb"
        path.write_bytes((GRAPH / "tiny.pb").read_bytes()[:at])
        with pytest.raises(WeightsProblem, match=r"a\.pb: damaged, or not a file of weights"):
            weights.read(path)

    @pytest.mark.parametrize(("old", "new", "got"), [(3, 2, 216), (8, 9, 216)])
    def test_an_array_of_another_shape(self, old, new, got, tmp_path):
        """The kernel has 3 x 3 x 3 x 8 numbers; with too few of them nothing says what the others are."""
        content, path = bytearray((GRAPH / "tiny.pb").read_bytes()), tmp_path / "a.pb"
        shape = b"".join(bytes([18, 2, 8, size]) for size in (3, 3, 3, 8))
        at = content.index(shape) + shape.index(bytes([8, old])) + 1
        content[at] = new
        path.write_bytes(content)
        with pytest.raises(WeightsProblem, match=rf"expected \d+ numbers in a tensor of shape .*, got {got}"):
            weights.read(path)

    def test_any_bytes_are_read_or_refused(self, tmp_path):
        rng, path = np.random.default_rng(0), tmp_path / "a.pb"
        whole = (GRAPH / "tiny.pb").read_bytes()
        refused = 0
        for _ in range(300):
            content = bytearray(whole)
            for at in rng.integers(0, len(whole), 3):
                content[at] = rng.integers(256)
            path.write_bytes(content)
            try:
                assert all(isinstance(tensor, torch.Tensor) for tensor in weights.read(path).values())
            except WeightsProblem:
                refused += 1
        assert 20 < refused < 280


def test_npz(tmp_path):
    np.savez(tmp_path / "a.npz", arr_0=np.ones((2, 3), np.float32), arr_1=np.zeros(2))
    found = weights.read(tmp_path / "a.npz")
    assert {name: tuple(tensor.shape) for name, tensor in found.items()} == {"arr_0": (2, 3), "arr_1": (2,)}


class TestMatched:
    TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.arange(2.0)}  # noqa: RUF012

    def test_by_name_whatever_the_order_and_whatever_else_there_is(self):
        found = matched({"x": torch.ones(1), **self.TENSORS}, {"b": (2,), "a": (2, 3)})
        assert list(found) == ["b", "a"]
        assert torch.equal(found["a"], self.TENSORS["a"])

    def test_by_order_with_a_warning(self):
        with pytest.warns(UserWarning, match=r"1 of 2 tensors have other names than expected, such as b for bias_1"):
            found = matched(self.TENSORS, {"a": (2, 3), "bias_1": (2,)})
        assert torch.equal(found["bias_1"], self.TENSORS["b"])

    def test_axes_of_length_one_do_not_count(self):
        found = matched({"a": torch.arange(3.0).reshape(1, 1, 1, 3)}, {"a": (3,)})
        assert torch.equal(found["a"], torch.arange(3.0))

    @pytest.mark.parametrize(
        ("shapes", "message"),
        [
            ({"a": (3, 2), "b": (2,)}, "a: expected shape (3, 2), got (2, 3)"),
            ({"bias": (2,), "kernel": (2, 3)}, "a: expected shape (2,), got (2, 3)"),
            ({"a": (2, 3), "b": (2,), "c": (1,)}, "expected 3 tensors, got 2, without c"),
        ],
    )
    def test_what_does_not_fit(self, shapes, message):
        with pytest.raises(LookupError, match=re.escape(message)):
            matched(self.TENSORS, shapes)
