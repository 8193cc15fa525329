"""What goes to TensorBoard: the options a model takes, and the values it hands to the writer."""

from polyrl.summaries.options import SummaryOptions
from polyrl.summaries.values import Summaries, write_evaluation

__all__ = ["Summaries", "SummaryOptions", "write_evaluation"]
