"""读懂这本书的两份清单：``_config.yml``（仓库地址、站点地址）与 ``_toc.yml``（阅读顺序）。

编号也从这里来：编号部分里的第 c 章第 s 节是 ``"c.s"``，与站点上看到的一致。
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]


class BookError(Exception):
    """书里有错；消息是一句（或几行）中文，说清在哪里、怎么改。"""


@dataclass(frozen=True)
class Page:
    """目录里的一页。``number`` 是 ``"2"``、``"2.1"`` 之类，不编号的页为空串。"""

    docname: str
    number: str
    source: Path
    is_lesson: bool

    @property
    def twin(self) -> Path:
        """课文旁边那份执行过的笔记本。"""
        return self.source.with_suffix(".ipynb")

    @property
    def name(self) -> str:
        """命令行与记录里用的短名，例如 ``linear/softmax-scratch``。"""
        return self.docname.removeprefix("book/")


@dataclass(frozen=True)
class Book:
    """整本书：根目录、各种地址与按阅读顺序排好的页。"""

    root: Path
    repository: str
    branch: str
    baseurl: str
    extensions: tuple[str, ...]
    bibliographies: tuple[Path, ...]
    pages: tuple[Page, ...]

    @property
    def lessons(self) -> tuple[Page, ...]:
        """能执行的页（front matter 里写了 ``file_format: mystnb``）。"""
        return tuple(page for page in self.pages if page.is_lesson)

    def page_url(self, docname: str, anchor: str = "") -> str:
        """一页（或页内一处）在站点上的完整地址。"""
        return f"{self.baseurl}{docname}.html" + (f"#{anchor}" if anchor else "")

    def raw_url(self, path: Path) -> str:
        """仓库里一个文件的原始地址，图片用它才能在 Colab 里显示。"""
        owner = self.repository.removeprefix("https://github.com/")
        relative = path.relative_to(self.root).as_posix()
        # GitHub 只在带这个参数时把 SVG 当图片发出来
        suffix = "?sanitize=true" if path.suffix == ".svg" else ""
        return f"https://raw.githubusercontent.com/{owner}/{self.branch}/{relative}{suffix}"


def load_book(root: Path = ROOT) -> Book:
    """读 ``root`` 下的 ``_config.yml`` 与 ``_toc.yml``；缺项、缺文件都报 :class:`BookError`。"""
    root = root.resolve()
    config = _read_yaml(root / "_config.yml")
    return Book(
        root=root,
        repository=_repository(config),
        branch=_setting(config, "repository.branch"),
        baseurl=_setting(config, "html.baseurl").rstrip("/") + "/",
        extensions=tuple((config.get("parse") or {}).get("myst_enable_extensions") or ()),
        bibliographies=tuple(root / path for path in config.get("bibtex_bibfiles") or ()),
        pages=tuple(_pages(root, _read_yaml(root / "_toc.yml"))),
    )


def find_lessons(book: Book, names: list[str]) -> list[Page]:
    """命令行里写的课（短名、.md 或 .ipynb 路径都行）变成页；一个也没写就是全部。"""
    if not names:
        return list(book.lessons)
    by_name = {page.name: page for page in book.lessons}
    wanted = []
    for name in names:
        page = by_name.get(_short_name(book.root, name))
        if page is None:
            raise BookError(
                f"没有叫 {name} 的课；有的是：{'、'.join(by_name) or '（一课也没有）'}。"
            )
        wanted.append(page)
    return wanted


def is_lesson_source(path: Path) -> bool:
    """.md 的 front matter 里是否写了 ``file_format: mystnb``。"""
    text = path.read_text(encoding="utf-8")
    front = re.match(r"---\n(.*?\n)---\n", text, flags=re.DOTALL)
    return bool(front and re.search(r"^file_format:\s*mystnb\s*$", front[1], flags=re.MULTILINE))


def _short_name(root: Path, name: str) -> str:
    path = Path(name).resolve()
    if path.suffix in {".md", ".ipynb"} and path.is_relative_to(root):
        name = path.relative_to(root).as_posix()
    return re.sub(r"\.(md|ipynb)$", "", name).removeprefix("book/")


def _read_yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise BookError(f"找不到 {path}：请在仓库根目录里运行，或用 --root 指出根目录。")
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise BookError(f"{path} 不是合法的 YAML：{error}") from error
    if not isinstance(data, dict):
        raise BookError(f"{path} 应是“键: 值”的形式，现在不是。")
    return data


def _setting(config: dict[str, Any], dotted: str) -> str:
    value: Any = config
    for key in dotted.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    if not isinstance(value, str) or not value:
        raise BookError(f"_config.yml 里缺 {dotted}，请补上。")
    return value


def _repository(config: dict[str, Any]) -> str:
    url = _setting(config, "repository.url").removesuffix("/").removesuffix(".git")
    if not re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", url):
        raise BookError(
            f"_config.yml 的 repository.url 是 {url}，应形如 https://github.com/组织/仓库"
            "（Colab 只认 GitHub）。"
        )
    return url


def _pages(root: Path, toc: dict[str, Any]) -> Iterator[Page]:
    if toc.get("format") != "jb-book" or "root" not in toc:
        raise BookError("_toc.yml 应以 format: jb-book 和 root: … 开头。")
    yield _page(root, toc["root"], "")
    chapter = 0
    for part in toc.get("parts") or []:
        numbered = bool(part.get("numbered"))
        for entry in part.get("chapters") or []:
            chapter += numbered
            yield from _chapter(root, entry, str(chapter) if numbered else "")


def _chapter(root: Path, entry: dict[str, Any], number: str) -> Iterator[Page]:
    yield _page(root, _entry_file(entry), number)
    for k, section in enumerate(entry.get("sections") or [], start=1):
        if section.get("sections"):
            name = _entry_file(section)
            raise BookError(f"_toc.yml：{name} 下还有 sections，本书只分章、节两层。")
        yield _page(root, _entry_file(section), f"{number}.{k}" if number else "")


def _entry_file(entry: dict[str, Any]) -> str:
    if "file" not in entry:
        raise BookError(f"_toc.yml 的条目 {entry} 没有 file：本书的目录只列文件。")
    return str(entry["file"]).removesuffix(".md")


def _page(root: Path, docname: str, number: str) -> Page:
    source = root / f"{docname}.md"
    if not source.is_file():
        raise BookError(f"_toc.yml 列了 {docname}，但没有 {docname}.md：补上文件，或从目录里删去。")
    lesson = is_lesson_source(source)
    if lesson and not number:
        raise BookError(f"{docname}.md 是课，却在不编号的部分里：课要放在 numbered: true 的部分。")
    return Page(docname, number, source, lesson)
