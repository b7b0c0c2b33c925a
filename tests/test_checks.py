"""report 的格式是清洗规则所依赖的；expect 必须能失败。"""

import random

import numpy as np
import pytest
import torch

from d2lcore.checks import expect, format_measured, report, seed_everything


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.8316, "≈0.832"),
        (0.0, "≈0.000"),
        (-2.30259, "≈-2.303"),
        (61706, "≈61,706"),
        (1.5e-7, "≈1.50e-07"),
        (3.2e9, "≈3.20e+09"),
        (float("nan"), "≈nan"),
        (float("inf"), "≈inf"),
    ],
)
def test_format(value: float, text: str) -> None:
    assert format_measured(value) == text


def test_report_prints_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    report(训练损失=torch.tensor(0.45), 测试精度=np.float32(0.832), 个数=3)
    assert capsys.readouterr().out == "训练损失 ≈0.450  测试精度 ≈0.832  个数 ≈3\n"


def test_report_refuses_what_is_not_one_number() -> None:
    with pytest.raises(TypeError, match="形状"):
        report(损失=torch.zeros(3))
    with pytest.raises(TypeError, match="str"):
        report(损失="0.5")  # type: ignore[arg-type]


def test_expect_prints_no_measured_number(capsys: pytest.CaptureFixture[str]) -> None:
    expect(0.8316, 0.8, 0.85, what="测试精度")
    assert capsys.readouterr().out == "✓ 测试精度：在 [0.8, 0.85] 内\n"


@pytest.mark.parametrize("value", [0.79, 0.86, float("nan"), float("inf")])
def test_expect_fails_outside_the_band(value: float) -> None:
    with pytest.raises(AssertionError, match="论断不成立：测试精度"):
        expect(value, 0.8, 0.85, what="测试精度")


@pytest.mark.parametrize(("low", "high", "bad"), [(0.5, None, 0.4), (None, 0.5, 0.6)])
def test_expect_one_sided(low: float | None, high: float | None, bad: float) -> None:
    expect(0.5, low, high, what="损失")
    with pytest.raises(AssertionError):
        expect(bad, low, high, what="损失")


def test_expect_accepts_booleans_and_tensors() -> None:
    expect(torch.tensor(True), 1, 1, what="两者相等")
    with pytest.raises(AssertionError):
        expect(False, 1, 1, what="两者相等")


def test_expect_needs_a_band() -> None:
    with pytest.raises(ValueError, match="至少要给"):
        expect(1.0, what="损失")
    with pytest.raises(ValueError, match="空的"):
        expect(1.0, 2, 1, what="损失")


def test_seed_everything_repeats_all_three_generators() -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), torch.rand(()).item()

    seed_everything(7)
    first = draw()
    seed_everything(7)
    assert draw() == first
    seed_everything(8)
    assert draw() != first


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, True, "0"])
def test_seed_must_be_a_small_integer(seed: object) -> None:
    with pytest.raises(ValueError, match="种子"):
        seed_everything(seed)  # type: ignore[arg-type]
