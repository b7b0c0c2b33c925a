"""nbval 与净化规则：测得的数可以变，别的一个字也不能变。"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from nbformat import NotebookNode
from nbval.plugin import get_sanitize_patterns
from tiny_book import TinyBook

from tools.notebooks import main
from tools.twin import code_cells, read_twin, write_twin

SANITIZE = Path(__file__).resolve().parents[1] / "nbval_sanitize.cfg"
LESSON = """
# 第一课

```{code-cell} ipython3
import random

value = random.random() / 100
print(f"训练损失 ≈{0.4 + value:.4f}  用时 {1 + value:.4f} 秒  形状 (2, 3)")
```

```{code-cell} ipython3
def expect(what):
    print(f"✓ {what}")


expect("训练损失：在 [0.3, 0.5] 内")
```
"""


def sanitized(text: str) -> str:
    for pattern, replacement in get_sanitize_patterns(SANITIZE.read_text(encoding="ascii")):
        text = re.sub(pattern, replacement, text)
    return text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("损失 ≈0.450  精度 ≈0.832", "损失 ≈-1.45  精度 ≈1"),
        ("≈1,234,567.8", "≈9"),
        ("≈1.23e-05", "≈4E+10"),
        ("≈nan ≈inf ≈-inf", "≈1 ≈2 ≈3"),
        ("≈−0.5", "≈ 0.5"),
        ("≈83.2%", "≈7%"),
        ("用时 1.2 秒", "用时 1,012 秒"),
        ("数据：Fashion-MNIST", "数据：仿真服饰"),
        ("设备：cuda:0", "设备：cpu"),
        ("设备：cuda", "设备：mps"),
        ("<f at 0x7f3a>", "<f at 0x11>"),
    ],
)
def test_allowed_differences(one: str, other: str) -> None:
    assert sanitized(one) == sanitized(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("损失 0.450", "损失 0.451"),
        ("≈0.4 形状 (2, 3)", "≈0.4 形状 (2, 4)"),
        ("≈12, 3", "≈12, 4"),
        ("训练损失 ≈0.4", "测试损失 ≈0.4"),
        ("≈0.4 秒", "≈0.4 轮"),
        ("学了 3 秒", "学了 4 秒"),
        ("cpu", "cuda"),
        ("精度 ≈0.8", "精度 ≈"),
        ("✓ 精度：在 [0.8, 0.9] 内", "✓ 精度：在 [0.7, 0.9] 内"),
    ],
)
def test_forbidden_differences(one: str, other: str) -> None:
    assert sanitized(one) != sanitized(other)


def run_nbval(twin: Path, root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist"]
    command += ["--nbval", "--nbval-current-env", "--nbval-sanitize-with", str(SANITIZE)]
    command += [f"--rootdir={root}", "-c", os.devnull, str(twin)]
    env = {**os.environ, "PYTHONPATH": str(root), "PYTHONUTF8": "1"}
    return subprocess.run(command, cwd=root, env=env, text=True, capture_output=True, check=False)


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> TinyBook:
    tiny = TinyBook(tmp_path_factory.mktemp("nbval"))
    tiny.only_lesson(LESSON)
    assert main(["--root", str(tiny.root), "run"]) == 0
    return tiny


def test_rerun_with_other_measurements_passes(executed: TinyBook) -> None:
    result = run_nbval(executed.twin, executed.root)
    assert result.returncode == 0, result.stdout
    assert "3 passed" in result.stdout  # 准备单元也在内


def edit_text(twin: NotebookNode, old: str, new: str) -> None:
    output = next(o for cell in code_cells(twin) for o in cell.outputs if old in o.text)
    output.text = output.text.replace(old, new)


def test_changed_number_and_band_are_caught(executed: TinyBook, tmp_path: Path) -> None:
    twin = read_twin(executed.twin)
    edit_text(twin, "(2, 3)", "(2, 4)")
    edit_text(twin, "0.3, 0.5", "0.2, 0.5")
    write_twin(tmp_path / "changed.ipynb", twin)
    result = run_nbval(tmp_path / "changed.ipynb", executed.root)
    assert result.returncode == 1
    assert "mismatch 'stdout'" in result.stdout
    assert "2 failed, 1 passed" in result.stdout
