"""换许多种子重跑课文里的训练，把每一次的精度与用时记进 ``book/_data/results/recipes.json``。

::

    python -m benchmarks.recipes --seeds 10                     # 全部，写进记录
    python -m benchmarks.recipes modern-cnn/resnet --seeds 3    # 一课
    python -m benchmarks.recipes --time                         # 机器空闲时，各量一次用时
    python -m benchmarks.recipes --cell                         # 打印由记录生成的代码单元

**课文就是配方**：跑的正是课里带 ``recipe`` 标签的单元，一字不差，只把种子 0、1、2…… 依次换上；
所以读者看到的设定与记录里的设定不会不一样。单元里用 ``by_device`` 分 CPU 与显卡两种规模，
在哪台机器上运行，记下的就是哪一种。每跑完一个种子就写一次文件，中途停下，下次接着跑。
精度与机器忙不忙无关，用时有关，所以两件事分开量。
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
from tools.recipes import Recipe, read_recipes, read_records, recorded_cell, records_path
from tools.runs import cpu_name

NAMES = ("net", "train", "history")  # 配方跑完之后应当留下的变量
SETTINGS = ("parameters", "images", "size", "batch_size", "epochs", "data")  # 与种子无关
RESULTS = ("seed", "test_accuracy", "train_loss")


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


def surroundings(device: torch.device) -> dict[str, Any]:
    """硬件、版本与日期。"""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "device": device.type,
        "hardware": gpu or cpu_name(),
        "python": platform.python_version(),
        "torch": torch.__version__.split("+")[0],
        "date": datetime.now(timezone.utc).date().isoformat(),
    }


def find_record(root: Path, recipe: Recipe) -> dict[str, Any] | None:
    """这一课在这种设备上、由同一个配方得到的记录。"""
    for entry in read_records(root):
        if (entry["lesson"], entry["device"]) == (recipe.lesson, pick_device().type):
            return entry if entry["recipe"] == recipe.digest else None
    return None


def save(root: Path, entry: dict[str, Any]) -> None:
    """换下这一课在这种设备上的旧记录，别的不动。"""
    others = [
        old
        for old in read_records(root)
        if (old["lesson"], old["device"]) != (entry["lesson"], entry["device"])
    ]
    entries = sorted([*others, entry], key=lambda e: (e["lesson"], e["device"]))
    write_json(records_path(root), entries)


def run_seeds(root: Path, recipe: Recipe, seeds: int) -> None:
    """把种子 0 到 ``seeds - 1`` 补齐；配方没变，已经跑过的不再跑。"""
    entry = find_record(root, recipe) or {"runs": []}
    done = {run["seed"] for run in entry["runs"]}
    for seed in range(seeds):
        if seed in done:
            continue
        result = run_once(recipe, seed)
        print(f"{recipe.lesson} 种子 {seed}：精度 {result['test_accuracy']:.4f}", flush=True)
        entry |= {
            "lesson": recipe.lesson,
            "recipe": recipe.digest,
            "command": f"python -m benchmarks.recipes --seeds {seeds} {recipe.lesson}",
            **surroundings(pick_device()),
            **{key: result[key] for key in SETTINGS},
        }
        entry["runs"] = sorted(
            [*entry["runs"], {key: result[key] for key in RESULTS}], key=lambda run: run["seed"]
        )
        save(root, entry)


def time_once(root: Path, recipe: Recipe) -> None:
    """机器空闲时用种子 0 单独跑一遍，记下用时与线程数；精度以各种子的为准。"""
    entry = find_record(root, recipe)
    if entry is None:
        raise BookError(f"{recipe.lesson} 还没有现在这个配方的记录，请先用 --seeds 跑各个种子。")
    seconds = run_once(recipe, 0)["seconds"]
    print(f"{recipe.lesson}：{seconds:.1f} 秒，{torch.get_num_threads()} 个线程", flush=True)
    save(root, {**entry, "seconds": seconds, "threads": torch.get_num_threads()})


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """命令行。"""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.recipes",
        description="换许多种子重跑课文里的训练配方，写进 book/_data/results/recipes.json。",
    )
    parser.add_argument("lessons", nargs="*", metavar="课", help="缺省是全部有配方的课")
    parser.add_argument("--seeds", type=int, default=10, help="补齐到几个种子（缺省 10）")
    parser.add_argument("--time", action="store_true", help="不跑种子，只单独量一次用时")
    parser.add_argument("--cell", action="store_true", help="只打印由记录生成的代码单元")
    options = parser.parse_args(arguments)
    if options.seeds < 1:
        parser.error("--seeds 应不小于 1")
    try:
        if options.cell:
            print(recorded_cell(root))
            return 0
        book = load_book(root)
        pages: list[Page] = find_lessons(book, options.lessons)
        recipes = read_recipes(book, pages)
        if options.lessons and len(recipes) < len(pages):
            found = {recipe.lesson for recipe in recipes}
            names = "、".join(page.name for page in pages if page.name not in found)
            parser.error(f"这几课没有带 recipe 标签的单元：{names}")
        for recipe in recipes:
            if options.time:
                time_once(root, recipe)
            else:
                run_seeds(root, recipe, options.seeds)
    except BookError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
