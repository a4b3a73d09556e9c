"""Text as a reader sees it: markup without its tags and entities, letters without disguise.

A solution in highlighted HTML has an element between any two words, `&nbsp;` makes a word of every blank, and with a
Cyrillic "а" "pаth" is another word. Rules look at the text and, where it differs, at what it is read as. Both, because
a tag may be code ("a <b and c> d") and a letter may be what it seems.
"""

import html
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

_INLINE = (
    "a abbr b bdi bdo big cite code data del dfn em font i ins kbd label mark nobr q s samp small span strike strong "
    "sub sup time tt u var wbr"
)
_BLOCK = (
    "address article aside blockquote body br button caption center col colgroup dd details div dl dt fieldset "
    "figcaption figure footer form h1 h2 h3 h4 h5 h6 head header hr html iframe img input legend li link main meta nav "
    "object ol option p pre section select summary table tbody td textarea tfoot th thead title tr ul"
)
_IN_PLACE = dict.fromkeys(_INLINE.split(), "") | dict.fromkeys(_BLOCK.split(), "\n")
"""Of a tag: highlighters split names between elements of the first kind, and those of the second end a word."""
_TAG = re.compile(rf"<(?:!--|/?(?:{'|'.join(n for name in _IN_PLACE for n in (name, name.upper()))})[\s/>])")
"""What a tag begins like; text without is left alone, such as C++ with its `vector<Table>`."""
_BLANK, _ATTRIBUTE = r"[\t-\r\x1c- ]", r"[A-Za-z0-9_:@.\x80-\U0010ffff-]"
_VALUE = r"""(?:\\?"[^"<>\n]*+"|'[^'<>\n]*+'|[^\t-\r\x1c- "'<>]++)"""
"""In quotes (JSON escapes them) or without."""
_VALUED = rf"(?:{_BLANK}++{_ATTRIBUTE}++{_BLANK}*+={_BLANK}*+{_VALUE})*+"
_BARE = rf"{_BLANK}++{_ATTRIBUTE}++(?!{_BLANK}*+=)"
_END = rf"{_VALUED}(?:{_BARE}{_VALUED}){{0,3}}+{_BLANK}*+/?>"
"""Of a tag. More than a few attributes without a value are text: "a <b and c", "<p" at a cut."""
_MARKUP = re.compile(rf"<!--[^<>]{{0,195}}+(?<=--)>|</?([A-Za-z0-9]++)({_END})(?:({_BLANK}*+[0-9]++{_BLANK}*+)</\1>)?+")
"""A comment, short and without a tag, as React puts them into text; a tag; an element that holds a number alone."""
_NUMBERS_A_LINE = re.compile("ln|lin|num")
"""Said by attributes: "lineno", "ln", "blob-num"."""
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")

_LOOK_ALIKES = (
    "аАɑαΑ aAaaA  ВвΒбƄ BbBbb  сСϲϹ cCcC  ԁɗ dd  еЕёΕҽ eEeEe  ɡԌ gG  һНΗհ hHHh  іІıιΙӏ iIiiIl  јЈϳ jJj  "
    "кКκΚ kKkK  мМΜ mMM  пΝոռ nNnn  оОοΟօσ oOoOoo  рРρΡ pPpP  ԛԚգ qQq  гɾ rr  ѕЅ sS  тТτΤ tTtT  υսցц uugu  "
    "νѵѴ vvV  ԝԜωшɯ wWwww  хХχΧ xXxX  уУγүΥҮ yYyyYY  ΖᴢʐƵ ZzzZ"
)
"""Cyrillic, Greek, Armenian and rarer Latin letters, and the ASCII ones that they pass for."""
_ASCII = {
    ord(odd): plain
    for odds, plains in map(str.split, _LOOK_ALIKES.split("  "))
    for odd, plain in zip(odds, plains, strict=True)
}
_FORMS = "ªºſ²-³¹ʰ-ʸˡ-ˣᴬ-ᵪ⁰-ⁱ⁴-⁹ⁿ₀-₉ₐ-ₜ℀-⅏Ⅰ-ⅿ①-ⓩﬀ-ﬆ０-９Ａ-Ｚａ-ｚ𝐀-𝟿🄰-🅉"
"""Other forms of letters and digits, which NFKC makes one form of, as it does of a letter and the marks after it."""
_MARKS = "".join(map(chr, range(0x300, 0x370)))
_UNSEEN = frozenset(map(chr, (*(0xAD, 0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFEFF, 0xFFA0),
                              *range(0x180B, 0x180F), *range(0x200B, 0x2010), *range(0x202A, 0x202F),
                              *range(0x2060, 0x2070))))  # fmt: skip
"""What has no width."""
_ODD = re.compile(f"[{''.join(map(chr, _ASCII))}{''.join(_UNSEEN)}{_MARKS}{_FORMS}]+")
ROUNDS = 2
"""Of reading: highlighted code may stand escaped in a page or a feed."""


def readings(text: str) -> Iterator[str]:
    """What `text` is read as, where that differs: once, and once more where the first reading is markup again."""
    for _ in range(ROUNDS):
        read = _letters(_markup(text))
        if read == text:
            return
        yield read
        text = read


def _markup(text: str) -> str:
    if _TAG.search(text):
        text = _MARKUP.sub(_between, text)
    return _ENTITY.sub(lambda found: html.unescape(found[0]), text) if "&" in text else text


def _between(found: re.Match[str]) -> str:
    """What stands in place of a comment or tag; one of an unknown element is text."""
    name, attributes, number = found.groups()
    mark = _IN_PLACE.get(name.lower(), found[0]) if name else ""
    if not number or mark == found[0] or (found[0][1] != "/" and _NUMBERS_A_LINE.search(attributes)):
        return mark
    return mark + number + mark


def _letters(text: str) -> str:
    if text.isascii():
        return text
    pieces, done = [], 0
    for run in _ODD.finditer(text):
        first = run.start() - int(run[0][0] in _MARKS and run.start() > done)  # a mark belongs to the letter before it
        pieces += [text[done:first], _plain(text[first : run.end()])]
        done = run.end()
    return "".join([*pieces, text[done:]])


@lru_cache(maxsize=1 << 12)
def _plain(odd: str) -> str:
    seen = "".join(character for character in odd if character not in _UNSEEN)
    return unicodedata.normalize("NFKC", seen.translate(_ASCII)).translate(_ASCII)
