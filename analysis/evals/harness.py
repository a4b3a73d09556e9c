"""A checkpoint as lm-evaluation-harness wants it, so that any task of its own runs on it: needs the extra `harness`.

    lm_eval.simple_evaluate(model=AblateLM(opened(folder)), tasks=["hellaswag"])

Values are those of the harness's `hf` backend on the exported folder with `add_bos_token=True`: a context begins with
`<eod>`, as every document of training did. (Of whole texts, with `add_bos_token=False`: with True the backend puts a
second one behind the first and scores it.)
"""

import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.models.utils import normalize_gen_kwargs
from tqdm import tqdm

from analysis.evals.engine import Ask, generate, likelihoods, too_long
from analysis.evals.model import LanguageModel
from store.errors import UserError

_MAX_TOKENS = 256
"""Generated for a task that does not say; the harness's default."""
_KNOWN = ("until", "max_gen_toks", "do_sample", "temperature", "top_p")


class AblateLM(LM):
    """Our engine behind the harness's protocol; `cut` are the requests whose context lost its beginning."""

    def __init__(self, model: LanguageModel, seed: int = 0) -> None:
        super().__init__()
        self.model, self.seed = model, seed
        self.cut: list[Instance] = []

    @property
    def tokenizer_name(self) -> str:
        return f"{self.model.config.name}-{self.model.tokenizer.get_vocab_size()}"

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        def answers() -> Iterator[tuple[int, tuple[float, bool]]]:
            for index, one in likelihoods(self.model, [request.args for request in requests]):
                self.cut += [requests[index]] if one.cut else []
                yield index, (-one.nats, one.greedy)

        return self._in_order("loglikelihood", requests, answers(), disable_tqdm)

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        found = likelihoods(self.model, [("", request.args[0]) for request in requests])
        answers = ((index, -one.nats) for index, one in found)
        return self._in_order("loglikelihood_rolling", requests, answers, disable_tqdm)

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """The harness repeats a request that it wants several draws of; each has a seed of its own."""
        repeats: Counter[str] = Counter()
        asks = []
        for request in requests:
            prompt, wanted = request.args
            asks.append(ask_of(prompt, wanted, f"{self.seed}:{repeats[prompt]}:{prompt}"))
            repeats[prompt] += 1
        long = too_long(self.model, asks)
        self.cut += [request for request, lost in zip(requests, long, strict=True) if lost]
        return self._in_order("generate_until", requests, generate(self.model, asks), disable_tqdm)

    def _in_order(
        self, kind: str, requests: list[Instance], answers: Iterable[tuple[int, Any]], disable_tqdm: bool
    ) -> list[Any]:
        """Answers in the order of the requests; the harness's cache gets each as it comes."""
        ordered: list[Any] = [None] * len(requests)
        for index, answer in tqdm(answers, desc=kind, total=len(requests), disable=disable_tqdm):
            ordered[index] = answer
            self.cache_hook.add_partial(kind, requests[index].args, answer)
        return ordered


def ask_of(prompt: str, wanted: dict[str, Any], seed: str) -> Ask:
    """A request of the harness to generate, as the engine takes it.

    Raises:
        UserError: it is to be done in a way that the engine has not.
    """
    options = normalize_gen_kwargs(wanted, _MAX_TOKENS)
    if unknown := sorted(options.keys() - set(_KNOWN)):
        raise UserError(f"a task generates with '{unknown[0]}', which is unknown here; known are {', '.join(_KNOWN)}")
    temperature = float(options.get("temperature", 0.0)) if options["do_sample"] else 0.0
    stops, top_p = tuple(options["until"]), float(options.get("top_p", 1.0))
    return Ask(prompt, stops, options["max_gen_toks"], temperature, top_p, zlib.crc32(seed.encode()))
