"""Every engine keeps the contract, and the shipped check finds each breach of it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from neuromas.core.errors import ConfigError
from neuromas.core.parts import ENGINES
from neuromas.engines.base import Capabilities, Generation
from neuromas.engines.local.engine import LocalEngine
from neuromas.engines.scripted import ScriptedEngine
from neuromas.testing import check_engine, tiny_resident_model


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def model():
    return tiny_resident_model()


def recite(prompt, adapter):
    return f"{len(prompt) % 7}{'ab'[adapter % 2]}" * (len(prompt) % 4)


def scripted(config, model):
    return ScriptedEngine(recite, 2048)


SERVED = {"vllm", "openai"}  # by other processes: see unit/engines


@pytest.mark.parametrize("name", [name for name in ENGINES.builtin if name not in SERVED])
def test_built_in_engines_keep_the_contract_as_a_configuration_names_them(name, model):
    before = [p.detach().clone() for p in model.bank.parameters]
    check_engine(name, model=model)
    assert all(torch.equal(a, b) for a, b in zip(before, model.bank.parameters, strict=True))
    assert model.bank.versions == [0, 0]


def test_a_scripted_engine_keeps_the_contract(model):
    check_engine(scripted, model=model)


def test_an_engine_needs_no_torch():
    code = "import sys, neuromas.engines.scripted, neuromas.testing; print({'torch'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


class Faulty:
    """An engine around another with one fault: ``fault(self, requests, messages, temperature, ends)``."""

    def __init__(self, engine, fault):
        self.engine, self.fault, self.count = engine, fault, 0
        self.capabilities, self.codec, self.context = engine.capabilities, engine.codec, engine.context

    def version(self, adapter):
        return self.engine.version(adapter)

    def publish(self, bank):
        self.engine.publish(bank)

    def generate(self, requests, temperature, ends):
        self.count += 1
        out = self.engine.generate(requests, temperature, ends)
        return self.fault(self, requests, out, temperature, ends)


def breach(kind, fault, model, says):
    """The check of an engine with this fault fails and says so."""
    make = {"scripted": scripted, "local": lambda config, model: LocalEngine(model)}[kind]
    with pytest.raises(AssertionError, match=says):
        check_engine(lambda config, model: Faulty(make(config, model), fault), model=model)


def every(change):
    """A fault of each message alone."""
    return lambda engine, requests, out, temperature, ends: [change(o) for o in out]


def train_while_asked(self, requests, out, temperature, ends):
    self.engine.versions[0] = self.count
    return out


def by_place(self, requests, out, temperature, ends):
    """The first of a batch is written otherwise."""
    return [replace(o, ids=(120, *o.ids[1:])) if i == 0 and len(o.ids) > 1 else o for i, o in enumerate(out)]


def by_seed(self, requests, out, temperature, ends):
    return [replace(o, ids=(r.seed % 100 + 20, *o.ids[1:])) if r.max_new > 1 and len(o.ids) > 1 else o
            for r, o in zip(requests, out, strict=True)]  # fmt: skip


def by_call(self, requests, out, temperature, ends):
    return [replace(o, ids=(self.count % 100 + 20, *o.ids[1:])) if len(o.ids) > 1 else o for o in out]


def past_the_end(self, requests, out, temperature, ends):
    return [
        Generation((*o.ids, 65), (*o.logprobs, 0.0), False) if o.ended and len(o.ids) < r.max_new else o
        for r, o in zip(requests, out, strict=True)
    ]


def deaf_to_ends(self, requests, out, temperature, ends):
    usual = ends <= self.codec.line_end_ids
    return out if usual and ends else self.engine.generate(requests, temperature, frozenset())


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (lambda e, r, o, t, ends: o[1:], "requests, but"),
        (every(lambda o: replace(o, ids=o.ids * 20, logprobs=o.logprobs * 20)), "max_new"),
        (every(lambda o: Generation((), (), False)), "0 tokens"),
        (every(lambda o: replace(o, logprobs=o.logprobs[1:])), "log-probabilities"),
        (every(lambda o: replace(o, logprobs=(0.5,) * len(o.ids))), "log-probabilities"),
        (every(lambda o: replace(o, logprobs=(-1.0,) * len(o.ids))), "greedy log-probabilities are 0"),
        (every(lambda o: replace(o, ended=not o.ended)), "ended must say"),
        (
            every(lambda o: Generation(o.ids[:-1], o.logprobs[:-1], False) if o.ended and o.ids[1:] else o),
            "neither end nor limit",
        ),
        (past_the_end, "goes on after its end"),
        (by_place, "another order|else is in the batch"),
        (by_call, "another order"),
        (by_seed, "greedy depends on the seed"),
        (train_while_asked, "changed the versions"),
        (deaf_to_ends, "did not end the message"),
        (lambda e, r, o, t, ends: o or [Generation((256,), (0.0,), True)], "no requests"),
    ],
)
def test_the_check_finds_each_breach_of_form(model, fault, says):
    breach("scripted", fault, model, says)


def ignores_the_seed(self, requests, out, temperature, ends):
    return self.engine.generate([replace(one, seed=1) for one in requests], temperature, ends)


def colder(self, requests, out, temperature, ends):
    """Draws at half the temperature and says so, too: normalised, but not what was asked for."""
    return self.engine.generate(requests, 0.5 * temperature, ends)


def raw(self, requests, out, temperature, ends):
    """Draws at a lower temperature than its log-probabilities are of, as raw ones of vLLM would be."""
    if temperature == 0.0:
        return out
    drawn = self.engine.generate(requests, 0.3, ends)
    told = [replace(r, max_new=1) for r in requests]
    one = self.engine.generate(told, 0.3, ends)
    assert [o.ids[0] for o in one] == [o.ids[0] for o in drawn]
    return [replace(o, logprobs=tuple(0.5 * p for p in o.logprobs)) for o in drawn]


def another_adapter(self, requests, out, temperature, ends):
    return self.engine.generate([replace(one, adapter=0) for one in requests], temperature, ends)


def forgets_the_suffix(self, requests, out, temperature, ends):
    short = [replace(one, suffix=one.suffix[:-1]) for one in requests]
    return self.engine.generate(short, temperature, ends)


def a_little_off(self, requests, out, temperature, ends):
    return [replace(o, logprobs=tuple(p - 0.01 if p else p for p in o.logprobs)) for o in out]


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (ignores_the_seed, "the seed is ignored"),
        (colder, "nats from the learner's"),
        (another_adapter, "nats from the learner's"),
        (forgets_the_suffix, "nats from the learner's"),
        (a_little_off, "nats from the learner's"),
    ],
)
def test_the_check_finds_what_the_learners_model_would_not_have_written(model, fault, says):
    breach("local", fault, model, says)


class Modest(LocalEngine):
    """The local engine, not declared exact: what remains is held against its own words."""

    capabilities = Capabilities(logprobs=True, seeded=True)


def test_log_probabilities_of_another_distribution_are_found_without_the_learner(model):
    check_engine(lambda config, model: Modest(model), model=model)
    with pytest.raises(AssertionError, match=r"sum to|not those of the distribution drawn from"):
        check_engine(lambda config, model: Faulty(Modest(model), raw), model=model)


class Served(LocalEngine):
    """Holds copies of the adapters, as an engine elsewhere would. ``faults`` are what it gets wrong."""

    def __init__(self, model, fault=""):
        super().__init__(tiny_resident_model(adapters=0))
        self.fault = fault

    def publish(self, bank):
        own = self.model.bank
        for row, vector in enumerate(bank.parameters):
            known = row < len(own.parameters)
            if not known:
                own.append(vector)
            elif self.fault == "never again" or (
                self.fault == "by version" and bank.versions[row] <= own.versions[row]
            ):
                continue
            else:
                own.parameters[row] = torch.nn.Parameter(vector.detach().clone())
            own.versions[row] = bank.versions[row]
        if self.fault == "forgets":
            own.versions[0] = 0


def test_an_engine_that_holds_copies_is_checked_to_renew_them(model):
    check_engine(lambda config, model: Served(model), model=model)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("never again", "published versions"),
        ("by version", "published versions"),
        ("forgets", "published versions"),
    ],
)
def test_stale_copies_are_found(model, fault, says):
    with pytest.raises(AssertionError, match=says):
        check_engine(lambda config, model: Served(model, fault), model=model)


class Cached(Served):
    """Looks adapters up by row and version, as if these said what is in them."""

    def __init__(self, model):
        super().__init__(model)
        self.cache = {}

    def publish(self, bank):
        super().publish(bank)
        for row, vector in enumerate(self.model.bank.parameters):
            kept = self.cache.setdefault((row, bank.versions[row]), vector.detach().clone())
            vector.data.copy_(kept)


class Stale(Served):
    """Takes the new version and keeps the old adapter: a server's cache that was not emptied."""

    def publish(self, bank):
        vectors = [p.detach().clone() for p in self.model.bank.parameters]
        super().publish(bank)
        for parameter, vector in zip(self.model.bank.parameters, vectors, strict=False):
            parameter.data.copy_(vector)


@pytest.mark.parametrize("make", [Stale, Cached])
def test_an_adapter_that_is_not_the_one_published_is_found(model, make):
    with pytest.raises(AssertionError, match="nats from the learner's"):
        check_engine(lambda config, model: make(model), model=model)


def test_without_log_probabilities_they_are_zero(model):
    class Chat(ScriptedEngine):
        capabilities = Capabilities()

    check_engine(lambda config, model: Chat(recite, 2048), model=model)

    class Wrong(Chat):
        def generate(self, requests, temperature, ends):
            out = super().generate(requests, temperature, ends)
            return [replace(o, logprobs=(-1.0,) * len(o.ids)) for o in out] if temperature else out

    with pytest.raises(AssertionError, match="without the capability logprobs"):
        check_engine(lambda config, model: Wrong(recite, 2048), model=model)


def test_a_prompt_beyond_the_context_must_not_be_answered(model):
    class Cuts(ScriptedEngine):
        def generate(self, requests, temperature, ends):
            return super().generate([replace(r, prefix=r.prefix[:99]) for r in requests], temperature, ends)

    with pytest.raises(AssertionError, match="must be a ModelError"):
        check_engine(lambda config, model: Cuts(recite, 2048), model=model)


def test_the_check_wants_the_whole_interface(model):
    with pytest.raises(AssertionError, match="an engine has what"):
        check_engine(lambda config, model: object(), model=model)
    with pytest.raises(AssertionError, match="context of 3"):
        check_engine(lambda config, model: ScriptedEngine(recite, context=3), model=model)


def test_a_name_that_is_none_is_said(model):
    with pytest.raises(ConfigError, match="unknown engine 'locale'; did you mean 'local'"):
        check_engine("locale", model=model)
    with pytest.raises(ConfigError, match="unknown option 'txt'; did you mean 'text'"):
        check_engine("scripted", {"txt": "1"}, model=model)
    with pytest.raises(ConfigError, match=r"text = 1 should be text"):
        check_engine("scripted", {"text": 1}, model=model)
    with pytest.raises(ConfigError, match="cannot be built: it is no Engine"):
        check_engine("operator:eq", model=model)
