"""Does it matter on how many MPI ranks pair_style frames runs? 500 steps with migration on 1, 2, 3, 4 and 8 ranks.

`python benchmarks/ranks/study.py` writes study.json and study.md beside this file; what it has found is kept in
out/study.json, from where it goes on after a stop, unless `--fresh` is given. For
each system, decomposition and number of ranks it compares with one rank: energy and pressures at step 0, forces after
500 steps, and, in single precision, forces at step 0; and it counts the atoms that have changed their rank on the way.
Exits with status 1 if a comparison fails.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import track

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OUT = HERE / "out" / "study"
sys.path.insert(0, str(ROOT / "tests" / "engines"))  # the same systems and decks as the tests

import lammps_run  # noqa: E402
from lammps_run import Run  # noqa: E402
from native_models import rewrite_model, write_native_model  # noqa: E402
from rank_study import SYSTEMS, VARIANTS, digits_lost, largest, owners, run_system  # noqa: E402

RANKS = (1, 2, 3, 4, 8)
STEPS = 500
THERMO, FORCES, SINGLE = 1e-10, 1e-6, 1e-5  # what is allowed: relative; eV/Å; eV/Å
TABLE = """# Ranks

Written by `python benchmarks/ranks/study.py`: {steps} steps of 0.3 fs with pair_style frames, native, on 1, 2, 3, 4
and 8 MPI ranks, more than the machine has cores, compared with one rank in bricks. Crystal, slab, and the crystal of
which atoms are deleted half-way, start at 1500 K with an untrained model; a molecule of ethanol has the trained one.
The slab drifts at 0.1 Å/fs, the molecule at 0.17 Å/fs, so that they cross borders between ranks. Columns: *thermo* is
the largest relative difference of energy and pressures at step 0, *forces* the largest difference of a force after
{steps} steps in double precision, *single* that at step 0 in single precision. *Changes* counts, every tenth step, the
atoms that have another rank than at the look before; *fewest* is the smallest number of atoms that a rank held.
Allowed are {thermo:g}, {forces:g} eV/Å and {single:g} eV/Å: {verdict}.

| system | decomposition | ranks | thermo | forces, eV/Å | single, eV/Å | changes (atoms) | fewest |
|---|---|---|---|---|---|---|---|
{rows}
"""


def main(
    steps: Annotated[int, typer.Option(help="Steps of each run.")] = STEPS,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget what has been found.")] = False,
) -> None:
    """Runs what is missing, and writes study.json and study.md."""
    lammps_run.TIMEOUT = 3600  # eight ranks on two cores that are busy with other things take their time
    if fresh:
        shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True, exist_ok=True)
    shipped = ROOT / "models" / "ethanol" / "ethanol.pt"
    double = {False: write_native_model(OUT / "untrained.pt"), True: rewrite_model(shipped, OUT / "ethanol.pt")}
    single = {False: write_native_model(OUT / "untrained_single.pt", "float32"), True: shipped}
    store = OUT / f"rows_{steps}.json"
    rows: dict[str, dict[str, Any]] = json.loads(store.read_text()) if store.exists() else {}
    references: dict[tuple[str, bool], tuple[Run, Run]] = {}  # by system and box; both precisions
    cases = [
        (system, variant, ranks) for ranks in RANKS for variant in VARIANTS.values() for system in SYSTEMS.values()
    ]
    for system, variant, ranks in track(cases, description="runs"):
        name = f"{system.name}, {variant.name}, {ranks}"
        if name in rows:
            continue
        key = (system.name, variant.triclinic)
        if key not in references:
            folder = OUT / "one" / f"{system.name}_{variant.triclinic}"
            plain = VARIANTS["triclinic" if variant.triclinic else "bricks"]
            references[key] = (
                run_system(folder, system, plain, double[system.trained], 1, steps),
                run_system(folder / "single", system, plain, single[system.trained], 1, 0),
            )
        folder = OUT / re.sub(r"\W+", "_", name)
        run = run_system(folder, system, variant, double[system.trained], ranks, steps)
        start = run_system(folder / "single", system, variant, single[system.trained], ranks, 0)
        found = compared(run, references[key][0], start, references[key][1], folder, ranks)
        rows[name] = {"system": system.name, "decomposition": variant.name, "ranks": ranks} | found
        store.write_text(json.dumps(rows, indent=1) + "\n")
    passed = all(
        row["thermo"] <= THERMO
        and row["forces"] <= FORCES
        and row["single"] <= SINGLE
        and (row["changes"] > 0 or row["ranks"] == 1)
        for row in rows.values()
    )
    results = {"steps": steps, "passed": passed, "rows": sorted(rows.values(), key=order)}
    (HERE / "study.json").write_text(json.dumps(results, indent=1) + "\n")
    (HERE / "study.md").write_text(table(results))
    print(table(results))
    raise SystemExit(0 if passed else 1)


def compared(run: Run, one: Run, start: Run, first: Run, folder: Path, ranks: int) -> dict[str, Any]:
    """Differences to one rank in eV/Å, and who owned the atoms."""
    assert (run.atoms["id"] == one.atoms["id"]).all()
    who = owners(folder, ranks)
    return {
        "atoms": len(run.forces),
        "thermo": digits_lost(run, one),
        "forces": largest(run.forces - one.forces),
        "largest_force": largest(one.forces),
        "single": largest(start.forces - first.forces),
        "changes": who.changes,
        "atoms_that_changed": who.atoms,
        "fewest_atoms_of_a_rank": who.fewest,
    }


def order(row: dict[str, Any]) -> tuple[int, int, int]:
    return list(SYSTEMS).index(row["system"]), list(VARIANTS).index(row["decomposition"]), row["ranks"]


def table(results: dict[str, Any]) -> str:
    lines = [
        f"| {row['system']} | {row['decomposition']} | {row['ranks']} | {row['thermo']:.0e} | {row['forces']:.0e} "
        f"| {row['single']:.0e} | {row['changes']} ({row['atoms_that_changed']}) | {row['fewest_atoms_of_a_rank']} |"
        for row in results["rows"]
        if row["ranks"] > 1 or row["decomposition"] != "bricks"
    ]
    return TABLE.format(
        steps=results["steps"], thermo=THERMO, forces=FORCES, single=SINGLE,
        verdict="all are within" if results["passed"] else "NOT all are within", rows="\n".join(lines),
    )  # fmt: skip


if __name__ == "__main__":
    typer.run(main)
