"""salbench: score models that predict where people look.

    from salbench import evaluate, load_dataset, load_method, predict, score

    predict("photo.jpg")                                        # where people look, as a map
    score(prediction, fixations=[(12.0, 40.5), (77.2, 31.0)])   # one map, no data set
    evaluate(["center_bias", "lite"], "popout", out="results")  # a table, resumable

Data flows one way: data set -> method -> protocol -> metrics -> result file -> table or submission. Every room on that
line is a module of this package; docs/pages/architecture.md describes them. Importing `salbench` imports none of them,
and neither torch nor pandas.
"""

import os
from typing import Any

__version__ = "0.2.0"
__all__ = ["evaluate", "from_pysaliency", "load_dataset", "load_method", "predict", "score", "to_pysaliency"]

DEFAULT_METHOD = "gaze_lite"  # predicts if no method is named

# Waiting threads of OpenMP give way after a moment. By default they spin, and a network takes up to twice as long while
# other programs hold the cores. GNU's and LLVM's libraries read these when torch is imported.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
os.environ.setdefault("KMP_BLOCKTIME", "1")


def __getattr__(name: str) -> Any:
    if name in __all__:
        from salbench import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
