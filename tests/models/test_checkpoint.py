import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import tensorstore as ts
from jax.sharding import SingleDeviceSharding

from models import checkpoint
from models.config import ModelConfig, config
from models.recipe import AdamW
from models.step import TrainState, abstract_state, init_state, train_step
from store.errors import Away, Failure
from tests.bucket import Bucket
from tests.models.tiny import TINY, tokens


@pytest.fixture(scope="module")
def trained() -> TrainState:
    state, _ = train_step(TINY, AdamW())(init_state(TINY, AdamW(), 0), tokens(4, 17), 1e-3)
    return state


def save(folder: str | Path, step: int, state: TrainState) -> None:
    with checkpoint.Writer(folder) as writer:
        writer.save(step, state)


def _bytes(state: TrainState) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(state)]


def test_a_restored_state_is_the_same_to_the_bit_and_trains_on_alike(tmp_path: Path, trained: TrainState) -> None:
    save(tmp_path, 5, trained)
    restored = checkpoint.restore(tmp_path, 5, like=init_state(TINY, AdamW(), 1))
    assert _bytes(restored) == _bytes(trained)
    step = train_step(TINY, AdamW())
    on_restored, _ = step(restored, tokens(4, 17, seed=1), 1e-3)
    on_trained, _ = step(jax.tree.map(jax.numpy.copy, trained), tokens(4, 17, seed=1), 1e-3)
    assert _bytes(on_restored) == _bytes(on_trained)


def test_an_object_store_saves_lists_prunes_and_restores(bucket: Bucket, trained: TrainState) -> None:
    """It has an object for every "folder", as some tools leave it, of one without anything in it too."""
    folder = "gs://bucket/runs/a"
    assert checkpoint.steps(folder) == []
    save(folder, 3, init_state(TINY, AdamW(), 9))
    bucket["runs/a/step-00000004/"] = b""
    with checkpoint.Writer(folder) as writer:
        for step in (3, 9, 10):
            writer.save(step, trained)
    assert checkpoint.steps(f"{folder}/") == [9, 10]
    assert {name.split("/")[2] for name in bucket.names()} == {"step-00000009", "step-00000010"}
    restored = checkpoint.restore(folder, 9, like=init_state(TINY, AdamW(), 1))
    assert _bytes(restored) == _bytes(trained)
    with pytest.raises(Failure, match="gs://bucket/runs/a/step-00000003 does not exist; its folder has steps"):
        checkpoint.restore(folder, 3, trained)


@pytest.mark.parametrize("how", ["flip", "remove", "checksums"])
def test_a_damaged_checkpoint_of_an_object_store_is_named(bucket: Bucket, trained: TrainState, how: str) -> None:
    folder = "gs://bucket/run"
    for step in (1, 2):
        save(folder, step, trained)
    largest = max(bucket.names("run/step-00000002/state/"), key=lambda name: len(bucket[name]))
    if how == "checksums":  # never completed
        del bucket.objects["run/step-00000002/checksums.json"]
        assert checkpoint.steps(folder) == [1]
    elif how == "remove":
        del bucket.objects[largest]
    else:
        bucket[largest] = bytes([bucket[largest][0] ^ 1]) + bucket[largest][1:]
    with pytest.raises(Failure, match=r"step-00000002 is damaged.*; delete it"):
        checkpoint.restore(folder, 2, trained)
    assert _bytes(checkpoint.restore(folder, 1, trained)) == _bytes(trained)


def test_an_object_store_that_cannot_be_reached_is_one_line(bucket: Bucket, trained: TrainState) -> None:
    """When it is read nothing counts as damaged: the checkpoint before it would be no better."""
    save("gs://bucket/run", 1, trained)
    for bucket.refused in ("checksums.json", "state/d/"):
        with pytest.raises(
            Away, match=r"gs://bucket/run/step-00000001 cannot be read .*; see to .* run again"
        ) as found:
            checkpoint.restore("gs://bucket/run", 1, trained)
        assert "\n" not in str(found.value)
    bucket.empty()
    bucket.refuse = 403
    with pytest.raises(Failure, match=r"gs://bucket/run/step-00000001 cannot be written .* your rights") as caught:
        save("gs://bucket/run", 1, trained)
    assert "\n" not in str(caught.value) and not bucket.objects


def test_the_newest_two_are_kept(tmp_path: Path, trained: TrainState) -> None:
    assert checkpoint.steps(tmp_path / "absent") == []
    for step in (9, 10, 11):
        save(tmp_path, step, trained)
    assert checkpoint.steps(tmp_path) == [10, 11]


def test_a_relative_folder_is_as_good(tmp_path: Path, trained: TrainState, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(Path("run"), 3, trained)
    assert checkpoint.steps("run") == checkpoint.steps(tmp_path / "run") == [3]
    assert _bytes(checkpoint.restore("run", 3, trained)) == _bytes(trained)


def test_a_restart_from_an_earlier_step_drops_the_later_ones(tmp_path: Path, trained: TrainState) -> None:
    for step in (10, 20):
        save(tmp_path, step, trained)
    save(tmp_path, 15, trained)
    assert checkpoint.steps(tmp_path) == [10, 15]


def test_a_checkpoint_without_its_checksums_is_no_checkpoint_and_goes_at_the_next_save(
    tmp_path: Path, trained: TrainState
) -> None:
    """They are written last: what a killed save left behind."""
    for step in (1, 2):
        save(tmp_path, step, trained)
    (tmp_path / "step-00000002" / "checksums.json").unlink()
    assert checkpoint.steps(tmp_path) == [1]
    save(tmp_path, 3, trained)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["step-00000001", "step-00000003"]


def test_training_goes_on_while_a_checkpoint_is_written(tmp_path: Path) -> None:
    """The step consumes its state, so a save that read the arrays later would read those of another step."""
    size = config("1m")
    step, state = train_step(size, AdamW()), init_state(size, AdamW(), 0)
    batch, saved = np.arange(4 * 17, dtype=np.int32).reshape(4, 17), {}
    with checkpoint.Writer(str(tmp_path), keep=3) as writer:
        for number in range(1, 13):
            state, _ = step(state, batch, 1e-3)
            if number % 4 == 0:
                saved[number] = _bytes(state)
                writer.save(number, state)
    assert checkpoint.steps(str(tmp_path)) == [4, 8, 12]
    for number, expected in saved.items():
        assert _bytes(checkpoint.restore(str(tmp_path), number, like=abstract_state(size, AdamW()))) == expected


_OTHER_DEVICES = """
import sys
from pathlib import Path
import jax
import numpy as np
from models import checkpoint
from models.devices import hosts, parallel
from models.devices.layout import MeshShape
from models.step import TrainState
from store.errors import Failure

folder, address, number = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
jax.distributed.initialize(address, 2, number)
random = np.random.default_rng(0)
shapes = {"embedding": (512, 64), "blocks.0.query": (64, 512), "norm.scale": (64,)}
params = {name: random.standard_normal(shape, np.float32) for name, shape in shapes.items()}
values = TrainState(params, {"count": np.int32(7), **{f"mu/{name}": value + 1 for name, value in params.items()}})
abstract = jax.tree.map(lambda value: jax.ShapeDtypeStruct(value.shape, value.dtype), values)
eight = parallel.placed(parallel.make_mesh(MeshShape(data=2, fsdp=4)), abstract)
state = jax.tree.map(
    lambda x, on: jax.make_array_from_callback(x.shape, on.sharding, lambda index: x[index]), values, eight
)
with checkpoint.Writer(folder) as writer:
    for step in (1, 2):
        writer.save(step, state)

two = parallel.placed(parallel.make_mesh(MeshShape(fsdp=2), jax.local_devices()[1:3]), abstract)
for like, devices in ((eight, 8), (two, 2), (abstract, 1)):
    found = checkpoint.restore(folder, 1, like)
    for leaf, value in zip(jax.tree.leaves(found), jax.tree.leaves(values), strict=True):
        assert len(leaf.sharding.device_set) == devices
        assert all(shard.data.tobytes() == value[shard.index].tobytes() for shard in leaf.addressable_shards)

with hosts.together():
    wrote = folder / "step-00000002/state/ocdbt.process_1/d"
    if number == 0:  # What the other one reads, too.
        for file in wrote.iterdir():
            file.write_bytes(bytes(file.stat().st_size))
try:
    checkpoint.restore(folder, 2, eight)
except Failure as error:
    print("refused:", error)
jax.distributed.shutdown()
"""


def test_what_two_processes_save_is_read_on_eight_devices_two_and_one_and_refused_in_both(tmp_path: Path) -> None:
    """They write equal parts of an array of which each holds a copy, and damage in one is an error in both."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    env = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    options = {"cwd": Path(__file__).parents[2], "env": env, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    commands = [[sys.executable, "-c", _OTHER_DEVICES, str(tmp_path), address, str(number)] for number in range(2)]
    processes = [subprocess.Popen(command, text=True, **options) for command in commands]
    for process in processes:
        out, error = process.communicate(timeout=240)
        assert "step-00000002 is damaged" in out and "refused:" in out, error[-2_000:]
        assert "Traceback" not in error
    sizes = [
        sum(file.stat().st_size for file in (tmp_path / f"step-00000001/state/ocdbt.process_{number}/d").iterdir())
        for number in range(2)
    ]
    assert max(sizes) < 1.1 * min(sizes)


def test_saving_a_step_again_replaces_it(tmp_path: Path, trained: TrainState) -> None:
    save(tmp_path, 3, init_state(TINY, AdamW(), 9))
    save(tmp_path, 3, trained)
    assert _bytes(checkpoint.restore(tmp_path, 3, trained)) == _bytes(trained)


@pytest.mark.parametrize("how", ["flip", "cut", "remove"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_still_loads(
    tmp_path: Path, trained: TrainState, how: str, capfd: pytest.CaptureFixture[str]
) -> None:
    for step in (1, 2):
        save(tmp_path, step, trained)
    data = max(
        (path for path in (tmp_path / "step-00000002").rglob("*") if path.is_file()),
        key=lambda path: path.stat().st_size,
    )
    content = bytearray(data.read_bytes())
    if how == "flip":
        content[len(content) // 2] ^= 1
        data.write_bytes(content)
    elif how == "cut":
        data.write_bytes(content[: len(content) // 2])
    else:
        data.unlink()
    with pytest.raises(Failure, match=r"step-00000002 is damaged: array '.*; delete it") as caught:
        checkpoint.restore(tmp_path, 2, trained)
    assert "\n" not in str(caught.value) and capfd.readouterr() == ("", "")
    assert _bytes(checkpoint.restore(tmp_path, 1, trained)) == _bytes(trained)


def test_an_array_that_was_changed_where_it_lies_is_named(tmp_path: Path, trained: TrainState) -> None:
    """By TensorStore itself, which finds nothing wrong; what is not read is not asked for either."""
    save(tmp_path, 1, trained)
    base = f"file://{tmp_path}/step-00000001/state/"
    for name in ("params/blocks.0.query", "optimizer/0/nu/blocks.1.up"):
        array = ts.open({"driver": "zarr", "kvstore": {"driver": "ocdbt", "base": base, "path": f"{name}/"}}).result()
        array[2:4, 5] = -array[2:4, 5].read().result()
        with pytest.raises(Failure, match=rf"step-00000001 is damaged: array '{name}'.* is not what was saved; delete"):
            checkpoint.restore(tmp_path, 1, trained)
        array[2:4, 5] = -array[2:4, 5].read().result()
    array[0, 0] = 1.0
    like = abstract_state(TINY, AdamW()).params
    cpu = SingleDeviceSharding(jax.devices("cpu")[0])
    placed = {name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=cpu) for name, leaf in like.items()}
    some = {name: placed[name] for name in list(placed)[3:5]}
    found = checkpoint.restore_params(tmp_path, 1, placed)
    assert list(checkpoint.restore_params(tmp_path, 1, some)) == list(some)
    assert {name: np.asarray(array).tobytes() for name, array in found.items()} == {
        name: np.asarray(array).tobytes() for name, array in trained.params.items()
    }


def test_a_checkpoint_of_another_model_or_precision_or_version_is_refused(tmp_path: Path, trained: TrainState) -> None:
    save(tmp_path, 1, trained)
    other = ModelConfig("other", vocabulary=61, width=24, layers=2, heads=3, feed_forward=48)
    for like in (abstract_state(other, AdamW()), TrainState(trained.params, {})):
        with pytest.raises(Failure, match="step-00000001 is of another model"):
            checkpoint.restore(tmp_path, 1, like)
    halves = {name: jax.ShapeDtypeStruct(leaf.shape, "bfloat16") for name, leaf in trained.params.items()}
    with pytest.raises(Failure, match=r"of another precision: array 'params/.*' is float32, not bfloat16; give"):
        checkpoint.restore_params(tmp_path, 1, halves)
    (tmp_path / "step-00000001/checksums.json").rename(tmp_path / "step-00000001/digests.json")
    with pytest.raises(Failure, match="step-00000001 is of an older version of this program; delete it"):
        checkpoint.restore(tmp_path, 1, trained)
    assert checkpoint.steps(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, trained: TrainState) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Failure, match="step-00000001 cannot be written"):
        save(tmp_path / "file", 1, trained)


_UNRAISABLE = """
from models import checkpoint
class Closing:
    def __del__(self):
        raise RuntimeError("Event loop is closed")
Closing()
"""


def test_an_error_that_nobody_can_catch_is_printed_still() -> None:
    """Only late writes to a loop of Orbax's are left out, and they are of no object."""
    done = subprocess.run([sys.executable, "-c", _UNRAISABLE], capture_output=True, text=True, check=True)
    assert "Closing.__del__" in done.stderr and "RuntimeError: Event loop is closed" in done.stderr


_SAVE_FOR_EVER = """
import itertools, sys
from models import checkpoint
from models.config import config
from models.recipe import AdamW
from models.step import init_state
state = init_state(config("1m"), AdamW(), 0)
with checkpoint.Writer(sys.argv[1]) as writer:
    for step in itertools.count(1):
        writer.save(step, state)
        print(step, flush=True)
"""


def test_a_kill_in_the_middle_of_a_save_leaves_a_usable_checkpoint(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    size = config("1m")
    expected = init_state(size, AdamW(), 0)
    run = subprocess.Popen(
        [sys.executable, "-c", _SAVE_FOR_EVER, str(tmp_path)], cwd=root, stdout=subprocess.PIPE, text=True
    )
    assert run.stdout is not None
    for _ in range(3):
        run.stdout.readline()  # The save of step 3 has begun, so that of step 2 is complete.
    run.send_signal(signal.SIGKILL)
    run.communicate()
    begun, found = sorted(entry.name for entry in tmp_path.iterdir()), checkpoint.steps(tmp_path)
    assert found and len(begun) > len(found), "the kill came between two saves"
    for step in found:
        assert _bytes(checkpoint.restore(tmp_path, step, expected)) == _bytes(expected)
    save(tmp_path, found[-1] + 1, expected)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [
        f"step-{step:08d}" for step in checkpoint.steps(tmp_path)
    ]
