"""polyrl: an Estimator-style experiment framework for value-based reinforcement learning on TensorFlow and tf-keras."""

from polyrl._quiet import import_tensorflow

import_tensorflow()

__version__ = "0.1.0"
