"""``neuromas topology``: draw a topology and say what it costs."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from neuromas.cli.options import file_to_write, name, whole
from neuromas.core.choices import QUESTIONS, SHARES
from neuromas.core.errors import ModelError, one_line
from neuromas.report.terminal import visible
from neuromas.topology.shapes import FORMS

if TYPE_CHECKING:
    from neuromas.prompts.template import Template
    from neuromas.topology.graph import Topology

_SIZE = 1_000_000  # of a rank, a question, a message
_GB = 1e9


def add(parser: argparse.ArgumentParser) -> None:
    """Say what may be typed."""
    parser.add_argument("shape", help=f"{FORMS}; or a .toml, .json or .graphml file")
    text = "who reads the question (default: as the file says, or all)"
    parser.add_argument("--question", default="auto", choices=QUESTIONS, help=text)
    parser.add_argument("--svg", type=name, metavar="FILE", help="write a drawing instead of text")
    parser.add_argument(
        "--out", type=name, metavar="FILE", help="write the topology to a .toml, .json or .graphml file"
    )
    parser.add_argument("--backbone", default="smollm2-135m", help="model whose cost is counted")
    parser.add_argument("--rank", type=whole(_SIZE), default=8, help="rank of the adapters (default 8)")
    parser.add_argument("--share", default="node", choices=SHARES, help="who has an adapter of its own")
    text = "a prompt file, whose tokens are counted and whose name is noted"
    parser.add_argument("--prompt", type=name, metavar="FILE", help=text)
    text = "worked examples, counted where the prompt file shows them (default none)"
    parser.add_argument("--examples", type=whole(64), default=0, metavar="K", help=text)
    for what, default in (("question", 32), ("message", 16)):
        text = f"tokens of a {what} (default {default})"
        parser.add_argument(f"--{what}-tokens", type=whole(_SIZE), default=default, metavar="N", help=text)


def run(args: argparse.Namespace) -> int:
    """Draw a topology as text with its cost, or write an SVG or a file that can be read again."""
    from neuromas.report.draw import as_svg, as_text
    from neuromas.storage import write_atomic
    from neuromas.topology.files import agreed_topology, save_topology

    graph = agreed_topology(args.shape, args.question)
    template = _template(args, graph)
    mark = f"prompts: {template.mark}" if template.mark else ""
    drawing = file_to_write("--svg", args.svg) if args.svg else None
    if args.out:
        save_topology(graph, file_to_write("--out", args.out))
        print(f"wrote {visible(args.out)}")
    if drawing:
        write_atomic(drawing, as_svg(graph, mark))
        print(f"wrote {visible(args.svg)}")
    if not args.svg and not args.out:
        print(f"{as_text(graph)}\n\n{_cost(graph, args, template)}")
        if mark:
            print(visible(mark))
    return 0


def _template(args: argparse.Namespace, graph: Topology) -> Template:
    """The texts whose tokens are counted."""
    from neuromas.prompts.reading import load_template
    from neuromas.prompts.template import built_in, check_nodes

    template = load_template(args.prompt, "plain") if args.prompt else built_in()
    check_nodes(template, [graph])
    return template


def _cost(graph: Topology, args: argparse.Namespace, template: Template) -> str:
    """One line: what the network costs; without the model's measures, what its shape alone says."""
    from neuromas.config import Config
    from neuromas.models.dims import read_dims
    from neuromas.models.precision import chosen
    from neuromas.system.cost import Load, estimate, readings
    from neuromas.system.network import assign

    config = Config()
    load = Load(
        question_tokens=args.question_tokens,
        message_tokens=args.message_tokens,
        answer_tokens=config.network.answer_tokens,
        problems=config.train.problems,
        samples=config.train.samples,
        template=template,
        examples=args.examples,
    )
    try:
        dims = read_dims(args.backbone)
    except ModelError as error:
        calls = readings(graph, load)
        tokens = sum(call.prompt for call in calls), sum(call.new for call in calls)
        return f"{_counts(graph, *tokens)}; for the rest a model is missing: {visible(one_line(error))}"
    dtype, assignment = chosen(config.model.dtype, config.model.device), assign(graph, args.share)
    cost = estimate(
        graph,
        dims,
        assignment=assignment,
        ranks=[args.rank] * (max(assignment) + 1),
        targets=config.model.targets,
        load=load,
        dtype=dtype,
    )
    fits = cost.longest <= dims.context
    over = "" if fits else f"; {cost.longest} tokens exceed the context of {dims.context}"
    return (
        f"{_counts(graph, cost.prompt_tokens, cost.new_tokens)}, {_short(cost.trainable).strip()} trainable, "
        f"{_short(cost.answer_flops)}FLOP an answer, {_short(cost.step_flops)}FLOP a training step of "
        f"{load.problems} x {load.samples}, peak {cost.peak_bytes / _GB:.1f} GB on "
        f"{visible(args.backbone)} ({dtype}){over}"
    )


def _counts(graph: Topology, prompt: int, new: int) -> str:
    """The figures that need no model."""
    calls = f"{len(graph.nodes)} call{'s' if len(graph.nodes) > 1 else ''}"
    return f"cost: {calls}, depth {graph.depth}, about {prompt} prompt + {new} new tokens a question"


def _short(number: float) -> str:
    """``6.4 M``: two or three digits and a prefix, for a unit to follow."""
    for size, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {prefix}"
    return f"{number:g} "
