"""Learners by `tf.distribute`: an update that several devices or processes compute together."""

from polyrl.estimators.strategies.choice import strategy_of
from polyrl.estimators.strategies.learnt import Learnt, Strategy

__all__ = ["Learnt", "Strategy", "strategy_of"]
