"""What documents are read as before rules look at them: markup, entities, letters in disguise."""

import html
import itertools
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from mixtures.decontaminate.index import build
from mixtures.decontaminate.rendered import readings
from mixtures.decontaminate.scan import RULES, Rule, scan
from mixtures.documents.document import Document
from tests.mixtures.test_decontaminate import CODE, FILLER, ITEMS, PROMPT, SOLUTION, found, only

INDEX = build(ITEMS)
CYRILLIC = str.maketrans("aceopxy", "асеорху")
FULL_WIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
BOLD = {ord("a") + n: 0x1D41A + n for n in range(26)}


@pytest.mark.parametrize(
    "options",
    [{}, {"linenos": "inline"}, {"linenos": "table"}, {"noclasses": True}, {"linespans": "l", "anchorlinenos": True},
     {"lineanchors": "a", "linenos": "inline", "full": True}],
)  # fmt: skip
@pytest.mark.parametrize("wrap", [str, html.escape], ids=["page", "feed"])
def test_a_highlighted_solution_is_found(options: dict, wrap) -> None:
    page = highlight(PROMPT + SOLUTION, PythonLexer(), HtmlFormatter(**options))
    for rule in RULES:
        match = only(found(INDEX, wrap(page), rule))
        assert (match.item, match.drop) == ("peak", True)
        if rule == "align":
            assert match.score > 0.95 and "<" not in match.evidence


@pytest.mark.parametrize(
    "disguise",
    [
        lambda text: text.replace(" ", "&nbsp;"),
        lambda text: text.replace(" ", "&#160;").replace("e", "&#x65;"),
        lambda text: html.escape(text).replace(" ", "&nbsp;").replace("&", "&amp;"),
        lambda text: text.replace(" ", "\u00a0"),
        lambda text: text.replace("a", "a\u200b").replace("i", "\u00adi").replace("o", "o\u2060"),
        lambda text: text.translate(CYRILLIC),
        lambda text: text.translate(FULL_WIDTH),
        lambda text: text.translate(BOLD),
        lambda text: text.replace("e", "<b>e</b>").replace("t", "t<wbr>"),
        lambda text: text.replace(" ", " <!-- --> "),
        lambda text: "".join(f"<p>{line}<br/>" for line in text.splitlines(keepends=True)),
        lambda text: "".join(f'<FONT COLOR="#f00">{word} </FONT>' for word in text.split(" ")),
    ],
)
@pytest.mark.parametrize("rule", RULES)
def test_an_item_in_disguise_is_found(disguise, rule: str) -> None:
    match = only(found(INDEX, disguise(CODE.fields["prompt"]), rule))
    assert (match.item, match.drop) == ("peak", True)
    assert match.score > 0.9


@pytest.mark.parametrize(
    "text",
    ["vector<int> &a; List<String> b; a < b && c > d; x = &y; p(&q);", "# naïve “quotes” – 42 °C … 中文", "<module>: x",
     "https://x.org/?a=1&b=2&copy=3", "def f(a: dict[str, int]) -> None: ...", "1 <2> 3 <!-- a < b"],
)  # fmt: skip
def test_plain_text_is_read_once(text: str) -> None:
    assert list(readings(text)) == []


def test_elements_join_words_or_part_them_as_in_a_browser() -> None:
    page = '<div>one</div><div>two</div><span class="k">has</span><span>_close</span>(<td class="lineno">7</td>'
    assert [reading.split() for reading in readings(page)] == [["one", "two", "has_close("]]


def test_what_is_no_tag_stays() -> None:
    for text in (
        "a <b and c or d or e> f",
        "<p every word of this would go if it were one>",
        '<a href="x\ny">',
        "<vector>",
    ):
        assert [*readings(text), text][-1] == text
    assert [*readings('<input disabled checked name="x">a<td nowrap>b')] == ["\na\nb"]


def test_a_question_with_markup_or_odd_letters_of_its_own_is_found_as_it_is() -> None:
    for question in (
        "Which of the two tags <b>bold</b> and <i>slanted</i> did a printer at Ko&#776;ln set by hand in 1920?",
        unicodedata.normalize("NFD", "Où l’élève zélé a-t-il caché la clé dérobée à l’évêque, derrière quel roc?"),
        "Почему на старой мельнице зимой никогда не слышно голосов и смеха детей из соседней деревни?",
    ):
        index = build([CODE.__class__("b", "0", {"question": question}, ("x", "y"), 0)])
        for text in (question, *readings(question)):
            for rule in RULES:
                assert only(scan(index, Rule(rule), [Document("d", "", f"{FILLER} {text} {FILLER}")])).drop


@given(st.text(st.sampled_from("<>/&;#=\"' \nabpx1аſ\u0301\u200b-!"), max_size=60))
def test_reading_ends_and_only_ever_yields_what_differs(text: str) -> None:
    chain = [text, *readings(text)]
    assert len(chain) <= 3 and all(a != b for a, b in itertools.pairwise(chain))


def test_hostile_text_is_read_in_linear_time() -> None:
    texts = ("<a x" + "=" * 400_000, "<a " * 150_000, '<a x="' * 80_000, "<!--" * 100_000, "<a>  " * 80_000,
             "&" * 400_000, "\u0301" * 400_000, "а" * 400_000, "<a" + " b" * 200_000)  # fmt: skip
    assert all(len(list(readings(text))) <= 2 for text in texts)  # for hours, were one of them quadratic
