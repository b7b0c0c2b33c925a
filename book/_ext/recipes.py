"""训练配方的记录：出自 ``results/recipes.json``（由 ``python -m benchmarks.recipes`` 写）。"""

from __future__ import annotations

import statistics
from typing import Any

from course_data import DataDirective, Record, check_keys, lessons, load, load_list
from docutils import nodes
from sphinx.application import Sphinx

KEYS = ("lesson", "device", "hardware", "torch", "date", "command", "parameters", "images",
        "size", "batch_size", "epochs", "data", "runs")  # fmt: skip
PUBLISHED_KEYS = ("lesson", "setting", "builds", "low", "median", "high")
DEVICES = {"cpu": "CPU", "cuda": "显卡", "mps": "Apple 显卡"}


class Recipes(DataDirective):
    """``{recipes}``：每课的配方换许多种子各训练一遍的结果，旁边是 d2l 公布的；可只要一课。"""

    head = ("课", "规模", "参数", "测试精度", "用时", "d2l 公布的")
    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """一段说明，一张表。"""
        path = self.source("results/recipes.json")
        records = [check_keys(record, KEYS, f"{path} 的记录") for record in load(path)]
        order = [page.removeprefix("book/") for page in lessons(self.env)]
        chosen = [r for r in records if not self.arguments or r["lesson"] == self.arguments[0]]
        if self.arguments and not chosen:
            raise self.fail(f"{path} 里没有 {self.arguments[0]} 的记录。")
        unknown = [r["lesson"] for r in chosen if r["lesson"] not in order]
        if unknown:
            raise self.fail(f"{path} 里的 {unknown[0]} 不在 _toc.yml 里。")
        published = {
            entry["lesson"]: entry
            for entry in load_list(self.source("published.yml"), PUBLISHED_KEYS, "lesson")
        }
        chosen.sort(key=lambda record: (order.index(record["lesson"]), record["device"]))
        rows = [self.row(record, published.get(record["lesson"])) for record in chosen]
        return [*self.parse(describe(chosen)), self.table(self.head, rows, "recipes")]

    def row(self, record: Record, published: Record | None) -> list[nodes.Node | str]:
        """表的一行。"""
        return [
            self.link(f"book/{record['lesson']}"),
            scale(record),
            f"{record['parameters']:,}",
            spread([run["test_accuracy"] for run in record["runs"]]),
            duration(record),
            "–" if published is None else incumbent(published),
        ]


def scale(record: Record) -> str:
    """用什么设备、多少数据、多大的图、几轮。"""
    return (
        f"{DEVICES[record['device']]}：{record['images']:,} 张，"
        f"{record['size']}×{record['size']}，{record['epochs']} 轮"
    )


def duration(record: Record) -> str:
    """单独量的用时；还没有量就空着。"""
    if "seconds" not in record:
        return "–"
    threads = f"（{record['threads']} 个线程）" if record["device"] == "cpu" else ""
    return f"{record['seconds']:.0f} 秒{threads}"


def spread(values: list[float]) -> str:
    """最低–中位–最高，与次数。"""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{low:.3f}–{middle:.3f}–{high:.3f}（{len(values)} 个种子）"


def incumbent(entry: Record) -> str:
    """对手公布的数与它的条件。"""
    return (
        f"{entry['low']:.3f}–{entry['median']:.3f}–{entry['high']:.3f}"
        f"（{entry['builds']} 次构建；{entry['setting']}）"
    )


def describe(records: list[Record]) -> str:
    """在什么机器、什么版本上跑的，怎样重跑。"""
    dates: dict[str, set[str]] = {}
    for r in records:
        machine = f"{DEVICES[r['device']]} 是 {r['hardware']}，PyTorch {r['torch']}"
        dates.setdefault(machine, set()).add(r["date"])
    places = [f"{machine}，{'、'.join(sorted(days))}" for machine, days in dates.items()]
    commands = {r["command"].rpartition(" ")[0] for r in records}
    shown = records[0]["command"] if len(records) == 1 else " 与 ".join(sorted(commands))
    where = f"{'；'.join(sorted(places))}；{records[0]['data']}"
    return f"{where}。重跑：`{shown}`。精度依次是最低–中位–最高。"


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx 扩展入口。"""
    app.add_directive("recipes", Recipes)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
