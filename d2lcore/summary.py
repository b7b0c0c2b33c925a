"""网络的一览表：每层的输出形状、参数个数、乘加次数、感受野。

:func:`summarize` 让一个没有数据的输入（``meta`` 设备）走一遍网络，边走边记：
不占内存，不做计算，网络的参数、缓冲区、模式与随机数状态都不变。

- **参数**：共享的参数只数一次，记在先走到的那一层。没有走到的层，参数记在它外面的一层。
- **乘加**（MAC）：乘一次加一次算一次。只数卷积与矩阵乘法；偏置、激活、规范化、汇聚少得多，不数。
  次数来自 PyTorch 的 ``FlopCounterMode``（它乘、加分开数，这里除以 2）。
- **感受野**：输出的一个元素最多能看到多大一块输入，不截断到输入的大小。
  只由卷积、汇聚、逐元素运算、批量规范化、连结组成时才有定义，几条路合起来时取最大的；
  展平、全局汇聚、转置卷积，以及用别的运算拼出的卷积之后，记作“–”。
"""

import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

HEADINGS = ("名称", "类型", "输出形状", "参数", "乘加", "感受野")


class Row(NamedTuple):
    """一层的记录。

    ``shape`` 是输出形状（含批量；没有输出张量时为空），
    ``receptive_field`` 是各个方向的边长，没有定义时是 ``None``。

    Examples:
        >>> row = summarize(nn.Conv2d(1, 6, 5), (1, 28, 28)).rows[0]
        >>> row.shape, row.macs, row.receptive_field
        ((1, 6, 24, 24), 86400, (5, 5))
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    macs: int
    receptive_field: tuple[int, ...] | None


@dataclass(frozen=True, repr=False)
class Summary:
    """一览表：``rows`` 是各层，``parameters`` 与 ``macs`` 是合计；打印出来是一张对齐的表。

    Examples:
        >>> summary = summarize(nn.Sequential(nn.Linear(784, 256), nn.Linear(256, 10)), (784,))
        >>> summary.parameters, summary.macs, len(summary.rows)
        (203530, 203264, 2)
    """

    rows: tuple[Row, ...]
    parameters: int
    macs: int

    def __repr__(self) -> str:
        total = ("合计", "", "", f"{self.parameters:,}", f"{self.macs:,}", "")
        table = [HEADINGS, *map(_cells, self.rows), total]
        widths = [max(map(_display_width, column)) for column in zip(*table, strict=True)]
        lines = [_line(cells, widths) for cells in table]
        rule = "─" * (sum(widths) + 2 * (len(widths) - 1))
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def summarize(net: nn.Module, size: tuple[int, ...], *, depth: int | None = None) -> Summary:
    """列出网络每层的输出形状、参数个数、乘加次数与感受野；网络本身不变。

    Args:
        net: 网络，只有一个输入。
        size: 输入的形状。(C, H, W) 与 (特征数,) 不含批量，当作批量为 1；
            其余（如 (B, C, H, W)、(B, 特征数)）含批量，乘加次数是整批的。
        depth: 看到第几层嵌套：1 只列最外面的几块，``None`` 一直列到最里面。

    Raises:
        TypeError: ``net`` 不是 ``nn.Module``。
        ValueError: ``size`` 或 ``depth`` 不合适，网络里有尚未定形的惰性层，
            或这个形状的输入走不通（消息里有卡在哪一层之后）；
            前向计算按数据的值决定怎么走的网络也走不通，因为这里没有数据。

    Examples:
        >>> summarize(nn.Sequential(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2)), (1, 28, 28))
        名称  类型       输出形状        参数    乘加  感受野
        ─────────────────────────────────────────────────────
        0     Conv2d     (1, 6, 24, 24)   156  86,400     5×5
        1     ReLU       (1, 6, 24, 24)     0       0     5×5
        2     MaxPool2d  (1, 6, 12, 12)     0       0     6×6
        ─────────────────────────────────────────────────────
        合计                              156  86,400
    """
    from torch.utils.flop_counter import FlopCounterMode  # 导入较慢，用时再导入

    _check(net, size, depth)
    if len(size) in (1, 3):
        size = (1, *size)
    tensors = dict(chain(net.named_parameters(), net.named_buffers()))
    shadows = {name: tensor.detach().to("meta") for name, tensor in tensors.items()}
    dtypes = [p.dtype for p in net.parameters() if p.is_floating_point()]
    X = torch.empty(size, device="meta", dtype=dtypes[0] if dtypes else torch.get_default_dtype())
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(torch.random.fork_rng(devices=[]))
        stack.enter_context(torch.device("meta"))  # 前向计算里新建的张量也没有数据
        stack.enter_context(_evaluating(net))
        flops = stack.enter_context(FlopCounterMode(display=False))
        fields = stack.enter_context(_ReceptiveFields(X))
        recorder = _Recorder(net, depth, flops, fields)
        stack.callback(recorder.remove)
        try:
            torch.func.functional_call(net, shadows, (X,))
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            where = f"在「{recorder.rows[-1].name}」之后" if recorder.rows else "在第一层"
            raise ValueError(f"形状 {size} 的输入{where}走不通：{error}") from error
    parameters = sum(p.numel() for p in net.parameters())
    return Summary(tuple(recorder.rows), parameters, flops.get_total_flops() // 2)


class _Field(NamedTuple):
    """感受野的边长，与相邻两个输出元素的感受野相距多远；每个方向一个数。"""

    size: tuple[int, ...]
    jump: tuple[int, ...]

    def slide(
        self, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
    ) -> "_Field":
        """滑动一个窗口之后：窗口跨过 dilation·(kernel - 1) 个间隔，间隔随步幅变大。"""
        axes = list(zip(self.size, self.jump, kernel, stride, dilation, strict=True))
        size = tuple(size + d * (k - 1) * jump for size, jump, k, _, d in axes)
        return _Field(size, tuple(jump * s for _, jump, _, s, _ in axes))


class _ReceptiveFields(TorchDispatchMode):
    """跟着每一步运算，记下由输入算出的每个张量的感受野；``None`` 表示没有定义。"""

    def __init__(self, X: Tensor) -> None:
        super().__init__()
        ones = (1,) * (X.ndim - 2)
        # 张量一并存着，它的 id 就不会被别的张量占用；meta 张量不占内存
        self._known: dict[int, tuple[Tensor, _Field | None]] = {}
        self._record(X, _Field(ones, ones) if ones else None)

    def of(self, tensor: Tensor | None) -> _Field | None:
        return self._known.get(id(tensor), (None, None))[1]

    def _record(self, tensor: Tensor, field: _Field | None) -> None:
        self._known[id(tensor)] = (tensor, field)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        inputs = [tensor for tensor in _tensors(args) if id(tensor) in self._known]
        if inputs:  # 只由参数、常数算出的张量不必记
            for tensor in _tensors(out):
                self._record(tensor, self._after(func, args, inputs, tensor))
        return out

    def _after(
        self, func: Any, args: tuple[Any, ...], inputs: list[Tensor], out: Tensor
    ) -> _Field | None:
        fields = [field for tensor in inputs if (field := self.of(tensor)) is not None]
        if len(fields) < len(inputs):
            return None
        field = _Field(*map(_largest, zip(*fields, strict=True)))  # 几条路合起来，取最大的
        aten, op = torch.ops.aten, func.overloadpacket
        if op == aten.convolution and not args[6]:  # args[6]：是否转置卷积
            return field.slide(args[1].shape[2:], args[3], args[5])
        if op in (aten.max_pool2d_with_indices, aten.avg_pool2d):
            kernel = args[1]
            stride = args[2] if len(args) > 2 and args[2] else kernel
            dilated = op == aten.max_pool2d_with_indices and len(args) > 4
            return field.slide(kernel, stride, args[4] if dilated else (1, 1))
        same_size = all(tensor.shape[2:] == out.shape[2:] for tensor in inputs)
        local = torch.Tag.pointwise in func.tags or "batch_norm" in str(op) or op == aten.cat
        return field if (local and same_size) or op == aten.constant_pad_nd else None


class _Recorder:
    """在每个要列出的模块上挂钩子，走完一个模块就记一行。"""

    def __init__(
        self, net: nn.Module, depth: int | None, flops: Any, fields: _ReceptiveFields
    ) -> None:
        self.rows: list[Row] = []
        self._flops, self._fields = flops, fields
        self._counted: set[int] = set()  # 已经记过的参数
        self._entered: list[tuple[int, int]] = []  # 正走着的模块：进去时的运算次数与行数
        self._handles = []
        for name, module in net.named_modules():
            level = name.count(".") + 1 if name else 0
            if depth is None or level <= depth:
                listed = level == depth or not list(module.children())
                # 现在就取出参数：走的时候它们被换成了 meta 设备上的替身
                after = self._make_hook(name or "整个网络", listed, list(module.parameters()))
                self._handles.append(module.register_forward_pre_hook(self._enter))
                self._handles.append(module.register_forward_hook(after))

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()

    def _enter(self, module: nn.Module, inputs: Any) -> None:
        self._entered.append((self._flops.get_total_flops(), len(self.rows)))

    def _make_hook(self, name: str, listed: bool, parameters: list[nn.Parameter]) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            flops, row = self._entered.pop()
            macs = (self._flops.get_total_flops() - flops) // 2
            macs -= sum(row.macs for row in self.rows[row:])  # 里面的层已经记过的
            new = {id(p): p.numel() for p in parameters if id(p) not in self._counted}
            self._counted |= new.keys()
            # 外层模块自己还有参数或运算时也记一行，各行之和才等于合计
            if listed or new or macs:
                out = next(_tensors(output), None)
                shape = () if out is None else tuple(out.shape)
                field = self._fields.of(out)
                kind, size = type(module).__name__, field.size if field else None
                self.rows.append(Row(name, kind, shape, sum(new.values()), macs, size))

        return hook


def _tensors(value: Any) -> Iterator[Tensor]:
    """依次给出嵌套的元组、列表、字典里的张量。"""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _tensors(item)


def _largest(tuples: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(map(max, zip(*tuples, strict=True)))


@contextmanager
def _evaluating(net: nn.Module) -> Iterator[None]:
    """临时切到评估模式（批量规范化在批量为 1 时不能训练），用完逐个恢复。"""
    before = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        yield
    finally:
        for module, was_training in before:
            module.training = was_training


def _check(net: nn.Module, size: tuple[int, ...], depth: int | None) -> None:
    if not isinstance(net, nn.Module):
        raise TypeError(f"net 是 {type(net).__name__}，应是 nn.Module。")
    if not isinstance(size, tuple) or not size or not all(_is_count(n) for n in size):
        raise ValueError(f"输入的形状 size={size!r} 不合适：应是正整数的元组，例如 (1, 28, 28)。")
    if depth is not None and not _is_count(depth):
        raise ValueError(f"depth={depth!r} 不合适：应是不小于 1 的整数，或 None（列到最里面）。")
    for name, module in net.named_modules():
        lazy = isinstance(module, nn.modules.lazy.LazyModuleMixin)
        if lazy and module.has_uninitialized_params():
            raise ValueError(
                f"「{name}」（{type(module).__name__}）的参数还没有定形；"
                "请先让网络算一批数据：net(X)。"
            )


def _is_count(n: object) -> bool:
    return isinstance(n, int) and not isinstance(n, bool) and n >= 1


def _cells(row: Row) -> tuple[str, ...]:
    field = "×".join(map(str, row.receptive_field)) if row.receptive_field else "–"
    shape = str(row.shape) if row.shape else "–"
    return (row.name, row.kind, shape, f"{row.parameters:,}", f"{row.macs:,}", field)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """前三列靠左，数靠右；列间空两格。"""
    parts = []
    for i, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        gap = " " * (width - _display_width(cell))
        parts.append(cell + gap if i < 3 else gap + cell)
    return "  ".join(parts).rstrip()


def _display_width(text: str) -> int:
    """等宽字体里占几格：汉字与全角符号占两格，其余占一格。"""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)
