"""一课用到的库代码的指纹：库改了而这一课没有用到，就不必重跑这一课。

从课文的代码看它导入了 d2lcore 的哪些名字，找到定义它们的模块，再沿着模块之间的导入走到底。
看不清用了什么（例如 ``import d2lcore``）时，就当全都用到了。
"""

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from tools.book import BookError
from tools.syntax_trees import canonical

PACKAGE = "d2lcore"


def library_hash(root: Path, cells: Iterable[str]) -> str:
    """``cells`` 用到的全部模块的指纹：只看语法树，改注释、文档字符串与排版不算改动。"""
    digest = hashlib.sha256()
    for path in modules_used(root, cells):
        name = path.relative_to(root).as_posix()
        digest.update(f"{name}\n{canonical(_parse(path))}\n".encode())
    return digest.hexdigest()[:16]


def modules_used(root: Path, cells: Iterable[str]) -> list[Path]:
    """直接或间接用到的模块文件，按名字排序。"""
    everything = sorted((root / PACKAGE).rglob("*.py"))
    waiting: list[Path] = []
    for source in cells:
        python = re.sub(r"^(\s*)[%!].*$", r"\1pass", source, flags=re.MULTILINE)  # 魔法命令
        try:
            tree = ast.parse(python)
        except SyntaxError:  # 别的 IPython 写法，例如 x?；真的写错了，执行时会报错
            return everything
        if re.search(rf"-m {PACKAGE}\b", source):
            return everything
        waiting += _imported(root, tree)
    found: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path == root / PACKAGE / "__init__.py":  # import d2lcore：看不清用了什么
            return everything
        if path not in found:
            found.add(path)
            waiting += _imported(root, _parse(path))
    return sorted(found)


def _imported(root: Path, tree: ast.AST) -> Iterator[Path]:
    """一段代码导入的 d2lcore 模块的文件。"""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            yield from (_file(root, name) for name in names if name.split(".")[0] == PACKAGE)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE:
            for alias in node.names:
                yield _definer(root, str(node.module), alias.name)


def _definer(root: Path, module: str, name: str) -> Path:
    """``from module import name`` 里的 ``name`` 是哪个文件定义的：子模块，转手的，或模块自己。"""
    submodule = _file(root, f"{module}.{name}")
    if submodule.exists():
        return submodule
    path = _file(root, module)
    if path.name == "__init__.py":
        for node in _parse(path).body:
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith(PACKAGE):
                for alias in node.names:
                    if name == (alias.asname or alias.name):
                        return _definer(root, str(node.module), alias.name)
    return path


def _file(root: Path, module: str) -> Path:
    folder = root.joinpath(*module.split("."))
    return folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")


def _parse(path: Path) -> ast.Module:
    return _parsed(path, path.stat().st_mtime_ns if path.exists() else 0)


@cache
def _parsed(path: Path, modified: int) -> ast.Module:
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BookError(f"课文用到了 {path}，但没有这个文件。") from error
    except SyntaxError as error:
        raise BookError(f"{path}:{error.lineno}: 不是合法的 Python：{error.msg}") from error
