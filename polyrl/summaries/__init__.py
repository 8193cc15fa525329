"""TensorBoard summaries: the options of a model, and the values that it passes to the writer."""

from polyrl.summaries.options import SummaryOptions
from polyrl.summaries.values import Summaries, write_animation, write_evaluation
from polyrl.summaries.writing import write_message, write_scalars

__all__ = ["Summaries", "SummaryOptions", "write_animation", "write_evaluation", "write_message", "write_scalars"]
