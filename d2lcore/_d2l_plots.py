"""d2l-zh 的绘图函数，供 :mod:`d2lcore.d2l` 使用。"""

import os
import sys
from collections.abc import Iterable, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from torch import Tensor

FMTS = ("-", "m--", "g-.", "r:")


def use_svg_display() -> None:
    """在 Jupyter 里用 SVG 显示图，别处什么也不做。改：没有 IPython 也能用；SVG 里没有日期与随机数。

    Examples:
        >>> use_svg_display()
    """
    if _kernel() is not None:
        from matplotlib_inline import backend_inline

        plt.rcParams["svg.hashsalt"] = "d2lcore"
        backend_inline.set_matplotlib_formats("svg", metadata={"Date": None})


def set_figsize(figsize: tuple[float, float] = (3.5, 2.5)) -> None:
    """设以后的图的大小，英寸。

    Examples:
        >>> set_figsize((3.5, 2.5))
        >>> plt.rcParams["figure.figsize"]
        [3.5, 2.5]
    """
    use_svg_display()
    plt.rcParams["figure.figsize"] = figsize


def set_axes(
    axes: Any, xlabel: str | None, ylabel: str | None, xlim: Any, ylim: Any,
    xscale: str, yscale: str, legend: Sequence[str] | None,
) -> None:  # fmt: skip
    """设坐标轴。改：只训练一轮时 ``xlim`` 的两端相等，不再警告；网格总是画出，不随调用次数翻转。

    Examples:
        >>> axes = plt.figure().gca()
        >>> set_axes(axes, "x", "y", [0, 2], None, "linear", "log", None)
        >>> axes.get_xlabel(), axes.get_yscale()
        ('x', 'log')
    """
    axes.set(xlabel=xlabel, ylabel=ylabel, xscale=xscale, yscale=yscale, ylim=ylim)
    if xlim is not None and xlim[0] != xlim[1]:
        axes.set_xlim(xlim)
    if legend:
        axes.legend(legend)
    axes.grid(True)


def plot(
    X: Any, Y: Any = None, xlabel: str | None = None, ylabel: str | None = None,
    legend: Sequence[str] | None = None, xlim: Any = None, ylim: Any = None,
    xscale: str = "linear", yscale: str = "linear", fmts: Sequence[str] = FMTS,
    figsize: tuple[float, float] = (3.5, 2.5), axes: Any = None,
) -> None:  # fmt: skip
    """画一条或几条曲线：``X``、``Y`` 各是一串数或几串数。改：多于四条也都画；一样多与否会检查。

    Examples:
        >>> plot([1, 2, 3], [[1, 4, 9], [1, 8, 27]], legend=["平方", "立方"])
        >>> len(plt.gca().get_lines())
        2
    """
    set_figsize(figsize)
    axes = plt.gca() if axes is None else axes
    ys = _curves(X if Y is None else Y)
    xs = [range(len(y)) for y in ys] if Y is None else _curves(X)
    xs = xs * len(ys) if len(xs) == 1 else xs
    if len(xs) != len(ys):
        raise ValueError(f"X 有 {len(xs)} 条曲线，Y 有 {len(ys)} 条；应一样多，或 X 只有一条。")
    axes.cla()
    for x, y, fmt in zip(xs, ys, cycle(fmts), strict=False):
        axes.plot(x, y, fmt)
    set_axes(axes, xlabel, ylabel, xlim, ylim, xscale, yscale, legend)


class Animator:
    """训练曲线，``add`` 一次就多一个点。

    改：怎样显示看是谁在运行。有人看着的 Jupyter（能回答 ``input()`` 的前端）里，图就地更新；
    由 nbconvert、nbval、建站工具执行的笔记里没有人看，只在单元末尾留一张图，每次运行的输出都相同；
    终端与普通程序里每个点打印一行，图留在 ``fig`` 里。环境变量 ``D2LCORE_ANIMATE`` 写
    ``live``、``final``、``text`` 可以强行指定。另外，只有一个点时画成圆点，张量直接可以用。

    Examples:
        >>> animator = Animator(xlabel="epoch", xlim=[1, 10], legend=["loss", "acc"])
        >>> animator.add(1, (0.75, None))
        epoch 1  loss 0.75
        >>> animator.X, animator.Y
        ([[1.0], []], [[0.75], []])
    """

    def __init__(
        self, xlabel: str | None = None, ylabel: str | None = None,
        legend: Sequence[str] | None = None, xlim: Any = None, ylim: Any = None,
        xscale: str = "linear", yscale: str = "linear", fmts: Sequence[str] = FMTS,
        nrows: int = 1, ncols: int = 1, figsize: tuple[float, float] = (3.5, 2.5),
    ) -> None:  # fmt: skip
        use_svg_display()
        self.fig, axes = plt.subplots(nrows, ncols, figsize=figsize, squeeze=False)
        self.axes = list(axes.flat)
        self.config = (xlabel, ylabel, xlim, ylim, xscale, yscale, legend)
        self.fmts, self.X, self.Y = fmts, [], []  # type: tuple[Sequence[str], list, list]
        self._how, self._handle = _how_to_show(), None  # type: tuple[str, Any]
        if self._how == "live":
            plt.close(self.fig)  # 否则单元末尾还会再显示一次

    def add(self, x: Any, y: Any) -> None:
        """在横坐标 ``x`` 处给每条曲线加一个点；``None`` 表示这条曲线没有。"""
        ys = _as_list(y)
        xs = _as_list(x) if np.ndim(x) else [x] * len(ys)
        self.X, self.Y = self.X or [[] for _ in ys], self.Y or [[] for _ in ys]
        if not len(xs) == len(ys) == len(self.X):
            raise ValueError(f"这张图有 {len(self.X)} 条曲线，这次给了 {len(ys)} 个值；应一样多。")
        axes = self.axes[0]
        axes.cla()
        for k, (a, b, fmt) in enumerate(zip(xs, ys, cycle(self.fmts), strict=False)):
            if a is not None and b is not None:
                self.X[k].append(float(_plain(a)))
                self.Y[k].append(float(_plain(b)))
            (line,) = axes.plot(self.X[k], self.Y[k], fmt)
            line.set_marker("o" if len(self.X[k]) == 1 else "")
        set_axes(axes, *self.config)
        if self._how == "live":
            self._update()
        elif self._how == "text":
            names = [*(self.config[-1] or ()), *(f"y{k}" for k in range(len(ys)))]
            named = [(self.config[0] or "x", xs[0]), *zip(names, ys, strict=False)]
            print(*(f"{n} {float(_plain(v)):.4g}" for n, v in named if v is not None), sep="  ")

    def _update(self) -> None:
        from IPython.display import display

        if self._handle is None:
            self._handle = display(self.fig, display_id=True)
        else:
            self._handle.update(self.fig)


def show_images(
    imgs: Sequence[Any] | Tensor, num_rows: int, num_cols: int,
    titles: Sequence[str] | None = None, scale: float = 1.5,
) -> np.ndarray:  # fmt: skip
    """把张量或 PIL 图片排成网格，返回各个坐标系。改：一张图、显卡上的张量、通道在前的张量都行。

    Examples:
        >>> axes = show_images(np.ones((3, 28, 28)), 2, 2, titles=["a", "b", "c"])
        >>> [ax.get_title() for ax in axes]
        ['a', 'b', 'c', '']
    """
    figsize = (num_cols * scale, num_rows * scale)
    axes = plt.subplots(num_rows, num_cols, figsize=figsize, squeeze=False)[1].flatten()
    for k, ax in enumerate(axes):
        ax.set_axis_off()
        if k < len(imgs):
            ax.imshow(_pixels(imgs[k]))
        if titles and k < len(titles):
            ax.set_title(titles[k])
    return axes


def bbox_to_rect(bbox: Sequence[float], color: str) -> plt.Rectangle:
    """边界框 (x1, y1, x2, y2) 变成 Matplotlib 的矩形。

    Examples:
        >>> rect = bbox_to_rect([1.0, 2.0, 4.0, 6.0], "red")
        >>> rect.get_xy(), rect.get_width(), rect.get_height()
        ((1.0, 2.0), 3.0, 4.0)
    """
    x1, y1, x2, y2 = (float(value) for value in _plain(bbox))
    return plt.Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=color, linewidth=2)


def show_bboxes(axes: Any, bboxes: Iterable[Any], labels: Any = None, colors: Any = None) -> None:
    """在图上画出边界框；``labels``、``colors`` 是一个或一串。改：显卡上的框也行。

    Examples:
        >>> axes = plt.figure().gca()
        >>> show_bboxes(axes, [[0, 0, 2, 1], [1, 1, 3, 2]], labels=["dog", "cat"])
        >>> len(axes.patches), [text.get_text() for text in axes.texts]
        (2, ['dog', 'cat'])
    """
    labels, colors = _as_list(labels), _as_list(colors) or ["b", "g", "r", "m", "c"]
    for k, (bbox, color) in enumerate(zip(bboxes, cycle(colors), strict=False)):
        rect = axes.add_patch(bbox_to_rect(bbox, color))
        if k < len(labels):
            style = {"ha": "center", "va": "center", "fontsize": 9}
            box = {"facecolor": color, "lw": 0}
            ink = "k" if color == "w" else "w"
            axes.text(*rect.xy, labels[k], color=ink, bbox=box, **style)


def _as_list(values: Any) -> list[Any]:
    """一串数变成列表；一个数（也可以是零维张量）、一个字符串变成只有它的列表；没有变成空的。"""
    if values is None:
        return []
    alone = isinstance(values, str) or getattr(values, "ndim", None) == 0
    return [values] if alone or not hasattr(values, "__len__") else list(values)


def _curves(values: Any) -> list[Any]:
    """一条或几条曲线，变成曲线的列表；张量变成 NumPy 数组。"""
    values = _plain(values)
    several = len(values) > 0 and (hasattr(values[0], "__len__") or np.ndim(values[0]) > 0)
    return [_plain(curve) for curve in values] if several else [values]


def _plain(values: Any) -> Any:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else values


def _pixels(img: Any) -> Any:
    """能画的样子：张量变成数组，通道移到最后，灰度图去掉通道。"""
    pixels = np.asarray(_plain(img))
    if pixels.ndim == 3 and pixels.shape[0] in (1, 3) and pixels.shape[-1] not in (1, 3, 4):
        pixels = np.moveaxis(pixels, 0, -1)
    return pixels.squeeze(-1) if pixels.shape[-1] == 1 and pixels.ndim == 3 else pixels


def _kernel() -> Any:
    """正在运行这段程序的 Jupyter 内核；不在 Jupyter 里是 ``None``。没人用 IPython 就不导入它。"""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None)


def _how_to_show() -> str:
    """``live``、``final`` 或 ``text``，含义见 :class:`Animator`。

    内核收到的每个单元都注明了前端能不能回答 ``input()``：JupyterLab、VS Code、Colab 能，
    nbconvert、nbval、jupyter-book 不能，正好是有没有人在看。
    """
    how = os.environ.get("D2LCORE_ANIMATE", "")
    if how not in ("", "live", "final", "text"):
        raise ValueError(f"环境变量 D2LCORE_ANIMATE={how!r} 不认识：应是 live、final 或 text。")
    kernel = _kernel()
    if how or kernel is None:
        return how or "text"
    return "live" if getattr(kernel, "_allow_stdin", False) else "final"
