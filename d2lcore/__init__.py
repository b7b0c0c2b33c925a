"""《深度学习可执行笔记》的配套小库。

每个模块讲一件事：``data`` 读数据，``stand_in`` 造仿真数据，``training`` 训练与评估，
``metrics`` 度量，``plotting`` 绘图，``checks`` 自检，``devices`` 选设备。
常用的名字可以直接从 ``d2lcore`` 导入。
"""

from d2lcore.checks import expect, report, seed_everything
from d2lcore.data import Batches, ImageData, fashion_mnist_batches, load_fashion_mnist
from d2lcore.devices import by_device, pick_device
from d2lcore.metrics import accuracy, confusion_matrix
from d2lcore.plotting import plot_curves, show_images, use_chinese_font
from d2lcore.training import Epoch, History, Scores, evaluate, fit

__version__ = "0.1.0"

__all__ = [
    "Batches",
    "Epoch",
    "History",
    "ImageData",
    "Scores",
    "accuracy",
    "by_device",
    "confusion_matrix",
    "evaluate",
    "expect",
    "fashion_mnist_batches",
    "fit",
    "load_fashion_mnist",
    "pick_device",
    "plot_curves",
    "report",
    "seed_everything",
    "show_images",
    "use_chinese_font",
]
