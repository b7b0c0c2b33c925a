"""从一串镜像下载一个 gzip 文件：边收边解压边校验，全对了才一次改名到位。

下载会遇到的坏事很多：断网、慢得像停了、给一张错误页面、只给前一半、别的进程同时在下。
这里只守一条规矩：目标文件要么不存在，要么完整且校验和正确。
"""

import contextlib
import errno
import hashlib
import os
import queue
import socket
import ssl
import sys
import threading
import time
import uuid
import zlib
from collections.abc import Iterator, Sequence
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from tqdm import tqdm

TIMEOUT = 10.0  # 秒：连上并收到应答头的总时限，也是之后每次等数据的时限
TRIES = 2  # 每个镜像最多试几次；连不上的不重试
RETRY_WAIT = 1.0  # 重试之前等几秒
GRACE, MIN_SPEED = 30.0, 10_000  # 头 30 秒之后，平均每秒不足 1 万字节就换下一个镜像
BLOCK = 1 << 18  # 每次至多读多少字节

# 读网络时会冒出来的异常；ValueError 是对方给了不成样子的应答头
NETWORK_ERRORS = (OSError, HTTPException, ValueError)


class DownloadError(RuntimeError):
    """所有镜像都没能给出文件；消息里逐个列出原因。"""


class MirrorError(Exception):
    """一个镜像没能给出文件；``again`` 表示马上再试一次可能有用。"""

    def __init__(self, reason: str, *, again: bool) -> None:
        super().__init__(reason)
        self.again = again


def download(
    name: str, mirrors: Sequence[str], target: Path, *, size: int, sha256: str, label: str = ""
) -> str:
    """把 ``镜像 + name``（gzip）解压成文件 ``target``。

    Args:
        name: 镜像上的文件名，例如 ``train-images-idx3-ubyte.gz``。
        mirrors: 以 ``/`` 结尾的网址，依次尝试。
        target: 解压后的文件；已有的会被换掉，但只在新文件校验无误之后。
        size: 解压后的字节数。
        sha256: 解压后内容的 SHA-256，十六进制。
        label: 进度条上的名字；缺省用 ``name``。

    Returns:
        给出文件的那个镜像。

    Raises:
        DownloadError: 所有镜像都失败了。
        RuntimeError: 写不进磁盘（没有权限、磁盘满等），消息里有位置与办法。
    """
    reasons = []
    for mirror in mirrors:
        for attempt in range(1, TRIES + 1):
            try:
                _fetch(mirror + name, target, size, sha256, label or name)
                return mirror
            except MirrorError as error:
                if error.again and attempt < TRIES:
                    time.sleep(RETRY_WAIT)
                    continue
                reasons.append(f"  {mirror}{name}：{error}")
                break
    raise DownloadError(f"下载 {name} 失败，试过的镜像与原因：\n" + "\n".join(reasons))


def _fetch(url: str, target: Path, size: int, sha256: str, label: str) -> None:
    """试一次：先写旁边的临时文件，校验通过后改名；出了任何事都删掉临时文件。"""
    with _open(url) as response:
        # 名字随机，几个线程或进程同时下载也互不相干；改名是原子的，谁最后都一样
        part = target.with_name(f"{target.name}.{uuid.uuid4().hex}.part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with part.open("xb") as file:
                for block in _unpack(_receive(response, label), size, sha256):
                    file.write(block)
            os.replace(part, target)
        except OSError as error:  # _receive 已把网络的错变成 MirrorError，剩下的都是磁盘的
            raise RuntimeError(_disk_advice(target, error)) from error
        finally:
            with contextlib.suppress(OSError):  # 多半已改名或没建成；删不掉也不该盖住原来的错
                part.unlink()


def _open(url: str) -> HTTPResponse:
    """打开网址；查域名、逐个尝试 IP、等应答头，合起来最多等 TIMEOUT 秒。

    ``urlopen`` 的时限管不到查域名，而且每个 IP 各算一次；有十几个 IP 的主机连不上时要等两三分钟。
    所以放到一个后台线程里，到点就不等了。
    """
    outcome: queue.SimpleQueue[HTTPResponse | Exception] = queue.SimpleQueue()

    def work() -> None:
        try:
            request = Request(url, headers={"User-Agent": "d2lcore"})
            outcome.put(urlopen(request, timeout=TIMEOUT))
        except Exception as error:
            outcome.put(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        result = outcome.get(timeout=TIMEOUT)
    except queue.Empty:
        raise _explained(TimeoutError()) from None
    if isinstance(result, NETWORK_ERRORS):
        raise _explained(result) from result
    if isinstance(result, Exception):
        raise result
    return result


def _receive(response: HTTPResponse, label: str) -> Iterator[bytes]:
    """逐块给出收到的（压缩着的）字节，在标准错误上显示进度；太慢就放弃。"""
    total = response.headers.get("Content-Length", "")
    start, received = time.perf_counter(), 0
    with tqdm(
        total=int(total) if total.isdecimal() else None,
        desc=f"下载 {label}",
        unit="B",
        unit_scale=True,
        leave=False,
        file=sys.stderr,
    ) as bar:
        while True:
            try:
                block = response.read1(BLOCK)
            except NETWORK_ERRORS as error:
                raise _explained(error) from error
            if not block:
                return
            yield block
            received += len(block)
            bar.update(len(block))
            elapsed = time.perf_counter() - start
            if elapsed > GRACE and received < MIN_SPEED * elapsed:
                raise MirrorError(f"太慢：{elapsed:.0f} 秒只收到 {received:,} 字节", again=False)


def _unpack(blocks: Iterator[bytes], size: int, sha256: str) -> Iterator[bytes]:
    """边收边解压，逐块给出内容；到头时长度或校验和不对就报错。"""
    unzip, digest, got = zlib.decompressobj(wbits=31), hashlib.sha256(), 0
    for block in blocks:
        try:
            # 多要一个字节就知道是不是太长；不怕对方用很小的压缩包撑爆内存
            content = unzip.decompress(block, size - got + 1)
        except zlib.error as error:
            raise MirrorError("给的不是 gzip 文件（多半是一张错误页面）", again=False) from error
        got += len(content)
        if got > size:
            raise MirrorError(f"内容比应有的 {size:,} 字节长", again=False)
        digest.update(content)
        yield content
    if not unzip.eof:
        raise MirrorError(f"没有下完就断了（解压出 {got:,} 字节，应为 {size:,}）", again=True)
    if got != size or digest.hexdigest() != sha256:
        raise MirrorError("内容的 SHA-256 与应有的不同（文件坏了，或被换过）", again=False)


def _explained(error: Exception) -> MirrorError:
    """把网络异常变成一句中文的原因。"""
    if isinstance(error, HTTPError):
        error.close()
        passing = error.code in (408, 429) or error.code >= 500  # 服务器一时的事
        return MirrorError(f"HTTP {error.code}", again=passing)
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, socket.gaierror):
        return MirrorError("找不到这个主机（DNS 查询失败，多半是没有网络）", again=False)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return MirrorError("证书校验失败（网络可能被代理或认证页面拦截）", again=False)
    if isinstance(cause, TimeoutError):
        return MirrorError(f"{TIMEOUT:g} 秒没有动静", again=False)
    if isinstance(error, URLError) or isinstance(cause, ConnectionRefusedError):
        return MirrorError(f"连不上（{cause}）", again=False)
    return MirrorError(f"连接中断（{cause}）", again=True)


def _disk_advice(target: Path, error: OSError) -> str:
    """写不进磁盘时说清楚位置、原因与办法。"""
    why = {
        errno.ENOSPC: "磁盘满了",
        errno.EDQUOT: "磁盘配额用完了",
        errno.EACCES: "没有写权限",
        errno.EPERM: "没有写权限",
        errno.EROFS: "这里是只读的",
    }.get(error.errno or 0, error.strerror or str(error))
    return (
        f"写不进 {target.parent}：{why}。"
        "请腾出约 60 MB 空间或给出写权限，"
        "也可以用环境变量 D2LCORE_DATA 指定另一个可写的文件夹。"
    )
