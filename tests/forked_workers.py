"""Workers of Dask that are forks of the process of the tests, which has imported what they need: they start at once.

They know what this process knew when the first of them was started.
"""

import importlib
import os
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, resource_tracker, util

import dask
import pytest
from distributed import LocalCluster
from distributed.utils import get_mp_context

IMPORTED = "salbench.ablation.run", "torch._dynamo", "compiled_metrics"  # by now, if other tests needed them


@contextmanager
def workers_are_forks():
    """Within it, processes that Dask starts are such forks. They do not get the variables that `connect` sets."""
    for name in IMPORTED:
        importlib.import_module(name)
    with dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}):
        get_mp_context().set_forkserver_preload([])
        resource_tracker.ensure_running()  # a program of its own
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(util, "spawnv_passfds", _fork)
            forkserver.ensure_running()
        yield


def _fork(path, words, files):
    """Start the server that forks for each worker: not as a new program, but as a fork of this one."""
    server = os.fork()
    if not server:
        try:
            _close_other_ends(files)
            exec(words[-1])  # what the program would do
        finally:
            os._exit(1)
    return server


def _close_other_ends(files):
    """Close the other ends of pipes: the server ends when no process has that of its own."""
    for number in set(map(int, os.listdir("/dev/fd"))) - set(files):
        with suppress(OSError):  # that of the folder is closed by now
            if any(os.path.sameopenfile(number, file) for file in files):
                os.close(number)


def local_cluster(number):
    """Start a cluster of so many processes."""
    with workers_are_forks():
        return LocalCluster(number, threads_per_worker=1, dashboard_address=None, silence_logs=50)
