"""运行记录：出自 ``runs.json``（由 ``make notebooks`` 写）。"""

from __future__ import annotations

from typing import Any

from course_data import DataDirective, check_keys, lessons, load
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import SphinxError

KEYS = ("seconds", "date", "data", "python", "torch", "cpu")


class RunStatus(DataDirective):
    """``{run-status}``：每课最近一次完整运行的用时、日期、版本与数据。"""

    head = ("课", "用时（秒）", "日期", "数据", "Python", "PyTorch", "处理器")

    def run(self) -> list[nodes.Node]:
        """按阅读顺序的一张表，末行合计。"""
        path = self.source("runs.json")
        runs = load(path)
        rows: list[list[nodes.Node | str]] = []
        total = 0.0
        for page in lessons(self.env):
            name = page.removeprefix("book/")
            if name not in runs:
                raise SphinxError(f"{path} 里没有 {name} 的记录，请运行 make notebooks。")
            run = check_keys(runs[name], KEYS, f"{path} 的 {name} ")
            total += run["seconds"]
            rest = [str(run[key]) for key in KEYS[1:]]
            rows.append([self.link(page), f"{run['seconds']:.1f}", *rest])
        rows.append(["合计", f"{total:.1f}", *[""] * (len(KEYS) - 1)])
        return [self.table(self.head, rows, "run-status")]


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx 扩展入口。"""
    app.add_directive("run-status", RunStatus)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
