"""The base class of all configs: frozen dataclasses with an identifier, convertible to a plain dict and back."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import inspect
import numbers
import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, TypeVar

import numpy as np

from polyrl.validation import check_bool, check_float, check_int, check_keywords, keyword_names, suggestion

C = TypeVar("C", bound="Config")

HINTS = {
    **dict.fromkeys(("lr", "learning_rate_schedule"), "Use learning_rate, a number or a ScheduleConfig."),
    "betas": "Use beta_1 and beta_2.",
    "decay": "Use a ScheduleConfig as learning_rate, as InverseTimeDecayConfig.",
    **dict.fromkeys(
        ("epsilon", "eps", "rate"),
        "A probability of random actions is the value of ConstantExplorationConfig, and exploration_rate of "
        "DecayExplorationConfig.",
    ),
    **dict.fromkeys(
        ("final", "end", "epsilon_final", "exploration_final_eps", "final_exploration"), "Use min_exploration_rate."
    ),
    **dict.fromkeys(("clipnorm", "clipvalue", "global_clipnorm"), "Use the model's clip_gradients, or define build()."),
}
"""What arguments of other libraries are called here."""


@dataclasses.dataclass(frozen=True)
class Config:
    """A frozen dataclass that can be written as JSON: `Config.from_dict(config.to_dict()) == config`."""

    IDENTIFIER: ClassVar[str] = ""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """A TypeError that says what to use instead, for an argument that the config does not have."""
        if "__init__" in vars(cls) and "__dataclass_params__" not in vars(cls):
            raise TypeError(
                f"{cls.__name__} has a constructor of its own, and a resumed run could not compare it: make it a "
                "@dataclasses.dataclass(frozen=True) with fields."
            )
        parameters = inspect.signature(cls.__init__).parameters.values()
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            check_keywords(cls.__name__, kwargs, keyword_names(cls.__init__), HINTS)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        """Converts the fields to their types (an int to a float, a list to a tuple), then validates them."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            try:
                value = _normal(value, str(field.type))
            except Exception as error:  # Of a mapping whose values cannot be copied.
                raise TypeError(f"{field.name}={value!r} cannot be copied: {error}. Give plain values.") from error
            object.__setattr__(self, field.name, value)
            _check_kind(field.name, getattr(self, field.name), str(field.type))
        self._validate()

    def _validate(self) -> None:
        """Raises an error that names the field and its value if one is not valid."""

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values, nested configs included, with the class's `identifier`."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        plain = {
            name: value.to_dict() if isinstance(value, Config) else copy.deepcopy(value) for name, value in fields.items()
        }
        return {"identifier": self.IDENTIFIER, **plain}

    def described(self) -> dict[str, Any]:
        """As `to_dict`, with the name of each `class`, to compare runs: a class of one's own may be without an identifier."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        nested = {name: value.described() for name, value in values.items() if isinstance(value, Config)}
        return {"class": type(self).__name__, **self.to_dict(), **nested}

    @classmethod
    def from_dict(cls: type[C], values: Mapping[str, Any]) -> C:
        """Builds the config that `values['identifier']` names: this class or one of its subclasses.

        Raises:
            TypeError: if `values` is not a dict.
            ValueError: for an unknown identifier or field; the message lists the known ones.
        """
        if not isinstance(values, Mapping):
            raise TypeError(f"values={values!r} must be a dict, as {cls.__name__}.to_dict() of one gives.")
        known = {subclass.IDENTIFIER: subclass for subclass in known_configs(cls)}
        if cls.IDENTIFIER:  # A subclass without an identifier is known by its parent's.
            known[cls.IDENTIFIER] = cls
        identifier = values.get("identifier", cls.IDENTIFIER)
        if identifier not in known:
            what = "no name, an 'identifier'" if identifier in ("", None) else f"unknown name {identifier!r}"
            hint = suggestion(str(identifier), known).replace(" Did you", "; did you") or "."
            raise ValueError(f"{kind_of(cls)}: {what}{hint} Known: {', '.join(sorted(known))}.")
        target = known[identifier]
        names = [field.name for field in dataclasses.fields(target)]
        given = {name: value for name, value in values.items() if name != "identifier"}
        for name in given:
            if name not in names:
                hint = f" {HINTS[name]}" if name in HINTS else suggestion(str(name), names)
                raise ValueError(f"{identifier} has no field {name!r}; it has {', '.join(names) or 'none'}.{hint}")
        return target(**{name: _nested(value) for name, value in given.items()})


def kind_of(cls: type[Config]) -> str:
    """What configs of a class are called in messages, as `'exploration'` for an `ExplorationConfig`."""
    return re.sub(r"\B(?=[A-Z])", " ", cls.__name__.removesuffix("Config")).lower() or "config"


def known_configs(cls: type[C]) -> Iterator[type[C]]:
    """`cls` and all its subclasses, at any depth, that define an identifier."""
    if vars(cls).get("IDENTIFIER"):
        yield cls
    for subclass in cls.__subclasses__():
        yield from known_configs(subclass)


def made(config: Config, root: type[Config], kind: type, *places: Any, **further: Any) -> Any:
    """An object of tf-keras's class that the config's class, or its nearest base below `root`, is named after.

    Raises:
        TypeError: if there is no such class, or if it does not take the config's fields.
    """
    name = type(config).__name__
    arguments: dict[str, Any] = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    for key, value in arguments.items():
        if hasattr(value, "build"):  # A config in a config.
            arguments[key] = _built(value)
    for owner in type(config).__mro__[: type(config).__mro__.index(root)]:
        for place in places:
            found = getattr(place, owner.__name__.removesuffix("Config"), None)
            if isinstance(found, type) and issubclass(found, kind):
                try:
                    return found(**further, **arguments)
                except TypeError as error:
                    raise TypeError(
                        f"{name} has no build() of its own, and {found.__name__} does not take its fields: {error}. Define "
                        f"build(self) in {name}, which returns a new {kind.__name__} of tf-keras."
                    ) from error
    raise TypeError(
        f"{name} must define build(self), which returns a new {kind.__name__} of tf-keras, or be a subclass of a config that "
        "has one."
    )


def _built(config: Any) -> Any:
    """What a config in a config builds; a TypeError for a function, which has no place in an object of tf-keras."""
    built = config.build()
    if inspect.isroutine(built):
        name = type(config).__name__
        raise TypeError(f"{name}.build returned a function; expected an object of tf-keras's, as a LearningRateSchedule.")
    return built


def _normal(value: Any, annotation: str) -> Any:
    if isinstance(value, (np.ndarray, np.bool_)):
        value = value.tolist()
    if isinstance(value, numbers.Real) and not isinstance(value, (bool, np.timedelta64)):
        if isinstance(value, numbers.Integral) and not annotation.startswith("float"):
            return int(value)
        with contextlib.suppress(OverflowError):  # Of an integer too large for a float; the checks refuse it.
            return float(value)
    if isinstance(value, list | tuple):
        return tuple(_normal(item, annotation.removeprefix("tuple[")) for item in value)
    return copy.deepcopy(value) if isinstance(value, Mapping) else value


def _check_kind(name: str, value: Any, annotation: str) -> None:
    """Refuses a value of another kind than a field is annotated with, where that is a plain one."""
    kind, _, optional = annotation.partition(" | ")
    if value is None and optional == "None":
        return
    if kind == "float" and optional in ("", "None"):
        check_float(name, value, -LARGEST, LARGEST)
    elif kind == "int":
        if check_int(name, value, minimum=-(2**63)) >= 2**63:
            raise ValueError(f"{name}={value} must be below 2**63, the range of int64.")
    elif kind == "bool":
        check_bool(name, value)
    elif kind == "str" and not isinstance(value, str):
        raise TypeError(f"{name}={value!r} must be a str.")
    elif kind.startswith("tuple[") and not isinstance(value, tuple):
        raise TypeError(f"{name}={value!r} must be a list or tuple of numbers.")


LARGEST = float(np.finfo(np.float32).max)
"""TensorFlow computes with the values in float32."""


def _nested(value: Any) -> Any:
    if isinstance(value, Mapping) and "identifier" in value:
        return Config.from_dict(value)
    return tuple(value) if isinstance(value, list) else value
