"""画检测场景要多久：没有对手，看两个核上每秒画几张。"""

from functools import partial

from benchmarks.data_speed import Item
from d2lcore.data import ImageData
from d2lcore.scenes import make_scenes

SCENES, SIZE = 5000, 96
TARGET = 2000.0  # 每秒至少画几张


def items(train: ImageData) -> list[Item]:
    """只有一项。"""
    work = partial(make_scenes, train, SCENES, size=SIZE, seed=0)
    name = f"画 {SCENES:,} 张检测场景，{SIZE}×{SIZE}"
    return [Item(name, SCENES, TARGET, work, {}, per_second=True)]
