"""文档字符串里的例子：每个公共函数、每个类都有，而且真的运行过。"""

import doctest
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import pytest

import d2lcore

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

# 不必有例子的名字与理由，例如 "d2lcore.data.ImageData": "……"
EXEMPT: dict[str, str] = {}

MODULES = sorted(
    info.name
    for info in pkgutil.walk_packages(d2lcore.__path__, "d2lcore.")
    if not info.name.endswith("__main__")
)


def public_definitions(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """模块里定义的（不是导入的）公共函数与类。"""
    for name, value in vars(module).items():
        definition = inspect.unwrap(value) if callable(value) else value
        kind = inspect.isroutine(definition) or inspect.isclass(definition)
        if kind and not name.startswith("_") and definition.__module__ == module.__name__:
            yield f"{module.__name__}.{name}", definition


@pytest.fixture(autouse=True)
def _quiet_surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """用仿真服饰，不下载；图不弹出窗口，用完即关。"""
    matplotlib.use("Agg")
    monkeypatch.setenv("D2LCORE_DATA", "stand-in")
    yield
    plt.close("all")


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=FLAGS)
    assert result.failed == 0, "失败的例子见上面的输出"


@pytest.mark.parametrize("name", [n for n in MODULES if "._" not in n])
def test_every_public_name_has_an_example(name: str) -> None:
    missing = [
        path
        for path, definition in public_definitions(importlib.import_module(name))
        if ">>>" not in (definition.__doc__ or "") and path not in EXEMPT
    ]
    assert missing == [], "请在文档字符串里写 Examples:，或在 EXEMPT 里说明理由"


def test_exemptions_are_needed_and_explained() -> None:
    for path, reason in EXEMPT.items():
        module, _, name = path.rpartition(".")
        definition = inspect.unwrap(getattr(importlib.import_module(module), name))
        assert reason.strip(), f"{path} 没有写理由"
        assert ">>>" not in (definition.__doc__ or ""), f"{path} 已经有例子了，请从 EXEMPT 删去"
