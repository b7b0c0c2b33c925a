"""课文里的训练配方（带 ``recipe`` 标签的代码单元）与它们在 ``book/_data/results`` 的记录。

比较各网络的课要把记录画成图，而读者的机器上没有记录文件；所以那一课有一个带 ``recorded`` 标签的
单元，把数写在里面。单元由 :func:`recorded_cell` 生成，检查工具看它与记录是否一字不差。
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tools.book import Book, BookError, Page
from tools.references import read_cells

TAG = "recipe"
RECORDED = "recorded"
PUBLISHED = "book/_data/published.yml"


@dataclass(frozen=True)
class Recipe:
    """一课的配方：按出现次序连起来就能运行的若干单元。"""

    lesson: str
    cells: tuple[str, ...]

    @property
    def digest(self) -> str:
        """配方的指纹：单元改了一个字，旧记录就对不上了。"""
        return hashlib.sha256("\n\n".join(self.cells).encode()).hexdigest()[:12]


def read_recipes(book: Book, pages: list[Page]) -> list[Recipe]:
    """各课的配方；没有带标签的单元的课略去。"""
    recipes = []
    for page in pages:
        cells = tuple(
            cell.source
            for cell in read_cells(book, page).cells
            if cell.cell_type == "code" and TAG in cell.metadata.get("tags", [])
        )
        if cells:
            recipes.append(Recipe(page.name, cells))
    return recipes


def records_path(root: Path) -> Path:
    """记录文件的位置。"""
    return root / "book" / "_data" / "results" / "recipes.json"


def read_records(root: Path) -> list[dict[str, Any]]:
    """读记录；还没有就是空的。"""
    path = records_path(root)
    if not path.is_file():
        return []
    try:
        return list(json.loads(path.read_text(encoding="utf-8")))
    except json.JSONDecodeError as error:
        raise BookError(f"{path}: 不是合法的 JSON（{error}）。") from error


def recorded_cell(root: Path) -> str:
    """由 CPU 上的记录与别人公布的数生成的代码单元。"""
    lines = [
        "# 由 python -m benchmarks.recipes --cell 生成：CPU 上各种子的测试精度",
        "recorded = {",
    ]
    records = [record for record in read_records(root) if record["device"] == "cpu"]
    for record in records:
        values = [f"{run['test_accuracy']:.4f}" for run in record["runs"]]
        rows = [f"        {', '.join(values[k : k + 5])}," for k in range(0, len(values), 5)]
        lines += [f'    "{_short(record)}": [', *rows, "    ],"]
    lines += ["}", "published = {  # 《动手学深度学习》历次构建的最低、中位、最高"]
    known = {record["lesson"] for record in records}
    path = root / PUBLISHED
    entries = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else []
    for entry in entries:
        if entry["lesson"] in known:
            numbers = ", ".join(f"{entry[key]:.4f}" for key in ("low", "median", "high"))
            lines.append(f'    "{_short(entry)}": ({numbers}),')
    return "\n".join([*lines, "}"])


def _short(entry: dict[str, Any]) -> str:
    return str(entry["lesson"]).rpartition("/")[2]


def stale_cells(book: Book) -> list[str]:
    """带 ``recorded`` 标签、却与记录不同的单元。"""
    expected = recorded_cell(book.root)
    return [
        f"{page.name}: 带 {RECORDED} 标签的单元与记录不同，"
        "请换成 python -m benchmarks.recipes --cell 打印的文字。"
        for page in book.lessons
        for cell in read_cells(book, page).cells
        if RECORDED in cell.metadata.get("tags", []) and cell.source != expected
    ]


def stale_records(book: Book) -> list[str]:
    """与课文对不上的记录：课没有了、没有配方了，或配方的单元改过。"""
    current = {recipe.lesson: recipe.digest for recipe in read_recipes(book, list(book.lessons))}
    name = records_path(book.root).relative_to(book.root).as_posix()
    return [
        f"{name}: {record['lesson']}（{record['device']}）的记录与课文里的配方不是同一个，"
        f"请重跑：{record['command']}"
        for record in read_records(book.root)
        if record["recipe"] != current.get(record["lesson"])
    ]
