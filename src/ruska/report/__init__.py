"""The report beside a result: pictures, a plain verdict, and the run record, in one HTML file."""

from ruska.report.html import ReportPaths, sidecar, write_report
from ruska.report.verdict import Verdict, judge

__all__ = ["ReportPaths", "Verdict", "judge", "sidecar", "write_report"]
