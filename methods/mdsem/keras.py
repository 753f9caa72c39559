"""How Keras names and lays out the parameters of mdsem's network in the published file."""

from collections.abc import Sequence

# Layers that Keras numbers; the names of others are ours, with "_" for ".".
LAYERS = {f"block{block}.shortcut": f"conv2d_{i}" for i, block in enumerate((2, 3, 4, 13), 1)}
LAYERS |= {f"block{block}.shortcut_bn": f"batch_normalization_{i}" for i, block in enumerate((2, 3, 4, 13), 1)}
LAYERS |= {"attention.dense1": "time_distributed_2", "attention.lstm": "lstm_1"}
LAYERS |= {"attention.dense2": "time_distributed_3"}
LAYERS |= {f"decoder.conv{i}": f"time_distributed_{n}" for i, n in enumerate((4, 5, 7, 8, 10, 11, 13), 1)}

PARAMETERS = {
    "depthwise.weight": "depthwise_kernel", "pointwise.weight": "pointwise_kernel",
    "input.weight": "kernel", "recurrent.weight": "recurrent_kernel", "recurrent.bias": "bias",
    "weight": "kernel", "bias": "bias",
}  # fmt: skip
NORM_PARAMETERS = {
    "weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance",
}  # fmt: skip


def keras_name(name: str) -> str:
    """The name in the file of a parameter of ours.

    "encoder.block1.conv1_bn.running_mean" is "block1_conv1_bn/block1_conv1_bn/moving_mean:0".
    """
    parameters = NORM_PARAMETERS if "_bn." in name else PARAMETERS
    ours = next(ending for ending in parameters if name.endswith(f".{ending}"))
    module = name.removeprefix("encoder.").removesuffix(f".{ours}")
    layer = LAYERS.get(module, module.replace(".", "_"))
    return f"{layer}/{layer}/{parameters[ours]}:0"


def axes(name: str, ndim: int) -> tuple[int, ...]:
    """The axes of a tensor in the file in our order: `tensor.permute(axes(name, tensor.ndim))` is ours.

    Kernels are (rows, columns, in, out) in the file, those of depthwise convolutions (rows, columns, channels, 1).
    """
    if "depthwise" in name:
        return 2, 3, 0, 1
    return {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}[ndim]


def keras_shape(name: str, shape: Sequence[int]) -> list[int]:
    """The shape in the file of a parameter, from its name in the file and our shape."""
    return [length for _, length in sorted(zip(axes(name, len(shape)), shape, strict=True))]
