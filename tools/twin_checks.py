"""孪生笔记本该是什么样：每条规则一个小函数，返回问题的清单（空 = 没有问题）。"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from nbformat import NotebookNode

from tools.book import Book, BookError, Page, is_lesson_source
from tools.leaks import find_leaks
from tools.references import code_figure
from tools.syntax_trees import find_definition, same_definition
from tools.twin import REAL_DATA, Workshop, build_twin, code_cells, read_twin

_SAME_AS = re.compile(r"^#\s*与\s*(d2lcore(?:\.\w+)+)\s*相同\s*$")
_LOOKS_LIKE_SAME_AS = re.compile(r"^#.*d2lcore\.\w+.*相同")
_REMEDY = "请运行 make notebooks"


def check_book(book: Book) -> list[str]:
    """文件夹与目录对得上：.md 的课都在目录里，没有失主的 .ipynb。"""
    listed = {page.source for page in book.pages}
    twins = {page.twin for page in book.lessons}
    problems = []
    for path in _files(book, ".md"):
        if path not in listed and is_lesson_source(path):
            problems.append(f"{_short(book, path)}: 不在 _toc.yml 里，读者看不到这一课。")
    for path in _files(book, ".ipynb"):
        if path not in twins:
            problems.append(f"{_short(book, path)}: 没有对应的课（.md），请删去。")
    return problems


def check_lesson(shop: Workshop, page: Page) -> list[str]:
    """一课与它的孪生笔记本的全部问题。"""
    try:
        wanted = build_twin(shop, page)
        problems = list(_definition_problems(shop.book, page, wanted))
        name = _short(shop.book, page.twin)
        if not page.twin.is_file():
            return [*problems, f"{name}: 还没有生成。{_REMEDY}。"]
        twin = read_twin(page.twin)
    except BookError as error:
        return [str(error)]
    problems += [
        f"{name}: {problem}"
        for rule in (_stale, _unexecuted, _errors, _leaked, _wrong_data)
        for problem in rule(twin, wanted)
    ]
    source = _short(shop.book, page.source)
    problems += [
        f"{source}: {problem}"
        for rule in (_unchecked_numbers, _missing_alt, _silencing_semicolon)
        for problem in rule(twin)
    ]
    return problems


def is_reusable(twin: NotebookNode, wanted: NotebookNode) -> bool:
    """旧输出还能用：代码单元、d2lcore 与数据都没变，而且完整执行过。"""
    return (
        _code(twin) == _code(wanted)
        and _identity(twin) == _identity(wanted)
        and not list(_unexecuted(twin, wanted))
        and not list(_errors(twin, wanted))
    )


def _identity(notebook: NotebookNode) -> tuple[str | None, str | None]:
    record = notebook.metadata.get("d2lcore", {})
    return record.get("library"), record.get("data")


def _code(notebook: NotebookNode) -> list[tuple[str, dict[str, object]]]:
    return [(cell.source, dict(cell.metadata)) for cell in code_cells(notebook)]


def _stale(twin: NotebookNode, wanted: NotebookNode) -> Iterator[str]:
    if _repository(twin) != _repository(wanted):
        yield (
            f"是用另一个仓库地址（{_repository(twin)}）生成的，"
            f"_config.yml 里现在是 {_repository(wanted)}。{_REMEDY}。"
        )
    elif _code(twin) != _code(wanted):
        yield f"代码与 .md 不一致（第 {_first_difference(twin, wanted)} 格起）。{_REMEDY}。"
    elif _texts(twin) != _texts(wanted):
        yield f"文字与 .md 不一致（第 {_first_difference(twin, wanted)} 格起）。{_REMEDY}。"
    elif _frame(twin) != _frame(wanted):
        yield f"元数据或单元的 id 与应有的不一致。{_REMEDY}。"


def _repository(notebook: NotebookNode) -> str | None:
    sources = "\n".join(cell.source for cell in code_cells(notebook)[:1])
    match = re.search(r"git\+(\S+?)\"", sources)
    return match[1] if match else None


def _texts(notebook: NotebookNode) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


def _frame(notebook: NotebookNode) -> tuple[list[str], dict[str, object]]:
    metadata = {key: value for key, value in notebook.metadata.items() if key != "d2lcore"}
    return [cell.get("id", "") for cell in notebook.cells], metadata


def _first_difference(twin: NotebookNode, wanted: NotebookNode) -> int:
    pairs = zip(twin.cells, wanted.cells, strict=False)
    for k, (have, want) in enumerate(pairs, start=1):
        if (have.cell_type, have.source, have.metadata) != (
            want.cell_type, want.source, want.metadata,
        ):  # fmt: skip
            return k
    return min(len(twin.cells), len(wanted.cells)) + 1


def _unexecuted(twin: NotebookNode, wanted: NotebookNode) -> Iterator[str]:
    counts = [cell.execution_count for cell in code_cells(twin)]
    if counts != list(range(1, len(counts) + 1)):
        shown = "、".join("空" if count is None else str(count) for count in counts)
        yield f"代码单元不是从头到尾按 1、2、3…… 执行的（编号为 {shown}）。{_REMEDY}。"


def _errors(twin: NotebookNode, wanted: NotebookNode) -> Iterator[str]:
    for k, cell in enumerate(code_cells(twin), start=1):
        error = next((o for o in cell.outputs if o.output_type == "error"), None)
        if error and "raises-exception" not in cell.metadata.get("tags", []):
            yield (
                f"第 {k} 个代码单元的输出是报错 {error.ename}：改好课文后运行 make notebooks；"
                "若是有意演示报错，给单元加标签 raises-exception。"
            )


def _leaked(twin: NotebookNode, wanted: NotebookNode) -> Iterator[str]:
    for k, cell in enumerate(twin.cells, start=1):
        if cell.cell_type == "markdown" and (leaks := find_leaks(cell.source)):
            yield f"第 {k} 格里漏进了 MyST 标记：{'；'.join(leaks)}。{_REMEDY}。"


def _wrong_data(twin: NotebookNode, wanted: NotebookNode) -> Iterator[str]:
    data = _identity(twin)[1]
    if data != REAL_DATA:
        yield f"是在 {data} 上执行的；提交的输出要用真实的 {REAL_DATA}。{_REMEDY}。"


def _unchecked_numbers(twin: NotebookNode) -> Iterator[str]:
    cells = code_cells(twin)
    for k, cell in enumerate(cells):
        following = cells[k + 1].source if k + 1 < len(cells) else ""
        printed = any("≈" in _output_text(output) for output in cell.outputs)
        if printed and "expect(" not in cell.source and "expect(" not in following:
            yield (
                f"第 {k + 1} 个代码单元（{_head(cell)}）印出带 ≈ 的数，"
                "但本格与下一格都没有用 expect(...) 检查它。"
            )


def _output_text(output: NotebookNode) -> str:
    if output.output_type == "stream":
        return str(output.text)
    data = output.get("data", {})
    return "\n".join(str(value) for kind, value in data.items() if kind.startswith("text/"))


def _missing_alt(twin: NotebookNode) -> Iterator[str]:
    for k, cell in enumerate(code_cells(twin), start=1):
        images = sum("image/png" in output.get("data", {}) for output in cell.outputs)
        hidden = {"remove-cell", "remove-output"} & set(cell.metadata.get("tags", []))
        alt = (cell.metadata.get("mystnb", {}).get("image") or {}).get("alt")
        if images and not hidden and not alt:
            yield f"第 {k} 个代码单元（{_head(cell)}）画了图，但没有 mystnb.image.alt（替代文字）。"
        if code_figure(cell) and images != 1:
            yield (
                f"第 {k} 个代码单元（{_head(cell)}）有 mystnb.figure，应恰好画一张图，"
                f"现在是 {images} 张。"
            )
        elif code_figure(cell) and any(o.output_type == "execute_result" for o in cell.outputs):
            yield (
                f"第 {k} 个代码单元（{_head(cell)}）除了图还显示了最后一行的值，图的标签会重复；"
                "请让最后一行没有值，例如赋给一个变量。"
            )


def _silencing_semicolon(twin: NotebookNode) -> Iterator[str]:
    """行尾的分号在 Jupyter 里能藏住输出，nbval 重跑时却藏不住，于是比对失败。"""
    for k, cell in enumerate(code_cells(twin), start=1):
        if cell.source.rstrip().endswith(";"):
            yield f"第 {k} 个代码单元（{_head(cell)}）以分号结尾；请改成赋值，例如 ax = …。"


def _definition_problems(book: Book, page: Page, wanted: NotebookNode) -> Iterator[str]:
    """标了“与 d2lcore.x.y 相同”的定义，确实与库里的相同。"""
    for k, cell in enumerate(code_cells(wanted), start=1):
        where = f"{_short(book, page.source)}: 第 {k} 个代码单元"
        for number, line in enumerate(cell.source.splitlines()):
            match = _SAME_AS.match(line)
            if match and _comments_only(cell.source.splitlines()[:number]):
                if problem := _compare(book.root, match[1], cell.source):
                    yield f"{where}：{problem}"
            elif match or _LOOKS_LIKE_SAME_AS.match(line):
                yield f"{where}：应以这样一行开头：# 与 d2lcore.metrics.accuracy 相同"


def _comments_only(lines: list[str]) -> bool:
    return all(_SAME_AS.match(line) for line in lines)


def _compare(root: Path, name: str, source: str) -> str | None:
    module, dotted = _split_name(root, name)
    if module is None:
        return f"找不到 {name} 所在的模块。"
    theirs = find_definition(ast.parse(module.read_text(encoding="utf-8")), dotted)
    if theirs is None:
        return f"{module.relative_to(root).as_posix()} 里没有 {dotted} 的定义。"
    try:
        ours = find_definition(ast.parse(source), dotted.rsplit(".", 1)[-1])
    except SyntaxError as error:
        return f"标了“与 {name} 相同”，却不是合法的 Python（{error.msg}）。"
    if ours is None:
        return f"标了“与 {name} 相同”，格里却没有定义 {dotted}。"
    if not same_definition(ours, theirs):
        return f"{dotted} 与 {name} 不一样了（文档字符串、注解、装饰器之外），请改成相同。"
    return None


def _split_name(root: Path, name: str) -> tuple[Path | None, str]:
    """``d2lcore.training.History.plot`` → （training.py, ``History.plot``）。"""
    parts = name.split(".")
    for k in range(len(parts) - 1, 0, -1):
        path = root.joinpath(*parts[:k]).with_suffix(".py")
        if path.is_file():
            return path, ".".join(parts[k:])
    return None, ""


def _head(cell: NotebookNode) -> str:
    lines = cell.source.strip().splitlines()
    return lines[0][:40] if lines else "空"


def _files(book: Book, suffix: str) -> list[Path]:
    """``book`` 文件夹里的文件，不看 ``.ipynb_checkpoints`` 之类隐藏的文件夹。"""
    paths = sorted((book.root / "book").rglob(f"*{suffix}"))
    return [p for p in paths if "/." not in f"/{_short(book, p)}"]


def _short(book: Book, path: Path) -> str:
    return path.relative_to(book.root).as_posix()
