"""d2lcore.d2l：d2l-zh 的名字都在，用法不变，改过的毛病确实改了。"""

import hashlib
import io
import math
import os
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import nbclient
import nbformat
import numpy as np
import pytest
import torch
from jupyter_client.manager import start_new_kernel
from PIL import Image
from torch import Tensor, nn
from torchvision import ops

from d2lcore import _d2l_data, _d2l_plots, _d2l_train, d2l
from d2lcore.data import CLASS_NAMES, ImageData
from d2lcore.stand_in import make_garments

CPU = torch.device("cpu")
# d2l-zh 第 2–7、13 章的笔记里写作 d2l.xxx 的名字，张量的别名除外
NAMES = [
    "plt", "Image", "use_svg_display", "set_figsize", "set_axes", "plot", "Timer", "Animator",
    "Accumulator", "synthetic_data", "linreg", "squared_loss", "sgd", "load_array",
    "get_fashion_mnist_labels", "show_images", "get_dataloader_workers",
    "load_data_fashion_mnist", "accuracy", "evaluate_accuracy", "evaluate_loss",
    "train_epoch_ch3", "train_ch3", "predict_ch3", "download", "download_extract", "download_all",
    "DATA_HUB", "DATA_URL", "try_gpu", "try_all_gpus", "corr2d", "evaluate_accuracy_gpu",
    "train_ch6", "Residual", "resnet18", "train_batch_ch13", "train_ch13", "bbox_to_rect",
    "box_corner_to_center", "box_center_to_corner", "show_bboxes", "box_iou", "multibox_prior",
    "multibox_target", "assign_anchor_to_bbox", "offset_boxes", "offset_inverse", "nms",
    "multibox_detection", "load_data_bananas",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("D2LCORE_ANIMATE", raising=False)
    torch.manual_seed(0)
    yield
    plt.close("all")


@pytest.fixture
def garments(monkeypatch: pytest.MonkeyPatch) -> None:
    """小得多的训练集与测试集。"""
    small = tuple(ImageData(*make_garments(n, seed=n), CLASS_NAMES, "仿真服饰") for n in (300, 200))
    monkeypatch.setattr(_d2l_data, "load_fashion_mnist", lambda: small)


def softmax_net() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))


def two_classes(n: int = 40) -> list[tuple[Tensor, Tensor]]:
    X = torch.randn(n, 2)
    return list(zip(X.split(16), (X[:, 0] > X[:, 1]).long().split(16), strict=True))


# ---- 名字与导入 ----


def test_every_name_is_there() -> None:
    assert [name for name in NAMES if name not in d2l.__all__] == []
    assert [name for name in d2l.__all__ if not hasattr(d2l, name)] == []


def test_missing_name_says_what_to_do() -> None:
    with pytest.raises(AttributeError, match=r"没有 load_data_voc：.*请复制过来"):
        _ = d2l.load_data_voc


def test_imports_stay_light() -> None:
    code = (
        "import sys, d2lcore; assert 'd2lcore.d2l' not in sys.modules; import d2lcore.d2l as d2l;"
        "d2l.Animator().add(1, 1);"  # 在终端里画图也不必有 IPython
        "print([n for n in ('IPython', 'pandas', 'requests', 'torchvision') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "x 1  y0 1\n[]\n"


def test_aliases_are_the_torch_operations() -> None:
    X = d2l.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    assert d2l.reduce_sum(X, 0, keepdim=True).shape == (1, 2)
    assert d2l.argmax(X, axis=1).tolist() == [1, 1]
    assert d2l.astype(X, d2l.int32).dtype == torch.int32
    assert d2l.size(X) == 4
    assert d2l.reshape(X, (-1, 1)).shape == d2l.reshape(X, -1, 1).shape == (4, 1)
    assert d2l.transpose(X)[0, 1] == 3
    assert d2l.to(X, torch.float64).dtype == torch.float64
    assert d2l.numpy(X).tolist() == [[1, 2], [3, 4]]
    rows, columns = d2l.meshgrid(d2l.arange(2), d2l.arange(3))
    assert rows.shape == columns.shape == (2, 3)
    assert rows[1].tolist() == [1, 1, 1]
    assert d2l.concat((d2l.zeros(1), d2l.ones(1))).tolist() == [0, 1]
    assert d2l.stack((d2l.abs(d2l.tensor(-1)), d2l.eye(1)[0, 0])).tolist() == [1, 1]
    assert d2l.matmul(d2l.ones(1, 2), d2l.ones(2, 1)).item() == 2


# ---- 绘图 ----


def test_plot_accepts_what_notebooks_give() -> None:
    x = torch.arange(-2.0, 2.0, 0.5, requires_grad=True)
    d2l.plot(x.detach(), torch.relu(x), "x", "relu(x)", figsize=(5, 2.5))
    (line,) = plt.gca().get_lines()
    assert line.get_ydata().tolist() == torch.relu(x).tolist()
    assert plt.gca().get_xlabel() == "x"
    n = np.arange(0, 3, 0.1)
    d2l.plot(n, [n**2, 2 * n - 3], legend=["f(x)", "tangent"], xlim=[1, 2], yscale="log")
    assert len(plt.gca().get_lines()) == 2
    assert plt.gca().get_xlim() == (1, 2)
    d2l.plot([[1, 2, 3]] * 6)  # 只有纵坐标；曲线比样式多
    assert len(plt.gca().get_lines()) == 6
    assert plt.gca().get_lines()[0].get_xdata().tolist() == [0, 1, 2]
    d2l.plot([1, 2], [3, 4], axes=plt.figure().gca())
    with pytest.raises(ValueError, match="X 有 2 条曲线，Y 有 3 条"):
        d2l.plot([[1], [2]], [[1], [2], [3]])


@pytest.mark.filterwarnings("error")
def test_one_epoch_axis_does_not_warn() -> None:
    animator = d2l.Animator(xlabel="epoch", xlim=[1, 1])
    animator.add(1, (0.5,))
    (line,) = animator.axes[0].get_lines()
    assert line.get_marker() == "o", "一个点也要看得见"
    animator.add(2, (0.25,))
    assert animator.axes[0].get_lines()[0].get_marker() in ("", "None")


def test_animator_in_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    animator = d2l.Animator("epoch", legend=["train loss", "test acc"], ncols=2, figsize=(7, 2.5))
    animator.axes[1].imshow(np.zeros((2, 2)))  # 神经风格那一节这样用
    animator.add(0.5, (torch.tensor(1.25, requires_grad=True), None))
    animator.add(1, [0.75, 0.5])
    assert capsys.readouterr().out.splitlines() == [
        "epoch 0.5  train loss 1.25",
        "epoch 1  train loss 0.75  test acc 0.5",
    ]
    assert animator.X == [[0.5, 1.0], [1.0]]
    assert animator.Y == [[1.25, 0.75], [0.5]]
    assert [line.get_linestyle() for line in animator.axes[0].get_lines()] == ["-", "--"]
    assert len(animator.axes[1].images) == 1
    with pytest.raises(ValueError, match="有 2 条曲线，这次给了 3 个值"):
        animator.add(2, [1, 2, 3])


def test_animator_takes_bare_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    animator = d2l.Animator()
    animator.add(1, torch.tensor(0.5))
    animator.add([2], 0.25)
    assert animator.Y == [[0.5, 0.25]]
    assert capsys.readouterr().out == "x 1  y0 0.5\nx 2  y0 0.25\n"


def test_how_to_show_follows_the_variable_and_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    class Kernel:
        _allow_stdin = False

    monkeypatch.setattr(_d2l_plots, "_kernel", Kernel)
    assert _d2l_plots._how_to_show() == "final"
    Kernel._allow_stdin = True
    assert _d2l_plots._how_to_show() == "live"
    monkeypatch.setenv("D2LCORE_ANIMATE", "text")
    assert _d2l_plots._how_to_show() == "text"
    monkeypatch.setenv("D2LCORE_ANIMATE", "gif")
    with pytest.raises(ValueError, match="D2LCORE_ANIMATE='gif' 不认识"):
        d2l.Animator()


ANIMATED = """
from d2lcore import d2l
animator = d2l.Animator(xlabel='epoch', legend=['loss'])
for epoch in range(3):
    animator.add(epoch + 1, 1 / (epoch + 1))
print('done')
"""


def kernel_environment() -> dict[str, str]:
    root = str(Path(d2l.__file__).parents[1])
    return {**os.environ, "PYTHONPATH": root, "MPLBACKEND": "", "PYTHONHASHSEED": "0"}


def test_executed_notebook_keeps_one_figure_and_repeats() -> None:
    cells = [nbformat.v4.new_code_cell(ANIMATED) for _ in range(2)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    client = nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3")
    client.execute(env=kernel_environment())
    first, second = (cell.outputs for cell in notebook.cells)
    assert [output.output_type for output in first] == ["stream", "display_data"]
    assert first[0].text == "done\n"
    assert "image/svg+xml" in first[1].data
    assert "dc:date" not in first[1].data["image/svg+xml"]
    assert first == second, "重跑时的输出应逐字相同"


def test_interactive_notebook_updates_in_place() -> None:
    manager, client = start_new_kernel(env=kernel_environment())
    messages: list[Any] = []
    try:
        client.execute_interactive(
            ANIMATED, allow_stdin=True, output_hook=messages.append, timeout=120
        )
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    kinds = [
        m["msg_type"] for m in messages if "display" in m["msg_type"] or "clear" in m["msg_type"]
    ]
    assert kinds == ["display_data", "update_display_data", "update_display_data"]


def test_live_mode_without_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    class Handle:
        def update(self, fig: Any) -> None:
            shown.append("update")

    def display(fig: Any, display_id: bool) -> Handle:
        shown.append("display")
        return Handle()

    import IPython.display

    monkeypatch.setattr(IPython.display, "display", display)
    monkeypatch.setenv("D2LCORE_ANIMATE", "live")
    animator = d2l.Animator()
    assert plt.get_fignums() == [], "图要关掉，否则单元末尾还会再显示一次"
    animator.add(1, 1)
    animator.add(2, 1)
    assert shown == ["display", "update"]


def test_show_images_takes_tensors_and_pil() -> None:
    picture = Image.fromarray(np.zeros((4, 5, 3), dtype=np.uint8))
    images = [picture, torch.rand(4, 5), torch.rand(3, 4, 5), torch.rand(1, 4, 5)]
    axes = d2l.show_images(images, 2, 3, titles=["a", "b", "c", "d"])
    assert len(axes) == 6
    shapes = [ax.images[0].get_array().shape for ax in axes[:4]]
    assert shapes == [(4, 5, 3), (4, 5), (4, 5, 3), (4, 5)]
    assert not axes[5].images
    assert d2l.show_images(torch.rand(1, 4, 5, 3, requires_grad=True), 1, 1).shape == (1,)


def test_show_bboxes_draws_boxes_and_labels() -> None:
    axes = plt.figure().gca()
    box = torch.tensor([[1.0, 2.0, 4.0, 6.0]], requires_grad=True)
    d2l.show_bboxes(axes, box * 2, "dog=0.9", "w")
    d2l.show_bboxes(axes, [box[0], box[0]], ["only one"])
    assert [rect.get_xy() for rect in axes.patches] == [(2, 4), (1, 2), (1, 2)]
    assert axes.patches[0].get_width() == 6
    assert [(t.get_text(), t.get_color()) for t in axes.texts] == [
        ("dog=0.9", "k"),  # 白框黑字
        ("only one", "w"),
    ]


# ---- 数据 ----


def test_synthetic_data_and_sgd_recover_the_line() -> None:
    X, y = d2l.synthetic_data(torch.tensor([2.0, -3.4]), 4.2, 500)
    assert (y - d2l.linreg(X, torch.tensor([[2.0], [-3.4]]), 4.2)).std() < 0.02
    w, b = torch.zeros(2, 1, requires_grad=True), torch.zeros(1, requires_grad=True)
    for _ in range(3):
        for A, t in d2l.load_array((X, y), 10):
            d2l.squared_loss(d2l.linreg(A, w, b), t).sum().backward()
            d2l.sgd([w, b], 0.05, len(t))
    assert torch.allclose(w.flatten(), torch.tensor([2.0, -3.4]), atol=0.02)
    assert w.grad is not None
    assert w.grad.abs().sum() == 0
    with pytest.raises(ValueError, match="有参数没有梯度"):
        d2l.sgd([torch.zeros(1, requires_grad=True)], 0.1, 1)


def test_load_array_shuffles_only_for_training() -> None:
    x = torch.arange(100)
    assert torch.cat([a for (a,) in d2l.load_array((x,), 7, is_train=False)]).equal(x)
    assert not torch.cat([a for (a,) in d2l.load_array((x,), 7)]).equal(x)


@pytest.mark.parametrize(
    ("method", "cores", "expected"),
    [("fork", 8, 4), ("fork", 2, 2), ("fork", None, 1), ("spawn", 8, 0), ("forkserver", 8, 0)],
)
def test_workers_only_where_processes_fork(
    method: str, cores: int | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_d2l_data, "get_start_method", lambda allow_none: None)
    monkeypatch.setattr(_d2l_data, "get_all_start_methods", lambda: [method, "spawn"])
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert d2l.get_dataloader_workers() == expected


def test_fashion_mnist_batches(garments: None) -> None:
    train_iter, test_iter = d2l.load_data_fashion_mnist(batch_size=128, resize=32)
    assert (len(train_iter), len(test_iter), len(train_iter.dataset)) == (3, 2, 300)  # type: ignore[attr-defined]
    X, y = next(iter(test_iter))
    assert X.shape == (128, 1, 32, 32)
    first, again = (torch.cat([y for _, y in train_iter]) for _ in range(2))
    assert not first.equal(again), "训练批每轮重新打乱"
    assert torch.cat([y for _, y in test_iter]).equal(torch.cat([y for _, y in test_iter]))
    assert d2l.get_fashion_mnist_labels(y[:1])[0] in _d2l_data.FASHION_LABELS
    assert next(iter(d2l.load_data_fashion_mnist(8)[0]))[0].shape == (8, 1, 28, 28)


# ---- 下载 ----

Files = dict[str, bytes]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Files]:
    """本机的网站，文件随时可换；DATA_HUB 是空的，缓存在 tmp_path/data。"""
    files: Files = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = files.get(self.path.strip("/"))
            self.send_response(404 if content is None else 200)
            self.end_headers()
            self.wfile.write(content or b"not found")

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(d2l, "DATA_URL", f"http://127.0.0.1:{server.server_port}/")
    known = dict(d2l.DATA_HUB)
    d2l.DATA_HUB.clear()
    yield files
    d2l.DATA_HUB.clear()
    d2l.DATA_HUB.update(known)
    server.shutdown()
    server.server_close()


def register(hub: Files, name: str, content: bytes) -> None:
    """按笔记的写法登记一个文件。"""
    hub[name] = content
    d2l.DATA_HUB[name] = (d2l.DATA_URL + name, hashlib.sha1(content).hexdigest())


def test_download_checks_and_keeps(hub: Files, tmp_path: Path) -> None:
    register(hub, "a.csv", b"1,2\n")
    path = d2l.download("a.csv")
    assert Path(path).resolve() == tmp_path / "data" / "a.csv"
    hub.clear()
    assert d2l.download("a.csv") == path, "校验和对，就不再下载"
    Path(path).write_bytes(b"broken")
    register(hub, "a.csv", b"1,2\n")
    d2l.download_all()
    assert Path(path).read_bytes() == b"1,2\n", "坏了的要重新下载"


def test_failed_download_leaves_nothing(hub: Files, tmp_path: Path) -> None:
    register(hub, "b.zip", b"right")
    hub["b.zip"] = b"<html>error page</html>"
    with pytest.raises(RuntimeError, match="SHA-1 与应有的不同"):
        d2l.download("b.zip")
    del hub["b.zip"]
    with pytest.raises(RuntimeError, match=r"HTTP 404。请检查网络后重试；或另行取得"):
        d2l.download("b.zip")
    assert list((tmp_path / "data").iterdir()) == []
    with pytest.raises(KeyError, match="DATA_HUB 里没有 'c'"):
        d2l.download("c")


def packed(kind: str, names: list[str]) -> bytes:
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w") as archive:
            for name in names:
                archive.writestr(name, "x")
    else:
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            for name in names:
                info = tarfile.TarInfo(name)
                info.size = 1
                tar.addfile(info, io.BytesIO(b"x"))
    return buffer.getvalue()


def link_to(place: str) -> bytes:
    """只有一个符号链接的 tar.gz。"""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = tarfile.SYMTYPE, place
        tar.addfile(info)
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["hotdog.zip", "hotdog.tar.gz", "hotdog.tgz"])
def test_extract_names_the_folder(name: str, hub: Files, tmp_path: Path) -> None:
    register(hub, name, packed(name.split(".")[1], ["hotdog/train/1.txt", "other/2.txt"]))
    folder = d2l.download_extract(name)
    assert Path(folder).resolve() == tmp_path / "data" / "hotdog"
    assert Path(folder, "train", "1.txt").read_text() == "x"
    assert Path(d2l.download_extract(name, "other"), "2.txt").exists()


def test_extract_stays_inside(hub: Files, tmp_path: Path) -> None:
    register(hub, "evil.tgz", packed("tgz", ["../../evil.txt"]))
    with pytest.raises(ValueError, match=r"evil\.txt 要写到 .* 之外"):
        d2l.download_extract("evil.tgz")
    register(hub, "link.tgz", link_to("/etc"))
    with pytest.raises(ValueError, match="不是普通文件"):
        d2l.download_extract("link.tgz")
    register(hub, "evil.zip", packed("zip", ["../../evil.txt"]))
    d2l.download_extract("evil.zip")
    assert not (tmp_path / "evil.txt").exists()
    assert not (tmp_path.parent / "evil.txt").exists()
    register(hub, "a.csv", b"1,2\n")
    with pytest.raises(ValueError, match=r"a.csv 不是 zip 或 tar"):
        d2l.download_extract("a.csv")


def test_bananas_are_bananas_or_an_honest_error(hub: Files) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for part in ("train", "val"):
            rows = ["img_name,label,xmin,ymin,xmax,ymax"]
            for k in range(3):
                pixels, png = np.full((8, 8, 3), 50 * k, dtype=np.uint8), io.BytesIO()
                Image.fromarray(pixels).save(png, "png")
                folder = f"banana-detection/bananas_{part}"
                archive.writestr(f"{folder}/images/{k}.png", png.getvalue())
                rows.append(f"{k}.png,0,2,0,{4 + k},8")
            archive.writestr(f"{folder}/label.csv", "\n".join(rows) + "\n")
    register(hub, "banana-detection.zip", buffer.getvalue())
    d2l.DATA_HUB["banana-detection"] = d2l.DATA_HUB["banana-detection.zip"]
    train_iter, val_iter = d2l.load_data_bananas(2)
    assert (len(train_iter.dataset), len(train_iter)) == (3, 2)  # type: ignore[arg-type]
    X, y = next(iter(val_iter))
    assert (X.shape, X.dtype, X.max().item()) == ((2, 3, 8, 8), torch.float32, 50)
    assert y.tolist() == [[[0, 0.25, 0, 0.5, 1]], [[0, 0.25, 0, 0.625, 1]]]
    d2l.DATA_HUB["banana-detection"] = (d2l.DATA_URL + "gone.zip", "0" * 40)
    with pytest.raises(RuntimeError, match=r"(?s)HTTP 404.*make_scenes.*十类服饰"):
        d2l.load_data_bananas(2)


# ---- 计时与累加 ----


def test_timer_keeps_each_lap(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 2.0, 5.0, 6.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    waited: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: waited.append(1))
    timer = d2l.Timer()
    assert timer.stop() == 2
    timer.start()
    assert timer.stop() == 1
    assert (timer.sum(), timer.avg(), timer.cumsum(), len(waited)) == (3, 1.5, [2, 3], 2)


@pytest.mark.filterwarnings("error")
def test_accumulator() -> None:
    metric = d2l.Accumulator(2)
    metric.add(torch.tensor(1.5, requires_grad=True), 2)
    metric.add(0.5, 1)
    assert (metric[0], metric[1]) == (2, 3)
    metric.reset()
    assert metric[0] == 0
    with pytest.raises(ValueError, match="要累加 2 个数，给了 1 个"):
        metric.add(1)


# ---- 精度与损失 ----


def test_accuracy_counts() -> None:
    scores = torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]])
    assert d2l.accuracy(scores, torch.tensor([1, 0, 0])) == 2
    assert d2l.accuracy(torch.tensor([1.0, 0.0]), torch.tensor([1, 1])) == 1  # 已是类别
    pixels = torch.stack([torch.zeros(2, 3, 3), torch.ones(2, 3, 3)], dim=1)  # 语义分割
    assert d2l.accuracy(pixels, torch.ones(2, 3, 3).long()) == 18


@pytest.mark.parametrize(
    ("predicted", "labels"), [((3, 1), (3,)), ((3, 2), (3, 1)), ((3,), (2,)), ((3, 2), (2,))]
)
def test_accuracy_refuses_shapes_that_would_broadcast(
    predicted: tuple[int, ...], labels: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match="标签的形状是"):
        d2l.accuracy(torch.zeros(predicted), torch.zeros(labels).long())


def test_evaluation_restores_each_mode() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    net[1].eval()
    assert 0 <= d2l.evaluate_accuracy_gpu(net, two_classes(), CPU) <= 1
    data = [(torch.randn(5, 2), torch.randn(5, 2))]
    first, again = (d2l.evaluate_loss(net.train(), data, nn.MSELoss()) for _ in range(2))
    assert first == again, "评估时不暂退"
    assert net.training
    assert net[1].training
    net[1].eval()
    d2l.evaluate_accuracy(net, two_classes())
    assert (net.training, net[1].training) == (True, False)
    with pytest.raises(ValueError, match="标签是浮点数，不是分类"):
        d2l.evaluate_accuracy(net, data)


def cross_entropy_sum(y_hat: Tensor, y: Tensor) -> Tensor:
    return nn.functional.cross_entropy(y_hat, y, reduction="sum")


LOSSES = [
    nn.CrossEntropyLoss(reduction="none"),
    nn.CrossEntropyLoss(),
    nn.CrossEntropyLoss(reduction="sum"),
    cross_entropy_sum,
]


def trained(loss: Any, custom: bool) -> tuple[float, float, Tensor]:
    torch.manual_seed(0)
    net, data = nn.Linear(2, 2), two_classes()
    parameters = list(net.parameters())
    updater = partial(d2l.sgd, parameters, 0.5) if custom else torch.optim.SGD(parameters, 0.5)
    value, acc = d2l.train_epoch_ch3(net, data, loss, updater)
    return value, acc, net.weight.detach()


@pytest.mark.parametrize("custom", [False, True])
def test_every_reduction_trains_the_same(custom: bool) -> None:
    torch.manual_seed(0)  # 参照：按定义逐批算
    net, data, losses, right = nn.Linear(2, 2), two_classes(), 0.0, 0
    for X, y in data:
        y_hat = net(X)
        loss = nn.functional.cross_entropy(y_hat, y)
        losses, right = losses + loss.item() * len(y), right + int((y_hat.argmax(1) == y).sum())
        for parameter, grad in zip(
            net.parameters(), torch.autograd.grad(loss, list(net.parameters())), strict=True
        ):
            parameter.data -= 0.5 * grad
    for reduction in LOSSES:
        value, acc, weight = trained(reduction, custom)
        assert value == pytest.approx(losses / 40, rel=1e-5)
        assert acc == right / 40
        assert torch.allclose(weight, net.weight, atol=1e-6)


def test_updater_gets_the_batch_size_and_the_summed_gradient() -> None:
    w, seen = torch.ones(1, requires_grad=True), []

    def updater(batch_size: int) -> None:
        assert w.grad is not None
        seen.append((batch_size, w.grad.item()))
        w.grad.zero_()

    data = [(torch.ones(3, 1), torch.zeros(3, 1)), (torch.ones(2, 1), torch.zeros(2, 1))]
    loss, acc = d2l.train_epoch_ch3(lambda X: X * w, data, d2l.squared_loss, updater)
    assert seen == [(3, 3.0), (2, 2.0)]
    assert loss == 0.5
    assert math.isnan(acc), "回归没有精度"


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_evaluate_loss_is_per_sample(reduction: str) -> None:
    data = [(torch.full((n, 1), x), torch.zeros(n)) for n, x in ((4, 2.0), (1, 7.0))]
    loss = nn.MSELoss(reduction=reduction)
    assert d2l.evaluate_loss(lambda X: X, data, loss) == 13  # (4·4 + 49) / 5，不是两批的平均
    scores = [(torch.zeros(4, 2), torch.zeros(4).long())]
    assert d2l.evaluate_loss(nn.Identity(), scores, nn.CrossEntropyLoss()) == pytest.approx(
        math.log(2)
    )


# ---- 训练 ----


def test_softmax_scratch_flow(garments: None, capsys: pytest.CaptureFixture[str]) -> None:
    """“softmax 回归的从零开始实现”那一节，300 张图，两轮。"""
    train_iter, test_iter = d2l.load_data_fashion_mnist(64)
    W = torch.normal(0, 0.01, size=(784, 10), requires_grad=True)
    b = torch.zeros(10, requires_grad=True)

    def net(X: Tensor) -> Tensor:
        return torch.softmax(d2l.matmul(d2l.reshape(X, (-1, W.shape[0])), W) + b, dim=1)

    def cross_entropy(y_hat: Tensor, y: Tensor) -> Tensor:
        return -d2l.log(y_hat[range(len(y_hat)), y])

    before = d2l.evaluate_accuracy(net, test_iter)
    d2l.train_ch3(net, train_iter, test_iter, cross_entropy, 2, lambda n: d2l.sgd([W, b], 0.1, n))
    assert d2l.evaluate_accuracy(net, test_iter) > max(before, 0.3)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["epoch 1", "epoch 2"]
    d2l.predict_ch3(net, test_iter)
    titles = [ax.get_title().split("\n") for ax in plt.gcf().axes]
    assert len(titles) == 6
    X, y = next(iter(test_iter))
    expected = (
        d2l.get_fashion_mnist_labels(y[:6]),
        d2l.get_fashion_mnist_labels(net(X[:6]).argmax(1)),
    )
    assert titles == [list(pair) for pair in zip(*expected, strict=True)]


def test_train_ch3_does_not_insist_on_good_results() -> None:
    net = nn.Linear(2, 2)
    trainer = torch.optim.SGD(net.parameters(), lr=1e-6)
    d2l.train_ch3(net, two_classes(), two_classes(), nn.CrossEntropyLoss(), 1, trainer)
    assert not net.training, "训练完停在评估模式，笔记随后直接预测"


def test_train_ch3_stops_at_nan() -> None:
    net = nn.Linear(2, 2)
    trainer = torch.optim.SGD(net.parameters(), lr=0.1)
    with pytest.raises(FloatingPointError, match="损失是 nan"):
        d2l.train_ch3(net, two_classes(), [], lambda a, b: a.sum() * math.nan, 1, trainer)


def test_predict_uses_evaluation_mode(garments: None) -> None:
    _, test_iter = d2l.load_data_fashion_mnist(4)
    net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(784), nn.Linear(784, 10))
    assert isinstance(net[1].num_batches_tracked, Tensor)
    d2l.predict_ch3(net, test_iter, n=9)  # 一批只有 4 张
    assert len(plt.gcf().axes) == 4
    assert net.training
    assert net[1].num_batches_tracked == 0


def test_train_ch6_with_few_batches(garments: None, capsys: pytest.CaptureFixture[str]) -> None:
    train_iter, test_iter = d2l.load_data_fashion_mnist(128)  # 3 批；原来不足 5 批就除以零
    net = softmax_net()
    d2l.train_ch6(net, train_iter, test_iter, 2, 0.1, CPU)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "training on cpu"
    assert lines[-2].startswith("loss ")
    accuracy = float(lines[-2].split("test acc ")[1])
    assert accuracy == pytest.approx(d2l.evaluate_accuracy(net, test_iter), abs=1e-3)
    assert lines[-1].endswith(" examples/sec on cpu")
    assert not net.training


def test_train_ch6_initializes_once() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 2), nn.Flatten(), nn.LazyLinear(2))
    batches = [(torch.rand(4, 1, 2, 2), torch.tensor([0, 1, 0, 1]))]
    with torch.no_grad():
        net[0].weight.fill_(0)
        net[0].bias.fill_(7)
    d2l.train_ch6(net, batches, batches, 1, 1e-12)
    once = net[0].weight.detach().clone()
    assert once.abs().max() > 0.01, "第一次要重新初始化"
    assert once.abs().max() <= math.sqrt(6 / (4 + 8)), "Xavier 的界"
    assert net[0].bias.mean().item() == pytest.approx(7), "偏置不动，与 d2l 相同"
    d2l.train_ch6(net, batches, batches, 1, 1e-12)
    assert torch.allclose(net[0].weight, once), "第二次接着训练"


def test_speed_counts_all_the_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[float] = []

    def fit(net: nn.Module, train: Any, test: Any, **options: Any) -> Any:
        from d2lcore.history import Epoch, History

        seen.extend(len(y) for _ in range(options["epochs"]) for _, y in train)
        return History([Epoch(0.5, 0.8, 0.6, 0.7, seconds=2.0)] * options["epochs"])

    monkeypatch.setattr(_d2l_train, "fit", fit)
    d2l.train_ch6(nn.Linear(2, 2), two_classes(), two_classes(), 3, 0.1, CPU)
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "loss 0.500, train acc 0.800, test acc 0.700",
        "20.0 examples/sec on cpu",  # 40 个样本、3 轮，一共 6 秒
    ]


@pytest.mark.parametrize("loss", LOSSES)
def test_ch13_uses_the_summed_gradient(loss: Any, capsys: pytest.CaptureFixture[str]) -> None:
    X, y = torch.randn(6, 2), torch.tensor([0, 1, 0, 1, 1, 1])
    one, all_of_it = nn.Linear(2, 2), nn.Linear(2, 2)
    all_of_it.load_state_dict(one.state_dict())
    expected = cross_entropy_sum(one(X), y)
    grad = torch.autograd.grad(expected, one.weight)[0]
    target = one.weight.detach() - 0.1 * grad
    total, correct = d2l.train_batch_ch13(
        one.eval(), X, y, loss, torch.optim.SGD(one.parameters(), lr=0.1), [CPU]
    )
    assert one.training
    assert total.item() == pytest.approx(expected.item(), rel=1e-5)
    assert correct == d2l.accuracy(all_of_it(X), y)
    assert torch.allclose(one.weight, target, atol=1e-6)
    trainer = torch.optim.SGD(all_of_it.parameters(), lr=0.1)
    d2l.train_ch13(all_of_it, [(X, y)], [(X, y)], loss, trainer, 1)
    assert torch.allclose(all_of_it.weight, target, atol=1e-6)
    assert f"loss {expected.item() / 6:.3f}, train acc" in capsys.readouterr().out


def test_train_ch13_segments(capsys: pytest.CaptureFixture[str]) -> None:
    """“全卷积网络”那一节：逐像素分类，损失逐样本。"""

    def loss(inputs: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.cross_entropy(inputs, targets, reduction="none").mean(1).mean(1)

    net = nn.Sequential(nn.BatchNorm2d(1), nn.Conv2d(1, 2, 1))
    X = torch.randn(8, 1, 4, 4)
    data = [(X, (X[:, 0] > 0).long())]
    d2l.train_ch13(net, data, data, loss, torch.optim.SGD(net.parameters(), lr=0.5), 20, [CPU])
    assert float(capsys.readouterr().out.split("test acc ")[-1].split()[0]) > 0.9
    assert not net.training


def test_several_devices_are_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    wrapped: list[Any] = []

    class Wrapper(nn.Module):
        def __init__(self, net: nn.Module, device_ids: list[torch.device]) -> None:
            super().__init__()
            self.net = net
            wrapped.append(device_ids)

        def forward(self, X: Tensor) -> Tensor:
            return self.net(X)

    monkeypatch.setattr(nn, "DataParallel", Wrapper)
    net, loss = nn.Linear(2, 2), nn.CrossEntropyLoss()
    trainer = torch.optim.SGD(net.parameters(), lr=0.1)
    d2l.train_ch13(net, two_classes(), two_classes(), loss, trainer, 1, [CPU, CPU])
    assert wrapped == [[CPU, CPU]]


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert d2l.try_gpu() == CPU
    assert d2l.try_all_gpus() == [CPU]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert d2l.try_gpu(1) == torch.device("cuda:1")
    assert d2l.try_gpu(2) == CPU
    assert d2l.try_all_gpus() == [torch.device("cuda:0"), torch.device("cuda:1")]


def test_residual_and_resnet18() -> None:
    X = torch.rand(2, 3, 6, 6)
    assert d2l.Residual(3, 3)(X).shape == X.shape
    assert d2l.Residual(3, 6, use_1x1conv=True, strides=2)(X).shape == (2, 6, 3, 3)
    assert d2l.Residual(3, 6, strides=2)(X).shape == (2, 6, 3, 3)  # 原来到相加时才报错
    assert not isinstance(d2l.Residual(3, 3, use_1x1conv=True).shortcut, nn.Identity)
    net = d2l.resnet18(10, 3)
    sizes, X = [], torch.rand(1, 3, 32, 32)
    for stage in net.eval()[:5]:
        X = stage(X)
        sizes.append(X.shape[1:])
    assert sizes == [(64, 32, 32), (64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4)]
    assert net(torch.rand(1, 3, 32, 32)).shape == (1, 10)


def test_corr2d_is_the_book_example() -> None:
    Y = d2l.corr2d(d2l.arange(9.0).reshape(3, 3), d2l.arange(4.0).reshape(2, 2))
    assert Y.tolist() == [[19, 25], [37, 43]]


# ---- 目标检测：锚框一节的例子 ----

TRUTH = torch.tensor([[0, 0.1, 0.08, 0.52, 0.92], [1, 0.55, 0.2, 0.9, 0.88]])
ANCHORS = torch.tensor(
    [
        [0, 0.1, 0.2, 0.3],
        [0.15, 0.2, 0.4, 0.4],
        [0.63, 0.05, 0.88, 0.98],
        [0.66, 0.45, 0.8, 0.8],
        [0.57, 0.3, 0.92, 0.9],
    ]
)


def test_five_anchors() -> None:
    offsets, mask, classes = d2l.multibox_target(ANCHORS.unsqueeze(0), TRUTH.unsqueeze(0))
    assert classes.tolist() == [[0, 1, 2, 0, 2]]
    assert mask.dtype == torch.float32
    assert mask.view(5, 4)[:, 0].tolist() == [0, 1, 1, 0, 1]
    assert offsets.shape == (1, 20)
    assert offsets.view(5, 4)[mask.view(5, 4)[:, 0] == 0].abs().sum() == 0
    matched = d2l.assign_anchor_to_bbox(TRUTH[:, 1:], ANCHORS, CPU)
    assert matched.tolist() == [-1, 0, 1, -1, 1]
    chosen = matched >= 0
    expected = d2l.offset_boxes(ANCHORS[chosen], TRUTH[matched[chosen], 1:])
    assert offsets.view(5, 4)[chosen].equal(expected)
    back = d2l.offset_inverse(ANCHORS[chosen], expected)
    assert torch.allclose(back, TRUTH[matched[chosen], 1:], atol=1e-6)
    assert d2l.offset_boxes(ANCHORS, ANCHORS).abs().max() == 0, "自己对自己正好是 0"


def test_padding_rows_and_far_boxes_are_ignored() -> None:
    pad = torch.tensor([[-1.0, 0, 0, 0, 0], [-1, -1, -1, -1, -1], [-1, 0.57, 0.3, 0.92, 0.9]])
    plain = d2l.multibox_target(ANCHORS[None], TRUTH[None])
    padded = d2l.multibox_target(ANCHORS[None], torch.cat([TRUTH, pad])[None])
    assert all(a.equal(b) for a, b in zip(plain, padded, strict=True))
    far = torch.tensor([[0.95, 0.0, 1.0, 0.04]])
    assert d2l.assign_anchor_to_bbox(far, ANCHORS).tolist() == [-1] * 5


def four_anchors() -> tuple[Tensor, Tensor, Tensor]:
    anchors = torch.tensor(
        [
            [0.1, 0.08, 0.52, 0.92],
            [0.08, 0.2, 0.56, 0.95],
            [0.15, 0.3, 0.62, 0.91],
            [0.55, 0.2, 0.9, 0.88],
        ]
    )
    cls_probs = torch.tensor([[0] * 4, [0.9, 0.8, 0.7, 0.1], [0.1, 0.2, 0.3, 0.9]])
    return cls_probs.unsqueeze(0), torch.tensor([[0] * 16]), anchors.unsqueeze(0)


def test_four_anchors_detection() -> None:
    cls_probs, offset_preds, anchors = four_anchors()
    output = d2l.multibox_detection(cls_probs, offset_preds, anchors, nms_threshold=0.5)
    assert output.shape == (1, 4, 6)
    assert output[0, :, 0].tolist() == [0, 1, -1, -1]
    assert torch.allclose(output[0, :2, 1], torch.tensor([0.9, 0.9]))
    assert torch.allclose(output[0, :2, 2:], anchors[0, [0, 3]])
    loose = d2l.multibox_detection(cls_probs, offset_preds, anchors, nms_threshold=0.99)
    assert loose[0, :, 0].tolist() == [0, 1, 0, 0]
    assert loose[0, :, 1].tolist() == sorted(loose[0, :, 1].tolist(), reverse=True)


def test_detection_is_honest() -> None:
    anchors = torch.tensor(
        [[[0, 0, 0.5, 0.5], [0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1], [0.5, 0, 1, 0.5]]]
    )
    #  两类的目标重叠、背景最可能、低于门槛
    cls_probs = torch.tensor(
        [[[0.0, 0.1, 0.95, 0.5], [0.9, 0.1, 0.03, 0.0], [0.1, 0.8, 0.02, 0.5]]]
    )
    output = d2l.multibox_detection(cls_probs, torch.zeros(1, 16), anchors)[0]
    assert output[:, 0].tolist() == [0, 1, -1, -1], "不同类的不互相抑制；背景不输出"
    assert output[:2, 1].tolist() == pytest.approx([0.9, 0.8])
    strict = d2l.multibox_detection(cls_probs, torch.zeros(1, 16), anchors, pos_threshold=0.85)[0]
    assert strict[:, 0].tolist() == [0, -1, -1, -1]
    nothing = d2l.multibox_detection(
        torch.tensor([[[1.0], [0.0]]]), torch.zeros(1, 4), anchors[:, :1], pos_threshold=0
    )
    assert nothing.tolist() == [[[-1] * 6]]


def test_prior_boxes() -> None:
    fmap = torch.zeros((1, 10, 3, 4), dtype=torch.float64)
    anchors = d2l.multibox_prior(fmap, sizes=[0.75, 0.5, 0.25], ratios=[1, 2, 0.5])
    assert anchors.shape == (1, 3 * 4 * 5, 4)
    boxes = anchors.reshape(3, 4, 5, 4)
    center = d2l.box_corner_to_center(boxes[1, 2])
    assert torch.allclose(center[:, :2], torch.tensor([2.5 / 4, 0.5]).expand(5, 2))
    shape = center[:, 2:] * torch.tensor([4.0, 3.0])  # 特征图的像素
    assert torch.allclose(shape[:, 0] / shape[:, 1], torch.tensor([1, 1, 1, 2, 0.5]))
    assert d2l.multibox_prior(torch.zeros(1, 1, 2, 2, device="meta"), [0.5], [1]).is_meta


def test_box_functions_against_torchvision() -> None:
    corners = torch.rand(50, 4)
    corners[:, 2:] += corners[:, :2]
    scores = torch.rand(50)
    center = d2l.box_corner_to_center(corners)
    assert torch.allclose(center, ops.box_convert(corners, "xyxy", "cxcywh"))
    assert torch.allclose(d2l.box_center_to_corner(center), corners, atol=1e-6)
    assert torch.allclose(d2l.box_iou(corners, corners), ops.box_iou(corners, corners), atol=1e-6)
    assert d2l.nms(corners, scores, 0.3).equal(ops.nms(corners, scores, 0.3))
    assert d2l.nms(corners[:0], scores[:0], 0.3).dtype == torch.int64
    dot = torch.zeros(1, 4)
    assert d2l.box_iou(dot, dot).item() == 0
