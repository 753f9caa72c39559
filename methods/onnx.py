"""Networks exported to ONNX, with a small TOML file beside them that says how they see an image."""

import tomllib
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from PIL import Image

from salbench.files import MAX_PIXELS, FileProblem, hash_bytes, hash_file, map_of_array
from salbench.registry import OUTPUTS, MethodUnavailable, SaliencyMethod, register
from salbench.sample import Sample

from ._spec import label_of

EXAMPLE = 'output = "map", size = [240, 320], mean = [0.485, 0.456, 0.406], std = [0.229, 0.224, 0.225]'
LAYOUTS = {"NCHW": (2, 0, 1), "NHWC": (0, 1, 2)}  # order of height, width, channel without the batch
TYPES = {"float": np.float32, "float16": np.float16, "double": np.float64, "uint8": np.uint8}


@dataclass(frozen=True)
class Settings:
    """What FILE.toml says.

    Attributes:
        output: "map", "density" or "log_density".
        mean, std: one number per channel; the network gets (pixel - mean) / std.
        white: value of a white pixel before mean and std: 1 or 255.
        size: (height, width) of the images that the network gets; by default what the file says, otherwise their own.
        layout: order of the axes, "NCHW" or "NHWC".
        channels: "RGB" or "BGR".
        output_name: of the network's output that is the map; by default the first.
    """

    output: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    white: float = 1.0
    size: tuple[int, ...] | None = None
    layout: str = "NCHW"
    channels: str = "RGB"
    output_name: str | None = None

    def __post_init__(self) -> None:
        _check_choice("output", self.output, OUTPUTS)
        _check_choice("layout", self.layout, tuple(LAYOUTS))
        _check_choice("channels", self.channels, ("RGB", "BGR"))
        for name in ("mean", "std"):
            _check_numbers(name, getattr(self, name), 3)
        if self.size is not None:
            _check_numbers("size", self.size, 2)
            if not all(isinstance(side, int) for side in self.size) or self.size[0] * self.size[1] > MAX_PIXELS:
                raise ValueError(f"size: expected height and width of at most {MAX_PIXELS} pixels, got {self.size!r}")


@register
class Onnx(SaliencyMethod):
    """A network in an ONNX file: onnx:FILE, with its preprocessing in FILE.toml."""

    output = "map"

    def __init__(self, argument: str) -> None:
        """Read the settings. The network is loaded at the first prediction.

        Args:
            argument: the .onnx file, after NAME= if wanted; NAME labels the row in tables, by default the file's stem
                does.

        Raises:
            MethodUnavailable: no file is given.
            FileProblem: a file is missing, or FILE.toml says something else than expected.
        """
        if not argument:
            raise MethodUnavailable("needs a file: --methods onnx:FILE")
        name, rest = label_of(argument)
        self._path = Path(rest).expanduser().resolve()
        if not self._path.is_file():
            raise FileProblem(f"{self._path}: expected an ONNX file, found none")
        self._settings = _read_settings(self._path.with_name(f"{self._path.name}.toml"))
        self.output = self._settings.output
        self.variant = name or self._path.stem
        self._lock = Lock()

    def weights_hash(self) -> str:
        """16 hex digits of the ONNX file, its settings, and the files of weights beside it that begin with its name."""
        return hash_bytes(*(hash_file(path) for path in sorted(self._path.parent.glob(f"{self._path.name}*"))))

    def notes(self) -> list[str]:
        """What salbench does not know about the network. Loads it, so that a run stops before the first image."""
        with self._lock:
            assert self._network
        return ["an ONNX file: what it was trained on is not known to salbench."]

    def predict(self, sample: Sample) -> np.ndarray:
        """The network's map of an image.

        Raises:
            MethodUnavailable: onnxruntime cannot use the runtime's device.
            FileProblem: the file is no network from one image to one map.
        """
        with self._lock:
            network = self._network
        (found,) = network.run([self._output_name], {network.get_inputs()[0].name: self._input(sample.image)})
        return map_of_array(np.asarray(found), f"{self._path}: output {self._output_name}")

    def _input(self, image: np.ndarray) -> np.ndarray:
        settings, size = self._settings, self._size
        if size is not None:
            image = np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))
        if settings.channels == "BGR":
            image = image[..., ::-1]
        pixels = (image * (settings.white / 255) - np.array(settings.mean)) / np.array(settings.std)
        return pixels.transpose(LAYOUTS[settings.layout])[None].astype(self._type)

    @cached_property
    def _network(self) -> Any:
        import onnxruntime

        wanted = "CPUExecutionProvider" if self.runtime.device == "cpu" else "CUDAExecutionProvider"
        if wanted not in onnxruntime.get_available_providers():
            raise MethodUnavailable(f"needs onnxruntime-gpu for --device {self.runtime.device}, or --device cpu")
        try:
            network = onnxruntime.InferenceSession(self._path, providers=[wanted])
        except Exception as error:  # onnxruntime has no base class for its errors
            raise FileProblem(f"{self._path}: onnxruntime cannot load it: {error}") from error
        self._check(network)
        return network

    def _check(self, network: Any) -> None:
        inputs, outputs = network.get_inputs(), [output.name for output in network.get_outputs()]
        if len(inputs) != 1:
            names = ", ".join(each.name for each in inputs)
            raise FileProblem(f"{self._path}: expected a network with one input, the image, got {names}")
        self._output_name = self._settings.output_name or outputs[0]
        if self._output_name not in outputs:
            raise FileProblem(
                f"{self._path}.toml: output_name: expected one of {', '.join(outputs)}, got {self._output_name!r}"
            )
        kind = inputs[0].type.removeprefix("tensor(").removesuffix(")")
        if kind not in TYPES:
            raise FileProblem(f"{self._path}: expected an input of type {', '.join(TYPES)}, got {kind}")
        self._type, self._size = TYPES[kind], self._agreed_size(inputs[0].shape)

    def _agreed_size(self, shape: list[Any]) -> tuple[int, ...] | None:
        """(height, width) that the network takes, or None if it takes any; the file's shape may hold names or None."""
        order = LAYOUTS[self._settings.layout]
        if len(shape) != 4 or shape[1 + order.index(2)] not in (3, *_open(shape)) or shape[0] not in (1, *_open(shape)):
            raise FileProblem(f"{self._path}: expected an input {self._settings.layout} of one RGB image, got {shape}")
        own = shape[1 + order.index(0)], shape[1 + order.index(1)]
        given = self._settings.size
        if given and any(isinstance(side, int) and side != wanted for side, wanted in zip(own, given, strict=True)):
            raise FileProblem(f"{self._path}.toml: size: the network takes {list(own)}, got {list(given)}")
        return given or (own if all(isinstance(side, int) for side in own) else None)


def _open(shape: list[Any]) -> list[Any]:
    """The lengths in a shape that the file leaves open."""
    return [length for length in shape if not isinstance(length, int)]


def _read_settings(path: Path) -> Settings:
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
        unknown = sorted(set(given) - {field.name for field in fields(Settings)})
        if unknown:
            raise ValueError(f"expected no {unknown[0]!r}")
        return Settings(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})
    except FileNotFoundError as error:
        raise FileProblem(
            f"{path}: no such file; expected how the network sees an image, a line for each of: {EXAMPLE}"
        ) from error
    except (ValueError, TypeError) as error:
        raise FileProblem(f"{path}: {error}; a complete example, a line for each: {EXAMPLE}") from error


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")


def _check_numbers(name: str, values: Any, length: int) -> None:
    is_right = isinstance(values, tuple) and len(values) == length and all(isinstance(v, int | float) for v in values)
    if not is_right or (name in ("std", "size") and not all(v > 0 for v in values)):
        raise ValueError(f"{name}: expected a list of {length} numbers, not 0 for std and size, got {values!r}")
