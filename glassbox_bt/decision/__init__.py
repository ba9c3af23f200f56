"""From answers to a decision: the stack, the barrier, the approver, the trace."""

__all__: list[str] = []
