"""From a configuration or a saved bundle to a network that runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from neuromas.config import Config, in_precision, make_config
from neuromas.core.errors import (
    ConfigError,
    ModelError,
    PromptError,
    one_line,
)
from neuromas.core.parts import ENGINES
from neuromas.core.task import Problem, Task
from neuromas.engines.build import make_engine
from neuromas.engines.remembering import Remembering
from neuromas.models.adapters import LoraSpec
from neuromas.models.backbone import Backbone, load_backbone
from neuromas.models.precision import AUTO
from neuromas.models.resident import ResidentModel
from neuromas.prompts.template import Template
from neuromas.system import trust
from neuromas.system.fitting import check_parts, shape_name
from neuromas.system.network import Network, assign
from neuromas.system.prompting import (
    check_codec,
    choose_prompts,
    shown_examples,
)
from neuromas.system.rollout import check_prompt
from neuromas.system.tools import make_tool
from neuromas.tasks import make_task
from neuromas.tasks.own import given_name, own, probe
from neuromas.tasks.rewards import is_foreign, paid
from neuromas.topology.files import load_topology
from neuromas.topology.graph import Topology
from neuromas.topology.views import under


@dataclass(frozen=True, slots=True, repr=False)
class Assembly:
    """A network, the model that learns, the task, and the configuration they were made from."""

    config: Config
    network: Network
    model: ResidentModel
    task: Task

    def __repr__(self) -> str:
        about = self.config
        return (
            f"Assembly({about.task.name}, {self.network.topology}, {about.model.backbone}, seed {about.seed})"
        )

    def publish(self) -> None:
        """Let the engine write with the model's adapters as they are now."""
        self.network.engine.publish(self.model.bank)

    def remembering(self) -> Assembly:
        """The same, whose engine writes equal requests once: for evaluations that differ in few messages.

        It itself where the backbone is sharded: all processes must ask it for the same.
        """
        if self.model.ranks.sharded:
            return self
        return replace(self, network=replace(self.network, engine=Remembering(self.network.engine)))


def assemble(
    config: Config,
    topology: Topology | None = None,
    backbone: Backbone | None = None,
    assignment: tuple[int, ...] | None = None,
    ranks: tuple[int, ...] = (),
    *,
    task: Task | None = None,
    template: Template | None = None,
) -> Assembly:
    """Build everything a run needs. Raises NeuromasError with one line on anything impossible.

    ``topology``, ``assignment`` and ``ranks`` override the configured ones (a grown network has its own).
    ``task`` is an object of the user's, which the configuration cannot name; ``template`` are texts that were
    chosen before (of a run that goes on, or has several stages).
    The configuration is the user's own: what it names is noted as theirs (see ``trust``).
    """
    trust.note_if_possible(config)
    task = configured_task(config, task)
    graph = topology or load_topology(config.network.topology, config.network.question)
    check_task(graph, task, "" if topology else shape_name(config.network.topology))
    assignment = assignment or assign(graph, config.network.share)
    ranks = ranks or _ranks(config, max(assignment) + 1)
    prompts = choose_prompts(config, task, graph, template)
    rows = (assignment, ranks)
    assembly = around(config, task, graph, prompts, rows=rows, backbone=backbone)
    assembly.publish()
    return assembly


def configured_task(config: Config, given: Task | None = None) -> Task:
    """The task that a configuration names, or an object in its place, paid as the configuration says.

    Raises TaskError, ConfigError or ContractError in one line.
    """
    task = make_task(config.task.name, config.task.options) if given is None else own(given)
    return paid(task, config.task.reward, config.task.rewards)


def own_config(config: Config, task: Task) -> Config:
    """The configuration of a run on a task that was handed over as an object."""
    named = {"name": given_name(own(task)), "options": {}}
    return make_config({**dict(config), "task": {**dict(config.task), **named}})


def around(
    config: Config,
    task: Task,
    topology: Topology,
    prompts: tuple[Template, tuple[Problem, ...]],
    *,
    rows: tuple[tuple[int, ...], tuple[int, ...]],
    backbone: Backbone | None,
    dtype: str = AUTO,
) -> Assembly:
    """The network with new adapters around the backbone; ``rows`` are the assignment and the ranks.

    ``dtype`` is what the backbone computes in where the configuration leaves that open. Raises ModelError
    where that cannot be.
    """
    assignment, ranks = rows
    ENGINES.check(config.engine.name)  # before the backbone is loaded
    tool = make_tool(config.network.tools, config.network.tool_tokens)
    made = in_precision(config, dtype).model
    base = backbone or load_backbone(made.backbone, made.dtype, made.device, made.quantise)
    _check_style(config, base)
    spec = LoraSpec(config.model.rank, config.model.alpha, tuple(config.model.targets), ranks)
    model = ResidentModel.around(base, spec, max(assignment) + 1, config.seed)
    network = Network(
        topology=topology,
        engine=make_engine(config, model),
        assignment=assignment,
        style=config.network.style,
        message_tokens=config.network.message_tokens,
        answer_tokens=config.network.answer_tokens,
        template=prompts[0],
        examples=prompts[1],
        tool=tool,
    )
    check_codec(network, config.model.backbone)
    return Assembly(config, network, model, task)


def equipped(network: Network, config: Config, task: Task) -> Network:
    """The network with a stage's limits and worked examples."""
    limits, examples = config.network, shown_examples(config, task, 1)
    return replace(
        network,
        message_tokens=limits.message_tokens,
        answer_tokens=limits.answer_tokens,
        examples=examples,
    )


def first_view(network: Network, config: Config, examples: tuple[Problem, ...]) -> Network:
    """The network as its nodes read under the first of two views, with that view's worked ``examples``.

    Raises ConfigError where the configuration lifts no view.
    """
    if not config.lift.view:
        raise ConfigError("the network was trained under one view of the question: its lift.view is empty")
    topology = under(network.topology, config.lift.modes[0])
    return replace(network.settled, topology=topology, examples=examples)


def _check_style(config: Config, backbone: Backbone) -> None:
    """Raises ModelError if the prompts' style is one that the backbone's tokenizer cannot write."""
    if config.network.style != "chat":
        return
    try:
        backbone.codec.chat("You are a node.")
    except Exception as error:  # a template is foreign code: whatever it raises, it cannot be used
        raise ModelError(
            f"network.style = 'chat': the tokenizer of backbone {config.model.backbone!r} has no chat "
            f"template that can be used ({one_line(error)[:120]}); valid here: 'plain'"
        ) from error


def _ranks(config: Config, adapters: int) -> tuple[int, ...]:
    """One rank for each adapter, where the configuration lists them. Raises ConfigError."""
    ranks = config.model.ranks
    if ranks and len(ranks) != adapters:
        raise ConfigError(
            f"model.ranks lists {len(ranks)} ranks, but network {config.network.topology} with "
            f"network.share = {config.network.share!r} has {adapters} adapters"
        )
    return ranks


def check_task(topology: Topology, task: Task, name: str = "") -> None:
    """The task's first problem has as many parts as the topology hands out; one's own keeps its contract.

    ``name`` is what the user calls the topology. Raises PartsError naming task and topology, ContractError.
    """
    if is_foreign(task):
        probe(task, len(topology.nodes))
    check_parts(topology, task, name)


def check_prompts(network: Network, task: Task, problems: Sequence[Problem]) -> None:
    """Raises PromptError if no problem's prompts fit, even with nothing but empty messages to read."""
    failure: PromptError | None = None
    for problem in problems:
        try:
            for node in range(len(network.topology.nodes)):
                check_prompt(network, task, problem, node)
            return
        except PromptError as error:
            failure = error
    if failure is not None:
        raise failure
