// pair_style frames for LAMMPS. Distributed under the GNU General Public License, version 2 (see LICENSE in
// this folder), since it builds on headers of LAMMPS (https://www.lammps.org).

#pragma once

#include <limits>
#include <string>
#include <vector>

#include "core/load.h"

namespace frames {

/// `pair_style frames [keyword value ...]`
struct PairSettings {
  std::string backend = "auto";
  std::string device = "cpu";
  double threshold = std::numeric_limits<double>::infinity();  ///< of the force deviation, deck's force units
  std::string save;   ///< extended XYZ file for structures beyond the threshold; empty: none is written
  bool stop = false;  ///< end the run at the first structure beyond the threshold
  int every = 1;      ///< steps between two looks at the deviation

  bool watches() const { return threshold < std::numeric_limits<double>::infinity(); }
};

/// `pair_coeff * * FILE [FILE ...] ELEMENT ...`
struct PairCoefficients {
  std::vector<std::string> files;
  std::vector<std::string> elements;  ///< one for each atom type
};

/// What a wrong pair_coeff is answered with.
inline constexpr const char* coeff_syntax =
    "expected: pair_coeff * * FILE and one chemical symbol per atom type (several FILEs make a committee)";

/// Throws Error that says what was expected.
PairSettings parse_pair_style(const std::vector<std::string>& words);

/// @param types number of atom types
/// Words after the first file are files too as long as they hold a dot or a slash, which no element does.
/// Throws Error that says what was expected.
PairCoefficients parse_pair_coeff(const std::vector<std::string>& words, int types);

}  // namespace frames
