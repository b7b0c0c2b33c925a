"""换许多种子重跑课文里的训练，把每一次的精度与用时记进 ``book/_data/results/recipes.json``。

::

    python -m benchmarks.recipes --seeds 10                     # 全部，写进记录
    python -m benchmarks.recipes modern-cnn/resnet --seeds 3    # 一课

**课文就是配方**：跑的正是课里带 ``recipe`` 标签的单元，一字不差，只把种子 0、1、2…… 依次换上；
所以读者看到的设定与记录里的设定不会不一样。单元里用 ``by_device`` 分 CPU 与显卡两种规模，
在哪台机器上运行，记下的就是哪一种。每跑完一个种子就写一次文件，中途停下不会白跑。
"""

import argparse
import platform
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

import d2lcore
from d2lcore.devices import pick_device
from tools.book import ROOT, BookError, Page, find_lessons, load_book
from tools.files import write_json
from tools.recipes import Recipe, read_recipes, read_records, records_path
from tools.runs import cpu_name

NAMES = ("net", "train", "history")  # 配方跑完之后应当留下的变量


def run_once(recipe: Recipe, offset: int) -> dict[str, Any]:
    """种子都加上 ``offset``，跑一遍配方，返回精度、用时与规模。"""
    names: dict[str, Any] = {"__name__": "__main__"}
    original = d2lcore.seed_everything

    def shifted(seed: int) -> None:
        original(seed + offset)

    try:
        d2lcore.seed_everything = shifted
        for source in recipe.cells:
            exec(compile(source, f"<{recipe.lesson}>", "exec"), names)
    finally:
        d2lcore.seed_everything = original
    missing = [name for name in NAMES if name not in names]
    if missing:
        raise BookError(f"{recipe.lesson} 的配方跑完之后没有变量 {'、'.join(missing)}。")
    net, train, history = (names[name] for name in NAMES)
    return {
        "seed": offset,
        "test_accuracy": history[-1].test_accuracy,
        "train_loss": history[-1].train_loss,
        "seconds": round(history.seconds, 2),
        "parameters": sum(p.numel() for p in net.parameters()),
        "images": len(train.data),
        "size": train.size[0],
        "batch_size": train.batch_size,
        "epochs": len(history),
        "data": train.data.name,
    }


def surroundings(device: torch.device, command: str) -> dict[str, Any]:
    """硬件、版本、日期与命令。"""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "device": device.type,
        "hardware": gpu or cpu_name(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__.split("+")[0],
        "date": datetime.now(timezone.utc).date().isoformat(),
        "command": command,
    }


def record(root: Path, recipe: Recipe, seeds: range, command: str) -> None:
    """跑全部种子；每跑完一个，就把到此为止的结果写进记录，换下这一课在这种设备上的旧记录。"""
    device = pick_device()
    sizes = ("parameters", "images", "size", "batch_size", "epochs", "data")  # 与种子无关
    runs: list[dict[str, Any]] = []
    for seed in seeds:
        run = run_once(recipe, seed)
        runs.append(run)
        print(
            f"{recipe.lesson} 种子 {seed}：",
            f"精度 {run['test_accuracy']:.4f}，{run['seconds']:.1f} 秒",
            flush=True,
        )
        entry = {
            "lesson": recipe.lesson,
            "recipe": recipe.digest,
            **surroundings(device, command),
            **{key: run[key] for key in sizes},
            "runs": [{key: r[key] for key in r if key not in sizes} for r in runs],
        }
        others = [
            old
            for old in read_records(root)
            if (old["lesson"], old["device"]) != (entry["lesson"], entry["device"])
        ]
        entries = sorted([*others, entry], key=lambda e: (e["lesson"], e["device"]))
        write_json(records_path(root), entries)


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """命令行。"""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.recipes",
        description="换许多种子重跑课文里的训练配方，写进 book/_data/results/recipes.json。",
    )
    parser.add_argument("lessons", nargs="*", metavar="课", help="缺省是全部有配方的课")
    parser.add_argument("--seeds", type=int, default=10, help="几个种子（缺省 10）")
    options = parser.parse_args(arguments)
    if options.seeds < 1:
        parser.error("--seeds 应不小于 1")
    try:
        book = load_book(root)
        pages: list[Page] = find_lessons(book, options.lessons)
        recipes = read_recipes(book, pages)
        if options.lessons and len(recipes) < len(pages):
            found = {recipe.lesson for recipe in recipes}
            names = "、".join(page.name for page in pages if page.name not in found)
            parser.error(f"这几课没有带 recipe 标签的单元：{names}")
        command = f"python -m benchmarks.recipes --seeds {options.seeds}"
        for recipe in recipes:
            record(root, recipe, range(options.seeds), f"{command} {recipe.lesson}")
    except BookError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
