"""How expected.npz was made: by the reference interpreter, on two pictures of ../weights.py.

    python -m pip install ai-edge-litert==2.3.0 && python make.py center.tflite

center.tflite is that of methods/attention_center/convert.py. For the pictures of 480 x 640 pixels, variants 0 and 1:
<variant>/map_every8 is every eighth row and column of the tensor `Sigmoid`, <variant>/stats its mean, standard
deviation, minimum and maximum, and <variant>/center the graph's output, x and y. Tensors are kept and no delegate is
used.
"""
import runpy
import sys
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

FOLDER = Path(__file__).resolve().parent
SIGMOID = 1583  # index of the tensor

sys.modules.setdefault("torch", MagicMock())  # the pictures need none
synthetic_rgb = runpy.run_path(str(FOLDER.parent / "weights.py"))["synthetic_rgb"]

interpreter = Interpreter(
    sys.argv[1],
    experimental_preserve_all_tensors=True,
    experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
)
interpreter.allocate_tensors()
(output,) = interpreter.get_output_details()
expected = {}
for variant in (0, 1):
    picture = synthetic_rgb(480, 640, variant)
    interpreter.set_tensor(1, picture[None].astype(np.float32) / 255)
    interpreter.invoke()
    saliency = interpreter.get_tensor(SIGMOID)[0]
    expected[f"{variant}/map_every8"] = saliency[::8, ::8]
    expected[f"{variant}/stats"] = np.array([saliency.mean(), saliency.std(), saliency.min(), saliency.max()])
    expected[f"{variant}/center"] = interpreter.get_tensor(output["index"])[0]
np.savez_compressed(FOLDER / "expected.npz", **expected)
