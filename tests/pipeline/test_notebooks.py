"""执行、检查、缓存：好的放行，坏的拦下并说清怎么办。"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode
from tiny_book import CONFIG, TOC, TinyBook

from tools import kernel, run_lessons
from tools.book import BookError
from tools.library import library_hash, modules_used
from tools.notebooks import main
from tools.setup_cell import setup_source
from tools.site_cache import cache_folder, fill_cache, site_notebook
from tools.twin import build_twin, code_cells, read_twin, write_twin

ROOT = Path(__file__).resolve().parents[2]
LESSON = """
# 第一课

见 {eq}`eq-a`。

$$
x
$$ (eq-a)

```{code-cell} ipython3
import sys

print("甲", flush=True)
print("乙", file=sys.stderr, flush=True)
print("丙")
```

文字

```{code-cell} ipython3
:tags: [raises-exception]

1 / 0
```

```{code-cell} ipython3
{"b", "a", "c"} and [x for x in "ab"]
```
"""
CELL = "# 第一课\n\n```{code-cell} ipython3\n%s\n```\n"


def run(tiny: TinyBook, *arguments: str) -> int:
    return main(["--root", str(tiny.root), "run", *arguments])


def check(tiny: TinyBook, *arguments: str) -> int:
    return main(["--root", str(tiny.root), "check", *arguments])


def fake_twin(tiny: TinyBook, *outputs: list[NotebookNode]) -> NotebookNode:
    """不启动内核，直接写一份执行好的孪生笔记本；``outputs`` 依次是课文各代码单元的输出。"""
    twin = build_twin(tiny.shop, tiny.first)
    for k, cell in enumerate(code_cells(twin), start=1):
        cell.execution_count = k
        if 0 < k - 1 <= len(outputs):
            cell.outputs = outputs[k - 2]
    write_twin(tiny.twin, twin)
    return twin


def printed(text: str) -> list[NotebookNode]:
    return [nbformat.v4.new_output("stream", name="stdout", text=text)]


def image() -> list[NotebookNode]:
    return [nbformat.v4.new_output("display_data", data={"image/png": "iVBORw0KGgo="})]


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> TinyBook:
    """真的执行过一遍的小书；各测试只读，或先复制。"""
    tiny = TinyBook(tmp_path_factory.mktemp("book"))
    tiny.only_lesson(LESSON)
    assert run(tiny) == 0
    return tiny


@pytest.fixture
def copy(executed: TinyBook, tmp_path: Path) -> TinyBook:
    shutil.copytree(executed.root, tmp_path / "copy")
    tiny = TinyBook.__new__(TinyBook)
    tiny.root = tmp_path / "copy"
    return tiny


# ---- 执行 -------------------------------------------------------------------------------


def test_twin_holds_outputs_and_nothing_random(executed: TinyBook) -> None:
    twin = read_twin(executed.twin)
    setup, first, second, third = code_cells(twin)
    book = executed.book
    assert setup.source == setup_source(book.repository, book.branch)
    assert (setup.metadata, setup.outputs) == ({"tags": ["remove-cell"]}, [])
    assert [cell.execution_count for cell in code_cells(twin)] == [1, 2, 3, 4]
    streams = {output.name: output.text for output in first.outputs}
    assert streams == {"stdout": "甲\n丙\n", "stderr": "乙\n"}
    assert second.outputs[0].ename == "ZeroDivisionError"
    assert third.outputs[0].data == {"text/plain": "['a', 'b']"}
    assert twin.metadata["language_info"] == {"name": "python"}
    assert twin.metadata["accelerator"] == "GPU"
    assert twin.metadata["colab"] == {"toc_visible": True}
    assert twin.metadata["kernelspec"]["name"] == "python3"
    assert twin.metadata["d2lcore"]["data"] == "Fashion-MNIST"
    assert all("execution" not in cell.metadata for cell in twin.cells)
    text = executed.twin.read_text(encoding="utf-8")
    assert "甲" in text
    assert str(executed.root) not in text
    assert check(executed) == 0


def test_setup_cell_comes_before_the_first_code(executed: TinyBook) -> None:
    kinds = [
        cell.get("id") if cell.cell_type == "code" else "text"
        for cell in read_twin(executed.twin).cells
    ]
    assert kinds[:2] == ["text", "setup"]


def test_running_again_gives_the_same_bytes(copy: TinyBook) -> None:
    before = copy.twin.read_bytes()
    assert run(copy, "--all") == 0
    assert copy.twin.read_bytes() == before


def test_neighbouring_streams_are_merged() -> None:
    error = nbformat.v4.new_output("stream", name="stderr", text="警告\n")
    outputs = [*printed("甲\n"), error, *printed("乙\n"), *image(), *printed("丙\n")]
    texts = [output.get("text") for output in kernel.merge_streams(outputs)]
    assert texts == ["甲\n乙\n", "警告\n", None, "丙\n"]


def test_kernel_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setenv("PYTHONPATH", "other")
    monkeypatch.setenv("D2LCORE_DATA", "data")
    env = kernel.kernel_environment(tmp_path / "book")
    assert env["PYTHONPATH"] == os.pathsep.join([str(tmp_path / "book"), "other"])
    assert env["D2LCORE_DATA"] == str(tmp_path / "data")
    assert env["PYTHONHASHSEED"] == "0"
    assert "MPLBACKEND" not in env
    monkeypatch.setenv("D2LCORE_DATA", "stand-in")
    assert kernel.kernel_environment(tmp_path)["D2LCORE_DATA"] == "stand-in"


def test_runs_are_recorded(executed: TinyBook) -> None:
    runs = json.loads((executed.root / "book/_data/runs.json").read_text(encoding="utf-8"))
    record = runs["one/first"]
    assert set(record) == {"seconds", "date", "python", "torch", "cpu", "data"}
    assert record["seconds"] > 0
    assert record["data"] == "Fashion-MNIST"


def count_executions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """把真正的执行换成记账；返回的列表会记下执行过的课。"""
    executed: list[str] = []

    def fake(notebook: NotebookNode, folder: Path, env: dict[str, str]) -> float:
        for k, cell in enumerate(code_cells(notebook), start=1):
            cell.execution_count = k
        executed.append(folder.name)
        return 1.0

    monkeypatch.setattr(run_lessons, "execute", fake)
    return executed


def test_run_tells_what_check_will_say(
    tiny: TinyBook, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def draw(notebook: NotebookNode, folder: Path, env: dict[str, str]) -> float:
        for k, cell in enumerate(code_cells(notebook), start=1):
            cell.execution_count = k
        code_cells(notebook)[1].outputs = image()
        return 1.0

    monkeypatch.setattr(run_lessons, "execute", draw)
    tiny.only_lesson(CELL % "plot()")
    assert run(tiny) == 0
    assert "没有 mystnb.image.alt" in capsys.readouterr().err


def test_unchanged_lesson_is_not_executed(copy: TinyBook, monkeypatch: pytest.MonkeyPatch) -> None:
    executions = count_executions(monkeypatch)
    before = copy.twin.stat().st_mtime_ns
    assert run(copy) == 0
    assert executions == []
    assert copy.twin.stat().st_mtime_ns == before


def test_changed_text_keeps_the_outputs(copy: TinyBook, monkeypatch: pytest.MonkeyPatch) -> None:
    executions = count_executions(monkeypatch)
    outputs = [cell.outputs for cell in code_cells(read_twin(copy.twin))]
    copy.lesson(LESSON.replace("文字", "改过的文字"))
    assert check(copy) == 1
    assert run(copy) == 0
    assert executions == []
    assert [cell.outputs for cell in code_cells(read_twin(copy.twin))] == outputs
    assert check(copy) == 0


def test_text_only_keeps_outputs_even_when_the_library_changed(
    copy: TinyBook, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    executions = count_executions(monkeypatch)
    edit_twin(copy, lambda twin: twin.metadata["d2lcore"].update(library="旧的"))
    copy.lesson(LESSON.replace("文字", "改过的文字"))
    assert run(copy, "--text") == 0
    assert executions == []
    twin = read_twin(copy.twin)
    assert twin.metadata["d2lcore"]["library"] == "旧的"  # 输出是旧库的，照实记
    assert check(copy) == 0
    copy.lesson(LESSON.replace('"丙"', '"丁"'))
    assert run(copy, "--text") == 1
    assert executions == []
    assert "代码改过" in capsys.readouterr().err


def test_changed_code_is_executed(copy: TinyBook, monkeypatch: pytest.MonkeyPatch) -> None:
    executions = count_executions(monkeypatch)
    copy.lesson(LESSON.replace('"丙"', '"丁"'))
    assert run(copy) == 0
    assert executions == ["one"]


def test_changed_library_is_executed_but_not_a_changed_docstring(
    copy: TinyBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    executions = count_executions(monkeypatch)
    copy.write("d2lcore/metrics.py", "def f() -> int:\n    return 0\n")
    copy.lesson(LESSON.replace('print("丙")', 'from d2lcore.metrics import accuracy\nprint("丙")'))
    assert run(copy) == 0
    executions.clear()
    copy.write(
        "d2lcore/metrics.py", '"""甲。"""\n\n\ndef f() -> int:\n    """乙。"""\n    return 1\n'
    )
    assert run(copy) == 0
    assert executions == ["one"]
    copy.write("d2lcore/metrics.py", '"""改。"""\n\ndef f() -> int:\n    return 1  # 注\n')
    assert run(copy) == 0
    assert executions == ["one"]
    copy.write("d2lcore/metrics.py", "def f() -> int:\n    return 2\n")
    assert run(copy) == 0
    assert executions == ["one", "one"]


def test_twin_made_on_other_data_is_executed(
    copy: TinyBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    executions = count_executions(monkeypatch)
    edit_twin(copy, lambda twin: twin.metadata["d2lcore"].update(data="仿真服饰"))
    assert run(copy) == 0
    assert executions == ["one"]


def test_library_hash_does_not_depend_on_ast_details(tmp_path: Path) -> None:
    (tmp_path / "d2lcore").mkdir()
    (tmp_path / "d2lcore/a.py").write_text("def f(x: int = 1) -> None:\n    return None\n")
    # 固定值：换一个 Python 版本算出的也应是它
    assert library_hash(tmp_path, ["from d2lcore.a import f"]) == "bc55290cc87f8d51"


def small_library(root: Path) -> None:
    files = {
        "__init__.py": "from d2lcore.a import f\nfrom d2lcore.nets import build\n",
        "a.py": "from d2lcore.b import g\n\ndef f(): ...\n",
        "b.py": "def g():\n    import d2lcore.late\n",
        "late.py": "",
        "other.py": "",
        "nets/__init__.py": "from d2lcore.nets.one import build\n",
        "nets/one.py": "def build(): ...\n",
        "nets/two.py": "",
    }
    for name, text in files.items():
        path = root / "d2lcore" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import torch", ""),
        ("from d2lcore import f", "a b late"),
        ("from d2lcore.b import g", "b late"),
        ("from d2lcore import other", "other"),
        ("%matplotlib inline\nif True:\n    !ls\nimport d2lcore.late as x", "late"),
        ("from d2lcore import build", "nets/one"),
        ("import d2lcore", "everything"),
        ("from d2lcore import __version__", "everything"),
        ("!python -m d2lcore data", "everything"),
        ("torch.ones?", "everything"),
    ],
)
def test_only_the_modules_a_lesson_uses_count(tmp_path: Path, code: str, expected: str) -> None:
    small_library(tmp_path)
    folder = tmp_path / "d2lcore"
    used = [path.relative_to(folder).with_suffix("").as_posix() for path in
            modules_used(tmp_path, [code])]  # fmt: skip
    assert used == (expected.split() if expected != "everything" else used)
    assert (len(used) == 8) == (expected == "everything")


def test_broken_library_is_explained(tmp_path: Path) -> None:
    small_library(tmp_path)
    (tmp_path / "d2lcore/b.py").write_text("def\n")
    with pytest.raises(BookError, match=r"b\.py:1: 不是合法的 Python"):
        library_hash(tmp_path, ["from d2lcore import f"])
    with pytest.raises(BookError, match=r"没有这个文件"):
        library_hash(tmp_path, ["import d2lcore.gone"])


def test_failing_cell_leaves_everything_untouched(
    copy: TinyBook, capsys: pytest.CaptureFixture[str]
) -> None:
    before = copy.twin.read_bytes()
    runs = (copy.root / "book/_data/runs.json").read_bytes()
    path = copy.lesson(LESSON.replace('print("丙")', "undefined_name"))
    assert run(copy) == 1
    line = path.read_text(encoding="utf-8").splitlines().index("import sys") + 1
    error = capsys.readouterr().err
    assert f"book/one/first.md:{line}: 这个代码单元没有跑通" in error
    assert "NameError" in error
    assert copy.twin.read_bytes() == before
    assert (copy.root / "book/_data/runs.json").read_bytes() == runs
    assert not list(copy.twin.parent.glob(".*.part"))


def test_false_claim_is_caught(tiny: TinyBook, capsys: pytest.CaptureFixture[str]) -> None:
    checks = (ROOT / "d2lcore/checks.py").read_text(encoding="utf-8")
    tiny.write("d2lcore/checks.py", checks)
    claim = "expect(0.5, low=0.8, what='测试精度')"
    tiny.only_lesson(CELL % f"from d2lcore.checks import expect\n\n{claim}")
    assert run(tiny) == 1
    assert "AssertionError: 论断不成立" in capsys.readouterr().err
    assert not tiny.twin.exists()


def test_dead_kernel_is_reported(tiny: TinyBook, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.only_lesson(CELL % "import os\nos._exit(3)")
    assert run(tiny) == 1
    assert "内核中途退出" in capsys.readouterr().err
    assert not tiny.twin.exists()


def test_slow_cell_is_stopped(
    tiny: TinyBook, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kernel, "CELL_TIMEOUT", 1)
    tiny.only_lesson(CELL % "import time\ntime.sleep(60)")
    assert run(tiny) == 1
    assert "超过 1 秒" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("code", "message"), [(3, "没有真实的 Fashion-MNIST"), (1, "数据没有准备好")]
)
def test_only_real_data_is_written(
    tiny: TinyBook, capsys: pytest.CaptureFixture[str], code: int, message: str
) -> None:
    tiny.only_lesson(CELL % "1")
    tiny.write("d2lcore/__init__.py", "")
    tiny.write("d2lcore/__main__.py", f"raise SystemExit({code})\n")
    assert run(tiny) == 1
    assert message in capsys.readouterr().err
    assert not tiny.twin.exists()


def test_unknown_lesson(tiny: TinyBook, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tiny, "one/none") == 1
    assert "没有叫 one/none 的课；有的是：one/first、one/second" in capsys.readouterr().err


def test_list(tiny: TinyBook, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--root", str(tiny.root), "list"])
    main(["--root", str(tiny.root), "list", "--twins"])
    assert capsys.readouterr().out.splitlines() == [
        "1.1  one/first",
        "1.2  one/second",
        "book/one/first.ipynb",
        "book/one/second.ipynb",
    ]


# ---- 检查 -------------------------------------------------------------------------------


def edit_twin(tiny: TinyBook, change: Callable[[NotebookNode], Any]) -> None:
    twin = read_twin(tiny.twin)
    change(twin)
    write_twin(tiny.twin, twin)


def complaint(tiny: TinyBook, capsys: pytest.CaptureFixture[str]) -> str:
    """检查应当失败；返回它说的话。"""
    capsys.readouterr()
    assert check(tiny) == 1
    return capsys.readouterr().err


def set_count(twin: NotebookNode, cell: int, count: int | None) -> None:
    code_cells(twin)[cell].execution_count = count


def clear(twin: NotebookNode) -> None:
    for cell in code_cells(twin):
        cell.execution_count, cell.outputs = None, []


def add_error(twin: NotebookNode) -> None:
    error = nbformat.v4.new_output("error", ename="ValueError", evalue="x", traceback=[])
    code_cells(twin)[1].outputs.append(error)


def leak(twin: NotebookNode) -> None:
    twin.cells[0].source += "\n\n{eq}`eq-a`"


def edit_output(twin: NotebookNode) -> None:
    twin.cells[-1].source += "  # 手改"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda twin: set_count(twin, 1, 7), "不是从头到尾按 1、2、3"),
        (clear, "编号为 空、空、空、空"),
        (add_error, "第 2 个代码单元的输出是报错 ValueError"),
        (leak, "漏进了 MyST 标记：角色 {eq}"),
        (leak, "文字与 .md 不一致（第 1 格起）"),
        (edit_output, "代码与 .md 不一致"),
        (lambda twin: twin.cells.pop(), "代码与 .md 不一致"),
        (lambda twin: twin.metadata["d2lcore"].update(data="仿真服饰"), "是在 仿真服饰 上执行的"),
        (lambda twin: twin.metadata.pop("accelerator"), "元数据"),
    ],
)
def test_bad_twin_is_caught(
    copy: TinyBook,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[NotebookNode], Any],
    message: str,
) -> None:
    edit_twin(copy, change)
    error = complaint(copy, capsys)
    assert "book/one/first.ipynb: " in error
    assert message in error
    assert "make notebooks" in error


def test_missing_and_broken_twin(copy: TinyBook, capsys: pytest.CaptureFixture[str]) -> None:
    copy.twin.write_text("{}", encoding="utf-8")
    assert "不是合法的笔记本" in complaint(copy, capsys)
    copy.twin.unlink()
    assert "还没有生成。请运行 make notebooks" in complaint(copy, capsys)


def test_stale_code(copy: TinyBook, capsys: pytest.CaptureFixture[str]) -> None:
    copy.lesson(LESSON.replace('"丙"', '"丁"'))
    assert "代码与 .md 不一致（第 3 格起）。请运行 make notebooks" in complaint(copy, capsys)


def test_another_repository_address(copy: TinyBook, capsys: pytest.CaptureFixture[str]) -> None:
    copy.write("_config.yml", CONFIG.replace("someone/somebook", "other/book"))
    error = complaint(copy, capsys)
    assert "另一个仓库地址（https://github.com/someone/somebook@main）" in error
    assert "现在是 https://github.com/other/book@main" in error


def test_another_site_address(copy: TinyBook, capsys: pytest.CaptureFixture[str]) -> None:
    copy.write("_config.yml", CONFIG.replace("someone.github.io", "other.github.io"))
    assert "文字与 .md 不一致（第 1 格起）" in complaint(copy, capsys)


def test_toc_and_folder_must_agree(copy: TinyBook, capsys: pytest.CaptureFixture[str]) -> None:
    copy.write("book/one/lost.ipynb", "{}")
    copy.write("book/one/.ipynb_checkpoints/first-checkpoint.ipynb", "{}")
    copy.lesson("# 不在目录里\n", name="hidden")
    error = complaint(copy, capsys)
    assert "book/one/hidden.md: 不在 _toc.yml 里" in error
    assert "book/one/lost.ipynb: 没有对应的课" in error
    assert "checkpoint" not in error


def test_toc_entry_without_file(copy: TinyBook, capsys: pytest.CaptureFixture[str]) -> None:
    copy.write("_toc.yml", TOC)  # 第二课又回到目录里，文件却不在
    assert "_toc.yml 列了 book/one/second，但没有 book/one/second.md" in complaint(copy, capsys)


def test_approximate_number_needs_expect(
    tiny: TinyBook, capsys: pytest.CaptureFixture[str]
) -> None:
    report = "```{code-cell} ipython3\nreport(a=1)\n```\n\n"
    tiny.only_lesson(f"# 第一课\n\n{report}文字\n\n```{{code-cell}} ipython3\nx = 1\n```\n")
    fake_twin(tiny, printed("a ≈1.000\n"))
    assert "印出带 ≈ 的数" in complaint(tiny, capsys)
    tiny.only_lesson(f"# 第一课\n\n{report}```{{code-cell}} ipython3\nexpect(1, low=0)\n```\n")
    fake_twin(tiny, printed("a ≈1.000\n"))
    assert check(tiny) == 0
    tiny.only_lesson(CELL % "report(a=1); expect(1, low=0)")
    fake_twin(tiny, printed("a ≈1.000\n"))
    assert check(tiny) == 0


def test_semicolon_does_not_hide_output_from_nbval(
    tiny: TinyBook, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny.only_lesson(CELL % "1 + 1;")
    run(tiny)
    assert "以分号结尾" in complaint(tiny, capsys)


def test_image_needs_alt(tiny: TinyBook, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.only_lesson(CELL % "plot()")
    fake_twin(tiny, image())
    assert "没有 mystnb.image.alt" in complaint(tiny, capsys)
    tiny.only_lesson(CELL % "---\nmystnb:\n  image:\n    alt: 一条线\n---\nplot()")
    fake_twin(tiny, image())
    assert check(tiny) == 0


def test_figure_cell_draws_exactly_one_image(
    tiny: TinyBook, capsys: pytest.CaptureFixture[str]
) -> None:
    options = "---\nmystnb:\n  figure:\n    caption: 线\n  image:\n    alt: 线\n---\n"
    tiny.only_lesson(CELL % f"{options}plot()")
    fake_twin(tiny, image() + image())
    assert "应恰好画一张图，现在是 2 张" in complaint(tiny, capsys)
    value = nbformat.v4.new_output("execute_result", {"text/plain": "[0]"}, execution_count=1)
    fake_twin(tiny, [value, *image()])
    assert "还显示了最后一行的值" in complaint(tiny, capsys)
    fake_twin(tiny, image())
    assert check(tiny) == 0


LIBRARY = '''
from typing import Any


@decorator
def accuracy(y_hat: Any, y: Any) -> float:
    """精度。"""
    total: int = len(y)
    return sum(y_hat == y) / total


class History:
    def plot(self) -> None:
        """画。"""
        draw(self)
'''


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        (
            "accuracy",
            "def accuracy(y_hat, y):\n    total = len(y)\n    return sum(y_hat == y) / total",
            "",
        ),
        ("History.plot", "def plot(self):\n    draw(self)", ""),
        ("accuracy", "def accuracy(y_hat, y):\n    return sum(y_hat == y) / len(y)", "不一样了"),
        (
            "accuracy",
            "def accuracy(y_hat, z):\n    total = len(z)\n    return sum(y_hat == z) / total",
            "不一样了",
        ),
        ("accuracy", "x = 1", "格里却没有定义 accuracy"),
        ("precision", "x = 1", "里没有 precision 的定义"),
    ],
)
def test_taught_definition_equals_the_library(
    tiny: TinyBook, capsys: pytest.CaptureFixture[str], name: str, code: str, message: str
) -> None:
    tiny.write("d2lcore/metrics.py", LIBRARY)
    tiny.only_lesson(CELL % f"# 与 d2lcore.metrics.{name} 相同\n{code}")
    fake_twin(tiny)
    if message:
        assert message in complaint(tiny, capsys)
    else:
        assert check(tiny) == 0


def test_taught_definition_mark_must_be_exact(
    tiny: TinyBook, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny.only_lesson(CELL % "# 与 d2lcore.nothing.f 相同\nx = 1")
    fake_twin(tiny)
    assert "找不到 d2lcore.nothing.f 所在的模块" in complaint(tiny, capsys)
    tiny.only_lesson(CELL % "x = 1\n# 与 d2lcore.metrics.f 相同")
    fake_twin(tiny)
    assert "应以这样一行开头" in complaint(tiny, capsys)


def test_conversion_error_is_a_check_failure(
    copy: TinyBook, capsys: pytest.CaptureFixture[str]
) -> None:
    copy.lesson("# 第一课\n\n```{exercise}\n:label: ex-a\n\n题\n```\n")
    assert "first.md:10: 练习 ex-a 没有解答" in complaint(copy, capsys)


# ---- 准备单元 ---------------------------------------------------------------------------


def test_setup_cell_does_nothing_when_installed(tmp_path: Path) -> None:
    (tmp_path / "d2lcore").mkdir()
    (tmp_path / "d2lcore/__init__.py").touch()
    result = run_setup(tmp_path, "raise SystemExit('不该安装')")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_setup_cell_explains_a_failed_install(tmp_path: Path) -> None:
    result = run_setup(tmp_path, "print('装不上', line)")
    assert "装不上 install --quiet" in result.stdout
    assert "git+https://github.com/someone/somebook@main" in result.stdout
    assert "RuntimeError: 没有装上 d2lcore" in result.stderr


def run_setup(folder: Path, pip: str) -> subprocess.CompletedProcess[str]:
    """在空文件夹里运行准备单元，``%pip`` 换成 ``pip`` 这句代码。"""
    source = setup_source("https://github.com/someone/somebook", "main")
    line = next(line for line in source.splitlines() if "%pip" in line)
    indent, command = line.split("%pip ")
    source = source.replace(line, f"{indent}line = {command!r}\n{indent}{pip}")
    (folder / "setup_cell.py").write_text(source, encoding="utf-8")
    command_line = [sys.executable, "-S", "-X", "utf8", "setup_cell.py"]
    elsewhere = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}  # 别从那里找到 d2lcore
    return subprocess.run(
        command_line, cwd=folder, env=elsewhere, text=True, capture_output=True, check=False
    )


# ---- 站点缓存 ---------------------------------------------------------------------------


def test_cache_is_filled_once(copy: TinyBook, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--root", str(copy.root), "cache"]) == 0
    assert "1 课，新写 1 份" in capsys.readouterr().out
    assert fill_cache(copy.book) == 0
    edit_twin(copy, lambda twin: code_cells(twin)[1].outputs[0].update(text="别的\n"))
    assert fill_cache(copy.book) == 1
    shutil.rmtree(cache_folder(copy.root))
    assert fill_cache(copy.book) == 1


def test_site_notebook_has_no_setup_cell(copy: TinyBook) -> None:
    notebook = site_notebook(copy.book, copy.first)
    assert [cell.execution_count for cell in code_cells(notebook)] == [1, 2, 3]
    assert code_cells(notebook)[2].outputs[0].execution_count == 3
    assert "d2lcore" not in code_cells(notebook)[0].source


def test_cache_refuses_a_bad_twin(copy: TinyBook) -> None:
    edit_twin(copy, clear)
    assert main(["--root", str(copy.root), "cache"]) == 1
    assert not cache_folder(copy.root).exists()
