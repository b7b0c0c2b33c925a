"""由一课的 .md 造出它的孪生笔记本（普通 Markdown、代码照抄、附准备单元），以及读写它。"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from tools.book import Book, BookError, Page
from tools.files import write_atomically
from tools.leaks import find_leaks
from tools.library import library_hash
from tools.plain_markdown import Converter
from tools.references import Index, build_index, placed_cells
from tools.setup_cell import setup_source
from tools.sources import Citation, read_bibliography, read_errata
from tools.syntax import Place

REAL_DATA = "Fashion-MNIST"
SETUP_ID = "setup"


@dataclass(frozen=True)
class Workshop:
    """转换一本书所需的全部材料，只读一遍。"""

    book: Book
    index: Index
    citations: dict[str, Citation]
    errata: dict[str, dict[str, Any]]


def open_workshop(book: Book) -> Workshop:
    """读标签、文献与勘误。"""
    return Workshop(
        book=book,
        index=build_index(book),
        citations=read_bibliography(book),
        errata=read_errata(book.root),
    )


def build_twin(shop: Workshop, page: Page) -> NotebookNode:
    """还没有执行的孪生笔记本；各单元 id 由内容算出，同样的课文得到同样的字节。"""
    converter = Converter(shop.book, page, shop.index, shop.citations, shop.errata)
    cells: list[NotebookNode] = []
    for cell, at in placed_cells(shop.book, page):
        if cell.cell_type == "code":
            if not any(c.cell_type == "code" for c in cells):
                cells.append(_setup_cell(shop.book))
            cells.append(nbformat.v4.new_code_cell(cell.source, metadata=cell.metadata))
            caption = converter.figure_caption(cell, at)
            cells += [nbformat.v4.new_markdown_cell(caption)] if caption else []
        elif cell.cell_type == "markdown":
            cells += _markdown_cell(converter, cell.source, at)
        else:
            raise at.error(f"课文里不用 {cell.cell_type} 单元。")
    converter.finish()
    _set_ids(cells)
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata = _metadata(shop, page, notebook)
    notebook.nbformat_minor = 5
    return notebook


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """全部代码单元。"""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def read_twin(path: Path) -> NotebookNode:
    """读一份孪生笔记本；坏文件报 :class:`BookError`。"""
    try:
        return nbformat.read(str(path), as_version=4)
    except Exception as error:
        # nbformat 对坏文件抛的异常没有共同的基类
        raise BookError(f"{path}: 不是合法的笔记本：{error}") from error


def write_twin(path: Path, notebook: NotebookNode) -> None:
    """一格缩进、中文不转义、末尾换行，原子写入。"""
    nbformat.validate(notebook)
    text = json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True)
    write_atomically(path, (text + "\n").encode("utf-8"))


def _markdown_cell(converter: Converter, source: str, at: Place) -> list[NotebookNode]:
    text = converter.convert(source, at)
    if leaks := find_leaks(text):
        raise at.error(f"从这里开始的一格里，转换后还剩 MyST 标记：{'；'.join(leaks)}。")
    return [nbformat.v4.new_markdown_cell(text)] if text else []


def _setup_cell(book: Book) -> NotebookNode:
    source = setup_source(book.repository, book.branch)
    return nbformat.v4.new_code_cell(source, metadata={"tags": ["remove-cell"]})


def _set_ids(cells: list[NotebookNode]) -> None:
    seen: dict[str, int] = {}
    for cell in cells:
        content = f"{cell.cell_type}\n{cell.source}".encode()
        name = hashlib.sha256(content).hexdigest()[:8]
        if cell.metadata.get("tags") == ["remove-cell"] and SETUP_ID not in seen:
            name = SETUP_ID
        seen[name] = seen.get(name, 0) + 1
        cell["id"] = name if seen[name] == 1 else f"{name}-{seen[name]}"


def _metadata(shop: Workshop, page: Page, notebook: NotebookNode) -> NotebookNode:
    lesson_code = [cell.source for cell in code_cells(notebook) if cell["id"] != SETUP_ID]
    content = {
        "accelerator": "GPU",
        "colab": {"toc_visible": True},
        "d2lcore": {
            "source": hashlib.sha256(page.source.read_bytes()).hexdigest(),
            "library": library_hash(shop.book.root, lesson_code),
            "data": REAL_DATA,
        },
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return nbformat.from_dict(content)
