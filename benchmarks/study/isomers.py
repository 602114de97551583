"""Isomers of C7H10O2 by name of their SMILES, as geometries. Runs in an environment that has RDKit.

`python isomers.py FOLDER` writes one .xyz file each. The list was drawn up by hand: esters, acids, ketones, ethers,
rings and chains, with three rings or double bonds each; a SMILES of another formula is an error.
"""

from __future__ import annotations

import sys
from pathlib import Path

FORMULA = "C7H10O2"
SMILES = (
    "CC(=O)CC(=O)CC=C",
    "CC(=O)C(C(C)=O)C=C",
    "CC1(C)CC(=O)CC1=O",
    "CC1CC(=O)CC(=O)C1",
    "CC1CCC(=O)CC1=O",
    "O=C1CCCCCC1=O",
    "O=C1CCCC(=O)CC1",
    "CCC1CC(=O)CC1=O",
    "CC(=O)C1CCCC1=O",
    "CC(=O)C1CCC(=O)C1",
    "CC(=O)C1=CCCCO1",
    "COC1=CC(=O)CCC1",
    "OC(=O)C1=CCCCC1",
    "OC(=O)C1CCC=CC1",
    "OC(=O)C1CCCC=C1",
    "OC(=O)CC1CCC=C1",
    "COC(=O)C1=CCCC1",
    "COC(=O)C1CCC=C1",
    "COC(=O)C=CC=CC",
    "CCOC(=O)C=CC=C",
    "CCOC(=O)CCC#C",
    "CCCOC(=O)CC#C",
    "CCCCOC(=O)C#C",
    "CC(C)COC(=O)C#C",
    "OC(=O)CCCCC#C",
    "OC(=O)CCC=CC=C",
    "CC(=O)OC1CCC=C1",
    "CC(=O)OC1=CCCC1",
    "CC(=O)OCC=CC=C",
    "CC(=O)OCCCC#C",
    "O=C1OCC2CCCC12",
    "O=C1CCC2CCC2O1",
    "O=C1OC2CCCC1C2",
    "O=C1CCC=CCCO1",
    "COCc1ccc(C)o1",
    "CCc1ccc(CO)o1",
    "COC1=CCC(OC)=C1",
    "C1COC2(CCC=C2)O1",
    "OCC#CCCCC=O",
    "CCCC(O)C#CC=O",
)


def main(folder: Path) -> None:
    """Embeds every isomer with the ETKDG method, relaxes it with MMFF94 and writes it."""
    from rdkit import Chem
    from rdkit.Chem import AllChem, rdMolDescriptors

    folder.mkdir(parents=True, exist_ok=True)
    seen = set()
    for number, smiles in enumerate(SMILES):
        molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
        formula = rdMolDescriptors.CalcMolFormula(molecule)
        if formula != FORMULA:
            sys.exit(f"{smiles} is {formula}, expected {FORMULA}")
        seen.add(Chem.MolToSmiles(molecule))
        if AllChem.EmbedMolecule(molecule, randomSeed=7) != 0:
            sys.exit(f"{smiles}: no geometry found")
        AllChem.MMFFOptimizeMolecule(molecule)
        text = Chem.MolToXYZBlock(molecule).split("\n", 2)[2]
        (folder / f"isomer{number:02d}.xyz").write_text(f"{molecule.GetNumAtoms()}\n{smiles}\n{text}")
    if len(seen) != len(SMILES):
        sys.exit("a molecule occurs twice in the list")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
