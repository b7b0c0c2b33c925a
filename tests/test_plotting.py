"""字体要齐、图要画对、坏输入要说清楚。"""

from collections.abc import Iterator

import matplotlib
import pytest
import torch

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib import font_manager

from d2lcore.plotting import (
    FONT_FILE,
    FONT_NAME,
    plot_curves,
    show_boxes,
    show_images,
    use_chinese_font,
)


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    yield
    plt.close("all")


def test_chinese_font_comes_first_and_is_ours() -> None:
    use_chinese_font()
    assert matplotlib.rcParams["font.family"][0] == FONT_NAME
    assert font_manager.findfont(FONT_NAME) == str(FONT_FILE)


@pytest.mark.filterwarnings("error")
def test_no_glyph_is_missing_even_beside_formulas() -> None:
    ax = plot_curves({"交叉熵": [2.3, 1.0], "阈值": [1.0, 1.0]}, xlabel="轮数 $t$", ylabel="−1 ≤ ŷ")
    ax.set_ylabel("损失 $-\\log p$（纳特）")
    ax.figure.canvas.draw()


def test_curves_are_drawn_with_their_numbers() -> None:
    ax = plot_curves({"甲": torch.tensor([3.0, 2.0]), "乙": [1.0, 0.0]}, x=[0, 5], xlabel="步")
    assert [line.get_label() for line in ax.get_lines()] == ["甲", "乙"]
    assert list(ax.get_lines()[0].get_xdata()) == [0, 5]
    assert list(ax.get_lines()[1].get_ydata()) == [1.0, 0.0]


def test_curves_refuse_bad_input() -> None:
    with pytest.raises(ValueError, match="空的"):
        plot_curves({})
    with pytest.raises(ValueError, match="有 2 个点，横坐标有 3 个"):
        plot_curves({"甲": [1.0, 2.0]}, x=[1, 2, 3])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("shape", [(5, 28, 28), (5, 1, 28, 28), (5, 3, 8, 9)])
def test_images_fill_a_grid(shape: tuple[int, ...]) -> None:
    show_images(torch.rand(shape), ["标题"] * 5, columns=3)
    axes = plt.gcf().axes
    assert len(axes) == 6
    assert [len(ax.images) for ax in axes] == [1, 1, 1, 1, 1, 0]


def test_bytes_are_scaled_to_one() -> None:
    show_images(torch.full((1, 1, 2, 2), 255, dtype=torch.uint8))
    assert plt.gcf().axes[0].images[0].get_array().max() == 1.0


def test_images_refuse_bad_input() -> None:
    with pytest.raises(ValueError, match="形状"):
        show_images(torch.rand(5, 2, 8, 8))
    with pytest.raises(ValueError, match="没有图片"):
        show_images(torch.rand(0, 8, 8))
    with pytest.raises(ValueError, match="3 张图片，却给了 2 个标题"):
        show_images(torch.rand(3, 8, 8), ["a", "b"])


@pytest.mark.parametrize("shape", [(20, 40), (1, 20, 40), (3, 20, 40)])
def test_boxes_are_drawn_in_pixels_with_their_texts(shape: tuple[int, ...]) -> None:
    boxes = torch.tensor([[0.0, 0.0, 0.5, 1.0], [0.25, 0.5, 1.25, 0.75]])
    ax = show_boxes(torch.rand(shape), boxes, ["甲", "乙"], colors=["red", "C0"])
    bounds = [patch.get_bbox().bounds for patch in ax.patches]
    assert bounds == [(0, 0, 20, 20), (10, 10, 40, 5)]
    assert [text.get_text() for text in ax.texts] == ["甲", "乙"]
    assert ax.get_images()[0].get_extent() == [0, 40, 20, 0]
    assert show_boxes(torch.rand(shape), boxes[:1], linestyle="--", ax=ax) is ax
    assert len(ax.patches) == 3
    assert ax.patches[2].get_linestyle() == "--"
    assert not show_boxes(torch.rand(shape), boxes[:0]).patches


def test_bad_boxes_are_explained() -> None:
    image, boxes = torch.rand(8, 8), torch.zeros(2, 4)
    with pytest.raises(ValueError, match=r"应是 \(H, W\)"):
        show_boxes(torch.rand(2, 8, 8), boxes)
    with pytest.raises(ValueError, match=r"应是 \(N, 4\)"):
        show_boxes(image, boxes[0])
    with pytest.raises(ValueError, match="2 个框，却给了 1 段字"):
        show_boxes(image, boxes, ["甲"])
    with pytest.raises(ValueError, match="2 个框，却给了 3 种颜色"):
        show_boxes(image, boxes, colors=["C0", "C1", "C2"])
