"""TensorBoard summaries: the options of a model, and the values that it passes to the writer."""

from polyrl.summaries.options import SummaryOptions
from polyrl.summaries.values import Summaries, write_evaluation, write_scalar

__all__ = ["Summaries", "SummaryOptions", "write_evaluation", "write_scalar"]
