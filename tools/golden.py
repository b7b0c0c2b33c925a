"""互动图的算例：用 PyTorch 与 d2lcore 算出，浏览器里的脚本要算得一样。

python -m tools.golden [图 …]    重新生成 tests/golden/<图>.json

``tests/golden/<图>.py`` 里的 ``cases(rng)`` 给出各个算例：调用 ``Figures.core`` 里的哪个函数、
参数、结果，以及允许的误差（相对于 1 与结果中较大的）。单元测试重新生成一遍，与提交的比对；
站点测试在浏览器里逐个运行。
"""

import importlib.util
import json
import math
import random
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

from tools.book import ROOT
from tools.files import write_atomically

FOLDER = ROOT / "tests" / "golden"
LEAST = 500  # 每张图至少多少个算例


class Case(NamedTuple):
    """一个算例：``Figures.core`` 里的函数（如 ``softmax.crossEntropy``）、参数、结果、误差。"""

    call: str
    args: list[Any]
    result: Any
    tolerance: float = 1e-6


def names() -> list[str]:
    """有算例的图。"""
    return sorted(path.stem for path in FOLDER.glob("*.py"))


def make_cases(name: str) -> list[dict[str, Any]]:
    """一张图的全部算例，可以直接写成 JSON。"""
    spec = importlib.util.spec_from_file_location(f"golden_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made: Iterator[Case] = module.cases(random.Random(0))
    return [{key: plain(value) for key, value in case._asdict().items()} for case in made]


def plain(value: Any) -> Any:
    """JSON 写得下的样子：浮点数留九位有效数字，无穷与 NaN 写成字。"""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.9g}") if math.isfinite(value) else str(value)
    return value


def main(arguments: list[str]) -> None:
    """重新生成。"""
    for name in arguments or names():
        cases = make_cases(name)
        lines = ",\n".join(json.dumps(c, ensure_ascii=False, separators=(",", ":")) for c in cases)
        write_atomically(FOLDER / f"{name}.json", f"[\n{lines}\n]\n".encode())
        print(f"{name}：{len(cases)} 个算例")


if __name__ == "__main__":
    main(sys.argv[1:])
