"""Whether the explanations and the point-in-time promise hold."""

from glassbox_bt.audits.base import AuditResult, AuditSettings, Check, Metric
from glassbox_bt.audits.running import audit_table, run_audits

__all__ = ["AuditResult", "AuditSettings", "Check", "Metric", "audit_table", "run_audits"]
