"""Hooks and the phases they run in."""

from polyrl.estimators.hooks.base import Cadence, Hook, checked_hooks
from polyrl.estimators.hooks.checkpoint import CheckpointHook
from polyrl.estimators.hooks.context import RunContext
from polyrl.estimators.hooks.defaults import default_hooks
from polyrl.estimators.hooks.evaluation import EvaluationHook, WholeEvaluationHook
from polyrl.estimators.hooks.export import ExportHook
from polyrl.estimators.hooks.guards import NanHook, StopHook
from polyrl.estimators.hooks.profiler import ProfilerHook
from polyrl.estimators.hooks.progress import LoggingHook, ProgressHook
from polyrl.estimators.hooks.summary import SummaryHook
from polyrl.estimators.hooks.video import VideoHook

__all__ = [
    "Cadence",
    "CheckpointHook",
    "EvaluationHook",
    "ExportHook",
    "Hook",
    "LoggingHook",
    "NanHook",
    "ProfilerHook",
    "ProgressHook",
    "RunContext",
    "StopHook",
    "SummaryHook",
    "VideoHook",
    "WholeEvaluationHook",
    "checked_hooks",
    "default_hooks",
]
