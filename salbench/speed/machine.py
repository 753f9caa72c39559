"""What the speed reports share: a line about the machine, its clock, parts of a call, fresh processes, peak memory."""

from __future__ import annotations

import multiprocessing
import os
import platform
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from salbench import __version__

if TYPE_CHECKING:
    from torch import nn

REST = "the rest"  # of a call, outside its parts
_BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}  # what Linux calls it on x86, and last on ARM


def described(*packages: str) -> str:
    """One line: the processor, and the versions of Python, salbench and packages."""
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    python = f"Python {platform.python_version()}, salbench {__version__}"
    return f"{_cpu()}, {os.cpu_count()} cores; {python}, {versions}"


def described_for(device: str) -> str:
    """`described`, with the packages that methods compute with, and the name of the GPU if the device is one."""
    line = described(*(name for name in ("numpy", "scipy", "numba", "torch") if find_spec(name)))
    if device == "cpu":
        return line
    import torch

    return f"{line}; {torch.cuda.get_device_name(device)}"


def _cpu() -> str:
    names = _cpu_info("model name")
    return names[0] if names else platform.processor() or platform.machine()


def has_bfloat16() -> bool:
    """Whether the processor multiplies matrices of bfloat16, as far as Linux says."""
    return any(_BFLOAT16 & set(line.split()) for field in ("flags", "Features") for line in _cpu_info(field))


def _cpu_info(field: str) -> list[str]:
    """What Linux says in a field about each core; empty elsewhere."""
    info = Path("/proc/cpuinfo")
    pairs = [line.partition(":") for line in info.read_text().splitlines()] if info.exists() else []
    return [value.strip() for name, _, value in pairs if name.strip() == field]


def now(device: str) -> float:
    """Seconds of a clock, once the device has done all that it was given."""
    if device != "cpu":
        import torch

        torch.cuda.synchronize(device)
    return time.perf_counter()


def charged(function: Callable[[], object], parts: Mapping[str, nn.Module], read: Callable[[], Any]) -> dict[str, Any]:
    """What a meter counts during a call, charged to the part that is at work: of parts within parts, the innermost.

    Args:
        function: without arguments.
        parts: {name: network}. A part is at work during the network's forward passes.
        read: the meter, such as a clock: a number or an array, which only grows.

    Returns:
        {name: difference of readings} for each part and for REST.
    """
    at_work, last = [REST], read()
    charges = {name: 0 * last for name in (*parts, REST)}

    def charge() -> None:
        nonlocal last
        reading = read()
        charges[at_work[-1]] = charges[at_work[-1]] + reading - last
        last = reading

    def enter(name: str) -> None:
        charge()
        at_work.append(name)

    def leave() -> None:
        charge()
        at_work.pop()

    hooks = [p.register_forward_pre_hook(lambda *_, name=name: enter(name)) for name, p in parts.items()]
    hooks += [p.register_forward_hook(lambda *_: leave()) for p in parts.values()]
    try:
        function()
        charge()
    finally:
        for hook in hooks:
            hook.remove()
    return charges


def in_fresh_process(function: Callable[..., Any], *args: Any) -> Any:
    """What a module's function returns when called in a new process, which imports only what it needs."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


def peak_memory(device: str = "cpu") -> int:
    """Peak memory in bytes: on a CPU of this process, on a GPU of what torch held there.

    Linux carries the parent's peak over into a child's `ru_maxrss`; VmHWM is the process's own.
    """
    if device != "cpu":
        import torch

        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS
