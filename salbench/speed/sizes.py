"""What a method costs with networks of another size than its own, such as a published model's, with random weights.

Seconds, operations and bytes of each part of a prediction, beside the rate at which the same device multiplies matrices
of the same type. Then the time of edits, if the method makes some. Each type of number is measured in a process of its
own, because peak memory is a number per process.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tabulate import tabulate

from salbench import registry
from salbench.metrics.cc import cc
from salbench.predict_pictures import map_of
from salbench.registry import MethodProblem, MethodUnavailable
from salbench.runtime import Runtime
from salbench.sample import Sample
from salbench.speed import machine
from salbench.speed.methods import SIZE, synthetic_samples
from salbench.suggestions import suggestion

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

CAPTION = "a red bus on a street"  # prompts are part of the work
ENOUGH = 10.0  # seconds of repeats that a mean is taken over
SIDE, PRODUCTS = 4096, 10  # of the matrices whose product is timed; products in a row
ALL = "a prediction"
COLUMNS = (
    "part", "parameters", "type", "seconds", "TFLOP", "weights", "other tensors", "TFLOP/s", "share", "peak memory"
)  # fmt: skip
EDIT_COLUMNS = "edit", "what", "seconds", "relative", "edits per minute", "peak memory"
NOTES = f"""\
Weights are random, which takes as long as trained ones. A prediction is that of one picture of 600 x 800 pixels with a
caption. Each part ends before the next one starts.
TFLOP: 10^12 operations, counted by torch's FlopCounterMode: products of matrices, convolutions and attention.
Weights, other tensors: bytes that operations read and write, as if no cache kept them. An embedding counts as its whole
table.
Share: of the rate at which this device multiplies matrices of {SIDE} x {SIDE} numbers of the same type. It can exceed
100 %, because some convolutions get by with fewer operations than are counted.
Peak memory: up to then; on a CPU of the whole process, Python included, on a GPU what torch held.
Relative: seconds divided by those of the first row of the same type of edit."""


@dataclass(frozen=True)
class Part:
    """What was measured for a part of a prediction.

    Attributes:
        name: as in the table.
        parameters: their number.
        dtype: type of its numbers.
        seconds: mean.
        operations: additions and multiplications.
        weights: bytes of parameters that operations read.
        others: bytes of other tensors that operations read and write.
        rate: operations per second of a product of matrices of the same type.
    """

    name: str
    parameters: int
    dtype: str
    seconds: float
    operations: float
    weights: float
    others: float
    rate: float

    @property
    def shortest(self) -> float:
        """Seconds that the operations would take at `rate`."""
        return self.operations / self.rate


@dataclass(frozen=True)
class Edit:
    """What was measured for some work on edits.

    Attributes:
        type: of the edits.
        what: was done.
        number: of edits that were made.
        seconds: mean.
        memory: bytes at the peak so far.
    """

    type: str
    what: str
    number: int
    seconds: float
    memory: int


@dataclass(frozen=True)
class Cost:
    """What was measured with one type of numbers.

    Attributes:
        label: the method's.
        dtype: the type.
        rates: {type: operations per second of a product of matrices}.
        parts: the parts of a prediction.
        memory: bytes at the peak of a prediction.
        map: the predicted map, with a peak of one.
        edits: empty if the method makes none.
    """

    label: str
    dtype: str
    rates: Mapping[str, float]
    parts: Sequence[Part]
    memory: int
    map: np.ndarray
    edits: Sequence[Edit]


def report(specs: Sequence[str], size: str, runtime: Runtime, methods_dir: Path | str | None = None) -> tuple[str, int]:
    """Measure methods; returns (report as text, number of methods that were measured)."""
    found, skipped = [], []
    for spec in specs:
        try:
            _check(spec, size, runtime)
            costs = []
            for dtype in dtypes(runtime.device):
                log.info("measuring %s, %s, %s", spec, size, dtype)
                costs.append(machine.in_fresh_process(measure, spec, size, dtype, runtime, methods_dir))
            found.append("\n\n".join(_tables(costs, size)))
        except (MethodUnavailable, MethodProblem) as reason:
            skipped.append(f"skipped {spec}: {reason}")
    return "\n\n".join([machine.described_for(runtime.device), *found, *skipped, NOTES]), len(found)


def _check(spec: str, size: str, runtime: Runtime) -> None:
    """Raise `MethodProblem` if a method does not have the size."""
    sizes = registry.create(spec, runtime).sizes
    if not sizes:
        raise MethodProblem("has no other size than its own; leave out --size")
    if size not in sizes:
        raise MethodProblem(suggestion("size", size, sizes))


def dtypes(device: str) -> tuple[str, ...]:
    """float32, and the type of half the length that the device multiplies matrices of, if there is one."""
    if device == "cpu":
        return ("float32", "bfloat16") if machine.has_bfloat16() else ("float32",)
    import torch

    return "float32", "bfloat16" if torch.cuda.get_device_capability(device) >= (8, 0) else "float16"


def measure(spec: str, size: str, dtype: str, runtime: Runtime, methods_dir: Path | str | None = None) -> Cost:
    """Measure one method with one type of numbers.

    Args:
        spec: the method as typed.
        size: one of its `sizes`.
        dtype: type of the numbers in frozen networks.
        runtime: the device.
        methods_dir: folder of further methods.
    """
    import torch

    torch.backends.cudnn.allow_tf32 = dtype != "float32"  # other types are compared with float32
    if methods_dir:
        registry.add_folder(methods_dir)
    method = registry.create(spec, replace(runtime, init="random"))
    sized = method.at_size(size, dtype)
    rates = {name: matrix_rate(name, runtime.device) for name in sorted({dtype, *map(_dtype, sized.parts.values())})}
    with tempfile.TemporaryDirectory() as folder:
        sample = replace(synthetic_samples(Path(folder), SIZE)[0], caption=CAPTION)
        predictions = list[np.ndarray]()
        parts = _parts(lambda: predictions.append(method.predict(sample)), sized.parts, dtype, rates, runtime.device)
        memory, map_ = machine.peak_memory(runtime.device), map_of(predictions[-1], method.output, sample.size)
        edits = [
            _edit(type, what, make, sample, runtime.device)
            for type, works in sized.edits.items()
            for what, make in works.items()
        ]
        return Cost(method.label, dtype, rates, parts, memory, map_, edits)


def matrix_rate(dtype: str, device: str) -> float:
    """Operations per second of products of square matrices: 2 SIDE^3 for each."""
    import torch

    a, b = (torch.randn(SIDE, SIDE, dtype=getattr(torch, dtype), device=device) for _ in range(2))

    def products() -> None:
        for _ in range(PRODUCTS):
            a @ b

    products()  # the first one is slower
    return 2 * SIDE**3 * PRODUCTS / mean_seconds(products, {}, device)[machine.REST]


def mean_seconds(function: Callable[[], object], parts: Mapping[str, torch.nn.Module], device: str) -> dict[str, float]:
    """Mean seconds of calls of a function, which take ENOUGH together: of each part, and of the rest."""
    rounds = list[dict[str, float]]()
    while sum(sum(times.values()) for times in rounds) < ENOUGH:
        rounds.append(machine.charged(function, parts, partial(machine.now, device)))
    return {name: float(np.mean([times[name] for times in rounds])) for name in rounds[0]}


def _parts(
    predict: Callable[[], object],
    networks: Mapping[str, torch.nn.Module],
    dtype: str,
    rates: Mapping[str, float],
    device: str,
) -> list[Part]:
    counts = counted(predict, networks)  # this call also warms up
    times = mean_seconds(predict, networks, device)
    about = {name: (sum(p.numel() for p in n.parameters()), _dtype(n)) for name, n in networks.items()}
    parts = []
    for name, (parameters, type) in (about | {machine.REST: (0, dtype)}).items():
        operations, weights, others = counts[name]
        parts.append(Part(name, parameters, type, times[name], operations, weights, others, rates[type]))
    return parts


def _dtype(network: torch.nn.Module) -> str:
    return str(next(network.parameters()).dtype).removeprefix("torch.")


def counted(function: Callable[[], object], parts: Mapping[str, torch.nn.Module]) -> dict[str, np.ndarray]:
    """Operations, bytes of the parts' weights, and bytes of other tensors of a call, for each part and for the rest."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

    attention = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu  # torch counts that of GPUs only
    formulas = {attention: lambda query, key, value, *_, **__: sdpa_flop_count(query, key, value)}
    traffic = _traffic(p for network in parts.values() for p in network.parameters())
    with traffic, FlopCounterMode(display=False, custom_mapping=formulas) as operations:
        return machine.charged(
            function, parts, lambda: np.array([operations.get_total_flops(), traffic.weights, traffic.others], float)
        )


def _traffic(weights: Iterable[torch.Tensor]) -> Any:
    """A context that counts the bytes of these weights and of other tensors that operations read and write."""
    from torch import Tensor
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    places = {weight.untyped_storage().data_ptr() for weight in weights}

    class Traffic(TorchDispatchMode):
        weights = others = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            result = func(*args, **(kwargs or {}))
            if not func.is_view:
                for tensor in (leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, Tensor)):
                    if tensor.untyped_storage().data_ptr() in places:
                        self.weights += tensor.nbytes
                    else:
                        self.others += tensor.nbytes
            return result

    return Traffic()


def _edit(type: str, what: str, make: Callable[[Sample], int], sample: Sample, device: str) -> Edit:
    made = list[int]()
    time = mean_seconds(lambda: made.append(make(sample)), {}, device)[machine.REST]
    return Edit(type, what, made[-1], time, machine.peak_memory(device))


def _tables(costs: Sequence[Cost], size: str) -> list[str]:
    """Tables of each type of numbers, and how far its map is from that of the first type."""
    texts = []
    for cost in costs:
        rates = ", ".join(f"{rate / 1e12:.3g} TFLOP/s in {name}" for name, rate in cost.rates.items())
        texts += [f"{cost.label}, size {size}, {cost.dtype}; product of matrices: {rates}", _prediction(cost)]
        if cost.edits:
            texts.append(tabulate(_edit_rows(cost.edits), EDIT_COLUMNS, "github", disable_numparse=True))
    first, *others = costs
    for cost in others:
        difference = np.abs(cost.map - first.map).max()
        texts.append(
            f"The map in {cost.dtype} and that in {first.dtype}: CC {cc(cost.map, first.map):.4f}, largest difference "
            f"{difference:.2%} of the peak"
        )
    return texts if others else [*texts, "bfloat16 was not measured: this processor has no instructions for it"]


def _prediction(cost: Cost) -> str:
    rows = [[part.name, f"{part.parameters / 1e6:.1f} M", part.dtype, *_cells([part]), ""] for part in cost.parts]
    parameters = sum(part.parameters for part in cost.parts)
    rows.append([ALL, f"{parameters / 1e6:.1f} M", "", *_cells(cost.parts), f"{cost.memory / 1e9:.2f} GB"])
    return tabulate(rows, COLUMNS, "github", disable_numparse=True)


def _cells(parts: Sequence[Part]) -> list[str]:
    """Cells from seconds to share, for parts together."""
    seconds, operations = sum(p.seconds for p in parts), sum(p.operations for p in parts)
    sizes = sum(p.weights for p in parts), sum(p.others for p in parts)
    return [
        f"{seconds:.3g}",
        f"{operations / 1e12:.3g}",
        *(f"{size / 1e9:.3g} GB" for size in sizes),
        f"{operations / seconds / 1e12:.3g}",
        f"{sum(p.shortest for p in parts) / seconds:.0%}",
    ]


def _edit_rows(edits: Sequence[Edit]) -> list[list[str]]:
    rows = []
    for edit in edits:
        first = next(e for e in edits if e.type == edit.type)
        per_minute = f"{60 * edit.number / edit.seconds:.3g}" if edit.number else "–"
        cells = f"{edit.seconds:.3g}", f"{edit.seconds / first.seconds:.2f}", per_minute, f"{edit.memory / 1e9:.2f} GB"
        rows.append([edit.type, edit.what, *cells])
    return rows
