"""Studies of earlier releases of an application, which go on as they began."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna

FACTS = "facts"  # attribute of a study: what its preflight has found


@dataclass(frozen=True)
class Before:
    """What an earlier release of the application did otherwise, so that its studies go on as they began.

    Attributes:
        facts: Those of a preflight that it gave other values.
        overrides: With which jobs do now what they did then.
        names: Values of its config that are called otherwise now.
    """

    facts: Mapping[str, Any] = field(default_factory=dict)
    overrides: Sequence[str] = ()
    names: Mapping[str, str] = field(default_factory=dict)

    def fits(self, study: optuna.Study, facts: Mapping[str, Any]) -> bool:
        """Whether a study was begun by that release."""
        known = study.user_attrs.get(FACTS)
        return bool(self.facts) and known == json.dumps({**facts, **self.facts}, sort_keys=True)
