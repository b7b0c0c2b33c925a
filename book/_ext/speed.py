"""测速表：出自 ``benchmarks/results`` 里最新的一份记录（由 ``make bench`` 写）。"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from course_data import DataDirective, check_keys, load
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import SphinxError

RESULTS = Path("benchmarks", "results")
KEYS = ("date", "command", "hardware", "versions", "data", "repeat", "items")


class Speed(DataDirective):
    """``{speed}``：每一项我们用几秒、对手用几秒、快几倍；先说清在什么机器、什么版本上量的。"""

    head = ("项目", "d2lcore", "对手", "对手用时", "快几倍", "目标")

    def run(self) -> list[nodes.Node]:
        """一段说明，一张表。"""
        path = newest(Path(self.env.srcdir))
        self.env.note_dependency(str(path))
        self.env.metadata[self.env.docname]["speed"] = True
        record = check_keys(load(path), KEYS, f"{path} ")
        versions = record["versions"]
        rows = [row(item, versions) for item in record["items"]]
        return [*self.parse(describe(record)), self.table(self.head, rows, "speed")]


def newest(root: Path) -> Path:
    """文件名是日期，排在最后的就是最新的。"""
    paths = sorted((root / RESULTS).glob("*.json"))
    if not paths:
        raise SphinxError(f"{root / RESULTS} 里没有测速记录，请运行 make bench。")
    return paths[-1]


def describe(record: dict[str, Any]) -> str:
    """在什么机器上、用什么版本、怎样量的。"""
    hardware, versions = record["hardware"], record["versions"]
    return (
        f"{record['date'][:10]}，{hardware['cpu']} {hardware['cores']} 核，"
        f"PyTorch {versions['torch'].split('+')[0]}，{record['data']}；"
        f"{record['repeat']} 遍的中位数。重测：`{record['command']}`。"
    )


def row(item: dict[str, Any], versions: dict[str, str]) -> list[nodes.Node | str]:
    """表的一行。"""
    ours = statistics.median(item["d2lcore_seconds"])
    if item.get("per_second"):
        rate = item["images"] / ours
        return [item["name"], seconds(ours), "–", "–", f"每秒 {rate:,.0f} 张",
                f"≥ {item['target']:,.0f} 张"]  # fmt: skip
    peer = item.get("peer", "d2l")
    theirs = statistics.median(item["d2l_seconds_by_workers"]["4"])
    return [
        item["name"],
        seconds(ours),
        f"{peer} {versions[peer].split('+')[0]}",
        seconds(theirs),
        f"{theirs / ours:.3g}",
        f"≥ {item['target']:.2g}" if item["target"] < 10 else f"≥ {item['target']:g}",
    ]


def seconds(value: float) -> str:
    """不到一秒的用毫秒。"""
    return f"{value:.2f} 秒" if value >= 1 else f"{1000 * value:.3g} 毫秒"


def outdated(app: Sphinx, env: BuildEnvironment, *changes: set[str]) -> list[str]:
    """新添一份记录时没有哪个旧文件变了，所以这一页每次都重排。"""
    return [page for page, data in env.metadata.items() if "speed" in data]


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx 扩展入口。"""
    app.add_directive("speed", Speed)
    app.connect("env-get-outdated", outdated)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
