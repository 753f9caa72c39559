"""Workers of Dask that are forks of one process, which has imported and compiled what they need: they start at once."""

import os
from contextlib import contextmanager
from multiprocessing import forkserver
from pathlib import Path

import dask
import pytest
from distributed import LocalCluster
from distributed.utils import get_mp_context

IMPORTED = "pytest", "salbench.cluster", "salbench.ablation.run", "torch._dynamo", "compiled_metrics"


@contextmanager
def workers_are_forks():
    """Within it, processes that Dask starts are such forks. They do not get the variables that `connect` sets."""
    with dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}):
        get_mp_context().set_forkserver_preload(IMPORTED)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
            forkserver.ensure_running()
        yield


def local_cluster(number):
    """Start a cluster of so many processes."""
    with workers_are_forks():
        return LocalCluster(number, threads_per_worker=1, dashboard_address=None, silence_logs=50)
