"""课文 ``.md`` 与执行过的孪生笔记本 ``.ipynb``。

python -m tools.notebooks run [--all] [课 …]   重新执行有变化的课
python -m tools.notebooks run --text [课 …]    只换文字、沿用输出，不执行
python -m tools.notebooks check [课 …]         只检查：一致、按序执行、没有报错……
python -m tools.notebooks cache                检查，再把输出交给站点（_build/.jupyter_cache）
python -m tools.notebooks list [--twins]       按阅读顺序列出各课
"""

import argparse
import sys
from pathlib import Path

from tools.book import ROOT, Book, BookError, find_lessons, load_book
from tools.recipes import stale_cells, stale_records
from tools.twin import Workshop, open_workshop
from tools.twin_checks import check_book, check_lesson


def main(arguments: list[str] | None = None) -> int:
    """命令行入口；有问题返回 1。"""
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(load_book(options.root), options))
    except BookError as error:
        print(error, file=sys.stderr)
        return 1


def _run(book: Book, options: argparse.Namespace) -> int:
    from tools.run_lessons import run_lessons  # 建站环境没有内核，只有这条命令要用

    pages = find_lessons(book, options.lessons)
    failures = run_lessons(
        open_workshop(book), pages, everything=options.all, text_only=options.text
    )
    return _report(failures)


def _check(book: Book, options: argparse.Namespace) -> int:
    problems = _problems(open_workshop(book), options.lessons)
    if not problems:
        print(f"检查通过：{len(find_lessons(book, options.lessons))} 课。")
    return _report(problems)


def _cache(book: Book, options: argparse.Namespace) -> int:
    problems = _problems(open_workshop(book), [])
    if problems:
        return _report(problems)
    from tools.site_cache import fill_cache

    written = fill_cache(book)
    print(f"站点缓存：{len(book.lessons)} 课，新写 {written} 份。")
    return 0


def _list(book: Book, options: argparse.Namespace) -> int:
    for page in book.lessons:
        twin = page.twin.relative_to(book.root).as_posix()
        print(twin if options.twins else f"{page.number}  {page.name}")
    return 0


def _problems(shop: Workshop, names: list[str]) -> list[str]:
    problems = []
    if not names:
        book = shop.book
        problems += [*check_book(book), *stale_records(book), *stale_cells(book)]
    for page in find_lessons(shop.book, names):
        problems += check_lesson(shop, page)
    return problems


def _report(problems: list[str]) -> int:
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        print(f"共 {len(problems)} 个问题。", file=sys.stderr)
    return 1 if problems else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.notebooks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--root", type=Path, default=ROOT, help="仓库根目录")
    commands = parser.add_subparsers(required=True, metavar="命令")
    run = commands.add_parser("run", help="重新执行有变化的课")
    run.add_argument("--all", action="store_true", help="不管有没有变化，全部重新执行")
    run.add_argument("--text", action="store_true", help="只换文字、沿用输出，不执行")
    run.add_argument("lessons", nargs="*", metavar="课", help="例如 linear/softmax-scratch")
    run.set_defaults(command=_run)
    check = commands.add_parser("check", help="检查孪生笔记本")
    check.add_argument("lessons", nargs="*", metavar="课")
    check.set_defaults(command=_check)
    cache = commands.add_parser("cache", help="检查，再填站点缓存")
    cache.set_defaults(command=_cache)
    listing = commands.add_parser("list", help="按阅读顺序列出各课")
    listing.add_argument("--twins", action="store_true", help="列出 .ipynb 的路径")
    listing.set_defaults(command=_list)
    return parser


if __name__ == "__main__":
    sys.exit(main())
