"""Mode-aware models: the template, the Q family, and the scope in which their networks live."""

from polyrl.models.base import BaseModel
from polyrl.models.categorical_dqn import CategoricalDQNModel
from polyrl.models.ddqn import DDQNModel
from polyrl.models.dqn import DQNModel
from polyrl.models.naf import NAFModel
from polyrl.models.q_model import BaseQModel
from polyrl.models.q_network import QModelSpec, QNetwork
from polyrl.models.scope import Scope, current_scope

__all__ = [
    "BaseModel",
    "BaseQModel",
    "CategoricalDQNModel",
    "DDQNModel",
    "DQNModel",
    "NAFModel",
    "QModelSpec",
    "QNetwork",
    "Scope",
    "current_scope",
]
