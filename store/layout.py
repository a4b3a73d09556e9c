"""Where things lie in a store: the names of its folders and files.

A shard is a part of a source that is worked on alone: a name that its reader knows, one file of documents, one folder
of tokens.

downloads/    what was fetched, each file checked by its hash
downloads/digests/<hash>.json    of files of the user's, as they were last seen
references-<hash>.json    which reference solutions run here
benchmarks/<name>.jsonl    rows of a benchmark that a user put there or had fetched
benchmarks/<hash>.npz    what is looked for of some benchmarks
sources/<source>-<hash>/<shard>.parquet    clean documents, shared by all studies that read the source
sources/<source>-<hash>/identity.json    what they were read from, and shards.json the shards: their names, and
    of the hub which files are in each
sources/<source>-<hash>/contaminated-<hash>/<shard>.json    benchmark items in them, by benchmarks and rule
prepared/<hash>/    the data of a study, see `Prepared`
jobs/<hash>.jobs    what workers of Beam are to do, while they do
fresh/<hash>/<form>.parquet    documents that appeared after what is trained on
stages/<id>-<fingerprint>/stage.json    what was asked
stages/<id>-<fingerprint>/ledger.jsonl    a line a step: what was read and how the loss went; in a bucket, its pieces
stages/<id>-<fingerprint>/done.json    how it ended; exists only at the exact target step
stages/<id>-<fingerprint>/failed.json    why training or scoring it stopped and how often, until that goes well
stages/<id>-<fingerprint>/lock    the lease of whoever trains or scores it
stages/<id>-<fingerprint>/checkpoints/    of its last steps
stages/<id>-<fingerprint>/evals/*.json    scores by item of one task at one step
stages/<id>-<fingerprint>/evals/.scores/*.arrow    of large ones, what is made of them, which is faster to read
stages/<id>-<fingerprint>/speed/*.json    how fast it writes, in each inference that a study compares
stages/<id>-<fingerprint>/answers/*.json    what a checkpoint said to a set of prompts
studies/<name>/study.json    arms, seeds, lineage; beside it the report
studies/<name>/judge/<judge>/<answers>/<arm>.json    an arm's answers against its baseline's, by a judge or a panel
studies/<name>/judge/<judge>/<answers>/<arm>-vs-<other>.json    against another arm's
made/<source>-<hash>/examples.jsonl    what checkpoints wrote and the sandbox ranked, to be read as a source
made/<source>-<hash>/record.json    of what it was made and what came of it; written last
made/<source>-<hash>/answers/*.jsonl    while it is made: what was said, and beside it verdicts.jsonl
evaluations/<stage>/*.json    scores that `ablate evaluate` was asked for
launches/<name>/launch.json    what was launched, where, and what its objects are called there
judge/replies.sqlite    what judges said, whatever they were asked for; in a bucket, pieces of rows
wandb/sent-<hash>.json    what W&B has said that it has of every stage, by server and project
wandb/report-<hash>.json    which of its reports are those of studies here
wandb/push.log    what the process that sends while training runs met
wandb/offline-run-*    for `wandb sync`
xla/    compiled programs
lock    held by the command that prepares data, and shared by those that train and score
"""

from dataclasses import dataclass
from pathlib import Path

DOWNLOADS, BENCHMARKS, SOURCES, PREPARED, JOBS = "downloads", "benchmarks", "sources", "prepared", "jobs"
DIGESTS, IDENTITY, SHARDS = "digests", "identity.json", "shards.json"
STAGES, STUDIES, XLA, LOCK = "stages", "studies", "xla", "lock"
LAUNCHES, LAUNCH = "launches", "launch.json"
REPLIES = "judge/replies.sqlite"
STAGE, LEDGER, DONE, FAILED = "stage.json", "ledger.jsonl", "done.json", "failed.json"
CHECKPOINTS, EVALS, SPEED, ANSWERS = "checkpoints", "evals", "speed", "answers"
STUDY, JUDGED, MANIFEST = "study.json", "judge", "manifest.json"
ROLES, HELDOUT, INFILLED = "roles", "heldout", "+infilled"
PACKED = "+packed"
FRESH = "fresh"
MADE, EXAMPLES, RECORD = "made", "examples.jsonl", "record.json"


def shard_name(number: int) -> str:
    """Folder of a source's shard of tokens."""
    return f"{number:05d}"


@dataclass(frozen=True)
class Prepared:
    """The files of prepared data, in prepared/<hash>. A shard of tokens goes by its number, all else by its name.

    roles/<source>/<shard>.npy    which of the documents this study trains on or holds out
    selection.json    what came of choosing them
    tokenizer.json
    tokens/<source>/<number>/    the token store; of documents in fill-in-the-middle order in <source>+infilled or
        <source>+infilled-<sequence>, of examples packed into sequences in <source>+packed-<sequence>
    heldout/<source>/<shard>.parquet
    facts/<source>/<shard>.json    sizes and digests of what tokenising a shard left
    searched/<hash>/<source>/<shard>.json    a judge's prompts in the documents that are trained on
    manifest.json    written last
    """

    folder: Path

    @property
    def store(self) -> Path:
        return self.folder.parent.parent

    @property
    def selection(self) -> Path:
        return self.folder / "selection.json"

    @property
    def choice(self) -> Path:
        return self.folder / ROLES

    @property
    def tokenizer(self) -> Path:
        return self.folder / "tokenizer.json"

    @property
    def tokens(self) -> Path:
        return self.folder / "tokens"

    @property
    def manifest(self) -> Path:
        return self.folder / MANIFEST

    def shard(self, source: str, number: int, form: str = "") -> Path:
        return self.tokens / f"{source}{form}" / shard_name(number)

    def roles(self, source: str, shard: str) -> Path:
        return self.choice / source / f"{shard}.npy"

    def heldout(self, source: str, shard: str) -> Path:
        return self.folder / HELDOUT / source / f"{shard}.parquet"

    def facts(self, source: str, shard: str) -> Path:
        return self.folder / "facts" / source / f"{shard}.json"

    def searched(self, digest: str, source: str, shard: str) -> Path:
        return self.folder / "searched" / digest / source / f"{shard}.json"
