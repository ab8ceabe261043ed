"""Tables of a benchmark in Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import mean, stdev

from sharpfield.bench.rows import Numbers, Row
from sharpfield.bench.suite import Budget, Contender, Suite

OURS = "blur.model=dynamic"
"""The setting that our model and its variants share."""


def _of_photos(row: Numbers, score: str) -> float | None:
    """Mean over the training photos: restored, rendered sharp by the field alone, or blurry."""
    value: float | None = row.get("restored", {}).get("mean", {}).get(score)
    return value


def _sizes(row: Numbers, sharpest: bool) -> float | None:
    """Mean kernel size of the sharp photos (extent < 1 px), or of the most blurred fifth."""
    views = list((row.get("kernel_size") or {}).get("views", []))
    if not views or views[0]["mean_true_extent"] is None:
        return None
    views.sort(key=lambda view: view["mean_true_extent"])
    if sharpest:
        chosen = [view for view in views if view["mean_true_extent"] < 1.0]
    else:
        chosen = views[-max(1, len(views) // 5) :]
    return mean(view["mean_size"] for view in chosen) if chosen else None


def _ssim(row: Numbers, protocol: str) -> float | None:
    """SSIM, if the row was scored by ``protocol``: its window and range change the number."""
    value: float = row["mean"]["ssim"]
    return value if row["protocol"]["name"] == protocol else None


COLUMNS: Mapping[str, Callable[[Numbers], float | None]] = {
    "PSNR": lambda row: row["mean"]["psnr"],
    "SSIM": lambda row: _ssim(row, "standard"),
    "SSIM as published": lambda row: _ssim(row, "paper"),
    "FLIP": lambda row: row["mean"]["flip"],
    "restored PSNR": lambda row: _of_photos(row, "psnr"),
    "rendered PSNR": lambda row: _of_photos(row, "psnr_rendered"),
    "blurry PSNR": lambda row: _of_photos(row, "psnr_blurry"),
    "rays/pixel": lambda row: row["rays_per_pixel"],
    "rays/pixel at the end": lambda row: row.get("final_rays_per_pixel"),
    "Spearman": lambda row: (row.get("kernel_size") or {}).get("spearman"),
    "Spearman of extent": lambda row: (row.get("kernel_size") or {}).get("extent_spearman"),
    "size, sharp photos": lambda row: _sizes(row, sharpest=True),
    "size, most blurred": lambda row: _sizes(row, sharpest=False),
    "seconds": lambda row: row["training_seconds"],
    "M samples/s": lambda row: row["samples_per_second"] / 1e6,
    "peak MiB": lambda row: row["peak_memory_bytes"] / 2**20,
}
_DIGITS = {"SSIM": 3, "SSIM as published": 3, "FLIP": 3, "seconds": 0, "peak MiB": 0}


def suite_tables(suite: Suite, rows: Sequence[Row]) -> str:
    """The tables of a suite, one or two per budget: means over seeds, and what failed and why."""
    parts = [f"## {suite.title}\n", f"{suite.description} `sharpfield bench {suite.name}`\n"]
    for budget in suite.budgets:
        of_budget = [row for row in rows if row.key.budget == budget.name]
        if of_budget:
            parts += _budget_tables(suite, budget, of_budget)
    return "\n".join(parts)


def _budget_tables(suite: Suite, budget: Budget, rows: Sequence[Row]) -> list[str]:
    good = [row for row in rows if row.failure is None]
    machines = sorted({row.numbers["machine"] for row in good})
    seeds = ", ".join(str(seed) for seed in sorted({row.key.seed for row in rows}))
    note = f"Seeds: {seeds}. Machine: {'; '.join(machines)}. Code: {_code(good)}.\n"
    parts = [f"### {budget.description}\n", note]
    if len(suite.scenes) > 1:
        parts += [_scene_table(suite, rows), _verdict(suite, good)]
    failed = [row for row in rows if row.failure is not None]
    compared = _comparable(good)
    if compared:
        if len(suite.scenes) > 1:
            parts.append(_means_over(suite, compared))
        parts.append(_column_table(suite, compared, failed))
    failures = [f"- {row.key}: {row.failure}" for row in failed]
    return [*parts, "\n".join([*failures, ""])] if failures else parts


def _code(rows: Sequence[Row]) -> str:
    """The digests of the code that made ``rows``; of several, how many rows each made."""
    counts = Counter(row.numbers.get("code", "unknown") for row in rows).most_common()
    if len(counts) == 1:
        return str(counts[0][0])
    return ", ".join(f"{digest} ({count} rows)" for digest, count in counts)


def _scene_table(suite: Suite, rows: Sequence[Row]) -> str:
    """Held-out PSNR: a line per blur model, a column per scene."""
    scenes = [scene.name for scene in suite.scenes]
    lines = _heading(["held-out PSNR", *scenes, "mean"])
    best = {scene: max(_psnr(rows, scene).values(), default=None) for scene in scenes}
    for contender in suite.contenders:
        own = _rows_of(contender, rows)
        if not own:
            continue
        cells = []
        for scene in scenes:
            here = [row for row in own if row.key.scene == scene]
            cell = _psnr_cell(here)
            level = _psnr(here, scene).get(contender.name)
            cells.append(f"**{cell}**" if level is not None and level == best[scene] else cell)
        levels = [_psnr(own, scene).get(contender.name) for scene in scenes]
        known = [level for level in levels if level is not None]
        average = f"{mean(known):.2f}" if len(known) == len(scenes) else "-"
        lines.append(_line([contender.name, *cells, average]))
    return "\n".join(lines) + "\n"


def _rows_of(contender: Contender, rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row.key.contender == contender.name]


def _psnr_by_seed(rows: Iterable[Row], scene: str) -> dict[str, dict[int, float]]:
    """PSNR in a scene by blur model and seed, where training did not fail."""
    levels: dict[str, dict[int, float]] = {}
    for row in rows:
        if row.key.scene == scene and row.failure is None:
            of_seed = levels.setdefault(row.key.contender, {})
            of_seed[row.key.seed] = row.numbers["mean"]["psnr"]
    return levels


def _psnr(rows: Iterable[Row], scene: str) -> dict[str, float]:
    """Mean PSNR in a scene by blur model, over the seeds that did not fail."""
    levels = _psnr_by_seed(rows, scene)
    return {name: mean(of_seed.values()) for name, of_seed in levels.items()}


def _psnr_cell(rows: Sequence[Row]) -> str:
    values = [row.numbers["mean"]["psnr"] for row in rows if row.failure is None]
    failed = len(rows) - len(values)
    text = f"{mean(values):.2f}" if values else "-"
    if len(values) > 1:
        text += f" ± {stdev(values):.2f}"
    return f"{text} ({failed} failed)" if failed else text


def _verdict(suite: Suite, rows: Sequence[Row]) -> str:
    """Where our model, the first of the suite, stands among its rivals, scene by scene.

    Its variants are no rivals, and do not stand in for it either. A rival is compared with it
    over the seeds that both have: seeds differ by more than some rivals do.
    """
    ours = suite.contenders[0].name
    rivals = {each.name for each in suite.contenders if OURS not in each.settings}
    gaps: dict[str, tuple[float, str]] = {}
    for scene in suite.scenes:
        levels = _psnr_by_seed(rows, scene.name)
        mine = levels.get(ours, {})
        ahead = [
            (mean(mine[seed] - theirs[seed] for seed in mine.keys() & theirs.keys()), rival)
            for rival, theirs in levels.items()
            if rival in rivals and mine.keys() & theirs.keys()
        ]
        if ahead:
            gaps[scene.name] = min(ahead)
    if not gaps:
        return ""
    first = sum(gap > 0 for gap, _ in gaps.values())
    worst = min(gaps, key=lambda scene: gaps[scene][0])
    text = f"Over common seeds, `{ours}` is first in {first} of {len(gaps)} scenes"
    if gaps[worst][0] < 0:
        text += f"; furthest behind in {worst}, {gaps[worst][0]:.2f} dB to {gaps[worst][1]}"
    return f"{text}.\n"


def _column_table(suite: Suite, rows: Sequence[Row], failed: Sequence[Row]) -> str:
    """Every number: a line per blur model, means over scenes and seeds.

    Of a suite of one scene this is the only table, which tells how many rows ``failed``, too.
    """
    used = [
        name for name, value in COLUMNS.items() if any(value(r.numbers) is not None for r in rows)
    ]
    lines = _heading(["blur model", "rows", *used])
    for contender in suite.contenders:
        own, lost = _rows_of(contender, rows), _rows_of(contender, failed)
        alone = len(suite.scenes) == 1
        if own or (lost and alone):
            cells = [_cell(name, own) for name in used]
            if alone:
                cells[0] = _psnr_cell([*own, *lost])
            lines.append(_line([contender.name, str(len(own)), *cells]))
    return "\n".join(lines) + "\n"


def _means_over(suite: Suite, rows: Sequence[Row]) -> str:
    """What the means of the table of columns are taken over, in words."""
    present = {row.key.scene for row in rows}
    scenes = [scene.name for scene in suite.scenes if scene.name in present]
    which = "all scenes" if len(scenes) == len(suite.scenes) else ", ".join(scenes)
    return (
        f"Means over {which}, of each over the seeds there are. A map of one size counts as a "
        "Spearman of 0.\n"
    )


def _comparable(rows: Sequence[Row]) -> Sequence[Row]:
    """The rows of scenes that no blur model lacks: a table may be half-made."""
    scenes: dict[str, set[str]] = {}
    for row in rows:
        scenes.setdefault(row.key.contender, set()).add(row.key.scene)
    common = set.intersection(*scenes.values()) if scenes else set()
    return [row for row in rows if row.key.scene in common]


def _cell(column: str, rows: Sequence[Row]) -> str:
    """Mean over scenes of the means over seeds, of which some scenes may have more."""
    values = [(row.key.scene, COLUMNS[column](row.numbers)) for row in rows]
    if all(value is None for _, value in values):
        return "-"
    of_scene: dict[str, list[float]] = {}
    for scene, value in values:
        if value is None and column == "Spearman":
            value = 0.0  # a map of one size tells nothing of blur
        if value is not None:
            of_scene.setdefault(scene, []).append(value)
    return f"{mean(mean(seeds) for seeds in of_scene.values()):.{_DIGITS.get(column, 2)}f}"


def _heading(cells: Sequence[str]) -> list[str]:
    return [_line(cells), "|---" * len(cells) + "|"]


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
