"""互动图的算例是用现在的库生成的：重新生成一遍，与提交的比对。"""

import json
from typing import Any

import pytest

from tools.book import ROOT
from tools.golden import FOLDER, LEAST, make_cases, names

FIGURES = sorted(
    path.name.removesuffix(".core.js") for path in (ROOT / "book/_figures").glob("*.core.js")
)


def test_every_figure_has_cases() -> None:
    assert names() == FIGURES


@pytest.mark.parametrize("name", names())
def test_cases_are_those_of_the_library(name: str) -> None:
    stored = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    made = make_cases(name)
    assert len(made) >= LEAST
    assert len(stored) == len(made), "请运行 python -m tools.golden"
    for old, new in zip(stored, made, strict=True):
        assert old["call"] == new["call"]
        assert old["args"] == new["args"]
        assert same(old["result"], new["result"], new["tolerance"]), (old, new)


def same(a: Any, b: Any, tolerance: float) -> bool:
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(same(x, y, tolerance) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k], tolerance) for k in a)
    if isinstance(a, float) or isinstance(b, float):
        return isinstance(a, int | float) and abs(a - b) <= tolerance * max(1.0, abs(b))
    return bool(a == b)
