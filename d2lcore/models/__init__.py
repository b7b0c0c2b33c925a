"""经典的卷积网络，一个文件一个，由课文讲过的块搭成。

缺省的网络就是论文（或教科书）里的网络，输入 1 个通道，输出 10 类的得分，没有 softmax。
``width`` 乘在通道数上，``small=True`` 换一个不急着缩小的开头：两者合起来，
每个网络都能在 CPU 上用 28–64 像素的小图训练。ReLU 网络用 He 初始化，在构造时就做好。

``MODELS`` 按名字列出它们，供命令行使用。
"""

from collections.abc import Callable

from torch import nn

from d2lcore.models.alexnet import alexnet
from d2lcore.models.densenet import DenseBlock, dense_layer, densenet, transition
from d2lcore.models.googlenet import Inception, googlenet
from d2lcore.models.lenet import lenet
from d2lcore.models.nin import nin, nin_block
from d2lcore.models.parts import init_he_, init_xavier_
from d2lcore.models.resnet import PreActResidual, Residual, resnet, resnet18, resnet34
from d2lcore.models.vgg import vgg11, vgg_block

MODELS: dict[str, Callable[..., nn.Sequential]] = {
    "lenet": lenet,
    "alexnet": alexnet,
    "vgg11": vgg11,
    "nin": nin,
    "googlenet": googlenet,
    "resnet18": resnet18,
    "resnet34": resnet34,
    "densenet": densenet,
}

__all__ = [
    "MODELS",
    "DenseBlock",
    "Inception",
    "PreActResidual",
    "Residual",
    "alexnet",
    "dense_layer",
    "densenet",
    "googlenet",
    "init_he_",
    "init_xavier_",
    "lenet",
    "nin",
    "nin_block",
    "resnet",
    "resnet18",
    "resnet34",
    "transition",
    "vgg11",
    "vgg_block",
]
