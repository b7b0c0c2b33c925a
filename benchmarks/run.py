"""与 d2l 0.17.6、torchvision 并排测速：``python -m benchmarks.run``（或 ``make bench``）。

同一次运行里轮流做：我们一遍、d2l 一遍，再我们一遍……取各自的中位数，
这样机器一时的快慢对两边一样。不含 d2l 的代码，只调用装在别处的它；没装就只测我们的。
"""

import argparse
import importlib
import json
import os
import platform
import statistics
import sys
import time
import unicodedata
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime, timezone
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from benchmarks import data_speed, detection_speed, epoch_speed, scene_speed
from benchmarks.data_speed import SHIPPED, Item
from d2lcore import __version__
from d2lcore.checks import seed_everything
from d2lcore.data import load_fashion_mnist

D2L_VERSION = "0.17.6"
D2L_FOLDER = Path(__file__).resolve().parents[1] / ".bench" / "d2l"
HOW_TO_INSTALL = (
    f"没有 d2l {D2L_VERSION}，只测 d2lcore。要并排比较，运行 make bench；或自己装：\n"
    f"  pip install --no-deps --target .bench/d2l d2l=={D2L_VERSION}\n"
    '  pip install -e ".[bench]"'
)


def find_d2l() -> ModuleType | None:
    """导入 ``d2l.torch``；没装或缺它的依赖时说明怎样装，返回 ``None``。"""
    if D2L_FOLDER.is_dir():
        sys.path.append(str(D2L_FOLDER))  # 放在最后：不遮住本项目环境里的任何包
    try:
        d2l = importlib.import_module("d2l.torch")
    except ImportError as error:
        print(f"{HOW_TO_INSTALL}\n（原因：{error}）\n", file=sys.stderr)
        return None
    version = importlib.import_module("d2l").__version__
    if version != D2L_VERSION:
        print(f"注意：装的是 d2l {version}，目标是对 {D2L_VERSION} 定的。", file=sys.stderr)
    return d2l


def seconds(work: Callable[[], object]) -> float:
    """做一遍用几秒。"""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(item: Item, repeat: int) -> dict[str, Any]:
    """两边轮流做 ``repeat`` 遍；返回每一遍的秒数、中位数之比。"""
    item.ours()  # 预热：第一遍要建线程池、领内存
    ours: list[float] = []
    theirs: dict[int, list[float]] = {n: [] for n in item.theirs}
    for number in range(repeat):
        print(f"\r{item.name}：{number + 1}/{repeat} ", end="", file=sys.stderr, flush=True)
        ours.append(seconds(item.ours))
        for n, work in item.theirs.items():
            theirs[n].append(seconds(work))
    fast = statistics.median(ours)
    ratios = {n: statistics.median(t) / fast for n, t in theirs.items()}
    # 做完一项就说一项：中途停下，已测的也不白测
    names = {n: "原样" if n == SHIPPED else f" {n} 进程" for n in ratios}
    found = "，".join(f"对{names[n]} {ratio:.2f} 倍" for n, ratio in ratios.items())
    if item.per_second:
        found = f"每秒 {item.images / fast:,.0f} 张"
    print(f"\r{item.name}：{fast:.3f} 秒  {found}", file=sys.stderr, flush=True)
    return {
        "name": item.name,
        "peer": item.peer,
        "per_second": item.per_second,
        "images": item.images,
        "target": item.target,
        "d2lcore_seconds": ours,
        "d2l_seconds_by_workers": theirs,
        "ratio_by_workers": ratios,
    }


def table(results: list[dict[str, Any]], workers: list[int]) -> str:
    """一张对齐的表：秒数是中位数，倍数是 d2l 的秒数除以 d2lcore 的。"""
    heads = [f"d2l {n} 进程" + ("（原样）" if n == SHIPPED else "") for n in workers]
    rows = [["项目", "d2lcore", *heads, *(f"倍数（{n} 进程）" for n in workers), "目标", ""]]
    for r in results:
        times, ratios = r["d2l_seconds_by_workers"], r["ratio_by_workers"]
        ours = statistics.median(r["d2lcore_seconds"])
        reached = r["images"] / ours if r["per_second"] else ratios.get(SHIPPED)
        rows.append(
            [
                r["name"],
                f"{ours:.3f} 秒",
                *(f"{statistics.median(times[n]):.2f} 秒" if n in times else "–" for n in workers),
                *(f"{ratios[n]:.2f}" if n in ratios else "–" for n in workers),
                f"≥ {r['target']:,.0f} 张/秒" if r["per_second"] else f"≥ {r['target']:.3g}",
                "" if reached is None else "✓" if reached >= r["target"] else "✗ 未达到",
            ]
        )
    widths = [max(_width(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    )


def _width(text: str) -> int:
    """在等宽终端里占几格：汉字占两格。"""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def surroundings(d2l: ModuleType | None, data_name: str) -> dict[str, Any]:
    """硬件、版本与日期：离开它们，秒数没有意义。"""
    versions = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "d2lcore": __version__,
    }
    if d2l is not None:
        versions["torchvision"] = importlib.import_module("torchvision").__version__
        versions["d2l"] = importlib.import_module("d2l").__version__
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "hardware": {
            "cpu": _cpu_name(),
            "cores": os.cpu_count(),
            "torch_threads": torch.get_num_threads(),
            "system": f"{platform.system()} {platform.machine()}",
        },
        "versions": versions,
        "data": data_name,
    }


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def main(arguments: list[str] | None = None) -> int:
    """命令行。"""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.run", description="与 d2l 并排测速，两边轮流做，取中位数。"
    )
    parser.add_argument("--repeat", type=int, default=3, help="每边做几遍（缺省 3）")
    parser.add_argument("--only", default="", help="只测名字里有这几个字的项目，例如 224 或 LeNet")
    parser.add_argument("--shipped-only", action="store_true", help="不测 d2l 改成 0 进程的情形")
    parser.add_argument("--seed", type=int, default=0, help="次序与初始参数的种子（缺省 0）")
    parser.add_argument("--json", type=Path, help="把每一遍的秒数、硬件与版本写进这个文件")
    options = parser.parse_args(arguments)
    if options.repeat < 1:
        parser.error("--repeat 应不小于 1")
    target = options.json.resolve() if options.json else None
    if target is not None and not target.parent.is_dir():
        parser.error(f"--json：文件夹 {target.parent} 不存在")
    # 4 个工作进程比核多，PyTorch 每次都要提醒；那正是 d2l 原样的做法
    warnings.filterwarnings("ignore", message="This DataLoader will create")
    seed_everything(options.seed)
    d2l = find_d2l()
    workers = [] if d2l is None else [SHIPPED] if options.shipped_only else [SHIPPED, 0]
    train, test = load_fashion_mnist()
    with data_speed.d2l_folder(train, test) if d2l is not None else nullcontext():
        items = data_speed.items(train, d2l, workers) + epoch_speed.items(d2l, workers)
        items += detection_speed.items(d2l) + scene_speed.items(train)
        chosen = [item for item in items if options.only in item.name]
        if not chosen:
            parser.error(f"--only：没有名字里含 {options.only!r} 的项目")
        results = [measure(item, options.repeat) for item in chosen]
    where = surroundings(d2l, train.name)
    hardware = where["hardware"]
    print(
        f"{hardware['cpu']}，{hardware['cores']} 核，PyTorch {torch.__version__}；"
        f"{train.name} {len(train):,} 张，批量大小 {data_speed.BATCH_SIZE}，"
        f"{options.repeat} 遍的中位数\n"
    )
    print(table(results, workers))
    if target is not None:
        command = " ".join(["python -m benchmarks.run", *(arguments or sys.argv[1:])])
        record = {"command": command, "seed": options.seed, "repeat": options.repeat, **where}
        text = json.dumps({**record, "items": results}, ensure_ascii=False, indent=2)
        part = target.with_name(target.name + ".part")
        part.write_text(text + "\n", encoding="utf-8")
        os.replace(part, target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
