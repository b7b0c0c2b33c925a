"""把 pyproject.toml 里某几组依赖逐行印出来，供 ``pip install -r`` 使用。

python -m tools.extras site test             这几组 extras
python -m tools.extras --runtime site        再加上 d2lcore 本身的依赖

``pip install ".[site]"`` 会连 torch 一起装；建站不需要它，所以要能只取一组。
"""

import argparse
import importlib
import sys
from pathlib import Path
from typing import Any

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


def read_project(path: Path = PYPROJECT) -> dict[str, Any]:
    """``[project]`` 一节。"""
    # 3.11 起标准库有 tomllib；3.10 用 pip 自带的那份，免得为读一个文件先装一个包
    name = "tomllib" if sys.version_info >= (3, 11) else "pip._vendor.tomli"
    toml = importlib.import_module(name)
    return dict(toml.loads(path.read_text(encoding="utf-8"))["project"])


def requirements(project: dict[str, Any], extras: list[str], *, runtime: bool) -> list[str]:
    """各组依赖按写的顺序接起来，去掉重复；没有的组报 ``ValueError``。"""
    groups: dict[str, list[str]] = project.get("optional-dependencies", {})
    lines = list(project.get("dependencies", [])) if runtime else []
    for extra in extras:
        if extra not in groups:
            raise ValueError(f"pyproject.toml 里没有叫 {extra} 的组；有的是：{'、'.join(groups)}。")
        lines += groups[extra]
    return list(dict.fromkeys(lines))


def main(arguments: list[str] | None = None) -> int:
    """命令行入口；没有这个组时返回 1。"""
    parser = argparse.ArgumentParser(
        prog="python -m tools.extras", description="印出 pyproject.toml 里几组依赖。"
    )
    parser.add_argument("extras", nargs="*", metavar="组", help="例如 site test")
    parser.add_argument("--runtime", action="store_true", help="加上 d2lcore 本身的依赖")
    options = parser.parse_args(arguments)
    try:
        lines = requirements(read_project(), options.extras, runtime=options.runtime)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
