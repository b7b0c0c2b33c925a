"""课文里的训练配方（带 ``recipe`` 标签的代码单元）与它们在 ``book/_data/results`` 的记录。"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.book import Book, BookError, Page
from tools.references import read_cells

TAG = "recipe"


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
