"""每份笔记本的准备单元：机器上没有 d2lcore 就装上，有就什么也不做。

课文里不写这个单元，由转换时插到第一个代码单元之前；文字只在这里有一份。
"""

_SOURCE = """\
# 准备：在 Colab、Kaggle、ModelScope 等处第一次运行时装上 d2lcore；已经装好就什么也不做。
import importlib.util

if importlib.util.find_spec("d2lcore") is None:
    %pip install --quiet "git+{repository}@{branch}"
    importlib.invalidate_caches()
    if importlib.util.find_spec("d2lcore") is None:
        raise RuntimeError(
            "没有装上 d2lcore，多半是连不上 GitHub。"
            "在 Kaggle 上，请先在右侧 Settings 里打开 Internet，再运行本格；"
            "在别处，请换个网络再运行本格，或下载压缩包（网页 {repository} 上的 Code 按钮），"
            "解压后在那个文件夹里运行 pip install ."
        )"""


def setup_source(repository: str, branch: str) -> str:
    """准备单元的源码；``repository`` 形如 ``https://github.com/组织/仓库``。"""
    return _SOURCE.format(repository=repository, branch=branch)
