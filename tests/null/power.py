"""Do verdicts keep their level where there is nothing, and do they find what is there?

Each seed is one small market without drift, walked through the real harness and evaluated like any run.

1. Noise: the stack as it is, drop-one ablations of its modules included. Every claim counted here is false, so "supported"
   must stay within what the level allows (`counted`).
2. Planted edges: the same market, with `Informed` in the place of fusion. It knows tomorrow with a stated correlation; its
   orders pass the house's own barrier, approver, kernel and fills. The share of seeds in which "better than its own sizing
   without a signal" is supported must rise with the correlation (`curve`).

Run as a program it writes the tables of reports/power::

    python -m tests.null.power --seeds 100 --out reports/power
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from glassbox_bt.backtest import ChunkJob, Market, facts_of, identity_of, walk_chunk
from glassbox_bt.evaluation import evaluate
from glassbox_bt.evaluation.ablation import run_ablations
from glassbox_bt.market.archive import open_store, save_store
from glassbox_bt.market.ingest import build_store
from glassbox_bt.market.sources import from_name
from glassbox_bt.market.sources.raw import fingerprint
from glassbox_bt.modules.analysts.quantitative import QuantitativeAnalyst
from glassbox_bt.modules.base import Module
from glassbox_bt.modules.risk.position_sizing import PositionSizing
from glassbox_bt.modules.risk.volatility_garch import GarchVolatility
from glassbox_bt.modules.stand_ins import Assumed
from glassbox_bt.plan import AblationPlan, Plan, plan_from
from glassbox_bt.runs.manifest import Manifest
from glassbox_bt.walkforward.record import record_run
from strategies.full_stack import stack
from tests.flow.tiny import tiny_table
from tests.null import controls
from tests.null.informed import PLANTED, Informed

__all__ = [
    "STRENGTHS",
    "band",
    "claims",
    "claims_of_seed",
    "counted",
    "curve",
    "draw",
    "informed_stack",
    "plan_of",
    "told",
    "verdicts",
    "walk",
    "write",
]

SOURCE = (
    "synthetic?seed={seed}&n_names=8&first=2016-01-04&last=2018-12-31&noise_only=true&text=false"
    "&halts=2&delistings=0&splits=1"
)
CHUNK = {  # 320, 60 and 256 sessions
    "train": ["2016-06-24", "2017-09-29"],
    "validation": ["2017-10-02", "2017-12-26"],
    "test": ["2017-12-27", "2018-12-31"],
}
RIVALS = ("BuyAndHold", "MonthlyEqualWeight", "InverseVolatility")
STRENGTHS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3)
KEY_RIVAL = "rival/sizing_only"
SIGNAL = "signal/fusion.learned_fusion_signal"
FALSE_ON_NOISE = {
    "rival": "all of them, since no book has an expected return",
    "ablation": "all of them, since no part can add to it",
    "signal": "all of them, since no return can be ranked",
    "calibration": "the two confidences in a direction, since the risk and the size of moves can be foretold here too",
}
CONFIDENCES = ("fusion.learned_fusion_confidence", "quantitative.quantitative_confidence")


def informed_stack() -> dict[str, Module]:
    """The house's stack with `Informed` on top."""
    return {**stack(), "fusion": Informed()}


def quick_stack() -> dict[str, Module]:
    """`Informed` over rules alone: nothing is trained, technical evidence is neutral by assumption."""
    neutral = dict.fromkeys(("trend_score", "move_intensity", "timing_confidence"), 0.5)
    parts = {name: module for name, module in stack().items() if name not in ("temporal_encoder", "garch", "drawdown")}
    technical = Assumed("technical", {**neutral, "momentum_score": 0.0, "trend_reliability": 0.0})
    garch, sizing = GarchVolatility(), PositionSizing(regime_head=False)
    rules = {"volatility": garch, "position_sizing": sizing, "quantitative": QuantitativeAnalyst(variant="rule")}
    return {**parts, **rules, "technical": technical, "fusion": Informed()}


def plan_of(seed: int, strength: float | None = None, *, quick: bool = False) -> Plan:
    """Tiny networks and no costs; None is the stack as it is.

    ``quick`` needs a strength: `quick_stack` on half the test days, with few bootstrap samples.
    """
    source, chunk = (controls.SOURCE, controls.CHUNK) if quick else (SOURCE, CHUNK)
    table = tiny_table(
        market={"source": source.format(seed=seed), "universe": {"min_observed": 100, "window": 120}},
        chunks=[chunk],
        costs=controls.NO_COSTS,
        strategies=[f"strategies:{name}" for name in RIVALS[: 1 if quick else None]],
        modules={"garch": {"window": 100, "min_observed": 100}},
        statistics={"n_boot": 200 if quick else 1000},
    )
    if strength is not None:
        table["modules"]["fusion"] = {"strength": strength}
        table["stack"] = f"tests.null.power:{'quick' if quick else 'informed'}_stack"
    if quick:
        table["modules"] = {"volatility": table["modules"]["garch"], "fusion": table["modules"]["fusion"]}
    return plan_from(table)


def claims_of_seed(
    seed: int, strengths: Sequence[float | None], *, ablate: bool = True, quick: bool = False
) -> pd.DataFrame:
    """The verdicts of one market with each planted strength; None (NaN in the table) is the stack as it is."""
    found = []
    with tempfile.TemporaryDirectory() as place:
        for strength in strengths:
            run = Path(place) / f"run_{strength}"
            walk(plan_of(seed, strength, quick=quick), run, Path(place) / "artefacts", ablate=ablate and strength is None)
            found.append(verdicts(run).assign(seed=seed, strength=np.nan if strength is None else strength))
    return pd.concat(found, ignore_index=True)


def walk(plan: Plan, run: Path, artefacts: Path, *, ablate: bool) -> None:
    """Walk one chunk through the real harness, with artefacts that runs on the same market share."""
    artefacts.mkdir(exist_ok=True)
    run.mkdir()
    (run / "artefacts").symlink_to(artefacts.resolve(), target_is_directory=True)
    raw = from_name(plan.market_source)
    market = Market(raw, fingerprint(raw))
    place = run / "artefacts" / "market" / "planted"
    if not place.exists():
        place.mkdir(parents=True)
        save_store(build_store(raw, plan.market.universe, PLANTED), place)
    manifest = Manifest.start(run, identity_of(plan, market, "cpu"), facts_of(plan, market, run))
    record = walk_chunk(ChunkJob(plan, 1, place, run / "artefacts", "cpu"), _quiet)
    manifest.update(**record_run(run, open_store(place), "planted", [record]))
    if ablate:
        run_ablations(run, plan, AblationPlan(sets=("modules",)), 1, _quiet)


def verdicts(run: Path) -> pd.DataFrame:
    """Evaluate a walked run as the main job does; its verdicts."""
    evaluate(run)
    return pd.DataFrame(json.loads((run / "metrics.json").read_text(encoding="utf-8"))["verdicts"])


def _quiet(_what: str, _share: float) -> None: ...


def claims(
    seeds: Sequence[int], strengths: Sequence[float | None], workers: int, *, ablate: bool = True, quick: bool = False
) -> pd.DataFrame:
    """The verdicts of many markets, in the order of the seeds."""
    task = partial(claims_of_seed, strengths=tuple(strengths), ablate=ablate, quick=quick)
    if workers == 1:
        return pd.concat([task(seed) for seed in seeds], ignore_index=True)
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        return pd.concat(list(pool.map(task, seeds)), ignore_index=True)


def band(n: int, level: float) -> tuple[int, int]:
    """Counts between which ``n`` false claims are supported with probability 99 %, where each is at rate 1 − level."""
    low, high = stats.binom.ppf([0.005, 0.995], n, 1.0 - level)
    return int(low), int(high)


def counted(table: pd.DataFrame, level: float) -> pd.DataFrame:
    """By kind of false claim: in how many markets any claim of a family was supported, and the most that the level allows.

    Counts the stack as it is; in a table without it, the policy that knows nothing. A family without a tested member in
    a market (its stack never traded) is not counted there.
    """
    knows_nothing = table["strength"].isna() if table["strength"].isna().any() else table["strength"] == 0.0
    noise = table[knows_nothing & ~table["verdict"].isin(["not tested", "no effect on inputs"])]
    noise = noise[(noise["kind"] != "calibration") | noise["subject"].isin(CONFIDENCES)]
    rows = []
    for kind, claimed in noise.groupby("kind", sort=False):
        by_family = claimed.assign(found=claimed["verdict"] == "supported").groupby(["seed", "family"])["found"].any()
        low, high = band(len(by_family), level)
        rows.append(
            {
                "kind": kind,
                "families": len(by_family),
                "claims": len(claimed),
                "supported": int((claimed["verdict"] == "supported").sum()),
                "refuted": int((claimed["verdict"] == "refuted").sum()),
                "underpowered": int((claimed["verdict"] == "underpowered").sum()),
                "families_with_support": int(by_family.sum()),
                "band_low": low,
                "band_high": high,
                "within": int(by_family.sum()) <= high,
            }
        )
    return pd.DataFrame(rows)


def curve(table: pd.DataFrame, level: float) -> pd.DataFrame:
    """By planted strength: the share of markets in which the claim about the key rival was supported.

    ``mean_difference`` over the markets stands for the true one.
    """
    rows = []
    for strength, group in table[table["strength"].notna()].groupby("strength"):
        claimed = group[(group["claim"] == KEY_RIVAL) & (group["verdict"] != "not tested")]
        ranked = group[(group["claim"] == SIGNAL) & (group["verdict"] != "not tested")]
        n, found = len(claimed), int((claimed["verdict"] == "supported").sum())
        low, high = stats.binomtest(found, n).proportion_ci(level, method="wilson") if n else (np.nan, np.nan)
        rows.append(
            {
                "strength": strength,
                "markets": n,
                "mean_difference": claimed["estimate"].mean(),
                "smallest_detectable": claimed["smallest_detectable"].mean(),
                "supported": found / n if n else np.nan,
                "low": low,
                "high": high,
                "single_test": (claimed["p_value"].astype(float) < 1.0 - level).mean(),
                "refuted": (claimed["verdict"] == "refuted").mean(),
                "rank_ic": ranked["estimate"].mean(),
                "signal_supported": (ranked["verdict"] == "supported").mean(),
            }
        )
    return pd.DataFrame(rows)


def told(counts: pd.DataFrame, power: pd.DataFrame) -> str:
    """Both answers in lines."""
    lines = [
        f"{row.kind}: in {row.families_with_support} of {row.families} markets any of the false claims of a family was "
        f"supported ({row.supported} of {row.claims} claims); allowed: at most {row.band_high}"
        for row in counts.itertuples()
    ]
    lines += [
        f"correlation {row.strength:.2f}: mean difference {row.mean_difference:+.2f}, supported in {row.supported:.0%} of "
        f"{row.markets} markets"
        for row in power.itertuples()
    ]
    return "\n".join(lines)


def draw(power: pd.DataFrame, place: Path) -> None:
    """The curve as ``power.svg`` and ``power.png``; the same bytes for the same curve."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "power"
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
    axes.fill_between(power["mean_difference"], power["low"], power["high"], alpha=0.2, linewidth=0.0)
    axes.plot(power["mean_difference"], power["supported"], marker="o")
    for row in power.itertuples():
        axes.annotate(
            f"{row.strength:g}", (row.mean_difference, row.supported), textcoords="offset points", xytext=(-4, 8), ha="right"
        )
    axes.axhline(0.8, linestyle=":", color="0.4")
    axes.axvline(float(power["smallest_detectable"].mean()), linestyle=":", color="0.4")
    axes.set_xlabel("Mean difference of Sharpe ratios, stack less sizing only\n(at the points: correlation with tomorrow)")
    axes.set_ylabel("Share of markets with the verdict “supported”")
    axes.set_ylim(-0.03, 1.03)
    axes.set_title("Power rises with the planted edge; dotted: smallest detectable effect at power 0.8", fontsize=9)
    figure.savefig(place / "power.svg", metadata={"Date": None})
    figure.savefig(place / "power.png", dpi=120, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    """Write the tables, the figure and the README of a real run."""
    parser = argparse.ArgumentParser(description="Level and power of the verdicts.")
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--edge-seeds", type=int, default=30, help="markets with planted edges; the first of the seeds")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    settings = parser.parse_args()
    planted = range(min(settings.edge_seeds, settings.seeds))
    rest = range(len(planted), settings.seeds)
    parts = [claims(planted, (None, *STRENGTHS), settings.workers), claims(rest, (None,), settings.workers)]
    write(pd.concat(parts, ignore_index=True), settings.out)


def write(table: pd.DataFrame, out: Path) -> None:
    """Tables, figure and README from the verdicts of all markets."""
    level = plan_of(0).statistics.level
    counts, power = counted(table, level), curve(table, level)
    out.mkdir(parents=True, exist_ok=True)
    noise = table[table["strength"].isna()]
    columns = ["seed", "claim", "estimate", "p_value", "p_holm", "smallest_detectable", "verdict"]
    noise[columns].to_csv(out / "noise.csv", index=False, float_format="%.4g")
    counts.to_csv(out / "counts.csv", index=False)
    power.to_csv(out / "curve.csv", index=False, float_format="%.4g")
    draw(power, out)
    lines = [f"- {line}" for line in told(counts, power).splitlines()]
    text = README.format(
        seeds=noise["seed"].nunique(),
        code=_code(),
        edge_seeds=table.loc[table["strength"].notna(), "seed"].nunique(),
        alpha=f"{1.0 - level:.0%}",
        noise="\n".join(lines[: len(counts)]),
        edges="\n".join(lines[len(counts) :]),
        false="\n".join(f"- {kind}: {words}" for kind, words in FALSE_ON_NOISE.items()),
    )
    (out / "README.md").write_text(text, encoding="utf-8")


def _code() -> str:
    """The commit that is checked out, marked where files differ from it."""
    told = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=True)
    return told.stdout.strip()


README = """# Level and power of the verdicts

Made by `OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python -m tests.null.power --seeds {seeds} --edge-seeds {edge_seeds}
--out reports/power` with the code of commit {code}. Each seed is one market of 8 names without drift (320 sessions
of train, 60 of validation, 256 of test), gross of costs, walked, ablated and evaluated like any run (`tests/null/power.py`).

## Noise: is anything supported that is false?

{noise}

A verdict is "supported" where a two-sided test, corrected by Holm within the family, rejects at {alpha} with the
claimed sign. Where every claim of a family is false, that may happen in at most {alpha} of markets, and in about half
as many, because the sign must fit too. "Allowed" is the upper end of the binomial 99 % band at {alpha}. What counts
as false:

{false}

A market in which the stack never traded has no Sharpe ratio to compare; it is not counted. One row per claim in
`noise.csv`.

## Planted edges: is found what is there?

{edges}

![Share of markets in which the claim was supported, against the mean difference of Sharpe ratios](power.png)

The planted policy stands in the place of fusion in the same markets and knows the return from the next fill to the
one after it with the stated correlation, name by name and day by day. Its orders pass the house's own barrier,
approver, kernel and fills, and the claim is the one of the quickstart: a larger Sharpe ratio than the same sizing
without a signal. What this shows: if a stack had an edge of that size, its verdict would say so that often on one
test year of 8 names. What it does not show: that a network would find such an edge in prices. The claim pays for a
family of up to six rivals; `single_test` in `curve.csv` is the share in which the uncorrected test rejects. `rank_ic`
and `signal_supported` are those of the signal against the return over 20 sessions, of which the policy knows one.
"""

if __name__ == "__main__":
    main()
