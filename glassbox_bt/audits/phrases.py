"""What each number of a summary claims to be: the phrases of the house's texts, and the columns they speak of.

A phrase holds one ``{}``, the number, among the words around it; other numbers are written ``#``. ``{}%`` and ``{} percent``
print a fraction. A source is a column; ``=10`` that very number; ``-column`` its opposite, ``|column|`` its size. A number
that no phrase covers has no source, so nothing can be said for it. Names of neighbours are written ``name`` (`summaries`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from glassbox_bt.modules._attribution import RISK_WORDS, RISKS

__all__ = ["DRIVERS", "PHRASES", "WORDS", "Said", "Slot", "slots_of"]

WORDS_OF = dict(zip(RISKS, RISK_WORDS, strict=True))


@dataclass(frozen=True, slots=True)
class Slot:
    """One number of a text: where its value comes from, and the factor that it is printed with."""

    source: str  # "" where no phrase covers the number
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Said:
    """A word of a text that must agree with its row."""

    pattern: str  # its first group is the word
    column: str
    words: Mapping[str, str]  # value of the column to the word


_ACTIONS = {name: name for name in ("SELL", "HOLD", "BUY")}
_CAPITAL = {name: name.capitalize() for name in _ACTIONS}
_SMALL = {name: name.lower() for name in _ACTIONS}

_VOLATILITY = (
    ("forecast {}% a year", "vol_10d"),
    ("a year over {} sessions", "=10"),
    ("and {}% over", "vol_30d"),
)
_GARCH = (
    *_VOLATILITY,
    ("% over {}, after", "=30"),
    ("after {}% realised", "recent_vol"),
    ("realised in {} sessions", "=21"),
    ("Persistence {},", "persistence"),
    ("estimated {} sessions ago", "refit_age"),
)
_PUSHED = {  # what moved a forecast, in the words of volatility and of drawdown
    "garch": ("The GARCH forecast", "the GARCH forecast"),
    "recent": ("Recent realised volatility", "recent realised volatility"),
    "embedding": ("The shape of the last 30 sessions", "the shape of the last sessions"),
}
_THIRDS = ("low", "medium", "high")
_CHANCES = ("contagion_5d", "=5", "contagion_20d", "=20", "contagion_60d", "=60")
_LOSS = "extreme loss #% within #, #% within #, #% within # sessions"


_PULLS = {  # what moved the score of a chunk or the impact of a document
    "wording": "its wording",
    "polarity": "how the language engine reads it",
    "facts": "its length, age and form",
    "network": "the network",
}
_ITSELF = {**_PULLS, "polarity": "how the language engine itself reads it"}
_TEXT_DRIVERS = {
    "sentiment": "sentiment",
    "news_impact": "news impact",
    "risk_relevance": "relevance for risk",
    "volatility_spike": "a likely volatility spike",
    "drawdown_risk": "a likely drawdown",
    "news_uncertainty": "uncertain news",
}


def _chance(place: int) -> str:
    """The phrase of the three chances and their horizons in which the number at one place is asked for."""
    parts = _LOSS.split("#")
    return "#".join(parts[: place + 1]) + "{}" + "#".join(parts[place + 1 :])


PHRASES: Mapping[str, tuple[tuple[str, str], ...]] = MappingProxyType(
    {
        "text_encoder": (
            ("up to {}-#-#", "cutoff_year"),
            ("up to #-{}-#", "cutoff_month"),
            ("up to #-#-{}, read", "cutoff_day"),
            ("read chunk {} of", "chunk_place"),
            ("chunk # of {},", "n_chunks"),
            (", {} words", "word_count"),
            ("put it as {} numbers", "components"),
            ("mood of {}, from", "polarity"),
            ("from {} to", "=-1"),
            ("from # to {}.", "=1"),
        ),
        "sentiment": (
            ("Sentiment {} of", "predicted_sentiment_score"),
            ("of {} among", "=1"),
            ("(raw {}),", "predicted_sentiment_score_raw"),
            ("with chance {},", "predicted_sentiment_confidence"),
            ("expected size {};", "predicted_sentiment_magnitude"),
            *((f"{words} ({{}});", f"sentiment_effect_{pull}") for pull, words in _ITSELF.items()),
            ("the text has {} words", "word_count"),
        ),
        "news": (
            ("News impact {} of", "predicted_news_event_impact"),
            ("of {} among", "=1"),
            ("(raw {}),", "predicted_news_event_impact_raw"),
            ("importance {};", "predicted_news_importance"),
            ("volatility spike {},", "predicted_volatility_spike_raw"),
            ("of a drawdown {};", "predicted_drawdown_risk_raw"),
            ("uncertainty {}.", "predicted_news_uncertainty"),
            *((f"{words} ({{}}).", f"news_effect_{pull}") for pull, words in _PULLS.items()),
            ("to this chunk {}, of", "attention_mean"),
            (", of {}.", "news_chunk_count"),
        ),
        "qualitative": (
            *((f"on a text score of {{}} {after}", "qualitative_score") for after in ("and", "by")),
            ("text risk of {};", "qualitative_risk_score"),
            ("sign is right {}.", "qualitative_confidence"),
            ("; confidence {}.", "qualitative_confidence"),
            ("that count: {},", "event_count"),
            ("of which {} have", "sentiment_event_count"),
            ("and {} are news", "news_event_count"),
            ("Tone adds {} and", "sentiment_contribution"),
            ("and news {}.", "news_contribution"),
        ),
        "qualitative_events": (
            ("with a score of {} and", "qualitative_score"),
            ("a risk of {};", "qualitative_risk_score"),
        ),
        "temporal_encoder": (
            ("the session {} days ago", "attention_ago"),
            ("with {}% of its weight", "attention_top"),
            ("off by {} train variances", "reconstruction_error"),
        ),
        "technical": (
            ("higher than {}% of forecasts", "trend_score"),
            ("momentum {},", "momentum_score"),
            ("timing {}.", "timing_confidence"),
            ("return of the last {} sessions", "=20 5"),
            ("within the {}-session range", "=21"),
            ("the session {} days ago", "attention_ago"),
            ("{}% of its attention", "attention_top"),
            ("Reliability {}.", "trend_reliability"),
        ),
        "garch": _GARCH,
        "volatility": (
            *_GARCH,
            ("% over {}, most", "=30"),
            *(
                (f"in the {third} third of the train years (probability {{}}%)", f"regime_probs_{third}")
                for third in _THIRDS
            ),
            ("last {} sessions counts", "=30"),
            *(
                (f"{words.replace('30', '#')} counts most and {verb} it by {{}}%.", f"{sign}effect_{group}")
                for group, (words, _) in _PUSHED.items()
                for verb, sign in (("raises", ""), ("lowers", "-"))
            ),
            ("Confidence {}.", "confidence"),
        ),
        "drawdown": (
            ("Expected drawdown {}% over", "expected_drawdown_10d"),
            ("% over {} sessions and", "=10"),
            ("sessions and {}% over", "expected_drawdown_30d"),
            ("% over {}; risk", "=30"),
            ("risk of {}% or more", "=0.08"),
            ("or more {}%,", "drawdown_risk_30d"),
            ("score {}.", "drawdown_risk_score"),
            *(
                (f"Most of all {words} {verb} it, by {{}}%.", f"{sign}effect_{group}")
                for group, (_, words) in _PUSHED.items()
                for verb, sign in (("deepens", ""), ("softens", "-"))
            ),
            ("Recovery {} of", "recovery_days_30d"),
            ("of {} sessions, confidence", "=30"),
            ("confidence {}.", "confidence_30d"),
            ("attention: today, {}%.", "attention_top"),
            ("attention: {} sessions ago", "attention_ago"),
            ("sessions ago, {}%.", "attention_top"),
        ),
        "contagion": (
            *((_chance(at), source) for at, source in enumerate(_CHANCES)),
            ("own history alone says {}% for", "own_history_20d"),
            ("% for {}.", "=20"),
            ("by weight: name {}%", "influence_1"),
            ("by weight: name #%, name {}%", "influence_2"),
            ("by weight: name #%, name #%, name {}%", "influence_3"),
            ("this week hold {}% of the weights", "neighbour_stress"),
            ("an extreme loss over {} sessions is", "=5 20 60"),
            ("the chance over {} sessions.", "=20"),
        ),
        "regime": (
            ("over the next {} sessions", "=20"),
            *((f"{name} {{}}%", f"prob_{name}") for name in ("calm", "volatile", "crisis", "rotation")),
            ("has chance {}%.", "transition_probability"),
            ("Market volatility {}% a year", "market_vol_21d"),
            ("a year, drawdown {}%,", "market_drawdown_63d"),
            ("graph stress {}.", "learned_graph_stress"),
        ),
        "var": (
            ("Value at risk of {} observed days", "window_size"),
            ("one day in twenty returned {}%", "var_95"),
            ("one in a hundred {}%", "var_99"),
            ("as bad as on {}% of its ranked", "not_worse_share"),
        ),
        "cvar": (
            ("shortfall: the {}% tail", "=0.05"),
            ("tail holds {} observed days", "tail_count_95"),
            ("days that averaged {}%", "cvar_95"),
            (", the {}% tail", "=0.01"),
            ("% tail {} that averaged", "tail_count_99"),
            ("tail # that averaged {}%", "cvar_99"),
            ("is {} times value at risk", "tail_ratio_95"),
            ("worst day ({}%)", "tail_worst"),
            ("former would be {}%", "cvar_95_without_worst"),
        ),
        "liquidity": (
            ("Liquidity score {} is the sum", "liquidity_score"),
            ("money traded {}, volume", "dv_share"),
            ("against one month {},", "vr_share"),
            ("against one year {};", "to_share"),
            ("would need {} traded per day", "dollar_volume_needed"),
            ("takes {} sessions", "days_to_liquidate_1M"),
            ("slippage {}%.", "slippage_estimate_frac"),
            ("liquidity score {},", "liquidity_score"),
            ("tradable {},", "tradable"),
            ("slippage estimate frac {},", "slippage_estimate_frac"),
            ("days to liquidate 1M {}.", "days_to_liquidate_1M"),
        ),
        "position_sizing": (
            ("Risk allows {} percent of equity", "recommended_capital_fraction"),
            ("combined risk score {} gives", "combined_risk_score"),
            ("cap of {} percent binds", "binding_hard_cap"),
            *((f"leading risk is {words} at {{}}.", f"{risk}_risk_score") for risk, words in WORDS_OF.items()),
        ),
        "quantitative": (
            ("signal of {} and", "risk_adjusted_quantitative_signal"),
            ("risk score of {};", "quantitative_risk_score"),
            ("on that side {}.", "quantitative_confidence"),
            *((f"goes to {words} (share {{}})", f"risk_attention_{risk}") for risk, words in WORDS_OF.items()),
            *((f"{words} raises the risk by {{}}.", f"risk_delta_{risk}") for risk, words in WORDS_OF.items()),
            *((f"{words} lowers the risk by {{}}.", f"-risk_delta_{risk}") for risk, words in WORDS_OF.items()),
            *((f"{words} leaves the risk by {{}}.", f"|risk_delta_{risk}|") for risk, words in WORDS_OF.items()),
            *((f"{words} leaves the risk as it is ({{}}).", f"|risk_delta_{risk}|") for risk, words in WORDS_OF.items()),
        ),
        "fusion": (
            *((f"{name} (probability {{}})", f"learned_{name.lower()}_prob") for name in _ACTIONS),
            ("): signal {},", "learned_fusion_signal"),
            ("risk score {},", "learned_fusion_risk_score"),
            ("confidence {}.", "learned_fusion_confidence"),
            ("Quantitative weight {},", "learned_quantitative_weight"),
            ("text weight {}.", "learned_qualitative_weight"),
            ("neutral with weight {}.", "learned_qualitative_weight"),
            ("allowed size: {}.", "learned_position_multiplier"),
        ),
        "decisions": (
            ("with signal {},", "learned_fusion_signal"),
            (", risk {} and", "learned_fusion_risk_score"),
            ("and confidence {}.", "learned_fusion_confidence"),
            ("Sizing recommends {} percent", "recommended_capital_fraction"),
            ("learning {} percent", "pre_rule_learned_position_fraction"),
            ("held {} percent", "held_weight"),
            ("Held {} percent", "held_weight"),
            ("permitted {} percent", "final_position_fraction"),
            ("and {} more.", "more_rules"),
            ("and {} more).", "more_codes"),
            ("Approved: {} percent", "approved_fraction"),
        ),
    }
)
DRIVERS: Mapping[str, str] = MappingProxyType(  # how each text names what drove it
    {
        "text_encoder": r"^The text engine",
        "sentiment": r"Most of it comes from",
        "news": r"Most of the impact comes from",
        "qualitative": r"main driver is",
        "qualitative_events": r"main driver is",
        "temporal_encoder": r"attends most to (today|the session)",
        "technical": r"counts most|looked most at",
        "garch": r"realised volatility carries|long-run level|fading of recent shocks",
        "volatility": r"counts most|realised volatility carries|long-run level|fading of recent shocks",
        "drawdown": r"Most of all ",
        "contagion": r"Strongest influences by weight|No neighbour influences|Most of all ",
        "regime": r"Most of all, ",
        "var": r"tail loss is",
        "cvar": r"tail holds",
        "liquidity": r"is the sum of money traded|No driver stands behind it",
        "position_sizing": r"leading risk is",
        "quantitative": r"attention goes to",
        "fusion": r"main risk driver is",
        "decisions": r"Leading risk: |Rules: |No rule spoke",
    }
)
WORDS: Mapping[str, tuple[Said, ...]] = MappingProxyType(
    {
        "sentiment": (
            Said(r"\), (\w+) with chance", "class_word", {}),
            Said(r"Most of it comes from ([a-z, ]+) \(", "top_effect", _ITSELF),
        ),
        "news": (Said(r"impact comes from ([a-z, ]+) \(", "top_effect", _PULLS),),
        "qualitative": (
            Said(r"^(SELL|HOLD|BUY) on", "qualitative_recommendation", _ACTIONS),
            Said(r"main driver is ([a-z ]+)\.", "dominant_qualitative_driver", _TEXT_DRIVERS),
        ),
        "qualitative_events": (
            Said(r"^By itself (SELL|HOLD|BUY) with", "qualitative_recommendation", _ACTIONS),
            Said(r"main driver is ([a-z ]+)\.", "dominant_qualitative_driver", _TEXT_DRIVERS),
        ),
        "volatility": (
            Said(r"in the (\w+) third", "regime_label", {}),
            Said(r"\. ([A-Za-z# ]+) counts most", "top_effect", {k: w[0].replace("30", "#") for k, w in _PUSHED.items()}),
        ),
        "drawdown": (
            Said(r"Most of all ([A-Za-z ]+) (?:deepens|softens)", "top_effect", {k: w[1] for k, w in _PUSHED.items()}),
        ),
        "regime": (
            Said(r"^Most likely (\w+) over", "regime_label", {}),
            Said(r"Today counts as (\w+);", "nowcast_regime", {}),
        ),
        "quantitative": (
            Said(r"^(SELL|HOLD|BUY) on", "quantitative_recommendation", _ACTIONS),
            Said(r"an? (\w+) risk score", "quantitative_risk_state", {}),
            Said(r"attention goes to ([a-z ]+) \(", "top_attention_risk_driver", WORDS_OF),
            Said(r"; ([a-z ]+) (?:raises|lowers|leaves) the risk", "top_delta_risk_driver", WORDS_OF),
        ),
        "fusion": (
            Said(r"^(SELL|HOLD|BUY) \(", "learned_recommendation", _ACTIONS),
            Said(r"main risk driver is ([a-z ]+)\.", "top_delta_risk_driver", WORDS_OF),
        ),
        "position_sizing": (Said(r"gives a ([a-z ]+) position", "size_bucket", {"three_quarters": "three quarters"}),),
        "decisions": (
            Said(r"^(Sell|Hold|Buy)[:,]", "final_recommendation", _CAPITAL),
            Said(r"learning said (sell|hold|buy) with", "learned_recommendation", _SMALL),
            Said(r"Leading risk: ([a-z ]+)\.", "top_attention_risk_driver", WORDS_OF),
        ),
    }
)


@cache
def slots_of(kind: str, skeleton: str) -> tuple[Slot, ...]:
    """The source of each number of a text whose numbers are written ``#``, in their order."""
    found = [Slot("")] * skeleton.count("#")
    for phrase, source in PHRASES.get(kind, ()):
        before, _, after = phrase.partition("{}")
        scale = 100.0 if after.startswith(("%", " percent")) else 1.0
        for match in re.finditer(re.escape(before) + "#" + re.escape(after), skeleton):
            place = skeleton.count("#", 0, match.start() + len(before))
            found[place] = Slot(source, scale)
    return tuple(found)
