"""Actors in processes of their own, on one machine or many (`pip install 'polyrl[ray]'`)."""

from polyrl.distributed.remote_actors import RemoteActors
from polyrl.distributed.remote_replay import RemoteReplay

__all__ = ["RemoteActors", "RemoteReplay"]
