// pair_style frames for LAMMPS. Distributed under the GNU General Public License, version 2 (see LICENSE in
// this folder), since it builds on headers of LAMMPS (https://www.lammps.org).

#include "lammps/unit_conversion.h"

#include "core/error.h"
#include "core/units.h"

namespace frames {

UnitConversion unit_conversion(const std::string& style) {
  if (style == "metal") return {1.0};
  if (style == "real") return {units::kcal_per_mol_per_ev};
  throw Error("pair_style frames: units " + style +
              ", expected metal or real; change the units command of the deck");
}

}  // namespace frames
