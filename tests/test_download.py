"""下载：每一种坏事都要有一句中文的原因，而且什么也不留下。"""

import contextlib
import errno
import gzip
import hashlib
import os
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

from d2lcore import _download, data
from d2lcore._download import DownloadError, MirrorError, _unpack, download
from d2lcore.data import fashion_mnist_batches, load_fashion_mnist

CONTENT = bytes(range(256)) * 400
PACKED = gzip.compress(CONTENT)
SUM = hashlib.sha256(CONTENT).hexdigest()

Answer = Callable[[BaseHTTPRequestHandler], None]


class Server:
    """本机上的小网站：路径的第一段决定怎样回答，并记下每次请求。"""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.requests: list[str] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.requests.append(self.path)
                with contextlib.suppress(OSError):  # 客户端可能已经走了
                    site.answers[self.path.split("/")[1]](self)

            def log_message(self, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.http.block_on_close = False
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def mirror(self, kind: str, answer: Answer) -> str:
        self.answers[kind] = answer
        return f"http://127.0.0.1:{self.http.server_port}/{kind}/"


def reply(body: bytes, status: int = 200, claimed: int | None = None) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body) if claimed is None else claimed))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def drip(seconds: float) -> Answer:
    """每隔一会儿给一个字节：从不超时，可也永远下不完。"""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for byte in PACKED[:50]:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            time.sleep(seconds)

    return answer


def stall(after: int | None) -> Answer:
    """给出 ``after`` 个字节后没有动静；``None`` 表示连应答头也不给。"""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if after is not None:
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(PACKED)))
            handler.end_headers()
            handler.wfile.write(PACKED[:after])
            handler.wfile.flush()
        time.sleep(3)

    return answer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(_download, "TIMEOUT", 0.5)
    monkeypatch.setattr(_download, "RETRY_WAIT", 0.0)
    site = Server()
    yield site
    site.http.shutdown()
    site.http.server_close()


def get(target: Path, *mirrors: str) -> str:
    return download("f.gz", mirrors, target, size=len(CONTENT), sha256=SUM)


def left_in(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir())


def test_unpacks_verifies_and_puts_in_place(
    server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    mirror = server.mirror("good", reply(PACKED))
    assert get(tmp_path / "a" / "b" / "f", mirror) == mirror
    assert (tmp_path / "a" / "b" / "f").read_bytes() == CONTENT
    assert left_in(tmp_path) == ["a/b/f"]
    out, err = capfd.readouterr()
    assert out == ""
    assert "下载 f.gz" in err  # 进度条在标准错误上


FAULTS: list[tuple[Answer, str, int]] = [
    (reply(b"no such file", 404), "HTTP 404", 1),
    (reply(b"busy", 503), "HTTP 503", 2),
    (reply(b"slow down", 429), "HTTP 429", 2),
    (reply(b"<html>login please</html>"), "错误页面", 1),
    (reply(PACKED[: len(PACKED) // 2]), "没有下完", 2),
    (reply(PACKED[: len(PACKED) // 2], claimed=len(PACKED)), "没有下完", 2),
    (reply(b""), "没有下完", 2),
    (reply(gzip.compress(CONTENT[::-1])), "SHA-256", 1),
    (reply(gzip.compress(CONTENT[:-1])), "SHA-256", 1),
    (reply(gzip.compress(CONTENT + b"x")), "字节长", 1),
    (reply(gzip.compress(bytes(50_000_000))), "字节长", 1),
    (reply(PACKED[:-8] + bytes(8)), "gzip", 1),
    (stall(after=None), "没有动静", 1),
    (stall(after=20), "没有动静", 1),
]


@pytest.mark.parametrize(("answer", "reason", "tries"), FAULTS)
def test_every_fault_is_named_and_leaves_nothing(
    server: Server, tmp_path: Path, answer: Answer, reason: str, tries: int
) -> None:
    mirror = server.mirror("bad", answer)
    with pytest.raises(DownloadError) as caught:
        get(tmp_path / "f", mirror)
    assert reason in str(caught.value)
    assert mirror + "f.gz" in str(caught.value)
    assert len(server.requests) == tries
    assert left_in(tmp_path) == []


def test_a_tiny_archive_cannot_fill_the_memory() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    tracemalloc.start()
    with pytest.raises(MirrorError, match="字节长"):
        list(_unpack(iter([bomb]), 1000, SUM))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_an_existing_file_survives_a_failed_download(server: Server, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"old")
    with pytest.raises(DownloadError):
        get(tmp_path / "f", server.mirror("bad", reply(PACKED[:100])))
    assert (tmp_path / "f").read_bytes() == b"old"


def test_a_trickle_is_given_up(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_download, "GRACE", 0.1)
    with pytest.raises(DownloadError, match="太慢"):
        get(tmp_path / "f", server.mirror("slow", drip(0.03)))
    assert left_in(tmp_path) == []


def test_second_try_can_succeed(server: Server, tmp_path: Path) -> None:
    answers = iter([reply(PACKED[:100]), reply(PACKED)])
    mirror = server.mirror("shaky", lambda handler: next(answers)(handler))
    get(tmp_path / "f", mirror)
    assert (tmp_path / "f").read_bytes() == CONTENT
    assert len(server.requests) == 2


def closed_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def test_dead_mirrors_are_passed_over(server: Server, tmp_path: Path) -> None:
    dead = f"http://127.0.0.1:{closed_port()}/"
    page = server.mirror("page", reply(b"<html>"))
    good = server.mirror("good", reply(PACKED))
    assert get(tmp_path / "f", dead, page, good) == good
    assert left_in(tmp_path) == ["f"]


def test_all_reasons_are_listed(server: Server, tmp_path: Path) -> None:
    dead = f"http://127.0.0.1:{closed_port()}/"
    page = server.mirror("page", reply(b"<html>"))
    with pytest.raises(DownloadError) as caught:
        get(tmp_path / "f", dead, page)
    lines = str(caught.value).splitlines()
    assert "连不上" in lines[1]
    assert "错误页面" in lines[2]


def test_unknown_host_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def no_dns(host: str, *args: Any, **options: Any) -> None:
        asked.append(host)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_dns)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(DownloadError, match="DNS"):
        get(tmp_path / "f", "http://no-such-host.invalid/")
    assert len(asked) == 1


def test_slow_name_lookup_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # urlopen 的时限管不到查域名；没有后台线程的话，这里要等满查询的时间
    released = threading.Event()

    def hang(*args: Any, **options: Any) -> None:
        released.wait(20)
        raise socket.gaierror(-3, "late")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(_download, "TIMEOUT", 0.2)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(DownloadError, match="没有动静"):
        get(tmp_path / "f", "http://example.invalid/")
    assert not released.is_set()
    released.set()


def fail(number: int) -> Callable[..., Any]:
    def broken(*args: Any, **options: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return broken


@pytest.mark.parametrize(
    ("where", "number", "why"),
    [
        ("replace", errno.ENOSPC, "磁盘满了"),
        ("replace", errno.EACCES, "没有写权限"),
        ("mkdir", errno.EROFS, "只读"),
        ("open", errno.EACCES, "没有写权限"),
        ("write", errno.ENOSPC, "磁盘满了"),
        ("write", errno.EIO, os.strerror(errno.EIO)),
    ],
)
def test_disk_trouble_is_explained(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    number: int,
    why: str,
) -> None:
    # 测试常以 root 运行，拦不住它写；所以让系统调用自己报错
    if where == "replace":
        monkeypatch.setattr(os, "replace", fail(number))
    elif where == "write":
        real_open = Path.open

        def open_full(self: Path, *args: Any, **options: Any) -> Any:
            file = real_open(self, *args, **options)
            return FullDisk(file, number)

        monkeypatch.setattr(Path, "open", open_full)
    else:
        monkeypatch.setattr(Path, where, fail(number))
    good = server.mirror("good", reply(PACKED))
    with pytest.raises(RuntimeError) as caught:
        get(tmp_path / "f", good, good)
    assert not isinstance(caught.value, DownloadError)  # 换镜像也没有用
    assert len(server.requests) == 1
    for part in (str(tmp_path), why, "D2LCORE_DATA"):
        assert part in str(caught.value)
    assert left_in(tmp_path) == []


class FullDisk:
    """写满一半就报错的文件。"""

    def __init__(self, file: Any, number: int) -> None:
        self.file, self.number = file, number

    def __enter__(self) -> "FullDisk":
        return self

    def __exit__(self, *args: object) -> None:
        self.file.close()

    def write(self, block: bytes) -> None:
        self.file.write(block[: len(block) // 2])
        self.file.flush()
        fail(self.number)()


def test_interruption_leaves_nothing(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        get(tmp_path / "f", server.mirror("good", reply(PACKED)))
    assert left_in(tmp_path) == []


def test_parallel_downloads_do_not_disturb_each_other(server: Server, tmp_path: Path) -> None:
    together = threading.Barrier(4)

    def answer(handler: BaseHTTPRequestHandler) -> None:
        together.wait(5)  # 四个请求都到了才一起回答
        reply(PACKED)(handler)

    mirror = server.mirror("good", answer)
    threads = [threading.Thread(target=get, args=(tmp_path / "f", mirror)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert (tmp_path / "f").read_bytes() == CONTENT
    assert left_in(tmp_path) == ["f"]
    assert len(server.requests) == 4


# ── 以下：整个数据集的下载，从 load_fashion_mnist 看 ─────────────────────────


def idx(values: torch.Tensor) -> bytes:
    """按 IDX 格式写成字节。"""
    header = bytes([0, 0, 8, values.ndim])
    return header + b"".join(n.to_bytes(4, "big") for n in values.shape) + values.numpy().tobytes()


@pytest.fixture
def packed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, bytes]:
    """四个小文件顶替真数据，缓存文件夹是空的；返回压缩后的内容。"""
    g = torch.Generator().manual_seed(0)
    content = {}
    for split, n in (("train", 20), ("t10k", 10)):
        images = torch.randint(256, (n, 28, 28), generator=g).to(torch.uint8)
        labels = (torch.arange(n) % 10).to(torch.uint8)
        content[f"{split}-images-idx3-ubyte"] = idx(images)
        content[f"{split}-labels-idx1-ubyte"] = idx(labels)
    sums = {name: (len(c), hashlib.sha256(c).hexdigest()) for name, c in content.items()}
    monkeypatch.setattr(data, "FILES", sums)
    monkeypatch.setattr(data, "_download_failed", False)
    monkeypatch.setattr(data, "TRAIN_SIZE", 30)
    monkeypatch.setattr(data, "TEST_SIZE", 10)
    monkeypatch.delenv("D2LCORE_DATA", raising=False)
    monkeypatch.delenv("D2LCORE_MIRROR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data._draw_stand_in.cache_clear()
    return {name: gzip.compress(c) for name, c in content.items()}


def serve(packed: dict[str, bytes]) -> Answer:
    """按文件名给出四个文件；没有的给 404。"""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        name = handler.path.rsplit("/", 1)[1].removesuffix(".gz")
        (reply(packed[name]) if name in packed else reply(b"", 404))(handler)

    return answer


def use_mirrors(monkeypatch: pytest.MonkeyPatch, *mirrors: str) -> None:
    monkeypatch.setattr(data, "MIRRORS", mirrors)


@pytest.mark.parametrize("given", ["folder", "environment", "cache"])
def test_downloads_into_the_first_place_given(
    server: Server,
    packed: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: str,
) -> None:
    use_mirrors(monkeypatch, server.mirror("good", serve(packed)))
    folder, place = None, tmp_path / "cache" / "d2lcore"
    if given != "cache":
        place = tmp_path / "from-environment"
        monkeypatch.setenv("D2LCORE_DATA", str(place))
    if given == "folder":
        folder = place = tmp_path / "folder"
    train, test = load_fashion_mnist(folder)
    assert (len(train), len(test), train.name) == (20, 10, "Fashion-MNIST")
    expected = sorted(f"FashionMNIST/raw/{name}" for name in packed)
    assert left_in(place) == expected
    assert left_in(tmp_path) == [f"{place.relative_to(tmp_path)}/{path}" for path in expected]
    load_fashion_mnist(folder)
    assert len(server.requests) == 4  # 第二次不再下载


def test_only_missing_files_are_downloaded(
    server: Server, packed: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_mirrors(monkeypatch, server.mirror("good", serve(packed)))
    name = "train-images-idx3-ubyte"
    (tmp_path / f"{name}.gz").write_bytes(packed[name])
    load_fashion_mnist(tmp_path)
    assert len(server.requests) == 3
    assert not any(name in path for path in server.requests)


def test_own_mirror_comes_first_and_a_dead_one_is_waited_for_once(
    server: Server, packed: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = server.mirror("own", reply(b"", 404))
    use_mirrors(monkeypatch, server.mirror("good", serve(packed)))
    monkeypatch.setenv("D2LCORE_MIRROR", own.rstrip("/"))
    load_fashion_mnist(tmp_path)
    assert [path.split("/")[1] for path in server.requests] == ["own"] + ["good"] * 4


def test_two_loaders_fill_one_cache_at_once(
    server: Server, packed: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_mirrors(monkeypatch, server.mirror("good", serve(packed)))
    loaded: list[torch.Tensor] = []
    together = threading.Barrier(2)

    def work() -> None:
        together.wait(5)
        loaded.append(load_fashion_mnist(fallback=False)[0].images)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(loaded) == 2
    assert torch.equal(*loaded)
    assert left_in(tmp_path / "cache" / "d2lcore") == sorted(
        f"FashionMNIST/raw/{name}" for name in packed
    )


def test_fallback_is_announced_once_and_not_tried_again(
    server: Server,
    packed: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mirror = server.mirror("gone", reply(b"", 404))
    use_mirrors(monkeypatch, mirror)
    train, test = load_fashion_mnist()
    assert (train.name, len(train), len(test)) == ("仿真服饰", 30, 10)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("注意") == 1
    for needed in (
        "不是真实数据", mirror, "HTTP 404", *(f"{name}.gz" for name in packed),
        str(tmp_path / "cache" / "d2lcore"), "D2LCORE_DATA=stand-in",
    ):  # fmt: skip
        assert needed in err
    fashion_mnist_batches(5)
    assert capsys.readouterr() == ("", "")
    assert len(server.requests) == 1
    assert left_in(tmp_path) == []


def test_files_put_in_place_later_are_used(
    server: Server, packed: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_mirrors(monkeypatch, server.mirror("gone", reply(b"", 404)))
    assert load_fashion_mnist(tmp_path)[0].name == "仿真服饰"
    for name, content in packed.items():
        (tmp_path / f"{name}.gz").write_bytes(content)
    assert load_fashion_mnist(tmp_path)[0].name == "Fashion-MNIST"


def test_without_fallback_the_reasons_are_raised(
    server: Server,
    packed: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    gone, page = server.mirror("gone", reply(b"", 404)), server.mirror("page", reply(b"<html>"))
    use_mirrors(monkeypatch, gone, page)
    monkeypatch.setattr(data, "_download_failed", True)  # 明说不要替身，就总要再试
    with pytest.raises(RuntimeError) as caught:
        load_fashion_mnist(fallback=False)
    for needed in (gone, "HTTP 404", page, "错误页面", "D2LCORE_DATA"):
        assert needed in str(caught.value)
    assert "注意" not in capsys.readouterr().err


def test_half_a_set_is_never_mixed_with_the_stand_in(
    server: Server, packed: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 下到第三个文件断了：前两个留着（都校验过），这次全用替身，下次接着下
    some = dict(list(packed.items())[:2])
    use_mirrors(monkeypatch, server.mirror("some", serve(some)))
    train, test = load_fashion_mnist(tmp_path)
    assert train.name == test.name == "仿真服饰"
    assert left_in(tmp_path) == sorted(f"FashionMNIST/raw/{name}" for name in some)


def test_full_disk_is_an_error_not_a_reason_for_the_stand_in(
    server: Server, packed: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_mirrors(monkeypatch, server.mirror("good", serve(packed)))
    monkeypatch.setattr(os, "replace", fail(errno.ENOSPC))
    with pytest.raises(RuntimeError, match="磁盘满了"):
        load_fashion_mnist(tmp_path)
    assert left_in(tmp_path) == []


@pytest.mark.parametrize(
    "wrong", ["file:///etc/", "ftp://example.org/", "example.org/fashion", "http://"]
)
def test_a_mirror_must_be_an_address(
    packed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setenv("D2LCORE_MIRROR", wrong)
    with pytest.raises(ValueError, match="D2LCORE_MIRROR"):
        load_fashion_mnist()


def test_built_in_mirrors_are_encrypted() -> None:
    assert data.MIRRORS
    assert all(m.startswith("https://") and m.endswith("/") for m in data.MIRRORS)
