"""The report beside a result: pictures, a plain verdict, and the run record, in one HTML file."""

from ruska.report.beside import Beside, beside, check_beside, place, sidecar
from ruska.report.html import ReportPaths, write_report
from ruska.report.judging import Judged, judge_images
from ruska.report.noise_picture import draw_noise
from ruska.report.scores import check_scores, json_text, write_frame_scores, write_scores
from ruska.report.verdict import Verdict, judge

__all__ = [
    "Beside",
    "Judged",
    "ReportPaths",
    "Verdict",
    "beside",
    "check_beside",
    "check_scores",
    "draw_noise",
    "json_text",
    "judge",
    "judge_images",
    "place",
    "sidecar",
    "write_frame_scores",
    "write_report",
    "write_scores",
]
