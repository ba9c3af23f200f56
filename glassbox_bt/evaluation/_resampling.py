"""Days drawn again in blocks: the worlds in which `intervals` learns how far a measure strays.

1. A volatility is taken off. Over two strategies the squares of both, each by its own variance, share one factor *s*: the
   multiplicative error model s[t+1] = (1 - a - b) + a q[t] + b s[t] (Engle 2002), which for one strategy is a GARCH(1,1)
   around its sample variance (Engle & Mezrich 1996).                                                        `_factors`
2. How quickly *s* forgets is drawn, not fitted: each draw takes one (a, b) of a fixed grid, with the probability that
   Student-t likelihoods give it. The grid holds "volatility is constant", at even odds, and half-lives of a month to a
   season; three years of days cannot tell a slow memory from a slow change of level.                        `_weights`
3. Blocks of days are drawn at random, all columns together, circular within a part (Politis & Romano 1992); a block
   never crosses the end of a part, but may come from any: years are taken for years of one market.  `_positions`
4. The volatility is put back along the drawn path ("post-blackening": Davison & Hinkley 1997, section 8.2.3; for risk
   measures Barone-Adesi, Giannopoulos & Vosper 1999), so that calm and storm last as long as they did.   `_regrown`

Blocks alone forget a storm when they end, and show less than half of the standard error of a volatility whose half-life is
34 sessions. Days without a return stay without one. Columns other than returns are resampled as they are.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from arch.bootstrap import optimal_block_length
from numba import njit

from glassbox_bt.types import FloatArray, IntArray

Paths = Mapping[str, FloatArray]  # columns of one strategy on many paths, (n_boot, n_sessions) each

__all__ = ["MIN_BLOCK", "Days", "Paths", "block_for", "block_starts", "holdings_paths", "return_paths", "stream"]

COLUMNS = ("return", "exposure", "traded", "costs", "equity", "ones")
OPENING = 2  # sessions with which a part begins: in cash, then the first purchase
MIN_BLOCK = 10  # sessions; longer ones repeat, with the memory of volatility, what step 4 puts back
WARM_UP = 63  # sessions before each path, in which a draw's volatility forgets where it began
HALF_LIVES = (30.0, 60.0, 90.0)  # sessions; GARCH-t fits to an equal-weight portfolio of 20 US stocks give 25 to 78
DEGREES = 6.0  # of freedom of Student's t in the likelihood
KURTOSIS = 3.0 + 6.0 / (DEGREES - 4.0)
SHARES = (0.3, 0.5, 0.7, 0.85, 0.97)  # of the largest `a` at which returns still have a fourth moment


@dataclass(frozen=True, slots=True)
class Days:
    """The rows of one sample, as a value that can be compared.

    Parameters
    ----------
    data : bytes
        Columns of `COLUMNS` as float64, row by row, the parts one after the other; the last column counts the days.
    lengths : tuple[int, ...]
        Sessions of each part.
    """

    data: bytes
    lengths: tuple[int, ...]

    def column(self, name: str) -> FloatArray:
        """One of `COLUMNS`, or ``log_return``, (n_sessions,)."""
        if name == "log_return":
            return np.log1p(self.column("return"))
        return np.frombuffer(self.data).reshape(-1, len(COLUMNS))[:, COLUMNS.index(name)].copy()

    def held(self) -> Days:
        """The same columns without the first `OPENING` sessions of each part, whose sums are spread evenly over the others.

        A part begins in cash and buys at its second session (R20): these days are the same in every world, and no other
        can take their place. The ratios of sums stay what they are, the mean per day too.
        """
        if min(self.lengths) <= 2 * OPENING:
            return self
        rows = np.frombuffer(self.data).reshape(-1, len(COLUMNS))
        parts = np.split(rows, np.cumsum(self.lengths)[:-1])
        later = [part[OPENING:] + part[:OPENING].sum(axis=0) / (len(part) - OPENING) for part in parts]
        return Days(np.concatenate(later).tobytes(), tuple(len(part) for part in later))


def stream(key: str) -> np.random.Generator:
    """The random numbers of a name."""
    return np.random.default_rng(int.from_bytes(hashlib.blake2b(key.encode(), digest_size=16).digest()))


def block_for(series: Sequence[FloatArray], lengths: Sequence[int]) -> int:
    """Sessions per block: the longest that any of the series asks for (Patton, Politis & White 2009), at least `MIN_BLOCK`.

    No block is longer than a third of the shortest part. Series that do not vary ask for nothing.
    """
    longest = max(1, min(lengths) // 3)
    asked = MIN_BLOCK
    for one in series if longest > MIN_BLOCK else ():
        if np.ptp(one) > 0.0:
            with np.errstate(divide="ignore", invalid="ignore"):  # a series that is constant at one end
                found = float(optimal_block_length(one)["circular"].iloc[0])
            asked = max(asked, math.ceil(found) if math.isfinite(found) else 0)
    return min(asked, longest)


def block_starts(n: int, n_blocks: int, n_boot: int, rng: np.random.Generator) -> IntArray:
    """First days of the blocks of each draw, (n_boot, n_blocks); the draws of `arch.bootstrap.CircularBlockBootstrap`.

    arch makes one sample per call, which is too slow for hundreds of comparisons; tests hold the two against each other.
    """
    return rng.integers(n, size=(n_boot, n_blocks), dtype=np.int64)


def holdings_paths(sides: Sequence[Days], block: int, n_boot: int, key: str) -> list[Paths]:
    """Columns other than returns, of each side on the same resampled days; no volatility is taken off."""
    at = _positions(np.array(sides[0].lengths), block, n_boot, 0, stream(key))
    return [{name: side.column(name)[at] for name in COLUMNS[1:]} for side in sides]


def return_paths(sides: Sequence[Days], block: int, n_boot: int, key: str) -> list[Paths]:
    """``log_return`` and ``return`` of each side on the same resampled days.

    No resampled day halves or doubles the wealth, unless a day of the sample did.
    """
    rng, lengths = stream(key), np.array(sides[0].lengths)
    logs = [side.column("log_return") for side in sides]
    deviations = [_deviations(one) for one in logs]
    squares = [one**2 / np.mean(one**2) for one in deviations if one.any()]
    q = np.mean(squares, axis=0) if squares else np.ones(len(logs[0]))
    weights = _weights(q, lengths)
    s = _factors(q, lengths, *(weights @ GRID))
    s *= np.mean(q / s)  # what is left after division has mean square 1
    memory = GRID[rng.choice(len(GRID), size=n_boot, p=weights)]
    at = _positions(lengths, block, n_boot, WARM_UP, rng)
    scales = _regrown(q / s, s, at, memory)
    drawn = [_paths(one, deviation, at, scales) for one, deviation in zip(logs, deviations, strict=True)]
    return [{"log_return": one, "return": np.expm1(one)} for one in drawn]


def standardised(days: Days) -> FloatArray:
    """Deviations of log returns from their mean, by their volatility, (n_sessions,); zeros where returns do not vary."""
    deviations = _deviations(days.column("log_return"))
    if not deviations.any():
        return deviations
    q, lengths = deviations**2 / np.mean(deviations**2), np.array(days.lengths)
    return deviations / np.sqrt(_factors(q, lengths, *(_weights(q, lengths) @ GRID)))


def _deviations(logs: FloatArray) -> FloatArray:
    """Returns around the mean of the days that have one; 0 on the others, and everywhere if all of them are equal."""
    active = logs != 0.0
    if not active.any() or not np.ptp(logs[active]) > 0.0:
        return np.zeros(len(logs))
    deviations: FloatArray = np.where(active, logs - logs[active].mean(), 0.0)
    return deviations


def _grid() -> FloatArray:
    """Pairs (a, b): "constant" first, then for each half-life h those with a + b = 2^(-1/h).

    ``a`` is a share of the largest for which returns have a fourth moment, (1 - (a + b)²) / (kurtosis - 1) = a²; without
    one a sample's volatility has no standard error.
    """
    pairs = [(0.0, 0.0)]
    for half_life in HALF_LIVES:
        persistence = 2.0 ** (-1.0 / half_life)
        largest = math.sqrt((1.0 - persistence**2) / (KURTOSIS - 1.0))
        pairs += [(share * largest, persistence - share * largest) for share in SHARES]
    return np.array(pairs)


GRID = _grid()


def _weights(q: FloatArray, lengths: IntArray) -> FloatArray:
    """Probability of each pair of `GRID` given the days; before them "constant" had one half."""
    likelihoods = _likelihoods(q, lengths, GRID)
    weights: FloatArray = np.exp(likelihoods - likelihoods.max())
    weights[0] *= len(GRID) - 1
    weights /= weights.sum()
    return weights


def _positions(lengths: IntArray, block: int, n_boot: int, warm_up: int, rng: np.random.Generator) -> IntArray:
    """Day of the sample at each place of each path, (n_boot, warm_up + n_sessions)."""
    pieces = np.array([*([warm_up] if warm_up else []), *lengths], dtype=np.int64)
    starts = block_starts(int(lengths.sum()), int(sum(-(-pieces // block))), n_boot, rng)
    return _laid_out(starts, pieces, lengths, block)


@njit(cache=True)
def _laid_out(starts: IntArray, pieces: IntArray, lengths: IntArray, block: int) -> IntArray:
    """Blocks laid end to end; each piece begins with a new block, the last one of a piece is cut off."""
    found = np.empty((len(starts), pieces.sum()), dtype=np.int64)
    following = np.arange(1, lengths.sum() + 1)  # the day after each, circular within its part
    end = 0
    for length in lengths:
        end += length
        following[end - 1] = end - length
    for draw in range(len(starts)):
        place, taken = 0, 0
        for piece in pieces:
            for step in range(piece):
                if step % block == 0:
                    day = starts[draw, taken]
                    taken += 1
                found[draw, place] = day
                day = following[day]
                place += 1
    return found


@njit(cache=True)
def _factors(q: FloatArray, lengths: IntArray, a: float, b: float) -> FloatArray:
    """The factor before each day is seen, from 1 at the start of each part, (n_sessions,)."""
    factors, day = np.empty(len(q)), 0
    for length in lengths:
        s = 1.0
        for _ in range(length):
            factors[day] = s
            s = (1.0 - a - b) + a * q[day] + b * s
            day += 1
    return factors


@njit(cache=True)
def _likelihoods(q: FloatArray, lengths: IntArray, grid: FloatArray) -> FloatArray:
    """Log-likelihood of each pair, up to a constant: Student's t with `DEGREES` of freedom, variance s."""
    found = np.empty(len(grid))
    for pair in range(len(grid)):
        s = _factors(q, lengths, grid[pair, 0], grid[pair, 1])
        found[pair] = -0.5 * np.sum(np.log(s) + (DEGREES + 1.0) * np.log1p(q / (s * (DEGREES - 2.0))))
    return found


@njit(cache=True)
def _regrown(u: FloatArray, s: FloatArray, at: IntArray, memory: FloatArray) -> FloatArray:
    """By how much each drawn day's return is scaled, (n_boot, n_sessions): the root of new factor by old factor."""
    n_boot, warm_up = len(at), at.shape[1] - len(u)
    scales = np.empty((n_boot, len(u)))
    for draw in range(n_boot):
        a, b = memory[draw]
        factor = s[at[draw, 0]]
        for step in range(at.shape[1]):
            day = at[draw, step]
            if step >= warm_up:
                scales[draw, step - warm_up] = math.sqrt(factor / s[day])
            factor = (1.0 - a - b) + (a * u[day] + b) * factor
    return scales


@njit(cache=True)
def _paths(logs: FloatArray, deviations: FloatArray, at: IntArray, scales: FloatArray) -> FloatArray:
    """Log returns, of the shape of ``scales``; the part of a return that is no deviation is not scaled."""
    limit = max(math.log(2.0), np.abs(logs).max())
    drawn = np.empty(scales.shape)
    warm_up = at.shape[1] - scales.shape[1]
    for draw in range(len(scales)):
        for step in range(scales.shape[1]):
            day = at[draw, warm_up + step]
            drawn[draw, step] = min(max(logs[day] + deviations[day] * (scales[draw, step] - 1.0), -limit), limit)
    return drawn
