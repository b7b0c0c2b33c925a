"""从思源黑体（Noto Sans CJK SC）裁出课文要用的字，造成随 d2lcore 分发的小字体。

python -m tools.subset_font [源字体.ttc] [输出.otf]

字集是 GB2312 的 6763 个汉字，加 ASCII、希腊字母与图里会用到的标点、数学符号。
改名为 D2L Sans SC：子集不该冒充完整的字体，也就不会盖住读者机器上的那一份。
需要 fonttools（dev 组）；源字体在 Debian 的 fonts-noto-cjk 包里。
"""

import argparse
import io
import sys
from collections.abc import Iterator
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTCollection, TTFont

from tools.files import write_atomically

SOURCE = Path("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc")
TARGET = Path(__file__).resolve().parents[1] / "d2lcore" / "fonts" / "D2LSansSC-Regular.otf"
FACE = "Noto Sans CJK SC"
FAMILY = "D2L Sans SC"
PUNCTUATION = "　、。·—…‘’“”〈〉《》「」『』【】（），：；？！￥％～–•"
SYMBOLS = "−×÷±≈≠≤≥°²³→←↑↓↔∈∂∇∑∏√∞∝∫⊙✓①②③④⑤⑥⑦⑧⑨⑩"
_MAX_BYTES = 1_500_000
_UNUSED_TABLES = ("vmtx", "vhea", "VORG", "BASE", "GSUB", "GPOS", "GDEF", "DSIG")


def wanted_characters() -> set[str]:
    """字集里的全部字符。"""
    ascii_printable = {chr(code) for code in range(0x20, 0x7F)}
    greek = {
        chr(code) for code in (*range(0x391, 0x3A2), *range(0x3A3, 0x3AA), *range(0x3B1, 0x3CA))
    }
    return ascii_printable | greek | set(gb2312()) | set(PUNCTUATION + SYMBOLS)


def gb2312() -> Iterator[str]:
    """GB2312 的全部汉字；假名、西里尔字母、制表符等用不上。"""
    for high in range(0xB0, 0xF8):
        for low in range(0xA1, 0xFF):
            try:
                yield bytes([high, low]).decode("gb2312")
            except UnicodeDecodeError:
                continue  # 码表里的空位


def make_subset(source: Path) -> bytes:
    """裁好、改好名的字体文件内容；同样的源得到同样的字节。"""
    options = subset.Options()
    options.layout_features = []  # 横排不需要连字与竖排替换
    options.hinting = False
    options.desubroutinize = True
    options.notdef_outline = True
    options.name_IDs = [0, 1, 2, 3, 4, 5, 6, 13, 14]  # 含版权与许可
    options.name_languages = [0x409]
    options.font_number = _face_number(source)
    font = subset.load_font(str(source), options)
    if missing := {c for c in wanted_characters() if ord(c) not in font.getBestCmap()}:
        raise ValueError(f"{source} 里没有这些字：{''.join(sorted(missing))}。")
    subsetter = subset.Subsetter(options)
    subsetter.populate(text="".join(sorted(wanted_characters())))
    subsetter.subset(font)
    for table in _UNUSED_TABLES:
        if table in font:
            del font[table]
    _rename(font)
    font.recalcTimestamp = False  # 不写入当前时间
    buffer = io.BytesIO()
    font.save(buffer)
    return buffer.getvalue()


def _face_number(source: Path) -> int:
    for number, font in enumerate(TTCollection(str(source)).fonts):
        if font["name"].getDebugName(1) == FACE:
            return number
    raise ValueError(f"{source} 里没有 {FACE}；请给出 Noto Sans CJK 的 .ttc 文件。")


def _rename(font: TTFont) -> None:
    postscript = FAMILY.replace(" ", "") + "-Regular"
    names = {1: FAMILY, 3: postscript, 4: f"{FAMILY} Regular", 6: postscript}
    for record in font["name"].names:
        if record.nameID in names:
            record.string = names[record.nameID]
    if "CFF " in font:
        cff = font["CFF "].cff
        cff.fontNames = [postscript]
        top = cff.topDictIndex[0]
        top.FamilyName, top.FullName = FAMILY, f"{FAMILY} Regular"


def main(arguments: list[str] | None = None) -> int:
    """命令行入口；源字体不对时返回 1，什么也不写。"""
    parser = argparse.ArgumentParser(
        prog="python -m tools.subset_font", description="裁出随 d2lcore 分发的中文字体。"
    )
    parser.add_argument("source", nargs="?", type=Path, default=SOURCE, help=f"默认 {SOURCE}")
    parser.add_argument("target", nargs="?", type=Path, default=TARGET, help="默认 d2lcore/fonts/")
    options = parser.parse_args(arguments)
    if not options.source.is_file():
        message = f"找不到 {options.source}：Debian/Ubuntu 请先 apt install fonts-noto-cjk。"
        print(message, file=sys.stderr)
        return 1
    try:
        data = make_subset(options.source)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    if len(data) > _MAX_BYTES:
        print(f"子集有 {len(data):,} 字节，超过 {_MAX_BYTES:,}，没有写入。", file=sys.stderr)
        return 1
    write_atomically(options.target, data)
    print(f"{options.target}：{len(data):,} 字节")
    return 0


if __name__ == "__main__":
    sys.exit(main())
