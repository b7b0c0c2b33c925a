"""重新执行有变化的课，写好孪生笔记本与运行记录。"""

import subprocess
import sys
from pathlib import Path

from nbformat import NotebookNode

from tools.book import BookError, Page
from tools.kernel import NO_REAL_DATA, RunError, execute, kernel_environment
from tools.references import placed_cells
from tools.runs import record_run
from tools.twin import REAL_DATA, Workshop, build_twin, code_cells, read_twin, write_twin
from tools.twin_checks import check_lesson, is_reusable


def run_lessons(
    shop: Workshop, pages: list[Page], *, everything: bool, text_only: bool = False
) -> list[str]:
    """依次处理各课，返回失败的消息；一课失败不影响其余的课。"""
    failures: list[str] = []
    to_execute = []
    for page in pages:
        try:
            if text_only:
                _replace_text(shop, page)
            elif everything or not _refresh(shop, page):
                to_execute.append(page)
        except BookError as error:
            failures.append(str(error))
    if to_execute:
        require_real_data(shop.book.root)
    for k, page in enumerate(to_execute, start=1):
        print(f"[{k}/{len(to_execute)}] {page.name} …… ", end="", flush=True)
        try:
            seconds = _execute(shop, page)
            print(f"{seconds:.1f} 秒")
            _print_problems(shop, page)
        except BookError as error:
            print("失败")
            failures.append(str(error))
    if not to_execute and not failures:
        print("各课都没有变化，不用重新执行。")
    return failures


def require_real_data(root: Path) -> None:
    """提交的输出只用真实数据生成：没有真实数据（或取不到）就不执行。"""
    if not (root / "d2lcore" / "__main__.py").is_file():
        return  # 没有数据模块的书（测试用的小书）
    command = [sys.executable, "-m", "d2lcore", "data"]
    result = subprocess.run(command, cwd=root, env=kernel_environment(root), check=False)
    if result.returncode == NO_REAL_DATA:
        raise BookError(
            f"没有真实的 {REAL_DATA}，而笔记的输出只用真实数据生成。"
            "请让 D2LCORE_DATA 指向数据文件夹，或连上网络再运行。"
        )
    if result.returncode:
        raise BookError("数据没有准备好，见上面的说明。")


def _refresh(shop: Workshop, page: Page) -> bool:
    """不必执行时返回 ``True``；只改了文字的，沿用旧输出重写笔记本。"""
    if not page.twin.is_file():
        return False
    twin, wanted = read_twin(page.twin), build_twin(shop, page)
    if not is_reusable(twin, wanted):
        return False
    _keep_outputs(shop, page, twin, wanted)
    return True


def _replace_text(shop: Workshop, page: Page) -> None:
    """只换文字，库改了也不重跑；输出是旧库的，仍由 nbval 重跑比对，所以笔记本里记的库也不变。"""
    if not page.twin.is_file():
        raise BookError(f"{page.name} 还没有执行过，不能只换文字；请运行 make notebooks。")
    twin, wanted = read_twin(page.twin), build_twin(shop, page)
    wanted.metadata["d2lcore"]["library"] = twin.metadata.get("d2lcore", {}).get("library")
    if not is_reusable(twin, wanted):
        raise BookError(f"{page.name} 的代码改过，或没有完整执行过；请运行 make notebooks。")
    _keep_outputs(shop, page, twin, wanted)


def _keep_outputs(shop: Workshop, page: Page, twin: NotebookNode, wanted: NotebookNode) -> None:
    for old, new in zip(code_cells(twin), code_cells(wanted), strict=True):
        new.outputs, new.execution_count = old.outputs, old.execution_count
    if wanted != twin:
        write_twin(page.twin, wanted)
        print(f"{page.name}：只改了文字，沿用原来的输出。")
        _print_problems(shop, page)


def _execute(shop: Workshop, page: Page) -> float:
    notebook = build_twin(shop, page)
    try:
        seconds = execute(notebook, page.source.parent, kernel_environment(shop.book.root))
    except RunError as error:
        where = _cell_place(shop, page, error.cell)
        message = f"{where}: 这个代码单元没有跑通，{page.twin.name} 未改动。\n{error}"
        raise BookError(message) from error
    write_twin(page.twin, notebook)
    lessons = [lesson.name for lesson in shop.book.lessons]
    record_run(shop.book.root, page.name, seconds, REAL_DATA, lessons)
    return seconds


def _print_problems(shop: Workshop, page: Page) -> None:
    for problem in check_lesson(shop, page):
        print(f"  {problem}", file=sys.stderr)


def _cell_place(shop: Workshop, page: Page, cell: int) -> str:
    """第 ``cell`` 个代码单元在 .md 里的位置；第 1 个是准备单元，.md 里没有。"""
    places = [at for c, at in placed_cells(shop.book, page) if c.cell_type == "code"]
    if 2 <= cell <= len(places) + 1:
        at = places[cell - 2]
        return f"{at.file}:{at.line}"
    return f"{page.source.relative_to(shop.book.root)}（准备单元）"
