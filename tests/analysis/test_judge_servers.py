"""A judge's secrets, its price, its silence and its nonsense: what may go wrong with a server, on loopback."""

import base64
import dataclasses
import math
import re
from pathlib import Path
from typing import Any

import pytest

from analysis.evals.preference import client
from analysis.evals.preference.endpoint import Endpoint
from analysis.evals.preference.purse import Purse
from analysis.evals.preference.verdicts import Pair, bill, cost, judge
from store.errors import Failure, UserError
from tests.analysis.judge_server import serving
from tests.analysis.test_judge import PAIRS, cache, one, quick

__all__ = ["cache", "quick"]  # fixtures


@pytest.mark.parametrize(
    "usage", [None, {}, {"prompt_tokens": -(10**6), "completion_tokens": -5}, "free", {"prompt_tokens": "9"}]
)
def test_what_was_sent_counts_where_the_server_does_not_count_it(cache: Path, usage: Any) -> None:
    pairs = [one("mumble"), *PAIRS]
    with serving() as server:
        server.usage = usage
        endpoint = server.endpoint(dollars_per_million=(1.0, 10.0), parameters={"max_tokens": 100}, concurrency=1)
        first = cost(pairs, endpoint, cache)
        with pytest.raises(UserError, match=r"2 requests .* may cost .* over the cap"):  # repairs, on top of 6 requests
            judge(pairs, endpoint, cache, first.dollars)
        assert len(server.seen) == 6
        paid = bill(pairs, endpoint, cache)
    assert (paid.tokens_in, paid.tokens_out) == (first.tokens_in, 600)
    assert paid.dollars == pytest.approx(first.dollars)


@pytest.mark.parametrize("trouble", ["hang", "html", "drop", "no choices"])
def test_a_request_without_an_answer_may_have_to_be_paid(cache: Path, trouble: str) -> None:
    with serving([trouble]) as server:
        endpoint = server.endpoint(
            dollars_per_million=(0.0, 10.0), parameters={"max_tokens": 100}, concurrency=1, timeout_seconds=0.5
        )
        with pytest.raises(Failure, match=r"has cost 0\.004 dollars, over the cap of 0\.004 .*raise the cap"):
            judge(PAIRS, endpoint, cache, 0.004)
        assert len(server.seen) == 4
    with serving(["500"] * 3) as server:  # who says no wants no money
        judge(PAIRS, dataclasses.replace(endpoint, base_url=server.endpoint().base_url), cache, 0.004)


def test_a_purse_is_one_for_all_calls(cache: Path) -> None:
    purse = Purse(0.005)
    with serving() as server:
        endpoint = server.endpoint(dollars_per_million=(0.0, 10.0), parameters={"max_tokens": 100})
        judge(PAIRS, endpoint, cache, purse)
        with pytest.raises(UserError, match=r"2 requests .* \(spent: 0\.004\), over the cap of 0\.005"):
            judge([one("another")], endpoint, cache, purse)


@pytest.mark.parametrize("cap", [math.nan, math.inf, -1.0])
def test_a_cap_or_a_price_that_is_none_is_refused(cache: Path, cap: float) -> None:
    with serving() as server:
        with pytest.raises(UserError, match=r"a cap of .* dollars is none"):
            judge(PAIRS, server.endpoint(dollars_per_million=(1.0, 1.0)), cache, cap)
        with pytest.raises(UserError, match=r"a price of .* dollars is none"):
            server.endpoint(dollars_per_million=(1.0, cap))
        with pytest.raises(UserError, match="requests_per_minute is"):
            server.endpoint(requests_per_minute=cap)
        assert not server.seen


@pytest.mark.parametrize(
    ("ending", "usage", "reason"),
    [
        ("\ud800", {}, "half a character"),
        ("\nPreferred: Answer (A)", {"prompt_tokens": 1e30}, "counts 1e.30 tokens"),
        ("", {"prompt_tokens": 5, "completion_tokens": 10**40}, "counts 1000"),
        ("", {"completion_tokens": math.nan}, "counts nan"),
    ],
)
def test_a_damaged_reply_is_a_gap_with_its_reason(cache: Path, ending: str, usage: Any, reason: str) -> None:
    with serving() as server:
        endpoint = server.endpoint(concurrency=1)
        judge(PAIRS[:1], endpoint, cache, None)
        server.ending, server.usage = ending, usage
        found = judge(PAIRS, endpoint, cache, None)
        assert [j.outcome for j in found] == ["win", "gap"]
        assert re.search(f"a damaged reply: .*{reason}", found[1].note)
        with pytest.raises(Failure, match="gave no reply to any of 2 requests"):
            judge(PAIRS[1:], endpoint, cache, None)


SILENT = [Pair(str(n), str(n), "the longer answer", "short") for n in range(20)]


@pytest.mark.parametrize("trouble", ["hang", "drip"])
def test_silence_ends_after_one_time_out_and_shows_that_it_goes_on(
    cache: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    monkeypatch.setattr(client, "TICK_SECONDS", 0.05)
    shown: list[tuple[int, int]] = []
    with serving(always=trouble) as server:
        endpoint = server.endpoint(timeout_seconds=0.6, concurrency=8)
        with pytest.raises(Failure, match=r"is down \(no answer in 0\.6 s\)"):
            judge(SILENT, endpoint, cache, None, progress=lambda *of: shown.append(of))
        assert len(server.seen) <= 10
        server.always = ""
        lone = server.endpoint(timeout_seconds=0.6, concurrency=1)
    assert len(shown) >= 5 and (0, 40) in shown
    with serving(["", "", "", *[trouble] * 20]) as server:  # one that spoke before is asked each thing once more
        endpoint = dataclasses.replace(lone, base_url=server.endpoint().base_url)
        with pytest.raises(Failure, match="is down"):
            judge(SILENT, endpoint, cache, None)
        assert len(server.seen) <= 3 + client.OUTAGE * client.SILENCES + 1


def test_a_plain_header_hides_no_word_of_a_verdict() -> None:
    headers = {"X-Title": "Answer tool", "Authorization": "Token topsecret", "X-Team": "group s3cr3t"}
    server = Endpoint("http://127.0.0.1:1/v1", "m", {"extra_headers": headers})
    assert server.redacted("Preferred: Answer (A)") == "Preferred: Answer (A)"
    assert server.redacted("no topsecret, no s3cr3t, no Answer tool") == "no ***, no ***, no ***"


def test_secrets_are_sent_and_nowhere_else(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in the cache, nor in what the endpoint looks like, nor in an error that tells all that was sent."""
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-others")
    monkeypatch.setenv("JUDGE_API_KEY", "env-secret-1")
    secrets = [
        "user-secret-2",
        "pass%2Fsecret-3",
        "query%2Fsecret%2B4",
        "header-secret-5",
        "body-secret-6",
        'deep-"secret-7',
    ]
    parameters = {
        "max_tokens": 9,
        "extra_headers": {"X-Api-Key": secrets[3]},
        "api_key": secrets[4],
        "extra_body": {"top_k": 3, "nested": [{"accessToken": secrets[5], "max_tokens": 4}]},
    }
    with serving(["blab"] * 2) as server:
        url = f"http://{secrets[0]}:{secrets[1]}@127.0.0.1:{server.port}/v1?api={secrets[2]}"
        endpoint = Endpoint(url, "judge-1", parameters, concurrency=1)
        judge([one("echo")], endpoint, cache, None)
        server.always = "blab"
        with pytest.raises(Failure, match="is down") as down:
            judge(PAIRS, endpoint, cache, None)
        keyed = dataclasses.replace(endpoint, base_url=f"http://127.0.0.1:{server.port}/v1")
        with pytest.raises(Failure, match="is down") as keyed_down:
            judge(PAIRS, keyed, cache, None)
    basic = base64.b64encode(b"user-secret-2:pass/secret-3").decode()
    sent = "".join(server.sent)
    assert "org-of-others" not in sent
    for secret in ["env-secret-1", *secrets[2:5], "secret-7", basic]:
        assert secret in sent
    written = b"".join(path.read_bytes() for path in cache.parent.iterdir())
    seen = f"{written!r} {down.value} {keyed_down.value} {endpoint!r} {endpoint.public} {endpoint.address}"
    assert "top_k" in seen and '"max_tokens": 4' in seen.replace("\\", "")
    for secret in ["env-secret-1", *secrets, "pass/secret-3", "query/secret", "secret+4", "secret-7", basic]:
        assert secret not in seen, secret


def test_endpoints_that_cannot_work_are_refused() -> None:
    with pytest.raises(UserError, match=r"'localhost:8000' is no http address; write it as https://host/v1"):
        Endpoint("localhost:8000", "m")
    with pytest.raises(UserError, match="concurrency is 0"):
        Endpoint("http://localhost:8000/v1", "m", concurrency=0)


@pytest.mark.parametrize(
    "url",
    [
        *("http://[::1/v1", "http://host:99999/v1", "http://host:port/v1", "http://host:-1/v1", "http://:80/v1"),
        *(
            "http://ho st/v1",
            "http://h\nost/v1",
            "ftp://host/v1",
            "http://",
            "",
            "http://h\u00f6st/v1",
            "http://h:0/v1",
        ),
        *("http://me:pass-word@[::1/v1", "http://me:pass-word@h:99999/v1?k=pass-word", "me:pass-word@host/v1"),
        *("http://me:pass-/word@host:x/v1", "http://host:99999/v1#pass-word"),
    ],
)
def test_an_address_that_is_none_is_one_line_without_what_is_secret_in_it(url: str) -> None:
    with pytest.raises(UserError, match=r"^judge URL '.*' is no http address; write it as https://host/v1$") as raised:
        Endpoint(url, "m")
    assert "pass-" not in str(raised.value) and "word" not in str(raised.value)


def test_a_key_that_no_header_can_hold_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_API_KEY", " a-key\n")
    assert Endpoint("http://host/v1", "m").key == "a-key"
    monkeypatch.setenv("JUDGE_API_KEY", "a-key\nand-more")
    with pytest.raises(UserError, match=r"the key in JUDGE_API_KEY holds what a header cannot; set it anew$"):
        Endpoint("http://host/v1", "m")


def test_addresses_that_can_be_asked_are_taken() -> None:
    for url, address in (
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
        ("https://me:pw@Host.example/v1/?a=b#c", "https://host.example/v1/"),
    ):
        assert Endpoint(url, "m").address == address


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        *(
            ({"max_tokens": value}, "'max_tokens' is .*; it must be a whole number")
            for value in (0, -5, "9", 1e30, True)
        ),
        *(({name: 2}, f"'{name}' is not yours to set") for name in ("n", "model", "messages", "stream")),
        ({"extra_body": {"model": "dearer"}}, "'model' is not yours to set"),
        ({"extra_headers": "x"}, "'extra_headers' is no object of texts"),
        ({"extra_headers": {"a": 5}}, "'extra_headers' is no object of texts"),
        ({"extra_headers": {"a": "b\nc"}}, "'extra_headers' is no object of texts"),
        ({"temperature": math.nan}, "hold what JSON cannot"),
        ({"stop": "\ud800"}, "hold what JSON cannot"),
    ],
)
def test_parameters_that_cannot_work_are_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Endpoint("http://localhost:8000/v1", "m", parameters)
