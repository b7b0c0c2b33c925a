"""在一个新内核里从头执行笔记本。用当前的 Python，不需要安装 kernelspec。"""

import os
import re
import sys
import time
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

NO_REAL_DATA = 3  # python -m d2lcore data 的退出码：只能用仿真服饰
CELL_TIMEOUT = 600  # 秒；课文里的训练单元应在 90 秒内


class RunError(Exception):
    """执行没有成功；``cell`` 是出错的代码单元（从 1 数，0 表示不知道是哪个）。"""

    def __init__(self, cell: int, message: str) -> None:
        super().__init__(message)
        self.cell = cell


class _ThisPython(KernelSpecManager):
    """不管机器上装了哪些内核，总用正在运行的这个 Python。"""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        argv.append("--log-level=ERROR")  # 内核每次启动都提醒本机连接没有加密
        return KernelSpec(argv=argv, display_name="Python 3", language="python")


class _Manager(AsyncKernelManager):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(kernel_spec_manager=_ThisPython(), **kwargs)


def kernel_environment(root: Path) -> dict[str, str]:
    """内核的环境变量：找得到仓库里的 d2lcore，散列顺序固定，图画在笔记本里。"""
    env = dict(os.environ)
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root), env.get("PYTHONPATH")]))
    env["PYTHONHASHSEED"] = "0"
    # 另一个程序占着一个核时，OpenMP 线程空转着互相等，LeNet 一轮会慢十几倍；
    # 让它们空转一小会儿就睡，则不会
    env.setdefault("GOMP_SPINCOUNT", "10000")
    env.pop("MPLBACKEND", None)
    data = env.get("D2LCORE_DATA")
    if data and data != "stand-in":  # 内核在课文的文件夹里运行，相对路径会指错地方
        env["D2LCORE_DATA"] = str(Path(data).resolve())
    return env


def execute(notebook: NotebookNode, folder: Path, env: dict[str, str]) -> float:
    """就地执行 ``notebook``，返回秒数（含内核启动）。标有 raises-exception 的单元可以报错。"""
    metadata = dict(notebook.metadata)
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        kernel_manager_class=_Manager,
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )
    start = time.perf_counter()
    try:
        client.execute(env=env)
    except CellExecutionError as error:
        message = _without_colors(error.traceback).strip()
        raise RunError(_last_started(notebook), message) from error
    except CellTimeoutError as error:
        message = f"运行超过 {CELL_TIMEOUT} 秒。"
        raise RunError(_last_started(notebook), message) from error
    except DeadKernelError as error:
        raise RunError(_last_started(notebook), "内核中途退出（多半是内存不够）。") from error
    seconds = time.perf_counter() - start
    notebook.metadata = NotebookNode(metadata)  # 内核会把 Python 版本写进来
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = merge_streams(cell.outputs)
    return seconds


def merge_streams(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """相连的输出流按名字（stdout、stderr）合并：内核分几次送来是偶然的，不该写进文件。

    中间隔着图的不合并，免得图后面印的字跑到图前面。
    """
    merged: list[NotebookNode] = []
    streams: dict[str, NotebookNode] = {}
    for output in outputs:
        if output.output_type != "stream":
            streams = {}
        elif output.name in streams:
            streams[output.name].text += output.text
            continue
        else:
            streams[output.name] = output
        merged.append(output)
    return merged


def _last_started(notebook: NotebookNode) -> int:
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    done = sum(cell.execution_count is not None for cell in code)
    failed = code and any(o.output_type == "error" for o in code[max(done - 1, 0)].outputs)
    return done if failed else min(done + 1, len(code))


def _without_colors(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
