"""参考页的文字：静态地读一个小库，看写出的 MyST。"""

import sys
from pathlib import Path
from textwrap import dedent

import pytest

from tools.book import ROOT

pytest.importorskip("griffe")
sys.path.insert(0, str(ROOT / "book" / "_ext"))

import api_text


def page(folder: Path, code: str) -> str:
    """一个模块 ``d2lcore.one`` 的 MyST。"""
    package = folder / "d2lcore"
    package.mkdir()
    (package / "__init__.py").write_text('"""库。"""\n', encoding="utf-8")
    (package / "one.py").write_text(dedent(code), encoding="utf-8")
    library = api_text.load_library(str(folder))
    return api_text.describe_module(next(api_text.public_modules(library)))


def test_signature_sections_and_example(tmp_path: Path) -> None:
    text = page(
        tmp_path,
        '''\
        """模块。"""
        def area(box: "Tensor", /, *sides: int, unit: str = "像素", **more) -> float:
            """一句话。

            Args:
                box: 框，
                    续行。
                sides: 边长。

            Returns:
                形状 (N, 4)：角点；单位: 像素。

            Raises:
                ValueError: 边长不对。

            Examples:
                说明：

                >>> area(1)  # doctest: +SKIP
                2.0
            """
        ''',
    )
    assert (
        "{py:function} area(box: Tensor, /, *sides: int, unit: str = '像素', **more) -> float\n"
        in text
    )
    assert "参数\n: - `box`：框，" in text
    assert "\n  - `sides`：边长。" in text
    assert "返回\n: 形状 (N, 4)：角点；单位: 像素。\n" in text
    assert "异常\n: - `ValueError`：边长不对。\n" in text
    assert "```pycon\n  >>> area(1)\n  2.0\n  ```" in text


def test_classes_show_their_fields_methods_and_bases(tmp_path: Path) -> None:
    text = page(
        tmp_path,
        '''\
        from typing import NamedTuple
        class Scores(NamedTuple):
            """分数。"""
            loss: float  # 平均损失
            accuracy: float | None = None
            @property
            def bad(self) -> bool:
                """好不好。"""
        class Net(nn.Module):
            """网络。"""
            def __init__(self, width: int = 8) -> None: ...
            def forward(self, X: Tensor) -> Tensor:
                """走一遍。"""
            def __len__(self) -> int:
                """层数。"""
            def _hidden(self) -> None:
                """内部用。"""
            @classmethod
            def small(cls, depth: int) -> "Net":
                """小的。"""
        ''',
    )
    assert "{py:class} Scores(loss: float, accuracy: float | None = None)\n" in text
    assert '{py:attribute} loss\n:type: "float"\n' in text
    assert "平均损失" in text
    assert '{py:property} bad\n:type: "bool"\n' in text
    assert "{py:class} Net(width: int = 8)\n" in text
    assert "基类：`nn.Module`" in text
    assert "{py:method} forward(X: Tensor) -> Tensor\n" in text
    assert "{py:method} __len__() -> int\n" in text
    assert "_hidden" not in text
    assert '{py:method} small(depth: int) -> Net\n:classmethod: ""\n' in text


def test_constants_keep_quotes_and_comments(tmp_path: Path) -> None:
    text = page(
        tmp_path,
        """\
        # ── 分隔线 ──
        # 写在上方
        NAME = "stand-in"
        RATE: float = 0.1  # 写在后面
        ITEMS = [1, 2]  # fmt: skip
        LONG = [1000000000, 1000000000, 1000000000, 1000000000, 1000000000, 1000000000]
        _private = 1
        """,
    )
    assert "{dropdown} 常量与类型别名" in text
    assert "{py:data} NAME\n:value: \"'stand-in'\"" in text
    assert "写在上方" in text
    assert "分隔线" not in text
    assert '{py:data} RATE\n:type: "float"\n:value: "0.1"' in text
    assert "写在后面" in text
    assert "skip" not in text
    assert "1000000000" not in text
    assert "_private" not in text


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("是 n*m*k 个，费 $3", r"是 n\*m\*k 个，费 \$3"),
        ("``a*b*c`` 与 **粗**体", "``a*b*c`` 与 **粗**体"),
        ("见 :func:`fit`、:class:`.Net`", "见 {py:func}`.fit`、{py:class}`.Net`"),
        (":meth:`~d2lcore.data.Batches`", "{py:meth}`~.d2lcore.data.Batches`"),
        ("这样启动::\n\n    torchrun", "这样启动：\n\n    torchrun"),
        (">>> a\n1\n\n完", "```pycon\n>>> a\n1\n```\n\n完"),
    ],
)
def test_markdown(given: str, expected: str) -> None:
    assert api_text.markdown(given) == expected


def test_imported_and_private_modules_are_not_listed(tmp_path: Path) -> None:
    package = tmp_path / "d2lcore"
    (package / "models").mkdir(parents=True)
    for name, code in {
        "__init__": "",
        "_inside": "",
        "models/__init__": "",
        "models/small": "",
        "old": "from d2lcore.models import small\n",
    }.items():
        (package / f"{name}.py").write_text(code, encoding="utf-8")
    listed = [m.path for m in api_text.public_modules(api_text.load_library(str(tmp_path)))]
    assert listed == ["d2lcore.models", "d2lcore.models.small", "d2lcore.old"]


def test_unknown_section_is_refused(tmp_path: Path) -> None:
    code = '''\
    def f() -> None:
        """一句话。

        Throws:
            错。
        """
    '''
    with pytest.raises(ValueError, match=r"d2lcore\.one\.f .*'throws'"):
        page(tmp_path, code)


def test_names_passed_on_are_listed(tmp_path: Path) -> None:
    text = page(
        tmp_path,
        '''\
        """模块。"""
        from math import cos, pi

        __all__ = ["cos"]
        ''',
    )
    assert "也能从这里导入：`cos`。" in text
    assert "pi" not in text
