"""Double deep Q-learning (van Hasselt et al. 2016)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from polyrl.models.dqn import DQNModel
from polyrl.models.keywords import QModelArguments
from polyrl.validation import check_bool

if TYPE_CHECKING:
    from typing_extensions import Unpack


class DDQNModel(DQNModel):
    """Double DQN: the online network chooses the next action, the target network values it. `DQNModel(double=True)`."""

    def __init__(self, *args: Any, **arguments: Unpack[QModelArguments]):
        if not check_bool("double", arguments.setdefault("double", True)):
            raise ValueError("double=False: a DDQNModel is double; use DQNModel.")
        super().__init__(*args, **arguments)
