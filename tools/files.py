"""写文件只有两种结局：写好了，或原样未动。"""

import json
import os
import tempfile
from pathlib import Path
from typing import Any


def write_atomically(path: Path, data: bytes) -> None:
    """先写到同一文件夹的临时文件，再一次改名到位；中途出错不留下半个文件。"""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(name, 0o644)  # mkstemp 默认只许本人读
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_json(path: Path, data: Any) -> None:
    """键排好序、两格缩进、中文不转义：同样的内容总是同样的字节。"""
    text = json.dumps(data, ensure_ascii=False, indent=2, sort_keys=True)
    write_atomically(path, (text + "\n").encode("utf-8"))
