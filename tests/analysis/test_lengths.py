"""Long contexts: windows of any length, places in them, and keys that a context hides."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from analysis import metrics
from analysis.evals import lengths, long_context
from analysis.evals.engine import Likelihood, likelihoods
from analysis.evals.tasks import parse_task
from analysis.records import EvalRecord
from analysis.task_scores import scores_of
from mixtures.documents.document import Document
from store.errors import UserError
from tests.analysis import language

WORDS = "question about birds, an answer, a naïve café "
LONG = [Document(f"long/{n}", f"g{n % 3}", f"document {n}: " + WORDS * 40) for n in range(6)]
SHORT = [Document(f"short/{n}", f"s{n % 4}", f"note {n}: " + WORDS * 3) for n in range(60)]


def test_long_documents_come_first_and_short_ones_are_joined_within_their_group():
    task = lengths.reading("longcontext/text:128", {"src": [*SHORT, *LONG]}, 10 * 4 * 128)
    assert len(task.passages) == 10
    assert [len(each.texts) for each in task.passages[:6]] == [1] * 6
    by_text = {d.text: d for d in SHORT}
    joined = [[by_text[text] for text in each.texts] for each in task.passages[6:]]
    assert all(sum(len(d.text.encode()) for d in its) >= lengths.BYTES * 128 for its in joined)
    groups = [d.group for its in joined for d in its]
    assert sum(a != b for a, b in pairwise(groups)) < 4
    shuffled = lengths.reading("longcontext/text:128", {"src": [*LONG[::-1], *SHORT[::-1]]}, 10 * 4 * 128)
    assert shuffled == task and shuffled.prompt_hash == task.prompt_hash
    assert lengths.reading("longcontext/text:128", {"src": SHORT[:1]}, 9_999).passages == ()


def test_places_cover_a_window_of_any_length():
    assert [lengths.place(ends) for ends in lengths.places(300)] == ["0-63", "64-127", "128-255", "256-299"]
    assert lengths.lengths(128) == [128] and lengths.lengths(512) == [128, 256, 512]
    assert lengths.lengths(300) == [128, 256, 300]


def test_places_sum_to_what_the_engine_says_of_the_text():
    """In a window four times the model's own, with nothing but the text's own tokens and bytes."""
    model = language.model()
    text = "bird " * 30 + "an answer about a café"
    passage = lengths.Passage("src/a", "g", (text,))
    items = long_context.score(model, lengths.LongTask("longcontext/text:192", 192, (passage,)))
    whole = dict(likelihoods(replace(model, window=192), [("", text)]))[0]
    assert len(model.encoded([text])[0]) < 192
    assert sum(item["nats"] for item in items) == pytest.approx(whole.nats, abs=1e-3)
    assert sum(item["bytes"] for item in items) == len(text.encode())
    assert [item["source"] for item in items] == ["0-63", "64-127"][: len(items)]


def test_the_tokens_that_close_joined_documents_do_not_count():
    model = language.model()
    passage = lengths.Passage("src/a", "g", ("a bird", "an answer", "a question"))
    (item,) = long_context.score(model, lengths.LongTask("longcontext/text:128", 128, (passage,)))
    assert item["bytes"] == len("a birdan answera question")
    ids = [model.eod, *language.encode("a bird"), model.eod, *language.encode("an answer"), model.eod]
    ids += language.encode("a question")
    logs = language.log_probabilities(ids[:-1])
    counted = [at for at in range(1, len(ids)) if ids[at] != model.eod]
    assert item["nats"] == pytest.approx(-sum(logs[at - 1, ids[at]] for at in counted), abs=1e-3)


def test_places_are_metrics_of_their_own():
    model = language.model()
    task = lengths.reading("longcontext/text:128", {"src": LONG}, 3 * 4 * 128)
    items = long_context.score(model, task)
    assert {item["cluster"] for item in items} <= {"g0", "g1", "g2"}
    found = scores_of(EvalRecord(task.name, 1, "h", "f", 1, tuple(items)), "here")
    values = {m.name: metrics.value(m, found) for m in metrics.metrics_for(found)}
    assert list(values) == [f"longcontext/text:128{part}/bpb" for part in ("", "/0-63", "/64-127")]
    assert set(found) == {task.name, *lengths.parts(task.name)}
    late = [item for item in items if item["source"] == "64-127"]
    bits = sum(item["nats"] for item in late) / np.log(2) / sum(item["bytes"] for item in late)
    assert values["longcontext/text:128/64-127/bpb"] == pytest.approx(bits)
    labels = [m.label for m in metrics.metrics_for(found)]
    assert labels[1] == "Held-out text in windows of 128 (tokens 0-63), bits/byte"


def test_a_key_is_where_it_should_be_and_its_context_has_the_length():
    model = language.model()
    for key in lengths.retrieval("key_retrieval:256", 99).keys:
        context = long_context._context(replace(model, window=256), key)
        tokens = len(language.encode(f"{context} {key.keys[key.gold]}"))
        assert key.length - 80 < tokens < key.length  # the tokens of a sentence of so small a vocabulary
        assert [text in context for text in key.keys] == [n == key.gold for n in range(8)]
        at, room = context.index("The key is"), len(context.removesuffix(lengths.QUESTION))
        before, after = at, room - at - len(lengths.sentence("12345"))
        if key.depth in (0, 1):
            assert (before if key.depth == 0 else after) == 0


def test_keys_are_found_by_likelihood_and_in_words(monkeypatch):
    model = language.model()
    task = lengths.retrieval("key_retrieval:128", 99)
    contexts = [long_context._context(replace(model, window=128), key) for key in task.keys]
    gold = {context: key.keys[key.gold] for context, key in zip(contexts, task.keys, strict=True)}

    def likely(model, pairs):
        for n, (context, choice) in enumerate(pairs):
            yield n, Likelihood(1.0 if choice.strip() == gold[context] else 2.0, False)

    def said(model, asks):
        return ((n, f" {gold[ask.prompt]}" if n % 2 else " 123456") for n, ask in enumerate(asks))

    items = long_context.score(model, task)
    assert len(items) == len(lengths.DEPTHS) * lengths.EACH and "cut" not in str(items)
    monkeypatch.setattr(long_context, "likelihoods", likely)
    monkeypatch.setattr(long_context, "generate", said)
    items = long_context.score(model, task)
    found = scores_of(EvalRecord(task.name, 1, "h", "f", 1, tuple(items)), "here")
    by_name = {m.name: m for m in metrics.metrics_for(found)}
    values = {name: metrics.value(metric, found) for name, metric in by_name.items()}
    assert (values["key_retrieval:128/acc"], values["key_retrieval:128/exact_match"]) == (1.0, 0.5)
    assert by_name["key_retrieval:128/acc"].chance == pytest.approx(1 / 8)
    assert [item["depth"] for item in items] == [depth for depth in lengths.DEPTHS for _ in range(lengths.EACH)]


def test_as_many_keys_are_asked_as_the_evaluation_has_items():
    sizes = {items: len(lengths.retrieval("key_retrieval:256", items).keys) for items in (0, 10, 29, 30, 1_000)}
    assert sizes == {0: 10, 10: 10, 29: 20, 30: 30, 1_000: 10 * lengths.EACH}
    fewer, more = (lengths.retrieval("key_retrieval:256", items).keys for items in (10, 30))
    assert set(fewer) < set(more), "equal ids are equal keys"


def test_names_of_long_contexts():
    assert parse_task("longcontext/code:1024").name == "longcontext/code:1024"
    assert parse_task("key_retrieval:2048").name == "key_retrieval:2048"
    wrong = ("longcontext/code", "key_retrieval", "key_retrieval:64", "longcontext/code:4x", "key_retrieval:512@2shot")
    for name in wrong:
        with pytest.raises(UserError, match="write the tokens of the window"):
            parse_task(name)
