#pragma once

namespace frames::units {

// CODATA 2022; exact by the definitions of the SI (2019) and of the thermochemical calorie.
constexpr double elementary_charge = 1.602176634e-19;  // J per eV
constexpr double avogadro = 6.02214076e23;             // 1/mol
constexpr double joule_per_kcal = 4184.0;

constexpr double kcal_per_mol_per_ev = elementary_charge * avogadro / joule_per_kcal;  // 23.0605...
constexpr double kj_per_mol_per_ev = elementary_charge * avogadro / 1000.0;            // 96.4853...
constexpr double nm_per_angstrom = 0.1;

}  // namespace frames::units
