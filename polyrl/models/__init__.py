"""Mode-aware models: the template, the Q family, and the scope in which their networks live."""

from polyrl.models.base import BaseModel
from polyrl.models.categorical_dqn import CategoricalDQNModel
from polyrl.models.ddqn import DDQNModel
from polyrl.models.dqn import DQNModel
from polyrl.models.model_call import ModelCall
from polyrl.models.naf import NAFModel
from polyrl.models.q_model import BaseQModel
from polyrl.models.q_network import QModelSpec, QNetwork
from polyrl.models.records import Batch, Forward
from polyrl.models.scope import Scope, current_scope

__all__ = [
    "BaseModel",
    "BaseQModel",
    "Batch",
    "CategoricalDQNModel",
    "DDQNModel",
    "DQNModel",
    "Forward",
    "ModelCall",
    "NAFModel",
    "QModelSpec",
    "QNetwork",
    "Scope",
    "current_scope",
]
