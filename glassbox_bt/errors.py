"""The exceptions of glassbox_bt, all under one root.

::

    GlassboxError
    ├── InputError            the user's files or settings are at fault   -> exit code 2
    │   ├── PlanError         plan.toml: unknown key, overlapping chunks, ...
    │   ├── MarketDataError   a market folder: missing close, duplicates, ...
    │   └── RunFolderError    a run folder: of another plan, unreadable, unwritable
    ├── ContractError         a module, strategy or answer broke its contract
    │   └── LookAheadError    something asked for what was not yet known
    ├── TrainingError         a fit did not produce a usable model
    ├── WorkerError           a worker process died without an answer
    └── AccountingError       cash + holdings did not equal equity

A message says what is wrong, the value received and what to do about it.
"""

from __future__ import annotations

__all__ = [
    "AccountingError",
    "ContractError",
    "GlassboxError",
    "InputError",
    "LookAheadError",
    "MarketDataError",
    "PlanError",
    "RunFolderError",
    "TrainingError",
    "WorkerError",
]


class GlassboxError(Exception):
    """Root of every error that glassbox_bt raises on purpose."""


class InputError(GlassboxError):
    """What the user handed over cannot be used; the command line exits with 2."""


class PlanError(InputError):
    """The plan is not valid: unknown key, value out of range, overlapping chunks."""


class MarketDataError(InputError):
    """The market data are refused; nothing was repaired or dropped in silence."""


class RunFolderError(InputError):
    """The run folder belongs to another plan, is incomplete or cannot be written."""


class ContractError(GlassboxError):
    """A module, strategy or answer broke the contract of its layer."""


class LookAheadError(ContractError):
    """Something asked for, or carried, what was not known at its decision."""


class TrainingError(GlassboxError):
    """A fit ended without a usable model (non-finite loss, no rows, no convergence)."""


class WorkerError(GlassboxError):
    """A worker process ended without a result: killed from outside, most often for want of memory."""


class AccountingError(GlassboxError):
    """Cash plus holdings did not equal equity: a fault of this program, never of the user."""
