"""How tiny.pb was made: a frozen graph that TensorFlow wrote, and expected.npz, its constants as TensorFlow reads them.

    python -m pip install tensorflow-cpu==2.21.0 && python make.py

The graph has variables that were frozen, as in published networks, and constants that went through TensorFlow's
optimiser. Their layouts are the bytes of an array, one number for all, and no numbers at all for zeros. Two constants
are lists of numbers, which TensorFlow reads: the last number stands for all that are left out. Some are not float32.
"""
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2
from tensorflow.python.grappler import tf_optimizer

FOLDER = Path(__file__).resolve().parent

tf1 = tf.compat.v1
tf1.disable_eager_execution()


def frozen():
    """A small network, whose variables are constants named conv1/conv1_1/kernel and so on."""
    x = tf1.placeholder(tf.float32, (1, 4, 5, 3), name="input")
    x = x * tf1.constant(0.5, name="scale") - tf1.constant([103.939, 116.779, 123.68], name="means")
    with tf1.variable_scope("conv1/conv1_1"):
        values = np.random.default_rng(0).standard_normal((3, 3, 3, 8), np.float32)
        kernel = tf1.get_variable("kernel", initializer=values)
        bias = tf1.get_variable("bias", initializer=np.full(8, 0.25, np.float32))
    x = tf1.nn.relu(tf1.nn.conv2d(x, kernel, padding="SAME") + bias)
    x = x + tf1.constant(-2.5, shape=(4, 5, 8), name="splat")
    with tf1.variable_scope("decoder/conv4"):
        x = x + tf1.get_variable("bias", initializer=np.float32([-1.5]))
    x = x + tf1.cast(tf1.constant(np.arange(8), tf.float64, name="float64"), tf.float32)
    x = x + tf1.cast(tf1.constant(np.arange(8), tf.float16, name="float16"), tf.float32)
    tf1.reduce_mean(x, tf1.constant([1, 2], tf.int32, name="axes"), name="output")
    with tf1.Session() as session:
        session.run(tf1.global_variables_initializer())
        return tf1.graph_util.convert_variables_to_constants(session, session.graph_def, ["output"])


def optimised():
    """Zeros and an empty constant, as the optimiser writes them."""
    x = tf1.placeholder(tf.float32, (40, 5), name="other_input")
    x = tf1.concat([x * tf1.zeros((40, 5), name="zeros"), tf1.zeros((0, 5), name="empty")], 0, name="other_output")
    graph = tf1.get_default_graph()
    meta = tf1.train.export_meta_graph(graph_def=graph.as_graph_def(), graph=graph)
    meta.collection_def["train_op"].node_list.value.append(x.op.name)
    config = config_pb2.ConfigProto()
    config.graph_options.rewrite_options.optimizers.append("constfold")
    config.graph_options.rewrite_options.min_graph_nodes = -1
    return tf_optimizer.OptimizeGraph(config, meta)


def listed(name, shape, numbers):
    """A constant as a list of numbers."""
    node = tf1.NodeDef(name=name, op="Const")
    tensor = node.attr["value"].tensor
    tensor.dtype = node.attr["dtype"].type = tf.float32.as_datatype_enum
    tensor.tensor_shape.CopyFrom(tf.TensorShape(shape).as_proto())
    tensor.float_val.extend(numbers)
    return node


with tf.Graph().as_default():
    graph = frozen()
with tf.Graph().as_default():
    graph.node.extend(optimised().node)
graph.node.extend([listed("numbers", (2, 3), range(6)), listed("repeated", (4, 5), (1, 2, 3))])
(FOLDER / "tiny.pb").write_bytes(graph.SerializeToString(deterministic=True))
constants = {node.name: tf.make_ndarray(node.attr["value"].tensor) for node in graph.node if node.op == "Const"}
floats = {name.replace("/", "|"): array for name, array in constants.items() if array.dtype == np.float32}
np.savez_compressed(FOLDER / "expected.npz", **floats)
