"""The same data as seqio Tasks and Mixtures, for any seqio trainer. Importing this module loads no TensorFlow.

A document Task yields a source's documents through the preprocessors that preparation uses. A window Task yields
the store's fixed windows, so that a seqio Mixture's example rates are token fractions in expectation; exactness is
claimed for `mixtures.loader` alone.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mixtures.documents.clean import clean
from mixtures.documents.roles import training_documents
from mixtures.mixture import Mixture, shares
from mixtures.tokens import tokenizer as bpe
from mixtures.tokens.arrays import TokenStore, windows_in
from mixtures.tokens.manifest import Manifest


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
    """Register `<source>` (documents), `<source>.windows` and every mixture over the windows."""
    import seqio

    vocab = vocabulary(manifest.tokenizer, manifest.eod)
    feature = {"targets": seqio.Feature(vocab, add_eos=False)}
    for name in manifest.sources:
        _register_documents(manifest, name, vocab, feature)
        _register_windows(manifest, name, sequence, feature)
    for mix in mixtures:
        rates = [(f"{source}.windows", float(share)) for source, share in shares(mix).items()]
        seqio.MixtureRegistry.add(mix.name, rates)


def _register_documents(manifest: Manifest, name: str, vocab: Any, feature: Mapping[str, Any]) -> None:
    import seqio
    import tensorflow as tf

    shards = tuple(zip(manifest.documents(name), manifest.roles(name), strict=True))

    def dataset(split: str, shuffle_files: bool, seed: int | None = None) -> Any:
        def texts() -> Iterator[dict[str, str]]:
            return ({"text": document.text} for shard in shards for document in training_documents(*shard))

        return tf.data.Dataset.from_generator(texts, output_signature={"text": tf.TensorSpec([], tf.string)})

    def tokenise(data: Any) -> Any:
        def one(example: Mapping[str, Any]) -> dict[str, Any]:
            text = tf.py_function(lambda t: clean(t.numpy().decode()), [example["text"]], tf.string)
            return {"targets": tf.concat([vocab.encode_tf(text), [vocab.eos_id]], axis=0)}

        return data.map(one)

    seqio.TaskRegistry.add(
        name,
        source=seqio.FunctionDataSource(dataset, splits=["train"]),
        preprocessors=[tokenise],
        output_features=feature,
    )


def _register_windows(manifest: Manifest, name: str, sequence: int, feature: Mapping[str, Any]) -> None:
    import seqio
    import tensorflow as tf

    shard_tokens = manifest.sources[name].shard_tokens
    count = windows_in(shard_tokens, sequence)

    def dataset(split: str, shuffle_files: bool, seed: int | None = None) -> Any:
        store = TokenStore(manifest.tokens, {name: shard_tokens})

        def windows() -> Iterator[dict[str, Any]]:
            return ({"targets": store.read([(name, w)], sequence)[0, :sequence]} for w in range(count))

        spec = {"targets": tf.TensorSpec([sequence], tf.int32)}
        return tf.data.Dataset.from_generator(windows, output_signature=spec)

    seqio.TaskRegistry.add(
        f"{name}.windows",
        source=seqio.FunctionDataSource(dataset, splits=["train"], num_input_examples={"train": count}),
        preprocessors=[],
        output_features=feature,
    )
