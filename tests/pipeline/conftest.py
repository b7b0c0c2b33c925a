"""流水线测试共用的夹具。"""

from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_book import TinyBook

from tools.twin import build_twin


@pytest.fixture
def tiny(tmp_path: Path) -> TinyBook:
    return TinyBook(tmp_path)


@pytest.fixture
def convert(tiny: TinyBook) -> Callable[[str], str]:
    """把一课的正文转成普通 Markdown（各格之间空一行）。"""

    def convert(body: str) -> str:
        tiny.lesson(body)
        notebook = build_twin(tiny.shop, tiny.first)
        return "\n\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")

    return convert


@pytest.fixture(autouse=True)
def no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """这些测试与数据无关；内核只用一个线程。"""
    monkeypatch.delenv("D2LCORE_DATA", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
