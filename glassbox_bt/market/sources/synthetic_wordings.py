"""What the headlines of a synthetic market say: for each of the 15 event types good and bad news, in several wordings.

Written as a newsroom might put it, some plainly and some around the corner, so that there is something to generalise over.
Every type that is about a company comes with both signs, so that the type does not give the sign away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

__all__ = ["MARKET_NOTES", "STORIES", "Story", "worded"]


@dataclass(frozen=True, slots=True)
class Story:
    """One kind of news. ``{who}`` is the company; ``{quarter}``, ``{pct}`` and ``{money}`` are details without effect."""

    event_type: str  # of spec 26.1
    event: str
    sign: int
    wordings: tuple[str, ...]


STORIES: tuple[Story, ...] = (
    Story("earnings", "results", 1, (
        "{who} beats {quarter}-quarter estimates on strong demand",
        "{quarter}-quarter profit at {who} jumps {pct} percent",
        "{who} earns more than anyone on the street had pencilled in",
        "Record {quarter} quarter for {who} as margins widen",
        "{who} returns to profit after two lean years",
    )),
    Story("earnings", "results", -1, (
        "{who} misses {quarter}-quarter estimates as costs rise",
        "{quarter}-quarter profit at {who} falls {pct} percent",
        "{who} earns less than anyone on the street had pencilled in",
        "{who} posts a surprise {quarter}-quarter loss",
        "{who} writes down assets by {money} million",
    )),
    Story("guidance", "outlook", 1, (
        "{who} raises its full-year outlook",
        "{who} lifts sales forecast by {pct} percent",
        "{who} now expects the year to be better than it said in spring",
        "Full-year targets too low, {who} tells investors",
    )),
    Story("guidance", "outlook", -1, (
        "{who} cuts its full-year outlook",
        "{who} issues profit warning, shares marked down",
        "{who} now expects the year to be worse than it said in spring",
        "{who} withdraws its forecast for the year",
    )),
    Story("dividend_change", "dividend", 1, (
        "{who} raises quarterly dividend by {pct} percent",
        "Holders of {who} to receive a special dividend",
        "{who} to pay out more to shareholders from next quarter",
        "{who} reinstates its dividend",
    )),
    Story("dividend_change", "dividend", -1, (
        "{who} cuts quarterly dividend by {pct} percent",
        "{who} suspends dividend to save cash",
        "No payout this year for holders of {who}",
        "{who} halves its dividend",
    )),
    Story("stock_buyback", "buyback", 1, (
        "{who} announces {money} million share repurchase program",
        "{who} to buy back up to {pct} percent of its stock",
        "Board of {who} adds {money} million to buyback",
        "{who} will retire a tenth of its own shares",
    )),
    Story("stock_buyback", "buyback", -1, (
        "{who} halts its share repurchase program",
        "{who} suspends buyback until further notice",
        "{who} shelves plans to purchase its own shares",
    )),
    Story("refinancing", "capital", 1, (
        "{who} refinances {money} million of debt at a lower rate",
        "{who} redeems its senior notes early",
        "{who} places {money} million of bonds, order book five times covered",
        "{who} pays off what it owed from the takeover years",
    )),
    Story("refinancing", "capital", -1, (
        "{who} prices dilutive secondary offering of {money} million shares",
        "{who} sells new shares at a {pct} percent discount",
        "{who} hires advisers to restructure its debt",
        "{who} needs fresh money from its owners, the third time in two years",
    )),
    Story("credit_facility", "credit", 1, (
        "{who} secures new {money} million revolving credit facility",
        "Banks extend credit line of {who} by three years",
        "{who} signs {money} million term loan on easier terms",
        "Lenders give {who} more room to borrow",
    )),
    Story("credit_facility", "credit", -1, (
        "{who} draws down all of its revolving credit facility",
        "Banks cut credit line of {who} in half",
        "{who} fails to renew its {money} million loan facility",
        "Lenders give {who} less room to borrow",
    )),
    Story("covenant_change", "covenant", 1, (
        "Lenders waive covenant for {who} until next year",
        "{who} wins covenant relief from its banks",
        "{who} agrees looser debt tests with its lenders",
    )),
    Story("covenant_change", "covenant", -1, (
        "{who} breaches loan covenant, talks to lenders",
        "{who} enters forbearance agreement with its banks",
        "Lenders impose tighter covenants on {who}",
        "{who} overshoots the debt limit agreed with its lenders",
    )),
    Story("litigation", "lawsuit", 1, (
        "Court dismisses lawsuit against {who}",
        "{who} wins patent case on appeal",
        "Judge throws out {money} million claim against {who}",
        "Jury clears {who} of wrongdoing",
    )),
    Story("litigation", "lawsuit", -1, (
        "{who} sued over accounting by its shareholders",
        "{who} loses patent case, ordered to pay {money} million",
        "Former supplier takes {who} to court",
        "Class action filed against {who}",
    )),
    Story("regulatory", "regulator", 1, (
        "{who} wins regulatory approval for its main product",
        "Regulator closes investigation of {who} without action",
        "Watchdog gives {who} the green light",
        "Authorities clear {who} to sell in all states",
    )),
    Story("regulatory", "regulator", -1, (
        "Regulator opens investigation of {who}",
        "{who} fined {money} million by watchdog",
        "Authorities bar {who} from selling its main product",
        "{who} receives warning letter from inspectors",
    )),
    Story("management_change", "management", 1, (
        "{who} names industry veteran as chief executive, investors cheer",
        "Respected founder comes back to lead {who}",
        "{who} appoints well-regarded finance chief",
    )),
    Story("management_change", "management", -1, (
        "Chief executive of {who} resigns without explanation",
        "{who} loses its finance chief to a rival",
        "{who} ousts its chief executive after a row",
        "Head of {who} walks out",
    )),
    Story("m_and_a", "deal", 1, (
        "{who} receives takeover offer at a {pct} percent premium",
        "Rival makes {money} million bid for {who}",
        "Suitors circle {who}, price well above market",
        "{who} in merger talks that would lift earnings",
    )),
    Story("m_and_a", "deal", -1, (
        "Takeover of {who} collapses",
        "Suitor walks away from {who}",
        "{who} overpays in {money} million acquisition, holders protest",
        "Merger of {who} called off",
    )),
    Story("product_recall", "recall", 1, (
        "Recall inquiry into {who} ends, no defect found",
        "{who} resumes sales, recall over sooner than feared",
        "{who} says recall cost far below what was set aside",
    )),
    Story("product_recall", "recall", -1, (
        "{who} recalls {money},000 units over safety defect",
        "{who} pulls its best-selling product from shelves",
        "{who} widens recall after injuries",
        "{who} asks customers to return faulty goods",
    )),
    Story("cybersecurity_incident", "cyber", 1, (
        "{who} says cyberattack was contained, no data lost",
        "Data breach at {who} smaller than feared",
        "{who} recovers all files that hackers had locked",
    )),
    Story("cybersecurity_incident", "cyber", -1, (
        "{who} hit by data breach, customer records stolen",
        "Hackers break into systems of {who}",
        "Intruders copied client files at {who}, the company admits",
        "Ransomware stops production at {who}",
    )),
    Story("other", "rating", 1, (
        "Broker upgrades {who} to buy on strong demand",
        "Analysts lift price target for {who}",
    )),
    Story("other", "rating", -1, (
        "Broker downgrades {who} to sell on weak demand",
        "Analysts trim price target for {who}",
    )),
    Story("other", "contract", 1, (
        "{who} wins a large long-term contract",
        "{who} lands its biggest customer yet",
    )),
    Story("other", "contract", -1, (
        "{who} loses its largest customer",
        "Client cancels {money} million order at {who}",
    )),
    Story("other", "note", 0, (
        "{who} to present at an industry conference",
        "{who} opens its doors to school classes",
        "{who} publishes its calendar of events",
    )),
    Story("earnings", "schedule", 0, (
        "{who} to report {quarter}-quarter results next week",
        "{who} sets date for its earnings call",
    )),
    Story("dividend_change", "schedule", 0, (
        "{who} declares regular quarterly dividend",
        "{who} pays its usual dividend, unchanged",
    )),
)  # fmt: skip

MARKET_NOTES: tuple[Story, ...] = (
    Story("other", "digest", 0, (
        "What investors talk about this week",
        "Five things to read over the weekend",
    )),
    Story("macro", "policy", 0, (
        "Central bank officials speak; no change of policy expected",
        "Inflation data due on Friday",
        "Treasuries little changed before payrolls",
        "Economists see the economy on a steady path",
    )),
)  # fmt: skip

_QUARTERS = ("first", "second", "third", "fourth")


def worded(story: Story, who: str, rng: np.random.Generator) -> tuple[str, int]:
    """One wording of a story, and its number among them."""
    number = int(rng.integers(len(story.wordings)))
    details: Mapping[str, object] = {
        "quarter": _QUARTERS[int(rng.integers(4))],
        "pct": int(rng.integers(2, 41)),
        "money": int(rng.integers(2, 100)) * 10,
    }
    text = story.wordings[number].format(who=who, **details)
    return text[0].upper() + text[1:], number
