"""用孪生笔记本的输出填满 ``_build/.jupyter_cache``：建站时一格也不用执行，也不需要 torch。"""

from pathlib import Path

import nbformat
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn, JupyterCacheAbstract
from nbformat import NotebookNode

from tools.book import Book, Page
from tools.references import read_cells
from tools.runs import read_runs
from tools.twin import code_cells, read_twin


def cache_folder(root: Path) -> Path:
    """Jupyter Book 找缓存的地方。"""
    return root / "_build" / ".jupyter_cache"


def fill_cache(book: Book) -> int:
    """把每课的输出放进缓存，返回新写的份数；内容没变的不重写。"""
    folder = cache_folder(book.root)
    folder.mkdir(parents=True, exist_ok=True)
    cache = get_cache(str(folder))
    runs = read_runs(book.root)
    written = 0
    for page in book.lessons:
        notebook = site_notebook(book, page)
        if _is_cached(cache, notebook, folder):
            continue
        seconds = runs.get(page.name, {}).get("seconds", 0.0)
        bundle = CacheBundleIn(notebook, str(page.source), data={"execution_seconds": seconds})
        cache.cache_notebook_bundle(bundle, overwrite=True)
        written += 1
    return written


def site_notebook(book: Book, page: Page) -> NotebookNode:
    """站点读到的笔记本（由 .md 切出）加上孪生笔记本的输出。

    站点没有准备单元，所以去掉它，执行编号各减一。缓存按代码单元的散列查找，
    因此这里必须用站点自己的读法得到的单元。
    """
    notebook = read_cells(book, page)
    executed = code_cells(read_twin(page.twin))[1:]
    for cell, twin_cell in zip(code_cells(notebook), executed, strict=True):
        cell.execution_count = twin_cell.execution_count - 1
        cell.outputs = twin_cell.outputs
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count -= 1
    return notebook


def _is_cached(cache: JupyterCacheAbstract, notebook: NotebookNode, folder: Path) -> bool:
    hashed, key = cache.create_hashed_notebook(notebook)
    path = folder / "executed" / key / "base.ipynb"
    try:
        cache.match_cache_notebook(notebook)
    except KeyError:
        return False
    text = nbformat.writes(hashed, nbformat.NO_CONVERT)
    return path.is_file() and _without_ids(path.read_text(encoding="utf-8")) == _without_ids(text)


def _without_ids(text: str) -> list[NotebookNode]:
    """读法每次给单元编随机的 id，比较时不看它。"""
    cells = nbformat.reads(text, as_version=4).cells
    return [NotebookNode({k: v for k, v in cell.items() if k != "id"}) for cell in cells]
