"""变异检查：``python -m tools.mutants [模块 …]``。把库里的一处改错，测试应当发现。

``tests/mutants/<模块>.yml`` 列出许多处"改错"：原文、改成什么。每一处都改在库的一份副本里，只跑
``tests/test_<模块>.py``；测试仍然全部通过的叫"漏网"，说明那里的行为没有人看着。
原文在源码里不是恰好出现一次时拒绝运行：源码改了，变异也要跟着改，免得不知不觉地什么都没查。
"""

import argparse
import ast
import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tools.book import ROOT

PACKAGE = "d2lcore"
AT_ONCE = 2  # 同时跑几个
TIME_LIMIT = 60  # 秒；改出死循环来也算被发现
FAST = "not ten_thousand"  # 与 torchvision 的一万次对照太慢，不指望它来发现
# 每个变异在一个新进程里查。进程从一个已导入这些包的进程分出来（Windows 上没有，只好从头导入）：
# 导入 torch 要两三秒，一百多个变异就是好几分钟
FORK = "forkserver" in multiprocessing.get_all_start_methods()
PROCESSES: Any = multiprocessing.get_context("forkserver" if FORK else "spawn")
PRELOAD = ["pytest", "hypothesis", "yaml", "torch", "torchvision"]


@dataclass(frozen=True)
class Mutant:
    """一处改错：``module`` 里的 ``old`` 换成 ``new``。"""

    module: str
    number: int
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.module} #{self.number}  {self.old.strip()!r} → {self.new.strip()!r}"


class StaleMutants(Exception):
    """有变异与源码对不上。"""


def modules(root: Path = ROOT) -> list[str]:
    """有变异清单的模块。"""
    return sorted(path.stem for path in (root / "tests" / "mutants").glob("*.yml"))


def load(module: str, root: Path = ROOT) -> list[Mutant]:
    """读一个模块的变异，并逐个核对：原文恰好出现一次，改后仍是合法的、不同的程序。

    Raises:
        StaleMutants: 有对不上的，逐个列出。
    """
    entries = yaml.safe_load((root / "tests" / "mutants" / f"{module}.yml").read_text("utf-8"))
    source = (root / PACKAGE / f"{module}.py").read_text("utf-8")
    mutants = [
        Mutant(module, number, entry["old"], entry["new"])
        for number, entry in enumerate(entries, start=1)
    ]
    tree = ast.dump(ast.parse(source))
    problems = [f"{m}：{p}" for m in mutants if (p := _problem(m, source, tree))]
    if problems:
        raise StaleMutants("\n".join(problems))
    return mutants


def _problem(mutant: Mutant, source: str, tree: str) -> str:
    """这个变异与源码哪里对不上；没有则为空。``tree`` 是源码的语法树。"""
    count = source.count(mutant.old)
    if count != 1:
        return f"原文出现 {count} 次，应恰好一次"
    try:
        changed = ast.dump(ast.parse(source.replace(mutant.old, mutant.new)))
    except SyntaxError as error:
        return f"改后不是合法的程序：{error.msg}"
    return "改后与原来是同一个程序" if changed == tree else ""


def survives(module: str, mutant: Mutant | None = None, root: Path = ROOT) -> bool:
    """在副本里改错（``None`` 表示不改）再跑测试；测试全部通过为真。

    Raises:
        RuntimeError: 测试没有跑起来。
    """
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        ignore = shutil.ignore_patterns("__pycache__", "fonts")
        shutil.copytree(root / PACKAGE, top / PACKAGE, ignore=ignore)
        shutil.copy(root / "pyproject.toml", top)
        (top / "tests").mkdir()
        test = f"tests/test_{module}.py"
        shutil.copy(root / test, top / test)
        if mutant is not None:
            path = top / PACKAGE / f"{module}.py"
            path.write_text(path.read_text("utf-8").replace(mutant.old, mutant.new), "utf-8")
        process = PROCESSES.Process(target=_run_tests, args=(top, test))
        process.start()
        process.join(TIME_LIMIT)
        if process.is_alive():
            process.kill()
            process.join()
            return False
        if process.exitcode not in (0, 1):  # pytest：0 全部通过，1 有失败，其余是没有跑起来
            log = (top / "log").read_text("utf-8")
            raise RuntimeError(f"{mutant or module}：测试没有跑起来\n{log}")
    return process.exitcode == 0


def _run_tests(top: Path, test: str) -> None:
    """在副本的文件夹里跑一个测试文件，遇到第一个失败就停；退出码是 pytest 的。"""
    os.chdir(top)
    sys.path.insert(0, str(top))
    sys.dont_write_bytecode = True
    with open("log", "w", encoding="utf-8") as log, redirect_stdout(log), redirect_stderr(log):
        import pytest

        options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", "-k", FAST]
        code = pytest.main([*options, test])
    place = sys.modules[PACKAGE].__file__ if PACKAGE in sys.modules else None
    sys.exit(code if place is None or Path(place).is_relative_to(top) else 3)  # 3：测错了副本


def check(names: list[str], root: Path = ROOT) -> Iterator[tuple[Mutant, bool]]:
    """逐个给出变异与它是否漏网。

    Raises:
        StaleMutants: 有变异与源码对不上，或没改时测试就不通过。
    """
    mutants = [mutant for name in names for mutant in load(name, root)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        whole = pool.map(lambda name: survives(name, None, root), names)
        broken = [name for name, passed in zip(names, whole, strict=True) if not passed]
        if broken:
            raise StaleMutants(f"没改时测试就不通过：{'、'.join(broken)}")
        lived = pool.map(lambda mutant: survives(mutant.module, mutant, root), mutants)
        yield from zip(mutants, lived, strict=True)


def main(arguments: list[str] | None = None) -> int:
    """命令行：退出码 0 是没有漏网的，1 是有漏网的，2 是清单与源码对不上。"""
    parser = argparse.ArgumentParser(
        prog="python -m tools.mutants", description="把库改错，看测试能否发现。"
    )
    parser.add_argument("modules", nargs="*", help="只查这些模块（缺省：全部）")
    names = parser.parse_args(arguments).modules or modules()
    unknown = sorted(set(names) - set(modules()))
    if unknown:
        parser.error(f"没有这些模块的变异清单：{'、'.join(unknown)}")
    os.environ["OMP_NUM_THREADS"] = "1"
    PROCESSES.set_forkserver_preload(PRELOAD)
    survivors, total = [], 0
    try:
        for mutant, lived in check(names):
            total += 1
            print(f"{'漏网' if lived else '发现'}  {mutant}", flush=True)
            if lived:
                survivors.append(mutant)
    except StaleMutants as error:
        print(error, file=sys.stderr)
        return 2
    print(f"\n{total} 处改错，测试发现 {total - len(survivors)} 处，漏网 {len(survivors)} 处。")
    for mutant in survivors:
        print(f"  {mutant}")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
