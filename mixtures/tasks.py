"""The same data as seqio Tasks and Mixtures, for any seqio trainer. Importing this module loads no TensorFlow.

A document Task yields a source's documents through the preprocessors that preparation uses. A window Task yields
the store's fixed windows, so that a seqio Mixture's example rates are token fractions in expectation; exactness is
claimed for `mixtures.loader` alone. Of examples there is no window Task: a window of them is nothing without its
weights, for which a Mixture with other sources has no place.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from mixtures.documents import parquet
from mixtures.documents.clean import clean
from mixtures.documents.parquet import TRAINING, read_roles
from mixtures.mixture import Mixture, shares
from mixtures.tokens import tokenizer as bpe
from mixtures.tokens.arrays import TokenStore, windows_in
from mixtures.tokens.manifest import Manifest
from store.errors import UserError


def vocabulary(tokenizer_json: Path, eod: int) -> Any:
    """A seqio.Vocabulary over the study's tokenizer (seqio 0.0.20 has none for `tokenizers`)."""
    import seqio
    import tensorflow as tf

    tokenizer = bpe.load(tokenizer_json)

    class BytePairVocabulary(seqio.Vocabulary):  # type: ignore[misc]
        digest = bpe.digest(tokenizer_json)

        @property
        def _base_vocab_size(self) -> int:
            return bpe.size(tokenizer)

        @property
        def eos_id(self) -> int:
            return eod

        @property
        def unk_id(self) -> None:
            return None

        def _encode(self, s: str) -> list[int]:
            return tokenizer.encode(s, add_special_tokens=False).ids

        def _decode(self, ids: Iterable[int]) -> str:
            return tokenizer.decode(list(ids), skip_special_tokens=False)

        def _encode_tf(self, s: Any) -> Any:
            ids = tf.py_function(lambda t: np.asarray(self._encode(t.numpy().decode()), np.int32), [s], tf.int32)
            ids.set_shape([None])
            return ids

        def _decode_tf(self, ids: Any) -> Any:
            return tf.py_function(lambda t: self._decode(t.numpy().tolist()), [ids], tf.string)

        def __eq__(self, other: object) -> bool:
            return getattr(other, "digest", None) == self.digest

        __hash__ = None  # type: ignore[assignment]

    return BytePairVocabulary()


def register(manifest: Manifest, mixtures: Iterable[Mixture], sequence: int) -> None:
    """Register `<source>` (documents), `<source>.windows` and every mixture over the windows.

    Raises:
        UserError: a mixture has a source of examples.
    """
    mixtures = list(mixtures)
    examples = {name for name, source in manifest.sources.items() if source.packed}
    if found := [(mix.name, min(its)) for mix in mixtures if (its := examples & shares(mix).keys())]:
        raise UserError(
            "mixture '{}' has source '{}', which is of examples, and seqio's windows carry no weights; feed it with "
            "mixtures.loader".format(*found[0])
        )

    import seqio

    vocab = vocabulary(manifest.tokenizer, manifest.eod)
    features = {"targets": seqio.Feature(vocab, add_eos=False)}
    for name in manifest.sources:
        _add(name, partial(_documents, manifest, name, vocab), features)
        if name in examples:
            continue
        count = windows_in(manifest.sources[name].shard_tokens, sequence)
        _add(f"{name}.windows", partial(_windows, manifest, name, sequence, count), features, sequence, count)
    for mix in mixtures:
        rates = [(f"{source}.windows", float(share)) for source, share in shares(mix).items()]
        seqio.MixtureRegistry.add(mix.name, rates)


def _add(
    name: str,
    examples: Callable[[], Iterator[Any]],
    features: Mapping[str, Any],
    length: int | None = None,
    count: int | None = None,
) -> None:
    """Register a Task of the ids that `examples` gives, `length` in each of `count`, where that is known."""
    import seqio
    import tensorflow as tf

    def dataset(split: str, shuffle_files: bool, seed: int | None = None) -> Any:
        spec = {"targets": tf.TensorSpec([length], tf.int32)}
        return tf.data.Dataset.from_generator(lambda: ({"targets": ids} for ids in examples()), output_signature=spec)

    counts = {"train": count} if count is not None else None
    source = seqio.FunctionDataSource(dataset, splits=["train"], num_input_examples=counts)
    seqio.TaskRegistry.add(name, source=source, preprocessors=[], output_features=features)


def _documents(manifest: Manifest, name: str, vocab: Any) -> Iterator[list[int]]:
    for path, roles in zip(manifest.documents(name), manifest.roles(name), strict=True):
        for document in compress(parquet.read_documents(path), read_roles(roles) == TRAINING):
            text, prompt = document.text, document.prompt  # which is 0 of what is no example
            parts = [text[:prompt], text[prompt:]] if prompt else [clean(text)]
            yield [*(id for part in parts for id in vocab.encode(part)), vocab.eos_id]


def _windows(manifest: Manifest, name: str, sequence: int, count: int) -> Iterator[Any]:
    store = TokenStore(manifest.tokens, {name: manifest.sources[name].shard_tokens})
    for window in range(count):
        yield store.read([(name, window)], sequence)[0, :sequence]
