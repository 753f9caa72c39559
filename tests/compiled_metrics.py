"""Importing this scores an image, which loads the compiled metrics: forks of the process need not do it again."""

import tempfile

from salbench.datasets import load
from salbench.evaluation import Evaluation
from salbench.protocol import PROTOCOLS
from salbench.runtime import Runtime

with tempfile.TemporaryDirectory() as folder:
    Evaluation(load("popout").first(1), PROTOCOLS["tuebingen"], folder, Runtime(workers=1, progress=False)).run("lite")
