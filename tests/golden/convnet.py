"""一叠卷积、汇聚层的形状、参数、乘加、感受野，与一个元素用到的输入。"""

import random
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from d2lcore import models, summarize
from tools.golden import Case

CONV, MAX, AVG = range(3)
WINDOWS = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
Row = list[int]  # 种类、核、步幅、填充、膨胀、输出通道、组数、ceil_mode


def cases(rng: random.Random) -> Iterator[Case]:
    """单层、多层（有走不通的）、课文里的网络、感受野的三个数、用到的元素。"""
    for _ in range(260):
        rows = [random_row(rng)]
        yield walk_case(rows, rng.randint(1, 20), rng.randint(1, 6), rng.random() < 0.5)
    yield walk_case([[CONV, 1, 8, 3, 1, 2, 1, 0]], 1, 1, True)  # 窗口全在填充里
    for _ in range(140):
        rows = [random_row(rng) for _ in range(rng.randint(2, 6))]
        yield walk_case(rows, rng.randint(8, 40), rng.choice([2, 4, 6]), rng.random() < 0.5)
    yield from known_networks()
    for _ in range(70):
        yield field_case([legal_row(rng) for _ in range(rng.randint(1, 4))])
    for _ in range(140):
        yield trace_case([legal_row(rng) for _ in range(rng.randint(1, 4))], rng)


def random_row(rng: random.Random) -> Row:
    """组数与填充有时不合法，窗口有时放不下。"""
    kind, k, d = rng.choice([CONV, CONV, MAX, AVG]), rng.randint(1, 5), rng.choice([1, 1, 2, 3])
    p = rng.randint(0, 4) if kind == CONV else rng.choice([0, 0, k // 2, (k + 1) // 2, k // 2 + 1])
    if kind == MAX and p > k // 2:
        d = 1  # 膨胀时填充至多多少，PyTorch 各版本、各设备不同
    out, groups = rng.choice([2, 3, 4, 6, 8]), rng.choice([1, 1, 1, 2, 3])
    return [kind, k, rng.randint(1, 4), p, d, out, groups, rng.randint(0, 1)]


def legal_row(rng: random.Random) -> Row:
    row = random_row(rng)
    if row[0] != CONV:
        row[3] = min(row[3], row[1] // 2)
    return [*row[:6], 1, row[7]]


def make_layer(row: Row, channels: int, bias: bool) -> nn.Module:
    """这一行的 PyTorch 的层。"""
    kind, k, s, p, d, out, groups, ceil = row
    if kind == CONV:
        return nn.Conv2d(channels, out, k, s, p, d, groups, bias)
    if kind == MAX:
        return nn.MaxPool2d(k, s, p, d, ceil_mode=bool(ceil))
    return nn.AvgPool2d(k, s, p, ceil_mode=bool(ceil))


def walk_case(rows: list[Row], n: int, channels: int, bias: bool) -> Case:
    """真的走一遍；走不通就停。"""
    X, layers = torch.zeros(1, channels, n, n), []
    result: list[dict[str, Any]] = [{"n": n, "c": channels}]
    for row in rows:
        try:
            layer = make_layer(row, X.shape[1], bias)
            Y = layer(X)
        except (ValueError, RuntimeError) as error:
            result.append({"problem": reason(str(error))})
            break
        layers.append(layer)
        result.append({"problem": "", "n": Y.shape[2], "c": Y.shape[1], **edges(row, X, Y)})
        X = Y
    table = summarize(nn.Sequential(*layers), (channels, n, n)).rows if layers else ()
    for found, line in zip(result[1:], table, strict=False):
        assert line.receptive_field is not None
        found |= {"params": line.parameters, "macs": line.macs, "r": line.receptive_field[0]}
    return Case("convnet.walk", [rows, n, channels, bias], result)


def reason(message: str) -> str:
    """PyTorch 的消息说的是哪一种错。"""
    for word, name in (("groups", "groups"), ("pad should be", "padding")):
        if word in message:
            return name
    assert "Kernel size" in message or "too small" in message, message
    return "kernel"


def edges(row: Row, X: Tensor, Y: Tensor) -> dict[str, int]:
    """补好填充，每格真的放一遍窗口（全 1 的核），看哪些格的梯度是 0、伸出去几格。"""
    _, k, s, p, d, *_ = row
    n, m = X.shape[2], Y.shape[2]
    room = n + 2 * p + k * d + m * s  # 足够长，伸出去的窗口也放得下
    line = torch.zeros(1, 1, room, requires_grad=True)
    out = F.conv1d(line, torch.ones(1, 1, k), stride=s, dilation=d if row[0] != AVG else 1)
    (gradient,) = torch.autograd.grad(out[..., :m].sum(), line)
    used = gradient[0, 0] > 0
    end = int(used.nonzero().max()) + 1
    return {
        "lost": max(0, p + n - max(p, end)),
        "spare": max(0, n + 2 * p - max(n + p, end)),
        "over": max(0, end - n - 2 * p),
        "unused": int((~used[p : p + n]).sum()),
    }


def known_networks() -> Iterator[Case]:
    """课文里的网络：其中的卷积与汇聚，到全局汇聚或展平为止。"""
    for name, size in (("lenet", 28), ("alexnet", 224), ("vgg11", 224), ("nin", 224)):
        net = getattr(models, name)()
        rows = [read(layer) for layer in net.modules() if isinstance(layer, WINDOWS)]
        result: list[dict[str, Any]] = [{}]  # 输入
        for line in summarize(net, (1, size, size)).rows:
            if line.kind in ("Conv2d", "MaxPool2d", "AvgPool2d") and line.receptive_field:
                _, c, n, _ = line.shape
                found = {"n": n, "c": c, "params": line.parameters, "macs": line.macs}
                result.append({**found, "r": line.receptive_field[0]})
        yield Case("convnet.walk", [rows, size, 1, True], result)


def read(layer: Any) -> Row:
    """层写成一行数。"""
    if isinstance(layer, nn.Conv2d):
        numbers = (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
        return [CONV, *(int(v[0]) for v in numbers), layer.out_channels, layer.groups, 0]
    kind = MAX if isinstance(layer, nn.MaxPool2d) else AVG
    return [kind, layer.kernel_size, layer.stride, layer.padding, 1, 1, 1, int(layer.ceil_mode)]


def line_layer(row: Row) -> nn.Module:
    """一维、单通道的同样的层，权重是正数，正正相加不会抵消。"""
    kind, k, s, p, d, _, _, ceil = row
    if kind == CONV:
        layer = nn.Conv1d(1, 1, k, s, p, d, bias=False).double()
        nn.init.uniform_(layer.weight, 0.5, 1.5)
        return layer
    if kind == MAX:
        return nn.MaxPool1d(k, s, p, d, ceil_mode=bool(ceil))
    return nn.AvgPool1d(k, s, p, ceil_mode=bool(ceil))


def support(net: nn.Sequential, n: int, i: int) -> list[int]:
    """输出的第 i 个元素用到输入的哪些：梯度不为 0 的。

    最大汇聚只把梯度传给最大的一个，所以有它时改为逐个试：输入全 0，只有一格是 1，
    看输出变没变。
    """
    if any(isinstance(layer, nn.MaxPool1d) for layer in net):
        X = torch.cat([torch.zeros(1, n), torch.eye(n)])[:, None].double()
        base, *others = net(X)[:, 0, i].tolist()
        return [t for t, value in enumerate(others) if value != base]
    X = torch.rand(1, 1, n, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(net(X)[0, 0, i], X)
    return gradient[0, 0].nonzero().flatten().tolist()


def length(net: nn.Module, n: int) -> int:
    return net(torch.zeros(1, 1, n, dtype=torch.float64)).shape[-1]


def field_case(rows: list[Row]) -> Case:
    """离边缘很远的两个相邻元素：看到的起点、终点、错开几格。"""
    n = 1200
    net = nn.Sequential(*map(line_layer, rows))
    i = length(net, n) // 2
    one, two = support(net, n, i), support(net, n, i + 1)
    assert one[0] > 0
    assert two[-1] < n - 1
    j = two[0] - one[0]
    last = {"r": one[-1] - one[0] + 1, "j": j, "a": one[0] - i * j}
    return Case("convnet.walk", [rows, n, 1, False], [{} for _ in rows] + [last])


def trace_case(rows: list[Row], rng: random.Random) -> Case:
    """一个元素（常在边上）用到各层的哪些元素。"""
    net, n = nn.Sequential(*map(line_layer, rows)), rng.randint(3, 40)
    while (sizes := lengths(net, n)) is None:
        n += 5
    i = rng.choice([0, sizes[-1] - 1, rng.randrange(sizes[-1])])
    result = [support(net[level:], size, i) for level, size in enumerate(sizes[:-1])]
    return Case("convnet.trace", [rows, n, i], [*result, [i]])


def lengths(net: nn.Sequential, n: int) -> list[int] | None:
    """输入与各层输出的长度；窗口放不下，或最大汇聚有的窗口全在填充里（得 −∞）时是 None。"""
    X, found = torch.zeros(1, 1, n, dtype=torch.float64), [n]
    for layer in net:
        try:
            X = layer(X)
        except RuntimeError:
            return None
        if X.isinf().any():
            return None
        found.append(X.shape[-1])
    return found
