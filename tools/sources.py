"""课文引用的两份数据：参考文献（BibTeX）与勘误表（YAML）。"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pybtex.database import Entry, Person, parse_file
from pybtex.exceptions import PybtexError
from pybtex.richtext import Text

from tools.book import Book, BookError

_ERRATA_FIELDS = ("id", "note", "place", "quote", "why", "right")


@dataclass(frozen=True)
class Citation:
    """一条文献的短称：``author`` 如“LeCun 等”，``year`` 如“1998”。"""

    author: str
    year: str


def read_bibliography(book: Book) -> dict[str, Citation]:
    """``_config.yml`` 里列的全部 .bib，键到短称。"""
    citations = {}
    for path in book.bibliographies:
        if not path.is_file():
            raise BookError(f"_config.yml 的 bibtex_bibfiles 列了 {path}，但没有这个文件。")
        try:
            database = parse_file(str(path), bib_format="bibtex")
        except PybtexError as error:
            raise BookError(f"{path}: 不是合法的 BibTeX：{error}") from error
        for key, entry in database.entries.items():
            citations[key] = Citation(_short_author(entry, key), str(entry.fields.get("year", "")))
    return citations


def _short_author(entry: Entry, key: str) -> str:
    people = entry.persons.get("author") or entry.persons.get("editor") or []
    if not people:
        return _unicode(str(entry.fields.get("title", key)))
    names = [_last_name(person) for person in people]
    if len(names) <= 2:
        return "与 ".join(names) if _is_chinese(names[0]) else " 与 ".join(names)
    return f"{names[0]} 等"


def _last_name(person: Person) -> str:
    return _unicode(" ".join([*person.prelast_names, *person.last_names]))


def _unicode(latex: str) -> str:
    """``Souli{\\'e}`` → ``Soulié``。"""
    return str(Text.from_latex(latex))


def _is_chinese(text: str) -> bool:
    return "\u4e00" <= text[:1] <= "\u9fff"


def read_errata(root: Path) -> dict[str, dict[str, Any]]:
    """``book/_data/errata.yml``，按 id 索引；缺字段、id 重复都报错。文件可以还没有。"""
    path = root / "book" / "_data" / "errata.yml"
    if not path.is_file():
        return {}
    entries = yaml.safe_load(path.read_text(encoding="utf-8")) or []
    errata: dict[str, dict[str, Any]] = {}
    for entry in entries:
        missing = [name for name in _ERRATA_FIELDS if not entry.get(name)]
        if missing:
            raise BookError(f"{path}: 条目 {entry.get('id', entry)} 缺 {'、'.join(missing)}。")
        if entry["id"] in errata:
            raise BookError(f"{path}: id {entry['id']} 用了两次。")
        errata[entry["id"]] = entry
    return errata
