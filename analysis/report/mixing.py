"""What laws say of a study that is a sweep over a share: where each primary metric is best, or that nobody can tell."""

from analysis.compare import Comparison
from analysis.laws.told import Told, of_sweep
from analysis.ledgers import Ledgers, sweep
from analysis.report.blocks import Block, Bullets, Table, grouped
from analysis.report.values import primary

CAPTION = (
    "How each metric follows the share of what is not text. Error: by what a law misses an arm that is left out, root "
    "mean square over arms, beside the noise of one mean. * of least error. A law is refuted where it misses the arms "
    "beyond noise, and another does not, or by far less. The last column are the shares than which it puts no other "
    "beyond noise higher (95 %, Scheffé)."
)


def laws(comparison: Comparison, ledgers: Ledgers) -> list[Block]:
    """Nothing where the study is no sweep."""
    shares = sweep(comparison.study, ledgers)
    found = of_sweep(comparison, primary(comparison), shares) if shares else None
    if not found or not found.metrics:
        return []
    head = ("metric", "law", "error", "noise of one mean", "best share")
    rows = [row for told in found.metrics for row in _rows(told)]
    said = tuple(("", each) for each in (*(told.sentence for told in found.metrics), *found.gaps))
    return [Bullets(said), Table(CAPTION, head, grouped(rows), words=2)]


def _rows(told: Told) -> list[tuple[str, ...]]:
    found = told.optimum
    rows: list[tuple[str, ...]] = []
    for each in found.laws:
        low, high = (f"{100 * end:.3g}" for end in each.interval)
        said = "refuted" if each.refuted else f"{low} to {high} %"
        error, noise = (told.score.margin_text(number) for number in (each.error, found.points.noise))
        rows.append((told.label, f"{each.law.name}{' *' if each is found.best else ''}", error, noise, said))
    return rows
