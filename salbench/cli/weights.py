"""List or convert published weights, or get weights from Hugging Face.

`list` prints each file, whether it was found, its licence, what it was trained on, and the page to get it from. Files
trained on ImageNet alone are for `salbench fit --from imagenet`.
`convert` checks the files of a method and writes them as METHOD.safetensors beside them; salbench then uses that file.
`get` downloads best.safetensors, best.json and README.md, as `salbench fit` writes them, from a repository on the
Hugging Face hub, and prints where they are, which commit they are of, and how to score them.
"""

import argparse
import json
import shlex

from salbench.cli import _options

USAGE = "[list | convert | get] [options]"
EXAMPLES = (
    "salbench weights",
    "salbench weights list --methods unisal --weights-root DIR",
    "salbench weights convert --methods unisal",
    "salbench weights get --methods lite --hub OWNER/REPO@REVISION",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `salbench weights`."""
    parser.add_argument(
        "what", nargs="?", choices=("list", "convert", "get"), default="list", help="what to do (default: list)"
    )
    parser.add_argument(
        "--methods",
        default="all",
        metavar="NAMES",
        help="methods, separated by commas, or all (default: all); see: salbench list methods",
    )
    parser.add_argument(
        "--hub",
        metavar="OWNER/REPO[@REVISION]",
        help="for get: a repository on the Hugging Face hub with the weights of one method; REVISION is a branch, tag "
        "or commit (default: the newest commit)",
    )
    parser.add_argument("--json", action="store_true", help="print the list as JSON")
    _options.add_folders(parser, "weights_root", "methods_dir")


def execute(options: argparse.Namespace) -> int:
    """List, convert or download; returns 1 if there was nothing to convert."""
    from salbench import listing, registry

    if options.what == "get":
        return _get(options)
    names = _options.methods(options)
    rows = listing.checkpoints(names, options.weights_root)
    if not rows:
        raise registry.MethodProblem(f"--methods: expected methods with published weights, got {options.methods}")
    if options.what == "convert":
        return _convert(options, [name for name in names if registry.get(name).checkpoints])
    print(json.dumps(rows, indent=2) if options.json else listing.text(rows))
    return 0


def _convert(options: argparse.Namespace, names: list[str]) -> int:
    from salbench import registry

    runtime, skipped = _options.runtime(options), 0
    for name in names:
        method = registry.create(name, runtime)
        try:
            print(f"{name}: {method.convert()}, hash {method.weights_hash()}")
        except registry.MethodUnavailable as reason:
            print(f"skipped {name}: {reason}")
            skipped += 1
    return int(skipped == len(names))


def _get(options: argparse.Namespace) -> int:
    from salbench import registry
    from salbench.training import LearnedMethod
    from salbench.weights.hub import from_hub

    name = _options.one_spec(options)
    if not issubclass(registry.get(name), LearnedMethod):
        raise registry.MethodProblem(f"{name}: expected a method that can be trained; see: salbench list methods")
    if options.hub is None:
        raise ValueError("weights get: expected --hub OWNER/REPO")
    repository, folder = options.hub.partition("@")[0], from_hub(options.hub)
    spec = f"{name}:{repository.partition('/')[2]}={folder}"
    print(f"{name}: {folder}, hash {registry.create(spec).weights_hash()}")
    print(f"the same again: --hub {repository}@{folder.name}")
    print(f"score it with: salbench run --dataset NAME --methods {shlex.quote(spec)}{registry.folder_option(name)}")
    return 0
