"""Mode-aware models: the template, the Q family, and the scope in which their networks live."""

from polyrl.models.base import BaseModel
from polyrl.models.categorical_dqn import CategoricalDQNModel, CategoricalHead
from polyrl.models.ddqn import DDQNModel
from polyrl.models.dqn import DQNModel
from polyrl.models.expected_sarsa import ExpectedSarsaModel
from polyrl.models.heads import Head, QHead
from polyrl.models.iqn import ImplicitQuantileHead, IQNModel
from polyrl.models.model_call import ModelCall
from polyrl.models.munchausen import MunchausenDQNModel, MunchausenIQNModel
from polyrl.models.naf import NAFHead, NAFModel
from polyrl.models.pqn import PQNModel
from polyrl.models.q_model import BaseQModel
from polyrl.models.q_network import QModelSpec, QNetwork
from polyrl.models.qr_dqn import QRDQNModel, QuantileHead
from polyrl.models.r2d2 import R2D2Model
from polyrl.models.rainbow import RainbowModel
from polyrl.models.records import Batch, Forward
from polyrl.models.scope import Scope, current_scope

__all__ = [
    "BaseModel",
    "BaseQModel",
    "Batch",
    "CategoricalDQNModel",
    "CategoricalHead",
    "DDQNModel",
    "DQNModel",
    "ExpectedSarsaModel",
    "Forward",
    "Head",
    "IQNModel",
    "ImplicitQuantileHead",
    "ModelCall",
    "MunchausenDQNModel",
    "MunchausenIQNModel",
    "NAFHead",
    "NAFModel",
    "PQNModel",
    "QHead",
    "QModelSpec",
    "QNetwork",
    "QRDQNModel",
    "QuantileHead",
    "R2D2Model",
    "RainbowModel",
    "Scope",
    "current_scope",
]
