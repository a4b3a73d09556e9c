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

_INLINE = frozenset(
    "a abbr b bdi bdo big cite code data del dfn em font i ins kbd label mark nobr q s samp small span strike strong "
    "sub sup time tt u var wbr".split()
)
"""Elements that do not end a word: highlighters split names between them."""
_BLOCK = frozenset(
    "address article aside blockquote body br button caption center col colgroup dd details div dl dt fieldset "
    "figcaption figure footer form h1 h2 h3 h4 h5 h6 head header hr html iframe img input legend li link main meta nav "
    "object ol option p pre section select summary table tbody td textarea tfoot th thead title tr ul".split()
)
_VALUE = r"""(?:\\?"[^"<>\n]*+"|'[^'<>\n]*+'|[^\s"'<>]++)"""
_ATTRIBUTES = rf"(?:\s++[\w:@.-]++(?:\s*+=\s*+{_VALUE})?+)*+"
_TAG = re.compile(rf"<(?:!--[^<>]{{0,200}}--|/?([A-Za-z][A-Za-z0-9]*+)({_ATTRIBUTES})\s*+/?)>(?:\s*+(\d++)\s*+</\1>)?")
"""A comment or a tag, its name and attributes, and the number that is all there is in the element."""
_NUMBERED = re.compile(r"\b(?:line|lineno|linenos|line-numbers?|ln|blob-num)\b", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")

_LOOK_ALIKES = (
    ("аАɑαΑ", "aAaaA"),
    ("ВвΒбƄ", "BbBbb"),
    ("сСϲϹ", "cCcC"),
    ("ԁɗ", "dd"),
    ("еЕёΕҽ", "eEeEe"),
    ("ɡԌ", "gG"),
    ("һНΗհ", "hHHh"),
    ("іІıιΙӏ", "iIiiIl"),
    ("јЈϳ", "jJj"),
    ("кКκΚ", "kKkK"),
    ("мМΜ", "mMM"),
    ("пΝոռ", "nNnn"),
    ("оОοΟօσ", "oOoOoo"),
    ("рРρΡ", "pPpP"),
    ("ԛԚգ", "qQq"),
    ("гɾ", "rr"),
    ("ѕЅ", "sS"),
    ("тТτΤ", "tTtT"),
    ("υսցц", "uugu"),
    ("νѵѴ", "vvV"),
    ("ԝԜωшɯ", "wWwww"),
    ("хХχΧ", "xXxX"),
    ("уУγүΥҮ", "yYyyYY"),
    ("ΖᴢʐƵ", "ZzzZ"),
)
"""Cyrillic, Greek, Armenian and rarer Latin letters, and the ASCII ones that they pass for."""
_ASCII = {ord(odd): plain for odds, plains in _LOOK_ALIKES for odd, plain in zip(odds, plains, strict=True)}
_COMPATIBLE = "ªºſ²³¹ʰ-ʸˡ-ˣᴬ-ᵪ⁰ⁱ⁴-⁹ⁿ₀-₉ₐ-ₜ℀-⅏Ⅰ-ⅿ①-ⓩﬀ-ﬆ０-９Ａ-Ｚａ-ｚ𝐀-𝟿🄰-🅉"
"""Other forms of letters and digits, which NFKC makes one form of, as it does of a letter and the marks after it."""
_UNSEEN = "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
_MARKS = "\u0300-\u036f"
_FORMS = "".join(map(chr, _ASCII)) + _COMPATIBLE
_ODD = re.compile(f"[{_UNSEEN}{_MARKS}{_FORMS}]")
_ODD_RUN = re.compile(f"[{_UNSEEN}]{{1,32}}|.?[{_MARKS}]{{1,32}}|[{_FORMS}]{{1,32}}")
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
    if "<" in text:
        text = _TAG.sub(_untagged, text)
    return _ENTITY.sub(lambda found: html.unescape(found[0]), text) if "&" in text else text


def _untagged(found: re.Match[str]) -> str:
    name, attributes, number = found.groups()
    if name is None:
        return ""
    name = name.lower()
    if name not in _INLINE and name not in _BLOCK:
        return found[0]
    between = "" if name in _INLINE else "\n"
    return between if number is None or _NUMBERED.search(attributes) else f"{between}{number}{between}"


def _letters(text: str) -> str:
    if text.isascii() or _ODD.search(text) is None:  # the search is fast and the substitution is not
        return text
    return _ODD_RUN.sub(lambda found: _plain(found[0]), text)


@lru_cache(maxsize=1 << 14)
def _plain(odd: str) -> str:
    if odd[0] in _UNSEEN:
        return ""
    return unicodedata.normalize("NFKC", odd.translate(_ASCII)).translate(_ASCII)
