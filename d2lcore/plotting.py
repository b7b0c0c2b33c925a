"""绘图：随库附带的中文字体、曲线、图片网格。

Matplotlib 到用时才导入，因此只训练、不画图的程序不必等它。
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FONT_NAME = "D2L Sans SC"
FONT_FILE = Path(__file__).parent / "fonts" / "D2LSansSC-Regular.otf"
# 在浅色、深色页面与黑白打印里都能分开的几种颜色与线型
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8c6d00", "#56b4e9")
STYLES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)))


@cache
def use_chinese_font() -> None:
    """让 Matplotlib 用随库附带的中文字体，并设好全书统一的图样。只需调用一次。

    字体是思源黑体（Noto Sans CJK SC）的 GB2312 子集，许可为 SIL OFL 1.1。
    字体次序有讲究：中文字体在前。若把 DejaVu 放在前面，标签里一旦含公式，其中的汉字会变成方块。

    Raises:
        FileNotFoundError: 字体文件不在，说明安装不完整。

    Examples:
        >>> from matplotlib import font_manager
        >>> use_chinese_font()
        >>> FONT_NAME in font_manager.get_font_names()
        True
    """
    import matplotlib
    from cycler import cycler
    from matplotlib import font_manager

    if not FONT_FILE.exists():
        raise FileNotFoundError(f"找不到字体文件 {FONT_FILE}：d2lcore 安装不完整，请重新安装。")
    font_manager.fontManager.addfont(FONT_FILE)
    matplotlib.rcParams.update(
        {
            "font.family": [FONT_NAME, "DejaVu Sans"],
            "axes.prop_cycle": cycler(color=COLORS, linestyle=STYLES),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.alpha": 0.3,
            "figure.dpi": 110,
            "savefig.bbox": "tight",
            "legend.frameon": False,
        }
    )


def plot_curves(
    curves: Mapping[str, Sequence[float] | Tensor],
    x: Sequence[float] | Tensor | None = None,
    *,
    xlabel: str = "",
    ylabel: str = "",
    title: str = "",
    ax: "Axes | None" = None,
) -> "Axes":
    """把几条曲线画在一张图上。

    Args:
        curves: 图例名到纵坐标的对应；每条曲线长度为 n。
        x: 横坐标，长度 n；缺省为 1, 2, …, n。
        xlabel: 横轴名。
        ylabel: 纵轴名。
        title: 标题。
        ax: 画在哪个坐标系上；缺省新建一张图。

    Returns:
        画好的坐标系，可继续添加内容。

    Raises:
        ValueError: 没有曲线，或某条曲线与横坐标长度不同。

    Examples:
        >>> ax = plot_curves({"训练损失": [0.9, 0.6], "测试损失": [0.8, 0.7]}, xlabel="轮")
        >>> [line.get_label() for line in ax.get_lines()]
        ['训练损失', '测试损失']
    """
    import matplotlib.pyplot as plt

    if not curves:
        raise ValueError("curves 是空的；至少要给一条曲线，例如 {'训练损失': [0.8, 0.5]}。")
    use_chinese_font()
    if ax is None:
        _, ax = plt.subplots(figsize=(5.2, 3.2))
    for name, values in curves.items():
        xs = range(1, len(values) + 1) if x is None else x
        if len(xs) != len(values):
            raise ValueError(
                f"曲线「{name}」有 {len(values)} 个点，横坐标有 {len(xs)} 个，应一样多。"
            )
        ax.plot(_plain(xs), _plain(values), label=name)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    ax.legend()
    return ax


def show_images(
    images: Tensor,
    titles: Sequence[str] | None = None,
    *,
    columns: int = 9,
    scale: float = 1.1,
    cmap: str = "gray_r",
) -> None:
    """把一批图片排成网格显示。

    Args:
        images: 形状 (N, H, W)、(N, 1, H, W) 或 (N, 3, H, W)；uint8，或 [0, 1] 内的浮点数。
        titles: 每张图上方的字，长度 N；可含换行。
        columns: 每行几张。
        scale: 每张图的边长，英寸。
        cmap: 灰度图的颜色表；缺省白底黑图，与 Fashion-MNIST 论文的画法一致。

    Raises:
        ValueError: 形状不合，或标题数与图片数不同。

    Examples:
        >>> import matplotlib.pyplot as plt
        >>> show_images(torch.rand(6, 28, 28), titles=list("甲乙丙丁戊己"), columns=3)
        >>> [ax.get_title() for ax in plt.gcf().axes]
        ['甲', '乙', '丙', '丁', '戊', '己']
    """
    import matplotlib.pyplot as plt

    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[1] not in (1, 3)):
        raise ValueError(
            f"图片的形状是 {tuple(images.shape)}；应是 (N, H, W)、(N, 1, H, W) 或 (N, 3, H, W)。"
        )
    if len(images) == 0:
        raise ValueError("没有图片可画：images 的第 0 维长度是 0。")
    if titles is not None and len(titles) != len(images):
        raise ValueError(f"有 {len(images)} 张图片，却给了 {len(titles)} 个标题；应一样多。")
    use_chinese_font()
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    title_lines = 0 if titles is None else max(t.count("\n") + 1 for t in titles)
    height = rows * (scale + 0.19 * title_lines)
    fig, axes = plt.subplots(rows, columns, figsize=(columns * scale, height), squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for k, (ax, picture) in enumerate(zip(axes.flat, _drawable(images).numpy(), strict=False)):
        ax.imshow(picture, cmap=cmap, vmin=0, vmax=1)
        if titles is not None:
            ax.set_title(titles[k], fontsize=9, pad=3)
    fig.tight_layout(pad=0.3)


def show_boxes(
    image: Tensor,
    boxes: Tensor,
    texts: Sequence[str] | None = None,
    *,
    colors: str | Sequence[str] = "C1",
    linestyle: str = "-",
    ax: "Axes | None" = None,
) -> "Axes":
    """画一张图片与其中的边框；同一个坐标系上可以再画一次，换一种颜色或线型。

    Args:
        image: 形状 (H, W)、(1, H, W) 或 (3, H, W)；uint8，或 [0, 1] 内的浮点数。
        boxes: 形状 (N, 4)，每行是 (x1, y1, x2, y2)，占图像宽、高的比例；N 可以是 0，可以伸出图像。
        texts: 每个框左上角的字，长度 N。
        colors: 一种颜色，或每个框一种。
        linestyle: 线型，例如 ``"--"``。
        ax: 画在哪个坐标系上；缺省新建一张图。

    Returns:
        画好的坐标系，单位是像素。

    Raises:
        ValueError: 形状不合，或字、颜色与框数不同。

    Examples:
        >>> boxes = torch.tensor([[0.25, 0.5, 0.75, 1.0]])
        >>> ax = show_boxes(torch.rand(1, 40, 80), boxes, ["包"])
        >>> ax.patches[0].get_xy(), ax.patches[0].get_width(), ax.patches[0].get_height()
        ((20.0, 20.0), 40.0, 20.0)
    """
    import matplotlib.pyplot as plt

    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[0] not in (1, 3)):
        raise ValueError(
            f"image 的形状是 {tuple(image.shape)}；应是 (H, W)、(1, H, W) 或 (3, H, W)。"
        )
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes 的形状是 {tuple(boxes.shape)}，应是 (N, 4)。")
    if texts is not None and len(texts) != len(boxes):
        raise ValueError(f"有 {len(boxes)} 个框，却给了 {len(texts)} 段字；应一样多。")
    colors = [colors] * len(boxes) if isinstance(colors, str) else colors
    if len(colors) != len(boxes):
        raise ValueError(f"有 {len(boxes)} 个框，却给了 {len(colors)} 种颜色；应一样多。")
    use_chinese_font()
    if ax is None:
        _, ax = plt.subplots(figsize=(3.2, 3.2))
    height, width = image.shape[-2:]
    edges = (0, width, height, 0)  # 第 k 个像素占 k 到 k+1，框的边就落在像素之间
    ax.imshow(_drawable(image[None])[0].numpy(), cmap="gray_r", vmin=0, vmax=1, extent=edges)
    ax.axis("off")
    scale = torch.tensor([width, height, width, height])
    for k, (x1, y1, x2, y2) in enumerate((boxes.detach().cpu() * scale).tolist()):
        box = plt.Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, linewidth=1.6)
        box.set(edgecolor=colors[k], linestyle=linestyle)
        ax.add_patch(box)
        if texts is not None:
            frame = {"facecolor": colors[k], "edgecolor": "none", "pad": 1}
            ax.text(x1, y1, texts[k], fontsize=8, color="white", va="bottom", bbox=frame)
    return ax


def _plain(values: Sequence[float] | Tensor) -> Any:
    """张量变成 NumPy 数组，别的原样：Matplotlib 自己转换张量会触发弃用警告。"""
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else values


def _drawable(images: Tensor) -> Tensor:
    """变成 [0, 1] 内的浮点数，通道移到最后（灰度图去掉通道）。"""
    images = images.detach().cpu()
    images = images.float() / 255 if images.dtype == torch.uint8 else images.float()
    if images.ndim == 4:
        images = images[:, 0] if images.shape[1] == 1 else images.movedim(1, -1)
    return images
