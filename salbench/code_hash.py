"""Hashes of source code that change with what the code does, not with comments, docstrings, annotations or layout.

A method's hash covers its own files and every definition of salbench that they reach: functions, classes and
constants, followed through imports from module to module. Four things do not count as part of a prediction: imports
inside a function of shared code, which load something on demand, such as the training loop; `registry`, which finds
methods and computes nothing; `writing`, which brings to the disk what is computed; and this file.
"""

import ast
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from salbench.files import hash_bytes

PACKAGE = Path(__file__).resolve().parent
_NO_PREDICTIONS = ("registry.py", "writing.py", "code_hash.py")
_IGNORED = {"ctx", "annotation", "returns", "type_comment", "kind"}
_COMPOUND = ast.If | ast.Try | ast.With | ast.For | ast.While


def method_hash(own: Iterable[Path], folder: Path) -> str:
    """16 hex digits of a method's code.

    Args:
        own: the Python files of the method.
        folder: the folder of methods. Files in it that `own` imports relatively belong to the method too.
    """
    given = list(own)
    files = sorted({*given, *_relative(list(given), folder)})
    parts = [part for path in files for part in (path.relative_to(folder).as_posix(), _file(path).text)]
    names = {name for path in files for name in _file(path).used}
    return hash_bytes(*parts, *(part for pair in sorted(_reached(names).items()) for part in pair))


def imported_packages(own: Iterable[Path], folder: Path) -> set[str]:
    """Names of the packages that a method's files import, also inside functions; arguments as for `method_hash`."""
    given = list(own)
    nodes = [node for path in {*given, *_relative(list(given), folder)} for node in _file(path).imports]
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level]
    return {name.partition(".")[0] for name in names}


def definition_hash(*names: str) -> str:
    """16 hex digits of definitions of salbench and all that they reach, such as "salbench.maps.resize"."""
    targets = set()
    for module, _, definition in (name.rpartition(".") for name in names):
        file = _module_file(module)
        if file is None or definition not in _bindings(file):
            raise ValueError(f"expected the full name of a definition in salbench, got {module}.{definition}")
        targets.add((file, definition))
    return hash_bytes(*(part for pair in sorted(_reached(targets).items()) for part in pair))


def file_hash(path: Path) -> str:
    """16 hex digits of one Python file and all that it reaches."""
    return method_hash([path], path.parent)


def _reached(names: Iterable[tuple[Path, str]]) -> dict[str, str]:
    """{"file:name": canonical text} of definitions in salbench, followed until nothing new is reached."""
    todo, seen, found = list(names), set(), {}
    while todo:
        path, name = target = todo.pop()
        if target in seen or path.relative_to(PACKAGE).as_posix() in _NO_PREDICTIONS:
            continue
        seen.add(target)
        statement = _bindings(path).get(name)
        if statement is None:
            submodule = path.parent / f"{name}.py"
            if path.name == "__init__.py" and submodule.is_file():
                todo += [(submodule, each) for each in _bindings(submodule)]
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            todo += [target for alias, target in _imported(statement, path) if alias == name]
        else:
            found[f"{path.relative_to(PACKAGE).as_posix()}:{name}"], used = _definition(path, name)
            todo += used
    return found


@cache
def _definition(path: Path, name: str) -> tuple[str, set[tuple[Path, str]]]:
    """Canonical text of a definition in salbench, and what it refers to."""
    statement = _bindings(path)[name]
    return _text(statement), _used(statement, path)


def _used(node: ast.AST, path: Path) -> set[tuple[Path, str]]:
    """(file, name) of the definitions of salbench that a piece of code refers to.

    In a file of salbench that is every name bound at its top; in a method's file, every name that it imports.
    """
    is_shared = _is_shared(path)
    imports = dict(_shared_imports(path) if is_shared else _imports(ast.walk(node), path))
    used = set()
    for child in _walk(node):
        if isinstance(child, ast.Attribute) and isinstance(child.value, ast.Name) and child.value.id in imports:
            module, name = imports[child.value.id]
            file = _submodule(module, name)
            if file is not None:
                used.add((file, child.attr))
        if isinstance(child, ast.Name):
            if child.id in imports:
                module, name = imports[child.id]
                if _submodule(module, name) is None:
                    used.add((module, name))
            elif is_shared and child.id in _bindings(path):
                used.add((path, child.id))
    return used


def _is_shared(path: Path) -> bool:
    """Whether a file is part of salbench; methods are not, wherever they are installed."""
    return path.is_relative_to(PACKAGE) and not path.is_relative_to(PACKAGE / "methods")


@cache
def _shared_imports(path: Path) -> tuple[tuple[str, tuple[Path, str]], ...]:
    return _imports(_bindings(path).values(), path)


def _imports(nodes: Iterable[ast.AST], path: Path) -> tuple[tuple[str, tuple[Path, str]], ...]:
    """(name in the file, (file, name there)) of imports from salbench among some nodes."""
    imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    return tuple(pair for node in imports for pair in _imported(node, path))


def _imported(statement: ast.Import | ast.ImportFrom, path: Path) -> Iterator[tuple[str, tuple[Path, str]]]:
    if isinstance(statement, ast.ImportFrom) and not statement.level and statement.module:
        file = _module_file(statement.module)
        if file is not None:
            for alias in statement.names:
                yield alias.asname or alias.name, (file, alias.name)


def _module_file(module: str) -> Path | None:
    first, *rest = module.split(".")
    place = PACKAGE.joinpath(*rest)
    files = [file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()]
    return files[0] if first == "salbench" and files else None


def _submodule(module: Path, name: str) -> Path | None:
    """The file of `name` if it is a module of the package `module`, such as `maps` in `from salbench import maps`."""
    if module.name != "__init__.py" or name in _bindings(module):
        return None
    files = [module.parent / f"{name}.py", module.parent / name / "__init__.py"]
    return next((file for file in files if file.is_file()), None)


def _relative(todo: list[Path], folder: Path) -> set[Path]:
    """Files in `folder` that files import relatively, directly or through others."""
    found: set[Path] = set()
    while todo:
        path = todo.pop()
        for node in _file(path).imports:
            if isinstance(node, ast.ImportFrom) and node.level:
                new = {f for f in _relative_files(node, path) if f.is_relative_to(folder)} - found
                found |= new
                todo += new
    return found


def _relative_files(node: ast.ImportFrom, path: Path) -> Iterator[Path]:
    place = path.parents[node.level - 1]
    parts = node.module.split(".") if node.module else []
    modules = [place.joinpath(*parts[: n + 1]) for n in range(len(parts))]
    modules += [place.joinpath(*parts, alias.name) for alias in node.names]
    for module in modules:
        for file in (module.with_suffix(".py"), module / "__init__.py"):
            if file.is_file():
                yield file


class _File(NamedTuple):
    """A file of a method."""

    text: str  # canonical
    used: set[tuple[Path, str]]  # see `_used`
    imports: list[ast.Import | ast.ImportFrom]


def _file(path: Path) -> _File:
    """A file as it is now."""
    return _parsed(path, path.read_bytes())


@lru_cache(maxsize=256)  # a hash is asked for once a method and task, and reading a large file's tree takes 0.1 seconds
def _parsed(path: Path, content: bytes) -> _File:
    tree = ast.parse(content)
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    return _File(_text(tree), _used(tree, path), imports)


@cache
def _bindings(path: Path) -> dict[str, ast.stmt]:
    """{name: the statement that binds it} at the top of a file."""
    return {name: statement for statement in ast.parse(path.read_bytes()).body for name in _bound(statement)}


def _bound(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Import | ast.ImportFrom):
        for alias in statement.names:
            yield (alias.asname or alias.name).partition(".")[0]
    elif isinstance(statement, _COMPOUND):
        for child in ast.iter_child_nodes(statement):
            if isinstance(child, ast.stmt):
                yield from _bound(child)
    else:
        for child in ast.walk(statement):
            if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
                yield child.id


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """Like `ast.walk`, without annotations."""
    todo = [node]
    while todo:
        node = todo.pop()
        yield node
        for name, value in ast.iter_fields(node):
            if name not in _IGNORED:
                children = value if isinstance(value, list) else [value]
                todo += [child for child in children if isinstance(child, ast.AST)]


def _text(value: Any) -> str:
    """A canonical text of a syntax tree, the same in every version of Python that parses it alike."""
    if isinstance(value, ast.Constant):
        return f"Constant({value.value!r})"
    if isinstance(value, list):
        return f"[{','.join(map(_text, value))}]"
    if not isinstance(value, ast.AST):
        return repr(value)
    fields = [(name, child) for name, child in ast.iter_fields(value) if name not in _IGNORED]
    if isinstance(value, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        fields = [(name, _without_docstring(child) if name == "body" else child) for name, child in fields]
    given = [(name, child) for name, child in fields if child is not None and child != []]
    return f"{type(value).__name__}({','.join(f'{name}={_text(child)}' for name, child in given)})"


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    value = first.value if isinstance(first, ast.Expr) else None
    is_text = isinstance(value, ast.Constant) and isinstance(value.value, str)
    return body[1:] if is_text else body
