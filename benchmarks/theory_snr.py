"""Why growth should help, as numbers: the toy of `neuromas.theory`, on one core, without a model.

python benchmarks/theory_snr.py            writes results/theory-snr.json (under a minute), docs/method.md
python benchmarks/theory_snr.py --render   writes only the marked part of docs/method.md from the stored file

Nothing in the file depends on time or machine speed; floats are stored to six digits.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from neuromas.statistics import mean_interval_t
from neuromas.theory import tabular
from neuromas.theory.snr import Case, exact, examples_ratio, monte_carlo

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "theory-snr.json"
PAGE = HERE.parent / "docs" / "method.md"
REPLICATES = 400_000
LEVEL = 0.99
SERIES = {"scratch": (0.4, 0.4), "grown": (0.4, 0.05), "trained": (0.1, 0.1)}  # error of the leaf, of others
# The figures to check, as printed (digits matter: they say how they were rounded).
CLAIMS = {
    "scratch": {1: "4.2", 3: "0.64", 7: "0.036", 15: "0.0002"},
    "grown": {3: "3.2", 7: "2.1", 15: "1.1"},
    "trained": {1: "1.04", 3: "0.94", 7: "0.67", 15: "0.25"},
}
CLAIMED_RATIO_7 = 3400
ALPHABETS = (2, 3, 4, 5, 6, 8, 10, 16, 100)
CALLS = (100_000, 300_000, 900_000)
RATES = (1.0, 3.0, 10.0, 30.0, 100.0)
SYSTEMS = 16
PLANS = {"scratch": tabular.SCRATCH, "by level": tabular.BY_LEVEL, "by node": tabular.BY_NODE}


def main() -> int:
    """Compute (unless ``--render``) and render."""
    if "--render" not in sys.argv:
        data = {
            "snr": _snr_rows(),
            "ratios": _ratios(),
            "definitions": _definitions(),
            "learning": _learning(),
        }
        RESULTS.write_text(json.dumps(_rounded(data), indent=1) + "\n", "utf-8")
    PAGE.write_text(render(PAGE.read_text("utf-8")), "utf-8")
    return 0


def case(series: str, nodes: int, symbols: int = 4) -> Case:
    """The case of one cell of the claims."""
    leaf, other = SERIES[series]
    return Case(nodes, leaf, other, symbols)


def _snr_rows() -> list[dict[str, Any]]:
    rows = []
    for series, claims in CLAIMS.items():
        for nodes, claim in claims.items():
            this = case(series, nodes)
            found = monte_carlo(this, REPLICATES, level=LEVEL)
            rows.append(
                {
                    "series": series,
                    "nodes": nodes,
                    "claim": claim,
                    "exact": exact(this),
                    "exact_full": exact(this, full=True),
                    "monte_carlo": found.along,
                    "interval": [found.interval.low, found.interval.high],
                    "level": LEVEL,
                    "replicates": REPLICATES,
                    "monte_carlo_full": found.full,
                }
            )
    return rows


def _ratios() -> list[dict[str, float]]:
    """Examples needed from scratch over examples needed when grown."""
    return [
        {"nodes": nodes, "ratio": examples_ratio(case("scratch", nodes), case("grown", nodes))}
        for nodes in (3, 7, 15)
    ]


def _definitions() -> list[dict[str, Any]]:
    """For every definition and alphabet: how far the worst claim lies outside its own rounding."""
    rows = []
    for definition in ("along", "full", "along squared", "full squared"):
        for symbols in ALPHABETS:
            worst = max(
                _excess(claim, exact(case(series, nodes, symbols), "full" in definition), "sq" in definition)
                for series, claims in CLAIMS.items()
                for nodes, claim in claims.items()
            )
            rows.append({"definition": definition, "symbols": symbols, "worst": worst})
    return rows


def _excess(claim: str, value: float, squared: bool) -> float:
    """Distance from ``value`` to the interval of numbers that are printed as ``claim``."""
    half = 0.5 * 10.0 ** -len(claim.partition(".")[2])
    return max(0.0, abs((value**2 if squared else value) - float(claim)) - half)


def _learning() -> dict[str, Any]:
    rows = []
    for calls in CALLS:
        for rate in RATES:
            setting = tabular.Setting(calls, rate, systems=SYSTEMS)
            for plan, stages in PLANS.items():
                ends = tabular.learn(setting, stages)
                bounds = mean_interval_t([float(end) for end in ends], share=True)
                rows.append(
                    {
                        "calls": calls,
                        "rate": rate,
                        "plan": plan,
                        "accuracy": float(ends.mean()),
                        "interval": None if bounds is None else [bounds.low, bounds.high],
                        "above_half": int((ends > 0.5).sum()),
                    }
                )
    start = float(tabular.start_accuracy(tabular.Setting(CALLS[0], 1.0, systems=SYSTEMS)).mean())
    return {"systems": SYSTEMS, "start": start, "rows": rows}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_rounded(inner) for inner in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def render(text: str) -> str:
    """The page with its marked part made anew from the stored results."""
    data = json.loads(RESULTS.read_text("utf-8"))
    made = "\n\n".join([_snr_table(data), _definition_line(data), _learning_table(data)])
    mark = re.compile(r"(<!-- theory-snr -->\n).*?(<!-- /theory-snr -->)", re.DOTALL)
    return mark.sub(lambda found: found[1] + made + "\n" + found[2], text)


def _snr_table(data: dict[str, Any]) -> str:
    words = {
        "scratch": "scratch: all 0.4",
        "grown": "grown: leaf 0.4, others 0.05",
        "trained": "all 0.1",
    }
    lines = [
        f"| errors | nodes | claimed | exact | simulated [{100 * LEVEL:.0f} %] | exact, all logits |",
        "|---|---|---|---|---|---|",
    ]
    for row in data["snr"]:
        low, high = row["interval"]
        lines.append(
            f"| {words[row['series']]} | {row['nodes']} | {row['claim']} | {row['exact']:.3g} | "
            f"{row['monte_carlo']:.4f} [{low:.4f}, {high:.4f}] | {row['exact_full']:.3g} |"
        )
    ratios = ", ".join(f"{_two_digits(row['ratio']):,.0f} at M = {row['nodes']}" for row in data["ratios"])
    lines += ["", f"Examples needed from scratch over grown, (SNR grown / SNR scratch)²: {ratios}."]
    return "\n".join(lines)


def _two_digits(value: float) -> float:
    return float(f"{value:.2g}")


def _definition_line(data: dict[str, Any]) -> str:
    ranked = sorted(data["definitions"], key=lambda row: row["worst"])
    best, second = ranked[:2]
    other = next(row for row in ranked if row["definition"] != best["definition"])
    return (
        f"Of {len(ranked)} pairs of definition and alphabet, `{best['definition']}` with "
        f"m = {best['symbols']} fits the claims best: none is off by more than {best['worst']:.4f} "
        f"beyond its rounding (next `{second['definition']}`, m = {second['symbols']}: "
        f"{second['worst']:.2f}; best of the other definitions `{other['definition']}`, "
        f"m = {other['symbols']}: {other['worst']:.2f})."
    )


def _learning_table(data: dict[str, Any]) -> str:
    learning = data["learning"]
    lines = [
        f"Accuracy of seven nodes after learning, %, mean of {learning['systems']} systems [95 % interval] "
        f"at the best of the rates {', '.join(f'{rate:g}' for rate in RATES)}; untrained "
        f"{100 * learning['start']:.1f} %, chance 25 %.",
        "",
        f"| calls a system | {' | '.join(PLANS)} |",
        "|---|" + "---|" * len(PLANS),
    ]
    for calls in CALLS:
        cells = []
        for plan in PLANS:
            rows = [row for row in learning["rows"] if (row["calls"], row["plan"]) == (calls, plan)]
            best = max(rows, key=lambda row: row["accuracy"])
            low, high = best["interval"]
            cells.append(
                f"{100 * best['accuracy']:.1f} [{100 * low:.1f}, {100 * high:.1f}], rate {best['rate']:g}"
            )
        lines.append(f"| {calls:,} | {' | '.join(cells)} |")
    last = [row for row in learning["rows"] if row["calls"] == CALLS[-1]]
    spread = "; ".join(
        f"{plan} " + ", ".join(f"{100 * row['accuracy']:.0f}" for row in last if row["plan"] == plan)
        for plan in PLANS
    )
    lines += ["", f"At {CALLS[-1]:,} calls and rates {', '.join(f'{rate:g}' for rate in RATES)}: {spread}."]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
