"""How the shards of a preparation are worked through: in processes of this machine, or by Apache Beam.

Work is a function of one picklable job that leaves a whole file and returns nothing, so an executor only has to call
it once for every job, anywhere, in any order. Beam is given numbers of jobs, which its workers read in a file of the
store (jobs.py): never the documents, which its local runner would hold in memory, nor the jobs themselves, of which
those for a large corpus are more than a runner takes with a pipeline (some 10 MB).
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from mixtures.steps.jobs import JobsFile, read_job, write_jobs
from store import layout
from store.errors import Failure
from store.files import remove

Work = Callable[[Any], None]
Executor = Callable[[Work, Sequence[Any], Callable[[int], None]], None]
"""Called with (work, jobs, done); `done` is told how many jobs are finished."""


def pool(workers: int = 2) -> Executor:
    """An executor of `workers` processes.

    Raises (when used):
        Failure: a worker was killed. What the others finished is kept.
    """

    def run(work: Work, jobs: Sequence[Any], done: Callable[[int], None]) -> None:
        if not jobs:
            return
        # Spawned, not forked: the parent may hold threads of a progress display or of jax.
        with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=get_context("spawn")) as processes:
            try:
                for number, future in enumerate(as_completed([processes.submit(work, job) for job in jobs])):
                    future.result()
                    done(number + 1)
            except BrokenProcessPool as error:
                raise Failure(
                    "a worker process was killed, perhaps for want of memory; run the command again to carry on with "
                    "the shards that are missing (a script that prepares does so under `if __name__ == '__main__':`)"
                ) from error
            except BaseException:
                processes.shutdown(wait=False, cancel_futures=True)
                raise

    return run


def beam(options: Sequence[str], store: Path) -> Executor:
    """An Apache Beam pipeline over the jobs; `options` are Beam's own, such as --runner=FlinkRunner.

    Workers read jobs in the store and write to it, so all of them must see it.

    Raises (when used):
        Failure: apache-beam is not installed, or the pipeline failed.
    """

    def run(work: Work, jobs: Sequence[Any], done: Callable[[int], None]) -> None:
        try:
            import apache_beam
            from apache_beam.options.pipeline_options import PipelineOptions
        except ImportError as error:
            raise Failure("apache-beam is not installed; pip install 'code-data-ablation[beam]'") from error
        if not jobs:
            return
        file = write_jobs(jobs, store / layout.JOBS)
        try:
            beam_api: Any = apache_beam  # its annotations are partial
            with beam_api.Pipeline(options=PipelineOptions(list(options), save_main_session=False)) as pipeline:
                # Reshuffle keeps Beam from fusing all jobs into one worker's bundle.
                numbers = pipeline | beam_api.Create(range(len(jobs))) | beam_api.Reshuffle()
                _ = numbers | beam_api.Map(partial(_do, work, file))
        except Exception as error:  # a runner raises what it likes
            raise Failure(f"the Beam pipeline failed ({_last_line(error)}); run the command again") from error
        finally:
            remove(file.path)
        done(len(jobs))

    return run


def _do(work: Work, file: JobsFile, number: int) -> None:
    work(read_job(file, number))


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1][:200] if lines else type(error).__name__
