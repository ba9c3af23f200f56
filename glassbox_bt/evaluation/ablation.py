"""What is each part worth? An ablation is a pure function from plan to plan, with a question; its rest is bookkeeping.

1. `AblationSpec` says what is taken out and asks; ``apply`` gives the plan without it.       ablation_spec.py
2. `ablation_specs` lists the specs of a set, `absent_parts` what a set cannot ask here.      ablation_sets.py
3. Each spec is carried out chunk by chunk beside the base run, on the same test days.        ablation_chunks.py
4. `run_ablations` collects them into ``ablations/``.                                         ablation_run.py

Two depths. At *inference* the trained stack keeps its fits: the part is replaced, and only modules whose inputs really
change answer again. At *retrained* depth the edited plan is walked with the artefacts of the base run: what lies upstream is
found by its key, what lies downstream is fitted again. Test days, fills, costs and random streams are those of the base run
unless the edit is about them, so every difference is paired. Validation is spent (R5) and is not replayed.
"""

from __future__ import annotations

from glassbox_bt.evaluation.ablation_run import run_ablations
from glassbox_bt.evaluation.ablation_sets import Absent, ablation_specs, absent_parts
from glassbox_bt.evaluation.ablation_spec import AblationSpec

__all__ = ["AblationSpec", "Absent", "ablation_specs", "absent_parts", "run_ablations"]
