"""The registries: every address in them leads to something, and no package can take a built-in name."""

import pytest

from neuromas.core.parts import REGISTRIES

BUILTIN = [(registry, name) for registry in REGISTRIES for name in registry.builtin]


@pytest.mark.parametrize(("registry", "name"), BUILTIN, ids=lambda one: getattr(one, "kind", one))
def test_every_address_leads_to_a_documented_part(registry, name):
    assert registry.get(name).__doc__


def test_kinds_and_entry_point_groups_are_distinct():
    assert len({one.kind for one in REGISTRIES}) == len({one.group for one in REGISTRIES}) == len(REGISTRIES)
    assert all(one.group.startswith("neuromas.") for one in REGISTRIES)
