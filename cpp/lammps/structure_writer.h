// pair_style frames for LAMMPS. Distributed under the GNU General Public License, version 2 (see LICENSE in
// this folder), since it builds on headers of LAMMPS (https://www.lammps.org).

#pragma once

#include <string>
#include <vector>

#include "pointers.h"

namespace LAMMPS_NS {

/// Appends the atoms of all ranks to a file in extended XYZ, as ASE reads it: lattice, periodicity, symbols,
/// positions in Å relative to the corner of the box, ids, and one number per atom.
class StructureWriter : protected Pointers {
 public:
  explicit StructureWriter(class LAMMPS* lmp) : Pointers(lmp) {}

  /// Collective over `world`.
  /// @param element_of_type [types + 1] atomic number, 0 for types without one ("X" in the file)
  /// @param values [owned atoms] what is written for each atom, under the name `column`
  /// @returns "" or why it could not be written, the same on all ranks.
  std::string append(const std::string& path, const std::vector<int>& element_of_type,
                     const std::vector<double>& values, const std::string& column);

 private:
  std::vector<double> gather(const std::vector<double>& values);
  std::string header(std::size_t atoms, const std::string& column) const;
};

}  // namespace LAMMPS_NS
