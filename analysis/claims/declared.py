"""What arXiv:2408.10914 claims of its models, in its order, each with the formula that recomputes it.

Written short and in our words. "box" is one of the framed findings at the end of a section, which the PDF alone has.
Where a claim names no other model and point, all are of 470M before a cooldown, as in the paper's section.
"""

from functools import partial

from analysis.claims.published import (
    ADJACENT,
    BALANCED_ONLY,
    BALANCED_TEXT,
    CODE,
    CODE_INIT,
    CODE_TEXT,
    COOLED_BALANCED_ONLY,
    COOLED_BALANCED_TEXT,
    COOLED_CODE_TEXT,
    COOLED_TEXT_ONLY,
    LARGE_BALANCED_ONLY,
    LARGE_BALANCED_TEXT,
    LARGE_CODE_TEXT,
    MARKUP,
    PLAIN_BALANCED_TEXT,
    RESULTS,
    SHARES,
    SYNTH,
    SYNTH_BALANCED_TEXT,
    TEXT_ONLY,
    WITHOUT_CODE,
)
from analysis.claims.recompute import Claim, Of, change, lead, points, times, value

nlr, wk, code, nl = (partial(Of, measure=measure) for measure in ("reasoning", "knowledge", "code", "nl"))
_WITH_SYNTH = "the model has synthetic problems in its first code: Fig. 5b prints its numbers"
_PLAIN = (
    ("without them, reasoning", change(nlr(PLAIN_BALANCED_TEXT), nlr(TEXT_ONLY))),
    ("without them, code", change(code(PLAIN_BALANCED_TEXT), code(TEXT_ONLY))),
)

HEADLINE = (
    Claim("headline-reasoning", "abstract, §1, §5", "balanced→text: reasoning {} over text-only", "+8.2",
          change(nlr(BALANCED_TEXT), nlr(TEXT_ONLY)), _WITH_SYNTH, _PLAIN[:1]),
    Claim("headline-knowledge", "abstract, §1, §5", "balanced→text: knowledge {} over text-only", "+4.2",
          change(wk(BALANCED_TEXT), wk(TEXT_ONLY))),
    Claim("headline-win-rate", "abstract, §1, §5", "balanced→text: win rate {} % over text-only", "+6.6",
          value(Of(BALANCED_TEXT, "net", TEXT_ONLY)), "win − loss in points, no relative change"),
    Claim("headline-code", "abstract, §1, §5", "balanced→text: code {} that of text-only", "12",
          times(code(BALANCED_TEXT), code(TEXT_ONLY)), _WITH_SYNTH,
          (("without them", times(code(PLAIN_BALANCED_TEXT), code(TEXT_ONLY))),)),
    Claim("up-to-reasoning", "abstract", "of all models with code, reasoning up to {} over text-only", "+8.2",
          change(nlr(CODE_TEXT), nlr(TEXT_ONLY)), "code→text gains most",
          (("balanced→text", change(nlr(BALANCED_TEXT), nlr(TEXT_ONLY))),)),
    Claim("up-to-code", "abstract", "of all models with code, code up to {} that of text-only", "12",
          times(code(BALANCED_ONLY), code(TEXT_ONLY)), "balanced-only gains most",
          (("balanced→text", times(code(BALANCED_TEXT), code(TEXT_ONLY))),)),
    Claim("all-scales", "§5", "code is critical for tasks other than code at all sizes",
          note="no text-only model of 2.8B is published, so nothing can be recomputed there"),
    Claim("models-64", "§2.3", "64 models were pre-trained",
          note="some 25 are named; no list of the others is published"),
)  # fmt: skip

METHOD = (
    Claim("adjacent-commits", "§2.1, §3.4", "code-adjacent data have GitHub commits",
          note="§3.4 lists issues in their place", by_hand=False),
    Claim("knowledge-accuracy", "Table 1, §2.2", "the metric of knowledge is accuracy",
          note="§2.2 says exact match", by_hand=False),
)  # fmt: skip

INITIALISATION = (
    Claim("code-to-text-reasoning", "§3.1", "code→text: reasoning {} over text-only", "+8.8",
          change(nlr(CODE_TEXT), nlr(TEXT_ONLY))),
    Claim("balanced-to-text-reasoning", "§3.1", "balanced→text: reasoning {} over text-only", "+8.2",
          change(nlr(BALANCED_TEXT), nlr(TEXT_ONLY)), _WITH_SYNTH, _PLAIN[:1]),
    Claim("balanced-only-reasoning", "§3.1", "balanced-only: reasoning {} over text-only", "+3.2",
          change(nlr(BALANCED_ONLY), nlr(TEXT_ONLY)), "",
          (("over 0 % code at 200B tokens (Fig. 4)", change(nlr(BALANCED_ONLY), nlr(SHARES[0]))),)),
    Claim("code-to-text-best-reasoning", "§3.1", "code→text has the best reasoning", "",
          lead(nlr(CODE_TEXT), *map(nlr, (TEXT_ONLY, BALANCED_ONLY, BALANCED_TEXT)))),
    Claim("balanced-to-text-best-knowledge", "§3.1", "balanced→text has the best knowledge", "",
          lead(wk(BALANCED_TEXT), *map(wk, (TEXT_ONLY, BALANCED_ONLY, CODE_TEXT)))),
    Claim("balanced-to-text-knowledge-over-code", "§3.1", "balanced→text: knowledge {} over code→text", "+21",
          change(wk(BALANCED_TEXT), wk(CODE_TEXT)), "",
          (("over balanced-only", change(wk(BALANCED_TEXT), wk(BALANCED_ONLY))),)),
    Claim("balanced-to-text-knowledge", "§3.1", "balanced→text: knowledge {} over text-only", "+4.1",
          change(wk(BALANCED_TEXT), wk(TEXT_ONLY)), "the abstract and the box have 4.2"),
    Claim("balanced-to-text-knowledge-box", "§3.1, box", "balanced→text: knowledge {} over text-only", "+4.2",
          change(wk(BALANCED_TEXT), wk(TEXT_ONLY))),
    Claim("code-to-text-knowledge-box", "§3.1, box", "code→text: knowledge as text-only's, {}", "0.0",
          points(wk(CODE_TEXT), wk(TEXT_ONLY))),
    Claim("balanced-only-best-code", "§3.1", "balanced-only has the best code", "",
          lead(code(BALANCED_ONLY), *map(code, (TEXT_ONLY, BALANCED_TEXT, CODE_TEXT)))),
    Claim("balanced-only-code-over-balanced-to-text", "§3.1", "balanced-only: code {} over balanced→text", "+46.7",
          change(code(BALANCED_ONLY), code(BALANCED_TEXT)), "",
          (("the other way, a drop", change(code(BALANCED_TEXT), code(BALANCED_ONLY))),)),
    Claim("balanced-only-code-over-code-to-text", "§3.1", "balanced-only: code {} over code→text", "+54.5",
          change(code(BALANCED_ONLY), code(CODE_TEXT)), "",
          (("the other way, a drop", change(code(CODE_TEXT), code(BALANCED_ONLY))),)),
    Claim("code-to-text-reasoning-over-balanced", "§3.1", "code→text: reasoning {} over balanced-only", "+2.9",
          change(nlr(CODE_TEXT), nlr(BALANCED_ONLY))),
    Claim("balanced-to-text-reasoning-over-balanced", "§3.1", "balanced→text: reasoning {} over balanced-only", "+2.3",
          change(nlr(BALANCED_TEXT), nlr(BALANCED_ONLY))),
    Claim("code-to-text-knowledge-over-balanced", "§3.1", "code→text: knowledge {} over balanced-only", "+17.3",
          change(wk(CODE_TEXT), wk(BALANCED_ONLY))),
    Claim("balanced-to-text-knowledge-over-balanced", "§3.1", "balanced→text: knowledge {} over balanced-only", "+22.2",
          change(wk(BALANCED_TEXT), wk(BALANCED_ONLY))),
    Claim("win-rates-of-whom", "§3.1, Fig. 9", "the win rates against text-only are code→text's and balanced-only's",
          note="Fig. 9 shows code→text and balanced→text", by_hand=False),
    Claim("code-to-text-win-loss", "§3.1, Fig. 9", "code→text: win − loss against text-only {} points", "+6.6",
          value(Of(CODE_TEXT, "net", TEXT_ONLY))),
    Claim("balanced-to-text-win-loss", "§3.1, Fig. 9", "balanced→text: win − loss against text-only {} points", "+6.6",
          value(Of(BALANCED_TEXT, "net", TEXT_ONLY)), "§3.1 calls the model balanced-only"),
    Claim("code-to-text-win-rate-box", "§3.1, box", "code→text: win rate against text-only {} %", "53.3",
          value(Of(CODE_TEXT, "half", TEXT_ONLY)), "wins and half of the ties"),
    Claim("balanced-to-text-win-rate-box", "§3.1, box", "balanced→text: win rate against text-only {} %", "53.3",
          value(Of(BALANCED_TEXT, "half", TEXT_ONLY)), "wins and half of the ties"),
    Claim("code-init-reasoning", "§3.1, Table 2", "code→text starts from the 80 / 20 of code+markup: reasoning {}",
          "0.0",
          points(nlr(CODE_INIT), nlr(MARKUP)), "Table 2 against Fig. 5a",
          (("against code+synth", points(nlr(CODE_INIT), nlr(SYNTH))),), within=True),
    Claim("code-init-code", "§3.1, Table 2", "code→text starts from the 80 / 20 of code+markup: code {}", "0.0",
          points(code(CODE_INIT), code(MARKUP)), "Table 2 against Fig. 5a",
          (("against code+synth", points(code(CODE_INIT), code(SYNTH))),), within=True),
    Claim("balanced-to-text-of-two-figures", "Fig. 2, Fig. 5b", "balanced→text is one model: reasoning {}", "0.0",
          points(nlr(BALANCED_TEXT), nlr(PLAIN_BALANCED_TEXT)), "Fig. 2 against Fig. 5b",
          (("against balanced+synth→text", points(nlr(BALANCED_TEXT), nlr(SYNTH_BALANCED_TEXT))),), within=True),
)  # fmt: skip

_SWAPPED_GAIN = "the body has the two the wrong way round, the box has them right"
_SWAPPED_DROP = "the two stand the wrong way round"
_PAIRS = ((LARGE_BALANCED_ONLY, BALANCED_ONLY), (LARGE_BALANCED_TEXT, BALANCED_TEXT), (LARGE_CODE_TEXT, CODE_TEXT))
_BALANCED_GAIN, _BALANCED_TEXT_GAIN, _CODE_TEXT_GAIN = (change(nl(large), nl(small)) for large, small in _PAIRS)
_BALANCED_TEXT_DROP = change(code(LARGE_BALANCED_TEXT), code(LARGE_BALANCED_ONLY))
_CODE_TEXT_DROP = change(code(LARGE_CODE_TEXT), code(LARGE_BALANCED_ONLY))

SCALE = (
    Claim("scale-balanced-to-text", "§3.2", "balanced→text: reasoning and knowledge {} at 2.8B", "+33.1",
          _BALANCED_TEXT_GAIN, _SWAPPED_GAIN, (("code→text", _CODE_TEXT_GAIN),)),
    Claim("scale-code-to-text", "§3.2", "code→text: reasoning and knowledge {} at 2.8B", "+31.7",
          _CODE_TEXT_GAIN, _SWAPPED_GAIN, (("balanced→text", _BALANCED_TEXT_GAIN),)),
    Claim("scale-balanced-only", "§3.2", "balanced-only: reasoning and knowledge {} at 2.8B", "+30", _BALANCED_GAIN),
    Claim("scale-balanced-to-text-box", "§3.2, box", "balanced→text: reasoning and knowledge {} at 2.8B", "+31.7",
          _BALANCED_TEXT_GAIN),
    Claim("scale-code-to-text-box", "§3.2, box", "code→text: reasoning and knowledge {} at 2.8B", "+33.1",
          _CODE_TEXT_GAIN),
    Claim("scale-reasoning-balanced-to-text", "§3.2", "balanced→text: reasoning {} at 2.8B", "+5.3",
          change(nlr(LARGE_BALANCED_TEXT), nlr(BALANCED_TEXT))),
    Claim("scale-reasoning-code-to-text", "§3.2", "code→text: reasoning {} at 2.8B", "+9.2",
          change(nlr(LARGE_CODE_TEXT), nlr(CODE_TEXT))),
    Claim("scale-reasoning-balanced-only", "§3.2", "balanced-only: reasoning {} at 2.8B", "+5.2",
          change(nlr(LARGE_BALANCED_ONLY), nlr(BALANCED_ONLY))),
    Claim("scale-knowledge", "§3.2", "balanced→text: knowledge {} at 2.8B", "2.7",
          times(wk(LARGE_BALANCED_TEXT), wk(BALANCED_TEXT))),
    Claim("scale-code", "§3.2", "balanced→text: code {} at 2.8B", "2.5",
          times(code(LARGE_BALANCED_TEXT), code(BALANCED_TEXT))),
    Claim("scale-nearly-triples", "§3.2", "knowledge and code nearly triple at 2.8B, for all models",
          note="no figure is given; of the six the least and the most", readings=(
              ("code of balanced-only", times(code(LARGE_BALANCED_ONLY), code(BALANCED_ONLY))),
              ("knowledge of balanced-only", times(wk(LARGE_BALANCED_ONLY), wk(BALANCED_ONLY))))),
    Claim("scale-up-to", "Fig. 3", "no task gains more than {} at 2.8B", "2.7",
          times(wk(LARGE_BALANCED_ONLY), wk(BALANCED_ONLY)),
          "knowledge of balanced-only gains most",
          (("balanced→text", times(wk(LARGE_BALANCED_TEXT), wk(BALANCED_TEXT))),)),
    Claim("large-code-to-text", "§3.2", "code→text at 2.8B: reasoning and knowledge {} over balanced-only", "+6.9",
          change(nl(LARGE_CODE_TEXT), nl(LARGE_BALANCED_ONLY))),
    Claim("large-balanced-to-text", "§3.2", "balanced→text at 2.8B: reasoning and knowledge {} over balanced-only",
          "+6.1",
          change(nl(LARGE_BALANCED_TEXT), nl(LARGE_BALANCED_ONLY))),
    Claim("large-code-to-text-code", "§3.2", "code→text at 2.8B: code {} against balanced-only", "-43.1",
          _CODE_TEXT_DROP, _SWAPPED_DROP, (("balanced→text", _BALANCED_TEXT_DROP),)),
    Claim("large-balanced-to-text-code", "§3.2", "balanced→text at 2.8B: code {} against balanced-only", "-46.3",
          _BALANCED_TEXT_DROP, _SWAPPED_DROP, (("code→text", _CODE_TEXT_DROP),)),
    Claim("scale-trade-off", "§3.2", "the trade of reasoning and knowledge against code grows with size",
          note="no measure of it is given: in points of code it grows, in per cent it shrinks", readings=(
              ("balanced→text's points at 470M", points(code(BALANCED_TEXT), code(BALANCED_ONLY))),
              ("at 2.8B", points(code(LARGE_BALANCED_TEXT), code(LARGE_BALANCED_ONLY))),
              ("its per cent at 470M", change(code(BALANCED_TEXT), code(BALANCED_ONLY))),
              ("at 2.8B", _BALANCED_TEXT_DROP))),
)  # fmt: skip

_NONE = SHARES[0]

PROPORTION = (
    Claim("share-25-reasoning", "§3.3, Fig. 4", "25 % code: reasoning {} over none", "+3.4",
          change(nlr(SHARES[25]), nlr(_NONE))),
    Claim("share-25-best-reasoning", "§3.3, Fig. 4", "25 % code has the best reasoning", "",
          lead(nlr(SHARES[25]), *(nlr(model) for share, model in SHARES.items() if share != 25))),
    Claim("share-25-best-box", "§3.3, box", "25 % code has the best mean of reasoning and knowledge", "",
          lead(nl(SHARES[25]), *(nl(model) for share, model in SHARES.items() if share != 25))),
    Claim("share-75-reasoning", "§3.3, Fig. 4", "75 % code: reasoning is still above none's", "",
          lead(nlr(SHARES[75]), nlr(_NONE))),
    Claim("share-100-reasoning", "§3.3, Fig. 4", "100 % code: reasoning {} against none", "-18.3",
          change(nlr(SHARES[100]), nlr(_NONE))),
    Claim("share-25-knowledge", "§3.3, Fig. 4", "25 % code: knowledge {} against none", "-3.4",
          change(wk(SHARES[25]), wk(_NONE))),
    Claim("share-75-knowledge", "§3.3, Fig. 4", "75 % code: knowledge {} against none", "-31",
          change(wk(SHARES[75]), wk(_NONE))),
    Claim("share-100-knowledge", "§3.3, Fig. 4", "100 % code: knowledge {} against none", "-86",
          change(wk(SHARES[100]), wk(_NONE))),
    Claim("share-100-knowledge-box", "§3.3, box", "100 % code: knowledge {} against none", "-86.1",
          change(wk(SHARES[100]), wk(_NONE))),
    Claim("share-100-code", "§3.3, Fig. 4", "100 % code: code {} that of 25 %", "2.6",
          times(code(SHARES[100]), code(SHARES[25]))),
)  # fmt: skip

_AGAINST_MARKUP = "the figure is the one over code+markup"

QUALITY = (
    Claim("markup-reasoning", "§3.4, Fig. 5a", "code+markup: reasoning {} over web code", "+2.8",
          change(nlr(MARKUP), nlr(CODE))),
    Claim("markup-code", "§3.4, Fig. 5a", "code+markup: code {} against web code", "-15.7",
          change(code(MARKUP), code(CODE))),
    Claim("adjacent-reasoning", "§3.4, Fig. 5a", "code+adjacent: reasoning {} over web code", "+6.3",
          change(nlr(ADJACENT), nlr(CODE))),
    Claim("adjacent-code", "§3.4, Fig. 5a", "code+adjacent: code {} against web code", "-9.4",
          change(code(ADJACENT), code(CODE))),
    Claim("synth-reasoning", "§1, §3.4, §5", "code+synth: reasoning {} over web code", "+9",
          change(nlr(SYNTH), nlr(CODE)),
          _AGAINST_MARKUP, (("over code+markup", change(nlr(SYNTH), nlr(MARKUP))),)),
    Claim("synth-code", "§3.4, §5", "code+synth: code {} over web code", "+44.9", change(code(SYNTH), code(CODE)),
          _AGAINST_MARKUP, (("over code+markup", change(code(SYNTH), code(MARKUP))),)),
    Claim("synth-code-introduction", "§1", "code+synth: code {} over web code", "+44", change(code(SYNTH), code(CODE)),
          _AGAINST_MARKUP, (("over code+markup", change(code(SYNTH), code(MARKUP))),)),
    Claim("continued-synth-reasoning", "§3.4, Fig. 5b", "balanced+synth→text: reasoning {} over balanced→text", "+2",
          change(nlr(SYNTH_BALANCED_TEXT), nlr(PLAIN_BALANCED_TEXT))),
    Claim("continued-synth-code", "§3.4, Fig. 5b", "balanced+synth→text: code {} over balanced→text", "+35",
          change(code(SYNTH_BALANCED_TEXT), code(PLAIN_BALANCED_TEXT)),
          "the introduction has 41; what 35 comes from is not known"),
    Claim("continued-synth-reasoning-introduction", "§1", "balanced+synth→text: reasoning {} over balanced→text",
          "+1.9",
          change(nlr(SYNTH_BALANCED_TEXT), nlr(PLAIN_BALANCED_TEXT))),
    Claim("continued-synth-code-introduction", "§1", "balanced+synth→text: code {} over balanced→text", "+41",
          change(code(SYNTH_BALANCED_TEXT), code(PLAIN_BALANCED_TEXT))),
)  # fmt: skip

_WITH, _WITHOUT = COOLED_BALANCED_TEXT, WITHOUT_CODE

COOLDOWN = (
    Claim("cooldown-reasoning", "§1, §3.5, §5", "cooldown with code: reasoning {} over none", "+3.6",
          change(nlr(_WITH), nlr(BALANCED_TEXT))),
    Claim("cooldown-knowledge", "§1, §3.5, §5", "cooldown with code: knowledge {} over none", "+10.1",
          change(wk(_WITH), wk(BALANCED_TEXT))),
    Claim("cooldown-code", "§1, §3.5, §5", "cooldown with code: code {} over none", "+20",
          change(code(_WITH), code(BALANCED_TEXT))),
    Claim("no-code-cooldown-reasoning", "§3.5", "cooldown without code: no gain in reasoning, {}", "0",
          change(nlr(_WITHOUT), nlr(BALANCED_TEXT))),
    Claim("no-code-cooldown-code", "§3.5", "cooldown without code: no gain in code, {}", "0",
          change(code(_WITHOUT), code(BALANCED_TEXT))),
    Claim("no-code-cooldown-knowledge", "§3.5", "cooldown without code: knowledge {} over none", "+3.1",
          change(wk(_WITHOUT), wk(BALANCED_TEXT))),
    Claim("no-code-cooldown-knowledge-box", "§3.5, box", "cooldown without code: knowledge {} over none", "+3.6",
          change(wk(_WITHOUT), wk(BALANCED_TEXT))),
    Claim("no-code-cooldown-knowledge-twice", "§3.5", "body and box give one figure for it",
          note="3.1 and 3.6: the digits allow either, not both", by_hand=False),
    Claim("caption-reasoning", "Fig. 6", "cooldown without code: reasoning improves", "",
          lead(nlr(_WITHOUT), nlr(BALANCED_TEXT)),
          "the caption has both cooldowns improve everything; §3.5 says that this one does not"),
    Claim("caption-code", "Fig. 6", "cooldown without code: code improves", "",
          lead(code(_WITHOUT), code(BALANCED_TEXT)),
          "§3.5 says that it does not"),
    Claim("cooldown-reasoning-over-no-code", "§1", "cooldown with code: reasoning {} over one without", "+3.7",
          change(nlr(_WITH), nlr(_WITHOUT))),
    Claim("cooldown-knowledge-over-no-code", "§1", "cooldown with code: knowledge {} over one without", "+6.8",
          change(wk(_WITH), wk(_WITHOUT))),
    Claim("cooldown-code-over-no-code", "§1", "cooldown with code: code {} over one without", "+20",
          change(code(_WITH), code(_WITHOUT))),
    Claim("no-code-cooldown-wins", "§3.5, Fig. 7", "cooldown without code: wins {} % against none", "48.2",
          value(Of(_WITHOUT, "win", BALANCED_TEXT))),
    Claim("cooldown-wins", "§1, §3.5, Fig. 7", "cooldown with code: wins {} % against none", "52.3",
          value(Of(_WITH, "win", BALANCED_TEXT))),
    Claim("cooldown-wins-over-no-code", "§1, §3.5", "cooldown with code: wins against none {} over one without", "+4.1",
          points(Of(_WITH, "win", BALANCED_TEXT), Of(_WITHOUT, "win", BALANCED_TEXT))),
)  # fmt: skip

RECIPES = (
    Claim("recipe-best-nl", "§3.6, Table 2", "balanced→text, cooled down: best mean of reasoning and knowledge", "",
          lead(nl(_WITH), *map(nl, (COOLED_TEXT_ONLY, COOLED_BALANCED_ONLY, COOLED_CODE_TEXT)))),
    Claim("recipe-everywhere-knowledge", "§3.6", "code in all phases improves all tasks: knowledge", "",
          lead(wk(_WITH), wk(COOLED_TEXT_ONLY)),
          "balanced→text against text-only, each after a cooldown with 20 % code"),
    Claim("recipe-wins", "§3.6, Fig. 8", "balanced→text, cooled down: wins {} % against text-only", "37.7",
          value(Of(_WITH, "win", COOLED_TEXT_ONLY))),
    Claim("recipe-losses", "§3.6", "balanced→text, cooled down: loses {} % against text-only", "33.7",
          value(Of(_WITH, "loss", COOLED_TEXT_ONLY)), "",
          (("what code→text loses", value(Of(COOLED_CODE_TEXT, "loss", COOLED_TEXT_ONLY))),)),
    Claim("recipe-losses-box", "§3.6, box", "balanced→text, cooled down: loses {} % against text-only", "34.7",
          value(Of(_WITH, "loss", COOLED_TEXT_ONLY))),
    Claim("recipe-best-code", "§3.6, Table 2", "balanced-only, cooled down: best code", "",
          lead(code(COOLED_BALANCED_ONLY), *map(code, (COOLED_TEXT_ONLY, COOLED_BALANCED_TEXT, COOLED_CODE_TEXT)))),
    Claim("recipe-code-over-code-to-text", "§3.6", "balanced-only, cooled down: code {} over code→text", "+20",
          change(code(COOLED_BALANCED_ONLY), code(COOLED_CODE_TEXT)), "",
          (("before its cooldown, the other after it", change(code(BALANCED_ONLY), code(COOLED_CODE_TEXT))),)),
    Claim("recipe-code-over-balanced-to-text", "§3.6", "balanced-only, cooled down: code {} over balanced→text", "+55",
          change(code(COOLED_BALANCED_ONLY), code(COOLED_BALANCED_TEXT)), "",
          (("before its cooldown, the other after it", change(code(BALANCED_ONLY), code(COOLED_BALANCED_TEXT))),)),
    Claim("recipe-code-over-balanced-to-text-box", "§3.6, box",
          "balanced-only, cooled down: code {} that of balanced→text", "1.4",
          times(code(COOLED_BALANCED_ONLY), code(COOLED_BALANCED_TEXT))),
    Claim("recipe-nl-of-balanced-only", "§3.6",
          "balanced-only, cooled down: reasoning and knowledge {} against balanced→text", "-2.5",
          change(nl(COOLED_BALANCED_ONLY), nl(COOLED_BALANCED_TEXT))),
    Claim("recipe-wins-of-balanced-only", "§3.6, Fig. 8",
          "balanced-only, cooled down: wins over text-only {} against balanced→text", "-5.0",
          points(Of(COOLED_BALANCED_ONLY, "win", COOLED_TEXT_ONLY), Of(_WITH, "win", COOLED_TEXT_ONLY))),
)  # fmt: skip

AVERAGES = tuple(
    Claim(f"table-2-{measure}-{one.model.name}-{one.model.point.replace(' ', '-')}", "Table 2",
          f"{one.model.name}, {one.model.point}: mean of {of} {{}}", one.printed, value(Of(one.model, measure)))
    for one in RESULTS
    for measure, of in (("nl", "reasoning and knowledge"), ("total", "reasoning, knowledge and code"))
    if one.measure == f"{measure}-printed"
)  # fmt: skip

CLAIMS = (*HEADLINE, *METHOD, *INITIALISATION, *SCALE, *PROPORTION, *QUALITY, *COOLDOWN, *RECIPES, *AVERAGES)
