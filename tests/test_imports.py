"""The shape of the house: imports go down the layers, and importing the library stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAYERS = {
    "locks": -1, "mat_files": -1, "text_files": -1,
    "archives": 0, "checks": 0, "checksums": 0, "executors": 0, "files": 0, "identity": 0, "optional_packages": 0,
    "redaction": 0, "suggestions": 0, "writing": 0,
    "code_hash": 1, "figure": 1, "maps": 1, "metrics": 1, "named_regions": 1, "pictures": 1, "plugins": 1, "runtime": 1,
    "sample": 1, "progress": 1, "training_plan": 1,
    "attention_summary": 2, "augment": 2, "datasets": 2, "edits": 2, "journal": 2, "overlay": 2,
    "protocol": 2, "provenance": 2, "registry": 2, "results": 2, "stats": 2, "weights": 2,
    "cluster": 3, "contact_sheet": 3, "converters": 3, "dataset_files": 3, "edit_controls": 3, "prediction": 3,
    "tables": 3, "training": 3,
    "cluster_places": 4, "make_edits": 4, "listing": 4, "matrix": 4, "predict_pictures": 4, "scoring": 4,
    "submission": 4,
    "evaluation": 5,
    "ablation": 6, "adaptation": 6, "api": 6, "study": 6,
    "plots": 7, "report": 7, "result_archives": 7, "speed": 7,
    "cli": 8, "__main__": 9,
}  # fmt: skip
METHODS_MAY_IMPORT = {
    "archives", "checks", "edits", "files", "identity", "maps", "optional_packages", "registry", "runtime", "sample",
    "suggestions", "training", "training_plan", "weights", "writing",
}  # fmt: skip


@pytest.fixture(scope="module")
def trees():
    """{path: syntax tree} of all files of the library and the methods."""
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in LIBRARY + METHODS}


def walk(tree):
    """All nodes but those that only a type checker sees."""
    todo = [tree]
    while todo:
        node = todo.pop()
        if not (isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"):
            yield node
            todo += ast.iter_child_nodes(node)


def rooms_imported(tree):
    """Rooms of salbench that a file imports, anywhere in it."""
    rooms = set()
    for node in walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            parts = node.module.split(".")
            if parts == ["salbench"]:
                rooms |= {alias.name for alias in node.names} - {"__version__", "DEFAULT_METHOD"}
            elif parts[0] == "salbench":
                rooms.add(parts[1])
        elif isinstance(node, ast.Import):
            rooms |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("salbench.")}
    return rooms


def room_of(path):
    return path.relative_to(ROOT / "salbench").parts[0].removesuffix(".py")


LIBRARY = sorted(p for p in (ROOT / "salbench").rglob("*.py") if p != ROOT / "salbench" / "__init__.py")
METHODS = sorted((ROOT / "methods").rglob("*.py"))


def test_every_room_has_a_layer():
    assert {room_of(path) for path in LIBRARY} == set(LAYERS)


def test_imports_go_down_only(trees):
    for path in LIBRARY:
        room = room_of(path)
        wrong = {other for other in rooms_imported(trees[path]) if other != room and LAYERS[other] >= LAYERS[room]}
        assert not wrong, f"{path} (layer {LAYERS[room]}) imports {wrong}"


def test_a_method_knows_only_what_it_may(trees):
    for path in METHODS:
        assert rooms_imported(trees[path]) <= METHODS_MAY_IMPORT, path


def test_the_library_never_imports_methods(trees):
    for path in LIBRARY:
        for node in ast.walk(trees[path]):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not any(name.split(".")[0] == "methods" for name in names), path


def test_importing_stays_light():
    heavy = "torch", "diffusers", "transformers", "pandas", "matplotlib", "pysaliency"
    imports = "import salbench, benchmark, salbench.cli; from salbench import evaluation, listing, metrics, tables"
    code = f"import sys; {imports}; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_only_the_command_line_prints(trees):
    for path, tree in trees.items():
        calls = [n for n in walk(tree) if isinstance(n, ast.Call) and "cli" not in path.parts]
        assert not [c for c in calls if isinstance(c.func, ast.Name) and c.func.id == "print"], path


def _public(node, prefix=""):
    """(name, function) of the public functions and methods of a module or class."""
    for child in node.body:
        if isinstance(child, ast.FunctionDef) and (not child.name.startswith("_") or child.name == "__init__"):
            yield f"{prefix}{child.name}", child
        elif isinstance(child, ast.ClassDef) and not child.name.startswith("_"):
            yield from _public(child, f"{child.name}.")


PUBLIC = [path for path in LIBRARY if not path.name.startswith("_") or path.name == "__init__.py"]


def test_public_functions_are_typed(trees):
    for path in PUBLIC:
        for name, function in _public(trees[path]):
            arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
            bare = [a.arg for a in arguments if a.annotation is None and a.arg not in ("self", "cls")]
            assert not bare, f"{path}: {name}: expected annotations for {bare}"
            assert function.returns is not None, f"{path}: {name}: expected an annotation of what it returns"
