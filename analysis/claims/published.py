"""What arXiv:2408.10914 publishes of its models, as it is printed: table 2, figures 2 to 9. Facts, not ours.

Every number is kept as the digits that stand there, so that it is known what they allow: a printed 49.0 is anything
from 48.95 to 49.05. Figure 4 prints none; its values were read off the picture, to 0.05.

Models have the paper's names in ASCII. `ours` are the runs of `experiments/runs.py` that stand for one, the nearest
first. What figures 2, 3 and 6 and table 2 call balanced→text and code→text has synthetic problems in its first code
(figures 5a and 5b print the same numbers), so the runs with them come first.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

INIT, BEFORE, COOLED, COOLED_WITHOUT = "init", "before cooldown", "cooldown", "cooldown without code"
"""Points of a recipe: after its first stage of two, before a cooldown, after one with 20 % code, after one without."""
SMALL, LARGE = "470m", "2.8b"

TEXT, FIGURE, DIGITISED = "printed in a table", "printed on a figure", "digitised from a figure"
READ_OFF = Fraction(1, 20)
"""How far a digitised value may be off, beside the rounding of its digits."""


@dataclass(frozen=True)
class Model:
    """A model of the paper at one point of its recipe."""

    name: str
    point: str
    ours: tuple[str, ...]
    size: str = SMALL


@dataclass(frozen=True)
class Printed:
    """One published number, in per cent: the mean accuracy of reasoning, exact match of knowledge, pass@1 of code, or
    the share of judged answers that won, tied or lost `against` another model."""

    model: Model
    measure: str
    printed: str
    where: str
    known: str
    against: Model | None = None

    @property
    def value(self) -> Fraction:
        return Fraction(self.printed)

    @property
    def tolerance(self) -> Fraction:
        """How far the number may be from what is printed."""
        return half_unit(self.printed) + (READ_OFF if self.known == DIGITISED else 0)


Key = tuple[Model, str, Model | None]
"""(model, measure, against)"""


def decimals(printed: str) -> int:
    return len(printed.partition(".")[2])


def half_unit(printed: str) -> Fraction:
    """Half a unit of the last digit: 0.05 of "49.0", 0.5 of "21"."""
    return Fraction(1, 2 * 10 ** decimals(printed))


_BALANCED_TEXT, _CODE_TEXT = ("balanced+synth-to-text", "balanced-to-text"), ("code+synth-to-text", "code-to-text")

TEXT_ONLY = Model("text-only", BEFORE, ("text-only",))
BALANCED_ONLY = Model("balanced-only", BEFORE, ("balanced-only",))
BALANCED_INIT = Model("balanced-to-text", INIT, ("balanced+synth", "balanced"))
BALANCED_TEXT = Model("balanced-to-text", BEFORE, _BALANCED_TEXT)
CODE_INIT = Model("code-to-text", INIT, ("code+synth",))
CODE_TEXT = Model("code-to-text", BEFORE, _CODE_TEXT)

COOLED_TEXT_ONLY = Model("text-only", COOLED, ("text-only",))
COOLED_BALANCED_ONLY = Model("balanced-only", COOLED, ("balanced-only",))
COOLED_BALANCED_TEXT = Model("balanced-to-text", COOLED, _BALANCED_TEXT)
COOLED_CODE_TEXT = Model("code-to-text", COOLED, _CODE_TEXT)
WITHOUT_CODE = Model("balanced-to-text", COOLED_WITHOUT, _BALANCED_TEXT)

LARGE_BALANCED_ONLY = Model("balanced-only", BEFORE, ("balanced-only",), LARGE)
LARGE_BALANCED_TEXT = Model("balanced-to-text", BEFORE, _BALANCED_TEXT, LARGE)
LARGE_CODE_TEXT = Model("code-to-text", BEFORE, _CODE_TEXT, LARGE)

SHARES = {n: Model(f"{n} % code", BEFORE, (f"proportion-{n}",)) for n in (0, 25, 50, 75, 90, 100)}
"""Of figure 4, by the share of code in per cent: one stage of 200B tokens, as those of figure 5a."""
CODE = Model("code", BEFORE, ("code",))
MARKUP = Model("code+markup", BEFORE, ("code+markup", "proportion-100"))
ADJACENT = Model("code+adjacent", BEFORE, ("code+adjacent-issues", "code+adjacent-commits"))
SYNTH = Model("code+synth", BEFORE, ("code+synth",))
PLAIN_BALANCED_TEXT = Model("balanced-to-text of Fig. 5b", BEFORE, ("balanced-to-text",))
SYNTH_BALANCED_TEXT = Model("balanced+synth-to-text", BEFORE, ("balanced+synth-to-text",))


def _rows(
    where: str, known: str, measures: str, rows: Mapping[Model, str], against: Model | None = None
) -> tuple[Printed, ...]:
    return tuple(
        Printed(model, measure, printed, where, known, against)
        for model, numbers in rows.items()
        for measure, printed in zip(measures.split(), numbers.split(), strict=True)
    )


RESULTS = (
    *_rows("Table 2", TEXT, "reasoning knowledge nl-printed code total-printed", {
        TEXT_ONLY:            "49.0  9.5 29.2  0.4 19.6",
        COOLED_TEXT_ONLY:     "54.1 11.1 32.6  4.4 23.2",
        BALANCED_ONLY:        "51.8  8.1 30.0  9.0 23.0",
        COOLED_BALANCED_ONLY: "53.2 11.1 32.1  8.4 24.2",
        BALANCED_INIT:        "52.0  7.4 29.6  7.8 22.4",
        BALANCED_TEXT:        "53.0  9.9 31.5  4.8 22.6",
        COOLED_BALANCED_TEXT: "54.9 10.9 32.9  5.8 23.9",
        CODE_INIT:            "44.7  1.5 23.1 15.5 20.6",
        CODE_TEXT:            "53.3  9.5 31.4  4.1 22.3",
        COOLED_CODE_TEXT:     "52.1 10.3 31.2  7.5 23.3",
    }),
    *_rows("Fig. 2", FIGURE, "reasoning knowledge code", {
        TEXT_ONLY:     "49.0 9.5 0.4",
        BALANCED_ONLY: "51.8 8.1 9.0",
        BALANCED_TEXT: "53.0 9.9 4.8",
        CODE_TEXT:     "53.3 9.5 4.1",
    }),
    *_rows("Fig. 3", FIGURE, "reasoning knowledge code", {
        LARGE_BALANCED_ONLY: "54.5 23.6 21.8",
        LARGE_BALANCED_TEXT: "55.8 27.1 12.4",
        LARGE_CODE_TEXT:     "57.9 25.6 11.7",
    }),
    *_rows("Fig. 4", DIGITISED, "reasoning knowledge code", {
        SHARES[0]:   "50.2 9.12  0.2",
        SHARES[25]:  "51.9 8.81  4.1",
        SHARES[50]:  "51.7 7.58  5.8",
        SHARES[75]:  "50.9 6.29  8.5",
        SHARES[90]:  "46.2 4.64  9.6",
        SHARES[100]: "41.0 1.27 10.7",
    }),
    *_rows("Fig. 5a", FIGURE, "reasoning code", {
        CODE:     "39.9 12.7",
        MARKUP:   "41.0 10.7",
        ADJACENT: "42.4 11.5",
        SYNTH:    "44.7 15.5",
    }),
    *_rows("Fig. 5b", FIGURE, "reasoning code", {
        PLAIN_BALANCED_TEXT: "52.0 3.4",
        SYNTH_BALANCED_TEXT: "53.0 4.8",
    }),
    *_rows("Fig. 6", FIGURE, "reasoning knowledge code", {
        BALANCED_TEXT:        "53.0  9.9 4.8",
        WITHOUT_CODE:         "52.9 10.2 4.8",
        COOLED_BALANCED_TEXT: "54.9 10.9 5.8",
    }),
    *_rows("Fig. 7", FIGURE, "loss win tie", {
        WITHOUT_CODE:         "22.1 48.2 29.6",
        COOLED_BALANCED_TEXT: "18.6 52.3 29.1",
    }, BALANCED_TEXT),
    *_rows("Fig. 8", FIGURE, "loss win tie", {
        COOLED_BALANCED_ONLY: "35.7 32.7 31.7",
        COOLED_BALANCED_TEXT: "34.7 37.7 27.6",
        COOLED_CODE_TEXT:     "33.7 36.7 29.6",
    }, COOLED_TEXT_ONLY),
    *_rows("Fig. 9", FIGURE, "loss win tie", {
        CODE_TEXT:     "25.6 32.2 42.2",
        BALANCED_TEXT: "28.1 34.7 37.2",
    }, TEXT_ONLY),
)  # fmt: skip


def by_key(results: tuple[Printed, ...] = RESULTS) -> dict[Key, Printed]:
    """The first place of every number; the others print the same (tests/analysis/test_claims.py)."""
    return {(one.model, one.measure, one.against): one for one in reversed(results)}
