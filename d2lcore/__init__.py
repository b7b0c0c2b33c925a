"""《深度学习可执行笔记》的配套小库。

每个模块讲一件事：

- 数据：``data`` 读 Fashion-MNIST，``stand_in`` 造仿真服饰，``scenes`` 造检测场景；
- 训练：``training`` 训练与评估，``optimizers`` 优化器与学习率，``history`` 记录，
  ``checkpoints`` 断点续训，``distributed`` 多进程，``devices`` 选设备，
  ``metrics`` 度量，``checks`` 自检；
- 网络：``layers`` 从零写的层，``models`` 经典的卷积网络，``summary`` 网络的一览表；
- 检测：``boxes`` 边界框，``anchors`` 锚框，``detection`` 由输出到结果与平均精度，
  ``multibox`` 多框检测的损失与预测，``regions`` 感兴趣区域；
- 其他：``plotting`` 绘图，``d2l`` 与 d2l-zh 同名的函数（要用时才导入）。

常用的名字可以直接从 ``d2lcore`` 导入，其余的从各模块导入。
"""

from d2lcore.checkpoints import load_checkpoint, save_checkpoint
from d2lcore.checks import expect, report, seed_everything
from d2lcore.data import Batches, ImageData, fashion_mnist_batches, load_fashion_mnist
from d2lcore.devices import by_device, pick_device
from d2lcore.history import Epoch, History
from d2lcore.metrics import accuracy, confusion_matrix
from d2lcore.optimizers import one_cycle_sgd
from d2lcore.plotting import plot_curves, show_boxes, show_images, use_chinese_font
from d2lcore.scenes import SceneData, make_scenes
from d2lcore.summary import summarize
from d2lcore.training import Scores, evaluate, fit

__version__ = "0.1.0"

__all__ = [
    "Batches",
    "Epoch",
    "History",
    "ImageData",
    "SceneData",
    "Scores",
    "accuracy",
    "by_device",
    "confusion_matrix",
    "evaluate",
    "expect",
    "fashion_mnist_batches",
    "fit",
    "load_checkpoint",
    "load_fashion_mnist",
    "make_scenes",
    "one_cycle_sgd",
    "pick_device",
    "plot_curves",
    "report",
    "save_checkpoint",
    "seed_everything",
    "show_boxes",
    "show_images",
    "summarize",
    "use_chinese_font",
]
