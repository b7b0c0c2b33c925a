"""仿真服饰：用公式画出的十类灰度“服饰”，形状与类别同 Fashion-MNIST，不用下载。

它不是 Fashion-MNIST，只在没有真数据时顶替它，让每一篇笔记都跑得起来、结论也成立。

画法：一块布是一个“内部场” d(x, y)，d > 0 的点在布里面，d 大约是到边的距离。
两块布相交取较小者，相并取较大者；轮廓画好后叠上细节（纽扣、拉链、绑带）、花纹、光照与颗粒。

为什么这样画：线性模型只看“每个像素平均有多亮”，所以轮廓的变化决定了 softmax 回归的精度；
花纹与细节的位置、相位、明暗方向都是随机的，平均起来几乎什么也不剩，
只有先用卷积核在局部找到“这里有一条线”的网络才用得上；
还有一小部分画成了别的类的样子（LOOKALIKES），再好的网络也分不对。
三者之比是对着真数据集调的，benchmarks/calibrate_stand_in.py 会重测。
改动任何常量都会改变笔记里的数，改后要重新标定。
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor

# ── 轮廓的变化：越大，线性模型的模板越模糊。画布的坐标从 -1 到 1，一个像素约 0.07 ──
SHIFT = 0.06  # 平移。真数据集按外接框裁过，只有一个像素上下的移动
TURN = 0.07  # 旋转，弧度
STRETCH = 0.07  # 长、宽各自的伸缩
SHEAR = 0.08  # 斜切：衣服没有摆正
BEND = 0.04  # 缓慢的弯曲：布是软的，边不是直线

# ── 亮度：真数据集里同一类服饰深的浅的都有，不能凭亮度分类 ──────────────
DARKEST, BRIGHTEST = 0.35, 1.0  # 布料亮度的范围，使全体像素的均值与标准差接近真数据集
FAINTEST = 0.02  # 布料里最暗的像素也不是 0：0 只留给背景
SHADE = 0.22  # 一侧亮一侧暗的光照
GRAIN = 0.06  # 布面颗粒（逐像素噪声的标准差）

# ── 局部线索：明暗方向随机，所以线性模型用不上 ──────────────────────────
DETAIL = 0.5  # 细节与布料的亮度差：要大到小卷积核一眼看得见
PATTERN = 0.35  # 花纹与布料的亮度差：比细节淡，免得盖住细节

CHUNK = 256  # 一次画多少张：中间结果留在缓存里，内存占用与 n 无关。改了会换一批图
NOISE_TILES = 64  # 预先做好的噪声块数：逐张取一块，比逐张生成快得多

TWO_PI = 6.3  # 随机相位的范围

Number = Tensor | float
Range = tuple[float, float]
Point = tuple[Number, Number]
Drawing = tuple[Tensor, Tensor]  # (内部场, 细节)，形状都是 (n, size, size)；细节为 0 处没有细节


# ── 画布与基本形状 ───────────────────────────────────────────────────


class Canvas:
    """n 张画布。

    坐标 x 向右、y 向下，形状 (n, size, size)，约在 [-1, 1] 内，每张各有一点扭曲；
    随机数只来自给定的生成器，与全局的随机数状态无关。

    Examples:
        >>> q = Canvas(2, 28, torch.Generator().manual_seed(0))
        >>> q.x.shape, q.between(0.3, 0.5).shape
        (torch.Size([2, 28, 28]), torch.Size([2, 1, 1]))
        >>> q.fill(torch.tensor([-1.0, 0.0, 1.0]))  # 布外、边上、布里
        tensor([0.0000, 0.5000, 1.0000])
    """

    def __init__(self, n: int, size: int, generator: torch.Generator) -> None:
        self.n, self.size, self.generator = n, size, generator
        axis = (torch.arange(size) + 0.5) / size * 2 - 1
        self.x, self.y = self._distort(axis[None, None, :], axis[None, :, None])

    def between(self, low: float, high: float) -> Tensor:
        """每张画布一个 [low, high) 内的随机数，形状 (n, 1, 1)。"""
        return low + (high - low) * torch.rand(self.n, 1, 1, generator=self.generator)

    def phase(self) -> Tensor:
        """每张画布一个随机相位，形状 (n, 1, 1)：条纹从哪里开始。"""
        return self.between(0, TWO_PI)

    def chance(self, probability: float) -> Tensor:
        """每张画布以给定概率为真，形状 (n, 1, 1)。"""
        return self.between(0, 1) < probability

    def choose(self, condition: Tensor, yes: Range, no: Range) -> Tensor:
        """条件为真的画布从 yes 的范围、其余从 no 的范围取随机数，形状 (n, 1, 1)。"""
        return torch.where(condition, self.between(*yes), self.between(*no))

    def fill(self, inside: Tensor) -> Tensor:
        """内部场变成 0～1 的覆盖率，边上有一个像素宽的过渡（抗锯齿）。"""
        return (inside * (self.size / 2) + 0.5).clamp(0, 1)

    def _distort(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """给坐标加上随机的旋转、平移、伸缩、斜切与弯曲。"""
        turn = self.between(-TURN, TURN)
        x = (x - self.between(-SHIFT, SHIFT)) * (1 + self.between(-STRETCH, STRETCH))
        y = (y - self.between(-SHIFT, SHIFT)) * (1 + self.between(-STRETCH, STRETCH))
        x, y = x + (turn + self.between(-SHEAR, SHEAR)) * y, y - turn * x
        x = x + BEND * torch.sin(3 * y + self.phase())
        return x, y + BEND * torch.sin(3 * x + self.phase())


def both(*fields: Tensor) -> Tensor:
    """几块区域的交的内部场。

    Examples:
        >>> both(torch.tensor([2.0, -1.0]), torch.tensor([1.0, 3.0]))  # 第二个点不在第一块里
        tensor([ 1., -1.])
    """
    return reduce(torch.minimum, fields)


def either(*fields: Tensor) -> Tensor:
    """几块区域的并的内部场。

    Examples:
        >>> either(torch.tensor([2.0, -1.0]), torch.tensor([1.0, 3.0]))
        tensor([2., 3.])
    """
    return reduce(torch.maximum, fields)


def band(distance: Tensor, half_width: Number) -> Tensor:
    """一条带子的内部场：到中线的（有符号）距离在半宽以内。

    Examples:
        >>> band(torch.tensor([-0.5, 0.0, 0.1]), half_width=0.2)  # 只有后两个点在带子里
        tensor([-0.3000,  0.2000,  0.1000])
    """
    return half_width - distance.abs()


def capsule(x: Tensor, y: Tensor, start: Point, end: Point, radius: Number) -> Tensor:
    """从 start 到 end、两头是圆的粗线的内部场。

    Examples:
        >>> x, y = torch.tensor([0.5, 0.5, 2.0]), torch.tensor([0.0, 1.0, 0.0])
        >>> capsule(x, y, start=(0.0, 0.0), end=(1.0, 0.0), radius=0.25)
        tensor([ 0.2500, -0.7500, -0.7500])
    """
    (x0, y0), (x1, y1) = start, end
    dx, dy = x1 - x0, y1 - y0
    along = (((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy)).clamp(0, 1)
    return radius - torch.hypot(x - x0 - along * dx, y - y0 - along * dy)


# ── 上衣：五类共用一个版型，差别在长短宽窄与细节 ─────────────────────────

SHOULDER = -0.95  # 肩线的高度：差一点到画布顶


def top(q: Canvas, half: Tensor, flare: Tensor, hem: Tensor, cuff: Point, neck: Tensor) -> Drawing:
    """躯干、两只袖子与领口。

    half 是躯干的半宽，越往下每单位放宽 flare，到 hem 为止；袖子伸到 cuff；neck 是领口的半径。

    Examples:
        >>> q = Canvas(3, 28, torch.Generator().manual_seed(0))
        >>> half, flare, hem, neck = (torch.full((3, 1, 1), v) for v in (0.5, 0.0, 0.9, 0.2))
        >>> inside, seam = top(q, half, flare, hem, short_cuff(q), neck)
        >>> bool((inside[:, 14, 14] > 0).all())  # 画布正中是布
        True
    """
    x, y, side = q.x, q.y, q.x.abs()
    edge = half + flare * y - side
    torso = both(edge, y - SHOULDER - 0.3 * side, hem - y)
    sleeve = capsule(side, y, (half - 0.08, SHOULDER + 0.3), cuff, q.between(0.13, 0.19))
    hole = neck - torch.hypot(x, (y - SHOULDER) * 1.2)
    seam = q.fill(band(edge, 0.02)) * q.between(0.2, 1)
    return both(either(torso, sleeve), -hole), seam


def front_line(q: Canvas, half_width: Tensor) -> Tensor:
    """门襟或拉链：中线附近的一条竖线，0～1。

    Examples:
        >>> q = Canvas(3, 28, torch.Generator().manual_seed(0))
        >>> line = front_line(q, q.between(0.05, 0.08))
        >>> line.shape, bool((line[:, 14, :4] == 0).all())  # 画布左边没有门襟
        (torch.Size([3, 28, 28]), True)
    """
    return q.fill(band(q.x - q.between(-0.1, 0.1), half_width))


def short_cuff(q: Canvas) -> tuple[Tensor, Tensor]:
    """短袖的袖口位置；最短的几乎是背心。

    Examples:
        >>> q = Canvas(3, 28, torch.Generator().manual_seed(0))
        >>> x, y = short_cuff(q)
        >>> bool((y < 0).all())  # 袖口在画布中线以上
        True
    """
    return q.between(0.5, 0.85), q.between(-0.6, -0.2)


def long_cuff(q: Canvas) -> tuple[Tensor, Tensor]:
    """长袖的袖口位置。

    Examples:
        >>> q = Canvas(3, 28, torch.Generator().manual_seed(0))
        >>> x, y = long_cuff(q)
        >>> bool((y > 0).all())  # 袖口在画布中线以下
        True
    """
    return q.between(0.62, 0.82), q.between(0.45, 0.85)


def t_shirt(q: Canvas) -> Drawing:
    """T恤：短袖，领口大，胸前常有一块印花。

    Examples:
        >>> q = Canvas(3, 28, torch.Generator().manual_seed(0))
        >>> inside, detail = t_shirt(q)
        >>> bool((inside[:, 14, 14] > 0).all())  # 画布正中是布
        True
    """
    half, flare, hem = q.between(0.4, 0.6), q.between(-0.05, 0.06), q.between(0.78, 1.0)
    inside, seam = top(q, half, flare, hem, short_cuff(q), q.between(0.14, 0.34))
    radius, x = q.between(0.12, 0.28), q.x - q.between(-0.1, 0.1)
    logo = radius - torch.hypot(x, (q.y - q.between(-0.4, 0)) * q.between(0.8, 2))
    return inside, seam + q.fill(logo) * q.chance(0.35)


def pullover(q: Canvas) -> Drawing:
    """套头衫：长袖，下摆短，常有一圈罗纹。

    Examples:
        >>> q = Canvas(3, 28, torch.Generator().manual_seed(0))
        >>> inside, detail = pullover(q)
        >>> bool((inside[:, 14, 14] > 0).all())  # 画布正中是布
        True
    """
    half, flare, hem = q.between(0.45, 0.6), q.between(-0.05, 0.06), q.between(0.66, 0.93)
    inside, seam = top(q, half, flare, hem, long_cuff(q), q.between(0.12, 0.3))
    rib = q.fill(band(q.y - hem + q.between(0.1, 0.25), 0.05)) * q.chance(0.4)
    return inside, seam + rib


def coat(q: Canvas) -> Drawing:
    """外套：长袖，下摆长而宽，领口小，常有拉链。

    Examples:
        >>> q = Canvas(3, 28, torch.Generator().manual_seed(0))
        >>> inside, detail = coat(q)
        >>> bool((inside[:, 14, 14] > 0).all())  # 画布正中是布
        True
    """
    half, flare, hem = q.between(0.46, 0.61), q.between(0.02, 0.09), q.between(0.82, 1.0)
    inside, seam = top(q, half, flare, hem, long_cuff(q), q.between(0.07, 0.22))
    return inside, seam + front_line(q, q.between(0.035, 0.07)) * q.chance(0.55)


def shirt(q: Canvas) -> Drawing:
    """衬衫：轮廓像T恤、套头衫或外套，窄一点；常有一排纽扣（断续的竖线）。

    Examples:
        >>> q = Canvas(3, 28, torch.Generator().manual_seed(0))
        >>> inside, detail = shirt(q)
        >>> bool((inside[:, 14, 14] > 0).all())  # 画布正中是布
        True
    """
    is_short, short, long = q.chance(0.35), short_cuff(q), long_cuff(q)
    cuff = torch.where(is_short, short[0], long[0]), torch.where(is_short, short[1], long[1])
    half, flare, hem = q.between(0.38, 0.52), q.between(-0.05, 0.08), q.between(0.8, 1.0)
    inside, seam = top(q, half, flare, hem, cuff, q.between(0.06, 0.26))
    dashes = torch.sin(q.y * q.between(13, 18) + q.phase()) > 0
    buttons = front_line(q, q.between(0.05, 0.08)) * dashes
    return inside, seam + buttons * q.chance(0.4)


def dress(q: Canvas) -> Drawing:
    """连衣裙：上身窄，裙摆放宽，有的长袖，腰间常有一条线。

    Examples:
        >>> q = Canvas(3, 28, torch.Generator().manual_seed(0))
        >>> inside, detail = dress(q)
        >>> bool((inside[:, 14, 14] > 0).all())  # 画布正中是布
        True
    """
    is_long = q.chance(0.25)
    cuff_x = q.choose(is_long, (0.4, 0.6), (0.3, 0.5))
    cuff_y = q.choose(is_long, (0.0, 0.5), (-0.6, -0.3))
    half, flare, hem = q.between(0.27, 0.47), q.between(0.0, 0.2), q.between(0.9, 1.0)
    inside, seam = top(q, half, flare, hem, (cuff_x, cuff_y), q.between(0.12, 0.3))
    waist = q.fill(band(q.y - q.between(-0.3, 0.1), 0.04)) * q.chance(0.6)
    return inside, seam + waist


# ── 裤子与包 ─────────────────────────────────────────────────────────


def trousers(q: Canvas) -> Drawing:
    """裤子：上下通到画布两头，中间一道由上往下变宽的缝，腰上一条线。

    Examples:
        >>> q = Canvas(3, 28, torch.Generator().manual_seed(0))
        >>> inside, detail = trousers(q)
        >>> bool((inside[:, 4, 14] > 0).all()), bool((inside[:, :, :2] < 0).all())  # 腰与左边
        (True, True)
    """
    y, side = q.y, q.x.abs()
    outer = q.between(0.3, 0.46) + q.between(-0.04, 0.1) * y - side
    legs = either(side - q.between(0.0, 0.13) * (y + 0.6).clamp(0, 1), -0.5 - y)
    waistband = q.fill(band(y + q.between(0.75, 0.85), 0.03))
    return both(outer, legs, y + 0.99, 0.99 - y), waistband


def bag(q: Canvas) -> Drawing:
    """包：上窄下宽的方块，多半有圆的提手，有的有翻盖。

    Examples:
        >>> q = Canvas(3, 28, torch.Generator().manual_seed(0))
        >>> inside, detail = bag(q)
        >>> bool((inside[:, 17, 14] > 0).all())  # 画布中间偏下是布
        True
    """
    x, y = q.x, q.y
    wide, high, low = q.between(0.6, 0.97), q.between(0.45, 0.8), q.between(0.05, 0.35)
    body = both(wide - q.between(0, 0.2) * (low - y) - x.abs(), band(y - low, high))
    ring = torch.hypot(x, (y - low + high) * q.between(0.6, 1.2))
    thickness, radius = q.between(0.04, 0.1), q.between(0.25, 0.6)
    handle = both(band(ring - radius, thickness), low - high - y + 0.05)
    handle = torch.where(q.chance(0.7), handle, -1.0)
    flap = q.fill(band(y - low + high * q.between(-0.2, 0.6), 0.04)) * q.chance(0.6)
    return either(body, handle), flap


# ── 鞋：三类共用一个侧面，鞋头都在左边 ──────────────────────────────────


class Shoe(NamedTuple):
    """鞋的侧面，都是 (n, size, size)。

    Examples:
        >>> zero = torch.zeros(1, 28, 28)
        >>> Shoe(height=zero, upper=zero, heel=zero)._fields
        ('height', 'upper', 'heel')
    """

    height: Tensor  # 离鞋底有多高
    upper: Tensor  # 鞋面的内部场
    heel: Tensor  # 鞋跟的内部场（没有抬起的鞋没有跟）


def shoe(q: Canvas, toe: Tensor, ankle: Tensor, bend: Tensor, steep: Tensor, lift: Tensor) -> Shoe:
    """鞋面的高度在 x = bend 处由 toe 升到 ankle，steep 是升得多陡；lift 是后跟抬起多少。

    Examples:
        >>> q = Canvas(3, 28, torch.Generator().manual_seed(0))
        >>> sizes = (torch.full((3, 1, 1), value) for value in (0.3, 0.9, 0.0, 6.0, 0.0))
        >>> side = shoe(q, *sizes)
        >>> left, right = (side.upper[:, :, k] > 0 for k in (4, 23))
        >>> bool((left.sum(1) < right.sum(1)).all())  # 鞋头在左，比鞋帮矮
        True
    """
    rise = torch.sigmoid((q.x - bend) * steep)
    ground = ((ankle + lift) / 2 + q.between(-0.1, 0.1)).clamp(max=0.95)  # 上下居中
    height = ground - lift * torch.sigmoid((q.x - 0.2) * 6) - q.y
    upper = both(height, toe + (ankle - toe) * rise - height, band(q.x, 0.97))
    heel = both(-height, ground - q.y, band(q.x - 0.7, q.between(0.06, 0.3)))
    return Shoe(height, upper, heel)


def sandal(q: Canvas) -> Drawing:
    """凉鞋：薄底（有的是高跟），鞋面只剩滚边与几条绑带，绑带之间露空。

    Examples:
        >>> q = Canvas(3, 28, torch.Generator().manual_seed(0))
        >>> covered = [float((draw(q)[0] > 0).float().mean()) for draw in (sandal, ankle_boot)]
        >>> covered[0] < covered[1]  # 凉鞋露空，盖住的像素比短靴少
        True
    """
    heeled = q.chance(0.35)
    toe, ankle = q.between(0.2, 0.4), q.choose(heeled, (0.5, 1.0), (0.35, 0.8))
    bend, steep = q.between(-0.3, 0.3), q.between(3, 8)
    height, upper, heel = shoe(q, toe, ankle, bend, steep, q.choose(heeled, (0.3, 0.8), (0, 0.1)))
    sole = both(band(height - 0.05, 0.05), band(q.x, 0.97))
    tilt, often = q.between(-0.9, 0.9), q.between(6, 11)
    wave = torch.sin(often * (q.x + tilt * q.y) + q.phase())
    straps = (wave - q.between(-0.3, 0.6)) / often
    edging = q.between(-0.1, 0.1) - upper
    stitches = q.fill(band(height - 0.12, 0.03)) * q.chance(0.3)
    return either(sole, heel, both(upper, either(straps, edging))), stitches


def sneaker(q: Canvas) -> Drawing:
    """运动鞋：低帮（少数高帮），鞋底常有一道边，鞋面常有几条斜条。

    Examples:
        >>> q = Canvas(3, 28, torch.Generator().manual_seed(0))
        >>> inside, detail = sneaker(q)
        >>> bool((inside[:, :3] < 0).all())  # 低帮鞋够不到画布顶
        True
    """
    toe, ankle = q.between(0.22, 0.36), q.choose(q.chance(0.15), (0.7, 1.0), (0.45, 0.75))
    bend, steep = q.between(-0.3, 0.2), q.between(3, 8)
    height, upper, _ = shoe(q, toe, ankle, bend, steep, q.between(0.0, 0.05))
    sole = q.fill(q.between(0.1, 0.18) - height) * q.chance(0.7)
    bars = torch.sin(q.between(9, 14) * (q.x + 0.6 * q.y) + q.phase()) > 0.3
    logo = q.fill(band(q.x - q.between(-0.3, 0.3), 0.3)) * bars * q.chance(0.6)
    return upper, sole + logo


def ankle_boot(q: Canvas) -> Drawing:
    """短靴：鞋头低，靴筒高，有的带跟；常有鞋底线与侧面的拉链。

    Examples:
        >>> q = Canvas(3, 28, torch.Generator().manual_seed(0))
        >>> inside, detail = ankle_boot(q)
        >>> left, right = (inside[:, :, k] > 0 for k in (4, 20))
        >>> bool((left.sum(1) < right.sum(1)).all())  # 鞋头在左，靴筒在右
        True
    """
    heeled = q.chance(0.35)
    toe, ankle = q.between(0.3, 0.5), q.choose(heeled, (0.8, 1.3), (0.8, 1.7))
    bend, steep = q.between(-0.3, 0.1), q.between(7, 14)
    height, upper, heel = shoe(q, toe, ankle, bend, steep, q.choose(heeled, (0.3, 0.6), (0, 0.08)))
    inside = both(either(upper, heel), q.between(0.65, 0.97) - q.x)
    zipper = q.fill(band(q.x - q.between(0.1, 0.5), 0.04)) * q.chance(0.4)
    sole = q.fill(band(height - q.between(0.1, 0.16), 0.04)) * q.chance(0.6)
    return inside, sole + zipper


# ── 布料 ─────────────────────────────────────────────────────────────


class Fabric(NamedTuple):
    """一类服饰常用的花纹。

    Examples:
        >>> Fabric(share=0.3, angle=(0.0, 3.14), often=(6, 24)).check  # 缺省没有格子
        0.0
    """

    share: float  # 有花纹的比例
    angle: Range  # 条纹法线的方向，弧度：0 是竖条纹，π/2 是横条纹
    often: Range  # 疏密：每单位长度的弧度数
    check: float = 0.0  # 有花纹的当中，格子（而不是条纹）的比例


ANY_ANGLE = (0.0, 3.14)
UPRIGHT, LEVEL = (-0.25, 0.25), (1.32, 1.82)  # 竖条纹与横条纹，各偏 0.25 弧度以内

# 下标就是类别号，次序与 Fashion-MNIST 相同。套头衫多横条，衬衫多细的竖条与格子：
# 这也是局部的线索，相位随机，线性模型用不上。
GARMENTS: tuple[tuple[Callable[[Canvas], Drawing], Fabric], ...] = (
    (t_shirt, Fabric(0.3, ANY_ANGLE, (6, 24))),
    (trousers, Fabric(0.25, ANY_ANGLE, (6, 24))),
    (pullover, Fabric(0.3, LEVEL, (6, 16))),
    (dress, Fabric(0.35, ANY_ANGLE, (6, 24))),
    (coat, Fabric(0.25, ANY_ANGLE, (6, 24))),
    (sandal, Fabric(0.2, ANY_ANGLE, (6, 24))),
    (shirt, Fabric(0.35, UPRIGHT, (12, 26), check=0.6)),
    (sneaker, Fabric(0.3, ANY_ANGLE, (6, 24))),
    (bag, Fabric(0.4, ANY_ANGLE, (6, 24), check=0.3)),
    (ankle_boot, Fabric(0.25, ANY_ANGLE, (6, 24))),
)

# 谁也分不对的那部分：第 k 类里有多大比例其实画成了另外哪几类的样子。
# 真数据集也是这样（像T恤的衬衫、没有拉链的外套）；没有它，小 ResNet 会到 0.95。
LOOKALIKES: dict[int, tuple[float, tuple[int, ...]]] = {
    0: (0.04, (6,)),
    2: (0.05, (4, 6)),
    3: (0.03, (0, 6)),
    4: (0.05, (2, 6)),
    5: (0.02, (7,)),
    6: (0.18, (0, 2, 3, 4)),  # 衬衫最难，与真数据集相同
    7: (0.02, (5, 9)),
    9: (0.02, (7,)),
}


def _drawn_as(labels: Tensor, generator: torch.Generator) -> Tensor:
    """每件照哪一类的样子画：多半是自己的类，少数按 LOOKALIKES 换成相像的类，形状 (n,)。"""
    drawn = labels.clone()
    for label, (share, others) in LOOKALIKES.items():
        index = (labels == label).nonzero()[:, 0]
        index = index[torch.rand(len(index), generator=generator) < share]
        pick = torch.randint(len(others), (len(index),), generator=generator)
        drawn[index] = torch.tensor(others)[pick]
    return drawn


def _pattern(q: Canvas, fabric: Fabric) -> Tensor:
    """布料花纹，0～1：条纹或格子，方向、疏密与相位随机；没有花纹的画布全为 0。"""
    angle, often = q.between(*fabric.angle), q.between(*fabric.often)
    u = angle.cos() * q.x + angle.sin() * q.y
    v = angle.cos() * q.y - angle.sin() * q.x
    stripes = torch.sin(often * u + q.phase()) > 0
    across = torch.sin(often * v + q.phase()) > 0
    checks = stripes ^ (across & q.chance(fabric.check))
    return checks * (q.between(0.3, 1) * q.chance(fabric.share))


def _paint(q: Canvas, drawing: Drawing, fabric: Fabric, noise: Tensor) -> Tensor:
    """轮廓、细节、花纹、光照与颗粒合成 uint8 图像 (n, size, size)，背景为 0。"""
    inside, detail = drawing
    level = q.between(DARKEST, BRIGHTEST)
    # 亮布上多半是暗线，暗布上多半是亮线：细节的明暗方向随机，平均起来互相抵消
    sign = torch.where(q.between(0, 1) < level, -1.0, 1.0)
    light = 1 + q.between(-SHADE, SHADE) * q.x + q.between(-SHADE, SHADE) * q.y
    cloth = level + sign * (DETAIL * detail + PATTERN * _pattern(q, fabric))
    pick = torch.randint(len(noise), (q.n,), generator=q.generator)
    image = q.fill(inside) * (cloth * light + GRAIN * noise[pick]).clamp(FAINTEST, 1)
    return (image * 255).round().to(torch.uint8)


# ── 入口 ─────────────────────────────────────────────────────────────


def make_garments(n: int, seed: int = 0, size: int = 28) -> tuple[Tensor, Tensor]:
    """画 n 件仿真服饰。

    同一台机器上同样的 (n, seed, size) 给出同样的结果；不读也不改全局的随机数状态。
    训练集用 seed=0，测试集用 seed=1。两者的随机数流不同，没有一张相同。

    Args:
        n: 张数，至少 1。
        seed: 随机种子，不小于 0。
        size: 边长（像素），至少 8。

    Returns:
        uint8 图像 (n, 1, size, size) 与 int64 标签 (n,)。十类各占十分之一
        （n 不是 10 的倍数时，编号小的类多一张），次序已打乱。

    Raises:
        ValueError: 参数不是整数或太小。

    Examples:
        >>> images, labels = make_garments(20, seed=0)
        >>> images.shape, labels.bincount().tolist()
        (torch.Size([20, 1, 28, 28]), [2, 2, 2, 2, 2, 2, 2, 2, 2, 2])
        >>> torch.equal(images, make_garments(20, seed=0)[0])  # 同一种子，同样的图
        True
    """
    _check_integer("n", n, 1)
    _check_integer("seed", seed, 0)
    _check_integer("size", size, 8)
    with _one_thread():
        return _draw_all(n, size, torch.Generator().manual_seed(seed))


def _draw_all(n: int, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """抽标签，再一类一类、一块一块地画。"""
    noise = torch.randn(NOISE_TILES, size, size, generator=generator)
    labels = torch.randperm(n, generator=generator) % len(GARMENTS)
    drawn = _drawn_as(labels, generator)
    images = torch.empty(n, 1, size, size, dtype=torch.uint8)
    for kind, (draw, fabric) in enumerate(GARMENTS):
        for index in (drawn == kind).nonzero()[:, 0].split(CHUNK):
            q = Canvas(len(index), size, generator)
            images[index, 0] = _paint(q, draw(q), fabric, noise)
    return images, labels


@contextmanager
def _one_thread() -> Iterator[None]:
    """暂时只用一个线程，完了恢复。

    每步运算只有几十万个数，多线程省不了多少；别的程序也在抢 CPU 时，线程互相等待反而慢几十倍。
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _check_integer(name: str, value: int, least: int) -> None:
    """参数应是不小于 least 的整数（bool 不算）。"""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} 给的是 {value!r}，应是不小于 {least} 的整数，请改正后再试。")
