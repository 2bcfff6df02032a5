"""A hash of the code that a result comes from, so that a result of other code is not taken for it."""

import ast
import hashlib
import inspect
import io
import textwrap
import tokenize
from collections.abc import Callable
from pathlib import Path

import erasediff_pipeline

SOURCE = Path(erasediff_pipeline.__file__).parent
PACKAGE = erasediff_pipeline.__name__


def hash_source(*parts: str | Callable) -> str:
    """SHA-256 over code of this project: what other code computes is another result.

    Args:
        parts: Modules by name, with all modules of this project that they import, and single functions, each
            by its own text. The declarations of settings are left out where they are only imported: their
            values are a part of what names a result. Comments and docstrings do not count.
    """
    modules = imported_by(*(part for part in parts if isinstance(part, str)))
    texts = [name + without_prose(file_of_module(name).read_text()) for name in sorted(modules)]
    functions = [part for part in parts if not isinstance(part, str)]
    texts += [without_prose(textwrap.dedent(inspect.getsource(function))) for function in functions]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def without_prose(source: str) -> str:
    """The code without comments, docstrings and empty lines."""
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            last = node.end_lineno or node.lineno
            after = lines[last - 1].encode()[node.end_col_offset :].strip()
            alone = not lines[node.lineno - 1][: node.col_offset].strip() and not after
            if isinstance(node.value.value, str) and alone:
                lines[node.lineno - 1 : last] = [""] * (last - node.lineno + 1)
    return "\n".join(line.rstrip() for line in lines if line.strip())


def imported_by(*modules: str) -> set[str]:
    """The modules given, and those of this project that they import, directly or not; settings aside."""
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        for node in ast.walk(ast.parse(file_of_module(name).read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{PACKAGE}."):
                parts = [f"{node.module}.{alias.name}" for alias in node.names]
                imported = [str(node.module), *(part for part in parts if file_of_module(part).exists())]
                waiting += [part for part in imported if not part.startswith(f"{PACKAGE}.config")]
    return found


def file_of_module(module: str) -> Path:
    """Where a module's source is; a package's is its ``__init__.py``."""
    path = SOURCE.joinpath(*module.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
