"""The section of a view of the question that is lifted while a stage trains."""

from __future__ import annotations

from pydantic import Field, model_validator

from neuromas.config.sections import Section
from neuromas.core.choices import QUESTION_MODES, Lift, LiftDraw
from neuromas.core.errors import shown, unknown


class LiftConfig(Section):
    """A view of the question that changes while a stage trains (see docs/grow.md)."""

    view: tuple[str, ...] = Field(
        (),
        strict=False,
        description="what nodes see first and in the end, such as ['split', 'all']: modes of "
        "network.question, with '+examples' where worked examples are shown; empty: the same throughout",
    )
    way: Lift = Field(
        "linear",
        description="how the probability of the last view rises: linear; by a twentieth after every step "
        "that earned `at`, and down where it earned less than half; in four steps, one where validation "
        "reaches `at`; or held at `end`",
    )
    start: float = Field(0.0, ge=0, le=1, description="that probability before the stage")
    end: float = Field(1.0, ge=0, le=1, description="and in its end")
    over: float = Field(0.75, gt=0, le=1, description="share of the stage over which a linear one rises")
    at: float = Field(
        0.5, ge=0, le=1, description="mean reward, or validation accuracy with views drawn, to lift further"
    )
    draw: LiftDraw = Field(
        "episode",
        description="every node of every episode draws for itself; or as many nodes of the network as the "
        "probability says, the same ones in all samples of a problem, so that samples differ by what was "
        "written alone",
    )
    taught: float = Field(
        0.0,
        ge=0,
        le=1000,
        description="nodes also learn in every step, from their own messages in episodes that earned "
        "something, to write under either view what they wrote under the first; with this weight beside "
        "the advantages, 0: not",
    )
    watch: bool = Field(False, description="validations tell the accuracy under the first view, too")

    @model_validator(mode="after")
    def _two(self) -> LiftConfig:
        if self.view and len(self.view) != 2:
            raise ValueError(
                f"lift.view = {shown(list(self.view))} is not two views, such as ['split', 'all']"
            )
        if len(set(self.view)) == 1:
            raise ValueError(f"lift.view = {shown(list(self.view))} is the same view twice; leave it out")
        for view in self.view:
            mode, plus, more = view.partition("+")
            if mode not in QUESTION_MODES or (plus and more != "examples"):
                raise ValueError(
                    f"lift.view: {unknown('view', view, QUESTION_MODES)}, each also with '+examples'"
                )
        if self.start > self.end and self.way != "held":
            raise ValueError(f"lift.start = {self.start} is more than lift.end = {self.end}")
        return self

    @property
    def modes(self) -> tuple[str, ...]:
        """The modes of the first and the last view; empty where the view stays."""
        return tuple(view.partition("+")[0] for view in self.view)

    @property
    def examples(self) -> tuple[bool, ...]:
        """Whether worked examples are shown under the first and the last view."""
        return tuple(view.endswith("+examples") for view in self.view)
