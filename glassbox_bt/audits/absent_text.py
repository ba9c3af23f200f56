"""Does the branch of text leave alone what has no text? Spec 25.2, at inference depth.

Rows are names and days of test for which fusion says that no text is available. Every fit stays as it is.

1. The branch is silenced (sentiment, news and the qualitative analyst): learned action, signal, risk and multiplier, and the
   barrier's action and size for the weight that was held, stay within 1e-6. The encoder stays: the market's regime may read
   it, which hears the text of the whole market and is no text about the name. With the encoder silenced too the rows are
   counted whose action or size changes: a note where another module than the branch reads the encoder, else a failure.
2. Every weight of fusion by which text speaks is moved at random, in the network and in the anchors: of the fit as it
   stands, and with every residual speaking, those of a network drawn at random where none earned its place. The same must
   stay. It counts only where the move is felt on rows with text.
3. The learned weight of text there is at most 0.05 at its 99th percentile.
4. The formula's fused risk there is not above the quantitative risk: 0.5 means unknown. The learned risk is no formula; that
   absent text has no part in it is 1 and 2.

Exact equality is told in the metrics, as the largest difference; beside it how many of the rows are held or bought at all,
for action and size of a name that nobody holds or wants put nothing to the test.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from glassbox_bt.audits.base import AuditResult, AuditSettings, Check, Metric, Progress, not_asked
from glassbox_bt.audits.case import NO_RUN, Case
from glassbox_bt.audits.subject import Walk
from glassbox_bt.audits.text_rows import has_text
from glassbox_bt.decision.barrier import BarrierInputs, BarrierResult, evaluate
from glassbox_bt.modules._fusion_features import IS_TEXT
from glassbox_bt.plan import Plan
from glassbox_bt.types import AnyArray, BoolArray, FloatArray, IntArray
from glassbox_bt.walkforward.fitting import ChunkFitter
from glassbox_bt.walkforward.reanswered import answered_again
from glassbox_bt.walkforward.replay import stack_scene

if TYPE_CHECKING:
    from glassbox_bt.modules._fusion_model import FusionModel
    from glassbox_bt.modules.fusion import FittedFusion

__all__ = [
    "BRANCH",
    "QUESTION",
    "Stand",
    "audit_absent_text",
    "held_in",
    "moved_text_weights",
    "silenced",
    "stand_of",
    "walk_checks",
]

QUESTION = "Does text leave alone the names that have none?"
BRANCH = ("sentiment", "news", "qualitative")
ENCODER = "text_encoder"
SAME, WEIGHT = 1e-6, 0.05
ANCHORED_TEXT = (3, 4)  # places of the text score and risk among the inputs of fusion's anchors
N_ANCHOR_INPUTS, N_RESIDUALS = 5, 9
LEARNED = (
    *("learned_recommendation", "learned_fusion_signal", "learned_fusion_risk_score", "learned_fusion_risk_prob"),
    *("learned_fusion_confidence", "learned_position_multiplier"),
)
DECIDED = ("final_recommendation", "final_position_fraction", "target_weight")
FORMULA = ("fusion_rule_risk_score", "quantitative_rule_risk_score")


@dataclass(frozen=True, slots=True)
class Stand:
    """What fusion and the barrier say of test, (n_sessions, n_assets) each; the barrier is told what the run held."""

    learned: Mapping[str, AnyArray]
    result: BarrierResult

    def values(self, name: str) -> FloatArray:
        """One of `LEARNED` or `DECIDED`."""
        values = self.learned[name] if name in self.learned else getattr(self.result, name)
        return np.asarray(values, dtype=np.float64)


def audit_absent_text(case: Case, settings: AuditSettings, progress: Progress) -> AuditResult:  # noqa: ARG001
    """Every chunk of a run with text."""
    why = _not_asked(case)
    if why:
        unasked = not_asked("text that is absent", "fusion", "all", why)
        return AuditResult("absent_text", (unasked,), {}, QUESTION, reason=why)
    checks: list[Check] = []
    metrics: list[Metric] = []
    facts: dict[str, Any] = {"rows": 0, "silenced": [name for name in BRANCH if name in case.modules]}
    for at, walk in enumerate(case.subject.walks):
        progress("absent text", at / len(case.subject.walks))
        found, told, rows = walk_checks(case.plan, walk, held_in(case, walk), case.subject.seed)
        checks += found
        metrics += told
        facts["rows"] += rows
    return AuditResult("absent_text", tuple(checks), facts, QUESTION, tuple(metrics))


def _not_asked(case: Case) -> str:
    if not case.whole:
        return f"{NO_RUN}, which holds the fitted modules"
    if not has_text(case) or "qualitative" not in case.modules:
        return "this run has no branch of text, so no text can be absent"
    plan = case.plan
    if plan.stand_ins or plan.blank or plan.text != "as_it_came" or plan.lag or plan.policy != "learned":
        return "the plan is an ablation, whose decisions rest on something else than its own answers of the day (R28)"
    return ""


def walk_checks(plan: Plan, walk: Walk, held: FloatArray, seed: int) -> tuple[list[Check], list[Metric], int]:
    """One chunk, and how many rows without text it has; ``held`` as in `held_in`."""
    fitter = walk.fitter
    base = stand_of(plan, fitter, held)
    answers = fitter.answers["fusion"].on(fitter.days.test)
    there = np.asarray(answers.outputs["text_available"])
    mute, spoken = answers.known & (there == 0.0), answers.known & (there == 1.0)
    if not mute.any():
        return [not_asked("text that is absent", "fusion", "all", "every row of test has text", walk.number)], [], 0
    checks = [*_weight(walk, np.asarray(answers.outputs["learned_qualitative_weight"])[mute]), *_formula(walk, mute)]
    quiet = stand_of(plan, silenced(plan, fitter), held)
    found, metrics = _compared(walk, "text silenced", base, quiet, mute)
    checks += found
    for found, told in (_put_to_the_test(walk, base, held, mute), _without_encoder(plan, walk, base, held, mute)):
        checks += found
        metrics += told
    for what, pair in _moved_pairs(walk, seed):
        if pair is None:
            checks.append(not_asked(what, "fusion", "all", "the closed formula has no weights", walk.number))
            continue
        one, two = (stand_of(plan, _with_fusion(fitter, fitted), held) for fitted in pair)
        if not _felt(one, two, spoken):
            why = "moving the weights of text changes no row with text either, so nothing is shown"
            checks.append(not_asked(what, "fusion", "all", why, walk.number))
            continue
        found, told = _compared(walk, what, one, two, mute)
        checks += found
        metrics += told
    weight = float(np.quantile(np.asarray(answers.outputs["learned_qualitative_weight"])[mute], 0.99))
    metrics.append(_metric(walk, "weight of text where there is none, 99th percentile", weight, WEIGHT))
    return checks, metrics, int(mute.sum())


def stand_of(plan: Plan, fitter: ChunkFitter, held: FloatArray) -> Stand:
    """Fusion's answers on test, and the barrier's with these weights in hand."""
    inputs: BarrierInputs = dataclasses.replace(stack_scene(plan, fitter, "test").inputs, held_weight=held)
    answers = fitter.answers["fusion"].on(fitter.days.test)
    return Stand({name: np.asarray(answers.outputs[name]) for name in LEARNED}, evaluate(inputs, plan.rules))


def silenced(plan: Plan, fitter: ChunkFitter, names: tuple[str, ...] = BRANCH) -> ChunkFitter:
    """The walk as it answers with its branch of text silent; nothing is fitted."""
    quiet = {name: "silent" for name in names if name in fitter.stack}
    return answered_again(fitter, plan, dataclasses.replace(plan, stand_ins=quiet))[0]  # type: ignore[arg-type]


def _put_to_the_test(walk: Walk, base: Stand, held: FloatArray, mute: BoolArray) -> tuple[list[Check], list[Metric]]:
    """Whether any row without text is held or bought, so that its action and size could have changed."""
    n = int(((held != 0.0) | (np.nan_to_num(base.values("target_weight")) != 0.0))[mute].sum())
    name, n_rows = "rows without text that are held or bought", int(mute.sum())
    detail = "" if n else f"0 of {n_rows} rows without text are held or bought: action and size were not put to the test"
    check = Check(name, "decisions", "target_weight", walk.number, "", bool(n), detail, "test", hard=False)
    told = Metric(name, "decisions", walk.number, "test", float(n), f"of {n_rows}, at least 1", check.verdict)
    return [check], [told]


def _without_encoder(
    plan: Plan, walk: Walk, base: Stand, held: FloatArray, mute: BoolArray
) -> tuple[list[Check], list[Metric]]:
    """The branch and its encoder silenced; what then differs comes through the other modules that read the encoder."""
    fitter, what = walk.fitter, "text and its encoder silenced"
    if ENCODER not in fitter.answers:
        return [not_asked(what, "fusion", "all", "the encoder is silent in the plan", walk.number)], []
    quiet = stand_of(plan, silenced(plan, fitter, (ENCODER, *BRANCH)), held)
    apart = {name: _apart(base, quiet, name, mute) for name in (*LEARNED, *DECIDED)}
    largest = float(np.nan_to_num([apart[name] for name in LEARNED], nan=np.inf).max())
    n = int(np.any([~(apart[name] <= SAME) for name in DECIDED], axis=0).sum())
    ways = [
        name
        for name in fitter.answers
        if name not in BRANCH and any(read.column.startswith(f"{ENCODER}.") for read in fitter.stack[name].reads)
    ]
    through = f"all of it comes through {' and '.join(ways)}, which hears the text of the whole market"
    detail = f"{n} of {int(mute.sum())} rows change their final action or size, fusion's numbers by at most {largest:.3g}: "
    passed, hard = n == 0 and largest <= SAME, not ways
    told = "" if passed else detail + (through if ways else "no module but the branch reads the encoder")
    check = Check(what, "fusion", "all", walk.number, "", passed, told, "test", hard)
    changed = Metric(
        f"rows that change action or size, {what}", "decisions", walk.number, "test", float(n), "0", check.verdict
    )
    size = dataclasses.replace(_metric(walk, f"largest difference, {what}", largest, SAME), verdict=check.verdict)
    return [check], [changed, size]


def _with_fusion(fitter: ChunkFitter, fitted: FittedFusion) -> ChunkFitter:
    """The walk with another fit of fusion, which answers test again."""
    test, given = fitter.days.test, fitter.answers["fusion"]
    again = fitted.predict_many(fitter.span(fitter.stack["fusion"], test, fitter.days.last))
    rows = np.searchsorted(given.days, test)
    outputs = {name: np.array(values) for name, values in given.outputs.items()}
    for name, values in again.outputs.items():
        outputs[name][rows] = values
    return dataclasses.replace(fitter, answers={**fitter.answers, "fusion": dataclasses.replace(given, outputs=outputs)})


def _moved_pairs(walk: Walk, seed: int) -> Iterator[tuple[str, tuple[FittedFusion, FittedFusion] | None]]:
    """Fusion as it stands, and with all its residuals speaking, each beside itself with other weights of text."""
    fitted: Any = walk.fitter.answering("fusion", int(walk.fitter.days.test[0]))[0]
    model: FusionModel | None = getattr(fitted, "model", None)
    rng = np.random.default_rng([seed, walk.number])
    if model is None:
        yield "weights of text moved", None
        return
    drawn = {name: 0.1 * rng.standard_normal(values.shape) for name, values in model.sizes.network().state_dict().items()}
    given = {name: one.astype(np.float32) for name, one in drawn.items()} if not model.weights else model.weights
    loud = dataclasses.replace(model, speaks=np.ones(N_RESIDUALS), weights=given)
    for what, one in (("weights of text moved", model), ("weights of text moved, all residuals speaking", loud)):
        yield what, tuple(dataclasses.replace(fitted, model=m) for m in (one, moved_text_weights(one, rng)))


def moved_text_weights(model: FusionModel, rng: np.random.Generator) -> FusionModel:
    """The model with a standard normal added to every weight of an input of text, and to the scales of such inputs."""
    of_text = np.tile(IS_TEXT, 2)  # values, then flags
    weights = {name: np.array(values) for name, values in model.weights.items()}
    for name, values in weights.items():
        if values.ndim == 2 and values.shape[1] == len(of_text):
            values[:, of_text] += rng.standard_normal((len(values), int(of_text.sum()))).astype(values.dtype)
        weights[name] = values
    columns = [*ANCHORED_TEXT, *(N_ANCHOR_INPUTS + at for at in ANCHORED_TEXT)]
    anchors = []
    for anchor in model.anchors:
        coefficients = np.array(anchor.coefficients)
        coefficients[columns] += rng.standard_normal(len(columns))
        anchors.append(dataclasses.replace(anchor, coefficients=coefficients))
    mean = np.where(IS_TEXT, model.scaler.mean + rng.standard_normal(len(IS_TEXT)), model.scaler.mean)
    scaler = dataclasses.replace(model.scaler, mean=mean)
    return dataclasses.replace(model, weights=weights, anchors=tuple(anchors), scaler=scaler)


def _felt(one: Stand, two: Stand, spoken: BoolArray) -> bool:
    return any(bool((one.values(name)[spoken] != two.values(name)[spoken]).any()) for name in LEARNED)


def _compared(walk: Walk, what: str, one: Stand, two: Stand, rows: BoolArray) -> tuple[list[Check], list[Metric]]:
    checks, largest = [], 0.0
    dates, tickers = walk.fitter.store.dates, walk.fitter.store.tickers
    day, asset = np.nonzero(rows)
    for name in (*LEARNED, *DECIDED):
        before, after, apart = one.values(name)[rows], two.values(name)[rows], _apart(one, two, name, rows)
        far = np.flatnonzero(~(apart <= SAME))
        detail = ""
        if len(far):
            at = int(far[0])
            who = f"{tickers[walk.fitter.assets[asset[at]]]} {dates[walk.fitter.days.test[day[at]]]}"
            detail = f"{len(far)} of {len(apart)} rows, first {who}: {before[at]:g} became {after[at]:g}"
        largest = max(largest, float(np.nan_to_num(apart, nan=np.inf).max(initial=0.0)))
        module = "fusion" if name in LEARNED else "decisions"
        checks.append(Check(what, module, name, walk.number, "", not len(far), detail, "test"))
    return checks, [_metric(walk, f"largest difference, {what}", largest, SAME)]


def _apart(one: Stand, two: Stand, name: str, rows: BoolArray) -> FloatArray:
    """Absolute differences of one value, (n_rows,); two that are missing are the same."""
    before, after = one.values(name)[rows], two.values(name)[rows]
    return np.where((before == after) | (np.isnan(before) & np.isnan(after)), 0.0, np.abs(before - after))


def _metric(walk: Walk, name: str, value: float, most: float) -> Metric:
    shown = round(value, 9) if np.isfinite(value) else None
    return Metric(name, "fusion", walk.number, "test", shown, f"<= {most:g}", "pass" if value <= most else "FAIL")


def _weight(walk: Walk, weights: FloatArray) -> Iterator[Check]:
    high = float(np.quantile(weights, 0.99))
    detail = f"99 % of {len(weights)} rows have at most {high:.4f}, asked {WEIGHT}" if high > WEIGHT else ""
    column = "learned_qualitative_weight"
    yield Check("weight of text where there is none", "fusion", column, walk.number, "", not detail, detail, "test")


def _formula(walk: Walk, rows: BoolArray) -> Iterator[Check]:
    fused = np.asarray(walk.fitter.answers["fusion"].on(walk.fitter.days.test).outputs[FORMULA[0]])
    own = np.asarray(walk.fitter.answers["quantitative"].on(walk.fitter.days.test).outputs[FORMULA[1]])
    above = (fused - own)[rows] > SAME
    detail = f"{int(above.sum())} of {len(above)} rows" if above.any() else ""
    yield Check("risk not above the quantitative risk", "fusion", FORMULA[0], walk.number, "", not detail, detail, "test")


def held_in(case: Case, walk: Walk) -> FloatArray:
    """What the run held at each decision of test, (n_sessions, n_assets); 0 for names that are no members."""
    rows, days = case.decided(walk.number, "test"), walk.fitter.days.test
    held = np.zeros((len(days), len(walk.fitter.assets)))
    day: IntArray = np.searchsorted(days, case.sessions(rows["date"]))
    held[day, np.searchsorted(walk.fitter.assets, case.assets(rows["ticker"]))] = rows["held_weight"].to_numpy()
    return held
