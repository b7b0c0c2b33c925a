"""仿真服饰：用公式画出的十类灰度“服饰”，形状、类别与 Fashion-MNIST 相同，不用下载。

它不是 Fashion-MNIST，只在没有真数据时顶替它，让每一篇笔记都跑得起来、结论也成立。
每件服饰先由“内部场” d(x, y) 给出轮廓：d > 0 的像素在衣服里面，两块布相交取较小者，
相并取较大者；再叠上细节（纽扣、拉链、绑带）、布料花纹、明暗与颗粒。

难度由下面的常量控制。它们是对着真数据集调出来的（benchmarks/calibrate_stand_in.py 会重测）：
线性模型只看“每个像素平均有多亮”，所以轮廓大致决定了 softmax 回归的精度；
花纹与细节的位置、相位、明暗方向都是随机的，平均起来几乎什么也不剩，
只有先用局部的卷积核找到“这里有一条线”的网络才用得上。这正是真实照片的样子。
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor

# ── 轮廓的变化：越大，线性模型的模板越模糊 ─────────────────────────────
SHIFT = 0.06  # 平移（画布宽为 2）。真数据集按外接框裁过，只有一个像素上下的移动
TURN = 0.07  # 旋转，弧度
STRETCH = 0.07  # 长宽各自的伸缩
SHEAR = 0.08  # 斜切：衣服没有摆正
BEND = 0.04  # 缓慢的弯曲：布是软的，边不是直线

# ── 亮度：真数据集里同一类服饰从近黑到纯白都有，不能凭亮度分类 ────────────
DARKEST, BRIGHTEST = 0.35, 1.0  # 布料亮度的范围
SHADE = 0.22  # 一侧亮一侧暗的光照
GRAIN = 0.06  # 布面颗粒（逐像素噪声的标准差）

# ── 局部线索：位置与明暗方向随机，只有局部的滤波器用得上 ────────────────
DETAIL = 0.5  # 细节与布料的亮度差；方向随机（亮布上多半是暗线，暗布上多半是亮线）
PATTERN = 0.35  # 花纹与布料的亮度差
AMBIGUITY = 0.6  # 没有任何标志、与别的上衣分不开的衬衫所占的比例：谁也分不对的那部分

CHUNK = 512  # 一次画多少张：中间结果留在缓存里，内存占用与 n 无关
NOISE_TILES = 64  # 预先做好的噪声块数：逐张取一块比逐张生成快得多

Drawing = tuple[Tensor, Tensor]  # (内部场, 细节)，形状都是 (n, size, size)


class Canvas:
    """n 张画布：坐标 x 向右、y 向下，都在 [-1, 1] 内；随机数只来自自己的生成器。"""

    def __init__(self, n: int, size: int, generator: torch.Generator) -> None:
        self.n, self.size, self.generator = n, size, generator
        axis = (torch.arange(size) + 0.5) / size * 2 - 1
        self.x, self.y = axis[None, None, :], axis[None, :, None]
        self._distort()

    def between(self, low: float, high: float) -> Tensor:
        """每张画布一个 [low, high) 内的随机数，形状 (n, 1, 1)。"""
        return low + (high - low) * torch.rand(self.n, 1, 1, generator=self.generator)

    def chance(self, probability: float) -> Tensor:
        """每张画布以给定概率为真，形状 (n, 1, 1)。"""
        return self.between(0, 1) < probability

    def choose(self, condition: Tensor, yes: tuple[float, float], no: tuple[float, float]) -> Tensor:
        """按条件从两个范围之一取随机数，形状 (n, 1, 1)。"""
        return torch.where(condition, self.between(*yes), self.between(*no))

    def fill(self, inside: Tensor) -> Tensor:
        """内部场变成 0～1 的覆盖率，边缘一个像素宽的过渡（抗锯齿）。"""
        return (inside * (self.size / 2) + 0.5).clamp(0, 1)

    def _distort(self) -> None:
        """给坐标加上随机的平移、旋转、伸缩、斜切与弯曲。"""
        turn = self.between(-TURN, TURN)
        x = (self.x - self.between(-SHIFT, SHIFT)) * (1 + self.between(-STRETCH, STRETCH))
        y = (self.y - self.between(-SHIFT, SHIFT)) * (1 + self.between(-STRETCH, STRETCH))
        x, y = x + (turn + self.between(-SHEAR, SHEAR)) * y, y - turn * x
        x = x + BEND * torch.sin(3 * y + self.between(0, 6.3))
        self.x, self.y = x, y + BEND * torch.sin(3 * x + self.between(0, 6.3))


def both(*fields: Tensor) -> Tensor:
    """几块区域的交。"""
    return reduce(torch.minimum, fields)


def either(*fields: Tensor) -> Tensor:
    """几块区域的并。"""
    return reduce(torch.maximum, fields)


def capsule(x: Tensor, y: Tensor, start: tuple, end: tuple, radius: Tensor | float) -> Tensor:
    """从 start 到 end 的一条粗线（两头是圆的）的内部场。"""
    (x0, y0), (x1, y1) = start, end
    dx, dy = x1 - x0, y1 - y0
    along = (((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy)).clamp(0, 1)
    return radius - torch.hypot(x - x0 - along * dx, y - y0 - along * dy)


SHOULDER = -0.95  # 上衣肩线的高度


def top(
    q: Canvas, half: Tensor, flare: Tensor, hem: Tensor, cuff: tuple[Tensor, Tensor], neck: Tensor
) -> Drawing:
    """上衣：躯干（半宽 half，向下放宽 flare，到 hem 为止）、两只袖子（到 cuff 为止）、领口。"""
    x, y, side = q.x, q.y, q.x.abs()
    edge = half + flare * y - side
    torso = both(edge, y - SHOULDER - 0.3 * side, hem - y)
    sleeve = capsule(side, y, (half - 0.08, SHOULDER + 0.3), cuff, q.between(0.13, 0.19))
    hole = neck - torch.hypot(x, (y - SHOULDER) * 1.2)
    seam = q.fill(0.02 - edge.abs()) * q.between(0.2, 1)
    return both(either(torso, sleeve), -hole), seam


def front_line(q: Canvas, width: Tensor) -> Tensor:
    """门襟或拉链：一条靠近中线的竖线。"""
    return q.fill(width - (q.x - q.between(-0.1, 0.1)).abs())


def long_cuff(q: Canvas) -> tuple[Tensor, Tensor]:
    """长袖的袖口位置。"""
    return q.between(0.62, 0.82), q.between(0.45, 0.85)


def short_cuff(q: Canvas) -> tuple[Tensor, Tensor]:
    """短袖的袖口位置；最短的几乎是背心。"""
    return q.between(0.5, 0.85), q.between(-0.6, -0.2)


def t_shirt(q: Canvas) -> Drawing:
    """T恤：短袖，胸前常有一块印花。"""
    inside, seam = top(
        q, q.between(0.4, 0.6), q.between(-0.05, 0.06), q.between(0.78, 1.0),
        short_cuff(q), q.between(0.14, 0.34),
    )
    logo = q.between(0.12, 0.28) - torch.hypot(
        q.x - q.between(-0.1, 0.1), (q.y - q.between(-0.4, 0)) * q.between(0.8, 2)
    )
    return inside, seam + q.fill(logo) * q.chance(0.4)


def pullover(q: Canvas) -> Drawing:
    """套头衫：长袖，下摆有一圈罗纹。"""
    hem = q.between(0.7, 0.98)
    inside, seam = top(
        q, q.between(0.44, 0.6), q.between(-0.05, 0.06), hem, long_cuff(q), q.between(0.1, 0.28)
    )
    rib = q.fill(0.05 - (q.y - hem + q.between(0.1, 0.25)).abs()) * q.chance(0.5)
    return inside, seam + rib


def coat(q: Canvas) -> Drawing:
    """外套：长袖，正面多半有拉链。"""
    inside, seam = top(
        q, q.between(0.44, 0.6), q.between(0.0, 0.08), q.between(0.78, 1.0),
        long_cuff(q), q.between(0.08, 0.24),
    )
    return inside, seam + front_line(q, q.between(0.035, 0.07)) * q.chance(0.65)


def shirt(q: Canvas) -> Drawing:
    """衬衫：轮廓在T恤与套头衫之间，标志是一排纽扣；一部分连纽扣也没有。"""
    short = q.chance(0.35)
    short_x, short_y = short_cuff(q)
    long_x, long_y = long_cuff(q)
    cuff = torch.where(short, short_x, long_x), torch.where(short, short_y, long_y)
    inside, seam = top(
        q, q.between(0.40, 0.56), q.between(-0.05, 0.08), q.between(0.8, 1.0),
        cuff, q.between(0.06, 0.26),
    )
    gaps = torch.sin(q.y * q.between(13, 18) + q.between(0, 6.3)) > 0
    buttons = front_line(q, q.between(0.05, 0.08)) * gaps
    return inside, seam + buttons * ~q.chance(AMBIGUITY)


def dress(q: Canvas) -> Drawing:
    """连衣裙：上身窄，裙摆放宽，短袖、长袖或无袖，腰间一条线。"""
    long = q.chance(0.25)
    cuff = (
        q.choose(long, (0.4, 0.6), (0.3, 0.5)),
        q.choose(long, (0.0, 0.5), (-0.6, -0.3)),
    )
    inside, seam = top(
        q, q.between(0.26, 0.44), q.between(0.0, 0.2), q.between(0.9, 1.0),
        cuff, q.between(0.12, 0.3),
    )
    waist = q.fill(0.04 - (q.y - q.between(-0.3, 0.1)).abs()) * q.chance(0.6)
    return inside, seam + waist


def trousers(q: Canvas) -> Drawing:
    """裤子：两条裤腿，中间一道缝。"""
    y, side = q.y, q.x.abs()
    outer = q.between(0.3, 0.46) + q.between(-0.04, 0.1) * y - side
    gap = side - q.between(0.0, 0.13) * (y + 0.6).clamp(0, 1)
    inside = both(outer, either(gap, -0.5 - y), y + 0.99, 0.99 - y)
    return inside, q.fill(0.03 - (y + q.between(0.75, 0.85)).abs())


def shoe(
    q: Canvas, toe: Tensor, ankle: Tensor, bend: Tensor, steep: Tensor, lift: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """鞋的侧面，鞋头在左：返回（离鞋底的高度，鞋面，鞋跟），后两个是内部场。

    鞋面高度由 toe 升到 ankle，在 x=bend 处转折；lift 是后跟抬起多少。
    """
    x = q.x
    rise = torch.sigmoid((x - bend) * steep)
    ground = ((ankle + lift) / 2 + q.between(-0.1, 0.1)).clamp(max=0.95)
    height = ground - lift * torch.sigmoid((x - 0.2) * 6) - q.y
    upper = both(height, toe + (ankle - toe) * rise - height, 0.97 - x.abs())
    heel = both(-height, ground - q.y, q.between(0.06, 0.3) - (x - 0.7).abs())
    return height, upper, heel


def sandal(q: Canvas) -> Drawing:
    """凉鞋：薄底（有的是高跟），鞋面只剩几条绑带，绑带之间露空。"""
    heeled = q.chance(0.35)
    height, upper, heel = shoe(
        q, q.between(0.2, 0.4), q.choose(heeled, (0.5, 1.0), (0.35, 0.8)),
        q.between(-0.3, 0.3), q.between(3, 8), q.choose(heeled, (0.3, 0.8), (0.0, 0.1)),
    )
    sole = both(0.05 - (height - 0.05).abs(), 0.97 - q.x.abs())
    tilt, often = q.between(-0.9, 0.9), q.between(6, 11)
    wave = torch.sin(often * (q.x + tilt * q.y) + q.between(0, 6.3))
    straps = both(upper, either((wave - q.between(-0.3, 0.6)) / often, q.between(-0.1, 0.1) - upper))
    return either(sole, heel, straps), q.fill(0.03 - (height - 0.12).abs()) * q.chance(0.3)


def sneaker(q: Canvas) -> Drawing:
    """运动鞋：低帮（少数高帮），鞋底一道边，鞋面有斜条。"""
    height, upper, _ = shoe(
        q, q.between(0.22, 0.36), q.choose(q.chance(0.15), (0.7, 1.0), (0.45, 0.75)),
        q.between(-0.3, 0.2), q.between(3, 8), q.between(0.0, 0.05),
    )
    sole = q.fill(q.between(0.1, 0.18) - height) * q.chance(0.7)
    bars = torch.sin(q.between(9, 14) * (q.x + 0.6 * q.y) + q.between(0, 6.3)) > 0.3
    patch = q.fill(0.3 - (q.x - q.between(-0.3, 0.3)).abs()) * bars * q.chance(0.6)
    return upper, sole + patch


def ankle_boot(q: Canvas) -> Drawing:
    """短靴：低矮的鞋头在左，高高的靴筒在右，有的带跟。"""
    heeled = q.chance(0.35)
    height, upper, heel = shoe(
        q, q.between(0.3, 0.5), q.choose(heeled, (0.8, 1.3), (0.8, 1.7)),
        q.between(-0.3, 0.1), q.between(7, 14), q.choose(heeled, (0.3, 0.6), (0.0, 0.08)),
    )
    inside = both(either(upper, heel), q.between(0.65, 0.97) - q.x)
    zipper = q.fill(0.04 - (q.x - q.between(0.1, 0.5)).abs()) * q.chance(0.4)
    sole = q.fill(0.04 - (height - q.between(0.1, 0.16)).abs()) * q.chance(0.6)
    return inside, sole + zipper


def bag(q: Canvas) -> Drawing:
    """包：一个圆角方块，多半有提手，有的有翻盖。"""
    x, y = q.x, q.y
    wide, high, low = q.between(0.6, 0.97), q.between(0.45, 0.8), q.between(0.05, 0.35)
    body = both(wide - q.between(0, 0.2) * (low - y) - x.abs(), high - (y - low).abs())
    ring = torch.hypot(x, (y - low + high) * q.between(0.6, 1.2))
    handle = both(q.between(0.04, 0.1) - (ring - q.between(0.25, 0.6)).abs(), low - high - y + 0.05)
    handle = torch.where(q.chance(0.7), handle, -1.0)
    flap = q.fill(0.04 - (y - low + high * q.between(-0.2, 0.6)).abs()) * q.chance(0.6)
    return either(body, handle), flap


class Fabric(NamedTuple):
    """一类服饰常用的花纹：条纹 sin(often·u)，u 沿 angle 方向；check 是格子的比例。"""

    share: float  # 有花纹的比例
    angle: tuple[float, float]
    often: tuple[float, float]
    check: float = 0.0


ANY = (0.0, 3.14)
UPRIGHT, LEVEL = (-0.25, 0.25), (1.32, 1.82)  # 竖条纹与横条纹：各偏 0.25 弧度以内

# 下标就是类别号，次序与 Fashion-MNIST 相同
GARMENTS: tuple[tuple[Callable[[Canvas], Drawing], Fabric], ...] = (
    (t_shirt, Fabric(0.35, ANY, (6, 24))),
    (trousers, Fabric(0.25, ANY, (6, 24))),
    (pullover, Fabric(0.35, LEVEL, (6, 16))),
    (dress, Fabric(0.35, ANY, (6, 24))),
    (coat, Fabric(0.25, ANY, (6, 24))),
    (sandal, Fabric(0.2, ANY, (6, 24))),
    (shirt, Fabric(0.4, UPRIGHT, (12, 26), check=0.6)),
    (sneaker, Fabric(0.3, ANY, (6, 24))),
    (bag, Fabric(0.4, ANY, (6, 24), check=0.3)),
    (ankle_boot, Fabric(0.25, ANY, (6, 24))),
)


def _pattern(q: Canvas, fabric: Fabric) -> Tensor:
    """布料花纹：条纹或格子，方向、疏密与相位随机；没有花纹的为 0。"""
    angle, often = q.between(*fabric.angle), q.between(*fabric.often)
    along = torch.sin(often * (angle.cos() * q.x + angle.sin() * q.y) + q.between(0, 6.3)) > 0
    across = torch.sin(often * (angle.cos() * q.y - angle.sin() * q.x) + q.between(0, 6.3)) > 0
    both_ways = along ^ (across & q.chance(fabric.check))
    return both_ways * (q.between(0.3, 1) * q.chance(fabric.share))


def _paint(q: Canvas, drawing: Drawing, fabric: Fabric, noise: Tensor) -> Tensor:
    """轮廓、细节、花纹、光照与颗粒合成 uint8 图像 (n, size, size)。"""
    inside, detail = drawing
    level = q.between(DARKEST, BRIGHTEST)
    sign = torch.where(q.between(0, 1) < level, -1.0, 1.0)
    light = 1 + q.between(-SHADE, SHADE) * q.x + q.between(-SHADE, SHADE) * q.y
    cloth = level + sign * (DETAIL * detail + PATTERN * _pattern(q, fabric))
    pick = torch.randint(len(noise), (q.n,), generator=q.generator)
    image = q.fill(inside) * (cloth * light + GRAIN * noise[pick]).clamp(0.02, 1)
    return (image * 255).round().to(torch.uint8)


def make_garments(n: int, seed: int = 0, size: int = 28) -> tuple[Tensor, Tensor]:
    """画 n 件仿真服饰。

    返回 uint8 图像 (n, 1, size, size) 与 int64 标签 (n,)；十类各占十分之一（n 不是 10 的倍数时
    前面的类多一张），次序已打乱。同一台机器上同样的 (n, seed, size) 给出同样的结果；
    不读也不改全局随机数状态。训练集用 seed=0，测试集用 seed=1。
    """
    _check("n", n, 1)
    _check("seed", seed, 0)
    _check("size", size, 8)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(NOISE_TILES, size, size, generator=generator)
    labels = torch.randperm(n, generator=generator) % len(GARMENTS)
    images = torch.empty(n, 1, size, size, dtype=torch.uint8)
    for label, (draw, fabric) in enumerate(GARMENTS):
        for where in (labels == label).nonzero()[:, 0].split(CHUNK):
            q = Canvas(len(where), size, generator)
            images[where, 0] = _paint(q, draw(q), fabric, noise)
    return images, labels


def _check(name: str, value: int, least: int) -> None:
    """整数参数的检查。"""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} 给的是 {value!r}，应是不小于 {least} 的整数，请改正后再试。")
