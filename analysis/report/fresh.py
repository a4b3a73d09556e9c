"""Text that appeared after all that was trained on: since when, from which releases, how much of it."""

from analysis.records import StudyRecord
from analysis.report.blocks import Block, Facts, Fold, Table, Text


def told(study: StudyRecord) -> list[Block]:
    """Nothing where no fresh documents are asked."""
    its = study.fresh
    if not its:
        return []
    rows = [(form, f"{of['documents']:,}", f"{of['bytes']:,}") for form, of in its["forms"].items()]
    releases = [
        (each["release"], f"{each['uploaded']}, {_compared(each['after'])}, {each['licence']}, sha256 {each['sha256']}")
        for each in its["releases"]
    ]
    return [
        Text(f"{said(study)} Digest: {its['digest']}."),
        Table("Fresh documents", ("form", "documents", "bytes"), tuple(rows)),
        Fold(f"Releases that they are from ({len(releases)})", (Facts(tuple(releases)),)),
    ]


def said(study: StudyRecord) -> str:
    """Since when, and what of the sources is known to be older."""
    its, newest = study.fresh, study.fresh["newest"]
    lines = [
        f"Fresh text appeared on {its['since']} or later, in releases of the package index. None of its lines or "
        "sentences but short ones stands in the project's release before. It is scored as held-out text is."
    ]
    if newest["day"]:
        lines.append(f"No release that this study's sources read is later than {newest['day']} ({newest['what']}).")
    if newest["unknown"]:
        lines.append(
            f"It is not known when these appeared, so they may hold some of it: {', '.join(newest['unknown'])}."
        )
    elif newest["day"]:
        lines.append("So no model of this study can have read any of it.")
    return " ".join(lines)


def _compared(after: str) -> str:
    return f"compared with {after}" if after else "the first release"
