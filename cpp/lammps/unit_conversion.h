// pair_style frames for LAMMPS. Distributed under the GNU General Public License, version 2 (see LICENSE in
// this folder), since it builds on headers of LAMMPS (https://www.lammps.org).

#pragma once

#include <string>

namespace frames {

/// Factors from a model's units (Å, eV) to those of a LAMMPS unit style. Both supported styles measure
/// lengths in Å, so that forces and virials carry the factor of the energy.
struct UnitConversion {
  double energy = 1.0;  ///< units of the style per eV
};

/// @param style "metal" or "real", as `Update::unit_style`
/// Throws Error for any other style.
UnitConversion unit_conversion(const std::string& style);

}  // namespace frames
