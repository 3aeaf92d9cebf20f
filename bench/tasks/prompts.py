"""Templates of prompts: words from conf, slots in braces.

Slots are filled in one pass and nothing else is touched, because problems and programs are full of braces: what is put
into a slot is never searched for further slots, and a brace that is not a slot stays as it is (str.format would fail).
"""

import re


def require_slots(template: str, *slots: str, field: str) -> None:
    """Each slot stands in the template exactly once. A user's own wording that drops the question is a mistake."""
    for slot in slots:
        if template.count(f"{{{slot}}}") != 1:
            raise ValueError(f"{field} must contain {{{slot}}} exactly once; it reads {template!r}")


def fill(template: str, **values: str) -> str:
    slots = "|".join(map(re.escape, values))
    return re.sub(rf"\{{({slots})\}}", lambda slot: values[slot[1]], template)
