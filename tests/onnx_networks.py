"""Tiny ONNX files: the mean of an image's channels, as a map."""

from pathlib import Path

import onnx
from onnx import TensorProto, helper

SETTINGS = {"output": '"map"', "mean": "[0.5, 0.4, 0.3]", "std": "[0.2, 0.3, 0.5]"}


def write_network(path: Path, shape=(1, 3, "h", "w"), kind=TensorProto.FLOAT, inputs=("image",), **settings) -> Path:
    """Write FILE and FILE.toml. `settings` replace or add lines of the latter."""
    axis = 3 if shape[-1] == 3 else 1
    given = [helper.make_tensor_value_info(name, kind, shape) for name in inputs]
    nodes = [
        helper.make_node("Cast", [inputs[0]], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats"], ["mean"], axes=[axis]),
        helper.make_node("Neg", ["mean"], ["dark"]),
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("mean", "dark")]
    graph = helper.make_graph(nodes, "mean", given, outputs)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    lines = [f"{name} = {value}" for name, value in (SETTINGS | settings).items()]
    path.with_name(f"{path.name}.toml").write_text("\n".join(lines) + "\n")
    return path
